//! Archives unpacked into a directory: nothing beside it changes, and the index, the plain tree and
//! the layer of an overlay agree on what they accept. What the file system refuses (a name that is
//! too long) is nobody's rule.

#![no_main]

use std::io::{self, Cursor, Read};
use std::path::Path;

use corten_layer::{
    Apply, Compression, LayerError, LayerRule, Limits, Merged, Root, Whiteouts, apply, complete,
    unpack,
};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    entries: 200,
    path: 4_096,
    link: 4_096,
    depth: 32,
    pax: 1 << 16,
    xattrs: 1 << 12,
    extents: 1_000,
    unpacked: 1 << 20,
    image: 1 << 20,
    ratio: 1_100,
    metadata: 1 << 20,
};

const OVERLAY: Whiteouts = Whiteouts::Overlay { user_xattr: true };

fuzz_target!(|bytes: &[u8]| {
    let outer = tempfile::tempdir().expect("a temporary directory");
    for name in ["canary", "root", "layer", "over"] {
        std::fs::create_dir(outer.path().join(name)).expect("an empty directory");
    }
    std::fs::write(outer.path().join("canary/file"), "outside").expect("a small file");
    // Twice, so that lower layers are met.
    let half = bytes.len() / 2 / 512 * 512;
    let layers = match Merged::new(LIMITS).add_plain(Cursor::new(&bytes[..half])) {
        Ok(_) => vec![bytes[..half].to_vec(), bytes[half..].to_vec()],
        Err(_) => vec![bytes.to_vec()],
    };
    // What looks packed is no plain archive to one of them.
    if layers.iter().any(|layer| Compression::detect(layer) != Compression::None) {
        return;
    }
    let merged = index(&layers);
    let plain = plain(&layers, &outer.path().join("root"));
    agree("the plain tree", &merged, &plain);
    if let [layer] = layers.as_slice() {
        agree("the layer of an overlay", &merged, &overlay(layer, outer.path()));
    }
    let canary = std::fs::read(outer.path().join("canary/file"));
    assert_eq!(canary.ok().as_deref(), Some(b"outside".as_slice()), "the canary changed");
    let names = |path: &Path| std::fs::read_dir(path).map(Iterator::count).unwrap_or_default();
    assert_eq!((names(outer.path()), names(&outer.path().join("canary"))), (4, 1));
});

fn index(layers: &[Vec<u8>]) -> Result<(), LayerError> {
    let mut merged = Merged::new(LIMITS);
    layers.iter().try_for_each(|layer| merged.add_plain(Cursor::new(layer)).map(drop))
}

fn plain(layers: &[Vec<u8>], root: &Path) -> Result<(), LayerError> {
    let mut source = |layer: usize| -> io::Result<Box<dyn Read>> {
        Ok(Box::new(Cursor::new(layers[layer].clone())))
    };
    let how = Apply::ordinary(Whiteouts::Remove);
    unpack(&mut source, layers.len(), &Root::open(root)?, &how, LIMITS).map(drop)
}

fn overlay(layer: &[u8], outer: &Path) -> Result<(), LayerError> {
    let (root, over) = (Root::open(&outer.join("layer"))?, Root::open(&outer.join("over"))?);
    let applied = apply(layer, &root, &Apply::ordinary(OVERLAY), LIMITS)?;
    complete(&applied.later, &root, &[], &over, OVERLAY).map(drop)
}

fn agree(who: &str, index: &Result<(), LayerError>, other: &Result<(), LayerError>) {
    match (index, other) {
        (Ok(()), Ok(())) | (Err(_), Err(_)) | (_, Err(LayerError::File { .. })) => {}
        // Each counts its limits in its way.
        (Err(LayerError::Limit { .. }), _) | (_, Err(LayerError::Limit { .. })) => {}
        (Err(error), _) | (_, Err(error)) if error.rule() == Some(LayerRule::LimitExceeded) => {}
        (index, other) => panic!("{who}: {other:?}, and the index: {index:?}"),
    }
}
