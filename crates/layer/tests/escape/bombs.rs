//! Archives that would exhaust the machine: at least one for each limit.

use std::io::Write as _;

use corten_layer::Limits;

use crate::archives::{
    Attack, Fate,
    Fate::{Inside, Refused},
    symlink, with,
};
use crate::raw::{Header, archive, file, pax};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn limited(name: &'static str, limits: Limits, layer: Vec<u8>, fate: Fate) -> Attack {
    Attack { name, layers: vec![layer], limits, fate }
}
/// Too many, too long, too deep.
pub(crate) fn shapes() -> Vec<Attack> {
    let base = Limits::default();
    let long_name = |length: usize| {
        let name = "n/".repeat(length / 2);
        with(&[&format!("path={name}x")], file("a", b""))
    };
    let many: Vec<_> = (0..50).map(|number| file(&format!("f{number}"), b"")).collect();
    let huge = format!("SCHILY.xattr.user.big={}", "v".repeat(3000));
    let deep: Vec<_> = (0..20).map(|n| file(&format!("{n}/{}f", "d/".repeat(40)), b"")).collect();
    vec![
        limited(
            "many entries",
            Limits { entries: 49, ..base },
            archive(&many),
            Refused("limit entries", "'f49'"),
        ),
        limited(
            "many directories",
            Limits { entries: 500, ..base },
            archive(&deep),
            Refused("limit-exceeded", "d/d/f"),
        ),
        limited("a long path", base, archive(&[long_name(5000)]), Refused("limit path", "n/n/")),
        limited("a deep path", base, archive(&[long_name(1000)]), Refused("limit depth", "n/n/")),
        limited(
            "a long target",
            base,
            archive(&[with(&[&format!("linkpath={}", "t".repeat(5000))], symlink("s", "x"))]),
            Refused("limit link", "s"),
        ),
        limited(
            "much PAX",
            base,
            archive(&[Header::new(b'x', "p", 2 << 20).with(&vec![b' '; 2 << 20])]),
            Refused("limit pax", ""),
        ),
        limited(
            "much in attributes",
            Limits { xattrs: 2000, ..base },
            archive(&[with(&[&huge], file("f", b""))]),
            Refused("limit xattrs", ""),
        ),
        limited(
            "much metadata",
            Limits { metadata: 2000, ..base },
            archive(&[with(&[&huge], file("f", b""))]),
            Refused("limit metadata", "f"),
        ),
    ]
}

/// Holes and compressed zeros.
pub(crate) fn sizes() -> Vec<Attack> {
    let base = Limits::default();
    let sparse = |size: &str, map: &str| {
        let records = ["GNU.sparse.major=0", "GNU.sparse.minor=1", size, map];
        archive(&[pax(b'x', &records), file("sparse", b"a")])
    };
    let pieces: Vec<_> = (0..100).map(|piece| format!("{},0", piece * 10)).collect();
    let pieces = format!("GNU.sparse.map={},5000,1", pieces.join(","));
    let zeros = archive(&[file("zeros", &vec![0; 4 << 20])]);
    vec![
        limited(
            "many pieces",
            Limits { extents: 50, ..base },
            sparse("GNU.sparse.size=9000", &pieces),
            Refused("limit extents", ""),
        ),
        limited(
            "a huge hole",
            base,
            sparse("GNU.sparse.size=9000000000000", "GNU.sparse.map=0,1,9000000000000,0"),
            Refused("limit unpacked", "sparse"),
        ),
        limited(
            "a hole that fits",
            base,
            sparse("GNU.sparse.size=900000000000", "GNU.sparse.map=0,1,900000000000,0"),
            Inside,
        ),
        limited(
            "a map beyond the file",
            base,
            sparse("GNU.sparse.size=9", "GNU.sparse.map=100,1"),
            Refused("sparse-map", "sparse"),
        ),
        limited(
            "a bomb",
            Limits { unpacked: 1 << 20, ..base },
            gzip(&zeros),
            Refused("limit unpacked", "zeros"),
        ),
        limited(
            "a bomb behind the end",
            Limits { unpacked: 1 << 20, ..base },
            gzip(&vec![0; 4 << 20]),
            Refused("limit unpacked", ""),
        ),
    ]
}
