//! Each verb does what it says.

use crate::machine::{Machine, until};
use serde_json::json;
use std::io::Write;
use std::process::Stdio;

#[test]
fn a_foreground_run_has_the_callers_streams_and_leaves_nothing() {
    let Some(machine) = Machine::new() else { return };
    let answer = machine.run(&["--rm"], "echo out; echo err >&2; read line || exit 7");
    assert_eq!((answer.output.as_str(), answer.error.as_str()), ("out\n", "err\n"));
    assert_eq!(answer.code, Some(7), "without --interactive there is no input");
    let mut command = machine.command(&machine.words("run", &["--rm", "--interactive"], "cat"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"given").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"given");
    assert_eq!(machine.left(), Vec::<std::path::PathBuf>::new());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(machine.scratch.path().to_str().unwrap()));
}

#[test]
fn what_cannot_be_run_has_the_exit_code_of_shells() {
    let Some(machine) = Machine::new() else { return };
    let lower = format!("--lower={}", machine.scratch.path().join("lower").display());
    for (program, code) in [("nosuch", 127), ("/etc", 126)] {
        let answer = machine.life(&["run", "--rm", &lower, program]);
        assert_eq!(answer.code, Some(code), "{answer:?}");
        assert!(answer.error.contains(program), "{answer:?}");
        machine.fine(&["create", &lower, "--name=one", program]);
        let answer = machine.life(&["start", "one"]);
        assert_eq!(answer.code, Some(code), "{answer:?}");
        let status = &machine.inspect("one")["status"];
        assert_eq!(status["exit"]["status"], json!({ "code": code }));
        assert!(status["exit"]["error"].as_str().unwrap().contains(program));
        machine.fine(&["remove", "one"]);
    }
    assert!(machine.left().is_empty());
}

#[test]
fn the_life_of_a_detached_container() {
    let Some(machine) = Machine::new() else { return };
    let script = "echo hello; trap 'echo asked; exit 5' TERM; while :; do sleep 0.05; done";
    let id = machine.create(&["--name=one"], script);
    assert_eq!(machine.state("one"), "created");
    let pid: u32 = machine.fine(&["start", &id[..12]]).trim().parse().unwrap();
    let status = machine.inspect("one")["status"].clone();
    assert_eq!(status["state"], "running");
    assert_eq!(status["pid"], pid);
    assert_eq!(status["monitored"], true);
    for (verb, word) in [("start", "start"), ("remove", "be removed")] {
        let said = machine.life(&[verb, "one"]);
        assert_eq!(said.code, Some(125));
        assert!(said.error.contains(&format!("is running, so it cannot {word}")), "{said:?}");
    }
    until("the first word", || machine.fine(&["logs", "one"]) == "hello\n");
    machine.fine(&["stop", "one"]);
    let status = machine.inspect("one")["status"].clone();
    assert_eq!(status["state"], "exited");
    assert_eq!(status["exit"]["status"], json!({ "code": 5 }));
    assert_eq!(machine.fine(&["logs", "one"]), "hello\nasked\n");
    assert_eq!(machine.life(&["wait", "one"]).code, Some(5));
    machine.fine(&["start", "one"]);
    machine.fine(&["kill", "one", "9"]);
    assert_eq!(machine.life(&["wait", "one"]).code, Some(137));
    assert_eq!(machine.inspect("one")["status"]["exit"]["status"], json!({ "signal": 9 }));
    machine.fine(&["rename", "one", "two"]);
    assert!(machine.life(&["inspect", "one"]).error.contains("no container"));
    assert!(machine.fine(&["list"]).contains(" two exited"));
    machine.fine(&["remove", "two"]);
    assert!(machine.left().is_empty());
    let events = machine.fine(&["events"]);
    let mut what: Vec<&str> = events.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    let wanted = ["create", "start", "die 5", "stop", "start", "die 137", "rename", "remove"];
    // Told by the one who kills, while the monitor tells of the end.
    let kill = what.iter().position(|what| *what == "kill").unwrap();
    assert!(kill == 5 || kill == 6, "{what:?}");
    what.remove(kill);
    assert_eq!(what, wanted);
}

#[test]
fn stop_kills_what_does_not_listen() {
    let Some(machine) = Machine::new() else { return };
    machine.started("deaf", &[], "trap '' TERM; while :; do sleep 0.05; done");
    machine.fine(&["stop", "--timeout=100", "deaf"]);
    assert_eq!(machine.inspect("deaf")["status"]["exit"]["status"], json!({ "signal": 9 }));
    machine.started("again", &[], "while :; do sleep 0.05; done");
    machine.fine(&["remove", "--force", "again"]);
    assert!(machine.life(&["inspect", "again"]).error.contains("no container"));
}

#[test]
fn exec_runs_further_processes_with_the_containers_settings() {
    let Some(machine) = Machine::new() else { return };
    machine.started("one", &[], "sleep 100");
    let answer = machine.life(&["exec", "one", "sh", "-c", "cat /proc/1/cmdline; exit 9"]);
    assert_eq!(answer.output, "sleep\x00100\x00");
    assert_eq!(answer.code, Some(9));
    let said =
        machine.fine(&["exec", "--env=A=b c", "--cwd=/etc", "one", "sh", "-c", "echo $A; pwd"]);
    assert_eq!(said, "b c\n/etc\n");
    let said = machine.fine(&["exec", "--uid=7", "one", "sh", "-c", "id; cat /proc/self/status"]);
    assert!(said.contains("uid=7"), "{said}");
    assert!(said.contains("CapEff:\t0000000000000000"), "{said}");
    assert_eq!(machine.life(&["exec", "one", "nosuch"]).code, Some(127));
    machine.fine(&["exec", "--detach", "one", "sh", "-c", "sleep 0.1; touch /tmp/mark"]);
    until("the mark", || machine.life(&["exec", "one", "ls", "/tmp/mark"]).code == Some(0));
    let mut command = machine.command(&["exec", "--interactive", "one", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"given").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"given");
    machine.fine(&["stop", "--timeout=0", "one"]);
    assert!(machine.life(&["exec", "one", "true"]).error.contains("is exited"));
}

#[test]
fn a_paused_container_stands_still_and_its_figures_are_told() {
    let Some(machine) = Machine::new() else { return };
    machine.started("one", &[], "while :; do echo x; sleep 0.02; done");
    until("a word", || !machine.fine(&["logs", "one"]).is_empty());
    let pid = machine.inspect("one")["status"]["pid"].as_u64().unwrap();
    let said = machine.life(&["processes", "one"]);
    if said.error.contains("no control group") {
        eprintln!("skipped: this machine gives no control groups: {}", said.error);
        return;
    }
    assert!(said.output.contains(&pid.to_string()), "{said:?}");
    let stats: serde_json::Value = serde_json::from_str(&machine.fine(&["stats", "one"])).unwrap();
    assert!(stats["pids"].as_u64().is_some_and(|pids| pids >= 1), "{stats}");
    assert!(stats["memory"].as_u64().is_some_and(|memory| memory > 0), "{stats}");
    machine.fine(&["pause", "one"]);
    assert_eq!(machine.state("one"), "paused");
    std::thread::sleep(std::time::Duration::from_millis(100));
    let before = machine.fine(&["logs", "one"]);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(machine.fine(&["logs", "one"]), before);
    assert!(machine.life(&["exec", "one", "true"]).error.contains("is paused"));
    machine.fine(&["resume", "one"]);
    until("more words", || machine.fine(&["logs", "one"]) != before);
    machine.fine(&["pause", "one"]);
    machine.fine(&["stop", "--timeout=100", "one"]);
    assert_eq!(machine.state("one"), "exited");
}

#[test]
fn names_are_taken_once_and_found_by_their_beginning() {
    let Some(machine) = Machine::new() else { return };
    let id = machine.create(&["--name=web"], "true");
    let said = machine.life(&["create", "--name=web", "--lower=/", "true"]);
    assert!(said.error.contains("the name \"web\" belongs to container"), "{said:?}");
    assert_eq!(machine.inspect(&id[..6])["id"], json!(id));
    assert!(machine.life(&["create", "--name=../web", "--lower=/", "true"]).error.contains("name"));
    machine.create(&["--name=other"], "true");
    assert!(machine.life(&["rename", "other", "web"]).error.contains("belongs to"));
    assert_eq!(machine.fine(&["list"]).lines().count(), 2);
}

#[test]
fn files_last_from_one_start_to_the_next_and_go_with_the_container() {
    let Some(machine) = Machine::new() else { return };
    machine.create(&["--name=one"], "cat /tmp/mark 2>/dev/null; echo again > /tmp/mark");
    assert_eq!(machine.fine(&["foreground", "one"]), "");
    assert_eq!(machine.fine(&["foreground", "one"]), "again\n");
    assert!(!machine.scratch.path().join("lower/tmp/mark").exists());
    machine.fine(&["remove", "one"]);
    assert!(machine.left().is_empty());
}

#[test]
fn what_is_mounted_is_neither_removed_nor_left_unsaid() {
    let Some(machine) = Machine::new() else { return };
    let id = machine.create(&["--name=one"], "true");
    let volume = machine.scratch.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("canary"), "alive").unwrap();
    let place = machine.root().join("containers").join(&id).join("bundle/rootfs");
    std::fs::create_dir_all(&place).unwrap();
    rustix::mount::mount_bind(&volume, &place).unwrap();
    let said = machine.life(&["remove", "one"]);
    assert!(said.error.contains("bundle/rootfs: is mounted"), "{said:?}");
    assert!(volume.join("canary").exists());
    let place = machine.root().join("garbage").join(&id).join("bundle/rootfs");
    rustix::mount::unmount(&place, rustix::mount::UnmountFlags::empty()).unwrap();
    machine.fine(&["collect"]);
    assert!(machine.left().is_empty());
    assert!(volume.join("canary").exists());
}

#[test]
fn signals_reach_the_first_process_of_a_foreground_run() {
    let Some(machine) = Machine::new() else { return };
    let script = "trap 'echo usr; exit 3' USR1; echo up; while :; do sleep 0.05; done";
    let mut command = machine.command(&machine.words("run", &["--name=one"], script));
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    until("the run", || machine.life(&["inspect", "one"]).output.contains("\"running\""));
    std::thread::sleep(std::time::Duration::from_millis(200));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, b"up\nusr\n");
    assert_eq!(machine.fine(&["logs", "one"]), "");
    // What does not listen is killed by the third wish.
    let script = "trap '' TERM; while :; do sleep 0.05; done";
    let mut child =
        machine.command(&machine.words("run", &["--name=two"], script)).spawn().unwrap();
    until("the run", || machine.life(&["inspect", "two"]).output.contains("\"running\""));
    std::thread::sleep(std::time::Duration::from_millis(200));
    for _ in 0..3 {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(child.wait().unwrap().code(), Some(137));
}

#[test]
fn a_wish_to_end_between_two_runs_ends_them() {
    let Some(machine) = Machine::new() else { return };
    let words = machine.words("run", &["--name=one", "--restart=on-failure"], "exit 3");
    let mut child = machine.command(&words).spawn().unwrap();
    // By now the pause before the next run is a matter of seconds.
    until("some runs", || {
        machine.life(&["events"]).output.lines().filter(|line| line.ends_with("die 3")).count() == 5
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
    assert_eq!(machine.state("one"), "exited");
}

#[test]
fn no_descriptor_of_the_caller_goes_where_it_was_not_sent() {
    let Some(machine) = Machine::new() else { return };
    machine.create(&["--name=one"], "sleep 100");
    let with_nine = |words: &[String]| {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let line = format!(
            "exec '{}' '{}' {} 9>&1",
            crate::machine::binary().display(),
            machine.root().display(),
            words.join(" ")
        );
        std::process::Command::new("sh").arg("-c").arg(line).output().unwrap()
    };
    // This comes to an end only if the monitor and the container let go of the pipe.
    let output = with_nine(&["start".to_owned(), "one".to_owned()]);
    assert!(output.status.success());
    assert_eq!(machine.state("one"), "running");
    let words = machine.words("run", &["--rm"], "echo /proc/self/fd/*");
    let output = with_nine(&words);
    let seen = String::from_utf8(output.stdout).unwrap();
    // The last is the shell's own, of the directory that it reads.
    assert_eq!(seen.trim(), "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3");
}

#[test]
fn an_attached_caller_talks_and_sees_the_end() {
    let Some(machine) = Machine::new() else { return };
    let script = "echo first; while read line; do echo got $line; done; echo eof; exit 4";
    machine.started("one", &["--interactive"], script);
    until("the first word", || machine.fine(&["logs", "one"]) == "first\n");
    let mut command = machine.command(&["attach", "--interactive", "--replay", "one"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a\nb\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "first\ngot a\ngot b\neof\n");
    assert_eq!(output.status.code(), Some(4));
    assert!(machine.life(&["attach", "one"]).error.contains("is exited"));
}

#[test]
fn twenty_start_and_stop_at_once() {
    let Some(machine) = Machine::new() else { return };
    let names: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let machine = &machine;
            scope.spawn(move || {
                let script =
                    format!("echo {name}; trap 'exit 0' TERM; while :; do sleep 0.1; done");
                machine.started(name, &["--rm"], &script);
                until("its word", || machine.fine(&["logs", name]) == format!("{name}\n"));
                machine.fine(&["exec", name, "true"]);
                machine.fine(&["stop", name]);
            });
        }
    });
    until("the removal of all", || machine.left().is_empty());
    let events = machine.fine(&["events"]);
    for (what, count) in [("create", 20), ("start", 20), ("die 0", 20), ("remove", 20)] {
        let found = events.lines().filter(|line| line.split_once(' ').unwrap().1 == what).count();
        assert_eq!(found, count, "{what}");
    }
}
