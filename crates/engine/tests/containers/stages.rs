//! Stages that are killed in the middle, played by a script in place of the engine's binary.

use crate::machine::{Machine, engine_binary};
use corten_engine::{Create, Engine, Force, Groups, Unenforced, create, delete, state};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A creation whose stages are this script. The descriptor of the channel is `$3`.
fn creation(script: &str) -> Option<(tempfile::TempDir, Engine, Create)> {
    if !rustix::process::geteuid().is_root() || !Path::new("/bin/bash").exists() {
        eprintln!("skipped: it needs root and bash");
        return None;
    }
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("stage");
    std::fs::write(&program, format!("#!/bin/bash\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let config = json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs" },
        "process": { "args": ["true"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
        // A clock of its own is what an outer stage is needed for.
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "time" }] }
    });
    std::fs::write(scratch.path().join("config.json"), config.to_string()).unwrap();
    let root = scratch.path().join("state");
    let engine = Engine {
        root,
        program,
        groups: Groups::Auto,
        unenforced: Unenforced::Refuse,
        tell: |_| (),
    };
    let file = || Some(std::fs::File::options().write(true).open("/dev/null").unwrap().into());
    let stdio = corten_engine::Stdio { input: None, output: file(), error: file() };
    let bundle = scratch.path().to_owned();
    Some((scratch, engine, Create { id: "one".into(), bundle, stdio, ..Create::default() }))
}

/// The inner stage holds the channel too, so that the death of the outer one alone closes nothing.
#[test]
fn an_outer_stage_that_dies_between_its_fork_and_its_word_keeps_nobody_waiting() {
    let script = "outer=$$\n\
        hear() { dd bs=64 count=1 status=none <&$1 > /dev/null; }\n\
        ( hear $3; kill -9 $outer; printf '{\"Here\":{\"placed\":false}}' >&$3; hear $3\n\
          printf '\"Ready\"' >&$3; hear $3; exec sleep 100 ) &\n\
        wait";
    let Some((_scratch, engine, wanted)) = creation(script) else { return };
    let start = Instant::now();
    let created = create(&engine, &wanted).unwrap();
    assert!(start.elapsed() < Duration::from_secs(20));
    let pid = created.pid().unwrap();
    // Known by the kernel's word alone.
    let line = (0..300).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        line.starts_with("sleep").then_some(line)
    });
    assert_eq!(line.as_deref(), Some("sleep\u{0}100\u{0}"));
    assert_eq!(*state(&engine, "one").unwrap().pid(), Some(pid));
    delete(&engine, "one", Force::Yes).unwrap();
    let gone = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
    assert!(!gone.is_ok_and(|line| line.starts_with("sleep")));
}

#[test]
fn stages_that_both_die_are_an_error_and_leave_nothing() {
    for script in [
        "exit 3",
        "dd bs=64 count=1 status=none <&$3 > /dev/null; kill -9 $$",
        "( dd bs=64 count=1 status=none <&$3 > /dev/null; kill -9 $$ ) & wait",
    ] {
        let Some((scratch, engine, wanted)) = creation(script) else { return };
        let start = Instant::now();
        let told = create(&engine, &wanted).unwrap_err().to_string();
        assert!(start.elapsed() < Duration::from_secs(20), "{told}");
        assert!(!scratch.path().join("state/one").exists());
    }
}

#[test]
fn a_process_that_dies_at_its_birth_is_an_error_and_leaves_nothing() {
    let Some((scratch, mut engine, wanted)) = creation("") else { return };
    let config = std::fs::read_to_string(scratch.path().join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "pid" }]);
    std::fs::write(scratch.path().join("config.json"), config.to_string()).unwrap();
    // One ends by itself, and the script cannot even be run once it is sealed.
    for program in [Path::new("/bin/false"), &engine.program.clone()] {
        engine.program = program.to_owned();
        let start = Instant::now();
        let told = create(&engine, &wanted).unwrap_err().to_string();
        assert!(start.elapsed() < Duration::from_secs(20), "{told}");
        assert!(told.contains("ended early"), "{told}");
        assert!(!scratch.path().join("state/one").exists());
    }
}

#[test]
fn a_creator_that_is_killed_leaves_nothing_that_a_deletion_does_not_find() {
    for millis in [0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 30] {
        let Some(mut machine) = Machine::new("sleep 100") else { return };
        let name = machine.scratch.path().file_name().unwrap().to_string_lossy().into_owned();
        machine.config["linux"]["cgroupsPath"] = json!(format!("killed{name}"));
        std::fs::write(machine.bundle().join("config.json"), machine.config.to_string()).unwrap();
        let mut command = Command::new(engine_binary());
        command.arg("--root").arg(machine.scratch.path().join("state")).args(["create", "one"]);
        command.arg("--bundle").arg(machine.bundle());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut creator = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        creator.kill().unwrap();
        creator.wait().unwrap();
        let deleted = machine.engine(&["delete", "--force", "one"]);
        assert_eq!(deleted.code, Some(0), "{millis} {}", deleted.error);
        assert!(!machine.has_state());
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let left = hierarchy.path().join(format!("killed{name}"));
            assert!(!left.exists(), "{millis} {}", left.display());
        }
    }
}
