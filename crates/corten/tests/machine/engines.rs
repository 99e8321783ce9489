//! Other engines, at their defaults, with corten as their runtime.

use std::process::Command;

use crate::{Answer, Machine, corten, is_root};

fn podman(runtime: &str, words: &[&str]) -> Answer {
    Command::new("podman").args(["--runtime", runtime]).args(words).output().unwrap().into()
}

#[test]
fn podman_runs_limits_pauses_enters_and_removes_with_its_own_defaults() {
    let Some(machine) = Machine::new() else { return };
    if !is_root() || Command::new("podman").arg("--version").output().is_err() {
        eprintln!("skipped: needs root and podman");
        return;
    }
    let runtime = machine.scratch.path().join("corten-oci");
    std::os::unix::fs::symlink(corten(), &runtime).unwrap();
    let runtime = runtime.to_str().unwrap();
    let root = machine.scratch.path().join("rootfs");
    let rootfs = root.to_str().unwrap();
    let place = |name: &str| machine.scratch.path().join(name).to_str().unwrap().to_owned();
    let (storage, state) = (&*place("storage"), &*place("state"));
    for manager in ["systemd", "cgroupfs"] {
        let podman = |words: &[&str]| {
            // Storage of its own: what a test leaves that failed is in nobody's way.
            let mut all = vec!["--cgroup-manager", manager, "--root", storage, "--runroot", state];
            all.extend(words);
            podman(runtime, &all)
        };
        let show = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; id -u";
        let told = podman(&[
            "run",
            "--rm",
            "--network",
            "none",
            "--memory",
            "64m",
            "--pids-limit",
            "33",
            "--rootfs",
            rootfs,
            "sh",
            "-c",
            show,
        ]);
        assert_eq!(told.good(), "67108864\n33\n0\n", "{manager}");
        let name = format!("corten-{manager}");
        podman(&["rm", "--force", &name]);
        podman(&[
            "run",
            "--detach",
            "--name",
            &name,
            "--network",
            "none",
            "--rootfs",
            rootfs,
            "sleep",
            "1000",
        ])
        .good();
        podman(&["pause", &name]).good();
        let state = podman(&["inspect", "--format", "{{.State.Status}}", &name]).good();
        assert_eq!(state.trim(), "paused");
        podman(&["unpause", &name]).good();
        assert_eq!(podman(&["exec", &name, "echo", "inside"]).good(), "inside\n");
        podman(&["rm", "--force", "--time", "1", &name]).good();
    }
}
