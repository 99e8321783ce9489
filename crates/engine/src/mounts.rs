//! The mounts of the configuration, each made detached and attached at a verified place inside the root.

use crate::cgroup_view::Sight;
use crate::error::{Doing, Error, Result};
use crate::options::{self, Bind, Options};
use crate::own::Own;
use crate::root::{Links, Root};
use crate::sys::{MountAttributes, Reach};
use crate::targets::{Nature, Targets};
use crate::{cgroup_view, copy_up, idmap, tree};
use oci_spec::runtime::{Linux, Mount};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The root that mounts are made in, and what is known of their places.
#[derive(Clone, Copy)]
pub(crate) struct Inside<'a> {
    pub(crate) root: &'a Root,
    pub(crate) targets: &'a Targets,
    pub(crate) linux: &'a Linux,
}

impl Inside<'_> {
    /// The directory to mount on: what was verified is what the mount is attached to.
    fn directory(&self, destination: &Path, links: Links) -> Result<OwnedFd> {
        let place = self.root.make_directories(destination, links)?;
        self.targets.check(destination, &place, self.root)?;
        Ok(place)
    }

    /// The file to mount on.
    fn file(&self, destination: &Path) -> Result<OwnedFd> {
        let place = self.root.make_file(destination)?;
        self.targets.check(destination, &place, self.root)?;
        Ok(place)
    }
}

/// Mounts one entry. `source` is the detached mount that the outer stage made of a bind's source, when the
/// inner one could not.
pub(crate) fn mount(
    inside: Inside<'_>,
    mount: &Mount,
    source: Option<OwnedFd>,
    sight: Sight,
) -> Result<()> {
    let options = options::parse(mount.options().as_deref().unwrap_or_default());
    let kind = mount.typ().as_deref().unwrap_or("none");
    let is_bind = options.bind.is_some() || kind == "bind";
    if !is_bind && idmap::is_wanted(mount, &options) {
        let shown = mount.destination().display();
        let what = format!("an id-mapped mount at {shown} that is no bind");
        return Err(Error::Unsupported { what });
    }
    match kind {
        _ if is_bind => bind(inside, mount, &options, source),
        "cgroup" | "cgroup2" => {
            // What is shown is the machine's own, or a part of it: it takes no options of its own.
            if let Some((name, _)) = options.data.first() {
                let source = std::io::Error::from(Errno::INVAL);
                let action = format!("mount the control groups with the option {name}");
                return Err(Error::Io { action, source });
            }
            let view = cgroup_view::make(&options, sight)?;
            let place = inside.directory(mount.destination(), Links::Follow)?;
            tree::attach(&view, &place).doing(|| "mount the control groups")?;
            let name = mount.destination().display().to_string();
            // The hierarchies of version 1 are mounts of their own below the one that is named.
            tree::change(&view, Reach::Tree, options.attributes, &name)?;
            inside.targets.attached(mount.destination(), &view, Nature::Bound)?;
            finish(&name, &options, &view)
        }
        "proc" | "sysfs" => {
            // A link in the image in place of these would put them where nobody looks for them, and leave
            // the real place to the image.
            let place = inside.directory(mount.destination(), Links::Refuse)?;
            let view = kernel_view(mount, kind, &options)?;
            attach(inside, mount, &options, (&view, &place))
        }
        _ => filesystem(inside, mount, kind, options),
    }
}

fn filesystem(inside: Inside<'_>, mount: &Mount, kind: &str, mut options: Options) -> Result<()> {
    let place = inside.directory(mount.destination(), Links::Follow)?;
    let asked = options.data.len();
    options.data.retain(|(name, _)| name != "tmpcopyup");
    let copies = kind == "tmpfs" && asked != options.data.len();
    let made = fresh(mount, kind, &options)?;
    if copies {
        copy_up::copy_up(inside.root, mount.destination(), &made)?;
    }
    attach(inside, mount, &options, (&made, &place))
}

/// A new file system with the data and attributes of the options.
fn fresh(mount: &Mount, kind: &str, options: &Options) -> Result<OwnedFd> {
    let source = mount.source().as_ref().and_then(|source| source.to_str()).unwrap_or(kind);
    // What shall be read-only becomes so after it was filled.
    let attributes = options.attributes.set & !libc::MOUNT_ATTR_RDONLY;
    tree::new_filesystem(kind, Some(source), &options.data, attributes)
        .doing(|| format!("make a {kind} file system for {}", mount.destination().display()))
}

/// proc and sysfs: new ones, or the machine's own where a nested user namespace may not make them.
fn kernel_view(mount: &Mount, kind: &str, options: &Options) -> Result<OwnedFd> {
    match fresh(mount, kind, options) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            let path = Path::new(if kind == "proc" { "/proc" } else { "/sys" });
            let copy = tree::copy_path(path, Reach::Tree)
                .doing(|| format!("copy the mounts of {}", path.display()))?;
            // What is mounted below the machine's is the machine's, too.
            let name = mount.destination().display().to_string();
            tree::change(&copy, Reach::Tree, options.attributes, &name)?;
            Ok(copy)
        }
        other => other,
    }
}

/// Attaches what was made to its place.
fn attach(
    inside: Inside<'_>,
    mount: &Mount,
    options: &Options,
    (made, place): (&OwnedFd, &OwnedFd),
) -> Result<()> {
    let name = mount.destination().display().to_string();
    tree::attach(made, place).doing(|| format!("mount on {name}"))?;
    inside.targets.attached(mount.destination(), made, Nature::New)?;
    finish(&name, options, made)
}

/// Attributes and propagation, once the mount stands.
fn finish(name: &str, options: &Options, made: &OwnedFd) -> Result<()> {
    tree::change(made, Reach::One, options.attributes, name)?;
    tree::change(made, Reach::Tree, options.recursive, name)?;
    for (propagation, reach) in &options.propagation {
        tree::propagate(made, *reach, *propagation, name)?;
    }
    Ok(())
}

fn bind(
    inside: Inside<'_>,
    mount: &Mount,
    options: &Options,
    source: Option<OwnedFd>,
) -> Result<()> {
    let (from, to) = (mount.source().as_deref(), mount.destination());
    let from = from.ok_or_else(|| Error::Unsupported {
        what: format!("a bind on {} without a source", to.display()),
    })?;
    if let Some((name, _)) = options.data.first() {
        return Err(Error::Unsupported {
            what: format!("option {name} of the bind on {}", to.display()),
        });
    }
    let reach = if options.bind == Some(Bind::Tree) { Reach::Tree } else { Reach::One };
    let carried = source.is_some();
    let made = match source {
        Some(made) => made,
        None => {
            let made = tree::copy_path(from, reach)
                .doing(|| format!("copy the mount of {}", from.display()))?;
            if idmap::is_wanted(mount, options) {
                idmap::apply(&made, mount, options, inside.linux)?;
            }
            made
        }
    };
    if let Some(first) = first_propagation(options, carried) {
        tree::propagate(&made, Reach::Tree, first, "a bind")?;
    }
    let place = if is_directory(&made)? {
        inside.directory(to, Links::Follow)?
    } else {
        inside.file(to)?
    };
    tree::attach(&made, &place).doing(|| format!("bind {} on {}", from.display(), to.display()))?;
    inside.targets.attached(to, &made, Nature::Bound)?;
    finish(&to.display().to_string(), options, &made)
}

/// What the copy of a source becomes before its options: what was shared with the machine would let a mount
/// made inside appear outside. Only what shall follow the machine's mounts stays below them, and only what
/// shall share them stays as this namespace has it: with the machine, when the root shares with it as well.
/// What was `carried` in was copied outside of this namespace, where all is as the machine has it.
fn first_propagation(options: &Options, carried: bool) -> Option<u64> {
    let wished = |kind| options.propagation.iter().any(|(wished, _)| *wished == kind);
    match (wished(libc::MS_SHARED), wished(libc::MS_SLAVE)) {
        (true, _) if !carried => None,
        (true, _) | (_, true) => Some(libc::MS_SLAVE),
        (false, false) => Some(libc::MS_PRIVATE),
    }
}

fn is_directory(object: &OwnedFd) -> Result<bool> {
    let found = rustix::fs::fstat(object).doing(|| "ask what a source is")?;
    Ok(FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

/// Hides these paths: directories under an empty file system, files under an empty file; nothing of either can be
/// changed.
pub(crate) fn mask(root: &Root, own: &Own, paths: &[String]) -> Result<()> {
    let (mut directories, mut files) = (None, None);
    for path in paths {
        let Some(place) = open_present(root, path)? else { continue };
        let of_kind = if is_directory(&place)? { &mut directories } else { &mut files };
        let cover = match of_kind {
            // One that is attached can be copied; the kernel copies no detached one.
            Some(first) => tree::copy(first, Reach::One),
            None if is_directory(&place)? => empty_directory(),
            None => Ok(own.empty_file()?),
        }
        .doing(|| format!("make a cover for {path}"))?;
        tree::attach(&cover, &place).doing(|| format!("mask {path}"))?;
        of_kind.get_or_insert(cover);
    }
    Ok(())
}

fn empty_directory() -> rustix::io::Result<OwnedFd> {
    let data = ["nr_blocks", "nr_inodes"].map(|name| (name.to_owned(), Some("1".to_owned())));
    tree::new_filesystem("tmpfs", Some("tmpfs"), &data, libc::MOUNT_ATTR_RDONLY)
}

/// Makes these paths read-only, with everything below them.
pub(crate) fn make_read_only(root: &Root, paths: &[String]) -> Result<()> {
    for path in paths {
        let Some(place) = open_present(root, path)? else { continue };
        let copy = tree::copy(&place, Reach::Tree).doing(|| format!("copy the mount of {path}"))?;
        tree::attach(&copy, &place).doing(|| format!("mount {path} on itself"))?;
        tree::read_only(&copy, Reach::Tree, path)?;
    }
    Ok(())
}

fn open_present(root: &Root, path: &str) -> Result<Option<OwnedFd>> {
    match root.open(Path::new(path), OFlags::PATH, Links::Follow) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error).doing(|| format!("open {path} in the root")),
    }
}

/// Gives the root mount the propagation of the configuration.
pub(crate) fn propagate_root(root: &Root, word: &str) -> Result<()> {
    let (bare, reach) = match word.strip_prefix('r') {
        Some(bare) => (bare, Reach::Tree),
        None => (word, Reach::One),
    };
    let kind = options::propagation(bare)
        .ok_or_else(|| Error::Unsupported { what: format!("rootfsPropagation {word:?}") })?;
    tree::propagate(root.directory(), reach, kind, "the root")
}

/// Attributes that make the root itself read-only.
pub(crate) fn seal_root(root: &Root) -> Result<()> {
    let attributes = MountAttributes { set: libc::MOUNT_ATTR_RDONLY, ..MountAttributes::default() };
    tree::change(root.directory(), Reach::One, attributes, "the root")
}
