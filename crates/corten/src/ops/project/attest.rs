//! The result of tests as an attestation: an in-toto statement that refers to the image.

use corten_spec::{Descriptor, Digest, RefName};
use corten_store::LayoutStore;
use serde_json::json;

use super::super::attest::{attest, digest_set};
use super::read::ReadProject;
use crate::Failure;

/// What kind of statement it is.
const PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// Keeps the statement that the tests passed; its digest.
pub(super) async fn keep(
    store: &LayoutStore,
    image: &Descriptor,
    names: &[RefName],
    (passed, project): (&[String], &ReadProject),
) -> Result<String, Failure> {
    let name = names.first().map_or_else(|| "image".to_owned(), ToString::to_string);
    let predicate = json!({
        "result": "PASSED",
        "configuration": [{
            "name": super::PROJECT,
            "digest": digest_set(&Digest::sha256(project.source.as_bytes())),
        }],
        "passedTests": passed,
        "warnedTests": [],
        "failedTests": [],
    });
    attest(store, (image, &name), (PREDICATE, predicate)).await
}
