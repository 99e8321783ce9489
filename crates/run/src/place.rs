//! Where containers live on disk: directories, names, locks, files written whole.

use crate::error::{Doing, Result, RunError};
use crate::{Clock, Container, ContainerId, PodId};
use rustix::fs::{CWD, FlockOperation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest file of a container that is read whole.
const MAX_FILE: u64 = 4 << 20;
/// How often the lock is tried; a reader of the state holds it for a moment.
const LOCK_TRIES: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// All containers below one directory, and the clock that dates what happens to them.
#[derive(Clone, Debug)]
pub struct Containers {
    pub(crate) root: PathBuf,
    pub(crate) clock: Clock,
}

/// The directory of one container.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) id: ContainerId,
    pub(crate) dir: PathBuf,
}

/// A lock on a container: the monitor's while it lives, or a verb's for a moment.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code)] File);

impl Containers {
    /// The containers below `root`, which is made, readable by its owner alone, when it is missing.
    pub fn open(root: &Path, clock: Clock) -> Result<Self> {
        for name in ["containers", "embryos", "garbage", "names", "pods", "runtime"] {
            let path = root.join(name);
            make_directories(&path).doing(|| format!("make {}", path.display()))?;
        }
        let root = root.canonicalize().doing(|| format!("find {}", root.display()))?;
        Ok(Self { root, clock })
    }

    /// The directory they live below.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of a container, as [`crate::Prepare`] gets it.
    pub fn directory(&self, id: &ContainerId) -> PathBuf {
        self.place(id).dir
    }

    /// Where a container's runtime bundle is.
    pub fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.place(id).bundle()
    }

    pub(crate) fn place(&self, id: &ContainerId) -> Place {
        Place { id: id.clone(), dir: self.root.join("containers").join(id.as_str()) }
    }

    pub(crate) fn embryo(&self, id: &ContainerId) -> Place {
        Place { id: id.clone(), dir: self.root.join("embryos").join(id.as_str()) }
    }

    pub(crate) fn garbage(&self, id: &ContainerId) -> Place {
        Place { id: id.clone(), dir: self.root.join("garbage").join(id.as_str()) }
    }

    pub(crate) fn pod(&self, id: &PodId) -> Place {
        Place { id: id.0.clone(), dir: self.root.join("pods").join(id.as_str()) }
    }

    pub(crate) fn runtime_root(&self) -> PathBuf {
        self.root.join("runtime")
    }

    /// The ids of one of the directories, in order.
    pub(crate) fn ids(&self, directory: &str) -> Result<Vec<ContainerId>> {
        let path = self.root.join(directory);
        let entries = fs::read_dir(&path).doing(|| format!("list {}", path.display()))?;
        let mut ids: Vec<ContainerId> = entries
            .filter_map(|entry| ContainerId::parse(entry.ok()?.file_name().to_str()?))
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// The container that `text` means: its name, its id, or the beginning of one id alone.
    pub fn find(&self, text: &str) -> Result<ContainerId> {
        if let Some(id) = ContainerId::parse(text).filter(|id| self.place(id).dir.is_dir()) {
            return Ok(id);
        }
        if crate::id::check_name(text).is_ok()
            && let Some(id) = self.holder(text)
        {
            return Ok(id);
        }
        let mut begin = self.ids("containers")?;
        begin.retain(|id| !text.is_empty() && id.as_str().starts_with(text));
        match begin.len() {
            0 => Err(RunError::NotFound(text.to_owned())),
            1 => begin.pop().ok_or_else(|| RunError::NotFound(text.to_owned())),
            _ => Err(RunError::Ambiguous(text.to_owned())),
        }
    }

    /// Who has a name now. A link whose container is gone, or has another name, holds nothing.
    pub(crate) fn holder(&self, name: &str) -> Option<ContainerId> {
        let target = fs::read_link(self.root.join("names").join(name)).ok()?;
        let id = ContainerId::parse(target.to_str()?)?;
        (self.place(&id).name().ok()? == name).then_some(id)
    }

    /// Runs `act` while no other process changes names.
    pub(crate) fn with_names<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.root.join("names.lock");
        let file = open_lock(&path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .doing(|| format!("lock {}", path.display()))?;
        act()
    }

    /// Points a name at a container; only inside [`Self::with_names`].
    pub(crate) fn take_name(&self, name: &str, id: &ContainerId) -> Result<()> {
        if let Some(holder) = self.holder(name).filter(|holder| holder != id) {
            return Err(RunError::NameTaken { name: name.to_owned(), id: holder });
        }
        self.drop_name(name)?;
        let path = self.root.join("names").join(name);
        symlink(id.as_str(), &path).doing(|| format!("write {}", path.display()))
    }

    pub(crate) fn drop_name(&self, name: &str) -> Result<()> {
        let path = self.root.join("names").join(name);
        absent_is_fine(fs::remove_file(&path)).doing(|| format!("remove {}", path.display()))
    }

    pub(crate) fn container(&self, id: &ContainerId) -> Result<Container> {
        let place = self.place(id);
        place.read("container.json")?.ok_or_else(|| RunError::NotFound(id.to_string()))
    }
}

impl Place {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.file("bundle")
    }

    /// The name now: the target of a link, which costs less than a file.
    pub(crate) fn name(&self) -> Result<String> {
        let path = self.file("name");
        let target = fs::read_link(&path).doing(|| format!("read {}", path.display()))?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// Gives it a name, in place of the one it has.
    pub(crate) fn set_name(&self, name: &str) -> Result<()> {
        let (path, part) = (self.file("name"), self.file(&format!(".name.{}", std::process::id())));
        absent_is_fine(fs::remove_file(&part))
            .and_then(|()| symlink(name, &part))
            .and_then(|()| fs::rename(&part, &path))
            .doing(|| format!("write {}", path.display()))
    }

    /// Reads a file of the container; `None` when it is missing.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.file(name);
        let bytes = match read_bounded(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.doing(|| format!("read {}", path.display()))?,
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| RunError::Damaged { path, source })
    }

    pub(crate) fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let bytes = serde_json::to_vec(value)
            .map_err(|source| RunError::Damaged { path: self.file(name), source })?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
            // It could not be read again.
            let large = io::Error::new(io::ErrorKind::FileTooLarge, "longer than 4 MiB");
            return Err(large).doing(|| format!("write {}", self.file(name).display()));
        }
        self.write_bytes(name, &bytes)
    }

    /// Writes a file beside and renames it, so that a reader finds the old or the new. It is not synced: a
    /// start must not wait for a disk, and after a loss of power no container runs in any case.
    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.file(name);
        let part = self.file(&format!(".{name}.{}", std::process::id()));
        let written = create(&part).and_then(|mut file| {
            file.write_all(bytes)?;
            put(&part, &path)
        });
        written.doing(|| format!("write {}", path.display()))
    }

    /// Brings a file and its name to the disk; where that fails, the next loss of power decides.
    pub(crate) fn sync(&self, name: &str) {
        for path in [self.file(name), self.dir.clone()] {
            let _ = File::open(path).and_then(|file| file.sync_all());
        }
    }

    pub(crate) fn clear(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        absent_is_fine(fs::remove_file(&path)).doing(|| format!("remove {}", path.display()))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    /// Takes the container's lock, or `None` when a monitor has it or the container is gone.
    pub(crate) fn lock(&self) -> Result<Option<Lock>> {
        let path = &self.dir;
        let Ok(file) = File::open(path) else { return Ok(None) };
        for _ in 0..LOCK_TRIES {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let held = file.metadata().map(|held| (held.dev(), held.ino())).ok();
                    let here = fs::metadata(path).map(|here| (here.dev(), here.ino())).ok();
                    return Ok((held.is_some() && held == here).then_some(Lock(file)));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
                Err(error) => return Err(error).doing(|| format!("lock {}", path.display())),
            }
        }
        Ok(None)
    }

    /// Whether a monitor holds the lock.
    pub(crate) fn monitored(&self) -> Result<bool> {
        let path = &self.dir;
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.doing(|| format!("open {}", path.display()))?,
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error).doing(|| format!("lock {}", path.display())),
        }
    }
}

/// Puts a file in the place of another, at once. The two are exchanged: some file systems write the new one
/// out to the disk when it replaces the old one, and what lives for one run shall not wait for that.
fn put(part: &Path, path: &Path) -> io::Result<()> {
    let exchange = rustix::fs::RenameFlags::EXCHANGE;
    match rustix::fs::renameat_with(CWD, part, CWD, path, exchange) {
        Ok(()) => fs::remove_file(part),
        // There is none yet, or the file system cannot.
        Err(_) => fs::rename(part, path),
    }
}

/// Makes a file that nobody but its owner reads, in place of what it held.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
}

/// Writes one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create(path)?.write_all(bytes)
}

/// Makes a directory that nobody but its owner enters, with the parents that are missing.
pub(crate) fn make_directories(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a lock file, made when missing.
pub(crate) fn open_lock(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .doing(|| format!("open {}", path.display()))
}

pub(crate) fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE) {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 4 MiB"))
}
