//! The directory of the snapshots: staging, publishing, belief and the lock.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::{SnapshotError, io_error};

pub(super) const TARS: &str = "tars";
pub(super) const INDEXES: &str = "indexes";
pub(super) const DIRECTORIES: &str = "directories";
pub(super) const UNSYNCED: &str = "unsynced";
pub(super) const LEASES: &str = "leases";
pub(super) const STAGED: &str = "staged";
pub(super) const SEALS: &str = "seals";
const LOCK: &str = "lock";
const MOUNTS: &str = "mounts";

/// Every folder, made when the snapshots are opened.
const FOLDERS: [&str; 7] = [TARS, INDEXES, DIRECTORIES, UNSYNCED, LEASES, STAGED, SEALS];

/// Most bytes of a note; a boot's name has 36.
pub(super) const MAX_NOTE: u64 = 64 * 1024;

/// Says which boot of the machine this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// How the lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// By who publishes or takes a lease.
    Shared,
    /// By who deletes.
    Exclusive,
}

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Files {
    root: PathBuf,
    boot: String,
}

/// A form on its way in; gone when dropped unpublished.
pub(super) struct Staging {
    pub(super) path: PathBuf,
    /// Locked while the form is made: collection leaves it alone.
    _lock: File,
    note: PathBuf,
    published: bool,
}

impl Files {
    pub(super) fn open(root: &Path) -> Result<Self, SnapshotError> {
        for folder in std::iter::once("").chain(FOLDERS) {
            let path = root.join(folder);
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(io_error(&path, "creation"))?;
        }
        let boot = read_note(Path::new(BOOT)).map_err(io_error(BOOT, "reading"))?;
        Ok(Self { root: root.to_owned(), boot: boot.trim().to_owned() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn folder(&self, folder: &str) -> PathBuf {
        self.root.join(folder)
    }

    pub(super) fn path(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(folder).join(name)
    }

    /// Whether in this boot an index could be mounted from here.
    pub(super) fn is_noted_to_mount(&self) -> bool {
        read_note(&self.root.join(MOUNTS)).is_ok_and(|boot| boot == self.boot)
    }

    /// Notes that one could; where that fails, it is tried again.
    pub(super) fn note_that_it_mounts(&self) {
        let part = self.root.join(format!("{MOUNTS}.{}", std::process::id()));
        let opened = open_private(&part, OpenOptions::new().create(true).truncate(true));
        let written = opened.and_then(|mut file| file.write_all(self.boot.as_bytes()));
        let put = written.and_then(|()| std::fs::rename(&part, self.root.join(MOUNTS)));
        if put.is_err() {
            let _ = std::fs::remove_file(&part);
        }
    }

    /// The note that says in which boot a form was made.
    pub(super) fn note(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(UNSYNCED).join(format!("{folder}-{name}"))
    }

    /// Whether a form is there, and was synced or made in this boot.
    pub(super) fn is_believed(&self, folder: &str, name: &str) -> bool {
        if !self.path(folder, name).exists() {
            return false;
        }
        match read_note(&self.note(folder, name)) {
            Ok(boot) => boot == self.boot,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Takes the lock until the file is dropped.
    pub(super) fn lock(&self, hold: Hold) -> Result<File, SnapshotError> {
        let path = self.root.join(LOCK);
        let file = open_private(&path, OpenOptions::new().create(true))
            .map_err(io_error(&path, "open"))?;
        let operation = match hold {
            Hold::Shared => FlockOperation::LockShared,
            Hold::Exclusive => FlockOperation::LockExclusive,
        };
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => return Ok(file),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io_error(&path, "lock")(errno.into())),
            }
        }
    }

    /// A place for a new form: nothing is at its path yet.
    pub(super) fn stage(&self) -> Result<Staging, SnapshotError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let _shared = self.lock(Hold::Shared)?;
        loop {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{count}", std::process::id());
            let (path, note) =
                (self.path(STAGED, &name), self.path(STAGED, &format!("{name}.note")));
            let lock = self.path(STAGED, &format!("{name}.lock"));
            match open_private(&lock, OpenOptions::new().create_new(true)) {
                Ok(file) => {
                    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
                        .map_err(|errno| io_error(&lock, "lock")(errno.into()))?;
                    return Ok(Staging { path, _lock: file, note, published: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error(&lock, "creation")(error)),
            }
        }
    }

    /// Gives a staged form its name; one that is there and is believed stays.
    pub(super) fn publish(
        &self,
        mut staging: Staging,
        folder: &str,
        name: &str,
    ) -> Result<PathBuf, SnapshotError> {
        let target = self.path(folder, name);
        let _shared = self.lock(Hold::Shared)?;
        if self.is_believed(folder, name) {
            return Ok(target);
        }
        // The note lasts before the name does, so that no crash leaves the name alone.
        let note = self.note(folder, name);
        let write = || -> io::Result<()> {
            let mut file = open_private(&staging.note, OpenOptions::new().create_new(true))?;
            file.write_all(self.boot.as_bytes())?;
            file.sync_data()?;
            std::fs::rename(&staging.note, &note)?;
            File::open(self.folder(UNSYNCED))?.sync_all()
        };
        write().map_err(io_error(&note, "writing"))?;
        match std::fs::rename(&staging.path, &target) {
            // What an earlier boot left unsynced, or another process published meanwhile.
            Err(error) if is_in_the_way(&error) => {
                let aside = staging.path.with_extension("old");
                std::fs::rename(&target, &aside).map_err(io_error(&target, "rename"))?;
                std::fs::rename(&staging.path, &target).map_err(io_error(&target, "rename"))?;
                std::fs::remove_dir_all(&aside).map_err(io_error(&aside, "removal"))?;
            }
            done => done.map_err(io_error(&target, "rename"))?,
        }
        staging.published = true;
        self.seal(folder, name)?;
        Ok(target)
    }
}

fn is_in_the_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now, the next collection removes.
        if !self.published {
            let _ = std::fs::remove_file(&self.path);
            let _ = std::fs::remove_dir_all(&self.path);
            let _ = std::fs::remove_file(&self.note);
        }
        let _ = std::fs::remove_file(self.path.with_extension("lock"));
    }
}

/// Opens a file of ours for reading and writing, never through a link.
pub(super) fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.read(true).write(true).mode(0o600).custom_flags(no_follow).open(path)
}

/// A small text of ours.
pub(super) fn read_note(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_NOTE).read_to_string(&mut text)?;
    Ok(text)
}
