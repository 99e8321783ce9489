//! Lists: repositories, tags, referrers, each in pages (end-8a, end-8b, end-12a, end-12b).

use bytes::Bytes;
use corten_registry::wire::{ErrorCode, Link, Page, Repository, Route};
use corten_spec::{Descriptor, Digest, Index, MediaType};
use http::StatusCode;
use http::header::LINK;
use serde_json::json;

use super::JSON;
use crate::answer::{Answer, name};
use crate::failure::Failure;
use crate::server::Parts;

/// Most bytes of one page of referrers: a client must be able to read it as a manifest.
const MAX_REFERRERS: usize = 4 * 1024 * 1024;

/// The repositories.
pub(crate) fn catalog(parts: &Parts, page: &Page) -> Result<Answer, Failure> {
    if !parts.options.catalog.is_on() {
        return Err(Failure::unsupported("the catalog").status(StatusCode::NOT_FOUND));
    }
    let names = parts.memory.repositories().iter().map(Repository::to_string).collect();
    let (names, next) = cut(parts, page, names);
    let body = json!({ "repositories": names }).to_string();
    Ok(linked(Answer::with_body(StatusCode::OK, JSON, body.into()), next.map(Route::Catalog)))
}

/// The tags of a repository, in order of their bytes.
pub(crate) fn tags(parts: &Parts, repository: &Repository, page: &Page) -> Result<Answer, Failure> {
    let Some(tags) = parts.memory.tags(repository) else {
        let message = format!("no repository {repository} here");
        return Err(Failure::new(ErrorCode::NameUnknown, message));
    };
    let tags = tags.iter().map(|tag| tag.as_str().to_owned()).collect();
    let (tags, next) = cut(parts, page, tags);
    let body = json!({ "name": repository.as_str(), "tags": tags }).to_string();
    let next = next.map(|page| Route::Tags(repository.clone(), page));
    Ok(linked(Answer::with_body(StatusCode::OK, JSON, body.into()), next))
}

/// The page of a sorted list, and the one after it where more is there.
fn cut(parts: &Parts, page: &Page, mut all: Vec<String>) -> (Vec<String>, Option<Page>) {
    if let Some(after) = &page.after {
        all.retain(|entry| entry > after);
    }
    let limit = page_size(parts, page);
    let more = all.len() > limit;
    all.truncate(limit);
    // Without an entry there is nothing to go on after: `n=0` has no next page.
    let after = all.last().cloned().filter(|_| more);
    let next = after.map(|after| Page { limit: page.limit, after: Some(after) });
    (all, next)
}

fn page_size(parts: &Parts, page: &Page) -> usize {
    let asked = page.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    asked.min(parts.options.limits.page)
}

/// The manifests that refer to `subject`. A repository that is not there has none.
pub(crate) fn referrers(
    parts: &Parts,
    repository: &Repository,
    subject: &Digest,
    (kind, page): (Option<&MediaType>, &Page),
) -> Result<Answer, Failure> {
    if !parts.options.referrers.is_on() {
        return Err(Failure::unsupported("the referrers API").status(StatusCode::NOT_FOUND));
    }
    let mut all = parts.memory.referrers(repository, subject);
    all.retain(|descriptor| kind.is_none() || descriptor.artifact_type.as_ref() == kind);
    if let Some(after) = &page.after {
        all.retain(|descriptor| descriptor.digest.as_str() > after.as_str());
    }
    let count = fitting(&all, page_size(parts, page))?;
    let more = all.len() > count;
    all.truncate(count);
    let after = all.last().map(|last| last.digest.to_string()).filter(|_| more);
    let next = after.map(|after| {
        let page = Page { limit: page.limit, after: Some(after) };
        Route::Referrers(repository.clone(), subject.clone(), kind.cloned(), page)
    });
    let body = serde_json::to_vec(&Index::new(all)).map_err(|_| unwritable())?;
    let media_type = MediaType::OCI_INDEX;
    let answer = Answer::with_body(StatusCode::OK, media_type.as_str(), Bytes::from(body));
    let answer = linked(answer, next);
    Ok(if kind.is_some() { answer.header(name::FILTERS, "artifactType") } else { answer })
}

/// How many of the first `limit` descriptors fit into one page; one always does.
fn fitting(all: &[Descriptor], limit: usize) -> Result<usize, Failure> {
    let mut size = 0_usize;
    for (count, descriptor) in all.iter().take(limit).enumerate() {
        let written = serde_json::to_vec(descriptor).map_err(|_| unwritable())?;
        size = size.saturating_add(written.len());
        if size > MAX_REFERRERS && count > 0 {
            return Ok(count);
        }
    }
    Ok(all.len().min(limit))
}

fn unwritable() -> Failure {
    Failure::new(ErrorCode::Unknown, "the list cannot be written")
}

fn linked(answer: Answer, next: Option<Route>) -> Answer {
    match next {
        Some(route) => answer.header(LINK, &Link::next(route.to_path()).to_string()),
        None => answer,
    }
}
