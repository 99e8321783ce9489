//! Pods: one unit of several containers.

use crate::machine::{Machine, processes_with, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn pod(machine: &Machine, words: &[&str]) -> Value {
    let said = machine.fine(&[&["pod"], words].concat());
    serde_json::from_str(&said).unwrap_or(Value::String(said.trim().to_owned()))
}

fn create(machine: &Machine, flags: &[&str], words: &[&str]) -> String {
    let lower = format!("--lower={}", machine.scratch.path().join("lower").display());
    machine.fine(&[&["pod", &lower], flags, &["create"], words].concat()).trim().to_owned()
}

fn link(pid: &Value, kind: &str) -> std::path::PathBuf {
    let pid = pid.as_u64().map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
}

fn holders(machine: &Machine) -> Vec<u32> {
    processes_with(&format!("--run-holder {}", machine.root().display()))
}

#[test]
fn members_share_namespaces_and_volumes_and_end_as_one() {
    let Some(machine) = Machine::new() else { return };
    let wait = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let (first, second) =
        (format!("hostname > /shared/name; ip addr show lo > /shared/lo; {wait}"), wait.to_owned());
    create(&machine, &["--volume=data"], &["twins", &first, &second]);
    let status = pod(&machine, &["status", "twins"]);
    assert_eq!(status["holder"], Value::Null);
    assert_eq!(status["members"][1]["status"]["state"], "created");
    machine.fine(&["pod", "start", "twins"]);
    let status = pod(&machine, &["--within=20000", "ready", "twins"]);
    let pids = [&status["members"][0]["status"]["pid"], &status["members"][1]["status"]["pid"]];
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(link(pids[0], kind), link(pids[1], kind));
        assert_eq!(link(pids[0], kind), link(&status["holder"], kind));
        assert_ne!(link(pids[0], kind), link(&Value::Null, kind));
    }
    assert_ne!(link(pids[0], "pid"), link(pids[1], "pid"));
    let member = status["members"][1]["id"].as_str().unwrap();
    let seen = || machine.life(&["exec", member, "cat", "/shared/name", "/shared/lo"]).output;
    until("what the first one wrote", || seen().contains("LOOPBACK"));
    assert!(seen().starts_with("twins\n"), "{}", seen());
    assert!(seen().contains("UP"), "{}", seen());
    // One member alone can be stopped and started in what the pod shares.
    machine.fine(&["stop", member]);
    assert_eq!(pod(&machine, &["status", "twins"])["ready"], false);
    machine.fine(&["start", member]);
    let again = pod(&machine, &["--within=20000", "ready", "twins"]);
    assert_eq!(again["holder"], status["holder"]);
    let said = machine.life(&["pod", "remove", "twins"]);
    assert!(said.error.contains("is running, so it cannot be removed"), "{said:?}");
    machine.fine(&["pod", "stop", "twins"]);
    let status = pod(&machine, &["exited", "twins"]);
    assert_eq!(status["holder"], Value::Null);
    assert!(holders(&machine).is_empty());
    let said = machine.life(&["start", member]);
    assert!(said.error.contains("a member of a pod that is not up"), "{said:?}");
    machine.fine(&["pod", "remove", "twins"]);
    assert!(machine.left().is_empty(), "{:?}", machine.left());
}

#[test]
fn the_namespaces_go_with_the_last_member() {
    let Some(machine) = Machine::new() else { return };
    create(&machine, &[], &["short", "exit 0", "sleep 0.3; exit 3"]);
    machine.fine(&["pod", "start", "short"]);
    let status = pod(&machine, &["--within=20000", "exited", "short"]);
    assert_eq!(status["members"][1]["status"]["exit"]["status"]["code"], 3);
    until("the end of the holder", || holders(&machine).is_empty());
    // It can be run again.
    machine.fine(&["pod", "start", "short"]);
    machine.fine(&["pod", "--force", "remove", "short"]);
    assert!(machine.left().is_empty());
}

#[test]
fn a_member_that_does_not_start_takes_the_others_with_it() {
    let Some(machine) = Machine::new() else { return };
    let lower = format!("--lower={}", machine.scratch.path().join("lower").display());
    create(&machine, &[], &["half", "sleep 100", "sleep 100"]);
    let said = machine.life(&["pod", &lower, "create", "half", "true"]);
    assert!(said.error.contains("belongs to"), "{said:?}");
    assert_eq!(machine.fine(&["list"]).lines().count(), 2, "nothing of the second is left");
    let status = pod(&machine, &["status", "half"]);
    let second = status["members"][1]["id"].as_str().unwrap();
    // Its recipe names a directory that is gone.
    let path = machine.root().join("containers").join(second).join("container.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("/lower", "/gone");
    std::fs::write(&path, text).unwrap();
    let said = machine.life(&["pod", "start", "half"]);
    assert_eq!(said.code, Some(125));
    assert!(said.error.contains("prepare container"), "{said:?}");
    let status = pod(&machine, &["status", "half"]);
    assert_eq!(status["holder"], Value::Null);
    assert_eq!(status["members"][0]["status"]["state"], "exited");
    assert!(holders(&machine).is_empty());
}

#[test]
fn a_killed_holder_is_told_and_what_kills_left_is_collected() {
    let Some(machine) = Machine::new() else { return };
    let mark = "sleep 88001";
    create(&machine, &[], &["one", mark, mark]);
    machine.fine(&["pod", "start", "one"]);
    for pid in processes_with(&format!("{}", machine.root().display()))
        .into_iter()
        .chain(holders(&machine))
    {
        let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL);
    }
    until("the loss", || pod(&machine, &["status", "one"])["holder"] == Value::Null);
    let status = pod(&machine, &["status", "one"]);
    assert_eq!(status["members"][0]["status"]["state"], "running");
    machine.fine(&["pod", "--timeout=0", "stop", "one"]);
    until("the end of all", || processes_with(mark).is_empty());
    machine.fine(&["pod", "start", "one"]);
    assert_eq!(pod(&machine, &["--within=20000", "ready", "one"])["ready"], true);
    machine.fine(&["pod", "--force", "remove", "one"]);
    // Members whose pod was never finished.
    for number in 0..20_u64 {
        let lower = format!("--lower={}", machine.scratch.path().join("lower").display());
        let words = ["pod", &lower, "create", "two", "true", "true", "true", "true"];
        let mut child = machine.command(&words).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(number * 400));
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        machine.life(&["pod", "--force", "remove", "two"]);
        machine.fine(&["collect"]);
        assert!(machine.left().is_empty(), "{:?}", machine.left());
    }
}
