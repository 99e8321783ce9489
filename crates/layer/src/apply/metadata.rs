//! Owners, attributes, modes and times, set through descriptors.

use std::os::fd::{AsRawFd as _, OwnedFd};

use corten_spec::owner_id;
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown,
    fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat, lsetxattr,
};
use rustix::io::Errno;

use crate::apply::entries::{Applying, Fault, fault};
use crate::apply::{IdRange, Owners};
use crate::audit::is_overlay_xattr;
use crate::{Entry, EntryKind, LayerError, Mtime, TreePath};

/// Both times of a file. That of the last access is no part of a layer; it is made the same, so that
/// the same layer always gives the same directory.
pub(super) fn times(mtime: Mtime) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

impl Applying<'_> {
    /// Whom an entry belongs to on disk; `None` for whoever runs this.
    fn owner(&self, entry: &Entry) -> Result<Option<(Uid, Gid)>, Fault> {
        let (uid, gid) = match &self.how.owners {
            Owners::Caller => return Ok(None),
            Owners::Keep => (entry.uid, entry.gid),
            Owners::Map { users, groups } => (
                mapped(users, entry.uid).ok_or_else(|| unmapped(entry, "user", entry.uid))?,
                mapped(groups, entry.gid).ok_or_else(|| unmapped(entry, "group", entry.gid))?,
            ),
        };
        for id in [uid, gid] {
            owner_id(id.into()).ok_or_else(|| unmapped(entry, "owner", id))?;
        }
        Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid))))
    }

    fn count_owner(&mut self, entry: &Entry) {
        if self.how.owners == Owners::Caller && (entry.uid, entry.gid) != (0, 0) {
            self.report.foreign_owners += 1;
        }
    }

    /// Owner and attributes of what is open; in this order, as a new owner voids capabilities.
    pub(super) fn own(
        &mut self,
        fd: &OwnedFd,
        entry: &Entry,
        path: &TreePath,
    ) -> Result<(), Fault> {
        if let Some((uid, gid)) = self.owner(entry)? {
            fchown(fd, Some(uid), Some(gid)).map_err(|e| fault(path, "change of owner", e))?;
        }
        self.count_owner(entry);
        for (name, value) in &entry.xattrs {
            if self.is_dropped(name) {
                continue;
            }
            let set = fsetxattr(fd, name.as_slice(), value, XattrFlags::empty());
            self.judge_xattr(name, set, path)?;
        }
        Ok(())
    }

    /// A directory that no entry stands for belongs to 0:0 and has no attributes.
    pub(super) fn set_implied(&mut self, fd: &OwnedFd, path: &TreePath) -> Result<(), Fault> {
        clear_xattrs(fd, path)?;
        let entry = Entry::new(EntryKind::Directory, path.as_bytes());
        self.own(fd, &entry, path)
    }

    /// All metadata of what cannot be opened: links, devices, pipes.
    pub(super) fn own_unopened(
        &mut self,
        parent: &OwnedFd,
        entry: &Entry,
        path: &TreePath,
    ) -> Result<(), Fault> {
        let Some((_, name)) = path.split() else {
            return Ok(());
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::empty())
            .map_err(|errno| fault(path, "open", errno))?;
        if let Some((uid, gid)) = self.owner(entry)? {
            rustix::fs::chownat(&fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
                .map_err(|errno| fault(path, "change of owner", errno))?;
        }
        self.count_owner(entry);
        if !entry.xattrs.is_empty() {
            // There is no call that sets an attribute by a bare handle.
            let mut place = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
            place.extend_from_slice(name);
            for (name, value) in &entry.xattrs {
                if self.is_dropped(name) {
                    continue;
                }
                let set = lsetxattr(&*place, name.as_slice(), value, XattrFlags::empty());
                self.judge_xattr(name, set, path)?;
            }
        }
        if entry.kind != EntryKind::Symlink {
            // Nor one that changes a mode by one, before Linux 6.6.
            let handle = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let mode = Mode::from_raw_mode(entry.mode & 0o7777);
            rustix::fs::chmodat(CWD, handle, mode, AtFlags::empty())
                .map_err(|errno| fault(path, "change of mode", errno))?;
        }
        rustix::fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| fault(path, "change of time", errno))
    }

    fn is_dropped(&mut self, name: &[u8]) -> bool {
        let internal = is_overlay_xattr(name);
        self.report.dropped_xattrs += u64::from(internal);
        internal
    }

    /// Attributes that the kernel does not let through are counted; the rest are errors.
    fn judge_xattr(
        &mut self,
        name: &[u8],
        set: Result<(), Errno>,
        path: &TreePath,
    ) -> Result<(), Fault> {
        let foreign = !name.starts_with(b"user.");
        match set {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => {
                self.report.dropped_xattrs += 1;
                Ok(())
            }
            // A value that no security module understands, or a link where /proc is missing.
            Err(Errno::INVAL | Errno::NOENT) if foreign => {
                self.report.dropped_xattrs += 1;
                Ok(())
            }
            Err(errno) => Err(fault(path, "setting of an attribute", errno)),
        }
    }
}

/// Takes away the attributes of an earlier entry. What belongs to the system stays.
pub(super) fn clear_xattrs(fd: &OwnedFd, path: &TreePath) -> Result<(), Fault> {
    for name in xattr_names(fd, path)? {
        match fremovexattr(fd, name.as_slice()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::NODATA) => {}
            Err(errno) => return Err(fault(path, "removal of an attribute", errno)),
        }
    }
    Ok(())
}

/// Largest value of an attribute, and longest list of their names, that the kernel hands out.
const MAX_XATTR: usize = 64 * 1024;

fn xattr_names(fd: &OwnedFd, path: &TreePath) -> Result<Vec<Vec<u8>>, Fault> {
    let mut list = vec![0; MAX_XATTR];
    let length = match flistxattr(fd, list.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(fault(path, "reading of the attributes", errno)),
    };
    let names = list.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    Ok(names.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Gives one directory what another one has: owner, attributes, mode and times.
pub(super) fn copy_metadata(from: &OwnedFd, to: &OwnedFd, path: &TreePath) -> Result<(), Fault> {
    let stat = |fd| fstat(fd).map_err(|errno| fault(path, "stat", errno));
    let (source, target) = (stat(from)?, stat(to)?);
    // Who may not give directories away has none to give.
    if (source.st_uid, source.st_gid) != (target.st_uid, target.st_gid) {
        let (uid, gid) = (Uid::from_raw(source.st_uid), Gid::from_raw(source.st_gid));
        fchown(to, Some(uid), Some(gid)).map_err(|e| fault(path, "change of owner", e))?;
    }
    for name in xattr_names(from, path)?.iter().filter(|name| !is_overlay_xattr(name)) {
        let mut value = vec![0; MAX_XATTR];
        let read = |errno| fault(path, "reading of the attributes", errno);
        let length = fgetxattr(from, name.as_slice(), value.as_mut_slice()).map_err(read)?;
        value.truncate(length);
        match fsetxattr(to, name.as_slice(), &value, XattrFlags::empty()) {
            // What the system gives by itself.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => {}
            Err(errno) => return Err(fault(path, "setting of an attribute", errno)),
        }
    }
    let nanos = u32::try_from(source.st_mtime_nsec).unwrap_or_default();
    settle(to, source.st_mode, Mtime { seconds: source.st_mtime, nanos }, path)
}

/// Sets the mode, whatever the umask, and then the times.
pub(super) fn settle(fd: &OwnedFd, mode: u32, mtime: Mtime, path: &TreePath) -> Result<(), Fault> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    fchmod(fd, mode).map_err(|errno| fault(path, "change of mode", errno))?;
    rustix::fs::futimens(fd, &times(mtime)).map_err(|errno| fault(path, "change of time", errno))
}

fn mapped(ranges: &[IdRange], id: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let within = id.checked_sub(range.inside).filter(|within| *within < range.length)?;
        range.outside.checked_add(within)
    })
}

fn unmapped(entry: &Entry, what: &'static str, id: u32) -> Fault {
    Fault::Error(LayerError::Unmapped { entry: entry.place(), what, id })
}
