//! Databases of packages: whatever stands in them, an inventory is made of it, within bounds, and a document whose
//! identifiers are unique.

#![no_main]

use std::collections::BTreeSet;

use corten_layer::{Compression, Entry, EntryKind, Packer, Packing, TarWriter};
use corten_scan::{Holdings, Inventory, SpdxSubject, spdx};
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 6] = [
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "usr/lib/python3/dist-packages/x-1.dist-info/METADATA",
    "app/node_modules/x/package.json",
    "etc/os-release",
    "var/lib/dpkg/status.d/x",
];

// The first byte says which database the rest is.
fuzz_target!(|bytes: &[u8]| {
    let Some((first, content)) = bytes.split_first() else { return };
    let name = FILES[usize::from(*first) % FILES.len()];
    let mut writer =
        TarWriter::new(Packer::new(Vec::new(), Packing::new(Compression::None)).unwrap());
    let mut entry = Entry::new(EntryKind::File, name);
    entry.size = content.len() as u64;
    writer.file(&entry, content).unwrap();
    let (packed, layer) = writer.finish().unwrap().finish().unwrap();
    let mut holdings = Holdings::default();
    holdings.lay(&packed.descriptor, layer.as_slice()).unwrap();
    let inventory = Inventory::from(holdings);
    assert!(inventory.packages.is_sorted());
    let subject = SpdxSubject {
        name: "app",
        digest: &packed.descriptor.digest,
        namespace: "https://example.org/spdx",
        tool: "corten-1.0",
        created: "1970-01-01T00:00:00Z",
    };
    let document = spdx(&subject, &inventory);
    let mut seen = BTreeSet::new();
    for package in document["packages"].as_array().unwrap() {
        let id = package["SPDXID"].as_str().unwrap();
        assert!(seen.insert(id.to_owned()), "{id}");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        assert!(id.strip_prefix("SPDXRef-").unwrap().chars().all(is_plain), "{id}");
    }
});
