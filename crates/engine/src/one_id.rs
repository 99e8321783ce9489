//! A user namespace of one id has its root and nobody else. A process that is to be somebody else there gets that
//! id under another name: a namespace of its own, in which the one id is the user's.

use crate::error::{Doing, Result};
use crate::procfs::Procfs;
use crate::sys;
use oci_spec::runtime::User;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Gives the one id of this process the name that `user` has. Where there are more ids, or it has that name,
/// nothing happens. To be called by a process of one thread that has all rights in its namespace, and that
/// `procfs` shows.
pub(crate) fn rename(user: &User, procfs: &Procfs) -> Result<()> {
    if user.uid() == 0 && user.gid() == 0 {
        return Ok(());
    }
    let only = |map: &str| -> Result<Option<u32>> { Ok(one_of(&procfs.read(map)?)) };
    let (Some(uid), Some(gid)) = (only("self/uid_map")?, only("self/gid_map")?) else {
        return Ok(());
    };
    if (uid, gid) == (user.uid(), user.gid()) {
        return Ok(());
    }
    sys::unshare(libc::CLONE_NEWUSER).doing(|| "make a user namespace of the user's own")?;
    // The files of a process that must not be looked into belong to nobody here.
    set_dumpable_behavior(DumpableBehavior::Dumpable).doing(|| "open this process to its user")?;
    procfs.write("self/setgroups", b"deny")?;
    procfs.write("self/uid_map", format!("{} {uid} 1\n", user.uid()).as_bytes())?;
    procfs.write("self/gid_map", format!("{} {gid} 1\n", user.gid()).as_bytes())?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing(|| "close this process")
}

/// The id of a map that has one alone.
fn one_of(map: &str) -> Option<u32> {
    let mut lines = map.lines();
    let mut fields = lines.next()?.split_whitespace();
    let (inside, size) = (fields.next()?, fields.nth(1)?);
    if lines.next().is_some() || size != "1" { None } else { inside.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_one_id_is_told_from_others() {
        assert_eq!(one_of("         0       1000          1\n"), Some(0));
        for map in ["0 0 4294967295\n", "0 1000 1\n1 100000 65536\n", "", "0 1000\n"] {
            assert_eq!(one_of(map), None, "{map}");
        }
    }
}
