//! What keeps containers and other users out on this machine.

use std::os::unix::fs::MetadataExt as _;

use corten_bundle::Powers;
use corten_engine::Groups;

use super::{Sheet, said};
use crate::Context;

/// Settings that stop tricks with links and pipes in directories that everybody may write to, and the least that they
/// should be (kernel documentation, admin-guide/sysctl/fs.rst).
const PROTECTED: [&str; 4] =
    ["protected_symlinks", "protected_hardlinks", "protected_fifos", "protected_regular"];
/// The bridge of containers.
const LOCALNET: &str = "/proc/sys/net/ipv4/conf/corten0/route_localnet";

pub(super) fn look(context: &Context, sheet: &mut Sheet) {
    store(context, sheet);
    filter(sheet);
    readers(sheet);
    guard(context, sheet);
    modules(sheet);
    groups(context, sheet);
    makers(context, sheet);
    ids(context, sheet);
    links(sheet);
    loopback(sheet);
}

fn store(context: &Context, sheet: &mut Sheet) {
    for (about, path) in [
        ("store", context.store_place()),
        ("run directory", Some(context.environment().run_directory())),
    ] {
        let Some(path) = path else {
            sheet.lacking(about, "there is no home directory", "set HOME, or --store DIR");
            continue;
        };
        let Ok(found) = std::fs::symlink_metadata(&path) else {
            sheet.well(about, format!("{} is not there yet; it will be 0700", path.display()));
            continue;
        };
        let (mode, own) = (found.mode() & 0o7777, found.uid() == context.environment().user());
        let shown = format!("{} is {mode:04o} and of user {}", path.display(), found.uid());
        if !own {
            sheet.wrong(about, shown, "take a store of your own: --store DIR");
        } else if mode & 0o077 != 0 {
            let cure = "any verb that opens it closes it: corten images";
            sheet.wrong(about, shown, cure);
        } else {
            sheet.well(about, shown);
        }
    }
}

fn filter(sheet: &mut Sheet) {
    match said("/proc/sys/kernel/seccomp/actions_avail") {
        Some(actions) if actions.split(' ').any(|action| action == "errno") => {
            sheet.well("seccomp", "system calls are filtered, never left out");
        }
        _ => sheet.wrong(
            "seccomp",
            "this kernel filters no system calls: containers with a profile do not start",
            "a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn readers(sheet: &mut Sheet) {
    match crate::ops::apart::probe() {
        Ok(()) => sheet.well(
            "readers",
            "layers are unpacked and parsed in processes without files, network and privileges",
        ),
        Err(why) => sheet.wrong(
            "readers",
            format!("no layer can be read apart: {why}"),
            "a mounted /proc, and a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn guard(context: &Context, sheet: &mut Sheet) {
    let Some(place) = context.store_place().filter(|place| place.is_dir()) else { return };
    if corten_bundle::guards_files(&place) {
        sheet.well("fs-verity", "the kernel guards layers in the store from the next gc on");
    } else {
        sheet.lacking(
            "fs-verity",
            "not where the store is: a layer that was changed is known by size, time and inode",
            "btrfs, or ext4 with the feature verity; or run --verify",
        );
    }
}

fn modules(sheet: &mut Sheet) {
    let apparmor = said("/sys/module/apparmor/parameters/enabled").is_some_and(|text| text == "Y");
    let profiles = said("/sys/kernel/security/apparmor/profiles");
    let loaded = profiles
        .as_ref()
        .is_some_and(|all| all.lines().any(|line| line.starts_with("corten-default ")));
    match (apparmor, loaded) {
        (true, true) => {
            sheet.well("AppArmor", "containers of root have the profile corten-default")
        }
        (true, false) if profiles.is_none() => {
            sheet.lacking(
                "AppArmor",
                "enabled; only root sees which profiles are loaded",
                "ask as root",
            );
        }
        (true, false) => sheet.lacking(
            "AppArmor",
            "enabled, and the profile corten-default is not loaded",
            "corten reference apparmor | apparmor_parser --replace",
        ),
        (false, _) => sheet.lacking("AppArmor", "this kernel does not use it", ""),
    }
    match said("/sys/fs/selinux/enforce").as_deref() {
        Some(enforce) => {
            let word = if enforce == "1" { "enforcing" } else { "permissive" };
            sheet.lacking(
                "SELinux",
                format!("{word}, and corten gives containers no labels of their own"),
                "z, Z and label= are refused; another engine's runtime with --runtime gives labels",
            );
        }
        None => sheet.lacking("SELinux", "this kernel does not use it", ""),
    }
    match said("/proc/sys/kernel/yama/ptrace_scope").as_deref() {
        None | Some("0") => sheet.lacking(
            "tracing",
            "any process of a user may trace the user's others (no Yama, or ptrace_scope 0)",
            "sysctl kernel.yama.ptrace_scope=1",
        ),
        Some(scope) => sheet.well("tracing", format!("Yama's ptrace_scope is {scope}")),
    }
}

fn groups(context: &Context, sheet: &mut Sheet) {
    let mounts = said("/proc/self/mountinfo").unwrap_or_default();
    let has = |kind: &str, word: &str| {
        mounts.lines().filter_map(|line| line.split_once(" - ")).any(|(_, rest)| {
            let mut fields = rest.split(' ');
            fields.next() == Some(kind)
                && (word.is_empty()
                    || fields.nth(1).is_some_and(|all| all.split(',').any(|one| one == word)))
        })
    };
    if context.powers() != Powers::Machine {
        sheet.well(
            "devices",
            "in a user namespace no device can be made, and those of images are none",
        );
        return;
    }
    if has("cgroup", "devices") {
        sheet.well("devices", "denied by the controller of version 1");
    } else if has("cgroup2", "") {
        sheet.well("devices", "denied by a program of version 2");
    } else {
        sheet.lacking(
            "devices",
            "there are no control groups: containers of root do not start unless told to go without",
            "mount them, or --no-groups for images that you trust",
        );
    }
}

/// Who makes the control groups, and whether processes are counted.
fn makers(context: &Context, sheet: &mut Sheet) {
    let systemd = crate::ops::systemd(context.environment());
    let groups = systemd.map_or(Groups::Auto, Groups::Systemd);
    match &groups {
        Groups::Systemd(_) => {
            sheet.well("control groups", "made by systemd, a scope for each container");
        }
        _ => sheet.well("control groups", "made by corten"),
    }
    if corten_engine::counts_processes(&groups) {
        sheet.well("number of processes", "2048 at most where nobody says otherwise");
    } else {
        sheet.lacking(
            "number of processes",
            "there is no limit: no group here can be given the controller pids",
            "as an ordinary user, log in where systemd gives sessions a bus; in a container, leave its own group to corten",
        );
    }
}

fn ids(context: &Context, sheet: &mut Sheet) {
    match context.powers() {
        Powers::Machine => sheet.lacking(
            "user namespace",
            "containers of root are not in one: the root of a container is the machine's, with 11 capabilities",
            "run as an ordinary user",
        ),
        Powers::Ranges => sheet.well("user namespace", "containers have ids of their own"),
        Powers::OneId => match crate::rootless::why_one_id() {
            None => sheet.well("user namespace", "containers have ids of their own"),
            Some(why) => sheet.lacking(
                "user namespace",
                format!("containers have one id, which is yours outside: {why}"),
                "the package uidmap, and ranges: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
            ),
        },
    }
    let kept = crate::ops::run::kept_groups();
    let one_id = context.powers() == Powers::OneId && crate::rootless::why_one_id().is_some();
    if one_id && kept > 0 {
        sheet.lacking(
            "groups",
            format!("{kept} more of your groups stay with containers that have one id"),
            "ranges of ids, as above",
        );
    }
}

fn links(sheet: &mut Sheet) {
    let off: Vec<&str> = PROTECTED
        .into_iter()
        .filter(|name| said(format!("/proc/sys/fs/{name}")).is_none_or(|value| value == "0"))
        .collect();
    if off.is_empty() {
        sheet.well("links", "links and pipes that others plant in /tmp are not followed");
    } else {
        let cure: Vec<String> = off.iter().map(|name| format!("fs.{name}=1")).collect();
        sheet.lacking(
            "links",
            format!("the kernel follows what others plant in /tmp: {} off", off.join(", ")),
            &format!("sysctl {}", cure.join(" ")),
        );
    }
}

fn loopback(sheet: &mut Sheet) {
    match said(LOCALNET).as_deref() {
        None => sheet.well("loopback", "there is no bridge of containers"),
        Some("0") => sheet.well("loopback", "closed to the bridge by the kernel"),
        Some(_) => sheet.lacking(
            "loopback",
            "a port is published, so the bridge may reach 127.0.0.0/8 but for the rule in table corten",
            "after rules were loaded anew start a container, which puts them back",
        ),
    }
}
