//! One entry after another: what each makes of the directory, and what is known of the layer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use rustix::io::Errno;

use crate::apply::complete::REPLACED;
use crate::apply::directories::{Kept, Pending};
use crate::apply::{Applied, Apply, Root, Whiteouts};
use crate::merged::Also;
use crate::{
    Entry, EntryKind, EntryPosition, LayerError, LayerReader, LayerRule, Limits, TreePath,
    Unpacked, Whiteout,
};

/// What the layer that is being applied has at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mine {
    /// A directory with an entry.
    Directory,
    /// A directory that is there because something is in it.
    Implied,
    /// Anything else.
    Leaf,
    /// A further name of a file of a lower layer: what comes below it takes its place, as with
    /// everything else of lower layers.
    LinkDown,
}

/// A layer, or a stack of them, on its way into a directory.
pub(super) struct Applying<'a> {
    pub(super) root: &'a Root,
    pub(super) how: &'a Apply,
    limits: Limits,
    /// Paths made by all layers so far.
    made: u64,
    /// What this layer has.
    pub(super) ours: BTreeMap<TreePath, Mine>,
    /// Devices that were left out, of all layers.
    pub(super) skipped: BTreeSet<TreePath>,
    /// Files of lower layers that this layer has other names for, and the entries that say so.
    pub(super) links_down: Vec<(TreePath, EntryPosition)>,
    /// Whiteouts to be made in the end, where the directory is one layer of an overlay.
    pub(super) hidden: BTreeSet<TreePath>,
    /// The same of opaque directories.
    pub(super) opaque: BTreeSet<TreePath>,
    /// There, further names of files that only lower layers have.
    pub(super) later: BTreeMap<TreePath, Entry>,
    /// Those of them that something replaced: their targets must be there all the same.
    pub(super) replaced: Vec<Entry>,
    /// There, paths at which this layer had something else than a directory for a while: what lower
    /// layers had below them went away with it.
    pub(super) renewed: BTreeSet<TreePath>,
    pub(super) kept: Kept,
    /// Modes and times that directories get in the end; every directory that was opened has some.
    pub(super) pending: BTreeMap<TreePath, Pending>,
    pub(super) buffer: Vec<u8>,
    pub(super) report: Applied,
}

/// Bytes of content copied at once.
const BUFFER: usize = 256 * 1024;

/// What stops an entry: a rule, which gets the place of the entry, or an error with a place.
pub(super) enum Fault {
    Rule(LayerRule),
    Error(LayerError),
}

impl From<LayerRule> for Fault {
    fn from(rule: LayerRule) -> Self {
        Self::Rule(rule)
    }
}

impl From<LayerError> for Fault {
    fn from(error: LayerError) -> Self {
        Self::Error(error)
    }
}

/// An error of the system with the file it is about.
pub(super) fn fault(path: &TreePath, action: &'static str, errno: Errno) -> Fault {
    Fault::Error(LayerError::File { path: path.to_path_buf(), action, source: errno.into() })
}

impl<'a> Applying<'a> {
    pub(super) fn new(root: &'a Root, how: &'a Apply, limits: Limits) -> Self {
        Self {
            root,
            how,
            limits,
            made: 0,
            ours: BTreeMap::new(),
            skipped: BTreeSet::new(),
            links_down: Vec::new(),
            hidden: BTreeSet::new(),
            opaque: BTreeSet::new(),
            later: BTreeMap::new(),
            replaced: Vec::new(),
            renewed: BTreeSet::new(),
            kept: Kept::default(),
            pending: BTreeMap::new(),
            buffer: vec![0; BUFFER],
            report: Applied::default(),
        }
    }

    /// Applies one entry, whose content is next in `tar`.
    pub(super) fn entry(
        &mut self,
        entry: &Entry,
        tar: &mut LayerReader<impl Read>,
    ) -> Result<(), LayerError> {
        self.report.entries += 1;
        let placed = |fault| match fault {
            Fault::Rule(rule) => LayerError::Refused { entry: entry.place(), rule },
            Fault::Error(error) => error,
        };
        self.place(entry, tar).map_err(placed)
    }

    fn place(&mut self, entry: &Entry, tar: &mut LayerReader<impl Read>) -> Result<(), Fault> {
        let path = entry.path()?;
        if let Some(whiteout) = Whiteout::of(&path)? {
            return self.whiteout(whiteout);
        }
        entry.check_device()?;
        if matches!(self.mine(&path), Some(Mine::Directory | Mine::Leaf | Mine::LinkDown)) {
            self.report.duplicates += 1;
        }
        match entry.kind {
            EntryKind::HardLink => self.hard_link(entry, &path),
            EntryKind::Directory => self.directory_entry(entry, &path),
            _ if path.is_root() => Err(LayerRule::RootNotDirectory.into()),
            _ => self.leaf(entry, &path, tar),
        }
    }

    fn whiteout(&mut self, whiteout: Whiteout) -> Result<(), Fault> {
        let remove = self.how.whiteouts == Whiteouts::Remove;
        match whiteout {
            Whiteout::Reserved => return Ok(()),
            Whiteout::Path(path) if remove => self.hide(&path, Also::ThePath)?,
            Whiteout::Below(path) if remove => self.hide(&path, Also::Nothing)?,
            Whiteout::Path(path) => drop(self.hidden.insert(path)),
            Whiteout::Below(path) => drop(self.opaque.insert(path)),
        }
        self.report.whiteouts += 1;
        Ok(())
    }

    /// Whether the directory is one layer of an overlay.
    pub(super) fn is_overlay(&self) -> bool {
        self.how.whiteouts != Whiteouts::Remove
    }

    /// What this layer has at exactly this path.
    pub(super) fn mine(&self, path: &TreePath) -> Option<Mine> {
        self.ours.get(path).copied()
    }

    /// Whether this layer has something at this path or below it.
    pub(super) fn has_below(&self, path: &TreePath) -> bool {
        let next = self.ours.range(path..).next();
        next.is_some_and(|(found, _)| found == path || found.is_below(path))
    }

    /// Notes what the layer has at a path now.
    pub(super) fn count(&mut self, path: &TreePath, mine: Mine) -> Result<(), Fault> {
        match self.ours.insert(path.clone(), mine) {
            None => self.made += 1,
            Some(Mine::LinkDown) if mine != Mine::LinkDown => {
                self.drop_link(path);
                self.renewed.insert(path.clone());
            }
            Some(_) => {}
        }
        // One deep path makes hundreds of directories.
        if self.made > self.limits.entries {
            return Err(LayerRule::LimitExceeded.into());
        }
        Ok(())
    }

    fn drop_link(&mut self, path: &TreePath) {
        let link = self.later.remove(path);
        self.replaced.extend(link.map(|link| Entry { mode: REPLACED, ..link }));
    }

    /// Forgets everything at a path that is no more, and below it.
    pub(super) fn forget(&mut self, path: &TreePath) {
        fn below<T>(map: &BTreeMap<TreePath, T>, path: &TreePath) -> Vec<TreePath> {
            let names = map.range(path..).map(|(name, _)| name);
            names.take_while(|name| *name == path || name.is_below(path)).cloned().collect()
        }
        if matches!(self.mine(path), Some(Mine::Leaf | Mine::LinkDown)) {
            self.renewed.insert(path.clone());
        }
        for gone in below(&self.ours, path) {
            self.ours.remove(&gone);
        }
        for gone in below(&self.later, path) {
            self.drop_link(&gone);
        }
        for gone in below(&self.pending, path) {
            self.pending.remove(&gone);
        }
        self.skipped.retain(|skipped| skipped != path && !skipped.is_below(path));
        self.kept.forget(path);
    }

    /// Ends a layer: what it had is below the next one.
    pub(super) fn end_layer(&mut self, unpacked: Unpacked) -> Result<(), LayerError> {
        if self.is_overlay() {
            self.end_overlay()?;
        }
        self.ours.clear();
        self.links_down.clear();
        self.renewed.clear();
        self.report.layers.push(unpacked);
        Ok(())
    }
}
