//! Image manifests: the bytes are kept as they came, and what is written from the parsed view is a
//! fixed point.

#![no_main]

use bytes::Bytes;
use corten_spec::{Descriptor, Document, Manifest, MediaType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let descriptor = Descriptor::of(MediaType::OCI_MANIFEST, bytes);
    let Ok(document) = Document::<Manifest>::parse(&descriptor, Bytes::copy_from_slice(bytes))
    else {
        return;
    };
    assert_eq!(document.bytes(), bytes);
    assert_eq!(*document.digest(), descriptor.digest);

    let written = Document::write(MediaType::OCI_MANIFEST, document.value().clone()).unwrap();
    let again = Document::<Manifest>::parse(written.descriptor(), written.bytes().clone()).unwrap();
    let twice = Document::write(MediaType::OCI_MANIFEST, again.value().clone()).unwrap();
    assert_eq!(twice.bytes(), written.bytes());
});
