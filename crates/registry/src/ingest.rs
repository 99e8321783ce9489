//! The start of a push: what is there already, what the registry can take from its own other
//! repositories, and the upload session for the rest (distribution-spec, Pushing blobs, Mounting
//! a blob from another repository).

use async_trait::async_trait;
use corten_spec::{Algorithm, Descriptor, Location};
use corten_store::{Begun, Fetcher, Ingester, Kind, StoreError};
use reqwest::Url;
use reqwest::header::{HeaderName, LOCATION};

use crate::address::follow;
use crate::answer::Answer;
use crate::exchange::{Remote, malformed};
use crate::scopes::Scopes;
use crate::upload::Upload;
use crate::wire::{Repository, Route, Start};
use crate::{Registry, cause};

/// Least number of bytes that a registry wants in each chunk but the last.
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// An upload that the registry has opened.
pub(crate) struct Session {
    /// Where the bytes go.
    pub(crate) url: Url,
    /// The registry's wish for chunks, and how large they must be.
    pub(crate) chunk: Option<u64>,
}

#[async_trait]
impl Ingester for Registry {
    async fn begin(
        &self,
        blob: &Descriptor,
        origin: Option<&Location>,
    ) -> Result<Begun, StoreError> {
        if self.exists(Kind::Blob, blob).await? {
            return Ok(Begun::Present);
        }
        let here = &self.remote.location;
        let origin = origin
            .filter(|origin| origin.host == here.host && origin.repository != here.repository)
            .and_then(|origin| Repository::parse(&origin.repository).ok());
        let session = match origin {
            Some(origin) => match self.mount(blob, origin).await? {
                Mount::Done => return Ok(Begun::Mounted),
                Mount::Upload(session) => session,
            },
            None => start(&self.remote, blob).await?,
        };
        Ok(Begun::Ingest(Box::new(Upload::new(self.remote.clone(), blob, session)?)))
    }
}

enum Mount {
    Done,
    Upload(Session),
}

impl Registry {
    /// Asks the registry to take the blob from `origin`. One that cannot, or that does not let us
    /// read there, opens an upload instead, or refuses: then we open one ourselves.
    async fn mount(&self, blob: &Descriptor, origin: Repository) -> Result<Mount, StoreError> {
        let scopes = Scopes::push(&self.remote.repository).and(&Scopes::pull(&origin));
        let start_mount = Start::Mount(blob.digest.clone(), Some(origin));
        let route = Route::StartUpload(self.remote.repository.clone(), start_mount);
        let about = self.remote.about("push", &blob.digest);
        let ask = self.remote.ask(&route, about).await?;
        // A token service may refuse the pair of scopes as a whole.
        match self.remote.send(&ask, &scopes).await {
            Ok(answer) if answer.status().as_u16() == 201 => Ok(Mount::Done),
            Ok(answer) if answer.status().as_u16() == 202 => {
                session(&self.remote, &answer).await.map(Mount::Upload)
            }
            Ok(_) | Err(StoreError::Denied { .. }) => {
                start(&self.remote, blob).await.map(Mount::Upload)
            }
            Err(error) => Err(error),
        }
    }
}

/// Opens an upload session.
pub(crate) async fn start(remote: &Remote, blob: &Descriptor) -> Result<Session, StoreError> {
    // Without the parameter, a registry that hashes as it receives does so with sha256.
    let algorithm = blob.digest.algorithm().ok().filter(|other| *other != Algorithm::Sha256);
    let route = Route::StartUpload(remote.repository.clone(), Start::Session(algorithm));
    let ask = remote.ask(&route, remote.about("push", &blob.digest)).await?;
    let answer = remote.send(&ask, &Scopes::push(&remote.repository)).await?.success().await?;
    session(remote, &answer).await
}

async fn session(remote: &Remote, answer: &Answer) -> Result<Session, StoreError> {
    let Some(url) = location(remote, answer).await? else {
        return Err(malformed(&answer.about, cause("it opens an upload and does not say where")));
    };
    let chunk = answer.header(&CHUNK_MIN_LENGTH).and_then(|text| text.parse().ok());
    Ok(Session { url, chunk })
}

/// Where an answer says that the upload goes on; it may be another host, which then gets the bytes
/// and no credential.
pub(crate) async fn location(remote: &Remote, answer: &Answer) -> Result<Option<Url>, StoreError> {
    let Some(target) = answer.header(&LOCATION) else {
        return Ok(None);
    };
    let home = remote.home().await?;
    let url = follow(&home, answer.url(), target);
    url.map(Some).map_err(|error| malformed(&answer.about, error.into()))
}
