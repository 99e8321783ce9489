//! Files behind plain addresses of http and https: what a build takes from elsewhere. No registry, no store; the
//! certificates, proxies and time limits of one, and its rules for redirects.

use std::time::{Duration, Instant};

use corten_store::{Cause, StoreError};
use jiff::fmt::rfc2822;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use reqwest::{Client, Response, StatusCode, Url};

use crate::address::{follow, redacted, same_origin};
use crate::answer::stalled;
use crate::rate::Rate;
use crate::transport::{Side, http_client};
use crate::{Secret, Transport, cause};

/// Redirects followed for one file.
const MAX_REDIRECTS: usize = 10;
/// Most bytes of a validator that is kept.
const MAX_VALIDATOR: usize = 1024;

/// What a server says of a version of a file, to be shown to it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Last-Modified`, as it was written.
    pub modified: Option<String>,
}

impl Validators {
    /// The time of the last change, in seconds after 1970.
    pub fn seconds(&self) -> Option<i64> {
        let text = self.modified.as_deref()?;
        Some(rfc2822::parse(text.trim()).ok()?.timestamp().as_second())
    }

    fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            let text = headers.get(name)?.to_str().ok()?;
            (text.len() <= MAX_VALIDATOR).then(|| text.to_owned())
        };
        Self { etag: text(ETAG), modified: text(LAST_MODIFIED) }
    }

    fn put(&self, headers: &mut HeaderMap) {
        let fields = [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.modified)];
        for (name, value) in fields {
            let value = value.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
            value.map(|value| headers.insert(name, value));
        }
    }
}

/// What is fetched.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// The address. A user and password in it are sent to its host alone.
    pub url: &'a str,
    /// What is known of the version that is here already.
    pub known: Option<&'a Validators>,
    /// What `Authorization` says to the host of the address.
    pub authorization: Option<&'a Secret>,
    /// Most bytes of the file.
    pub limit: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Downloaded {
    /// The version that is here is the current one.
    Unchanged,
    /// All of it was written.
    Whole(Validators),
}

/// Takes the pieces of a file.
pub type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> Result<(), StoreError> + Send);

/// Fetches a file and writes it to `sink`, which after an error has some part of it.
///
/// # Errors
/// [`StoreError::NotFound`] and [`StoreError::Denied`] as the server says, [`StoreError::TooLarge`] beyond the
/// limit, [`StoreError::Interrupted`] where the body ends early or falls silent; each names the address without
/// its secrets.
pub async fn download(
    transport: &Transport,
    wanted: Download<'_>,
    sink: Sink<'_>,
) -> Result<Downloaded, StoreError> {
    let home = Url::parse(wanted.url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    let Some(home) = home else {
        return Err(StoreError::Malformed {
            object: "the address".to_owned(),
            place: "what was asked for".to_owned(),
            source: cause("it is no address of http or https"),
        });
    };
    let answer = answer(transport, &home, &wanted).await?;
    let about = redacted(&home);
    if answer.status() == StatusCode::NOT_MODIFIED && wanted.known.is_some() {
        return Ok(Downloaded::Unchanged);
    }
    refuse(&answer, &about)?;
    let coded = answer.headers().get(CONTENT_ENCODING);
    if let Some(coded) = coded.filter(|coded| coded.as_bytes() != b"identity") {
        let told = format!("it comes as {coded:?}, which was not asked for");
        return Err(malformed(&about, cause(told)));
    }
    let validators = Validators::of(answer.headers());
    body(answer, &about, (wanted.limit, transport.timeouts.stall), sink).await?;
    Ok(Downloaded::Whole(validators))
}

/// Asks, and follows where that leads.
async fn answer(
    transport: &Transport,
    home: &Url,
    wanted: &Download<'_>,
) -> Result<Response, StoreError> {
    let about = redacted(home);
    let clients =
        [http_client(transport, Side::Registry)?, http_client(transport, Side::Elsewhere)?];
    let mut at = home.clone();
    for _ in 0..=MAX_REDIRECTS {
        let is_home = same_origin(home, &at);
        let [ours, others] = &clients;
        let client = if is_home { ours } else { others };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        wanted.known.inspect(|known| known.put(&mut headers));
        if let Some(secret) = wanted.authorization.filter(|_| is_home) {
            let mut value = HeaderValue::from_str(secret.reveal())
                .map_err(|_| malformed(&about, cause("the authorization is no header")))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let answer = send(client, &at, headers, transport.timeouts.stall).await?;
        let status = answer.status();
        let target = answer
            .headers()
            .get(LOCATION)
            .filter(|_| status.is_redirection() && status != StatusCode::NOT_MODIFIED);
        let Some(target) = target else { return Ok(answer) };
        let target = target.to_str().unwrap_or_default();
        at = follow(home, &at, target).map_err(|error| malformed(&about, error.into()))?;
    }
    let told = format!("over {MAX_REDIRECTS} redirects");
    Err(malformed(&about, cause(told)))
}

async fn send(
    client: &Client,
    at: &Url,
    headers: HeaderMap,
    stall: Duration,
) -> Result<Response, StoreError> {
    let request = client.get(at.clone()).headers(headers).send();
    let unreachable = |source: Cause| StoreError::Unreachable { place: redacted(at), source };
    match tokio::time::timeout(stall, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(unreachable(error.without_url().into())),
        Err(_) => Err(unreachable(cause(stalled(stall)))),
    }
}

/// What is no file.
fn refuse(answer: &Response, about: &str) -> Result<(), StoreError> {
    let (status, place) = (answer.status(), about.to_owned());
    let said = || cause(format!("it answered {status}"));
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            let host = answer.url().host_str().unwrap_or_default().to_owned();
            Err(StoreError::NotFound { object: place, place: host })
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(StoreError::Denied { place, action: "the file".to_owned(), source: Some(said()) })
        }
        StatusCode::TOO_MANY_REQUESTS => {
            Err(StoreError::RateLimited { place, wait: crate::retry::asked_wait(answer.headers()) })
        }
        _ if status.is_server_error() => Err(StoreError::Unreachable { place, source: said() }),
        _ => Err(malformed(about, said())),
    }
}

async fn body(
    mut answer: Response,
    about: &str,
    (limit, stall): (u64, Duration),
    sink: Sink<'_>,
) -> Result<(), StoreError> {
    let too_large = || StoreError::TooLarge {
        object: about.to_owned(),
        place: "its host".to_owned(),
        what: "a file",
        limit,
    };
    let announced = answer.content_length();
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let interrupted = |source: Cause| StoreError::Interrupted {
        object: "the file".to_owned(),
        place: about.to_owned(),
        source,
    };
    let mut got = 0_u64;
    let mut rate = Rate::new(stall);
    loop {
        let asked = Instant::now();
        let piece = match tokio::time::timeout(stall, answer.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return Err(interrupted(error.without_url().into())),
            Err(_) => return Err(interrupted(cause(stalled(stall)))),
        };
        let Some(piece) = piece else { break };
        rate.came(piece.len(), asked).map_err(|source| malformed(about, source))?;
        got = got.saturating_add(piece.len() as u64);
        if got > limit {
            return Err(too_large());
        }
        sink(&piece)?;
    }
    match announced {
        Some(length) if length != got => {
            Err(interrupted(cause(format!("{got} bytes came of {length}"))))
        }
        _ => Ok(()),
    }
}

fn malformed(about: &str, source: Cause) -> StoreError {
    StoreError::Malformed { object: "the file".to_owned(), place: about.to_owned(), source }
}
