//! What of the machine a container may use beside its own things: devices, and limits of its process.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use corten_bundle::Powers;
use corten_bundle::config::DeviceGrant;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceType, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};
use serde::{Deserialize, Serialize};

use crate::Failure;

/// Most devices of a machine that a privileged container gets.
const MAX_DEVICES: usize = 4096;
/// How deep they are looked for below `/dev`.
const MAX_DEPTH: usize = 8;
/// Directories and nodes of `/dev` that every container has for its own.
const OWN: [&str; 6] = ["pts", "shm", "mqueue", "fd", "ptmx", "console"];

/// A device of the machine that a container may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWord {
    /// Its path on the machine.
    pub source: PathBuf,
    /// Its path in the container.
    pub target: PathBuf,
    /// What may be done with it: `r`, `w`, `m`.
    pub access: String,
}

impl DeviceWord {
    /// Reads `SOURCE[:TARGET][:ACCESS]`, ACCESS being some of `rwm`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            let rule = "a device is SOURCE[:TARGET][:rwm], and both paths begin with /";
            Failure::Usage(format!("{text}: {rule}"))
        };
        let is_access = |word: &str| {
            let once = |letter: char| word.matches(letter).count() <= 1;
            !word.is_empty() && word.chars().all(|letter| "rwm".contains(letter) && once(letter))
        };
        let words: Vec<&str> = text.split(':').collect();
        let (source, target, access) = match words.as_slice() {
            [source] => (*source, *source, "rwm"),
            [source, access] if is_access(access) => (*source, *source, *access),
            [source, target] => (*source, *target, "rwm"),
            [source, target, access] if is_access(access) => (*source, *target, *access),
            _ => return Err(wrong()),
        };
        if !source.starts_with('/') || !target.starts_with('/') {
            return Err(wrong());
        }
        let access = access.to_owned();
        Ok(Self { source: source.into(), target: target.into(), access })
    }

    /// The device as it is now.
    pub(in crate::ops) fn grant(&self) -> io::Result<DeviceGrant> {
        let shown = self.source.display();
        let found = std::fs::metadata(&self.source)
            .map_err(|error| io::Error::new(error.kind(), format!("{shown}: {error}")))?;
        let node = node(&found, &self.target)
            .ok_or_else(|| io::Error::other(format!("{shown} is not a device")))?;
        Ok(DeviceGrant { source: self.source.clone(), node, access: self.access.clone() })
    }
}

fn node(found: &std::fs::Metadata, target: &Path) -> Option<LinuxDevice> {
    let kind = found.file_type();
    let kind = match () {
        () if kind.is_char_device() => LinuxDeviceType::C,
        () if kind.is_block_device() => LinuxDeviceType::B,
        () => return None,
    };
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    let mut node = LinuxDevice::default();
    node.set_path(target.to_owned()).set_typ(kind);
    node.set_major(major.into()).set_minor(minor.into());
    node.set_file_mode(Some(found.mode() & 0o777));
    node.set_uid(Some(found.uid())).set_gid(Some(found.gid()));
    Some(node)
}

/// The devices that were asked for, and those of the whole machine for its root when `privileged`.
pub(super) fn devices(
    words: &[DeviceWord],
    privileged: bool,
    powers: Powers,
) -> io::Result<Vec<DeviceGrant>> {
    let mut grants = words.iter().map(DeviceWord::grant).collect::<io::Result<Vec<_>>>()?;
    if privileged && powers == Powers::Machine {
        let mut all = Vec::new();
        gather(Path::new("/dev"), 0, &mut all);
        all.retain(|one| grants.iter().all(|grant| grant.node.path() != one.node.path()));
        grants.extend(all);
    }
    Ok(grants)
}

/// Devices come and go while they are listed: what cannot be read is not there.
fn gather(directory: &Path, depth: usize, all: &mut Vec<DeviceGrant>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let own = depth == 0 && OWN.iter().any(|name| entry.file_name() == *name);
        let Ok(found) = entry.metadata() else { continue };
        if own || all.len() >= MAX_DEVICES {
            continue;
        }
        let path = entry.path();
        if found.is_dir() && depth < MAX_DEPTH {
            gather(&path, depth + 1, all);
        } else if let Some(node) = node(&found, &path) {
            all.push(DeviceGrant { source: path, node, access: "rwm".to_owned() });
        }
    }
}

/// Reads `NAME=SOFT[:HARD]`, with names such as `nofile`; -1 or `unlimited` is no limit.
pub fn parse_ulimit(text: &str) -> Result<PosixRlimit, Failure> {
    let wrong = || {
        let rule = "a limit is NAME=SOFT[:HARD], such as nofile=1024:4096";
        Failure::Usage(format!("{text}: {rule}"))
    };
    let (name, numbers) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = numbers.split_once(':').unwrap_or((numbers, numbers));
    let number = |word: &str| match word {
        "-1" | "unlimited" => Ok(u64::MAX),
        word => word.parse::<u64>().map_err(|_| wrong()),
    };
    let kind = format!("RLIMIT_{}", name.to_ascii_uppercase());
    let kind: PosixRlimitType = serde_json::from_value(kind.into()).map_err(|_| wrong())?;
    let limit = PosixRlimitBuilder::default().typ(kind).soft(number(soft)?).hard(number(hard)?);
    limit.build().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        let word = |source: &str, target: &str, access: &str| DeviceWord {
            source: source.into(),
            target: target.into(),
            access: access.to_owned(),
        };
        for (text, read) in [
            ("/dev/fuse", Some(word("/dev/fuse", "/dev/fuse", "rwm"))),
            ("/dev/fuse:r", Some(word("/dev/fuse", "/dev/fuse", "r"))),
            ("/dev/a:/dev/b", Some(word("/dev/a", "/dev/b", "rwm"))),
            ("/dev/a:/dev/b:rw", Some(word("/dev/a", "/dev/b", "rw"))),
            ("/dev/a:/dev/b:rr", None),
            ("/dev/a:b", None),
            ("dev/a", None),
            ("/dev/a:/dev/b:rw:x", None),
            ("", None),
        ] {
            assert_eq!(DeviceWord::parse(text).ok(), read, "{text}");
        }
    }

    #[test]
    fn a_device_is_taken_as_it_is_now() {
        let grant = DeviceWord::parse("/dev/null:/dev/nothing:r").unwrap().grant().unwrap();
        assert_eq!((grant.node.major(), grant.node.minor()), (1, 3));
        assert_eq!(grant.node.path(), Path::new("/dev/nothing"));
        assert_eq!(grant.access, "r");
        let told = DeviceWord::parse("/etc/passwd").unwrap().grant().unwrap_err().to_string();
        assert_eq!(told, "/etc/passwd is not a device");
    }

    #[test]
    fn limits_are_read() {
        let read = |text| parse_ulimit(text).ok().map(|limit| (limit.soft(), limit.hard()));
        assert_eq!(read("nofile=10:20"), Some((10, 20)));
        assert_eq!(read("core=0"), Some((0, 0)));
        assert_eq!(read("memlock=unlimited"), Some((u64::MAX, u64::MAX)));
        for wrong in ["nofile", "nofile=x", "files=1", "nofile=1:2:3"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
