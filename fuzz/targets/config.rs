//! Image configs: the bytes are kept as they came, and what is written from the parsed view is a
//! fixed point.

#![no_main]

use bytes::Bytes;
use corten_spec::{Descriptor, Document, ImageConfig, MediaType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let descriptor = Descriptor::of(MediaType::OCI_CONFIG, bytes);
    let Ok(document) = Document::<ImageConfig>::parse(&descriptor, Bytes::copy_from_slice(bytes))
    else {
        return;
    };
    assert_eq!(document.bytes(), bytes);
    assert_eq!(*document.digest(), descriptor.digest);

    let written = Document::write(MediaType::OCI_CONFIG, document.value().clone()).unwrap();
    let again =
        Document::<ImageConfig>::parse(written.descriptor(), written.bytes().clone()).unwrap();
    let twice = Document::write(MediaType::OCI_CONFIG, again.value().clone()).unwrap();
    assert_eq!(twice.bytes(), written.bytes());
});
