//! What a form was when it was made: a few facts that cost one look, so that one that was changed since is not
//! started from.
//!
//! ```text
//! seals/<form>-<name>   "1 file INODE SIZE SECONDS.NANOS" or "1 directory MODE SECONDS.NANOS",
//!                       and for a file that the kernel guards a line "verity sha256:HEX" more
//! ```
//!
//! The times are those of the last change of the content; when a form was used is written in that of the last
//! access. Whoever may write in the store can make a seal as well: it finds accidents, broken disks and what was
//! restored in part, and makes a change by hand loud. Against everybody else stand the modes of the store.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use corten_spec::DiffId;

use super::error::{SnapshotError, io_error};
use super::files::{self, DIRECTORIES, Files, Hold, INDEXES, SEALS, read_note};
use super::verify::{Damage, OpenPacked, Verified};
use super::verity;
use super::{Form, Snapshots, name_of, name_of_stack};

/// Numbers what is being written.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The facts of what is at `path` now.
fn facts(path: &Path) -> io::Result<String> {
    let meta = std::fs::symlink_metadata(path)?;
    let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
    // A directory that was restored has another inode, and no hash that could tell it from a changed one.
    Ok(if meta.is_dir() {
        format!("1 directory {:o} {time}", meta.mode() & 0o7777)
    } else {
        let guard = verity::measure(path)?.map_or_else(String::new, |root| format!("\n{root}"));
        format!("1 file {} {} {time}{guard}", meta.ino(), meta.size())
    })
}

impl Files {
    /// Writes down what a form is now; to be called under the lock, which keeps a collection away.
    pub(super) fn seal(&self, folder: &str, name: &str) -> Result<(), SnapshotError> {
        let path = self.path(folder, name);
        let text = facts(&path).map_err(io_error(&path, "stat"))?;
        let seal = self.path(SEALS, &format!("{folder}-{name}"));
        // Threads seal the same form at once, as processes do.
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let part = format!("{folder}-{name}.{}-{count}", std::process::id());
        let part = self.path(SEALS, &part);
        let write = || -> io::Result<()> {
            let options = &mut OpenOptions::new();
            let mut file = files::open_private(&part, options.create(true).truncate(true))?;
            file.write_all(text.as_bytes())?;
            std::fs::rename(&part, &seal)
        };
        write().map_err(io_error(&seal, "writing"))
    }

    /// Whether a form is still what it was when it was made. One without a seal is of a version that made none, and
    /// gets one.
    pub(super) fn is_sealed(&self, folder: &str, name: &str) -> Result<bool, SnapshotError> {
        let seal = self.path(SEALS, &format!("{folder}-{name}"));
        let said = match read_note(&seal) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _shared = self.lock(Hold::Shared)?;
                return self.seal(folder, name).map(|()| true);
            }
            said => said.map_err(io_error(&seal, "reading"))?,
        };
        let path = self.path(folder, name);
        let facts = facts(&path).map_err(io_error(&path, "stat"))?;
        // A form of a later version is none that could be compared.
        Ok(said == facts || !said.starts_with("1 "))
    }

    /// Forgets what a form was.
    pub(super) fn unseal(&self, folder: &str, name: &str) -> Result<(), SnapshotError> {
        let seal = self.path(SEALS, &format!("{folder}-{name}"));
        match std::fs::remove_file(&seal) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(io_error(&seal, "removal")),
        }
    }
}

impl Snapshots {
    /// Refuses a layer that is not what was made ready. A tar that only looks changed, as one of a store that was
    /// restored, is hashed.
    pub(super) fn unchanged(&self, form: Form, diff_id: &DiffId) -> Result<(), SnapshotError> {
        let name = name_of(&diff_id.0);
        let folder = super::folder_of(form);
        if self.files.is_sealed(folder, &name)? {
            return Ok(());
        }
        let _shared = self.files.lock(Hold::Shared)?;
        let mut verified = Verified::default();
        match form {
            Form::Index => self.verify_tar(&name, &mut verified)?,
            Form::Directories => {
                let what = "its mode or its time is another one".to_owned();
                let path = self.files.path(folder, &name);
                verified.damages.push(Damage { path, what });
            }
        }
        settled(format!("layer {diff_id}"), verified)
    }

    /// The same for the index of a stack.
    pub(super) fn index_unchanged(&self, stack: &[DiffId]) -> Result<(), SnapshotError> {
        if self.files.is_sealed(INDEXES, &name_of_stack(stack))? {
            return Ok(());
        }
        let _shared = self.files.lock(Hold::Shared)?;
        let mut verified = Verified::default();
        self.verify_index(stack, &mut verified)?;
        settled("the index over the layers".to_owned(), verified)
    }

    /// Reads all that a container of these layers starts from once more, and refuses what is not what it must be:
    /// tars are hashed, an index and directories made again and compared. A directory whose packed bytes are not
    /// here cannot be.
    pub fn verify_stack(
        &self,
        form: Form,
        stack: &[DiffId],
        packed: OpenPacked<'_>,
    ) -> Result<(), SnapshotError> {
        let _shared = self.files.lock(Hold::Shared)?;
        for diff_id in stack {
            let (name, mut verified) = (name_of(&diff_id.0), Verified::default());
            match form {
                Form::Index => self.verify_tar(&name, &mut verified)?,
                Form::Directories => self.verify_directory(&name, packed, &mut verified)?,
            }
            if verified.unread > 0 {
                let path = self.files.path(DIRECTORIES, &name);
                let what = "its packed bytes are not here to be compared with".to_owned();
                verified.damages.push(Damage { path, what });
            }
            settled(format!("layer {diff_id}"), verified)?;
        }
        let mut verified = Verified::default();
        match form {
            Form::Index => self.verify_index(stack, &mut verified)?,
            Form::Directories => self.verify_over(stack, &mut verified)?,
        }
        settled("what stands over the layers".to_owned(), verified)
    }
}

fn settled(object: String, verified: Verified) -> Result<(), SnapshotError> {
    match verified.damages.into_iter().next() {
        None => Ok(()),
        Some(Damage { path, what }) => Err(SnapshotError::Changed { object, path, what }),
    }
}
