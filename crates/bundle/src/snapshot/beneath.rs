//! What a stack of directories has at a path, as overlay would show it: without mounting it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Where a directory says that it hides those below it.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// What one layer says of a path.
enum Said {
    /// It has it.
    Here(PathBuf, Metadata),
    /// It hides whatever lower layers have.
    Hidden,
    /// Nothing.
    Nothing,
}

/// What `layers`, the uppermost first, have at `path`, on which there are no symbolic links.
pub(super) fn topmost(path: &Path, layers: &[PathBuf]) -> io::Result<Option<(PathBuf, Metadata)>> {
    for layer in layers {
        match said(layer, path)? {
            Said::Here(path, meta) => return Ok(Some((path, meta))),
            Said::Hidden => return Ok(None),
            Said::Nothing => {}
        }
    }
    Ok(None)
}

/// Whether `layers` have anything at `path`.
pub(super) fn is_there(path: &Path, layers: &[PathBuf]) -> io::Result<bool> {
    Ok(topmost(path, layers)?.is_some())
}

fn said(layer: &Path, path: &Path) -> io::Result<Said> {
    let mut at = layer.to_owned();
    let mut hides = false;
    for name in path.components() {
        if !hides && is_opaque(&at)? {
            hides = true;
        }
        at.push(name);
        let meta = match std::fs::symlink_metadata(&at) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(if hides { Said::Hidden } else { Said::Nothing });
            }
            Err(error) => return Err(error),
        };
        if is_whiteout(&meta) {
            return Ok(Said::Hidden);
        }
        if !meta.is_dir() {
            let is_last = at.components().count() == layer.join(path).components().count();
            return Ok(if is_last { Said::Here(at, meta) } else { Said::Hidden });
        }
    }
    let meta = std::fs::symlink_metadata(&at)?;
    Ok(Said::Here(at, meta))
}

/// A device that cannot be: what was here is gone.
fn is_whiteout(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn is_opaque(path: &Path) -> io::Result<bool> {
    for name in OPAQUE {
        let mut value = [0; 8];
        match rustix::fs::lgetxattr(path, name, value.as_mut_slice()) {
            Ok(1) if value.first() == Some(&b'y') => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_hides_what_is_below_a_file_and_below_an_opaque_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let (upper, lower) = (scratch.path().join("upper"), scratch.path().join("lower"));
        for path in ["a/b", "c/d", "e"] {
            std::fs::create_dir_all(lower.join(path)).unwrap();
        }
        std::fs::create_dir_all(upper.join("c")).unwrap();
        std::fs::write(upper.join("a"), "").unwrap();
        let empty = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(upper.join("c"), "user.overlay.opaque", b"y", empty).unwrap();
        let layers = [upper.clone(), lower.clone()];
        let there = |path: &str| topmost(Path::new(path), &layers).unwrap().map(|found| found.0);
        assert_eq!(there("a"), Some(upper.join("a")));
        assert_eq!(there("a/b"), None);
        assert_eq!(there("c"), Some(upper.join("c")));
        assert_eq!(there("c/d"), None);
        assert_eq!(there("e"), Some(lower.join("e")));
        assert_eq!(there(""), Some(upper.clone()));
        assert_eq!(there("f"), None);
    }
}
