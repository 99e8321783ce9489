//! The device nodes and links of `/dev` (runtime-spec, config-linux, "Default Devices" and "Devices").

use crate::error::{Doing, Error, Result};
use crate::root::{Links, Root};
use crate::sys::Reach;
use crate::tree;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
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
    kind: FileType,
    number: u64,
    mode: u32,
    owner: (u32, u32),
}

/// Makes the default devices, those of the configuration, and the links.
pub(crate) fn make(root: &Root, devices: &[LinuxDevice]) -> Result<()> {
    for (path, major, minor) in DEFAULT {
        if !devices.iter().any(|device| device.path() == Path::new(path)) {
            let number = rustix::fs::makedev(major, minor);
            let path = PathBuf::from(path);
            node(
                root,
                &Node { path, kind: FileType::CharacterDevice, number, mode: 0o666, owner: (0, 0) },
            )?;
        }
    }
    for device in devices {
        node(root, &wanted(device)?)?;
    }
    let directory = root.make_directories(Path::new("/dev"), Links::Follow)?;
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
    Ok(Node {
        path: device.path().clone(),
        kind,
        number,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
    })
}

fn node(root: &Root, node: &Node) -> Result<()> {
    let (parent, name) = root.parent(&node.path)?;
    let shown = node.path.display();
    let mode = Mode::from_raw_mode(node.mode);
    let mut made = rustix::fs::mknodat(&parent, &name, node.kind, mode, node.number);
    if made == Err(Errno::EXIST) {
        if is_node(&parent, &name, node) {
            return Ok(());
        }
        // A file of the image stands in the way; a mount or a directory there is an error.
        rustix::fs::unlinkat(&parent, &name, AtFlags::empty())
            .doing(|| format!("make way for the device {shown}"))?;
        made = rustix::fs::mknodat(&parent, &name, node.kind, mode, node.number);
    }
    match made {
        Err(Errno::PERM) if node.kind != FileType::Fifo => return borrow(root, node),
        other => other.doing(|| format!("make the device {shown}"))?,
    }
    let owner = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
    rustix::fs::chownat(&parent, &name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)
        .doing(|| format!("give the device {shown} its owner"))
}

fn is_node(parent: &OwnedFd, name: &Path, node: &Node) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == node.kind && found.st_rdev == node.number
    })
}

/// In a user namespace nodes cannot be made: the machine's own is mounted over an empty file.
fn borrow(root: &Root, node: &Node) -> Result<()> {
    let shown = node.path.display();
    let source = on_machine(node);
    let copy = tree::copy_path(&source, Reach::One)
        .doing(|| format!("take the machine's device {shown}"))?;
    let found = rustix::fs::fstat(&copy).doing(|| format!("ask what {shown} is"))?;
    if FileType::from_raw_mode(found.st_mode) != node.kind || found.st_rdev != node.number {
        return Err(Error::Unsupported {
            what: format!("the device {shown}, which this machine has otherwise"),
        });
    }
    let place = root.make_file(&node.path)?;
    tree::attach(&copy, &place).doing(|| format!("mount the device {shown}"))
}

/// Where the machine has the device: at the same path, or where the kernel says that it is.
fn on_machine(node: &Node) -> PathBuf {
    let same = rustix::fs::stat(&node.path).is_ok_and(|found| found.st_rdev == node.number);
    let folder = if node.kind == FileType::BlockDevice { "block" } else { "char" };
    let (major, minor) = (rustix::fs::major(node.number), rustix::fs::minor(node.number));
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
