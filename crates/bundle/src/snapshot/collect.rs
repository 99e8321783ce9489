//! Taking away the forms that nobody needs: unlinking a few files.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use corten_spec::DiffId;
use rustix::fs::FlockOperation;

use super::error::{SnapshotError, io_error};
use super::files::{self, DIRECTORIES, Hold, INDEXES, SEALS, STAGED, TARS, UNSYNCED};
use super::{Snapshots, name_of, name_of_stack, verity};

/// What a collection took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Forms of layers, and indexes.
    pub forms: u64,
    /// Forms that were never finished.
    pub staged: u64,
    /// Bytes of the files among them. What directories hold is not counted.
    pub bytes: u64,
}

impl Snapshots {
    /// Deletes the forms of layers and stacks that are not in `keep`, that no living process
    /// leases, and that were last used more than `grace` before `now`; and what dead processes
    /// left half made. To be called as a user who may delete what the layers hold.
    ///
    /// `keep` is asked once nobody can lease any more and the leases are known: what a process wrote down
    /// before it let go of its lease is seen there.
    pub fn collect<E: From<SnapshotError>>(
        &self,
        keep: impl FnOnce() -> Result<Vec<Vec<DiffId>>, E>,
        grace: Duration,
        now: SystemTime,
    ) -> Result<Swept, E> {
        let _exclusive = self.files.lock(Hold::Exclusive)?;
        let mut kept = self.leased()?;
        for stack in &keep()? {
            kept.insert(name_of_stack(stack));
            kept.extend(stack.iter().map(|diff_id| name_of(&diff_id.0)));
        }
        let cutoff = now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut swept = Swept::default();
        for folder in [INDEXES, TARS, DIRECTORIES] {
            self.sweep(folder, &kept, cutoff, &mut swept)?;
        }
        self.sweep_staged(&mut swept)?;
        self.sweep_notes()?;
        Ok(swept)
    }

    /// Makes what was made in this boot last beyond it, and has the kernel guard the content of its files where it
    /// can.
    pub fn settle(&self) -> Result<(), SnapshotError> {
        for note in names(&self.files.folder(UNSYNCED))? {
            let path = self.files.path(UNSYNCED, &note);
            let Some((folder, name)) = note.split_once('-') else { continue };
            let _shared = self.files.lock(Hold::Shared)?;
            if !self.files.is_believed(folder, name) {
                continue;
            }
            let form = self.files.path(folder, name);
            // What was changed since is not made to seem well: it is found when it is next started from.
            let is_well = self.files.is_sealed(folder, name)?;
            let sync = || -> io::Result<()> {
                let file = File::open(&form)?;
                if file.metadata()?.is_dir() {
                    rustix::fs::syncfs(&file)?;
                } else {
                    file.sync_all()?;
                    if is_well {
                        verity::guard(&form);
                    }
                }
                File::open(self.files.folder(folder))?.sync_all()
            };
            match sync() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                done => done.map_err(io_error(&form, "sync"))?,
            }
            if is_well {
                self.files.seal(folder, name)?;
            }
            match std::fs::remove_file(&path) {
                // Somebody else settled it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(io_error(&path, "removal"))?,
            }
        }
        Ok(())
    }

    fn sweep(
        &self,
        folder: &str,
        kept: &BTreeSet<String>,
        cutoff: SystemTime,
        swept: &mut Swept,
    ) -> Result<(), SnapshotError> {
        for name in names(&self.files.folder(folder))? {
            let of = name.split('.').next().unwrap_or(&name);
            let path = self.files.path(folder, &name);
            let meta = std::fs::symlink_metadata(&path).map_err(io_error(&path, "stat"))?;
            let wanted = kept.contains(of) || used(&meta, &path)? > cutoff;
            // What an earlier boot left unsynced is of no use, whoever wants it.
            if wanted && self.files.is_believed(folder, &name) {
                continue;
            }
            if meta.is_dir() {
                // Out of its name first: what is half deleted must not be taken for a layer.
                let gone = self.files.path(STAGED, &format!("gone-{name}"));
                std::fs::rename(&path, &gone).map_err(io_error(&path, "rename"))?;
                std::fs::remove_dir_all(&gone).map_err(io_error(&gone, "removal"))?;
            } else {
                std::fs::remove_file(&path).map_err(io_error(&path, "removal"))?;
                swept.bytes = swept.bytes.saturating_add(meta.len());
            }
            self.files.unseal(folder, &name)?;
            swept.forms += 1;
        }
        Ok(())
    }

    /// What no living process is making.
    fn sweep_staged(&self, swept: &mut Swept) -> Result<(), SnapshotError> {
        let folder = self.files.folder(STAGED);
        let all = names(&folder)?;
        let mut busy = BTreeSet::new();
        for lock in all.iter().filter(|name| name.ends_with(".lock")) {
            let path = folder.join(lock);
            let Ok(file) = files::open_private(&path, &mut OpenOptions::new()) else { continue };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                busy.insert(lock.trim_end_matches(".lock").to_owned());
            }
        }
        for name in all {
            if name.split('.').next().is_some_and(|of| busy.contains(of)) {
                continue;
            }
            let path = folder.join(&name);
            let meta = std::fs::symlink_metadata(&path).map_err(io_error(&path, "stat"))?;
            if meta.is_dir() {
                std::fs::remove_dir_all(&path).map_err(io_error(&path, "removal"))?;
            } else {
                std::fs::remove_file(&path).map_err(io_error(&path, "removal"))?;
                swept.bytes = swept.bytes.saturating_add(meta.len());
            }
            swept.staged += u64::from(!name.ends_with(".lock"));
        }
        Ok(())
    }

    /// Notes and seals of forms that are gone, and of forms that an earlier boot did not sync.
    fn sweep_notes(&self) -> Result<(), SnapshotError> {
        let of = |folder| Ok::<_, SnapshotError>((folder, names(&self.files.folder(folder))?));
        let (notes, seals) = (of(UNSYNCED)?, of(SEALS)?);
        let all = [&notes, &seals];
        for (folder, note) in all.iter().flat_map(|(at, all)| all.iter().map(move |one| (at, one)))
        {
            let path = self.files.path(folder, note);
            let form = note.split_once('-').map(|(folder, name)| self.files.path(folder, name));
            if form.is_none_or(|form| !form.exists()) {
                std::fs::remove_file(&path).map_err(io_error(&path, "removal"))?;
            }
        }
        Ok(())
    }
}

/// When a form was last used: that is written in the time of the last access. Directories keep the times of their
/// layer, so the change of the inode counts for them.
fn used(meta: &Metadata, path: &Path) -> Result<SystemTime, SnapshotError> {
    if meta.is_dir() {
        use std::os::unix::fs::MetadataExt as _;
        let seconds = u64::try_from(meta.ctime()).unwrap_or_default();
        return Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    }
    let made = meta.modified().map_err(io_error(path, "stat"))?;
    Ok(meta.accessed().map_or(made, |used| used.max(made)))
}

fn names(folder: &Path) -> Result<Vec<String>, SnapshotError> {
    let listing = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            // A name that is no UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    };
    listing().map_err(io_error(folder, "listing"))
}
