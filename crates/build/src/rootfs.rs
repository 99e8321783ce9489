//! Root filesystems of stages: layers made ready where something looks into them or runs in them, and what is
//! known of them without that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_bundle::{Lease, MountPoint, Purpose, RootMount, Stacked, Writable};
use corten_dockerfile::IgnoreFile;
use corten_layer::{Entry, EntryKind, TreePath};
use corten_spec::DiffId;
use rustix::mount::UnmountFlags;

use crate::base::BuiltLayer;
use crate::builder::Builder;
use crate::error::{Result, failed};
use crate::lookup::Tree;
use crate::source::{Owners, Source};

/// A layer of a stage, and what is in it where that is known because it was just made.
#[derive(Clone, Debug)]
pub(crate) struct Laid {
    pub(crate) layer: BuiltLayer,
    pub(crate) fresh: Option<Arc<BTreeMap<TreePath, Entry>>>,
}

/// Where the thread of a stage mounts: its mounts are its own and end with it.
pub(crate) struct Ground<'a> {
    pub(crate) builder: &'a Builder<'a>,
    directory: PathBuf,
    state: RefCell<Mounts>,
}

#[derive(Default)]
struct Mounts {
    count: usize,
    looks: Vec<(Vec<DiffId>, Look)>,
    leases: Vec<Lease>,
}

/// A root filesystem that can be looked into.
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) path: PathBuf,
    pub(crate) source: Arc<Source>,
}

impl<'a> Ground<'a> {
    /// On the calling thread, in a directory that is its own.
    pub(crate) fn new(builder: &'a Builder<'a>, directory: PathBuf) -> Result<Self> {
        make(&directory)?;
        corten_run::private_mounts()?;
        Ok(Self { builder, directory, state: RefCell::default() })
    }

    /// A new directory.
    pub(crate) fn room(&self) -> Result<PathBuf> {
        let mut state = self.state.borrow_mut();
        state.count += 1;
        let path = self.directory.join(state.count.to_string());
        make(&path)?;
        Ok(path)
    }

    /// Makes layers ready to run; they stay so as long as this ground does.
    pub(crate) fn ready(&self, layers: &[BuiltLayer]) -> Result<Stacked> {
        let builder = self.builder;
        let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let lease = builder.snapshots.lease(&diff_ids)?;
        self.state.borrow_mut().leases.push(lease);
        for layer in layers {
            if !builder.snapshots.has(builder.form, &layer.diff_id) {
                let blob = builder.store.blob_file(&layer.descriptor.digest)?;
                let blob = std::io::BufReader::with_capacity(256 * 1024, blob);
                builder.snapshots.render(builder.form, &layer.diff_id, blob)?;
            }
        }
        Ok(builder.snapshots.stack(builder.form, &diff_ids)?)
    }

    /// Mounts layers to be looked at; the same ones once.
    pub(crate) fn look(&self, layers: &[BuiltLayer]) -> Result<Look> {
        let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let known = |state: &Mounts| {
            let same = state.looks.iter().find(|(known, _)| *known == diff_ids);
            same.map(|(_, look)| look.clone())
        };
        if let Some(look) = known(&self.state.borrow()) {
            return Ok(look);
        }
        let room = self.room()?;
        let target = room.join("rootfs");
        make(&target)?;
        if !layers.is_empty() {
            let stack = self.ready(layers)?;
            let (writable, purpose) = (Writable::No, Purpose::Look);
            let wanted = RootMount { target, writable, purpose };
            self.builder.snapshots.mount(&stack, &wanted)?;
        }
        let path = room.join("rootfs");
        let source = Arc::new(Source::open(&path, IgnoreFile::default(), Owners::Keep)?);
        let look = Look { path, source };
        self.state.borrow_mut().looks.push((diff_ids, look.clone()));
        Ok(look)
    }

    /// Mounts layers to be written over; gives the place and the directory that takes what is written.
    pub(crate) fn write_over(
        &self,
        layers: &[BuiltLayer],
        room: &Path,
        purpose: Purpose,
        points: &[MountPoint],
    ) -> Result<Written> {
        let stack = self.ready(layers)?;
        let rootfs = room.join("bundle/rootfs");
        let (upper, work) = (room.join("upper"), room.join("work"));
        for path in [&room.join("bundle"), &rootfs, &upper, &work] {
            make(path)?;
        }
        let writable = Writable::Over { upper: upper.clone(), work };
        let target = rootfs.clone();
        let wanted = RootMount { target, writable, purpose };
        self.builder.snapshots.mount_with(&stack, &wanted, points)?;
        Ok(Written { rootfs, upper })
    }

    /// What is in a stage, with as little made ready as can be.
    pub(crate) fn view(&self, layers: &[Laid]) -> Result<View> {
        let fresh = layers.iter().rev().take_while(|laid| laid.fresh.is_some()).count();
        let (below, above) = layers.split_at_checked(layers.len() - fresh).unwrap_or_default();
        let below: Vec<BuiltLayer> = below.iter().map(|laid| laid.layer.clone()).collect();
        let source = if below.is_empty() { None } else { Some(self.look(&below)?.source) };
        let fresh = above.iter().rev().filter_map(|laid| laid.fresh.clone()).collect();
        Ok(View { fresh, source })
    }
}

/// A root filesystem that is written over.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) rootfs: PathBuf,
    pub(crate) upper: PathBuf,
}

impl Written {
    /// Ends the mount; what was written stays.
    pub(crate) fn end(&self) -> Result<()> {
        rustix::mount::unmount(&self.rootfs, UnmountFlags::DETACH)
            .map_err(failed(self.rootfs.display(), "unmounting"))
    }
}

/// What is in a stage.
pub(crate) struct View {
    /// What the uppermost layers have, the uppermost first; they hide nothing.
    fresh: Vec<Arc<BTreeMap<TreePath, Entry>>>,
    source: Option<Arc<Source>>,
}

impl Tree for View {
    fn at(&self, path: &TreePath) -> Result<Option<Entry>> {
        if let Some(entry) = self.fresh.iter().find_map(|layer| layer.get(path)) {
            return Ok(Some(entry.clone()));
        }
        match &self.source {
            Some(source) => source.at(path),
            None if path.is_root() => Ok(Some(Entry::new(EntryKind::Directory, "./"))),
            None => Ok(None),
        }
    }
}

/// Makes a directory that everybody may enter, whatever the umask.
pub(crate) fn make(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.map_err(failed(path.display(), "creation"))?,
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .map_err(failed(path.display(), "change of mode"))
}
