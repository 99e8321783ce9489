//! Root filesystems of stages: layers made ready where something looks into them or runs in them, and what is
//! known of them without that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_bundle::{Above, Additions, Lease, MountPoint, Purpose, RootMount, Stacked, Writable};
use corten_dockerfile::IgnoreFile;
use corten_layer::{Entry, EntryKind, TreePath};
use corten_spec::DiffId;
use corten_store::private;
use rustix::mount::UnmountFlags;

use crate::base::BuiltLayer;
use crate::builder::Session;
use crate::error::{Result, failed};
use crate::lookup::Tree;
use crate::source::{Owners, Source};

/// Most of what lies over a stack in one mount: overlay takes 500 directories, and looks into each.
const MOST_ABOVE: usize = 100;

/// A layer of a stage.
#[derive(Clone, Debug)]
pub(crate) struct Laid {
    pub(crate) layer: BuiltLayer,
    pub(crate) made: Made,
}

/// What is known of a layer because this build made it.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    /// It did not.
    Elsewhere,
    /// What is in it, which hides nothing of the layers below.
    Entries(Arc<BTreeMap<TreePath, Entry>>),
    /// The upper directory that it was packed from.
    Upper(PathBuf),
}

impl Laid {
    /// A layer that was there before.
    pub(crate) fn known(layer: BuiltLayer) -> Self {
        Self { layer, made: Made::Elsewhere }
    }

    fn entries(&self) -> Option<&Arc<BTreeMap<TreePath, Entry>>> {
        match &self.made {
            Made::Entries(entries) => Some(entries),
            _ => None,
        }
    }
}

/// Where the thread of a stage mounts: its mounts are its own and end with it.
pub(crate) struct Ground<'a> {
    session: &'a Session<'a>,
    directory: PathBuf,
    /// What bundles and mounts of this thread begin with: in memory, where there is some.
    brief: PathBuf,
    state: RefCell<Mounts>,
}

#[derive(Default)]
struct Mounts {
    count: usize,
    looks: Vec<(Vec<DiffId>, Look)>,
    ready: Vec<(Stacked, Lease)>,
}

/// A root filesystem that can be looked into.
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) path: PathBuf,
    pub(crate) source: Arc<Source>,
}

impl<'a> Ground<'a> {
    /// On the calling thread, under a name that is its own.
    pub(crate) fn new(session: &'a Session<'a>, name: &str) -> Result<Self> {
        let (directory, brief) =
            (session.work.path().join(name), session.work.bundles().join(name));
        for path in [&directory, &brief] {
            private::make_directory(path).map_err(failed(path.display(), "creation"))?;
        }
        corten_run::private_mounts()?;
        Ok(Self { session, directory, brief, state: RefCell::default() })
    }

    /// A new directory on disk, for whatever it takes.
    pub(crate) fn room(&self) -> Result<PathBuf> {
        let path = self.directory.join(self.number());
        make(&path)?;
        Ok(path)
    }

    /// A new directory for what is small and needed briefly: things to mount on and what a process is told.
    pub(crate) fn brief(&self) -> Result<PathBuf> {
        let path = self.brief.join(self.number());
        make(&path)?;
        Ok(path)
    }

    fn number(&self) -> String {
        let mut state = self.state.borrow_mut();
        state.count += 1;
        state.count.to_string()
    }

    /// Makes layers ready to run; they stay so as long as this ground does.
    fn ready(&self, layers: &[Laid]) -> Result<Stacked> {
        let builder = self.session.builder;
        let diff_ids = diff_ids(layers);
        let known = |(stack, _): &&(Stacked, Lease)| stack.diff_ids() == diff_ids;
        if let Some((stack, _)) = self.state.borrow().ready.iter().find(known) {
            return Ok(stack.clone());
        }
        let lease = builder.snapshots.lease(&diff_ids)?;
        for Laid { layer, .. } in layers {
            if !builder.snapshots.has(builder.form, &layer.diff_id) {
                let packed = self.session.packed(layer)?;
                let packed = std::io::BufReader::with_capacity(256 * 1024, packed);
                builder.snapshots.render(builder.form, &layer.diff_id, packed)?;
            }
        }
        let stack = builder.snapshots.stack(builder.form, &diff_ids)?;
        self.state.borrow_mut().ready.push((stack.clone(), lease));
        Ok(stack)
    }

    /// The same with as little made ready as can be: what steps have written lies over the rest as it is.
    fn parts(&self, layers: &[Laid]) -> Result<(Stacked, Vec<Above>)> {
        let ours = |laid: &&Laid| !matches!(laid.made, Made::Elsewhere);
        let count = layers.iter().rev().take_while(ours).count().min(MOST_ABOVE);
        let (below, mut rest) = layers.split_at_checked(layers.len() - count).unwrap_or_default();
        let stack = self.ready(below)?;
        let mut above = Vec::new();
        while let Some((first, others)) = rest.split_first() {
            if let Made::Upper(path) = &first.made {
                above.push(Above::Upper(path.clone()));
                rest = others;
                continue;
            }
            let copied = rest.iter().take_while(|laid| laid.entries().is_some()).count();
            let (copies, others) = rest.split_at_checked(copied.max(1)).unwrap_or_default();
            above.push(Above::Stack(self.ready(copies)?));
            rest = others;
        }
        Ok((stack, above))
    }

    /// Mounts layers to be looked at; the same ones once.
    pub(crate) fn look(&self, layers: &[Laid]) -> Result<Look> {
        let diff_ids = diff_ids(layers);
        let known = |state: &Mounts| {
            let same = state.looks.iter().find(|(known, _)| *known == diff_ids);
            same.map(|(_, look)| look.clone())
        };
        if let Some(look) = known(&self.state.borrow()) {
            return Ok(look);
        }
        let path = self.brief()?;
        if !layers.is_empty() {
            let (writable, purpose) = (Writable::No, Purpose::Look);
            self.mount(layers, &RootMount { target: path.clone(), writable, purpose }, &[])?;
        }
        let source = Arc::new(Source::open(&path, IgnoreFile::default(), Owners::Keep)?);
        let look = Look { path, source };
        self.state.borrow_mut().looks.push((diff_ids, look.clone()));
        Ok(look)
    }

    /// Mounts layers on `rootfs`, which is made, to be written over. What is written is kept as long as this
    /// ground: steps that follow stand on it. So is overlay's own directory: removing it at once would only make
    /// the next files dearer, as the disk's file system takes no inode again that was freed just now.
    pub(crate) fn write_over(
        &self,
        layers: &[Laid],
        rootfs: PathBuf,
        purpose: Purpose,
        points: &[MountPoint],
    ) -> Result<Written> {
        let number = self.number();
        let [upper, work] =
            ["upper", "work"].map(|name| self.directory.join(format!("{name}-{number}")));
        for path in [&rootfs, &upper, &work] {
            make(path)?;
        }
        let writable = Writable::Briefly { upper: upper.clone(), work };
        let target = rootfs.clone();
        self.mount(layers, &RootMount { target, writable, purpose }, points)?;
        Ok(Written { rootfs, upper })
    }

    fn mount(&self, layers: &[Laid], wanted: &RootMount, points: &[MountPoint]) -> Result<()> {
        let (stack, above) = self.parts(layers)?;
        let additions = Additions { above: &above, points };
        self.session.builder.snapshots.mount_with(&stack, wanted, additions)?;
        Ok(())
    }

    /// What is in a stage, with as little made ready as can be.
    pub(crate) fn view(&self, layers: &[Laid]) -> Result<View> {
        let fresh = layers.iter().rev().map_while(Laid::entries).cloned().collect::<Vec<_>>();
        let below = layers.get(..layers.len() - fresh.len()).unwrap_or_default();
        let source = if below.is_empty() { None } else { Some(self.look(below)?.source) };
        Ok(View { fresh, source })
    }
}

fn diff_ids(layers: &[Laid]) -> Vec<DiffId> {
    layers.iter().map(|laid| laid.layer.diff_id.clone()).collect()
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

/// Makes a directory that a container sees, with the mode that it has there, whatever the umask. What is above it
/// is closed to others.
pub(crate) fn make(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.map_err(failed(path.display(), "creation"))?,
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .map_err(failed(path.display(), "change of mode"))
}
