//! A directory becomes a layer. Every file is reached through the descriptor of its directory and
//! no symbolic link is followed, so that a tree that changes meanwhile cannot lead outside.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, fstat, open, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::pack::{FirstNames, Marks, PackOptions, PackedTree, RootEntry, link_to};
use crate::seen::read_attributes;
use crate::upper::{self, Mark};
use crate::{Attributes, Entry, EntryKind, EntryPosition, LayerError, Packer, TarWriter, TreePath};

/// Packs the tree below `root` into `out`.
///
/// Entries are in canonical order (see [`TreePath`]); files with several names become hard links.
/// Sockets are left out and reported. A file whose name begins with `.wh.` is refused, since it
/// would hide another one; a file that changes while it is read is [`LayerError::Changed`].
/// Extended attributes are read from files and directories, not from links, devices and pipes.
pub fn pack_directory<W: Write>(
    root: &Path,
    options: &PackOptions,
    out: W,
) -> Result<(PackedTree, W), LayerError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(root, flags, Mode::empty()).map_err(|errno| LayerError::File {
        path: root.to_path_buf(),
        action: "opening the root",
        source: errno.into(),
    })?;
    let mut walk = Walk {
        options,
        writer: TarWriter::new(Packer::new(out, options.packing)?),
        first_names: FirstNames::new(),
        entries: 0,
        skipped: Vec::new(),
        unpacked: 0,
    };
    walk.root(&directory)?;
    walk.tree(directory)?;
    let Walk { writer, entries, skipped, .. } = walk;
    let (packed, out) = writer.finish()?.finish()?;
    Ok((PackedTree { packed, entries, skipped }, out))
}

struct Walk<'a, W: Write> {
    options: &'a PackOptions,
    writer: TarWriter<Packer<W>>,
    first_names: FirstNames<(u64, u64)>,
    entries: u64,
    skipped: Vec<TreePath>,
    unpacked: u64,
}

/// A directory on the way down: its descriptor and the names still to come, the last one first.
struct Level {
    directory: OwnedFd,
    path: TreePath,
    names: Vec<CString>,
}

impl<W: Write> Walk<'_, W> {
    fn root(&mut self, directory: &OwnedFd) -> Result<(), LayerError> {
        if self.options.root == RootEntry::Omit {
            return Ok(());
        }
        let path = TreePath::root();
        let stat = fstat(directory).map_err(failed(&path, "reading metadata"))?;
        let Some(mut entry) = Entry::seen(&stat, &path)? else { return Ok(()) };
        entry.xattrs = self.xattrs(directory, &path)?;
        self.put(entry, &path)
    }

    /// Walks with a stack of its own: the depth of a tree is bounded by a limit, not by the stack.
    fn tree(&mut self, root: OwnedFd) -> Result<(), LayerError> {
        let mut levels = vec![level(root, TreePath::root())?];
        while let Some(top) = levels.last_mut() {
            let Some(name) = top.names.pop() else {
                levels.pop();
                continue;
            };
            let path = top.path.join(name.to_bytes());
            if self.options.excludes(&path) {
                continue;
            }
            self.options.check_path(&path)?;
            if let Some(directory) = self.child(top.directory.as_fd(), &name, &path)? {
                levels.push(level(directory, path)?);
            }
        }
        Ok(())
    }

    /// Packs one name; a directory is returned opened, to be walked next.
    fn child(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: &TreePath,
    ) -> Result<Option<OwnedFd>, LayerError> {
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed(path, "reading metadata"))?;
        let Some(mut entry) = Entry::seen(&stat, path)? else {
            self.skipped.push(path.clone());
            return Ok(None);
        };
        let kind = entry.kind;
        let marked = self.options.marks == Marks::Whiteouts;
        // Before links are: an overlay gives all of its whiteouts one inode.
        if marked && upper::is_whiteout(&stat) {
            return self.hide(path, name).map(|()| None);
        }
        if kind != EntryKind::Directory
            && stat.st_nlink > 1
            && let Some(first) = self.first_names.claim((stat.st_dev, stat.st_ino), path)
        {
            link_to(&mut entry, &first);
            return self.put(entry, path).map(|()| None);
        }
        let found = Found { parent, name, path, stat };
        match kind {
            EntryKind::File => {
                // A pipe that took the place of the file must not block the opening.
                let file = found.open(OFlags::NONBLOCK)?;
                if marked && upper::mark(&file, kind, path)? == Mark::Gone {
                    return self.hide(path, name).map(|()| None);
                }
                self.file(file, entry, path).map(|()| None)
            }
            EntryKind::Directory => {
                let directory = found.open(OFlags::DIRECTORY)?;
                entry.xattrs = self.xattrs(&directory, path)?;
                self.put(entry, path)?;
                if marked && upper::mark(&directory, kind, path)? == Mark::Opaque {
                    let (entry, path) = upper::opaque(path);
                    self.put(entry, &path)?;
                }
                Ok(Some(directory))
            }
            EntryKind::Symlink => {
                let target = readlinkat(parent, name, Vec::new());
                entry.link = target.map_err(failed(path, "reading the link"))?.into_bytes();
                self.put(entry, path).map(|()| None)
            }
            _ => self.put(entry, path).map(|()| None),
        }
    }

    /// Packs the whiteout of a name.
    fn hide(&mut self, path: &TreePath, name: &CStr) -> Result<(), LayerError> {
        let parent = path.split().map_or_else(TreePath::root, |(parent, _)| parent);
        let (entry, path) = upper::whiteout(&parent, name);
        self.put(entry, &path)
    }

    /// Packs a regular file with its content.
    fn file(&mut self, file: OwnedFd, mut entry: Entry, path: &TreePath) -> Result<(), LayerError> {
        entry.xattrs = self.xattrs(&file, path)?;
        self.options.canonical(&mut entry, path);
        self.count(&entry)?;
        self.writer.file(&entry, File::from(file)).map_err(|error| match error {
            LayerError::Read(source) => {
                LayerError::File { path: path.to_path_buf(), action: "reading", source }
            }
            other => other,
        })
    }

    /// Packs an entry without content.
    fn put(&mut self, mut entry: Entry, path: &TreePath) -> Result<(), LayerError> {
        self.options.canonical(&mut entry, path);
        entry.refuse_device()?;
        self.count(&entry)?;
        self.writer.entry(&entry)
    }

    fn count(&mut self, entry: &Entry) -> Result<(), LayerError> {
        self.entries += 1;
        self.unpacked = self.unpacked.saturating_add(entry.size);
        let limits = &self.options.limits;
        for (what, value, limit) in [
            ("entries", self.entries, limits.entries),
            ("unpacked", self.unpacked, limits.unpacked),
        ] {
            if value > limit {
                return Err(LayerError::Limit { entry: entry.place(), what, limit });
            }
        }
        Ok(())
    }

    /// The attributes that the layer keeps.
    fn xattrs(&self, file: impl AsFd, path: &TreePath) -> Result<Attributes, LayerError> {
        read_attributes(file, |name| self.options.keeps_xattr(name))
            .map_err(failed(path, "reading attributes"))
    }
}

fn failed(path: &TreePath, action: &'static str) -> impl Fn(Errno) -> LayerError {
    let path = path.to_path_buf();
    move |errno| LayerError::File { path: path.clone(), action, source: errno.into() }
}

/// A name in a directory and what was seen under it.
struct Found<'a> {
    parent: BorrowedFd<'a>,
    name: &'a CStr,
    path: &'a TreePath,
    stat: Stat,
}

impl Found<'_> {
    /// Opens the name for reading and makes sure that it is still what was seen.
    fn open(&self, flags: OFlags) -> Result<OwnedFd, LayerError> {
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(self.parent, self.name, flags, Mode::empty())
            .map_err(failed(self.path, "opening"))?;
        let now = fstat(&file).map_err(failed(self.path, "reading metadata"))?;
        let identity = |stat: &Stat| (stat.st_dev, stat.st_ino, stat.st_mode);
        if identity(&now) != identity(&self.stat) {
            return Err(LayerError::Changed { entry: place(self.path) });
        }
        Ok(file)
    }
}

fn place(path: &TreePath) -> EntryPosition {
    EntryPosition { name: path.as_bytes().to_vec(), offset: 0 }
}

/// The names of a directory, the last one in canonical order first.
fn level(directory: OwnedFd, path: TreePath) -> Result<Level, LayerError> {
    let mut names = Vec::new();
    let listing = Dir::read_from(&directory).map_err(failed(&path, "listing"))?;
    for item in listing {
        let item = item.map_err(failed(&path, "listing"))?;
        let name = item.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    names.sort_by(|a, b| b.cmp(a));
    Ok(Level { directory, path, names })
}
