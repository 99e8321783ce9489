//! The start of an upload: a session, a mount, or the whole blob at once (end-4a to 4c, end-11).

use corten_registry::wire::{ErrorCode, Part, Repository, Route, Session, Start};
use corten_spec::{Algorithm, Digest};
use http::StatusCode;
use http::header::{LOCATION, RANGE};

use super::{location, upload};
use crate::answer::{Answer, name};
use crate::dispatch::Call;
use crate::failure::Failure;
use crate::memory::Upload;
use crate::received::Received;
use crate::server::Parts;

/// Most repositories tried for a mount that does not say where from.
const MAX_MOUNT_ORIGINS: usize = 32;

/// Starts an upload, or makes one unnecessary.
pub(crate) async fn start(
    parts: &Parts,
    (call, mut body): (&Call, Received),
    repository: &Repository,
    start: Start,
) -> Result<Answer, Failure> {
    match start {
        Start::Session(algorithm) => session(parts, call, repository, algorithm),
        Start::Mount(digest, from) => {
            if mounted(parts, call, repository, (&digest, from.as_ref())).await {
                return Ok(created(parts, call, repository, &digest));
            }
            session(parts, call, repository, digest.algorithm().ok())
        }
        Start::Whole(digest) => {
            if !parts.options.single_post.is_on() {
                body.discard(parts.options.limits.blob).await?;
                return session(parts, call, repository, digest.algorithm().ok());
            }
            let algorithm = digest.algorithm();
            let algorithm = algorithm.map_err(|e| upload::refused(e.into(), &digest))?;
            let mut upload = Upload::new(Some(algorithm), parts.options.limits.blob);
            upload.expect(body.announced());
            while let Some(bytes) = body.next().await? {
                upload.append(&bytes).map_err(|error| upload::refused(error, &digest))?;
            }
            let blob = upload.finish(&digest).map_err(|error| upload::refused(error, &digest))?;
            parts.memory.put_blob(repository, &blob.digest, blob.bytes);
            Ok(created(parts, call, repository, &digest))
        }
    }
}

fn session(
    parts: &Parts,
    call: &Call,
    repository: &Repository,
    algorithm: Option<Algorithm>,
) -> Result<Answer, Failure> {
    let limits = &parts.options.limits;
    let upload = Upload::new(algorithm, limits.blob);
    let bounds = (limits.uploads, limits.upload_age);
    let busy = || Failure::new(ErrorCode::TooManyRequests, "too many uploads are under way");
    let session = parts.memory.start_upload(repository, upload, bounds);
    let session = session.ok_or_else(|| busy().header(http::header::RETRY_AFTER, "1"))?;
    let answer = under_way(StatusCode::ACCEPTED, (parts, call), repository, (&session, 0));
    Ok(match parts.options.chunk_min {
        Some(bytes) => answer.header(name::CHUNK_MIN, &bytes.to_string()),
        None => answer,
    })
}

async fn mounted(
    parts: &Parts,
    call: &Call,
    repository: &Repository,
    (digest, from): (&Digest, Option<&Repository>),
) -> bool {
    if !parts.options.mounting.is_on() {
        return false;
    }
    let origins = match from {
        Some(from) => vec![from.clone()],
        None => parts.memory.holders(digest),
    };
    for origin in origins.iter().take(MAX_MOUNT_ORIGINS) {
        if parts.may_pull(call, origin).await && parts.memory.mount(repository, origin, digest) {
            return true;
        }
    }
    false
}

/// The blob is there: where it is.
pub(super) fn created(
    parts: &Parts,
    call: &Call,
    repository: &Repository,
    digest: &Digest,
) -> Answer {
    let blob = Route::ReadBlob(repository.clone(), digest.clone(), Part::Whole);
    Answer::new(StatusCode::CREATED)
        .header(LOCATION, &location(parts, call, &blob))
        .header(name::CONTENT_DIGEST, digest.as_str())
}

/// The upload goes on: where, and from which offset.
pub(super) fn under_way(
    status: StatusCode,
    (parts, call): (&Parts, &Call),
    repository: &Repository,
    (session, offset): (&Session, u64),
) -> Answer {
    let next = Route::AppendUpload(repository.clone(), session.clone());
    // There is no way to write an empty range; `0-0` is what the field sends for it.
    let last = offset.saturating_sub(1);
    Answer::new(status)
        .header(LOCATION, &location(parts, call, &next))
        .header(RANGE, &format!("0-{last}"))
        .header(name::UPLOAD_ID, session.as_str())
}
