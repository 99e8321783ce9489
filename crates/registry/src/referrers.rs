//! Referrers: by the API where there is one, else by the list kept under a tag (distribution-spec,
//! Listing Referrers, Referrers Tag Schema).

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use corten_spec::{AnyDocument, Descriptor, Digest, Document, Index, MediaType, Tag};
use corten_store::{Referrers, StoreError, describe_referrer};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use crate::exchange::{malformed, media_type};
use crate::lists::{MAX_PAGE, Pages};
use crate::manifests::Read;
use crate::scopes::Scopes;
use crate::wire::{Page, Route, Target};
use crate::{Registry, cause};

/// Most referrers taken for one subject.
const MAX_REFERRERS: usize = 100_000;

/// Times the list under a tag is written anew because somebody else wrote it in between.
const MAX_WRITES: usize = 6;

#[async_trait]
impl Referrers for Registry {
    async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let listed = match self.lacks_referrers() {
            true => None,
            false => self.ask_referrers(subject, artifact_type).await?,
        };
        let mut listed = match listed {
            Some(listed) => listed,
            None => {
                self.lacks_referrers.store(true, Ordering::Relaxed);
                self.tagged_referrers(subject).await?.1
            }
        };
        // A registry may filter, and need not.
        listed.retain(|one| {
            artifact_type.is_none_or(|kind| one.artifact_type.as_ref() == Some(kind))
        });
        Ok(listed)
    }
}

impl Registry {
    /// What the API lists; `None` where there is no API.
    async fn ask_referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Option<Vec<Descriptor>>, StoreError> {
        let about = self.remote.about("pull", format!("the referrers of {subject}"));
        let repository = self.remote.repository.clone();
        let kind = artifact_type.cloned();
        let route = Route::Referrers(repository, subject.clone(), kind, Page::default());
        let mut ask = self.remote.ask(&route, about.clone()).await?;
        let accept = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");
        ask.headers.insert(ACCEPT, accept);
        let scopes = Scopes::pull(&self.remote.repository);
        let (mut listed, mut pages) = (Vec::new(), Pages::default());
        loop {
            let answer = self.remote.send(&ask, &scopes).await?;
            // 404 is what the specification names; older registries say it in other ways.
            if matches!(answer.status().as_u16(), 400 | 404 | 405 | 406 | 501) {
                return Ok(None);
            }
            let answer = answer.success().await?;
            if media_type(&answer).as_deref() != Some(MediaType::OCI_INDEX.as_str()) {
                return Ok(None);
            }
            let next = pages.next(&self.remote, &answer).await?;
            let bytes = answer.body("a page of referrers", MAX_PAGE).await?;
            let page: Index = serde_json::from_slice(&bytes)
                .map_err(|source| malformed(&about, source.into()))?;
            listed.extend(page.manifests);
            if listed.len() > MAX_REFERRERS {
                let said = format!("more than {MAX_REFERRERS} referrers");
                return Err(malformed(&about, cause(said)));
            }
            match next {
                Some(url) => ask.url = url,
                None => return Ok(Some(listed)),
            }
        }
    }

    /// The list under the referrers tag of `subject`, with the document it stands in.
    async fn tagged_referrers(
        &self,
        subject: &Digest,
    ) -> Result<(Option<Read>, Vec<Descriptor>), StoreError> {
        let tag = Tag::of_referrers(subject);
        match self.read_manifest(Target::Tag(tag.clone())).await {
            Ok(read) => {
                let AnyDocument::Index(index) = &read.document else {
                    let about = self.remote.about("pull", format!("the referrers tag {tag}"));
                    return Err(malformed(&about, cause("it names something else than an index")));
                };
                let listed = index.value().manifests.clone();
                Ok((Some(read), listed))
            }
            Err(StoreError::NotFound { .. }) => Ok((None, Vec::new())),
            Err(error) => Err(error),
        }
    }

    /// Puts `document` on the list of the referrers of `subject`, unless it stands there. The
    /// write is made to depend on the list that was read, and is checked by reading it again: a
    /// registry may know no conditions.
    pub(crate) async fn list_referrer(
        &self,
        subject: &Digest,
        document: &AnyDocument,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.remote.connection.referrers_tags.lock().await;
        let entry = describe_referrer(document);
        let target = || Target::Tag(Tag::of_referrers(subject));
        for _ in 0..MAX_WRITES {
            let (read, mut listed) = self.tagged_referrers(subject).await?;
            if listed.iter().any(|one| one.digest == entry.digest) {
                return Ok(());
            }
            listed.push(entry.clone());
            let list = Document::write(MediaType::OCI_INDEX, Index::new(listed));
            let about = self.remote.about("push", format!("the referrers of {subject}"));
            let list = list.map_err(|source| malformed(&about, source.into()))?;
            let list = AnyDocument::Index(list);
            let answer = self.write_manifest(target(), &list, unchanged(read.as_ref())).await?;
            // 409 and 412: somebody else was faster.
            if !matches!(answer.status().as_u16(), 409 | 412) {
                answer.success().await?;
            }
        }
        Err(StoreError::Refused {
            object: format!("the list of the referrers of {subject}"),
            place: self.remote.location.to_string(),
            source: cause(format!("others wrote it at the same time, {MAX_WRITES} times")),
        })
    }
}

/// Headers that let a write succeed only where the list is still the one that was read.
fn unchanged(read: Option<&Read>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    match read {
        Some(Read { etag: Some(etag), .. }) => {
            headers.insert(IF_MATCH, etag.clone());
        }
        Some(_) => {}
        None => {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
    }
    headers
}
