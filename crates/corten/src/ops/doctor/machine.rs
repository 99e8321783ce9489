//! What of this machine corten can use: the kernel, programs, room.

use corten_bundle::Powers;

use super::{Sheet, has_program, said};
use crate::Context;

/// From which kernel on layers are mounted as they are: file-backed EROFS.
const MOUNTS_FILES: (u32, u32) = (6, 12);
/// The oldest that has all system calls for mounts by descriptors.
const OLDEST: (u32, u32) = (5, 12);
/// Least free bytes of the store's file system.
const LITTLE_ROOM: u64 = 2 << 30;

pub(super) fn look(context: &Context, sheet: &mut Sheet) {
    kernel(context, sheet);
    room(context, sheet);
    for (program, what) in [
        ("git", "contexts of builds from repositories"),
        ("pasta", "the network of an ordinary user's containers"),
        ("newuidmap", "ranges of ids for ordinary users (package uidmap)"),
        ("ssh-agent", "keys of files in RUN --mount=type=ssh"),
    ] {
        if has_program(context, program) {
            sheet.well(program, "installed");
        } else {
            sheet.lacking(
                program,
                format!("not installed: {what}"),
                "install it, where you need that",
            );
        }
    }
    if context.memory().is_some() {
        sheet.well("memory", "steps keep what is brief in /dev/shm");
    } else {
        sheet.lacking(
            "memory",
            "/dev/shm is no memory with room: steps keep what is brief on disk",
            "",
        );
    }
}

fn kernel(context: &Context, sheet: &mut Sheet) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let Some(version) = version(&release) else {
        sheet.lacking("kernel", format!("{release}: its version is not understood"), "");
        return;
    };
    if version < OLDEST {
        let cure = "Linux 5.12 or newer";
        sheet.wrong("kernel", format!("{release} is too old to run containers"), cure);
    } else if version < MOUNTS_FILES && context.powers() == Powers::Machine {
        sheet.lacking(
            "kernel",
            format!("{release} mounts no layer from a file: layers are unpacked into directories"),
            "Linux 6.12 or newer",
        );
    } else {
        sheet.well("kernel", release);
    }
    if said("/proc/filesystems").is_none_or(|all| !all.contains("overlay")) {
        sheet.lacking(
            "overlay",
            "the kernel has no overlay file system, or has not loaded it",
            "modprobe overlay",
        );
    }
    if said("/proc/sys/user/max_user_namespaces").is_none_or(|most| most == "0") {
        sheet.lacking(
            "user namespaces",
            "none may be made: ordinary users run no containers here",
            "sysctl user.max_user_namespaces=65536",
        );
    }
    if said("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").is_some_and(|on| on == "1") {
        sheet.lacking(
            "user namespaces",
            "AppArmor takes the rights away that ordinary users have in one: their containers do not start",
            "a profile for corten that allows userns, or sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        );
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|sign: char| !sign.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn room(context: &Context, sheet: &mut Sheet) {
    let Some(path) = context.store_place() else { return };
    let there = path.ancestors().find(|place| place.exists());
    let Some(found) = there.and_then(|place| rustix::fs::statvfs(place).ok()) else { return };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let shown = format!("{} free for {}", crate::output::bytes(free), path.display());
    if free < LITTLE_ROOM {
        sheet.lacking("room", shown, "corten gc; corten cache gc");
    } else {
        sheet.well("room", shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_its_version() {
        assert_eq!(version("6.12.4-amd64"), Some((6, 12)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("unknown"), None);
    }
}
