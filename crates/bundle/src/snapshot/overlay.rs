//! A stack as a root filesystem: the image below, a few entries of ours above it, and what the
//! container writes on top.
//!
//! ```text
//! upper/            what the container writes (not there when it may write nothing)
//! top/              /dev /proc /sys /etc as real directories, and the files of /etc that are bound
//! above             what earlier mounts wrote over the stack, and further stacks
//! EROFS index  or  directory per layer, the uppermost first
//! ```
//!
//! An image may have a symbolic link where a runtime mounts, or nothing at all. The entries of `top`
//! hide it: what is mounted on them stays in the tree.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use super::attributes::attributes;
use super::beneath::{is_there, topmost};
use super::error::{SnapshotError, io_error};
use super::{Form, Snapshots, Stacked};
use crate::erofs;

/// Directories that a runtime mounts on.
const MOUNTED_ON: [&str; 4] = ["dev", "proc", "sys", "etc"];

/// Files of `/etc` that a runtime binds over; the last one is the image's own in steps of a build.
const BOUND: [&str; 3] = ["hosts", "resolv.conf", "hostname"];

/// Whether the tree can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writable {
    /// What is written goes here; the image stays as it is. Both are on one filesystem.
    Over {
        /// Holds what was written.
        upper: PathBuf,
        /// Overlay's own; empty.
        work: PathBuf,
    },
    /// The same for what is used before this machine stops: nothing is synced when it is unmounted.
    Briefly {
        /// Holds what was written.
        upper: PathBuf,
        /// Overlay's own; empty.
        work: PathBuf,
    },
    /// Nothing can be written.
    No,
}

impl Writable {
    fn upper(&self) -> Option<&Path> {
        match self {
            Self::Over { upper, .. } | Self::Briefly { upper, .. } => Some(upper),
            Self::No => None,
        }
    }
}

/// What a tree is mounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be looked at from outside: exactly the image's tree, and neither its devices nor its
    /// set-user-id files have any effect.
    Look,
    /// To be run in: with the entries of ours that a runtime mounts on.
    Run,
    /// The same for a step of a build, which may write the image's `/etc/hostname`.
    Step,
}

/// Where a root filesystem is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootMount {
    /// The mount point: a directory that is there.
    pub target: PathBuf,
    /// Whether it can be written.
    pub writable: Writable,
    /// What it is for.
    pub purpose: Purpose,
}

/// A place in the tree where something will be mounted, whether the image has it or not. What is missing is
/// there for the mount alone: nothing of it is in what the container writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// The path from the root, on which there are no symbolic links.
    pub path: PathBuf,
    /// Whether it is a directory; else an empty file.
    pub is_directory: bool,
}

/// Something between a stack and what is written, the lowest first.
#[derive(Clone, Debug)]
pub enum Above {
    /// The upper directory of an earlier mount over what is below it, which has ended.
    Upper(PathBuf),
    /// Layers that hide nothing of what is below them.
    Stack(Stacked),
}

/// What is mounted besides a stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Additions<'a> {
    /// What lies over the stack, the lowest first. Overlay takes some hundreds.
    pub above: &'a [Above],
    /// More places to mount on.
    pub points: &'a [MountPoint],
}

/// A root filesystem that is mounted. Dropping it leaves the mount.
#[derive(Debug)]
pub struct Mounted {
    target: PathBuf,
}

impl Mounted {
    /// Where.
    pub fn target(&self) -> &Path {
        &self.target
    }
}

impl Snapshots {
    /// Mounts a stack in the mount namespace of the calling thread.
    pub fn mount(&self, stack: &Stacked, wanted: &RootMount) -> Result<Mounted, SnapshotError> {
        self.mount_with(stack, wanted, Additions::default())
    }

    /// The same with additions.
    pub fn mount_with(
        &self,
        stack: &Stacked,
        wanted: &RootMount,
        additions: Additions<'_>,
    ) -> Result<Mounted, SnapshotError> {
        self.used(stack);
        let target = &wanted.target;
        // Entries of ours, and mounts on the way, are in memory: nothing of them has to be removed one by one
        // later. It lies on the target meanwhile.
        let memory = memory().and_then(|memory| attach(&memory, target));
        memory.map_err(failed(target, "a file system in memory"))?;
        let overlay = self.overlay(stack, (wanted, additions));
        // Overlay holds copies of the mounts.
        let unmounted = unmount(target, UnmountFlags::DETACH);
        unmounted.map_err(|errno| failed(target, "a file system in memory")(errno.into()))?;
        let overlay = overlay?;
        attach(&overlay, target).map_err(failed(target, "the root filesystem"))?;
        Ok(Mounted { target: target.clone() })
    }

    /// A detached mount of the stack, with entries of ours and mounts on the way in the empty target.
    fn overlay(
        &self,
        stack: &Stacked,
        (wanted, additions): (&RootMount, Additions<'_>),
    ) -> Result<OwnedFd, SnapshotError> {
        let target = &wanted.target;
        let top = target.join("top");
        std::fs::create_dir(&top).map_err(io_error(&top, "creation"))?;
        let lowest = lower(stack, &target.join("lower"))?;
        let mut written = None;
        let mut layers = Vec::new();
        for (number, above) in additions.above.iter().enumerate().rev() {
            match above {
                Above::Upper(path) => {
                    // What is written over a root begins like it, and goes on from there.
                    written.get_or_insert(path);
                    layers.push(path.clone());
                }
                Above::Stack(stack) => {
                    self.used(stack);
                    layers.extend(lower(stack, &target.join(format!("lower-{number}")))?);
                }
            }
        }
        let root = match written.or(stack.root.as_ref()) {
            Some(root) => vec![root.clone()],
            None => lowest.clone(),
        };
        layers.extend(lowest);
        fill_top(&top, (&root, &layers), wanted.purpose)
            .and_then(|()| fill_points(&top, additions.points, &layers))
            .map_err(io_error(&top, "filling"))?;
        if let Some(upper) = wanted.writable.upper() {
            begin_upper(upper, &root).map_err(io_error(upper, "preparation"))?;
        }
        let made = overlay(stack.form, &top, &layers, wanted);
        made.map_err(failed(target, "the root filesystem"))
    }

    /// Notes that the stack is in use now, for collection by last use; best effort.
    fn used(&self, stack: &Stacked) {
        let index = stack.index.iter().flat_map(|index| index.all());
        let beside = stack.beside.iter().map(PathBuf::as_path);
        for path in stack.layers.iter().map(PathBuf::as_path).chain(beside).chain(index) {
            if path.is_file() {
                let _ = File::open(path).and_then(|file| {
                    let omit = rustix::fs::UTIME_OMIT;
                    let now = rustix::fs::UTIME_NOW;
                    let time = |tv_nsec| rustix::fs::Timespec { tv_sec: 0, tv_nsec };
                    // The time of the last change is that of the content, and is among what is sealed.
                    let times = rustix::fs::Timestamps {
                        last_access: time(now),
                        last_modification: time(omit),
                    };
                    Ok(rustix::fs::futimens(&file, &times)?)
                });
            } else if let Ok(meta) = std::fs::symlink_metadata(path) {
                // The same mode again changes nothing but the time of the inode.
                let _ = std::fs::set_permissions(path, Permissions::from_mode(meta.mode()));
            }
        }
    }
}

/// The directories of a stack, the uppermost first. An index is mounted at `place`.
fn lower(stack: &Stacked, place: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    if stack.index.is_none() && !stack.layers.is_empty() {
        return Ok(stack.layers.iter().rev().cloned().collect());
    }
    std::fs::create_dir(place).map_err(io_error(place, "creation"))?;
    if let Some(index) = &stack.index {
        let image = erofs::mount(&index.image, &index.devices(&stack.layers))?;
        attach(&image, place).map_err(failed(place, "the index"))?;
    }
    Ok(vec![place.to_owned()])
}

/// The root of what is mounted is the upper directory: it begins like the root below it.
fn begin_upper(upper: &Path, root: &[PathBuf]) -> io::Result<()> {
    match std::fs::read_dir(upper)?.next() {
        None => like(upper, "", root),
        Some(entry) => entry.map(drop),
    }
}

/// An empty file system in memory.
fn memory() -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "mode", "0700")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Makes the entries of ours, with the metadata that the image gives to theirs.
fn fill_top(
    top: &Path,
    (roots, layers): (&[PathBuf], &[PathBuf]),
    purpose: Purpose,
) -> io::Result<()> {
    if purpose == Purpose::Look {
        // Empty, since overlay wants two layers where nothing can be written.
        return like(top, "", roots);
    }
    for name in MOUNTED_ON {
        let path = top.join(name);
        std::fs::create_dir(&path)?;
        like(&path, name, layers)?;
    }
    let etc = top.join("etc");
    let bound = if purpose == Purpose::Step { BOUND.split_last() } else { None };
    for name in bound.map_or(&BOUND[..], |(_, others)| others) {
        File::create_new(etc.join(name))?;
    }
    like(&etc, "etc", layers)?;
    like(top, "", roots)
}

/// Makes the places to mount on that are missing, in directories that are like those of the image.
fn fill_points(top: &Path, points: &[MountPoint], layers: &[PathBuf]) -> io::Result<()> {
    for point in points {
        let inside = point.path.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || is_there(&point.path, layers)? {
            continue;
        }
        let mut made = Vec::new();
        let above: Vec<&Path> = point.path.ancestors().skip(1).collect();
        let above = above.into_iter().rev().filter(|path| !path.as_os_str().is_empty());
        for name in above.chain(point.is_directory.then_some(point.path.as_path())) {
            match std::fs::create_dir(top.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => {
                    done?;
                    made.push(name);
                }
            }
        }
        if !point.is_directory {
            match File::create_new(top.join(&point.path)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => drop(done?),
            }
        }
        for name in made.into_iter().rev() {
            let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
            like(&top.join(name), name, layers)?;
        }
    }
    Ok(())
}

/// Gives `path` the metadata of the directory `name` as the layers have it.
fn like(path: &Path, name: &str, layers: &[PathBuf]) -> io::Result<()> {
    let found = topmost(Path::new(name), layers)?.filter(|(_, meta)| meta.is_dir());
    let Some((from, meta)) = found else {
        return std::fs::set_permissions(path, Permissions::from_mode(0o755));
    };
    // Who may not give directories away has none to give.
    let _ = std::os::unix::fs::lchown(path, Some(meta.uid()), Some(meta.gid()));
    copy_xattrs(&from, path)?;
    std::fs::set_permissions(path, Permissions::from_mode(meta.mode() & 0o7777))?;
    File::open(path)?.set_modified(meta.modified()?)
}

/// Copies the attributes of a directory, those aside that mean something to overlay.
fn copy_xattrs(from: &Path, to: &Path) -> io::Result<()> {
    let internal = [&b"trusted.overlay."[..], b"user.overlay."];
    for (name, value) in attributes(from)? {
        if internal.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        match rustix::fs::lsetxattr(to, name.as_slice(), &value, XattrFlags::empty()) {
            // What the system gives by itself, or takes from the privileged alone.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn overlay(form: Form, top: &Path, layers: &[PathBuf], wanted: &RootMount) -> io::Result<OwnedFd> {
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(overlay.as_fd(), "source", "corten")?;
    for layer in std::iter::once(top).chain(layers.iter().map(PathBuf::as_path)) {
        fsconfig_set_string(overlay.as_fd(), "lowerdir+", layer)?;
    }
    let mut attributes = match wanted.purpose {
        Purpose::Look => MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
        Purpose::Run | Purpose::Step => MountAttrFlags::empty(),
    };
    match &wanted.writable {
        Writable::Over { upper, work } | Writable::Briefly { upper, work } => {
            fsconfig_set_string(overlay.as_fd(), "upperdir", upper)?;
            fsconfig_set_string(overlay.as_fd(), "workdir", work)?;
            if matches!(wanted.writable, Writable::Briefly { .. }) {
                fsconfig_set_flag(overlay.as_fd(), "volatile")?;
            }
        }
        Writable::No => attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY,
    }
    if form == Form::Directories {
        fsconfig_set_flag(overlay.as_fd(), "userxattr")?;
    }
    fsconfig_create(overlay.as_fd())?;
    Ok(fsmount(overlay.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Attaches a mount to a directory that is not a link.
fn attach(mount: &OwnedFd, target: &Path) -> io::Result<()> {
    let at = rustix::fs::open(
        target,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW,
        rustix::fs::Mode::empty(),
    )?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount.as_fd(), "", at.as_fd(), "", flags)?)
}

fn failed(target: &Path, what: &'static str) -> impl FnOnce(io::Error) -> SnapshotError {
    let target = target.to_owned();
    move |source| SnapshotError::Mount { target, what, source }
}
