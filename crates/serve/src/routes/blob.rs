//! Blobs: reading, whole or in part, and deleting (end-2, end-10).

use corten_registry::wire::{ErrorCode, Part, Repository, Served, Wanted};
use corten_spec::Digest;
use http::StatusCode;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};

use crate::answer::{Answer, name};
use crate::dispatch::Call;
use crate::failure::Failure;
use crate::received::text;
use crate::server::Parts;

const OCTETS: &str = "application/octet-stream";

/// A blob, or its headers.
pub(crate) fn read(
    parts: &Parts,
    call: &Call,
    repository: &Repository,
    digest: &Digest,
    part: Part,
) -> Result<Answer, Failure> {
    let unknown = || Failure::new(ErrorCode::BlobUnknown, format!("no blob {digest} here"));
    let blob = parts.memory.blob(repository, digest).ok_or_else(unknown)?;
    let (size, tag) = (blob.len() as u64, format!("\"{digest}\""));
    let named = |answer: Answer| {
        let answer = answer.header(name::CONTENT_DIGEST, digest.as_str()).header(ETAG, &tag);
        answer.header(ACCEPT_RANGES, "bytes")
    };
    if part == Part::Head {
        return Ok(named(Answer::without_body(StatusCode::OK, OCTETS, size)));
    }
    // RFC 9110 section 13.1.5: a range of something else than this is no range.
    let same = text(&call.headers, IF_RANGE).is_none_or(|given| given == tag);
    let wanted = text(&call.headers, RANGE).filter(|_| same).and_then(Wanted::parse);
    let Some(wanted) = wanted else {
        return Ok(named(Answer::with_body(StatusCode::OK, OCTETS, blob)));
    };
    let served = |range| Served { range, total: Some(size) }.to_string();
    let Some(range) = wanted.within(size) else {
        let failure = Failure::new(ErrorCode::RangeInvalid, format!("{digest} has {size} bytes"));
        return Err(failure.header(CONTENT_RANGE, served(None)));
    };
    // `within` gives ranges that end inside the blob, whose length is a usize.
    let bounds = usize::try_from(range.first()).ok().zip(usize::try_from(range.end()).ok());
    let bytes = bounds.map(|(first, end)| blob.slice(first..end)).unwrap_or_default();
    let answer = Answer::with_body(StatusCode::PARTIAL_CONTENT, OCTETS, bytes);
    Ok(named(answer).header(CONTENT_RANGE, &served(Some(range))))
}

/// Takes a blob out of its repository.
pub(crate) fn delete(
    parts: &Parts,
    repository: &Repository,
    digest: &Digest,
) -> Result<Answer, Failure> {
    if !parts.options.deletion.is_on() {
        return Err(Failure::unsupported("deletion"));
    }
    if !parts.memory.delete_blob(repository, digest) {
        return Err(Failure::new(ErrorCode::BlobUnknown, format!("no blob {digest} here")));
    }
    Ok(Answer::new(StatusCode::ACCEPTED))
}
