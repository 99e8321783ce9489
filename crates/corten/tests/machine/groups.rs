//! Control groups of version 2, made by systemd or beside the caller's.

use std::time::{Duration, Instant};

use crate::{Machine, is_root};

/// What a container says of its limits.
const LIMITS: &str = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max | tr '\\n' ' '";
/// The state of the caller's own group, but for the numbers of processes that come and go.
const OWN: &str = r#"
own=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
own() { cat "$own/cgroup.type" "$own/cgroup.subtree_control" 2>/dev/null; grep -cx $$ "$own/cgroup.procs"; }
before=$(own)
"#;
const SAME: &str = r#"
after=$(own)
[ "$before" = "$after" ] || { echo "CHANGED $before INTO $after"; exit 1; }
"#;

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits until a look gives what is wanted.
#[track_caller]
fn until(wanted: &str, mut look: impl FnMut() -> String) {
    let begun = Instant::now();
    loop {
        let seen = look();
        if seen == wanted {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{seen:?} in place of {wanted:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn limits_hold_and_the_callers_group_stays_as_it_was() {
    let Some(machine) = Machine::new() else { return };
    let places: &[&[&str]] = if is_root() {
        &[
            &[],
            &["systemd-run", "--quiet", "--scope"],
            &["systemd-run", "--quiet", "--pipe", "--wait", "--collect"],
            &["systemd-run", "--quiet", "--pipe", "--wait", "--collect", "-p", "Delegate=yes"],
        ]
    } else {
        &[&[], &["systemd-run", "--user", "--quiet", "--scope"]]
    };
    for place in places {
        for groups in ["enabled", "cgroupfs"] {
            let run = format!(
                "$C run --rm --network none --cgroups {groups} --memory 64m --cpus 0.5 --pids 55 box sh -c \"{LIMITS}\""
            );
            let told = machine.script(place, &format!("{OWN}{run}{SAME}"));
            assert_eq!(told.code, 0, "{place:?} {groups}: {} {}", told.out, told.err);
            assert_eq!(told.out.trim(), "67108864 50000 100000 55", "{place:?} {groups}");
            let none = format!("$C run --rm --network none --cgroups {groups} box sh -c true");
            let told = machine.script(place, &format!("{OWN}{none}{SAME}"));
            assert_eq!(told.code, 0, "{place:?} {groups}: {} {}", told.out, told.err);
        }
    }
}

#[test]
fn processes_are_limited_where_nobody_asks_for_it() {
    let Some(machine) = Machine::new() else { return };
    let limit = machine.corten(&[
        "run",
        "--rm",
        "--network",
        "none",
        "box",
        "cat",
        "/sys/fs/cgroup/pids.max",
    ]);
    assert_eq!(limit.good().trim(), "2048");
}

#[test]
fn devices_that_are_not_given_are_denied() {
    let Some(machine) = Machine::new() else { return };
    if !is_root() {
        eprintln!("skipped: in a user namespace no device can be made");
        return;
    }
    let script = "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk; mknod /tmp/null c 1 3 && echo x > /tmp/null && echo well";
    for groups in ["enabled", "cgroupfs"] {
        let words = [
            "run",
            "--rm",
            "--network",
            "none",
            "--cgroups",
            groups,
            "--cap-add",
            "MKNOD",
            "box",
            "sh",
            "-c",
            script,
        ];
        let told = machine.corten(&words);
        assert!(told.err.contains("/tmp/disk: Operation not permitted"), "{groups}: {}", told.err);
        assert_eq!(told.out, "well\n", "{groups}");
    }
}

#[test]
fn a_container_in_a_scope_is_paused_measured_entered_and_changed_and_leaves_nothing() {
    let Some(machine) = Machine::new() else { return };
    let words = [
        "run",
        "--detach",
        "--name",
        "one",
        "--network",
        "none",
        "--memory",
        "100m",
        "box",
        "sleep",
        "1000",
    ];
    let id = machine.corten(&words).good().trim().to_owned();
    let manager: &[&str] = if is_root() { &["systemctl"] } else { &["systemctl", "--user"] };
    let unit = format!("corten-{id}.scope");
    let active = || {
        let mut words = manager.to_vec();
        words.extend(["is-active", &unit]);
        let told = std::process::Command::new(words[0]).args(&words[1..]).output().unwrap();
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    };
    assert_eq!(active(), "active");
    // A reload of the manager sets anew what it knows of, and nothing else.
    let mut reload = manager.to_vec();
    reload.push("daemon-reload");
    std::process::Command::new(reload[0]).args(&reload[1..]).status().unwrap();
    let limit = ["exec", "one", "cat", "/sys/fs/cgroup/memory.max"];
    assert_eq!(machine.corten(&limit).good().trim(), "104857600");
    machine.corten(&["pause", "one"]).good();
    let state = || json(&machine.corten(&["status", "one", "--json"]).good())["state"].clone();
    assert_eq!(state(), "paused");
    machine.corten(&["resume", "one"]).good();
    assert_eq!(state(), "running");
    let stats = json(&machine.corten(&["stats", "one", "--json"]).good());
    assert!(stats.to_string().contains("104857600"), "{stats}");
    machine.corten(&["rm", "--force", "one"]).good();
    until("inactive", active);
    let left = machine.script(&[], &format!("find /sys/fs/cgroup -name '*{id}*'"));
    assert_eq!(left.good(), "");
}

#[test]
fn memory_that_runs_out_ends_the_container_and_its_status_says_so() {
    let Some(machine) = Machine::new() else { return };
    for groups in ["enabled", "cgroupfs"] {
        // `tail` keeps what has no end of line.
        let eat = "head -c 300000000 /dev/zero | tail";
        let words = [
            "run",
            "--detach",
            "--name",
            groups,
            "--network",
            "none",
            "--cgroups",
            groups,
            "--memory",
            "30m",
            "box",
            "sh",
            "-c",
            eat,
        ];
        machine.corten(&words).good();
        machine.corten(&["wait", groups]);
        let status = json(&machine.corten(&["status", groups, "--json"]).good());
        assert_eq!(status["out_of_memory"], true, "{groups}: {status}");
        assert_eq!(status["exit_code"], 137, "{groups}: {status}");
    }
}

#[test]
fn below_processes_limits_are_refused_and_devices_are_denied() {
    let Some(machine) = Machine::new() else { return };
    if !is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    // As in a container: the caller's group is the root of what is seen, and has processes.
    let place = [
        "systemd-run",
        "--quiet",
        "--pipe",
        "--wait",
        "--collect",
        "-p",
        "Delegate=yes",
        "unshare",
        "--cgroup",
        "--mount",
        "--propagation",
        "private",
    ];
    let see = "umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup || exit 9; export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/none\n";
    let run = "$C run --rm --network none --memory 64m box sh -c true";
    let told = machine.script(&place, &format!("{see}{OWN}{run}; code=$?{SAME} exit $code"));
    assert_eq!(told.code, 125, "{} {}", told.out, told.err);
    assert!(told.err.contains("has processes of its own"), "{}", told.err);
    let run = "$C run --rm --network none --cap-add MKNOD box sh -c 'mknod /tmp/d b 254 0; head -c 1 /tmp/d'";
    let told = machine.script(&place, &format!("{see}{OWN}{run}; code=$?{SAME} exit $code"));
    assert!(told.err.contains("/tmp/d: Operation not permitted"), "{}", told.err);
}

#[test]
fn a_user_without_a_bus_is_refused_limits_and_runs_without() {
    let Some(machine) = Machine::new() else { return };
    if is_root() {
        eprintln!("skipped: root has a bus");
        return;
    }
    // A group of root's: nothing in it, or beside it, is this user's.
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    if own.contains("user@") {
        eprintln!("skipped: this user's groups are delegated");
        return;
    }
    let without = "unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS; $C run --rm --network none";
    let told = machine.script(&[], &format!("{without} --memory 64m box sh -c true"));
    assert_eq!(told.code, 125, "{}", told.err);
    assert!(told.err.contains("controller memory"), "{}", told.err);
    machine.script(&[], &format!("{without} box sh -c true")).good();
}

#[test]
fn a_parent_is_a_slice_or_a_path() {
    let Some(machine) = Machine::new() else { return };
    if !is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    for (parent, place) in [
        ("corten-test.slice", "corten.slice/corten-test.slice/corten-"),
        ("/corten-test", "corten-test/"),
    ] {
        let words = [
            "run",
            "--detach",
            "--name",
            "one",
            "--network",
            "none",
            "--cgroup-parent",
            parent,
            "box",
            "sleep",
            "100",
        ];
        let id = machine.corten(&words).good().trim().to_owned();
        let found =
            machine.script(&[], &format!("find /sys/fs/cgroup -name '*{id}*' -type d")).good();
        assert!(found.contains(place), "{found}");
        machine.corten(&["rm", "--force", "one"]).good();
    }
}
