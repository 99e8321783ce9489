//! Taking away what lower layers have, and never what the layer itself brought.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use crate::apply::directories::{OPEN_MODE, Pending};
use crate::apply::entries::{Applying, Fault, Mine, fault};
use crate::apply::root::DIRECTORY;
use crate::merged::Also;
use crate::{LayerError, LayerRule, TreePath};

impl Applying<'_> {
    /// Removes what lower layers have at or below a path.
    pub(super) fn hide(&mut self, path: &TreePath, also: Also) -> Result<(), Fault> {
        let lost = |target: &TreePath| {
            target.is_below(path) || (target == path && matches!(also, Also::ThePath))
        };
        // Whiteouts come before all entries of their layer, whatever the order in the archive.
        if let Some((_, entry)) = self.links_down.iter().find(|(target, _)| lost(target)) {
            let (entry, rule) = (entry.clone(), LayerRule::HardlinkTarget);
            return Err(LayerError::Refused { entry, rule }.into());
        }
        if matches!(also, Also::Nothing) || self.has_below(path) {
            return self.prune(path, also);
        }
        let Some((above, name)) = path.split() else {
            return Ok(());
        };
        match self.existing(&above)? {
            Some(parent) => self.vacate(&parent, name, path),
            None => Ok(()),
        }
    }

    /// Removes from a directory what is not of this layer.
    fn prune(&mut self, path: &TreePath, also: Also) -> Result<(), Fault> {
        let Some(fd) = self.existing(path)? else {
            return Ok(());
        };
        if matches!(also, Also::ThePath) && self.mine(path) != Some(Mine::Directory) {
            // The directory of a lower layer is gone; one that something of ours is in remains.
            self.count(path, Mine::Implied)?;
            self.pending.insert(path.clone(), Pending::IMPLIED);
            self.set_implied(&fd, path)?;
        }
        for name in names(&fd, path)? {
            let child = path.join(&name);
            if !self.has_below(&child) {
                self.vacate(&fd, &name, &child)?;
            } else if !matches!(self.mine(&child), Some(Mine::Leaf | Mine::LinkDown)) {
                self.prune(&child, Also::ThePath)?;
            }
        }
        Ok(())
    }

    /// Removes whatever is at a path.
    pub(super) fn vacate(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &TreePath,
    ) -> Result<(), Fault> {
        remove(parent, name, path)?;
        self.forget(path);
        Ok(())
    }
}

/// Removes a file or a whole directory by its name in its parent; nothing there is fine.
fn remove(parent: &OwnedFd, name: &[u8], path: &TreePath) -> Result<(), Fault> {
    let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(fault(path, "stat", errno)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return rustix::fs::unlinkat(parent, name, AtFlags::empty())
            .map_err(|errno| fault(path, "removal", errno));
    }
    let directory = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
        .map_err(|errno| fault(path, "open", errno))?;
    if stat.st_mode & 0o300 != 0o300 {
        rustix::fs::fchmod(&directory, OPEN_MODE)
            .map_err(|errno| fault(path, "change of mode", errno))?;
    }
    for name in names(&directory, path)? {
        remove(&directory, &name, &path.join(&name))?;
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
        .map_err(|errno| fault(path, "removal", errno))
}

/// The names in a directory.
fn names(directory: &OwnedFd, path: &TreePath) -> Result<Vec<Vec<u8>>, Fault> {
    let listing = |errno| fault(path, "listing", errno);
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory).map_err(listing)? {
        let name = entry.map_err(listing)?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}
