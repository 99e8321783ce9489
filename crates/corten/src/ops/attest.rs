//! Attestations: in-toto statements in manifests that refer to an image.

use std::io::Write as _;

use corten_spec::{AnyDocument, Descriptor, Digest, EMPTY_JSON, Manifest, MediaType};
use corten_store::{LayoutStore, Pusher as _};
use serde_json::{Value, json};

use super::import::write;
use super::layers::on_thread;
use crate::Failure;

/// The media type of a statement without an envelope.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// The annotation by which readers find a kind.
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// A digest as statements write it.
pub(super) fn digest_set(digest: &Digest) -> Value {
    json!({ digest.algorithm_name(): digest.encoded() })
}

/// Keeps a statement on an image, which refers to it; its manifest's digest.
pub(super) async fn attest(
    store: &LayoutStore,
    (image, name): (&Descriptor, &str),
    (kind, predicate): (&str, Value),
) -> Result<String, Failure> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": name, "digest": digest_set(&image.digest) }],
        "predicateType": kind,
        "predicate": predicate,
    });
    let wrong =
        |source| Failure::Io { object: "the attestation".to_owned(), action: "writing", source };
    let bytes = serde_json::to_vec(&statement).map_err(|error| wrong(error.into()))?;
    let media_type = MediaType::new(STATEMENT);
    let mut blob = Descriptor::of(media_type.clone(), &bytes);
    put(store, blob.clone(), bytes).await?;
    blob.annotations.insert(PREDICATE_TYPE.to_owned(), kind.to_owned());
    let config = corten_spec::empty_descriptor();
    put(store, config.clone(), EMPTY_JSON.to_vec()).await?;
    let mut manifest = Manifest::image(config, vec![blob]);
    manifest.artifact_type = Some(media_type);
    manifest.annotations.insert(PREDICATE_TYPE.to_owned(), kind.to_owned());
    let mut subject = image.clone();
    // What an index says of it is not the manifest's own.
    (subject.platform, subject.annotations) = (None, Default::default());
    manifest.subject = Some(subject);
    let manifest = write("the attestation", MediaType::OCI_MANIFEST, manifest)?;
    let digest = manifest.digest().to_string();
    store.push(&AnyDocument::Manifest(manifest)).await?;
    Ok(digest)
}

async fn put(store: &LayoutStore, blob: Descriptor, bytes: Vec<u8>) -> Result<(), Failure> {
    let store = store.clone();
    on_thread("the attestation", move || {
        let mut staged = store.stage()?;
        staged.write_all(&bytes).map_err(|source| Failure::Io {
            object: blob.digest.to_string(),
            action: "writing",
            source,
        })?;
        Ok(staged.publish(&blob)?)
    })
    .await
}
