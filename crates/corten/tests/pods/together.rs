//! `corten run A --- B` and the verbs of pods.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Machine, until};

#[test]
fn images_with_dashes_between_run_as_one_unit() {
    let Some(machine) = Machine::new() else { return };
    let writer = "hostname >/data/name; readlink /proc/self/ns/net >/data/net; id -u; exit 0";
    let reader = "while ! [ -s /data/net ]; do sleep 0.05; done; cat /data/name; \
                  [ $(cat /data/net) = $(readlink /proc/self/ns/net) ] && echo same; exit 3";
    let words = ["run", "--pod", "twins", "--rm", "--network", "none", "-v", "data:/data"];
    let words =
        [&words[..], &["--name", "w", "-u", "1000", "box", "sh", "-c", writer, "---"]].concat();
    let words =
        [&words[..], &["-v", "data:/data:ro", "--name", "r", "box", "sh", "-c", reader]].concat();
    let ran = machine.run(&words);
    assert_eq!(ran.code, 3, "{ran:?}");
    let mut lines: Vec<&str> = ran.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["r | same", "r | twins", "w | 1000"], "{ran:?}");
    assert_eq!(machine.json(&["pod", "ps", "--all"])["pods"].as_array().unwrap().len(), 0);
    assert_eq!(machine.json(&["ps", "--all"])["containers"].as_array().unwrap().len(), 0);
    until("the end of all processes", || machine.processes() == 0);
}

#[test]
fn lines_are_plain_where_that_is_asked() {
    let Some(machine) = Machine::new() else { return };
    let words = ["run", "--plain", "--rm", "--network", "none", "box", "echo", "a", "---", "box"];
    let ran = machine.run(&[&words[..], &["sh", "-c", "echo b >&2"]].concat());
    assert_eq!((ran.code, ran.out.as_str(), ran.err.contains("b\n")), (0, "a\n", true), "{ran:?}");
}

#[test]
fn a_pod_is_made_and_run_later_and_tells_each_end() {
    let Some(machine) = Machine::new() else { return };
    let wait = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let words = ["pod", "create", "web", "--network", "none", "box", "sh", "-c", wait, "---"];
    let made = machine.json(&[&words[..], &["--name", "side", "box", "sh", "-c", wait]].concat());
    assert_eq!(made["members"][1]["name"], "side");
    let status = machine.json(&["pod", "status", "web"]);
    assert_eq!((&status["state"], &status["ready"]), (&"created".into(), &false.into()));
    assert_eq!(machine.processes(), 0, "nothing runs before the start");
    machine.ok(&["pod", "start", "web"]);
    let status = machine.json(&["pod", "status", "web", "--wait-ready=30s"]);
    assert_eq!((&status["state"], &status["ready"]), (&"running".into(), &true.into()));
    assert_eq!(machine.json(&["pod", "ps"])["pods"][0]["name"], "web");
    let late = machine.run(&["pod", "status", "web", "--wait=100ms"]);
    assert_ne!(late.code, 0, "{late:?}");
    let busy = machine.run(&["pod", "rm", "web"]);
    assert_ne!(busy.code, 0, "{busy:?}");
    machine.ok(&["kill", "--signal", "KILL", "side"]);
    until("the end of one", || machine.json(&["pod", "status", "web"])["ready"] == false);
    machine.ok(&["pod", "stop", "web"]);
    let status = machine.json(&["pod", "status", "web", "--wait"]);
    let codes = [&status["members"][0]["exit_code"], &status["members"][1]["exit_code"]];
    assert_eq!(codes, [&0, &137], "{status}");
    assert_eq!(status["holder"], serde_json::Value::Null);
    let over = machine.run(&["pod", "status", "web", "--wait-ready"]);
    assert!(over.code != 0 && over.err.contains("become ready"), "{over:?}");
    let table = machine.ok(&["pod", "status", "web"]);
    assert!(table.contains("web  exited") && table.contains("137"), "{table}");
    machine.ok(&["pod", "rm", "web"]);
    until("the end of all processes", || machine.processes() == 0);
}

#[test]
fn a_signal_to_who_shows_a_pod_stops_all_of_it() {
    let Some(machine) = Machine::new() else { return };
    let wait = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let words = ["run", "--pod", "front", "--network", "none", "box", "sh", "-c", wait, "---"];
    let words = [&words[..], &["box", "sh", "-c", wait]].concat();
    let mut command = machine.command(&words);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // A first process that has not set its trap yet would never see the signal.
    let up: BTreeSet<String> = lines.by_ref().take(2).collect();
    assert_eq!(up, BTreeSet::from(["front-1 | up".to_owned(), "front-2 | up".to_owned()]));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let bye: BTreeSet<String> = lines.collect();
    assert_eq!(bye, BTreeSet::from(["front-1 | bye".to_owned(), "front-2 | bye".to_owned()]));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    machine.ok(&["pod", "rm", "front"]);
}

#[test]
fn members_share_one_network_and_its_ports() {
    let Some(machine) = Machine::new() else { return };
    let serve = "while :; do echo hello | nc -l -p 8000; done";
    let words =
        ["run", "--detach", "--pod", "net", "-p", "127.0.0.1:18473:8000", "--network", "private"];
    let ran = machine
        .run(&[&words[..], &["box", "sh", "-c", serve, "---", "box", "sleep", "100"]].concat());
    if ran.err.contains("network") && ran.code != 0 {
        eprintln!("skipped: no private network here: {}", ran.err);
        return;
    }
    assert_eq!(ran.code, 0, "{ran:?}");
    machine.ok(&["pod", "status", "net", "--wait-ready=30s"]);
    let (one, two) = (["exec", "net-1", "ip", "addr"], ["exec", "net-2", "ip", "addr"]);
    let (one, two) = (machine.ok(&one), machine.ok(&two));
    assert!(one.contains("eth0") && one == two, "{one}{two}");
    // The other member reaches the first one at the loopback both have.
    let said = || machine.run(&["exec", "net-2", "nc", "127.0.0.1", "8000"]).out;
    until("an answer inside", || said() == "hello\n");
    let lease = std::fs::read_dir("/run/corten/network/leases").unwrap();
    let pod = machine.json(&["pod", "status", "net"])["id"].as_str().unwrap().to_owned();
    let mine = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().ends_with(&pod);
    assert_eq!(lease.flatten().filter(mine).count(), 1, "one lease for the pod");
    machine.ok(&["pod", "stop", "--time", "0", "net"]);
    let lease = std::fs::read_dir("/run/corten/network/leases").unwrap();
    assert_eq!(lease.flatten().filter(mine).count(), 0, "the lease goes with the pod");
    // A holder that is killed has no time to do so.
    machine.ok(&["pod", "start", "net"]);
    let holder = machine.json(&["pod", "status", "net"])["holder"].as_i64().unwrap();
    let holder = Pid::from_raw(i32::try_from(holder).unwrap()).unwrap();
    kill_process(holder, Signal::KILL).unwrap();
    machine.ok(&["pod", "stop", "--time", "0", "net"]);
    let lease = std::fs::read_dir("/run/corten/network/leases").unwrap();
    assert_eq!(lease.flatten().filter(mine).count(), 0, "nor does it stay then");
    machine.ok(&["pod", "rm", "net"]);
}

#[test]
fn what_a_pod_cannot_be_is_refused() {
    let Some(machine) = Machine::new() else { return };
    for (words, wanted) in [
        (&["run", "box", "---", "--nonsense", "box"][..], "after ---"),
        (&["run", "box", "---"], "after ---"),
        (&["run", "box", "---", "--network", "host", "box"], "belong to the first"),
        (&["run", "-it", "box", "---", "box"], "--detach"),
        (&["run", "--detach", "--rm", "box", "---", "box"], "corten pod rm"),
        (&["run", "--network", "none", "box", "---", "-p", "1:1", "box"], "--publish"),
        (&["run", "--explain", "box", "---", "box"], "--explain"),
    ] {
        let ran = machine.run(words);
        assert!(ran.code != 0 && ran.err.contains(wanted), "{words:?}: {ran:?}");
    }
    assert_eq!(machine.json(&["pod", "ps", "--all"])["pods"].as_array().unwrap().len(), 0);
}
