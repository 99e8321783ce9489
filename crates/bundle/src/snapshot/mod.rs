//! Layers made ready to run, each once and keyed by its DiffId, and stacks of them as the root
//! filesystem of a container.
//!
//! ```text
//! <root>/                     0700, for one user alone
//! ├─ lock                     shared by who renders, exclusive for who collects
//! ├─ mounts                   the boot in which an index could be mounted from here
//! ├─ tars/<diff>              a layer as a plain tar; its digest is its DiffId
//! ├─ indexes/<chain>          an EROFS index over the tars of one stack, the base first
//! ├─ indexes/<chain>.aside    contents that the index cannot point at in a tar
//! ├─ directories/<diff>/      a layer as a directory, for overlay without privileges
//! ├─ directories/<diff>.later what only the layers below it can decide, as an archive
//! ├─ directories/<chain>.over what they decided in one stack: directories between its layers
//! ├─ unsynced/<form>-<name>   the boot in which a form was made and not yet synced
//! ├─ seals/<form>-<name>      what a form was when it was made, in a few facts, and what guards it
//! ├─ leases/<process>-<n>     what a process uses, locked while it lives
//! └─ staged/<n>               a form on its way in, locked by its maker
//! ```
//!
//! **Forms are caches.** Each can be made again from the packed layer, so none is synced while
//! somebody waits for it. A form that was not synced is believed in the boot that made it and no
//! longer: after a crash of the machine its bytes may be missing although its name is there.

mod attributes;
mod beneath;
mod collect;
mod directory;
mod error;
mod files;
mod index;
mod lease;
mod overlay;
mod same;
mod seal;
mod tar;
mod verify;
mod verity;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use corten_layer::Limits;
use corten_spec::{ChainId, DiffId, Digest};

pub use collect::Swept;
pub use error::SnapshotError;
pub use lease::Lease;
pub use overlay::{Above, Additions, MountPoint, Mounted, Purpose, RootMount, Writable};
pub use verify::{Damage, OpenPacked, Verified};
pub use verity::guards_files;

use crate::erofs;
use files::Files;

/// How layers are kept ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// Plain tars under one EROFS index per stack: nothing is made per entry. Needs the right to
    /// mount EROFS from files (Linux 6.12, root of the machine).
    Index,
    /// A directory per layer, laid over each other by overlay.
    Directories,
}

/// The layers of this machine that are ready to run.
#[derive(Clone, Debug)]
pub struct Snapshots {
    files: Files,
    limits: Limits,
    powers: Powers,
    /// Bytes of all that was unpacked by this one and its clones, which work for one image.
    unpacked: Arc<AtomicU64>,
}

/// What the process may do with the files of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Powers {
    /// Everything: root of the machine.
    Machine,
    /// Give files to the ids of a user namespace with ranges; no devices.
    Ranges,
    /// Nothing beyond its own id: every file is the caller's.
    OneId,
}

/// The layers of one image, all of them ready.
#[derive(Clone, Debug)]
pub struct Stacked {
    form: Form,
    diff_ids: Vec<DiffId>,
    /// Where the layers are: tars or directories, the base first.
    layers: Vec<PathBuf>,
    /// Of directories, the one that says what the root is.
    root: Option<PathBuf>,
    /// Of directories, what is used beside them.
    beside: Vec<PathBuf>,
    /// The index over the tars, and what it could not point at.
    index: Option<index::IndexFiles>,
}

impl Stacked {
    /// The form it has.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The layers, the base first.
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.diff_ids
    }
}

impl Snapshots {
    /// Opens the directory `root`, which is made where it is missing, for this user alone.
    pub fn open(root: &Path, limits: Limits, powers: Powers) -> Result<Self, SnapshotError> {
        Ok(Self { files: Files::open(root)?, limits, powers, unpacked: Arc::default() })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.files.root()
    }

    /// The form for this process on this machine: an index wherever it can be mounted from here. That it can be
    /// is tried once in a boot.
    pub fn form(&self) -> Form {
        if self.powers != Powers::Machine {
            return Form::Directories;
        }
        if self.files.is_noted_to_mount() {
            return Form::Index;
        }
        if !erofs::probe(self.files.root()).mounts() {
            return Form::Directories;
        }
        self.files.note_that_it_mounts();
        Form::Index
    }

    /// Whether the layer is ready in this form.
    pub fn has(&self, form: Form, diff_id: &DiffId) -> bool {
        let (folder, name) = (folder_of(form), name_of(&diff_id.0));
        let noted = form != Form::Directories || self.has_note(diff_id);
        noted && self.files.is_believed(folder, &name)
    }

    /// Makes a layer ready from its packed bytes; nothing to do when it is. Succeeds when the
    /// unpacked bytes are those of `diff_id`, whatever `packed` is. Two processes that make the same
    /// layer both succeed, and one of the two results stays.
    pub fn render(
        &self,
        form: Form,
        diff_id: &DiffId,
        packed: impl std::io::Read,
    ) -> Result<(), SnapshotError> {
        if self.has(form, diff_id) {
            return Ok(());
        }
        match form {
            Form::Index => self.render_tar(diff_id, packed),
            Form::Directories => self.render_directory(diff_id, packed),
        }
    }

    /// The stack of `diff_ids`, the base first, all of which must be ready. The first call for a
    /// stack makes its index, or what stands between its directories. Both forms of a stack are the
    /// same tree; a hard link to what no lower layer has is refused here, if not before.
    pub fn stack(&self, form: Form, diff_ids: &[DiffId]) -> Result<Stacked, SnapshotError> {
        let mut layers = Vec::with_capacity(diff_ids.len());
        for diff_id in diff_ids {
            if !self.has(form, diff_id) {
                return Err(SnapshotError::NotReady { diff_id: diff_id.clone() });
            }
            self.unchanged(form, diff_id)?;
            layers.push(self.files.path(folder_of(form), &name_of(&diff_id.0)));
        }
        let (diff_ids, index) = match form {
            Form::Index => (diff_ids.to_vec(), Some(self.index(diff_ids, &layers)?)),
            Form::Directories => {
                let laid = self.lay(diff_ids)?;
                let (root, beside, layers) = (laid.root, laid.beside, laid.directories);
                let diff_ids = diff_ids.to_vec();
                return Ok(Stacked { form, diff_ids, layers, root, beside, index: None });
            }
        };
        Ok(Stacked { form, diff_ids, layers, root: None, beside: Vec::new(), index })
    }
}

/// Where the layers of a form are.
fn folder_of(form: Form) -> &'static str {
    match form {
        Form::Index => files::TARS,
        Form::Directories => files::DIRECTORIES,
    }
}

/// The file name of a digest. Its grammar has no slash, and no dot where it begins.
fn name_of(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm_name(), digest.encoded())
}

/// The file name of a stack; one without layers has a name too.
fn name_of_stack(diff_ids: &[DiffId]) -> String {
    ChainId::of(diff_ids).map_or_else(|| "none".to_owned(), |chain| name_of(&chain.0))
}
