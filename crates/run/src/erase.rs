//! Removes a tree and nothing else: by descriptors, without following a link or crossing a mount.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, unlinkat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// How deep the walk goes with a descriptor for each level; what lies deeper is moved up first.
const DEPTH: usize = 64;

/// Removes the tree at `path`; one that is not there is removed already. What is mounted in it stops the
/// removal with an error that names it; what was removed before stays so.
pub fn erase(path: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(path.parent().unwrap_or(path), flags, Mode::empty())?;
    let bytes = path.file_name().unwrap_or_default().as_encoded_bytes();
    let name = CString::new(bytes).map_err(io::Error::other)?;
    let top = match open(&parent, &name) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(|error| named(error, &[&name]))?,
    };
    let device = rustix::fs::fstat(&top)?.st_dev;
    let mut walk = Walk { top: &top, device, moved: 0 };
    // What was moved up during one round is met in the next.
    loop {
        let before = walk.moved;
        walk.empty(&top, &mut vec![&name])?;
        if walk.moved == before {
            break;
        }
    }
    unlinkat(&parent, &name, AtFlags::REMOVEDIR).map_err(|error| named(error, &[&name]))
}

struct Walk<'a> {
    top: &'a OwnedFd,
    device: u64,
    moved: u64,
}

impl Walk<'_> {
    /// Removes all that is in a directory. `way` are the names that lead to it.
    fn empty(&mut self, directory: &OwnedFd, way: &mut Vec<&CStr>) -> io::Result<()> {
        if rustix::fs::fstat(directory)?.st_dev != self.device {
            return Err(named(Errno::XDEV, way));
        }
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut way: Vec<&CStr> = way.iter().copied().chain([name]).collect();
            let file = match entry.file_type() {
                FileType::Directory => Err(Errno::ISDIR),
                _ => unlinkat(directory, name, AtFlags::empty()),
            };
            match file {
                Err(Errno::ISDIR) => self.directory(directory, name, &mut way)?,
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(named(error, &way)),
            }
        }
        Ok(())
    }

    fn directory(&mut self, parent: &OwnedFd, name: &CStr, way: &mut Vec<&CStr>) -> io::Result<()> {
        if way.len() > DEPTH {
            let up = CString::new(format!(".moved-up-{}", self.moved)).map_err(io::Error::other)?;
            self.moved += 1;
            return rustix::fs::renameat_with(
                parent,
                name,
                self.top,
                &up,
                rustix::fs::RenameFlags::NOREPLACE,
            )
            .or_else(|error| if error == Errno::EXIST { Ok(()) } else { Err(error) })
            .map_err(|error| named(error, way));
        }
        let inner = open(parent, name).map_err(|error| named(error, way))?;
        let moved = self.moved;
        self.empty(&inner, way)?;
        drop(inner);
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            // A name was taken at the top, so that something is left for the next round.
            Err(Errno::NOTEMPTY) if self.moved != moved => Ok(()),
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(named(error, way)),
        }
    }
}

/// Opens a directory, of this very mount, behind no link.
fn open(parent: impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    rustix::io::retry_on_intr(|| openat2(&parent, name, flags, Mode::empty(), resolve))
}

fn named(error: Errno, way: &[&CStr]) -> io::Error {
    let names: Vec<_> = way.iter().map(|name| name.to_string_lossy()).collect();
    let what = match error {
        Errno::XDEV | Errno::BUSY => "is mounted or in use, and left alone".to_owned(),
        other => io::Error::from(other).to_string(),
    };
    io::Error::new(io::Error::from(error).kind(), format!("{}: {what}", names.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_nowhere_and_depth_has_no_end() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("canary"), "alive").unwrap();
        let tree = scratch.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        symlink("/", tree.join("root")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, tree.join("fifo"), Mode::RWXU).unwrap();
        // Deeper than any path may be long.
        let mut at = rustix::fs::open(&tree, OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "d", OFlags::PATH, Mode::empty()).unwrap();
        }
        // A name that the walk would choose itself.
        std::fs::create_dir(tree.join(".moved-up-0")).unwrap();
        erase(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(std::fs::read_to_string(outside.join("canary")).unwrap(), "alive");
        erase(&tree).unwrap();
        symlink(&outside, &tree).unwrap();
        assert!(erase(&tree).is_err());
        assert!(outside.join("canary").exists());
    }

    #[test]
    fn a_mount_stops_the_removal_and_is_named() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: mounting needs root");
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let canary = scratch.path().join("volume");
        std::fs::create_dir(&canary).unwrap();
        std::fs::write(canary.join("canary"), "alive").unwrap();
        let tree = scratch.path().join("tree");
        std::fs::create_dir_all(tree.join("deep/mounted")).unwrap();
        let said = std::thread::spawn({
            let (tree, canary) = (tree.clone(), canary.clone());
            move || {
                corten_engine::private_mounts().unwrap();
                // Of the same device, so that its number tells nothing.
                rustix::mount::mount_bind(&canary, tree.join("deep/mounted")).unwrap();
                erase(&tree).unwrap_err().to_string()
            }
        });
        let said = said.join().unwrap();
        assert!(said.contains("tree/deep/mounted: is mounted"), "{said}");
        assert!(canary.join("canary").exists());
        erase(&tree).unwrap();
    }
}
