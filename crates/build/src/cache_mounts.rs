//! What `RUN --mount=type=cache` keeps between builds: directories by names, each with a lock that is held while a
//! step uses it.
//!
//! ```text
//! <place>/caches/<name>/about     what the name stands for
//! <place>/caches/<name>/N.lock    held by who uses N: shared by some, alone by others, alone by who removes it
//! <place>/caches/<name>/N         what is in it; there whole, with what it begins with, or not at all
//! <place>/caches/<name>/N.size    how large it was when that was looked at last
//! ```

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_bundle::Powers;
use corten_dockerfile::{FileAccess, MountAccess, MountKind, Sharing};
use corten_layer::{
    Apply, Compression, CopyOwners, CopyTree, Devices, Limits, PackOptions, Precision, Root,
    RootEntry, Whiteouts, apply, copy_tree,
};
use corten_store::private;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::cache::{open_lock, touch, write};
use crate::error::{Result, failed, of_layer, refused};
use crate::key::KeyHasher;
use crate::lookup::is_directory;
use crate::mounts::{Mounted, Wanted, bound, set_access};
use crate::stage::StageRun;

/// Where they are, below the builder's place.
pub(crate) const CACHES: &str = "caches";
/// How often a lock is tried before it counts as taken, and the pause between.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(2);
/// The file that says what a name stands for.
pub(crate) const ABOUT: &str = "about";

/// What names a cache.
pub(crate) struct CacheName {
    /// The name of its directory.
    pub(crate) name: String,
    /// What it begins with, where that is something.
    pub(crate) base: Option<String>,
    pub(crate) about: CacheAbout,
}

/// What the name of a cache stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CacheAbout {
    pub(crate) id: String,
    pub(crate) target: String,
}

impl StageRun<'_> {
    /// The name of a cache. One that begins with the files of something is another one for other files.
    pub(crate) fn cache_name(&self, wanted: &Wanted) -> Result<CacheName> {
        let MountKind::Cache { id, source, .. } = &wanted.mount.kind else {
            return refused("it is no cache");
        };
        let id = id.clone().unwrap_or_else(|| wanted.target.clone());
        let namespace = self.session.plan.inputs.args.get("BUILDKIT_CACHE_MOUNT_NS");
        let namespace = namespace.map(String::as_str).unwrap_or_default();
        // An id is any text: it becomes no path.
        let mut name = KeyHasher::new("cache mount").field(namespace).field(&id);
        let mut base = None;
        if wanted.from.is_some() {
            let key = self.taken_key(KeyHasher::new("cache base"), wanted, source)?.finish();
            name = name.field(key.as_str());
            base = Some(key.as_str().to_owned());
        }
        let name = name.finish().as_str().to_owned();
        Ok(CacheName { name, base, about: CacheAbout { id, target: wanted.target.clone() } })
    }

    /// Takes the caches of a step, all before anything is mounted and in one order: two steps never wait for each
    /// other.
    pub(crate) fn take_caches(&self, all: &[Wanted], made: &mut Mounted) -> Result<()> {
        let is_cache = |wanted: &&Wanted| matches!(wanted.mount.kind, MountKind::Cache { .. });
        let named =
            all.iter().filter(is_cache).map(|wanted| Ok((self.cache_name(wanted)?, wanted)));
        let mut named = named.collect::<Result<Vec<_>>>()?;
        named.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        named.into_iter().try_for_each(|(named, wanted)| self.take_cache(named, wanted, made))
    }

    /// Mounts a cache that was taken.
    pub(crate) fn cache(&self, wanted: &Wanted, made: &mut Mounted) -> Result<()> {
        let named = self.cache_name(wanted)?;
        let is_read_only = wanted.mount.access == MountAccess::ReadOnly;
        if let Some(data) = made.caches.get(&named.name) {
            made.mounts.push(bound(data, &wanted.target, is_read_only));
        }
        Ok(())
    }

    /// Takes a cache, which is made where it is missing.
    fn take_cache(&self, named: CacheName, wanted: &Wanted, made: &mut Mounted) -> Result<()> {
        let MountKind::Cache { sharing, access, .. } = &wanted.mount.kind else { return Ok(()) };
        if made.caches.contains_key(&named.name) {
            return Ok(());
        }
        let place = self.session.builder.place.join(CACHES).join(&named.name);
        let (lock, number) = taken(&place, *sharing)?;
        let data = place.join(number.to_string());
        if !data.exists() {
            self.fresh(wanted, *access, (&data, &named.name))?;
        }
        let about = place.join(ABOUT);
        if !about.exists() {
            write(&about, &named.about)?;
        }
        made.locks.push(lock);
        made.caches.insert(named.name, data);
        Ok(())
    }

    /// Makes a cache: empty, or with what it begins with. It gets its name when it is whole.
    fn fresh(
        &self,
        wanted: &Wanted,
        access: FileAccess,
        (data, name): (&Path, &str),
    ) -> Result<()> {
        let shown = data.display();
        let place = data.parent().unwrap_or(data);
        let mut builder = tempfile::Builder::new();
        let staged = builder.permissions(private::of_directories()).tempdir_in(place);
        let staged = staged.map_err(failed(&shown, "creation"))?;
        let MountKind::Cache { source, .. } = &wanted.mount.kind else { return Ok(()) };
        if self.session.import_mount(name, staged.path())? {
            // It is as it was there.
        } else if wanted.from.is_some() {
            let taken = self.taken(wanted, source)?;
            if !is_directory(&taken.entry) {
                return refused(format!("--mount=type=cache: {source} is not a directory"));
            }
            let from = taken.look.path.join(taken.path.to_path_buf());
            self.copy_tree(&from, staged.path())?;
            if access != FileAccess::default() {
                let mode = staged.path().metadata().map_err(failed(&shown, "reading metadata"))?;
                set_access(staged.path(), access, mode.mode() & 0o7777)?;
            }
        } else {
            set_access(staged.path(), access, 0o755)?;
        }
        match std::fs::rename(staged.path(), data) {
            Ok(()) => drop(staged.keep()),
            // Another build was faster.
            Err(_) if data.exists() => {}
            Err(error) => return Err(failed(&shown, "creation")(error)),
        }
        Ok(())
    }

    /// Fills a new cache from a tree, by descriptors and with its holes.
    fn copy_tree(&self, from: &Path, to: &Path) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |path: &Path| {
            let opened = rustix::fs::open(path, flags, Mode::empty());
            opened.map_err(failed(path.display(), "opening"))
        };
        let owners = match self.session.builder.powers {
            Powers::OneId => CopyOwners::Caller,
            _ => CopyOwners::Keep,
        };
        let is_unwanted = || self.session.is_over();
        let how = CopyTree { limits: Limits::default(), owners, is_unwanted: &is_unwanted };
        copy_tree(open(from)?.as_fd(), open(to)?.as_fd(), &how)
            .map_err(of_layer(from.display()))?;
        Ok(())
    }
}

/// How the files of a cache are packed: with their owners, modes and times.
pub(crate) fn cache_options(compression: Compression) -> PackOptions {
    let mut options = PackOptions::new(compression);
    options.precision = Precision::Nanoseconds;
    options.root = RootEntry::Keep;
    options
}

/// Unpacks the files of a cache into an empty directory.
pub(crate) fn fill(packed: impl std::io::Read, to: &Path, powers: Powers) -> Result<()> {
    let whiteouts = Whiteouts::Remove;
    let how = match powers {
        Powers::OneId => Apply::ordinary(whiteouts),
        _ => Apply { devices: Devices::Skip, ..Apply::faithful(whiteouts) },
    };
    let root = Root::open(to).map_err(of_layer(to.display()))?;
    apply(packed, &root, &how, Limits::default()).map_err(of_layer("the files of a cache"))?;
    Ok(())
}

/// Takes a cache for a step: the lock, and which of the directories of its name it is. Steps that share use one at
/// a time; a step that wants one alone takes the first that is free; one that locks waits for the first.
fn taken(place: &Path, sharing: Sharing) -> Result<(File, usize)> {
    let operation = match sharing {
        Sharing::Shared => FlockOperation::NonBlockingLockShared,
        Sharing::Private => FlockOperation::NonBlockingLockExclusive,
        Sharing::Locked => FlockOperation::LockExclusive,
    };
    let (mut number, mut tries) = (0, 0);
    loop {
        match locked(place, number, operation)? {
            Some(lock) => return Ok((lock, number)),
            // Who only looks whether it is in use has it for a moment.
            None if tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            None => (number, tries) = (number + 1, 0),
        }
    }
}

/// The lock of a directory; `None` where somebody else has it.
pub(crate) fn locked(
    place: &Path,
    number: usize,
    operation: FlockOperation,
) -> Result<Option<File>> {
    let path = lock_of(place, number);
    let wrong = |action| failed(path.display(), action);
    loop {
        private::make_directories(place).map_err(failed(place.display(), "creation"))?;
        let file = match open_lock(&path) {
            // Who removes caches has removed the directory meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.map_err(wrong("opening"))?,
        };
        match flock(&file, operation) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(wrong("lock")(errno.into())),
        }
        // What was removed and made again is another file, whose lock somebody else may hold.
        let is_it = is_same(&file, &path).map_err(wrong("reading metadata"))?;
        if is_it {
            touch(&file).map_err(wrong("change of times"))?;
            return Ok(Some(file));
        }
    }
}

pub(crate) fn lock_of(place: &Path, number: usize) -> PathBuf {
    place.join(format!("{number}.lock"))
}

fn is_same(file: &File, path: &Path) -> std::io::Result<bool> {
    let mine = file.metadata()?;
    match path.symlink_metadata() {
        Ok(there) => Ok((there.dev(), there.ino()) == (mine.dev(), mine.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
