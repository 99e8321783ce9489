//! What an archive that is being written holds, and what waits for its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use corten_spec::{AnyDocument, Descriptor, Digest, RefName, annotation};

use crate::StoreError;
use crate::catalog::{IndexEntry, entry_of, sniff};
use crate::walk::{MAX_GRAPH_BYTES, describe_referrer};

/// Blobs by where they were written, documents in whole.
#[derive(Default)]
pub(super) struct Listing {
    /// Offset and size of the content of each blob.
    pub(super) blobs: HashMap<Digest, (u64, u64)>,
    pub(super) documents: BTreeMap<Digest, AnyDocument>,
    document_bytes: u64,
    pub(super) names: BTreeMap<RefName, Digest>,
    unnamed: BTreeSet<Digest>,
}

impl Listing {
    /// Documents are kept until the end; together they may be as large as one copy carries.
    pub(super) fn add(&mut self, place: &str, document: &AnyDocument) -> Result<(), StoreError> {
        let digest = document.descriptor().digest.clone();
        if self.documents.contains_key(&digest) {
            return Ok(());
        }
        let bytes = self.document_bytes + document.bytes().len() as u64;
        if bytes > MAX_GRAPH_BYTES {
            return Err(StoreError::TooLarge {
                object: digest.to_string(),
                place: place.to_owned(),
                what: "all documents of one archive",
                limit: MAX_GRAPH_BYTES,
            });
        }
        // A type that does not stand inside stands in an entry; a referrer is found by one.
        let tells_type =
            sniff(document.bytes()).as_ref() == Some(&document.descriptor().media_type);
        if !tells_type || document.subject().is_some() {
            self.unnamed.insert(digest.clone());
        }
        self.document_bytes = bytes;
        self.documents.insert(digest, document.clone());
        Ok(())
    }

    pub(super) fn enter(
        &mut self,
        place: &str,
        name: Option<&RefName>,
        document: &AnyDocument,
    ) -> Result<(), StoreError> {
        let digest = document.descriptor().digest.clone();
        if !self.documents.contains_key(&digest) {
            let (object, place) = (digest.to_string(), place.to_owned());
            return Err(StoreError::NotFound { object, place });
        }
        match name {
            Some(name) => drop(self.names.insert(name.clone(), digest)),
            None => drop(self.unnamed.insert(digest)),
        }
        Ok(())
    }

    pub(super) fn referrers(&self, subject: &Digest) -> Vec<Descriptor> {
        let refers = |document: &&AnyDocument| {
            document.subject().is_some_and(|found| found.digest == *subject)
        };
        self.documents.values().filter(refers).map(describe_referrer).collect()
    }

    /// The entries of `index.json`: names in order, then what has none.
    pub(super) fn entries(&self) -> Vec<IndexEntry> {
        let mut entries = Vec::new();
        for (name, digest) in &self.names {
            let Some(mut descriptor) = self.entry(digest) else { continue };
            let text = name.as_str().to_owned();
            descriptor.annotations.insert(annotation::REF_NAME.to_owned(), text);
            entries.push(IndexEntry { descriptor, name: Some(name.clone()) });
        }
        let named: BTreeSet<&Digest> = self.names.values().collect();
        let unnamed = self.unnamed.iter().filter(|digest| !named.contains(digest));
        entries.extend(
            unnamed.filter_map(|d| Some(IndexEntry { descriptor: self.entry(d)?, name: None })),
        );
        entries
    }

    fn entry(&self, digest: &Digest) -> Option<Descriptor> {
        self.documents.get(digest).map(entry_of)
    }
}
