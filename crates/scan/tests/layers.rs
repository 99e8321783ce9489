//! Layers in, an inventory out: what upper layers hide, and databases that nobody honest writes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use corten_scan::{Holdings, Inventory, PackageKind, ScanError, SpdxSubject, spdx};
use corten_spec::{Descriptor, MediaType};
use corten_testkit::tar::TarMaker;

fn laid(layers: Vec<TarMaker>) -> Inventory {
    let mut holdings = Holdings::default();
    for layer in layers {
        let bytes = layer.finish();
        let descriptor = Descriptor::of(MediaType::OCI_LAYER, &bytes);
        holdings.lay(&descriptor, bytes.as_slice()).unwrap();
    }
    holdings.into()
}

fn names(inventory: &Inventory) -> Vec<String> {
    inventory.packages.iter().map(|one| format!("{}={}", one.name, one.version)).collect()
}

fn python(tar: TarMaker, name: &str, version: &str) -> TarMaker {
    let path = format!("usr/lib/python3/{name}-{version}.dist-info/METADATA");
    tar.file(&path, 0o644, format!("Name: {name}\nVersion: {version}\n\ntext\n"))
}

const STATUS: &str = "var/lib/dpkg/status";

#[test]
fn upper_layers_replace_and_hide() {
    let below = TarMaker::new()
        .file(STATUS, 0o644, "Package: old\nVersion: 1\n")
        .file("etc/os-release", 0o644, "ID=debian\nVERSION_ID=\"13\"\n")
        .file("app/node_modules/a/package.json", 0o644, r#"{"name":"a","version":"1"}"#);
    let below = python(python(below, "six", "1.16"), "gone", "1");
    let above = TarMaker::new()
        .file(STATUS, 0o644, "Package: new\nVersion: 2\nArchitecture: amd64\n")
        .whiteout("usr/lib/python3", "gone-1.dist-info")
        .file("app/.wh..wh..opq", 0o644, "")
        .file("app/node_modules/@s/b/package.json", 0o644, r#"{"name":"@s/b","version":"2"}"#);
    // In whatever order: what a layer brings is not hidden by it.
    let above = python(above, "wheel", "3").whiteout("usr/lib/python3", "wheel-3.dist-info");
    let found = laid(vec![below, above]);
    assert_eq!(names(&found), ["new=2", "six=1.16", "wheel=3", "@s/b=2"]);
    let distribution = found.distribution.as_ref();
    assert_eq!(
        found.packages[0].purl(distribution),
        "pkg:deb/debian/new@2?arch=amd64&distro=debian-13"
    );
    assert_eq!(found.packages[3].kind, PackageKind::Npm);
    assert_eq!(found.packages[3].purl(distribution), "pkg:npm/%40s/b@2");
}

#[test]
fn a_directory_that_becomes_a_file_takes_what_was_in_it() {
    let below = python(TarMaker::new(), "six", "1");
    let hard = python(TarMaker::new(), "attrs", "2")
        .hard_link("opt/attrs-2.dist-info/METADATA", "usr/lib/python3/attrs-2.dist-info/METADATA")
        .symlink("opt/x-2.dist-info/METADATA", "/usr/lib/python3/attrs-2.dist-info/METADATA");
    let found = laid(vec![below.clone(), hard]);
    assert_eq!(names(&found), ["attrs=2", "attrs=2", "six=1"], "two places");
    assert!(names(&laid(vec![below, TarMaker::new().file("usr/lib", 0o644, "x")])).is_empty());
}

#[test]
fn hostile_databases_are_told_and_not_read() {
    let large = vec![b'x'; (1 << 20) + 1];
    let layer = TarMaker::new()
        .file("a/node_modules/b/package.json", 0o644, &large)
        .file("c/node_modules/d/package.json", 0o644, vec![b'['; 1 << 20])
        .file("e/node_modules/f/package.json", 0o644, [0xff, 0xfe, 0x00])
        .file("var/lib/rpm/rpmdb.sqlite", 0o644, "SQLite")
        .file(
            STATUS,
            0o644,
            [&b"Package: \x1b[2J\nVersion: 1\n\nPackage: "[..], &large[..5000]].concat(),
        );
    let found = laid(vec![layer]);
    assert!(found.packages.is_empty(), "{:?}", names(&found));
    let notes = found.notes.join("; ");
    assert!(notes.contains("a/node_modules/b/package.json") && notes.contains("rpm"), "{notes}");
    assert_eq!(found.notes.len(), 2, "{notes}");
}

#[test]
fn another_layer_than_was_announced_is_an_error() {
    let bytes = TarMaker::new().file("a", 0o644, "x").finish();
    let other = Descriptor::of(MediaType::OCI_LAYER, b"another one");
    let error = Holdings::default().lay(&other, bytes.as_slice()).unwrap_err();
    assert!(matches!(error, ScanError::Mismatch { .. }), "{error}");
    let cut = Descriptor::of(MediaType::OCI_LAYER, &bytes[..700]);
    let error = Holdings::default().lay(&cut, &bytes[..700]).unwrap_err();
    assert!(matches!(error, ScanError::Layer { .. }), "{error}");
}

#[test]
fn the_same_inventory_is_the_same_document() {
    let found = laid(vec![python(python(TarMaker::new(), "b", "1"), "a", "1")]);
    let digest = corten_spec::Digest::sha256(b"image");
    let subject = SpdxSubject {
        name: "app",
        digest: &digest,
        namespace: "https://corten.run/spdx",
        tool: "corten-0",
        created: "1970-01-01T00:00:00Z",
    };
    let document = spdx(&subject, &found);
    assert_eq!(document, spdx(&subject, &found));
    assert_eq!(document["packages"][1]["name"], "a");
    let namespace = document["documentNamespace"].as_str().unwrap();
    assert_eq!(namespace, format!("https://corten.run/spdx/sha256-{}", digest.encoded()));
}
