//! Restarts, health, logs within their limits.

use crate::machine::{Machine, processes_with, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

#[test]
fn a_failing_container_is_started_again_as_often_as_was_said() {
    let Some(machine) = Machine::new() else { return };
    let script = "echo run; test $(cat /tmp/runs 2>/dev/null | head -c 9 || :)x = xxx; \
        echo -n x >> /tmp/runs; exit 3";
    machine.started("one", &["--restart=on-failure", "--retries=2"], script);
    assert_eq!(machine.life(&["wait", "one"]).code, Some(3));
    assert_eq!(machine.fine(&["logs", "one"]), "run\nrun\nrun\n");
    assert_eq!(machine.inspect("one")["status"]["restarts"], 2);
    machine.started("fine", &["--restart=on-failure"], "echo run");
    assert_eq!(machine.life(&["wait", "fine"]).code, Some(0));
    assert_eq!(machine.fine(&["logs", "fine"]), "run\n");
}

#[test]
fn always_goes_on_until_it_is_stopped() {
    let Some(machine) = Machine::new() else { return };
    machine.started("one", &["--restart=always"], "echo run");
    until("three runs", || machine.fine(&["logs", "one"]).lines().count() >= 3);
    machine.fine(&["stop", "one"]);
    let runs = machine.fine(&["logs", "one"]);
    assert_eq!(machine.state("one"), "exited");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(machine.fine(&["logs", "one"]), runs);
}

#[test]
fn a_boot_brings_back_what_was_not_stopped_by_hand() {
    let Some(machine) = Machine::new() else { return };
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";
    for (name, policy) in [("no", "no"), ("always", "always"), ("unless", "unless-stopped")] {
        machine.started(name, &[&format!("--restart={policy}")], script);
    }
    let id = machine.started("lost", &["--restart=unless-stopped"], script);
    // A loss of power: no monitor, no process, a state that was never written out.
    for pid in processes_with(&id) {
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    until("the loss", || machine.inspect("lost")["status"]["monitored"] == false);
    machine.fine(&["kill", "lost", "9"]);
    until("the end", || machine.state("lost") == "exited");
    let place = machine.root().join("containers").join(&id);
    std::fs::write(place.join("state.json"), "").unwrap();
    assert_eq!(machine.inspect("lost")["status"]["exit"]["status"], "unknown");
    for name in ["no", "always", "unless"] {
        machine.fine(&["stop", name]);
    }
    machine.fine(&["revive"]);
    for (name, state) in
        [("no", "exited"), ("always", "running"), ("unless", "exited"), ("lost", "running")]
    {
        assert_eq!(machine.state(name), state, "{name}");
    }
    // What a loss of power left of a container can still be removed.
    machine.fine(&["stop", "lost"]);
    for file in ["container.json", "state.json", "exit.json"] {
        std::fs::write(place.join(file), "").unwrap();
    }
    machine.fine(&["remove", "lost"]);
    assert!(!place.exists());
}

#[test]
fn health_is_told_and_waited_for() {
    let Some(machine) = Machine::new() else { return };
    let flags = ["--health=test -e /tmp/well"];
    machine.started("one", &flags, "sleep 100");
    assert_eq!(machine.inspect("one")["status"]["health"], "starting");
    let health = || machine.inspect("one")["status"]["health"].clone();
    until("illness", || health() == "unhealthy");
    machine.fine(&["exec", "one", "touch", "/tmp/well"]);
    machine.fine(&["wait", "--for=healthy", "--within=20000", "one"]);
    assert_eq!(health(), "healthy");
    machine.fine(&["stop", "--timeout=0", "one"]);
    assert_eq!(health(), json!(null));
    let late = ["--health=sleep 50", "--health-timeout=50"];
    machine.started("late", &late, "sleep 100");
    until("illness", || machine.inspect("late")["status"]["health"] == "unhealthy");
}

#[test]
fn a_log_stays_within_its_limits_and_its_end_is_whole() {
    let Some(machine) = Machine::new() else { return };
    let id = machine.started("one", &["--log-bytes=20000"], "seq 1 5000");
    machine.life(&["wait", "one"]);
    let said = machine.fine(&["logs", "one"]);
    let lines: Vec<u32> = said.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(lines.last(), Some(&5000));
    assert!(lines.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no line is lost between files");
    let place = machine.root().join("containers").join(id);
    let size = |name: &str| std::fs::metadata(place.join(name)).map(|file| file.len()).ok();
    for name in ["log", "log.1", "log.2"] {
        assert!(size(name).is_some_and(|size| size <= 20_000), "{name}");
    }
    assert_eq!(size("log.3"), None);
    assert_eq!(machine.fine(&["logs", "--tail=2", "one"]), "4999\n5000\n");
}

#[test]
fn logs_are_followed_to_the_end() {
    let Some(machine) = Machine::new() else { return };
    machine.started("one", &[], "for i in $(seq 1 20); do echo $i; sleep 0.02; done");
    let said = machine.fine(&["logs", "--follow", "one"]);
    let wanted: String = (1..=20).map(|number| format!("{number}\n")).collect();
    assert_eq!(said, wanted);
    // Through many files, each of which is gone soon.
    let script = "for i in $(seq 1 400); do echo $i; done";
    machine.started("two", &["--log-bytes=2000"], &format!("sleep 0.3; {script}"));
    let said = machine.fine(&["logs", "--follow", "two"]);
    assert_eq!(said.lines().last(), Some("400"));
}
