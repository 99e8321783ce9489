//! The content of one repository.

use std::collections::{BTreeMap, BTreeSet};

use corten_registry::wire::Target;
use corten_spec::{AnyDocument, Descriptor, Digest, Tag};

use super::referrer;

/// Manifests, tags, and which blobs the repository has.
#[derive(Default)]
pub(super) struct Content {
    manifests: BTreeMap<Digest, AnyDocument>,
    pub(super) tags: BTreeMap<Tag, Digest>,
    pub(super) blobs: BTreeSet<Digest>,
    /// By subject, then by referrer.
    referrers: BTreeMap<Digest, BTreeMap<Digest, Descriptor>>,
}

impl Content {
    pub(super) fn digests(&self) -> Vec<Digest> {
        self.manifests.keys().cloned().collect()
    }

    pub(super) fn find(&self, target: &Target) -> Option<&AnyDocument> {
        match target {
            Target::Tag(tag) => self.manifests.get(self.tags.get(tag)?),
            Target::Digest(digest) => self.manifests.get(digest),
        }
    }

    pub(super) fn put(&mut self, document: &AnyDocument, tags: &[Tag]) {
        let digest = &document.descriptor().digest;
        // Pushed again under another type, it may have another subject, or none.
        self.forget_referrer(digest);
        if let Some(subject) = document.subject() {
            let listed = self.referrers.entry(subject.digest.clone()).or_default();
            listed.insert(digest.clone(), referrer(document));
        }
        self.manifests.insert(digest.clone(), document.clone());
        self.tags.extend(tags.iter().map(|tag| (tag.clone(), digest.clone())));
    }

    pub(super) fn referrers(&self, subject: &Digest) -> Vec<Descriptor> {
        self.referrers.get(subject).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    pub(super) fn delete(&mut self, target: &Target) -> bool {
        let digest = match target {
            Target::Tag(tag) => return self.tags.remove(tag).is_some(),
            Target::Digest(digest) => digest,
        };
        self.forget_referrer(digest);
        self.tags.retain(|_, tagged| tagged != digest);
        self.manifests.remove(digest).is_some()
    }

    fn forget_referrer(&mut self, digest: &Digest) {
        let Some(subject) = self.manifests.get(digest).and_then(AnyDocument::subject) else {
            return;
        };
        if let Some(listed) = self.referrers.get_mut(&subject.digest) {
            listed.remove(digest);
        }
    }

    pub(super) fn missing(&self, document: &AnyDocument) -> Vec<Digest> {
        let has_blob = |descriptor: &Descriptor| {
            descriptor.media_type.is_non_distributable() || self.blobs.contains(&descriptor.digest)
        };
        let has_child = |descriptor: &Descriptor| {
            let known = descriptor.media_type.is_manifest() || descriptor.media_type.is_index();
            self.manifests.contains_key(&descriptor.digest) || (!known && has_blob(descriptor))
        };
        let absent: Vec<&Descriptor> = match document {
            AnyDocument::Manifest(manifest) => {
                let value = manifest.value();
                let all = std::iter::once(&value.config).chain(&value.layers);
                all.filter(|descriptor| !has_blob(descriptor)).collect()
            }
            AnyDocument::Index(index) => {
                let all = index.value().manifests.iter();
                all.filter(|descriptor| !has_child(descriptor)).collect()
            }
            AnyDocument::Other(_) => Vec::new(),
        };
        absent.into_iter().map(|descriptor| descriptor.digest.clone()).collect()
    }
}
