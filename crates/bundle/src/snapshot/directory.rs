//! The second form of a layer: a directory, with its whiteouts as overlay reads them, and a note of
//! what such a directory cannot say alone. Where a stack has such notes, directories of its own
//! stand above the layers that they are of.

use std::fs::OpenOptions;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use corten_layer::{
    Apply, Devices, Entry, EntryKind, OPAQUE_MARKER, Owners, Root, Tar, TarWriter, Whiteouts,
    apply, complete,
};
use corten_spec::DiffId;

use super::error::{SnapshotError, io_error};
use super::files::{self, DIRECTORIES, Staging};
use super::tar::algorithm_of;
use super::{Powers, Snapshots, name_of, name_of_stack};

/// What stands behind the name of a layer for its note: the entries that are left, as an archive.
pub(super) const LATER: &str = ".later";

/// What stands behind the name of a stack for what is made of the notes of its layers.
pub(super) const OVER: &str = ".over";

/// Overlay reads `user.` attributes with and without privileges, `trusted.` ones only with.
const WHITEOUTS: Whiteouts = Whiteouts::Overlay { user_xattr: true };

/// A stack as overlay is to have it.
pub(super) struct Laid {
    /// The base first.
    pub(super) directories: Vec<PathBuf>,
    /// The uppermost layer with an entry of the root, or the base.
    pub(super) root: Option<PathBuf>,
    /// What is used beside the directories of the layers.
    pub(super) beside: Vec<PathBuf>,
}

impl Snapshots {
    /// Unpacks a layer into a directory of its own.
    pub(super) fn render_directory(
        &self,
        diff_id: &DiffId,
        packed: impl Read,
    ) -> Result<(), SnapshotError> {
        let (staging, later) = self.unpacked(diff_id, packed)?;
        let name = name_of(&diff_id.0);
        // The note is there when the directory is.
        let note = self.files.stage()?;
        let file = files::open_private(&note.path, OpenOptions::new().create_new(true))
            .map_err(io_error(&note.path, "creation"))?;
        write_note(file, diff_id, later)?;
        self.files.publish(note, DIRECTORIES, &format!("{name}{LATER}"))?;
        self.files.publish(staging, DIRECTORIES, &name).map(drop)
    }

    /// The same for a layer that is looked at for itself, of whatever image.
    pub(super) fn alone(&self) -> Self {
        Self { unpacked: Arc::default(), ..self.clone() }
    }

    /// A directory with what the packed bytes give, once they are those of `diff_id`; and what only the layers
    /// below can decide.
    pub(super) fn unpacked(
        &self,
        diff_id: &DiffId,
        packed: impl Read,
    ) -> Result<(Staging, Vec<Entry>), SnapshotError> {
        let staging = self.staged_directory()?;
        let fault = |source| {
            let source = self.limits.named(source);
            SnapshotError::Layer { diff_id: diff_id.clone(), source }
        };
        let root = Root::open(&staging.path).map_err(fault)?;
        let limits = self.limits.after(self.unpacked.load(Ordering::Relaxed));
        let how = Apply { algorithms: vec![algorithm_of(diff_id)], ..self.powers.apply(WHITEOUTS) };
        let applied = apply(packed, &root, &how, limits).map_err(fault)?;
        let unpacked = applied.layers.iter().map(|layer| layer.unpacked_size).sum();
        self.unpacked.fetch_add(unpacked, Ordering::Relaxed);
        match applied.layers.first().map(|layer| &layer.diff_id) {
            Some(found) if found != diff_id => {
                let found = found.clone();
                Err(SnapshotError::Mismatch { diff_id: diff_id.clone(), found })
            }
            _ => Ok((staging, applied.later)),
        }
    }

    /// Whether the note of a layer is there.
    pub(super) fn has_note(&self, diff_id: &DiffId) -> bool {
        self.files.is_believed(DIRECTORIES, &format!("{}{LATER}", name_of(&diff_id.0)))
    }

    /// The directories of a stack, with those above the layers whose notes ask for some.
    pub(super) fn lay(&self, diff_ids: &[DiffId]) -> Result<Laid, SnapshotError> {
        let mut notes = Vec::with_capacity(diff_ids.len());
        let mut laid = Laid { directories: Vec::new(), root: None, beside: Vec::new() };
        for diff_id in diff_ids {
            let (path, note) = self.read_note(diff_id)?;
            let says_root = !note.iter().any(says_nothing_of_the_root);
            if says_root || laid.root.is_none() {
                laid.root = Some(self.files.path(DIRECTORIES, &name_of(&diff_id.0)));
            }
            laid.beside.push(path);
            notes.push(note);
        }
        let all = notes.iter().flatten();
        let over = if all.clone().all(says_nothing_of_the_root) {
            None
        } else {
            Some(self.over(diff_ids, &notes)?)
        };
        for ((number, diff_id), note) in diff_ids.iter().enumerate().zip(&notes) {
            if hides_all(note) {
                laid.directories.clear();
            }
            // Overlay takes no directory twice. Of a layer that comes again further up, everything
            // there covers everything here: the same paths, and the same whiteouts.
            if !diff_ids.iter().skip(number + 1).any(|upper| upper == diff_id) {
                laid.directories.push(self.files.path(DIRECTORIES, &name_of(&diff_id.0)));
            }
            let above = over.as_ref().map(|over| over.join(number.to_string()));
            laid.directories.extend(above.filter(|above| above.is_dir()));
        }
        laid.beside.extend(over);
        Ok(laid)
    }

    /// What is made of the notes of a stack: a directory for each layer that needs one.
    fn over(&self, diff_ids: &[DiffId], notes: &[Vec<Entry>]) -> Result<PathBuf, SnapshotError> {
        let name = format!("{}{OVER}", name_of_stack(diff_ids));
        if self.files.is_believed(DIRECTORIES, &name) {
            return Ok(self.files.path(DIRECTORIES, &name));
        }
        let staging = self.made_over(diff_ids, notes)?;
        self.files.publish(staging, DIRECTORIES, &name)
    }

    /// The same, not yet published.
    pub(super) fn made_over(
        &self,
        diff_ids: &[DiffId],
        notes: &[Vec<Entry>],
    ) -> Result<Staging, SnapshotError> {
        let staging = self.staged_directory()?;
        // From the base up, so that what is below a layer is all there.
        let mut below: Vec<PathBuf> = Vec::new();
        for ((number, diff_id), note) in diff_ids.iter().enumerate().zip(notes) {
            let layer = self.files.path(DIRECTORIES, &name_of(&diff_id.0));
            let above = staging.path.join(number.to_string());
            if hides_all(note) {
                below.clear();
            }
            let made = self.complete_one(diff_id, note, (&layer, &below, &above))?;
            below.push(layer);
            below.extend(made.then_some(above));
        }
        Ok(staging)
    }

    /// Makes what stands above one layer; false where nothing has to.
    fn complete_one(
        &self,
        diff_id: &DiffId,
        note: &[Entry],
        (layer, below, above): (&Path, &[PathBuf], &Path),
    ) -> Result<bool, SnapshotError> {
        let fault = |source| SnapshotError::Layer { diff_id: diff_id.clone(), source };
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(above)
            .map_err(io_error(above, "creation"))?;
        let below = below.iter().rev().map(|path| Root::open(path)).collect::<Result<Vec<_>, _>>();
        let (layer, over) = (Root::open(layer).map_err(fault)?, Root::open(above).map_err(fault)?);
        let made = complete(note, &layer, &below.map_err(fault)?, &over, WHITEOUTS);
        if made.map_err(fault)? > 0 {
            return Ok(true);
        }
        std::fs::remove_dir(above).map_err(io_error(above, "removal"))?;
        Ok(false)
    }

    fn staged_directory(&self) -> Result<Staging, SnapshotError> {
        let staging = self.files.stage()?;
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(&staging.path)
            .map_err(io_error(&staging.path, "creation"))?;
        Ok(staging)
    }

    pub(super) fn read_note(
        &self,
        diff_id: &DiffId,
    ) -> Result<(PathBuf, Vec<Entry>), SnapshotError> {
        let path = self.files.path(DIRECTORIES, &format!("{}{LATER}", name_of(&diff_id.0)));
        let file = std::fs::File::open(&path).map_err(io_error(&path, "open"))?;
        let fault = |source| SnapshotError::Layer { diff_id: diff_id.clone(), source };
        let mut tar = Tar::new(BufReader::new(file), self.limits);
        let mut entries = Vec::new();
        while let Some(mut entry) = tar.next_entry().map_err(fault)? {
            entry.offset = entry.mtime.seconds.unsigned_abs();
            entries.push(entry);
        }
        Ok((path, entries))
    }
}

/// Writes the note of a layer.
pub(super) fn write_note(
    out: impl Write,
    diff_id: &DiffId,
    entries: Vec<Entry>,
) -> Result<(), SnapshotError> {
    let mut writer = TarWriter::new(BufWriter::new(out));
    let fault = |source| SnapshotError::Layer { diff_id: diff_id.clone(), source };
    for mut entry in entries {
        // Where it stood in its layer; the time of what is left means nothing.
        entry.mtime.seconds = i64::try_from(entry.offset).unwrap_or_default();
        writer.entry(&entry).map_err(fault)?;
    }
    let mut out = writer.finish().map_err(fault)?;
    out.flush().map_err(io_error(Path::new("the note"), "writing"))
}

/// Whether a layer makes the root opaque, which overlay does not know.
fn hides_all(note: &[Entry]) -> bool {
    note.iter().any(|entry| entry.name == OPAQUE_MARKER)
}

fn says_nothing_of_the_root(entry: &Entry) -> bool {
    entry.kind == EntryKind::Directory && entry.path().is_ok_and(|path| path.is_root())
}

impl Powers {
    /// How layers are unpacked by a process that has them.
    pub fn apply(self, whiteouts: Whiteouts) -> Apply {
        let (owners, devices) = match self {
            Self::Machine => (Owners::Keep, Devices::Keep),
            Self::Ranges => (Owners::Keep, Devices::Skip),
            Self::OneId => (Owners::Caller, Devices::Skip),
        };
        Apply { whiteouts, owners, devices, algorithms: Vec::new() }
    }
}
