//! The local store, opened by its owner alone: one that is another user's or shared is refused, and one that was
//! left open is closed.

use std::path::{Component, Path};

use corten_store::LayoutStore;
use corten_store::private::{self, Standing};

use crate::{ConfigError, Failure};

/// Opens the store, which is made where it is missing; tells once that it was open to others.
pub(crate) fn open(path: &Path, tell: fn(&str)) -> Result<LayoutStore, Failure> {
    let wrong = |action: &'static str| {
        let object = path.display().to_string();
        move |source| Failure::Io { object, action, source }
    };
    match private::standing(path).map_err(wrong("reading metadata"))? {
        Standing::Foreign { owner } => {
            return Err(ConfigError::ForeignStore { path: path.to_owned(), owner }.into());
        }
        Standing::Shared { group } => {
            return Err(ConfigError::SharedStore { path: path.to_owned(), group }.into());
        }
        // What is no store is refused as it is, not changed first.
        Standing::Open { mode } if path.join("oci-layout").exists() => {
            private::close(path, &is_of_containers).map_err(wrong("change of mode"))?;
            if mode & 0o077 != 0 {
                tell(&told(path, mode));
            }
        }
        _ => {}
    }
    Ok(LayoutStore::create_private(path)?)
}

/// What is said of a store that was open.
fn told(path: &Path, mode: u32) -> String {
    let (path, may) = (path.display(), if mode & 0o022 == 0 { "read" } else { "change" });
    let check =
        if mode & 0o022 == 0 { "" } else { ": 'corten store check' tells whether they did" };
    format!(
        "the store {path} had the mode {mode:o}: other users could {may} what is in it{check}; it is closed now"
    )
}

/// Whether a path below the store is the root of a tree whose modes are those of an image or a container. What is
/// above one is closed, so nobody else comes to it.
fn is_of_containers(path: &Path) -> bool {
    let names: Vec<&str> = path
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str().unwrap_or_default(),
            _ => "",
        })
        .collect();
    let number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    match names.as_slice() {
        [".corten", "volumes", _, "data"] | [".corten", "volumes", _, _, "data"] => true,
        [".corten", "containers", "pods", _, "volumes", _] => true,
        [".corten", "containers", _, _, "upper" | "work" | "etc"] => true,
        [".corten", "containers", _, _, "bundle", "rootfs"] => true,
        [".corten", "containers", _, _, "volumes", _, "data"] => true,
        [".corten", "build", "caches", _, name] => number(name),
        [".corten", "build", "rooms", _, _] => true,
        [".corten", "rendered", "directories" | "staged", _] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trees_of_containers_keep_their_modes_and_nothing_else_does() {
        for (path, wanted) in [
            ("blobs/sha256/00", false),
            (".corten/volumes/data", false),
            (".corten/volumes/data/data", true),
            (".corten/containers/containers/id/upper", true),
            (".corten/containers/containers/id/container.json", false),
            (".corten/build/caches/id/0", true),
            (".corten/build/caches/id/0.lock", false),
            (".corten/rendered/directories/id", true),
            (".corten/rendered/tars/id", false),
        ] {
            assert_eq!(is_of_containers(Path::new(path)), wanted, "{path}");
        }
    }

    #[test]
    fn a_store_that_was_open_is_told_with_what_others_could_do() {
        let (read, changed) = (told(Path::new("/s"), 0o755), told(Path::new("/s"), 0o777));
        assert!(read.contains("could read") && !read.contains("check"), "{read}");
        assert!(changed.contains("could change") && changed.contains("store check"), "{changed}");
    }
}
