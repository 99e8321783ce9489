//! The result of tests as an attestation: an in-toto statement that refers to the image.

use std::io::Write as _;

use corten_spec::{AnyDocument, Descriptor, Digest, EMPTY_JSON, Manifest, MediaType, RefName};
use corten_store::{LayoutStore, Pusher as _};
use serde_json::json;

use super::super::import::write;
use super::super::layers::on_thread;
use super::read::ReadProject;
use crate::Failure;

/// The media type of a statement without an envelope.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// What kind of statement it is.
const PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// The annotation by which readers find a kind.
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// Keeps the statement that the tests passed; its digest.
pub(super) async fn keep(
    store: &LayoutStore,
    image: &Descriptor,
    names: &[RefName],
    (passed, project): (&[String], &ReadProject),
) -> Result<String, Failure> {
    let name = names.first().map_or_else(|| "image".to_owned(), ToString::to_string);
    let of = |digest: &Digest| json!({ digest.algorithm_name(): digest.encoded() });
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": name, "digest": of(&image.digest) }],
        "predicateType": PREDICATE,
        "predicate": {
            "result": "PASSED",
            "configuration": [{
                "name": super::PROJECT,
                "digest": of(&Digest::sha256(project.source.as_bytes())),
            }],
            "passedTests": passed,
            "warnedTests": [],
            "failedTests": [],
        },
    });
    let wrong =
        |source| Failure::Io { object: "the attestation".to_owned(), action: "writing", source };
    let bytes = serde_json::to_vec(&statement).map_err(|error| wrong(error.into()))?;
    let media_type = MediaType::new(STATEMENT);
    let mut blob = Descriptor::of(media_type.clone(), &bytes);
    put(store, blob.clone(), bytes).await?;
    blob.annotations.insert(PREDICATE_TYPE.to_owned(), PREDICATE.to_owned());
    let config = corten_spec::empty_descriptor();
    put(store, config.clone(), EMPTY_JSON.to_vec()).await?;
    let mut manifest = Manifest::image(config, vec![blob]);
    manifest.artifact_type = Some(media_type);
    manifest.subject = Some(image.clone());
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
