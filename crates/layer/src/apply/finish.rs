//! What comes last: whiteouts of an overlay, and the modes and times of directories.

use rustix::fs::{AtFlags, FileType, Mode, XattrFlags};
use rustix::io::Errno;

use crate::apply::entries::{Applying, Fault, Mine, fault};
use crate::apply::metadata::settle;
use crate::apply::{Applied, Whiteouts};
use crate::{LayerError, TreePath};

impl Applying<'_> {
    /// Sets what directories get, the deepest first: a directory above may then be closed.
    pub(super) fn finish(mut self) -> Result<Applied, LayerError> {
        for (path, pending) in std::mem::take(&mut self.pending).into_iter().rev() {
            // Every one of them is there: what is removed is forgotten.
            let fd = self.root.directory(&path).map_err(|errno| fault(&path, "open", errno));
            fd.and_then(|fd| settle(&fd, pending.mode, pending.mtime, &path))
                .map_err(|fault| placed(fault, &path))?;
        }
        Ok(self.report)
    }

    /// Makes the whiteouts of this layer, now that all its entries are there and none of them can
    /// meet one.
    pub(super) fn make_whiteouts(&mut self) -> Result<(), LayerError> {
        let (hidden, opaque) = (std::mem::take(&mut self.hidden), std::mem::take(&mut self.opaque));
        let covered = |path: &TreePath| {
            path.ancestors().any(|above| hidden.contains(&above) || opaque.contains(&above))
        };
        for path in opaque.iter().filter(|path| !covered(path)) {
            self.make_opaque(path).map_err(|fault| placed(fault, path))?;
        }
        for path in hidden.iter().filter(|path| !covered(path) && !opaque.contains(path)) {
            self.make_whiteout(path).map_err(|fault| placed(fault, path))?;
        }
        Ok(())
    }

    fn make_whiteout(&mut self, path: &TreePath) -> Result<(), Fault> {
        let Some((above, name)) = path.split() else {
            return Ok(());
        };
        // Below a file of this layer there is nothing that could be hidden.
        if path.ancestors().any(|above| self.mine(&above) == Some(Mine::Leaf)) {
            return Ok(());
        }
        let parent = self.directory(&above)?;
        match rustix::fs::statat(&*parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                self.make_opaque(path)
            }
            // The layer has another file there, which hides the lower one.
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => {
                let device = FileType::CharacterDevice;
                rustix::fs::mknodat(&*parent, name, device, Mode::empty(), 0)
                    .map_err(|errno| fault(path, "creation of a whiteout", errno))
            }
            Err(errno) => Err(fault(path, "stat", errno)),
        }
    }

    fn make_opaque(&mut self, path: &TreePath) -> Result<(), Fault> {
        if self.mine(path) == Some(Mine::Leaf)
            || path.ancestors().any(|above| self.mine(&above) == Some(Mine::Leaf))
        {
            return Ok(());
        }
        let name = match self.how.whiteouts {
            Whiteouts::Overlay { user_xattr: true } => "user.overlay.opaque",
            _ => "trusted.overlay.opaque",
        };
        let fd = self.directory(path)?;
        rustix::fs::fsetxattr(&*fd, name, b"y", XattrFlags::empty())
            .map_err(|errno| fault(path, "setting of an attribute", errno))
    }
}

fn placed(fault: Fault, path: &TreePath) -> LayerError {
    match fault {
        Fault::Error(error) => error,
        Fault::Rule(rule) => {
            let name = path.as_bytes().to_vec();
            LayerError::Refused { entry: crate::EntryPosition { name, offset: 0 }, rule }
        }
    }
}
