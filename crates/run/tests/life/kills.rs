//! `kill -9` of whoever watches, at any moment: the status is true, and `collect` leaves nothing.

use crate::machine::{Machine, processes_with, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Spread over the time that a start takes; not random, so that a failure can be repeated.
fn moments() -> impl Iterator<Item = Duration> {
    (0..40).map(|step| Duration::from_micros(step * 700))
}

fn kill_hard(child: &mut Child) {
    let _ = kill_process(Pid::from_child(child), Signal::KILL);
    child.wait().unwrap();
}

/// What is told must be so: one that runs has a process, one that does not has none.
fn check_and_clear(machine: &Machine, mark: &str) {
    // The stages of a broken creation see the end of their caller by themselves.
    std::thread::sleep(Duration::from_millis(50));
    for line in machine.fine(&["list"]).lines() {
        let id = line.split(' ').next().unwrap();
        let status = machine.inspect(id)["status"].clone();
        match status["state"].as_str().unwrap() {
            "running" => {
                let pid = status["pid"].as_u64().unwrap();
                assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "{status}");
                machine.fine(&["stop", "--timeout=0", id]);
                assert_eq!(machine.state(id), "exited");
            }
            "created" | "exited" => {}
            other => panic!("{other}: {status}"),
        }
    }
    machine.fine(&["collect"]);
    until("the end of all processes", || processes_with(mark).is_empty());
    assert!(machine.left().is_empty(), "{:?}", machine.left());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(machine.scratch.path().to_str().unwrap()), "{mounts}");
}

#[test]
fn a_foreground_run_killed_at_any_moment_leaves_nothing_behind() {
    let Some(machine) = Machine::new() else { return };
    for (number, moment) in moments().enumerate() {
        let mark = format!("sleep 86{number:03}");
        let mut command = machine.command(&machine.words("run", &["--rm"], &mark));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        kill_hard(&mut child);
        check_and_clear(&machine, &mark);
    }
}

#[test]
fn a_monitor_killed_at_any_moment_leaves_nothing_behind() {
    let Some(machine) = Machine::new() else { return };
    for (number, moment) in moments().enumerate() {
        let mark = format!("sleep 87{number:03}");
        let id = machine.create(&["--rm"], &mark);
        let mut command = machine.command(&["start", &id]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        let monitors = || processes_with(&format!("--run-monitor {}", machine.root().display()));
        for pid in monitors() {
            let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            let _ = kill_process(pid, Signal::KILL);
        }
        child.wait().unwrap();
        // The start may have made its monitor only now.
        until("the end of the monitors", || {
            for pid in monitors() {
                let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                let _ = kill_process(pid, Signal::KILL);
            }
            monitors().is_empty()
        });
        check_and_clear(&machine, &mark);
    }
}

#[test]
fn a_container_outlives_its_killed_monitor_and_its_end_is_unknown() {
    let Some(machine) = Machine::new() else { return };
    machine.started("one", &[], "trap 'exit 0' TERM; while :; do sleep 0.05; done");
    let monitors = processes_with(&format!("--run-monitor {}", machine.root().display()));
    assert_eq!(monitors.len(), 1);
    let pid = Pid::from_raw(i32::try_from(monitors[0]).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    until("the loss", || machine.inspect("one")["status"]["monitored"] == false);
    assert_eq!(machine.state("one"), "running");
    assert!(machine.life(&["attach", "one"]).error.contains("watched by no monitor"));
    assert_eq!(machine.fine(&["exec", "one", "sh", "-c", "echo still"]), "still\n");
    machine.fine(&["stop", "one"]);
    let status = machine.inspect("one")["status"].clone();
    assert_eq!(status["state"], "exited");
    assert_eq!(status["exit"]["status"], json!("unknown"));
    // It can be started again as ever.
    machine.fine(&["start", "one"]);
    assert_eq!(machine.inspect("one")["status"]["monitored"], true);
    machine.fine(&["remove", "--force", "one"]);
    assert!(machine.left().is_empty());
}

#[test]
fn a_monitor_that_is_asked_to_end_stops_its_container_in_order() {
    let Some(machine) = Machine::new() else { return };
    let script = "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done";
    machine.started("one", &["--restart=always"], script);
    until("the first word", || machine.fine(&["logs", "one"]) == "up\n");
    let monitors = processes_with(&format!("--run-monitor {}", machine.root().display()));
    let pid = Pid::from_raw(i32::try_from(monitors[0]).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    until("the end", || machine.state("one") == "exited");
    assert_eq!(machine.inspect("one")["status"]["exit"]["status"], json!({ "code": 6 }));
}
