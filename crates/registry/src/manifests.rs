//! Manifests: resolving, reading, pushing and naming them (distribution-spec, Pulling manifests,
//! Pushing manifests, Deleting tags).

use async_trait::async_trait;
use bytes::Bytes;
use corten_spec::{AnyDocument, Descriptor, Digest, MAX_DOCUMENT, MediaType, RefName};
use corten_store::{Pusher, Resolved, Resolver, Selector, StoreError, Tagger};
use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue};

use crate::answer::{About, Answer};
use crate::exchange::{malformed, media_type};
use crate::scopes::Scopes;
use crate::wire::{Part, Route, Target};
use crate::{Registry, cause};

/// Every type a manifest may have; registries give another one, or none, to who does not ask.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.artifact.manifest.v1+json, \
     application/json;q=0.5";

/// Digest of the content of an answer.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Tells that a registry has taken note of the subject of a manifest.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// The `Accept` for manifests, with `wanted` first where its type is none of the usual.
pub(crate) fn accept(wanted: Option<&MediaType>) -> HeaderValue {
    let usual = HeaderValue::from_static(MANIFEST_TYPES);
    match wanted {
        Some(kind) if !MANIFEST_TYPES.contains(kind.as_str()) && kind.is_well_formed() => {
            HeaderValue::try_from(format!("{kind}, {MANIFEST_TYPES}")).unwrap_or(usual)
        }
        _ => usual,
    }
}

/// A manifest as it was read, with what a conditional write of its tag needs.
pub(crate) struct Read {
    pub(crate) document: AnyDocument,
    pub(crate) etag: Option<HeaderValue>,
}

/// What a target is called in errors; a digest says itself what it is.
fn called(target: &Target) -> String {
    match target {
        Target::Tag(tag) => format!("tag {tag}"),
        Target::Digest(digest) => digest.to_string(),
    }
}

impl Registry {
    /// Reads the manifest that `target` names, verified.
    pub(crate) async fn read_manifest(&self, target: Target) -> Result<Read, StoreError> {
        let about = self.remote.about("pull", called(&target));
        let route =
            Route::ReadManifest(self.remote.repository.clone(), target.clone(), Part::Whole);
        let mut ask = self.remote.ask(&route, about.clone()).await?;
        ask.headers.insert(ACCEPT, accept(None));
        let scopes = Scopes::pull(&self.remote.repository);
        let answer = self.remote.send(&ask, &scopes).await?.success().await?;
        let announced = content_digest(&answer);
        let etag = answer.headers().get(ETAG).cloned();
        let kind = media_type(&answer);
        let bytes = answer.body("a manifest", MAX_DOCUMENT).await?;
        let kind = kind_of(kind, &bytes).map_err(|why| malformed(&about, cause(why)))?;
        let digest = match (target, announced) {
            (Target::Digest(digest), announced) => {
                check_announced(&about, announced.as_ref(), &digest, &bytes)?;
                digest
            }
            (Target::Tag(_), Some(announced)) if announced.algorithm().is_ok() => announced,
            (Target::Tag(_), _) => Digest::sha256(&bytes),
        };
        let descriptor = Descriptor::new(kind, digest, bytes.len() as u64);
        let document = AnyDocument::parse(&descriptor, bytes)
            .map_err(|source| corrupt(&about, source.into()))?;
        Ok(Read { document, etag })
    }

    /// Writes `document` under `target`; `condition` are headers that make the write depend on
    /// what is there.
    pub(crate) async fn write_manifest(
        &self,
        target: Target,
        document: &AnyDocument,
        condition: HeaderMap,
    ) -> Result<Answer, StoreError> {
        let about = self.remote.about("push", called(&target));
        let route = Route::WriteManifest(self.remote.repository.clone(), target, Vec::new());
        let mut ask = self.remote.ask(&route, about.clone()).await?;
        let descriptor = document.descriptor();
        let kind = HeaderValue::try_from(descriptor.media_type.as_str())
            .map_err(|source| malformed(&about, source.into()))?;
        ask.headers = condition;
        ask.headers.insert(CONTENT_TYPE, kind);
        ask.body = document.bytes().clone();
        let answer = self.remote.send(&ask, &Scopes::push(&self.remote.repository)).await?;
        if answer.status().is_success() {
            let announced = content_digest(&answer);
            check_announced(&about, announced.as_ref(), &descriptor.digest, document.bytes())?;
        }
        Ok(answer)
    }

    /// The descriptor that the headers of a manifest give, where they give a whole one.
    async fn head_manifest(&self, target: Target) -> Result<Option<Descriptor>, StoreError> {
        let about = self.remote.about("pull", called(&target));
        let route = Route::ReadManifest(self.remote.repository.clone(), target, Part::Head);
        let mut ask = self.remote.ask(&route, about.clone()).await?;
        ask.headers.insert(ACCEPT, accept(None));
        let answer = self.remote.send(&ask, &Scopes::pull(&self.remote.repository)).await?;
        if matches!(answer.status().as_u16(), 400 | 405 | 501) {
            return Ok(None);
        }
        let answer = answer.success().await?;
        let digest = content_digest(&answer).filter(|digest| digest.algorithm().is_ok());
        let kind = media_type(&answer).map(MediaType::new);
        let kind = kind.filter(|kind| kind.is_manifest() || kind.is_index());
        let (Some(digest), Some(kind), Some(size)) = (digest, kind, answer.length()) else {
            return Ok(None);
        };
        if size > MAX_DOCUMENT {
            let About { object, place, .. } = about;
            return Err(StoreError::TooLarge {
                object,
                place,
                what: "a manifest",
                limit: MAX_DOCUMENT,
            });
        }
        Ok((size > 0).then(|| Descriptor::new(kind, digest, size)))
    }
}

/// The digest an answer claims for its content, if it is one.
pub(crate) fn content_digest(answer: &Answer) -> Option<Digest> {
    Digest::parse(answer.header(&CONTENT_DIGEST)?).ok()
}

/// Bytes that are not what was announced, and by whom.
pub(crate) fn corrupt(about: &About, source: corten_store::Cause) -> StoreError {
    StoreError::Corrupt { object: about.object.clone(), place: about.place.clone(), source }
}

/// What a registry says of the digest must be true, under whichever algorithm it says it.
fn check_announced(
    about: &About,
    announced: Option<&Digest>,
    wanted: &Digest,
    bytes: &Bytes,
) -> Result<(), StoreError> {
    let Some(announced) = announced.filter(|announced| *announced != wanted) else {
        return Ok(());
    };
    match announced.algorithm() {
        Ok(algorithm) if Digest::of(algorithm, bytes) == *announced => Ok(()),
        _ => Err(corrupt(about, cause(format!("the registry says that it is {announced}")))),
    }
}

/// The type of a manifest: what the registry says, where that says something; else what stands
/// inside; else what its shape tells.
fn kind_of(said: Option<String>, bytes: &[u8]) -> Result<MediaType, &'static str> {
    const SCHEMA_1: &str = "it is a Docker manifest of schema 1, which is not supported";
    const VAGUE: [&str; 5] = [
        "application/json",
        "application/octet-stream",
        "binary/octet-stream",
        "text/plain",
        "text/html",
    ];
    if said
        .as_deref()
        .is_some_and(|s| s.starts_with("application/vnd.docker.distribution.manifest.v1"))
    {
        return Err(SCHEMA_1);
    }
    if let Some(said) = said.filter(|said| !VAGUE.contains(&said.as_str())) {
        return Ok(MediaType::new(said));
    }
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| "it is no JSON")?;
    let has = |key: &str| value.get(key).is_some();
    if let Some(inside) = value.get("mediaType").and_then(|inside| inside.as_str()) {
        return Ok(MediaType::new(inside));
    }
    match () {
        () if has("fsLayers") => Err(SCHEMA_1),
        () if has("manifests") => Ok(MediaType::OCI_INDEX),
        () if has("layers") && has("config") => Ok(MediaType::OCI_MANIFEST),
        () => Err("nothing tells what kind of manifest it is"),
    }
}

#[async_trait]
impl Resolver for Registry {
    /// A tag costs one HEAD where the registry answers it in full; a digest is read at once.
    async fn resolve(&self, selector: &Selector) -> Result<Resolved, StoreError> {
        let target = match selector {
            Selector::Name(name) => Target::Tag(self.tag_of(name)?),
            Selector::Digest(digest) => Target::Digest(digest.clone()),
        };
        if let Target::Tag(_) = &target
            && let Some(descriptor) = self.head_manifest(target.clone()).await?
        {
            return Ok(Resolved { descriptor, document: None });
        }
        let document = self.read_manifest(target).await?.document;
        Ok(Resolved { descriptor: document.descriptor().clone(), document: Some(document) })
    }

    async fn names(&self) -> Result<Vec<RefName>, StoreError> {
        self.tags().await
    }
}

#[async_trait]
impl Pusher for Registry {
    async fn push(&self, document: &AnyDocument) -> Result<(), StoreError> {
        let target = Target::Digest(document.descriptor().digest.clone());
        let answer = self.write_manifest(target, document, HeaderMap::new()).await?;
        let answer = answer.success().await?;
        match document.subject() {
            // distribution-spec, Pushing Manifests with Subject: without this header the client
            // keeps the list itself.
            Some(subject) if !answer.headers().contains_key(OCI_SUBJECT) => {
                self.list_referrer(&subject.digest, document).await
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Tagger for Registry {
    async fn tag(&self, name: &RefName, document: &AnyDocument) -> Result<(), StoreError> {
        let target = Target::Tag(self.tag_of(name)?);
        let answer = self.write_manifest(target, document, HeaderMap::new()).await?;
        answer.success().await.map(drop)
    }

    async fn untag(&self, name: &RefName) -> Result<(), StoreError> {
        let tag = self.tag_of(name)?;
        let about = self.remote.about("removal", called(&Target::Tag(tag.clone())));
        let route = Route::DeleteManifest(self.remote.repository.clone(), Target::Tag(tag));
        let ask = self.remote.ask(&route, about).await?;
        let answer = self.remote.send(&ask, &Scopes::delete(&self.remote.repository)).await?;
        match answer.status().as_u16() {
            404 => Err(StoreError::NotFound {
                object: format!("tag {name}"),
                place: self.remote.location.to_string(),
            }),
            // Registries that know only digests here call a tag an invalid one.
            400 | 405 | 501 => Err(StoreError::Unsupported {
                place: self.remote.location.to_string(),
                action: "removal of a tag".to_owned(),
            }),
            _ => answer.success().await.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_manifest_is_found_where_it_is_told() {
        let said = |text: &str| Some(text.to_owned());
        let cases: [(Option<String>, &str, Result<MediaType, &str>); 7] = [
            (said(MediaType::OCI_INDEX.as_str()), "{}", Ok(MediaType::OCI_INDEX)),
            (said("application/json"), r#"{"manifests":[]}"#, Ok(MediaType::OCI_INDEX)),
            (None, r#"{"config":{},"layers":[]}"#, Ok(MediaType::OCI_MANIFEST)),
            (None, r#"{"mediaType":"a/b","layers":[]}"#, Ok(MediaType::new("a/b"))),
            (said("text/html"), "<html>", Err("it is no JSON")),
            (None, "{}", Err("nothing tells what kind of manifest it is")),
            (
                None,
                r#"{"schemaVersion":1,"fsLayers":[]}"#,
                Err("it is a Docker manifest of schema 1, which is not supported"),
            ),
        ];
        for (said, bytes, wanted) in cases {
            assert_eq!(kind_of(said, bytes.as_bytes()), wanted, "{bytes}");
        }
    }

    #[test]
    fn an_unusual_type_is_asked_for_by_name() {
        let kind = MediaType::new("application/vnd.example+json");
        let value = accept(Some(&kind));
        assert!(value.to_str().unwrap().starts_with("application/vnd.example+json, application/"));
        assert_eq!(accept(Some(&MediaType::OCI_INDEX)), accept(None));
    }
}
