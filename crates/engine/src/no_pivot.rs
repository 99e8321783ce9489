//! The root moved over the machine's in place of pivoting, for machines that run from their first memory file
//! system, which cannot be pivoted away.
//!
//! The old root stays below then, and who may change the root inside finds a way back to it. So all that is mounted
//! there is let go of; above all a proc and a sys without masks.

use crate::error::{Doing, Error, Result};
use crate::procfs::Procfs;
use crate::root::Root;
use crate::sys::Reach;
use crate::targets::Identity;
use crate::tree;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::UnmountFlags;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Goes through the mounts so often at most: what lies over another one has to go first.
const ROUNDS: usize = 16;

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    id: u64,
    above: u64,
    place: PathBuf,
}

/// Moves the root, which is the working directory, over the machine's, and makes it this process's.
pub(crate) fn move_root(root: &Root) -> Result<()> {
    rustix::mount::mount_move(".", "/").doing(|| "move the new root over the old one")?;
    let new = Identity::of(root.directory())?.mount;
    // Absolute paths lead below the new root until this process's root is changed.
    let_go(new)?;
    rustix::process::chroot(".").doing(|| "change to the new root")
}

fn let_go(new: u64) -> Result<()> {
    let procfs = Procfs::of_machine()?;
    let mut left = Vec::new();
    for _ in 0..ROUNDS {
        left = others(&procfs.read("self/mountinfo")?, new);
        if left.is_empty() {
            return Ok(());
        }
        let mut gone = false;
        for mounted in left.iter().rev() {
            let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
            gone |= rustix::mount::unmount(&mounted.place, flags).is_ok();
        }
        // Letting go of proc itself ends the sight of the rest, which is gone with what was above it.
        if !Path::new("/proc/self").exists() {
            return Ok(());
        }
        if !gone {
            break;
        }
    }
    // In a user namespace some are locked to what is above them.
    left.iter().try_for_each(|mounted| cover(&mounted.place))
}

/// Covers a directory by an empty one.
fn cover(place: &Path) -> Result<()> {
    let failed = || format!("let go of the machine's mount on {}", place.display());
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let over = rustix::fs::openat(CWD, place, flags, Mode::empty()).doing(failed)?;
    let data = ["nr_blocks", "nr_inodes"].map(|name| (name.to_owned(), Some("1".to_owned())));
    let empty = tree::new_filesystem("tmpfs", Some("tmpfs"), &data, libc::MOUNT_ATTR_RDONLY);
    let empty = empty.doing(failed)?;
    tree::attach(&empty, &over).doing(failed)?;
    tree::read_only(&empty, Reach::One, "a cover")
}

/// All mounts but the root of the namespace, the new root and what is below that; what is above others first.
fn others(table: &str, new: u64) -> Vec<Mounted> {
    let all: Vec<_> = table.lines().filter_map(parse).collect();
    let mut inside = BTreeSet::from([new]);
    loop {
        let before = inside.len();
        inside.extend(
            all.iter()
                .filter(|one| inside.contains(&one.above))
                .map(|one| one.id)
                .collect::<Vec<_>>(),
        );
        if inside.len() == before {
            break;
        }
    }
    all.into_iter().filter(|one| !inside.contains(&one.id) && one.place != Path::new("/")).collect()
}

fn parse(line: &str) -> Option<Mounted> {
    let mut fields = line.split(' ');
    let (id, above) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let place = unescape(fields.nth(2)?);
    Some(Mounted { id, above, place })
}

/// Blanks and the like stand as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let number = (*first == b'\\')
            .then(|| after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(number.unwrap_or(*first));
        rest = if number.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Refuses a namespace whose root is shared with others: what is let go of here would go there.
pub(crate) fn refuse_shared(shares: bool) -> Result<()> {
    if shares {
        return Err(Error::Unsupported {
            what: "a shared rootfsPropagation without a pivoted root".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_new_root_stay_and_all_others_are_found() {
        let table = "\
20 1 8:1 / / rw - ext4 /dev/vda rw
21 20 0:5 / /proc rw - proc proc rw
22 20 0:6 / /a\\040b rw - tmpfs tmpfs rw
23 22 0:7 / /a\\040b/c rw - tmpfs tmpfs rw
30 20 0:8 / / rw - overlay overlay rw
31 30 0:9 / /proc rw - proc proc rw
32 31 0:10 / /proc/keys rw - tmpfs tmpfs rw
no line
";
        let found: Vec<_> = others(table, 30).into_iter().map(|one| (one.id, one.place)).collect();
        let wanted = [(21, "/proc"), (22, "/a b"), (23, "/a b/c")];
        assert_eq!(found, wanted.map(|(id, place)| (id, PathBuf::from(place))));
    }
}
