//! The kernel's settings, written through a descriptor that is known to be of proc.
//!
//! A path below `/proc` may have been mounted over or linked elsewhere, and then the bytes of a setting
//! would change something else. So the file system is verified once, and names are looked up in it alone:
//! no link, no other mount.

use crate::error::{Doing, Error, Result};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

/// `PROC_SUPER_MAGIC` of linux/magic.h.
const PROC_MAGIC: i64 = 0x9fa0;
/// The inode of proc's root directory.
const ROOT_INODE: u64 = 1;
/// The most bytes read of one file.
const FILE_LIMIT: u64 = 8 << 20;

/// An opened and verified proc file system.
#[derive(Debug)]
pub(crate) struct Procfs {
    root: OwnedFd,
}

impl Procfs {
    /// The proc file system at `/proc` of this process, for use before the root changes.
    pub(crate) fn of_machine() -> Result<Procfs> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, "/proc", flags, Mode::empty()).doing(|| "open /proc")?;
        let kind = rustix::fs::fstatfs(&root).doing(|| "ask what /proc is")?.f_type;
        let inode = rustix::fs::fstat(&root).doing(|| "ask what /proc is")?.st_ino;
        if kind != PROC_MAGIC || inode != ROOT_INODE {
            return Err(Error::Unsupported {
                what: "a machine whose /proc is not the root of proc".to_owned(),
            });
        }
        Ok(Procfs { root })
    }

    fn open(&self, name: &str, flags: OFlags) -> rustix::io::Result<std::fs::File> {
        let (first, rest) = name.split_once('/').unwrap_or((name, ""));
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let open = |name: &str| {
            let resolve =
                if first == "self" { resolve } else { resolve | ResolveFlags::NO_SYMLINKS };
            rustix::fs::openat2(&self.root, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
        };
        open(if rest.is_empty() { first } else { name }).map(Into::into)
    }

    /// Writes a whole setting at once.
    pub(crate) fn write(&self, name: &str, value: &[u8]) -> Result<()> {
        let mut file = self.open(name, OFlags::WRONLY).doing(|| format!("open {name} of proc"))?;
        file.write_all(value).doing(|| format!("write {name} of proc"))
    }

    /// Reads a whole file. Names in it are whatever their owner chose: bytes that are no text are replaced.
    pub(crate) fn read(&self, name: &str) -> Result<String> {
        let file = self.open(name, OFlags::RDONLY).doing(|| format!("open {name} of proc"))?;
        let mut bytes = Vec::new();
        file.take(FILE_LIMIT).read_to_end(&mut bytes).doing(|| format!("read {name} of proc"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// When the process `pid` started, in clock ticks since boot; `None` when it is gone or a corpse.
    pub(crate) fn start_time(&self, pid: i32) -> Option<u64> {
        let text = self.read(&format!("{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; what follows the last one is fixed.
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        fields.nth(18)?.parse().ok()
    }
}

/// The processes that are in the pid namespace of `pid`, lowest first; one that ends meanwhile is left out.
pub(crate) fn sharing_pids_with(pid: u32) -> std::io::Result<Vec<u32>> {
    let space = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid"));
    let wanted = space(pid)?;
    let numbers = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<u32> =
        numbers.filter(|pid| space(*pid).is_ok_and(|space| space == wanted)).collect();
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_start_time_and_a_missing_one_has_none() {
        let procfs = Procfs::of_machine().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(procfs.start_time(me).unwrap() > 0);
        assert_eq!(procfs.start_time(i32::MAX), None);
    }

    #[test]
    fn a_process_shares_pids_with_itself() {
        let me = std::process::id();
        assert!(sharing_pids_with(me).unwrap().contains(&me));
        assert!(sharing_pids_with(u32::MAX).is_err());
    }

    #[test]
    fn names_do_not_lead_out_of_proc() {
        let procfs = Procfs::of_machine().unwrap();
        assert!(procfs.read("self/status").unwrap().contains("Pid:"));
        assert!(procfs.read("self/cwd/Cargo.toml").is_err());
        assert!(procfs.read("../etc/passwd").is_err());
        assert!(procfs.read("self/root/etc/passwd").is_err());
    }
}
