//! What must be true of a layout, looked at from outside: no code of corten is asked.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use corten_spec::annotation::REF_NAME;
use corten_testkit::images::TestImage;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What an empty layout may consist of.
const SKELETON: [&str; 9] = [
    ".corten",
    ".corten/leases",
    ".corten/lock",
    ".corten/staged",
    ".corten/types",
    "blobs",
    "blobs/sha256",
    "index.json",
    "oci-layout",
];

/// Everything below a directory, as paths relative to it.
pub(crate) fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut queue = vec![directory.to_owned()];
    while let Some(next) = queue.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            // Another process may rename or remove it meanwhile.
            let Ok(entry) = entry else { continue };
            let path = entry.path();
            let name = path.strip_prefix(directory).unwrap();
            found.insert(name.to_str().unwrap().to_owned());
            if path.is_dir() {
                queue.push(path);
            }
        }
    }
    found
}

/// Bytes of the transfers under way or left behind.
pub(crate) fn staged(layout: &Path) -> u64 {
    let Ok(list) = fs::read_dir(layout.join(".corten/staged")) else { return 0 };
    list.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}

/// The names in `index.json`, and the digest that each stands for.
pub(crate) fn names(layout: &Path) -> Vec<(String, String)> {
    let bytes = fs::read(layout.join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&bytes).expect("index.json is JSON");
    let entries = index["manifests"].as_array().expect("a list of manifests");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries.iter().map(|e| (text(&e["annotations"][REF_NAME]), text(&e["digest"]))).collect()
}

/// Fails unless all of the image is there, byte for byte, under the name.
pub(crate) fn assert_holds(layout: &Path, name: &str, image: &TestImage) {
    let entry = (name.to_owned(), image.digest().to_string());
    assert!(names(layout).contains(&entry), "{name} is lost: {:?}", names(layout));
    let documents = image.documents().iter().map(|d| (&d.descriptor().digest, d.bytes()));
    let blobs = image.distributable().map(|(descriptor, bytes)| (&descriptor.digest, bytes));
    for (digest, bytes) in documents.chain(blobs) {
        let found = fs::read(blob(layout, digest)).unwrap_or_else(|e| panic!("{digest}: {e}"));
        assert!(found == *bytes, "{digest} holds other bytes");
    }
}

/// Where a blob lies.
pub(crate) fn blob(layout: &Path, digest: &corten_spec::Digest) -> std::path::PathBuf {
    layout.join("blobs").join(digest.algorithm_name()).join(digest.encoded())
}

/// Fails unless every blob is what its name says, and the two JSON files are whole.
pub(crate) fn assert_sound(layout: &Path) {
    let header = fs::read(layout.join("oci-layout")).unwrap();
    let header: Value = serde_json::from_slice(&header).expect("oci-layout is JSON");
    assert_eq!(header["imageLayoutVersion"], "1.0.0");
    names(layout);
    for file in files(&layout.join("blobs/sha256")) {
        let bytes = fs::read(layout.join("blobs/sha256").join(&file)).unwrap();
        let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(digest, file, "a blob of {} bytes is not what its name says", bytes.len());
    }
}

/// Fails unless nothing is left but what an empty layout consists of.
pub(crate) fn assert_empty(layout: &Path) {
    assert_eq!(names(layout), []);
    let left: Vec<String> =
        files(layout).into_iter().filter(|file| !SKELETON.contains(&file.as_str())).collect();
    assert_eq!(left, Vec::<String>::new(), "left behind");
}
