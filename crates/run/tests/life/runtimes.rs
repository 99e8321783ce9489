//! Another runtime behind the same verbs: crun of the peers.

use crate::machine::{Machine, until};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const TREE: &str = "/var/lib/corten-peers/tree";

fn script(machine: &Machine, name: &str, text: &str) -> PathBuf {
    let path = machine.scratch.path().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A machine whose commands see one hierarchy of control groups, as crun wants it, and the flag that chooses
/// crun, run with the libraries that it was built for.
fn with_crun() -> Option<(Machine, String)> {
    let mut machine = Machine::new()?;
    let loader = format!("{TREE}/lib64/ld-linux-x86-64.so.2");
    if !Path::new(&loader).exists() || !Path::new(&format!("{TREE}/usr/bin/crun")).exists() {
        eprintln!("skipped: peer crun is missing");
        return None;
    }
    let libraries = format!("{TREE}/usr/lib/x86_64-linux-gnu:{TREE}/lib/x86_64-linux-gnu");
    let crun = format!(
        "exec {loader} --library-path {libraries} {TREE}/usr/bin/crun --cgroup-manager=disabled \"$@\""
    );
    let crun = script(&machine, "crun", &crun);
    let one_hierarchy = "exec unshare --mount --propagation private sh -c '\
        umount -R -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"' sh \"$@\"";
    machine.by = Some(script(&machine, "by", one_hierarchy));
    Some((machine, format!("--runtime={}", crun.display())))
}

#[test]
fn the_verbs_drive_another_runtime_as_well() {
    let Some((machine, crun)) = with_crun() else { return };
    let answer = machine.run(&["--rm", &crun], "echo out; echo err >&2; exit 4");
    assert_eq!((answer.code, answer.output.as_str()), (Some(4), "out\n"), "{answer:?}");
    assert_eq!(answer.error, "err\n");
    let loop_ = "echo up; trap 'exit 5' TERM; while :; do sleep 0.05; done";
    machine.started("one", &[&crun], loop_);
    until("the first word", || machine.fine(&["logs", "one"]) == "up\n");
    let answer = machine.life(&["exec", "one", "sh", "-c", "echo in; exit 6"]);
    assert_eq!((answer.code, answer.output.as_str()), (Some(6), "in\n"), "{answer:?}");
    machine.fine(&["stop", "one"]);
    assert_eq!(machine.inspect("one")["status"]["exit"]["status"]["code"], 5);
    machine.fine(&["start", "one"]);
    machine.fine(&["kill", "one", "9"]);
    assert_eq!(machine.life(&["wait", "one"]).code, Some(137));
    machine.fine(&["remove", "one"]);
    assert!(machine.left().is_empty(), "{:?}", machine.left());
}

#[test]
fn another_runtimes_terminal_and_errors_come_through() {
    let Some((machine, crun)) = with_crun() else { return };
    let answer = machine.run(&["--rm", "--terminal", &crun], "tty; exit 8");
    assert_eq!((answer.code, answer.output.as_str()), (Some(8), "/dev/pts/0\r\n"), "{answer:?}");
    let lower = format!("--lower={}", machine.scratch.path().join("lower").display());
    let answer = machine.life(&["run", "--rm", &crun, &lower, "nosuch"]);
    assert_eq!(answer.code, Some(127));
    assert!(answer.error.contains("executable file `nosuch` not found"), "{answer:?}");
    assert!(machine.left().is_empty());
}

#[test]
fn a_runtime_that_is_too_old_or_says_nothing_is_refused_before_anything_is_made() {
    let Some(machine) = Machine::new() else { return };
    for (name, says) in [("runc", "echo runc version 1.1.5"), ("mute", "exit 0")] {
        let runtime = format!("--runtime={}", script(&machine, name, says).display());
        let answer = machine.run(&["--rm", &runtime], "true");
        assert_eq!(answer.code, Some(125));
        assert!(answer.error.contains("is refused, wanted is runc 1.3.6"), "{answer:?}");
    }
    assert!(machine.left().is_empty());
}
