//! An upload under way: chunks, status, the end, and giving up (end-5, end-6, end-13, end-14).

use std::sync::Arc;

use corten_registry::wire::{ErrorCode, Range, Repository, Session};
use corten_spec::Digest;
use http::StatusCode;
use http::header::CONTENT_RANGE;
use tokio::sync::Mutex;

use super::start::{created, under_way};
use crate::answer::Answer;
use crate::dispatch::Call;
use crate::failure::Failure;
use crate::memory::{Upload, UploadError};
use crate::received::Received;
use crate::server::Parts;

/// How far the upload is.
pub(crate) async fn status(
    parts: &Parts,
    call: &Call,
    repository: &Repository,
    session: &Session,
) -> Result<Answer, Failure> {
    let upload = find(parts, repository, session)?;
    let offset = upload.lock().await.offset();
    Ok(under_way(StatusCode::NO_CONTENT, (parts, call), repository, (session, offset)))
}

/// Takes a chunk. What came before a cut connection is kept: the status tells how much it was.
pub(crate) async fn append(
    parts: &Parts,
    (call, mut body): (&Call, Received),
    repository: &Repository,
    session: &Session,
) -> Result<Answer, Failure> {
    let upload = find(parts, repository, session)?;
    let mut upload = upload.lock().await;
    take(&mut upload, call, &mut body).await?;
    let offset = upload.offset();
    Ok(under_way(StatusCode::ACCEPTED, (parts, call), repository, (session, offset)))
}

/// Takes the last chunk, if there is one, and makes the bytes a blob.
pub(crate) async fn commit(
    parts: &Parts,
    (call, mut body): (&Call, Received),
    repository: &Repository,
    (session, digest): (&Session, &Digest),
) -> Result<Answer, Failure> {
    let upload = find(parts, repository, session)?;
    let mut upload = upload.lock().await;
    take(&mut upload, call, &mut body).await?;
    // Right or wrong, the session ends here: bytes that are not those of the digest are dropped.
    parts.memory.end_upload(session);
    let blob = upload.finish(digest).map_err(|error| refused(error, digest))?;
    parts.memory.put_blob(repository, &blob.digest, blob.bytes);
    Ok(created(parts, call, repository, digest))
}

/// Drops an upload.
pub(crate) fn cancel(
    parts: &Parts,
    repository: &Repository,
    session: &Session,
) -> Result<Answer, Failure> {
    find(parts, repository, session)?;
    parts.memory.end_upload(session);
    Ok(Answer::new(StatusCode::NO_CONTENT))
}

fn find(
    parts: &Parts,
    repository: &Repository,
    session: &Session,
) -> Result<Arc<Mutex<Upload>>, Failure> {
    let unknown = || Failure::new(ErrorCode::BlobUploadUnknown, "there is no such upload");
    parts.memory.find_upload(repository, session).ok_or_else(unknown)
}

/// Takes the body as the next bytes; where `Content-Range` says which they are, they must be.
async fn take(upload: &mut Upload, call: &Call, body: &mut Received) -> Result<(), Failure> {
    let range = match call.headers.get(CONTENT_RANGE) {
        None => None,
        Some(value) => {
            let range = value.to_str().ok().and_then(Range::parse);
            let malformed = || out_of_order("Content-Range must read first-last");
            Some(range.ok_or_else(malformed)?)
        }
    };
    if let Some(range) = range {
        check(range, upload.offset(), body.announced())?;
    }
    let start = upload.mark();
    let (begin, length) = (upload.offset(), range.map(Range::len));
    upload.expect(body.announced());
    while let Some(bytes) = body.next().await? {
        upload.append(&bytes).map_err(|error| refused_size(&error))?;
        if length.is_some_and(|length| upload.offset() - begin > length) {
            break;
        }
    }
    if length.is_some_and(|length| upload.offset() - begin != length) {
        upload.return_to(start);
        return Err(wrong_length());
    }
    Ok(())
}

fn check(range: Range, offset: u64, announced: Option<u64>) -> Result<(), Failure> {
    if range.first() != offset {
        return Err(out_of_order(&format!("the next byte is {offset}")));
    }
    if announced.is_some_and(|length| length != range.len()) {
        return Err(wrong_length());
    }
    Ok(())
}

fn out_of_order(message: &str) -> Failure {
    Failure::new(ErrorCode::BlobUploadInvalid, message).status(StatusCode::RANGE_NOT_SATISFIABLE)
}

fn wrong_length() -> Failure {
    Failure::new(ErrorCode::SizeInvalid, "the chunk does not have the length of its range")
}

fn refused_size(error: &UploadError) -> Failure {
    let failure = Failure::new(ErrorCode::SizeInvalid, error.to_string());
    failure.status(StatusCode::PAYLOAD_TOO_LARGE)
}

/// What the outside is told of an upload that does not become the blob `digest`.
pub(super) fn refused(error: UploadError, digest: &Digest) -> Failure {
    match &error {
        UploadError::TooLarge(_) => refused_size(&error),
        UploadError::Digest(_) => {
            Failure::new(ErrorCode::DigestInvalid, format!("{error}, not {digest}"))
        }
        UploadError::Algorithm(_) => Failure::new(ErrorCode::DigestInvalid, error.to_string()),
    }
}
