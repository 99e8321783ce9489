//! Memory: repositories with their manifests, tags and blobs, as long as the process lives.
//!
//! The bytes of a blob are kept once, whichever repositories have it; whether a repository has it
//! is known for each repository on its own, so nobody reads a blob through a repository that it
//! was never pushed or mounted to.

mod repository;
mod uploads;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use corten_registry::wire::{Repository, Session, Target};
use corten_spec::{AnyDocument, Descriptor, Digest, MediaType, Tag};

use crate::access::Random;
use repository::Content;
use uploads::Uploads;
pub(crate) use uploads::{Upload, UploadError};

/// The content of a server. Each method is one atomic step.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
    random: Random,
}

#[derive(Default)]
struct State {
    blobs: HashMap<Digest, Bytes>,
    repositories: BTreeMap<Repository, Content>,
    uploads: Uploads,
}

/// Content that a manifest refers to and its repository does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the repository does not have {}", list(.0))]
pub struct MissingContent(pub Vec<Digest>);

fn list(digests: &[Digest]) -> String {
    digests.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ")
}

impl Memory {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The repositories, in order of their names.
    pub fn repositories(&self) -> Vec<Repository> {
        self.state().repositories.keys().cloned().collect()
    }

    /// The tags of a repository in order of their bytes; `None` when there is no such repository.
    pub fn tags(&self, name: &Repository) -> Option<Vec<Tag>> {
        self.state().repositories.get(name).map(|content| content.tags.keys().cloned().collect())
    }

    /// The digests of the manifests of a repository, in order.
    pub fn manifests(&self, name: &Repository) -> Vec<Digest> {
        let state = self.state();
        state.repositories.get(name).map(Content::digests).unwrap_or_default()
    }

    /// A manifest by tag or digest.
    pub fn manifest(&self, name: &Repository, target: &Target) -> Option<AnyDocument> {
        self.state().repositories.get(name)?.find(target).cloned()
    }

    /// The digests of the blobs of a repository, in order.
    pub fn blobs(&self, name: &Repository) -> Vec<Digest> {
        let state = self.state();
        let content = state.repositories.get(name);
        content.map(|content| content.blobs.iter().cloned().collect()).unwrap_or_default()
    }

    /// A blob of a repository.
    pub fn blob(&self, name: &Repository, digest: &Digest) -> Option<Bytes> {
        let state = self.state();
        let has = state.repositories.get(name)?.blobs.contains(digest);
        has.then(|| state.blobs.get(digest).cloned()).flatten()
    }

    /// The repositories that have a blob.
    pub fn holders(&self, digest: &Digest) -> Vec<Repository> {
        let state = self.state();
        let all = state.repositories.iter();
        let holders = all.filter(|(_, content)| content.blobs.contains(digest));
        holders.map(|(name, _)| name.clone()).collect()
    }

    /// Number of uploads under way.
    pub fn uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Stores a blob under a digest that the caller has made sure of.
    pub fn put_blob(&self, name: &Repository, digest: &Digest, bytes: Bytes) {
        let mut state = self.state();
        state.blobs.entry(digest.clone()).or_insert(bytes);
        state.content(name).blobs.insert(digest.clone());
    }

    /// Makes a blob of another repository one of this repository too; `false` when the other does
    /// not have it.
    pub fn mount(&self, name: &Repository, from: &Repository, digest: &Digest) -> bool {
        let mut state = self.state();
        let has = state.repositories.get(from).is_some_and(|c| c.blobs.contains(digest));
        if has {
            state.content(name).blobs.insert(digest.clone());
        }
        has
    }

    /// What a manifest refers to, but for its subject and for what is not to be distributed, and
    /// its repository does not have.
    pub fn missing(&self, name: &Repository, document: &AnyDocument) -> Result<(), MissingContent> {
        let state = self.state();
        let missing = match state.repositories.get(name) {
            Some(content) => content.missing(document),
            None => Content::default().missing(document),
        };
        if missing.is_empty() { Ok(()) } else { Err(MissingContent(missing)) }
    }

    /// Stores a manifest and points `tags` at it.
    pub fn put_manifest(&self, name: &Repository, document: &AnyDocument, tags: &[Tag]) {
        self.state().content(name).put(document, tags);
    }

    /// The manifests that refer to `subject`, as the referrers API lists them, in order of their
    /// digests.
    pub fn referrers(&self, name: &Repository, subject: &Digest) -> Vec<Descriptor> {
        let state = self.state();
        state.repositories.get(name).map(|content| content.referrers(subject)).unwrap_or_default()
    }

    /// Takes a tag away, or a manifest with all its tags; `false` when it was not there.
    pub fn delete_manifest(&self, name: &Repository, target: &Target) -> bool {
        self.state().repositories.get_mut(name).is_some_and(|content| content.delete(target))
    }

    /// Takes a blob out of a repository; `false` when it was not there. The bytes go with the last
    /// repository that has them.
    pub fn delete_blob(&self, name: &Repository, digest: &Digest) -> bool {
        let mut state = self.state();
        let content = state.repositories.get_mut(name);
        let had = content.is_some_and(|content| content.blobs.remove(digest));
        if had && !state.repositories.values().any(|content| content.blobs.contains(digest)) {
            state.blobs.remove(digest);
        }
        had
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step under the lock can panic half-way: they insert into and remove from maps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self) -> Session {
        let word = self.random.word();
        // The form of a UUID, which the specification asks for (Pushing a blob monolithically).
        let part = |range| word.get(range).unwrap_or_default();
        let text = [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-");
        // 36 hex digits and dashes are always a session.
        Session::parse(&text).unwrap_or_else(|| unreachable!("a word is 32 hex digits"))
    }
}

impl State {
    fn content(&mut self, name: &Repository) -> &mut Content {
        self.repositories.entry(name.clone()).or_default()
    }
}

/// The descriptor by which the referrers API lists a manifest (distribution-spec, Listing
/// Referrers).
fn referrer(document: &AnyDocument) -> Descriptor {
    let mut descriptor = document.descriptor().bare();
    match document {
        AnyDocument::Manifest(manifest) => {
            let value = manifest.value();
            let given = value.artifact_type.as_ref().filter(|kind| !kind.as_str().is_empty());
            descriptor.artifact_type = Some(given.unwrap_or(&value.config.media_type).clone());
            descriptor.annotations = value.annotations.clone();
        }
        AnyDocument::Index(index) => {
            let given = index.value().artifact_type.clone();
            descriptor.artifact_type = given.filter(|kind: &MediaType| !kind.as_str().is_empty());
            descriptor.annotations = index.value().annotations.clone();
        }
        AnyDocument::Other(_) => {}
    }
    descriptor
}

#[cfg(test)]
mod tests;
