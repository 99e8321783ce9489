//! Routes: what a request of the distribution protocol asks for (distribution-spec, Endpoints).
//!
//! A [`Route`] is method, path and query together, parsed once: a name, tag or digest that breaks
//! its grammar never gets further than here.

use corten_spec::{Algorithm, Digest, MediaType, ReferenceError, Tag};

use super::percent::decode;
use super::{Repository, Session, Target};

/// Longest path, in bytes as sent: a repository, a digest, and room for escapes.
pub const MAX_PATH: usize = 4096;
/// Longest query, in bytes as sent.
pub const MAX_QUERY: usize = 16 * 1024;
/// Most `tag` parameters of one manifest push; the specification asks for 10.
pub const MAX_TAGS: usize = 64;
/// Longest `last` parameter: the longest repository name fits.
const MAX_LAST: usize = 255;

/// One request of the protocol. The comments name the endpoint's id in the specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Is this a registry, and am I welcome (end-1)?
    Base,
    /// The repositories of the registry (an extension that is everywhere).
    Catalog(Page),
    /// The tags of a repository (end-8a, end-8b).
    Tags(Repository, Page),
    /// A manifest, or its headers alone (end-3).
    ReadManifest(Repository, Target, Part),
    /// Push of a manifest, with more tags for it where it goes by digest (end-7a, end-7b).
    WriteManifest(Repository, Target, Vec<Tag>),
    /// Deletion of a manifest or of a tag (end-9).
    DeleteManifest(Repository, Target),
    /// A blob, or its headers alone (end-2).
    ReadBlob(Repository, Digest, Part),
    /// Deletion of a blob (end-10).
    DeleteBlob(Repository, Digest),
    /// The start of an upload (end-4a, end-4b, end-4c, end-11).
    StartUpload(Repository, Start),
    /// How far an upload is (end-13).
    UploadStatus(Repository, Session),
    /// The next chunk of an upload (end-5).
    AppendUpload(Repository, Session),
    /// The end of an upload (end-6).
    CommitUpload(Repository, Session, Digest),
    /// Giving up an upload (end-14).
    CancelUpload(Repository, Session),
    /// The manifests that refer to another one (end-12a, end-12b).
    Referrers(Repository, Digest, Option<MediaType>, Page),
}

/// What of some content is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `GET`: headers and bytes.
    Whole,
    /// `HEAD`: the headers.
    Head,
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many entries (`n`).
    pub limit: Option<u64>,
    /// Entries after this one (`last`).
    pub after: Option<String>,
}

/// The ways to start an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A session for chunks; hashed under the algorithm, where one is named (end-4a, end-4c).
    Session(Option<Algorithm>),
    /// The body is the whole blob (end-4b).
    Whole(Digest),
    /// The blob is in another repository, or the server knows where (end-11).
    Mount(Digest, Option<Repository>),
}

/// Why a request is no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// No endpoint has this path.
    #[error("there is nothing at this path")]
    Unknown,
    /// The path is one, the method is not for it.
    #[error("method not allowed here; allowed are {0}")]
    Method(&'static str),
    /// The repository breaks its grammar.
    #[error(transparent)]
    Repository(ReferenceError),
    /// The tag or digest of a manifest breaks its grammar.
    #[error(transparent)]
    Target(ReferenceError),
    /// A digest breaks its grammar, or is missing where one is due.
    #[error("digest: {0}")]
    Digest(String),
    /// `digest-algorithm` names one that cannot be computed here.
    #[error("digest algorithm '{0}' is not supported")]
    Algorithm(String),
    /// A query parameter has a value it cannot have.
    #[error("query parameter '{0}' is not valid")]
    Query(&'static str),
    /// No name of a session.
    #[error("there is no such upload")]
    Session,
    /// Path or query above its limit.
    #[error("path or query is too long")]
    TooLong,
}

impl Route {
    /// Reads method, path and query as they stand in the request line, still percent-encoded.
    /// Query parameters that mean nothing to the endpoint are ignored.
    pub fn parse(method: &str, path: &str, query: Option<&str>) -> Result<Self, RouteError> {
        let query = query.unwrap_or_default();
        if path.len() > MAX_PATH || query.len() > MAX_QUERY {
            return Err(RouteError::TooLong);
        }
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return only(method, &["GET", "HEAD"], "GET, HEAD", Self::Base),
            Some(rest) => rest.strip_prefix('/').ok_or(RouteError::Unknown)?,
            None => return Err(RouteError::Unknown),
        };
        let segments = rest.split('/').map(segment).collect::<Result<Vec<String>, _>>()?;
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let query = Query(query);
        match words.as_slice() {
            ["_catalog"] => only(method, &["GET"], "GET", Self::Catalog(query.page()?)),
            [name @ .., "tags", "list"] => {
                only(method, &["GET"], "GET", Self::Tags(repository(name)?, query.page()?))
            }
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
                let route = Self::StartUpload(repository(name)?, query.start()?);
                only(method, &["POST"], "POST", route)
            }
            [name @ .., "manifests", target] => manifest(method, repository(name)?, target, &query),
            [name @ .., "blobs", "uploads", session] => {
                let session = Session::parse(session).ok_or(RouteError::Session)?;
                upload(method, repository(name)?, session, &query)
            }
            [name @ .., "blobs", blob] => {
                let (name, digest) = (repository(name)?, digest(blob)?);
                match method {
                    "GET" => Ok(Self::ReadBlob(name, digest, Part::Whole)),
                    "HEAD" => Ok(Self::ReadBlob(name, digest, Part::Head)),
                    "DELETE" => Ok(Self::DeleteBlob(name, digest)),
                    _ => Err(RouteError::Method("GET, HEAD, DELETE")),
                }
            }
            [name @ .., "referrers", subject] => {
                let kind = query.text("artifactType")?.filter(|kind| !kind.is_empty());
                let (name, subject) = (repository(name)?, digest(subject)?);
                let route = Self::Referrers(name, subject, kind.map(MediaType::new), query.page()?);
                only(method, &["GET"], "GET", route)
            }
            _ => Err(RouteError::Unknown),
        }
    }

    /// The repository the request is about, where it is about one.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Base | Self::Catalog(_) => None,
            Self::Tags(name, _)
            | Self::ReadManifest(name, ..)
            | Self::WriteManifest(name, ..)
            | Self::DeleteManifest(name, _)
            | Self::ReadBlob(name, ..)
            | Self::DeleteBlob(name, _)
            | Self::StartUpload(name, _)
            | Self::UploadStatus(name, _)
            | Self::AppendUpload(name, _)
            | Self::CommitUpload(name, ..)
            | Self::CancelUpload(name, _)
            | Self::Referrers(name, ..) => Some(name),
        }
    }
}

fn only(
    method: &str,
    legal: &[&str],
    allow: &'static str,
    route: Route,
) -> Result<Route, RouteError> {
    if legal.contains(&method) { Ok(route) } else { Err(RouteError::Method(allow)) }
}

fn manifest(
    method: &str,
    name: Repository,
    target: &str,
    query: &Query<'_>,
) -> Result<Route, RouteError> {
    let target = Target::parse(target).map_err(RouteError::Target)?;
    match method {
        "GET" => Ok(Route::ReadManifest(name, target, Part::Whole)),
        "HEAD" => Ok(Route::ReadManifest(name, target, Part::Head)),
        "PUT" => Ok(Route::WriteManifest(name, target, query.tags()?)),
        "DELETE" => Ok(Route::DeleteManifest(name, target)),
        _ => Err(RouteError::Method("GET, HEAD, PUT, DELETE")),
    }
}

fn upload(
    method: &str,
    name: Repository,
    session: Session,
    query: &Query<'_>,
) -> Result<Route, RouteError> {
    match method {
        "GET" => Ok(Route::UploadStatus(name, session)),
        "PATCH" => Ok(Route::AppendUpload(name, session)),
        "DELETE" => Ok(Route::CancelUpload(name, session)),
        "PUT" => {
            let text = query.text("digest")?;
            let text = text.ok_or_else(|| RouteError::Digest("it is missing".to_owned()))?;
            Ok(Route::CommitUpload(name, session, digest(&text)?))
        }
        _ => Err(RouteError::Method("GET, PATCH, PUT, DELETE")),
    }
}

/// One decoded segment of the path. A slash that was escaped is refused: whoever stands in front
/// of a server may have read it otherwise.
fn segment(text: &str) -> Result<String, RouteError> {
    decode(text).filter(|text| !text.contains('/')).ok_or(RouteError::Unknown)
}

fn repository(segments: &[&str]) -> Result<Repository, RouteError> {
    Repository::parse(&segments.join("/")).map_err(RouteError::Repository)
}

fn digest(text: &str) -> Result<Digest, RouteError> {
    Digest::parse(text).map_err(|error| RouteError::Digest(error.to_string()))
}

/// The query of a request, read one parameter at a time.
struct Query<'a>(&'a str);

impl Query<'_> {
    /// All values of a parameter, in order.
    fn values(&self, key: &'static str) -> impl Iterator<Item = Result<String, RouteError>> {
        self.0.split('&').filter_map(move |pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == key).then(|| decode(value).ok_or(RouteError::Query(key)))
        })
    }

    /// The first value of a parameter.
    fn text(&self, key: &'static str) -> Result<Option<String>, RouteError> {
        self.values(key).next().transpose()
    }

    fn page(&self) -> Result<Page, RouteError> {
        let number = |text: String| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or(RouteError::Query("n"))
        };
        let limit = self.text("n")?.map(number).transpose()?;
        let after = self.text("last")?;
        if after.as_ref().is_some_and(|text| text.len() > MAX_LAST) {
            return Err(RouteError::Query("last"));
        }
        Ok(Page { limit, after })
    }

    fn tags(&self) -> Result<Vec<Tag>, RouteError> {
        let tag = |text: Result<String, RouteError>| {
            Tag::parse(&text?).map_err(|_| RouteError::Query("tag"))
        };
        let tags = self.values("tag").take(MAX_TAGS + 1).map(tag);
        let tags = tags.collect::<Result<Vec<Tag>, _>>()?;
        if tags.len() > MAX_TAGS { Err(RouteError::Query("tag")) } else { Ok(tags) }
    }

    fn start(&self) -> Result<Start, RouteError> {
        if let Some(mount) = self.text("mount")? {
            let from = self.text("from")?.filter(|from| !from.is_empty());
            let from = from.map(|from| Repository::parse(&from)).transpose();
            return Ok(Start::Mount(digest(&mount)?, from.map_err(RouteError::Repository)?));
        }
        if let Some(whole) = self.text("digest")? {
            return Ok(Start::Whole(digest(&whole)?));
        }
        let Some(name) = self.text("digest-algorithm")? else {
            return Ok(Start::Session(None));
        };
        let known = Algorithm::ALL.into_iter().find(|known| known.as_str() == name);
        let clipped = || RouteError::Algorithm(name.chars().take(32).collect());
        known.map(|algorithm| Start::Session(Some(algorithm))).ok_or_else(clipped)
    }
}

#[cfg(test)]
mod tests;
