//! Layers, packed in any way: looking for problems always ends with a report, and where the plain
//! listing succeeds both found the same bytes.

#![no_main]

use corten_layer::{Limits, audit, list};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    entries: 1_000,
    path: 4_096,
    link: 4_096,
    depth: 64,
    pax: 1 << 16,
    xattrs: 1 << 16,
    extents: 1_000,
    unpacked: 1 << 22,
    image: 1 << 22,
    ratio: 1_100,
    metadata: 8 << 20,
};

fuzz_target!(|bytes: &[u8]| {
    // The source is memory and cannot fail; whatever is wrong with the bytes is a problem, no error.
    let report = match audit(bytes, None, LIMITS) {
        Ok(report) => report,
        Err(error) => panic!("{error:?}"),
    };
    let mut entries = 0;
    let listed = list(bytes, None, LIMITS, |_| {
        entries += 1;
        Ok(())
    });
    if let Ok(unpacked) = listed {
        assert_eq!(report.unpacked, Some(unpacked));
        assert_eq!(report.entries, entries);
    }
});
