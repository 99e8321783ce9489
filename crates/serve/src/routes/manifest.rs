//! Manifests: reading, pushing, deleting (end-3, end-7a, end-7b, end-9).

use bytes::Bytes;
use corten_registry::wire::{ErrorCode, Part, Reason, Refused, Repository, Route, Target};
use corten_spec::{AnyDocument, Descriptor, Digest, DocumentError, MediaType, Tag};
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION, WARNING};
use http::{HeaderName, StatusCode};
use serde::Deserialize;

use super::location;
use crate::answer::{Answer, name};
use crate::dispatch::Call;
use crate::failure::Failure;
use crate::received::{Received, text};
use crate::server::Parts;

/// Most bytes of warnings in one answer (distribution-spec, Warnings).
const MAX_WARNING: usize = 4096;

/// A manifest, or its headers.
pub(crate) fn read(
    parts: &Parts,
    call: &Call,
    repository: &Repository,
    target: &Target,
    part: Part,
) -> Result<Answer, Failure> {
    let found = parts.memory.manifest(repository, target);
    let document = found.ok_or_else(|| unknown(parts, repository, target))?;
    let descriptor = document.descriptor();
    let (digest, media_type) = (descriptor.digest.as_str(), descriptor.media_type.as_str());
    let answer = if matches(call, IF_NONE_MATCH, Some(&descriptor.digest)) == Some(true) {
        Answer::new(StatusCode::NOT_MODIFIED)
    } else if part == Part::Head {
        Answer::without_body(StatusCode::OK, media_type, descriptor.size)
    } else {
        Answer::with_body(StatusCode::OK, media_type, document.bytes().clone())
    };
    let answer = answer.header(name::CONTENT_DIGEST, digest).header(ETAG, &format!("\"{digest}\""));
    Ok(warned(parts, answer))
}

/// Stores a manifest byte for byte and names it.
pub(crate) async fn write(
    parts: &Parts,
    (call, mut body): (&Call, Received),
    repository: &Repository,
    target: &Target,
    tags: Vec<Tag>,
) -> Result<Answer, Failure> {
    let bytes = body.whole("the manifest", parts.options.limits.manifest).await?;
    let document = parse(call, target, bytes)?;
    if !parts.options.sparse.is_on()
        && let Err(missing) = parts.memory.missing(repository, &document)
    {
        return Err(absent(&missing.0));
    }
    parts.gate.admit(repository, &document).await.map_err(Failure::of)?;
    unchanged(parts, call, repository, target)?;
    let tags = match target {
        Target::Tag(tag) => vec![tag.clone()],
        Target::Digest(_) => tags,
    };
    parts.memory.put_manifest(repository, &document, &tags);
    let digest = &document.descriptor().digest;
    let place = Target::Digest(digest.clone());
    let place = Route::ReadManifest(repository.clone(), place, Part::Whole);
    let mut answer = Answer::new(StatusCode::CREATED)
        .header(LOCATION, &location(parts, call, &place))
        .header(name::CONTENT_DIGEST, digest.as_str());
    if parts.options.referrers.is_on()
        && let Some(subject) = document.subject()
    {
        answer = answer.header(name::SUBJECT, subject.digest.as_str());
    }
    for tag in &tags {
        answer = answer.header(name::TAG, tag.as_str());
    }
    Ok(warned(parts, answer))
}

/// Takes away a tag, or a manifest with its tags.
pub(crate) fn delete(
    parts: &Parts,
    repository: &Repository,
    target: &Target,
) -> Result<Answer, Failure> {
    if !parts.options.deletion.is_on() {
        return Err(Failure::unsupported("deletion"));
    }
    if !parts.memory.delete_manifest(repository, target) {
        return Err(unknown(parts, repository, target));
    }
    Ok(Answer::new(StatusCode::ACCEPTED))
}

fn unknown(parts: &Parts, repository: &Repository, target: &Target) -> Failure {
    if parts.memory.tags(repository).is_none() {
        return Failure::new(ErrorCode::NameUnknown, format!("no repository {repository} here"));
    }
    Failure::new(ErrorCode::ManifestUnknown, format!("no manifest {target} in {repository}"))
}

/// Checks and parses what was pushed, by the type the request gives it.
fn parse(call: &Call, target: &Target, bytes: Bytes) -> Result<AnyDocument, Failure> {
    let invalid = |message: String| Failure::new(ErrorCode::ManifestInvalid, message);
    let media_type = media_type(call, &bytes)
        .ok_or_else(|| invalid("neither Content-Type nor mediaType says what it is".to_owned()))?;
    let size = bytes.len() as u64;
    let descriptor = match target {
        Target::Tag(_) => Descriptor::of(media_type, &bytes),
        Target::Digest(digest) => Descriptor::new(media_type, digest.clone(), size),
    };
    let document = AnyDocument::parse(&descriptor, bytes).map_err(|error| match error {
        DocumentError::Algorithm(_) | DocumentError::Mismatch(_) => {
            Failure::new(ErrorCode::DigestInvalid, error.to_string())
        }
        DocumentError::Json { ref source, .. } => invalid(format!("{error}: {source}")),
        _ => invalid(error.to_string()),
    })?;
    if matches!(document, AnyDocument::Other(_)) && !is_object(document.bytes()) {
        return Err(invalid("a manifest must be a JSON object".to_owned()));
    }
    Ok(document)
}

/// The type in the `Content-Type` header without parameters, else the one inside.
fn media_type(call: &Call, bytes: &[u8]) -> Option<MediaType> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "mediaType")]
        media_type: MediaType,
    }
    let given = text(&call.headers, CONTENT_TYPE);
    let given = given.and_then(|given| given.split(';').next()).map(str::trim);
    match given.filter(|given| !given.is_empty()) {
        Some(given) => Some(MediaType::new(given)).filter(MediaType::is_well_formed),
        None => serde_json::from_slice(bytes).ok().map(|typed: Typed| typed.media_type),
    }
}

fn is_object(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Anything {}
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    first == Some(&b'{') && serde_json::from_slice::<Anything>(bytes).is_ok()
}

fn absent(missing: &[Digest]) -> Failure {
    let reason = |digest: &Digest| Reason {
        code: ErrorCode::ManifestBlobUnknown,
        message: format!("{digest} is not in this repository"),
        detail: Some(serde_json::json!({ "digest": digest.as_str() })),
    };
    Failure::of(Refused { reasons: missing.iter().map(reason).collect() })
}

/// `If-Match` and `If-None-Match` of a push, against what the target is now (RFC 9110 section
/// 13.1): two clients that change one tag in turn do not lose each other's change.
fn unchanged(
    parts: &Parts,
    call: &Call,
    repository: &Repository,
    target: &Target,
) -> Result<(), Failure> {
    let now = parts.memory.manifest(repository, target);
    let now = now.as_ref().map(|document| &document.descriptor().digest);
    let lost = matches(call, IF_MATCH, now) == Some(false)
        || matches(call, IF_NONE_MATCH, now) == Some(true);
    if lost {
        let failure = Failure::new(ErrorCode::ManifestInvalid, format!("{target} has changed"));
        return Err(failure.status(StatusCode::PRECONDITION_FAILED));
    }
    Ok(())
}

/// Whether one of the entity tags of a header is that of `digest`; `None` without the header.
fn matches(call: &Call, header: HeaderName, digest: Option<&Digest>) -> Option<bool> {
    let given = text(&call.headers, header)?;
    let is_it = |tag: &str, digest: &Digest| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == digest.as_str()
    };
    Some(digest.is_some_and(|digest| given.split(',').any(|tag| is_it(tag, digest))))
}

fn warned(parts: &Parts, answer: Answer) -> Answer {
    let Some(warning) = &parts.options.warning else {
        return answer;
    };
    let shown = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let plain = warning.chars().filter(|c| shown(c) && *c != '"' && *c != '\\');
    let text: String = plain.take(MAX_WARNING - "299 - \"\"".len()).collect();
    answer.header(WARNING, &format!("299 - \"{text}\""))
}
