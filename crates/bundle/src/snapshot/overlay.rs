//! A stack as a root filesystem: the image below, a few entries of ours above it, and what the
//! container writes on top.
//!
//! ```text
//! upper/            what the container writes (not there when it may write nothing)
//! top/              /dev /proc /sys /etc as real directories, and the files of /etc that are bound
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
use super::error::{SnapshotError, io_error};
use super::{Form, Snapshots, Stacked};
use crate::erofs;

/// Directories that a runtime mounts on.
const MOUNTED_ON: [&str; 4] = ["dev", "proc", "sys", "etc"];

/// Files of `/etc` that a runtime binds over.
const BOUND: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

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
    /// Nothing can be written.
    No,
}

/// What a tree is mounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be looked at from outside: exactly the image's tree, and neither its devices nor its
    /// set-user-id files have any effect.
    Look,
    /// To be run in: with the entries of ours that a runtime mounts on.
    Run,
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
        self.mount_with(stack, wanted, &[])
    }

    /// The same with more places to mount on.
    pub fn mount_with(
        &self,
        stack: &Stacked,
        wanted: &RootMount,
        points: &[MountPoint],
    ) -> Result<Mounted, SnapshotError> {
        self.used(stack);
        let target = &wanted.target;
        // Entries of ours, and mounts on the way, are in memory: nothing of them has to be removed one by one
        // later. It lies on the target meanwhile.
        let memory = memory().and_then(|memory| attach(&memory, target));
        memory.map_err(failed(target, "a file system in memory"))?;
        let overlay = self.overlay(stack, (wanted, points));
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
        (wanted, points): (&RootMount, &[MountPoint]),
    ) -> Result<OwnedFd, SnapshotError> {
        let (lower, top) = (wanted.target.join("lower"), wanted.target.join("top"));
        for path in [&lower, &top] {
            std::fs::create_dir(path).map_err(io_error(path, "creation"))?;
        }
        let layers = match &stack.index {
            Some(index) => {
                let image = erofs::mount(&index.image, &index.devices(&stack.layers))?;
                attach(&image, &lower).map_err(failed(&lower, "the index"))?;
                vec![lower.clone()]
            }
            None if stack.layers.is_empty() => vec![lower.clone()],
            None => stack.layers.iter().rev().cloned().collect(),
        };
        let roots = match &stack.root {
            Some(root) => std::slice::from_ref(root),
            None => &layers,
        };
        fill_top(&top, (roots, &layers), wanted.purpose)
            .and_then(|()| fill_points(&top, points, &layers))
            .map_err(io_error(&top, "filling"))?;
        let made = overlay(stack.form, &top, &layers, wanted);
        made.map_err(failed(&wanted.target, "the root filesystem"))
    }

    /// Notes that the stack is in use now, for collection by last use; best effort.
    fn used(&self, stack: &Stacked) {
        let index = stack.index.iter().flat_map(|index| index.all());
        let beside = stack.beside.iter().map(PathBuf::as_path);
        for path in stack.layers.iter().map(PathBuf::as_path).chain(beside).chain(index) {
            if path.is_file() {
                let _ = File::options().write(true).open(path).and_then(|file| {
                    let omit = rustix::fs::UTIME_OMIT;
                    let now = rustix::fs::UTIME_NOW;
                    let time = |tv_nsec| rustix::fs::Timespec { tv_sec: 0, tv_nsec };
                    let times = rustix::fs::Timestamps {
                        last_access: time(omit),
                        last_modification: time(now),
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
    for name in BOUND {
        File::create_new(etc.join(name))?;
    }
    like(&etc, "etc", layers)?;
    like(top, "", roots)
}

/// Makes the places to mount on that are missing, in directories that are like those of the image.
fn fill_points(top: &Path, points: &[MountPoint], layers: &[PathBuf]) -> io::Result<()> {
    for point in points {
        let there = |path: &Path| {
            layers.iter().any(|layer| std::fs::symlink_metadata(layer.join(path)).is_ok())
        };
        let inside = point.path.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || there(&point.path) {
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

/// Gives `path` the metadata of the directory `name` of the uppermost layer that has one.
fn like(path: &Path, name: &str, layers: &[PathBuf]) -> io::Result<()> {
    let found = layers.iter().find_map(|layer| {
        let from = layer.join(name);
        let meta = std::fs::symlink_metadata(&from).ok()?;
        meta.is_dir().then_some((from, meta))
    });
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
        Purpose::Run => MountAttrFlags::empty(),
    };
    match &wanted.writable {
        Writable::Over { upper, work } => {
            fsconfig_set_string(overlay.as_fd(), "upperdir", upper)?;
            fsconfig_set_string(overlay.as_fd(), "workdir", work)?;
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
