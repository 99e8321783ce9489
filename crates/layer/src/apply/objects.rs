//! Making files, links, devices, pipes and directories by their name in an open parent.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::apply::Devices;
use crate::apply::complete::later;
use crate::apply::directories::{OPEN_MODE, Pending};
use crate::apply::entries::{Applying, Fault, Mine, fault};
use crate::apply::metadata::{clear_xattrs, settle};
use crate::{Device, Entry, EntryKind, LayerError, LayerReader, LayerRule, TreePath};

/// Mode of a file while it is written.
const WRITING_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

impl Applying<'_> {
    /// An entry of a directory: what is there and is one stays, with new metadata.
    pub(super) fn directory_entry(&mut self, entry: &Entry, path: &TreePath) -> Result<(), Fault> {
        let fd = match self.existing(path)? {
            Some(fd) => {
                clear_xattrs(&fd, path)?;
                fd
            }
            None => {
                let Some((above, name)) = path.split() else {
                    return Err(fault(path, "open", Errno::NOENT));
                };
                let parent = self.directory(&above)?;
                let made = self.make(&parent, path, |parent, name| {
                    rustix::fs::mkdirat(parent, name, OPEN_MODE)
                });
                made?;
                self.open_kept(&parent, name, path)?
            }
        };
        self.own(&fd, entry, path)?;
        self.pending.insert(path.clone(), Pending { mode: entry.mode, mtime: entry.mtime });
        self.count(path, Mine::Directory)
    }

    /// An entry of a file, symbolic link, device or pipe.
    pub(super) fn leaf(
        &mut self,
        entry: &Entry,
        path: &TreePath,
        tar: &mut LayerReader<impl Read>,
    ) -> Result<(), Fault> {
        let Some((above, name)) = path.split() else {
            return Err(LayerRule::RootNotDirectory.into());
        };
        let parent = self.directory(&above)?;
        match entry.kind {
            EntryKind::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let fd = self.make(&parent, path, |parent, name| {
                    rustix::fs::openat(parent, name, flags | OFlags::CLOEXEC, WRITING_MODE)
                })?;
                let fd = self.content(entry, fd, path, tar)?;
                self.own(&fd, entry, path)?;
                settle(&fd, entry.mode, entry.mtime, path)?;
            }
            EntryKind::Symlink => {
                self.make(&parent, path, |parent, name| {
                    rustix::fs::symlinkat(entry.link.as_slice(), parent, name)
                })?;
                self.own_unopened(&parent, entry, path)?;
            }
            EntryKind::CharDevice | EntryKind::BlockDevice if self.how.devices == Devices::Skip => {
                self.vacate(&parent, name, path)?;
                self.skip(path);
            }
            _ => {
                let kind = match entry.kind {
                    EntryKind::CharDevice => FileType::CharacterDevice,
                    EntryKind::BlockDevice => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let Device { major, minor } = entry.device;
                let device = rustix::fs::makedev(major, minor);
                self.make(&parent, path, |parent, name| {
                    rustix::fs::mknodat(parent, name, kind, WRITING_MODE, device)
                })?;
                self.own_unopened(&parent, entry, path)?;
            }
        }
        self.count(path, Mine::Leaf)
    }

    fn skip(&mut self, path: &TreePath) {
        self.skipped.insert(path.clone());
        self.report.skipped_devices += 1;
    }

    /// A further name of a file that is there; its metadata is that of the file.
    pub(super) fn hard_link(&mut self, entry: &Entry, path: &TreePath) -> Result<(), Fault> {
        let target = entry.link_path()?;
        let (Some((above, name)), Some((beside, target_name))) = (path.split(), target.split())
        else {
            return Err(LayerRule::HardlinkToDirectory.into());
        };
        let parent = self.directory(&above)?;
        if self.skipped.contains(&target) {
            if target != *path {
                self.vacate(&parent, name, path)?;
                self.skip(path);
            }
            return self.count(path, Mine::Leaf);
        }
        if self.is_overlay() && matches!(self.mine(&target), None | Some(Mine::LinkDown)) {
            return self.link_later(entry, &parent, path, target);
        }
        let Some(source) = self.existing(&beside)? else {
            return Err(LayerRule::HardlinkTarget.into());
        };
        match rustix::fs::statat(&*source, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return Err(LayerRule::HardlinkToDirectory.into());
            }
            Ok(_) => {}
            Err(Errno::NOENT) => return Err(LayerRule::HardlinkTarget.into()),
            Err(errno) => return Err(fault(&target, "stat", errno)),
        }
        // A directory that gives way takes what is below it along, the target perhaps.
        if target.is_below(path) {
            return Err(LayerRule::HardlinkTarget.into());
        }
        if target == *path {
            return Ok(());
        }
        let mine = self.mine(&target);
        self.make(&parent, path, |parent, name| {
            rustix::fs::linkat(&*source, target_name, parent, name, AtFlags::empty())
        })?;
        match mine {
            None => {
                self.links_down.push((target, entry.place()));
                self.count(path, Mine::LinkDown)
            }
            Some(mine) => self.count(path, mine),
        }
    }

    /// A further name of a file that only lower layers can have: made when they are known.
    fn link_later(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        path: &TreePath,
        target: TreePath,
    ) -> Result<(), Fault> {
        let further = self.later.get(&target).map(|other| other.link.clone());
        let taken =
            |above: &TreePath| matches!(self.mine(above), Some(Mine::Leaf | Mine::LinkDown));
        let gone = self.renewed.contains(&target)
            || target.ancestors().any(|above| taken(&above) || self.renewed.contains(&above));
        if (further.is_none() && gone) || target.is_below(path) {
            return Err(LayerRule::HardlinkTarget.into());
        }
        if target == *path && further.is_some() {
            return Ok(());
        }
        if let Some((_, name)) = path.split() {
            self.vacate(parent, name, path)?;
        }
        self.count(path, Mine::LinkDown)?;
        let link = further.unwrap_or_else(|| target.as_bytes().to_vec());
        let link = Entry { link, offset: entry.offset, ..later(EntryKind::HardLink, path) };
        self.later.insert(path.clone(), link);
        Ok(())
    }

    /// Makes something new at a path; what was there gives way.
    fn make<T>(
        &mut self,
        parent: &OwnedFd,
        path: &TreePath,
        how: impl Fn(&OwnedFd, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Fault> {
        let Some((_, name)) = path.split() else {
            return Err(LayerRule::RootNotDirectory.into());
        };
        if self.skipped.contains(path) {
            self.forget(path);
        }
        let made = match how(parent, name) {
            Err(Errno::EXIST) => {
                self.vacate(parent, name, path)?;
                how(parent, name)
            }
            made => made,
        };
        made.map_err(|errno| fault(path, "creation", errno))
    }

    /// Writes the content, leaving the holes of a sparse file out.
    fn content(
        &mut self,
        entry: &Entry,
        fd: OwnedFd,
        path: &TreePath,
        tar: &mut LayerReader<impl Read>,
    ) -> Result<OwnedFd, Fault> {
        let written =
            |source| LayerError::File { path: path.to_path_buf(), action: "write", source };
        let mut file = File::from(fd);
        let mut at = 0_u64;
        loop {
            at = at.saturating_add(tar.pass_hole());
            let taken = match tar.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(LayerError::from_io(error).into()),
            };
            let bytes = self.buffer.get(..taken).unwrap_or_default();
            let result = match entry.sparse {
                Some(_) => file.write_all_at(bytes, at),
                None => file.write_all(bytes),
            };
            result.map_err(written)?;
            at = at.saturating_add(taken as u64);
            self.report.written = self.report.written.saturating_add(taken as u64);
        }
        if entry.sparse.is_some() {
            file.set_len(entry.size).map_err(written)?;
        }
        Ok(file.into())
    }
}
