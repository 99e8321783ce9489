//! Trees that files are taken from: a context, a stage, an image. Every file is reached below the root's
//! descriptor, and no link on the way is followed by the kernel.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_dockerfile::{Glob, IgnoreFile, ParentMatches, PathPattern};
use corten_layer::{Attributes, Entry, EntryKind, TreePath, read_attributes};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use crate::error::{Result, StepError, failed, of_layer, refused};
use crate::lookup::{LastLink, Resolved, Tree, resolve};

/// Most entries that one instruction takes.
const MAX_ENTRIES: usize = 2_000_000;
/// How deep a tree may be.
const MAX_DEPTH: usize = 256;
/// How often a lookup is repeated that a rename elsewhere disturbed.
const TRIES: usize = 8;

/// Whom the files belong to once they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owners {
    /// Root: who has a context is nobody in an image.
    Root,
    /// Whom they belong to.
    Keep,
}

/// A tree.
#[derive(Debug)]
pub(crate) struct Source {
    root: OwnedFd,
    shown: String,
    ignore: IgnoreFile,
    owners: Owners,
}

/// What tells a file from any other, and from itself after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) mtime: (i64, i64),
    pub(crate) ctime: (i64, i64),
    pub(crate) links: u64,
}

/// A file of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its path in the tree.
    pub(crate) path: TreePath,
    /// What it is; its name is its path.
    pub(crate) entry: Entry,
    /// Which file it is.
    pub(crate) identity: Identity,
}

impl Source {
    /// Opens the directory at `path`.
    pub(crate) fn open(path: &Path, ignore: IgnoreFile, owners: Owners) -> Result<Self> {
        let shown = path.display().to_string();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(path, flags, Mode::empty()).map_err(failed(&shown, "opening"))?;
        Ok(Self { root, shown, ignore, owners })
    }

    /// Opens what a path without links leads to.
    fn beneath(&self, path: &TreePath, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let name: &[u8] = if path.is_root() { b"." } else { path.as_bytes() };
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        for _ in 0..TRIES {
            // A look at a link itself is no way through it.
            let how = if flags.contains(OFlags::PATH) { ResolveFlags::BENEATH } else { how };
            match openat2(&self.root, name, flags, Mode::empty(), how) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    fn wrong(&self, path: &TreePath, action: &'static str) -> impl FnOnce(Errno) -> StepError {
        failed(format!("{}{path}", self.shown), action)
    }

    /// What is at a path, whether it is left out or not.
    fn look(&self, path: &TreePath) -> Result<Option<Found>> {
        match self.beneath(path, OFlags::PATH) {
            Ok(file) => {
                let stat = fstat(&file).map_err(self.wrong(path, "reading metadata"))?;
                self.found(file.as_fd(), c"", path.clone(), &stat)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(self.wrong(path, "opening")(errno)),
        }
    }

    fn found(
        &self,
        at: BorrowedFd<'_>,
        name: &std::ffi::CStr,
        path: TreePath,
        stat: &Stat,
    ) -> Result<Option<Found>> {
        let seen = Entry::seen(stat, &path).map_err(of_layer(&self.shown))?;
        let Some(mut entry) = seen else { return Ok(None) };
        if self.owners == Owners::Root {
            (entry.uid, entry.gid) = (0, 0);
        }
        if entry.kind == EntryKind::Symlink {
            let link = readlinkat(at, name, Vec::new());
            entry.link = link.map_err(self.wrong(&path, "reading the link"))?.into_bytes();
        }
        Ok(Some(Found { path, entry, identity: identity_of(stat) }))
    }

    /// What a path leads to, links followed within the tree; what is left out is not there.
    pub(crate) fn follow(&self, path: &str) -> Result<Option<Found>> {
        let Resolved { path, entry } = resolve(self, path.as_bytes(), LastLink::Follow)?;
        if entry.is_none() || self.leaves_out(&path) {
            return Ok(None);
        }
        self.look(&path)
    }

    fn leaves_out(&self, path: &TreePath) -> bool {
        let text = String::from_utf8_lossy(path.as_bytes());
        !path.is_root() && self.ignore.excludes(&text) && !self.ignore.may_let_in_below(&text)
    }

    /// The paths that a pattern matches, in order; the path itself where it is none.
    pub(crate) fn matches(&self, pattern: &str) -> Result<Vec<String>> {
        let clean = corten_dockerfile::clean_path(&format!("/{pattern}"));
        let clean = clean.trim_start_matches('/');
        if !Glob::is_pattern(clean) {
            return Ok(vec![clean.to_owned()]);
        }
        let parts: Vec<&str> = clean.split('/').collect();
        let fixed = parts.iter().take_while(|part| !Glob::is_pattern(part)).count();
        let (head, tail) = parts.split_at_checked(fixed).unwrap_or_default();
        let (head, tail) = (head.join("/"), tail.join("/"));
        let wrong = |error: corten_dockerfile::PatternError| StepError::Refused(error.to_string());
        let is_deep = tail.contains("**");
        let glob = Glob::parse(&tail).map_err(wrong)?;
        let deep = PathPattern::parse(&tail).map_err(wrong)?;
        let Some(start) = self.follow(&head)? else { return Ok(Vec::new()) };
        if start.entry.kind != EntryKind::Directory {
            return Ok(Vec::new());
        }
        let depth = if is_deep { usize::MAX } else { parts.len() - fixed };
        let mut matched = Vec::new();
        for found in self.walk(&start.path, &IgnoreFile::default(), depth)? {
            let below = below(&found.path, &start.path);
            let Ok(text) = std::str::from_utf8(below) else { continue };
            if if is_deep { deep.matches(text) } else { glob.matches(text) } {
                matched.push(if head.is_empty() {
                    text.to_owned()
                } else {
                    format!("{head}/{text}")
                });
            }
        }
        Ok(matched)
    }

    /// Everything below a directory down to a depth, each directory before what is in it, without what is left
    /// out here or by `also`, whose patterns are of paths below the directory.
    pub(crate) fn walk(
        &self,
        directory: &TreePath,
        also: &IgnoreFile,
        depth: usize,
    ) -> Result<Vec<Found>> {
        let mut walk = Walk { source: self, also, top: directory, depth, out: Vec::new() };
        let opened = self.beneath(directory, OFlags::RDONLY | OFlags::DIRECTORY);
        let opened = opened.map_err(self.wrong(directory, "opening"))?;
        let mut above = Vec::new();
        walk.directory(&opened, directory, &Known::default(), &mut above)?;
        Ok(walk.out)
    }

    /// Opens a file that was found, which must be what it was.
    pub(crate) fn read(&self, found: &TreePath, identity: &Identity) -> Result<File> {
        let file = self.beneath(found, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        let file = file.map_err(self.wrong(found, "opening"))?;
        let stat = fstat(&file).map_err(self.wrong(found, "reading metadata"))?;
        if identity_of(&stat) != *identity {
            return refused(format!("{}{found} changed while it was read", self.shown));
        }
        Ok(File::from(file))
    }

    /// The attributes that a copy keeps. Those of a context are its owner's own matter, as its owners are.
    pub(crate) fn kept_attributes(&self, found: &Found) -> Result<Attributes> {
        match self.owners {
            Owners::Root => Ok(Attributes::new()),
            Owners::Keep => self.attributes(found),
        }
    }

    /// The attributes of a file or directory that a layer can have.
    fn attributes(&self, found: &Found) -> Result<Attributes> {
        if !matches!(found.entry.kind, EntryKind::File | EntryKind::Directory) {
            return Ok(Attributes::new());
        }
        let path = &found.path;
        let file = match self.beneath(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            // Who cannot read it cannot copy it either; that is told then.
            Err(Errno::ACCESS) => return Ok(Attributes::new()),
            other => other.map_err(self.wrong(path, "opening"))?,
        };
        read_attributes(file, is_kept).map_err(self.wrong(path, "reading attributes"))
    }
}

/// Whether a copy keeps an attribute: what users set, and what a file may do; nothing of overlay's.
fn is_kept(name: &[u8]) -> bool {
    let users = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    users || name == b"security.capability"
}

impl Tree for Source {
    fn at(&self, path: &TreePath) -> Result<Option<Entry>> {
        Ok(self.look(path)?.map(|found| found.entry))
    }
}

/// What is known of the patterns at a directory.
#[derive(Clone, Default)]
struct Known {
    own: ParentMatches,
    also: ParentMatches,
}

struct Walk<'a> {
    source: &'a Source,
    also: &'a IgnoreFile,
    top: &'a TreePath,
    depth: usize,
    out: Vec<Found>,
}

impl Walk<'_> {
    /// `above` are directories that are left out unless something below is let in.
    fn directory(
        &mut self,
        at: &OwnedFd,
        path: &TreePath,
        known: &Known,
        above: &mut Vec<Found>,
    ) -> Result<()> {
        let level = path.components().count().saturating_sub(self.top.components().count());
        if level >= self.depth {
            return Ok(());
        }
        if level > MAX_DEPTH {
            return refused(format!("{}{path}: too deep", self.source.shown));
        }
        for name in self.names(at, path)? {
            let here = path.join(name.to_bytes());
            let stat = match statat(at, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(self.source.wrong(&here, "reading metadata"))?,
            };
            let (excluded, deeper, below) = self.judge(&here, known);
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if excluded && !(is_directory && deeper) {
                continue;
            }
            let Some(found) = self.source.found(at.as_fd(), &name, here.clone(), &stat)? else {
                continue;
            };
            if excluded {
                above.push(found);
            } else {
                self.out.append(above);
                self.out.push(found);
            }
            if self.out.len() > MAX_ENTRIES {
                return refused(format!("{}: over {MAX_ENTRIES} files", self.source.shown));
            }
            if is_directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(at, &name, flags, Mode::empty());
                let opened = opened.map_err(self.source.wrong(&here, "opening"))?;
                self.directory(&opened, &here, &below, above)?;
            }
            if excluded && above.last().is_some_and(|last| last.path == here) {
                above.pop();
            }
        }
        Ok(())
    }

    /// Whether a path is left out, whether something below may not be, and what is known below.
    fn judge(&self, here: &TreePath, known: &Known) -> (bool, bool, Known) {
        let source = &self.source.ignore;
        if source.is_empty() && self.also.is_empty() {
            return (false, true, Known::default());
        }
        let text = String::from_utf8_lossy(here.as_bytes());
        let inner = String::from_utf8_lossy(below(here, self.top)).into_owned();
        let (own, own_known) = source.excludes_below(&text, &known.own);
        let (also, also_known) = self.also.excludes_below(&inner, &known.also);
        let deeper = (!own || source.may_let_in_below(&text))
            && (!also || self.also.may_let_in_below(&inner));
        (own || also, deeper, Known { own: own_known, also: also_known })
    }

    fn names(&self, at: &OwnedFd, path: &TreePath) -> Result<Vec<std::ffi::CString>> {
        let listing = || -> rustix::io::Result<Vec<std::ffi::CString>> {
            let mut names = Vec::new();
            for item in Dir::read_from(at)? {
                let item = item?;
                if !matches!(item.file_name().to_bytes(), b"." | b"..") {
                    names.push(item.file_name().to_owned());
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        listing().map_err(self.source.wrong(path, "listing"))
    }
}

/// The part of a path below a directory.
pub(crate) fn below<'a>(path: &'a TreePath, directory: &TreePath) -> &'a [u8] {
    let rest = path.as_bytes().get(directory.as_bytes().len()..).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest)
}

// The count of links is narrower on other processors.
#[allow(clippy::useless_conversion)]
fn identity_of(stat: &Stat) -> Identity {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: unsigned(stat.st_size),
        mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default()),
        ctime: (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or_default()),
        links: u64::from(stat.st_nlink),
    }
}
