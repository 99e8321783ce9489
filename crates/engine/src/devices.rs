//! The device nodes and links of `/dev` (runtime-spec, config-linux, "Default Devices" and "Devices").

use crate::error::{Doing, Error, Result};
use crate::own::{NodeKind, Own, make_node};
use crate::root::{Links, Root};
use crate::sys::{MountAttributes, Reach};
use crate::targets::{Identity, Targets};
use crate::tree;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The most bytes read of what the kernel says of a device.
const UEVENT_LIMIT: u64 = 4 << 10;

/// The devices that every container has: path, major and minor number.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// The links that every container has.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// One node to make.
struct Node {
    path: PathBuf,
    wanted: NodeKind,
}

/// Where nodes are made: by name in the `/dev` that the engine mounted, and nowhere else. What belongs at another
/// place is made in the engine's own file system and mounted there.
pub(crate) struct Workplace<'a> {
    pub(crate) root: &'a Root,
    pub(crate) own: &'a Own,
    pub(crate) targets: &'a Targets,
}

/// Makes the default devices, those of the configuration, and the links.
pub(crate) fn make(place: &Workplace<'_>, devices: &[LinuxDevice]) -> Result<()> {
    let directory = place.root.make_directories(Path::new("/dev"), Links::Follow)?;
    let found = Identity::of(&directory)?;
    if !place.targets.is_own_dev(found) && found.mount != place.targets.root().mount {
        // By a link of the image: what is below is not the image's to fill.
        return Err(Error::Unsupported {
            what: "an image whose /dev leads into what is mounted elsewhere".to_owned(),
        });
    }
    for (path, major, minor) in DEFAULT {
        if !devices.iter().any(|device| device.path() == Path::new(path)) {
            let path = PathBuf::from(path);
            node(place, &Node { path, wanted: NodeKind::of_everybody(major, minor) })?;
        }
    }
    for device in devices {
        node(place, &wanted(device)?)?;
    }
    for (target, name) in LINKS {
        link(&directory, target, name)?;
    }
    Ok(())
}

fn wanted(device: &LinuxDevice) -> Result<Node> {
    let unsupported =
        || Error::Unsupported { what: format!("the device {}", device.path().display()) };
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => return Err(unsupported()),
    };
    let number = |number: i64| u32::try_from(number).map_err(|_| unsupported());
    let number = match kind {
        FileType::Fifo => 0,
        _ => rustix::fs::makedev(number(device.major())?, number(device.minor())?),
    };
    let wanted = NodeKind {
        kind,
        number,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
    };
    Ok(Node { path: device.path().clone(), wanted })
}

fn node(place: &Workplace<'_>, node: &Node) -> Result<()> {
    let (parent, name) = place.root.parent(&node.path)?;
    if !place.targets.is_own_dev(Identity::of(&parent)?) {
        return mounted(place, node);
    }
    let shown = node.path.display();
    let mut made = make_node(&parent, &name, &node.wanted);
    if made == Err(Errno::EXIST) {
        if is_node(&parent, &name, node) {
            return Ok(());
        }
        // Something that the configuration put there; a mount or a directory there is an error.
        rustix::fs::unlinkat(&parent, &name, AtFlags::empty())
            .doing(|| format!("make way for the device {shown}"))?;
        made = make_node(&parent, &name, &node.wanted);
    }
    match made {
        Err(Errno::PERM) if node.wanted.kind != FileType::Fifo => mounted(place, node),
        other => other.doing(|| format!("make the device {shown}")),
    }
}

fn is_node(parent: &OwnedFd, name: &Path, node: &Node) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == node.wanted.kind
            && found.st_rdev == node.wanted.number
    })
}

/// A node of the engine's own, mounted over a file; in a user namespace, where nodes cannot be made, the
/// machine's.
fn mounted(place: &Workplace<'_>, node: &Node) -> Result<()> {
    let shown = node.path.display();
    let made = match place.own.node(&node.wanted) {
        Err(Errno::PERM) if node.wanted.kind != FileType::Fifo => borrowed(node)?,
        other => other.doing(|| format!("make the device {shown}"))?,
    };
    let over = place.root.make_file(&node.path)?;
    place.targets.check(&node.path, &over, place.root)?;
    tree::attach(&made, &over).doing(|| format!("mount the device {shown}"))
}

/// The machine's own node on a mount of its own. Read-only, which for a device is so of its inode alone: it can be
/// written to, but its mode, its owner and its times stay the machine's.
fn borrowed(node: &Node) -> Result<OwnedFd> {
    let shown = node.path.display();
    let source = on_machine(node);
    let copy = tree::copy_path(&source, Reach::One)
        .doing(|| format!("take the machine's device {shown}"))?;
    let found = rustix::fs::fstat(&copy).doing(|| format!("ask what {shown} is"))?;
    if FileType::from_raw_mode(found.st_mode) != node.wanted.kind
        || found.st_rdev != node.wanted.number
    {
        return Err(Error::Unsupported {
            what: format!("the device {shown}, which this machine has otherwise"),
        });
    }
    let what = format!("the machine's device {shown}");
    tree::read_only(&copy, Reach::One, &what)?;
    let set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
    tree::change(&copy, Reach::One, MountAttributes { set, ..MountAttributes::default() }, &what)?;
    Ok(copy)
}

/// Where the machine has the device: at the same path, or where the kernel says that it is.
fn on_machine(node: &Node) -> PathBuf {
    let same = rustix::fs::stat(&node.path).is_ok_and(|found| found.st_rdev == node.wanted.number);
    let folder = if node.wanted.kind == FileType::BlockDevice { "block" } else { "char" };
    let (major, minor) =
        (rustix::fs::major(node.wanted.number), rustix::fs::minor(node.wanted.number));
    let told = || {
        let mut text = String::new();
        let file = std::fs::File::open(format!("/sys/dev/{folder}/{major}:{minor}/uevent")).ok()?;
        file.take(UEVENT_LIMIT).read_to_string(&mut text).ok()?;
        let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
        Some(Path::new("/dev").join(name))
    };
    let other = if same { None } else { told() };
    other.unwrap_or_else(|| node.path.clone())
}

fn link(directory: &OwnedFd, target: &str, name: &str) -> Result<()> {
    match rustix::fs::symlinkat(target, directory, name) {
        // What the image has there stays, but the name that leads to terminals must be right.
        Err(Errno::EXIST) if name == "ptmx" => {
            rustix::fs::unlinkat(directory, name, AtFlags::empty())
                .and_then(|()| rustix::fs::symlinkat(target, directory, name))
                .doing(|| "link /dev/ptmx")
        }
        Err(Errno::EXIST) => Ok(()),
        other => other.doing(|| format!("link /dev/{name}")),
    }
}

/// Mounts the terminal on `/dev/console`.
pub(crate) fn console(root: &Root, terminal: impl AsFd) -> Result<()> {
    let copy = tree::copy(terminal, Reach::One).doing(|| "copy the terminal's mount")?;
    let place = match root.open(
        Path::new("/dev/console"),
        OFlags::PATH | OFlags::NOFOLLOW,
        Links::Follow,
    ) {
        Ok(place) => place,
        Err(_) => root.make_file(Path::new("/dev/console"))?,
    };
    let found = rustix::fs::fstat(&place).doing(|| "ask what /dev/console is")?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
        return Err(Error::Unsupported {
            what: "an image whose /dev/console is a link".to_owned(),
        });
    }
    tree::attach(&copy, &place).doing(|| "mount the terminal on /dev/console")
}
