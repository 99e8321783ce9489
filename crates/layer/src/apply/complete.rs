//! What one layer of an overlay cannot say alone, said when the layers below it are known: in a
//! directory that stands right above the layer.
//!
//! Layers are unpacked apart, each into a directory of its own. Three things need more than that:
//! a hard link to a file that a lower layer has, a directory that no entry stands for (overlay
//! would show its made-up metadata instead of those below), and a whiteout, which must not stand
//! where there is nothing to hide.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use crate::apply::Whiteouts;
use crate::apply::directories::OPEN_MODE;
use crate::apply::entries::{Fault, fault};
use crate::apply::finish::placed;
use crate::apply::metadata::copy_metadata;
use crate::apply::root::{DIRECTORY, Root};
use crate::{Entry, EntryKind, LayerError, LayerRule, TreePath, WHITEOUT_PREFIX, Whiteout};

/// Makes in the empty directory `over` what [`crate::Applied::later`] of the layer in `layer` says,
/// for an overlay in which `over` stands above `layer`, and `below`, the uppermost first, under it.
/// All of them lie on one filesystem: a further name of a lower file is a hard link to it.
///
/// Of a layer that makes the root opaque (an entry [`crate::OPAQUE_MARKER`]) nothing is below.
///
/// Returns the number of directories, links and whiteouts made; with 0, `over` is not needed.
/// A hard link to what is not there is refused as [`crate::unpack`] refuses it.
pub fn complete(
    later: &[Entry],
    layer: &Root,
    below: &[Root],
    over: &Root,
    whiteouts: Whiteouts,
) -> Result<u64, LayerError> {
    let implied = later.iter().filter(|entry| entry.kind == EntryKind::Directory);
    let implied = implied.filter_map(|entry| entry.path().ok()).collect();
    let mut completing =
        Completing { layer, below, over, whiteouts, implied, made: BTreeSet::new(), count: 0 };
    for entry in later {
        completing.entry(entry).map_err(|fault| match fault {
            Fault::Rule(rule) => LayerError::Refused { entry: entry.place(), rule },
            Fault::Error(error) => error,
        })?;
    }
    completing.finish()
}

/// The mode of a hard link that its layer replaced with something else: only its target is looked
/// for. A further name has no mode of its own.
pub(super) const REPLACED: u32 = 0;

struct Completing<'a> {
    layer: &'a Root,
    below: &'a [Root],
    over: &'a Root,
    whiteouts: Whiteouts,
    /// Directories of the layer that no entry stands for, where lower ones can be seen.
    implied: BTreeSet<TreePath>,
    /// Directories of `over`.
    made: BTreeSet<TreePath>,
    count: u64,
}

/// What the layers below show at a path.
enum Found {
    Nothing,
    /// The uppermost of the directories that overlay merges.
    Directory(OwnedFd),
    /// A name in a directory.
    Leaf(OwnedFd),
}

impl Completing<'_> {
    fn entry(&mut self, entry: &Entry) -> Result<(), Fault> {
        let path = entry.path()?;
        match entry.kind {
            EntryKind::HardLink => self.link(&path, &entry.link_path()?, entry.mode != REPLACED),
            // Whoever mounts knows which layer says what the root is.
            EntryKind::Directory if path.is_root() => Ok(()),
            EntryKind::Directory => match self.find(&path)? {
                Found::Directory(_) => self.directory(&path).map(drop),
                Found::Nothing | Found::Leaf(_) => Ok(()),
            },
            _ => match Whiteout::of(&path)? {
                Some(Whiteout::Path(hidden)) => self.hide(&hidden),
                Some(Whiteout::Below(path)) if path.is_root() => Ok(()),
                Some(Whiteout::Below(path)) => match self.find(&path)? {
                    Found::Directory(_) => {
                        let fd = self.directory(&path)?;
                        opaque(&fd, self.whiteouts, &path)
                    }
                    Found::Nothing | Found::Leaf(_) => Ok(()),
                },
                Some(Whiteout::Reserved) | None => Ok(()),
            },
        }
    }

    fn link(&mut self, path: &TreePath, target: &TreePath, stays: bool) -> Result<(), Fault> {
        let beside = match self.find(target)? {
            Found::Nothing => return Err(LayerRule::HardlinkTarget.into()),
            Found::Directory(_) => return Err(LayerRule::HardlinkToDirectory.into()),
            Found::Leaf(beside) => beside,
        };
        let (Some((above, name)), Some((_, target_name))) = (path.split(), target.split()) else {
            return Err(LayerRule::HardlinkToDirectory.into());
        };
        if path == target || !stays {
            return Ok(());
        }
        let parent = self.directory(&above)?;
        rustix::fs::linkat(&beside, target_name, &parent, name, AtFlags::empty())
            .map_err(|errno| fault(path, "creation of a link", errno))?;
        self.count += 1;
        Ok(())
    }

    fn hide(&mut self, path: &TreePath) -> Result<(), Fault> {
        let Some((above, name)) = path.split() else {
            return Ok(());
        };
        if matches!(self.find(path)?, Found::Nothing) {
            return Ok(());
        }
        let parent = self.directory(&above)?;
        rustix::fs::mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(|errno| fault(path, "creation of a whiteout", errno))?;
        self.count += 1;
        Ok(())
    }

    /// The directory at `path` of `over`.
    fn directory(&mut self, path: &TreePath) -> Result<OwnedFd, Fault> {
        if let Some((above, name)) = path.split()
            && !self.made.contains(path)
        {
            let parent = self.directory(&above)?;
            rustix::fs::mkdirat(&parent, name, OPEN_MODE)
                .map_err(|errno| fault(path, "creation", errno))?;
            self.made.insert(path.clone());
            self.count += 1;
        }
        self.made.insert(path.clone());
        self.over.directory(path).map_err(|errno| fault(path, "open", errno))
    }

    /// What the merged tree says of a directory is said by the layer if an entry of it does, and
    /// else by the layers below.
    fn source(&self, path: &TreePath) -> Result<OwnedFd, Fault> {
        let open = |errno| fault(path, "open", errno);
        match self.layer.directory(path) {
            Ok(fd) if !self.implied.contains(path) => return Ok(fd),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(open(errno)),
        }
        match self.find(path)? {
            Found::Directory(fd) => Ok(fd),
            Found::Nothing | Found::Leaf(_) => self.layer.directory(path).map_err(open),
        }
    }

    /// Gives the directories their metadata, the deepest first: one above may then be closed.
    fn finish(self) -> Result<u64, LayerError> {
        for path in self.made.iter().rev() {
            let settle = || {
                let source = self.source(path)?;
                let open = |errno| fault(path, "open", errno);
                copy_metadata(&source, &self.over.directory(path).map_err(open)?, path)
            };
            settle().map_err(|fault| placed(fault, path))?;
        }
        Ok(self.count)
    }

    /// What the layers below show at `path`, by the rules of overlay.
    fn find(&self, path: &TreePath) -> Result<Found, Fault> {
        let failed = |errno| fault(path, "lookup", errno);
        let mut merged = Vec::with_capacity(self.below.len());
        for root in self.below {
            merged.push(root.directory(&TreePath::root()).map_err(failed)?);
        }
        let mut names = path.components().peekable();
        while let Some(name) = names.next() {
            let mut next = Vec::new();
            for directory in merged {
                match look(&directory, name, self.whiteouts).map_err(failed)? {
                    Look::Nothing => {}
                    Look::Whiteout => break,
                    Look::Leaf if next.is_empty() && names.peek().is_none() => {
                        return Ok(Found::Leaf(directory));
                    }
                    Look::Leaf => break,
                    Look::Directory(fd) => next.push(fd),
                    Look::Opaque(fd) => {
                        next.push(fd);
                        break;
                    }
                }
            }
            merged = next;
        }
        Ok(merged.into_iter().next().map_or(Found::Nothing, Found::Directory))
    }
}

/// What one layer has at a name.
enum Look {
    Nothing,
    Whiteout,
    Leaf,
    Directory(OwnedFd),
    /// A directory below which nothing of lower layers is seen.
    Opaque(OwnedFd),
}

fn look(directory: &OwnedFd, name: &[u8], whiteouts: Whiteouts) -> Result<Look, Errno> {
    let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NAMETOOLONG) => return Ok(Look::Nothing),
        Err(errno) => return Err(errno),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice if stat.st_rdev == 0 => return Ok(Look::Whiteout),
        FileType::Directory => {}
        _ => return Ok(Look::Leaf),
    }
    let fd = rustix::fs::openat(directory, name, DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(&fd, opaque_name(whiteouts), value.as_mut_slice()) {
        Ok(1) if value == *b"y" => Ok(Look::Opaque(fd)),
        Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(Look::Directory(fd)),
        Err(errno) => Err(errno),
    }
}

/// An entry that is left for later.
pub(super) fn later(kind: EntryKind, path: &TreePath) -> Entry {
    Entry::new(kind, if path.is_root() { b"./" } else { path.as_bytes() })
}

/// The whiteout of a name in a directory, as an archive has it.
pub(super) fn whiteout_of(directory: &TreePath, name: &[u8]) -> TreePath {
    directory.join(&[WHITEOUT_PREFIX, name].concat())
}

/// Hides from a directory what lower layers have in it.
pub(super) fn opaque(fd: &OwnedFd, whiteouts: Whiteouts, path: &TreePath) -> Result<(), Fault> {
    rustix::fs::fsetxattr(fd, opaque_name(whiteouts), b"y", XattrFlags::empty())
        .map_err(|errno| fault(path, "setting of an attribute", errno))
}

fn opaque_name(whiteouts: Whiteouts) -> &'static str {
    match whiteouts {
        Whiteouts::Overlay { user_xattr: true } => "user.overlay.opaque",
        _ => "trusted.overlay.opaque",
    }
}
