//! The checker: every kind of document under both profiles; strictness only adds errors, and what
//! it calls a good manifest, index or config can be read as one.

#![no_main]

use bytes::Bytes;
use corten_spec::validate::{DocumentKind, Finding, Level, Profile, document};
use corten_spec::{Descriptor, Document, ImageConfig, Index, Manifest, MediaType};
use libfuzzer_sys::fuzz_target;

const KINDS: [DocumentKind; 9] = [
    DocumentKind::Descriptor,
    DocumentKind::Manifest,
    DocumentKind::Index,
    DocumentKind::LayoutIndex,
    DocumentKind::Config,
    DocumentKind::LayoutHeader,
    DocumentKind::DockerManifest,
    DocumentKind::DockerList,
    DocumentKind::DockerConfig,
];

fuzz_target!(|bytes: &[u8]| {
    for kind in KINDS {
        let spec = document(kind, "fuzz", bytes, Profile::Spec);
        let strict = document(kind, "fuzz", bytes, Profile::Strict);
        assert_eq!(spec.len(), strict.len(), "a profile changes levels, not findings");
        assert!(errors(&spec) <= errors(&strict));
        if errors(&spec) == 0 {
            readable(kind, bytes);
        }
    }
});

fn errors(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.level == Level::Error).count()
}

fn readable(kind: DocumentKind, bytes: &[u8]) {
    let kept = Bytes::copy_from_slice(bytes);
    let failure = match kind {
        DocumentKind::Manifest => {
            let descriptor = Descriptor::of(MediaType::OCI_MANIFEST, bytes);
            Document::<Manifest>::parse(&descriptor, kept).err()
        }
        DocumentKind::Index => {
            let descriptor = Descriptor::of(MediaType::OCI_INDEX, bytes);
            Document::<Index>::parse(&descriptor, kept).err()
        }
        DocumentKind::Config => {
            let descriptor = Descriptor::of(MediaType::OCI_CONFIG, bytes);
            Document::<ImageConfig>::parse(&descriptor, kept).err()
        }
        _ => None,
    };
    if let Some(failure) = failure {
        panic!(
            "{kind:?} without errors does not parse: {failure}: {}",
            String::from_utf8_lossy(bytes)
        );
    }
}
