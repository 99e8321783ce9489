//! What comes last: whiteouts of an overlay, and the modes and times of directories.

use crate::apply::Applied;
use crate::apply::complete::{later, opaque, whiteout_of};
use crate::apply::directories::Pending;
use crate::apply::entries::{Applying, Fault, Mine, fault};
use crate::apply::metadata::settle;
use crate::{EntryKind, LayerError, LayerRule, OPAQUE_MARKER, TreePath};

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

    /// Makes the whiteouts of a layer of an overlay, now that all its entries are there and none of
    /// them can meet one; and tells what only the layers below can decide.
    pub(super) fn end_overlay(&mut self) -> Result<(), LayerError> {
        let (hidden, opaque) = (std::mem::take(&mut self.hidden), std::mem::take(&mut self.opaque));
        let covered = |path: &TreePath| {
            path.ancestors().any(|above| hidden.contains(&above) || opaque.contains(&above))
        };
        let mut links = std::mem::take(&mut self.replaced);
        links.extend(std::mem::take(&mut self.later).into_values());
        // Whiteouts come before all entries of their layer, whatever the order in the archive.
        for link in &links {
            let refused = |rule| LayerError::Refused { entry: link.place(), rule };
            let target = link.link_path().map_err(refused)?;
            if hidden.contains(&target) || covered(&target) {
                return Err(refused(LayerRule::HardlinkTarget));
            }
        }
        let open = |path: &TreePath| {
            !hidden.contains(path)
                && !covered(path)
                && !self.renewed.contains(path)
                && !path.ancestors().any(|above| self.renewed.contains(&above))
        };
        let implied = self.ours.iter().filter(|(_, mine)| **mine == Mine::Implied);
        let implied = implied.map(|(path, _)| path).filter(|path| open(path));
        let mut told: Vec<_> = implied.map(|path| later(EntryKind::Directory, path)).collect();
        if self.mine(&TreePath::root()) != Some(Mine::Directory) {
            told.push(later(EntryKind::Directory, &TreePath::root()));
            self.pending.insert(TreePath::root(), Pending::IMPLIED);
        }
        told.extend(links);
        self.report.later = told;
        for path in opaque.iter().filter(|path| !covered(path)) {
            self.make_opaque(path).map_err(|fault| placed(fault, path))?;
        }
        for path in hidden.iter().filter(|path| !covered(path) && !opaque.contains(path)) {
            self.make_whiteout(path).map_err(|fault| placed(fault, path))?;
        }
        for path in std::mem::take(&mut self.renewed) {
            if matches!(self.mine(&path), Some(Mine::Directory | Mine::Implied)) {
                self.make_opaque(&path).map_err(|fault| placed(fault, &path))?;
            }
        }
        // What a device would hide, had it been made.
        for path in self.skipped.clone() {
            self.whiteout_later(&path);
        }
        Ok(())
    }

    /// Whiteouts are left for later: only where a lower layer has something to hide does overlay
    /// merge the directory, and in one that it does not merge it lists them as files.
    fn make_whiteout(&mut self, path: &TreePath) -> Result<(), Fault> {
        match self.mine(path) {
            // The layer has another file there, which hides the lower one.
            Some(Mine::Leaf | Mine::LinkDown) => {}
            Some(Mine::Directory | Mine::Implied) => self.make_opaque(path)?,
            None => self.whiteout_later(path),
        }
        Ok(())
    }

    fn whiteout_later(&mut self, path: &TreePath) {
        if let Some((above, name)) = path.split()
            && !self.is_cut_off(path)
        {
            self.report.later.push(later(EntryKind::File, &whiteout_of(&above, name)));
        }
    }

    fn make_opaque(&mut self, path: &TreePath) -> Result<(), Fault> {
        if self.is_leaf(path) || self.is_cut_off(path) {
            return Ok(());
        }
        match self.existing(path)? {
            // Overlay does not look at the root of a layer: whoever mounts leaves out what is below.
            Some(fd) if !path.is_root() => opaque(&fd, self.how.whiteouts, path),
            _ => {
                self.report.later.push(later(EntryKind::File, &path.join(OPAQUE_MARKER)));
                Ok(())
            }
        }
    }

    fn is_leaf(&self, path: &TreePath) -> bool {
        matches!(self.mine(path), Some(Mine::Leaf | Mine::LinkDown))
    }

    /// Whether nothing of lower layers is seen below what this layer has above a path.
    fn is_cut_off(&self, path: &TreePath) -> bool {
        path.ancestors().any(|above| self.is_leaf(&above) || self.renewed.contains(&above))
    }
}

pub(super) fn placed(fault: Fault, path: &TreePath) -> LayerError {
    match fault {
        Fault::Error(error) => error,
        Fault::Rule(rule) => {
            let name = path.as_bytes().to_vec();
            LayerError::Refused { entry: crate::EntryPosition { name, offset: 0 }, rule }
        }
    }
}
