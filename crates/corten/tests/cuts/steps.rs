//! Killed right before each system call that changes something on disk, one after the other: what
//! random moments seldom meet. `strace` does the killing; without it nothing is tested.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use corten_testkit::{Noise, TestRegistry};

use crate::home::Home;
use crate::killed::{Keeper, check};
use crate::{image, layout};

/// The calls, as `strace` selects them.
const CALLS: [&str; 8] = [
    "/^rename",
    "/^unlink",
    "/^mkdir",
    "/^fdatasync|^fsync",
    "ftruncate",
    "openat2",
    "/^writev|^write$",
    "flock",
];

/// More calls of one kind than any run here makes in one thread.
const MOST: u32 = 400;

/// Runs corten and kills it before the call with this number in any of its threads. Whether it
/// was killed; else it must have succeeded.
fn killed_before(home: &Home, call: &str, number: u32, arguments: &[&str]) -> bool {
    let inner = home.command(arguments);
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o", "/dev/null", "-e"])
        .arg(format!("inject={call}:signal=KILL:when={number}"))
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = strace.status().unwrap();
    let killed = status.signal() == Some(9);
    assert!(killed || status.success(), "{arguments:?} before {call} {number}: {status}");
    killed
}

fn strace_is_missing() -> bool {
    let missing = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err();
    if missing {
        eprintln!("skipped: strace is missing");
    }
    missing
}

/// Kills `arguments` before every call, and lets `after` look at what is there each time. Returns
/// how many kills there were.
fn at_each_step(home: &Home, arguments: &[&str], mut after: impl FnMut(&str)) -> u32 {
    let mut kills = 0;
    for call in CALLS {
        let mut number = 1;
        while killed_before(home, call, number, arguments) {
            kills += 1;
            after(&format!("before {call} {number}"));
            number += 1;
            assert!(number < MOST, "{call} does not end");
        }
        after(&format!("without a kill before {call}"));
    }
    kills
}

#[test]
#[ignore = "takes a minute: just kill-runs"]
fn pull_is_killed_before_each_step() {
    if strace_is_missing() {
        return;
    }
    let keeper = Keeper::new();
    let image = image(50);
    let name = keeper.registry.reference("team/app:v1");
    keeper.registry.seed("team/app", Some("v1"), &image);
    let kills = at_each_step(&keeper.home, &["--jobs", "1", "pull", &name], |_| {
        keeper.check();
        keeper.home.succeed(["pull", &name]);
        layout::assert_holds(&keeper.home.store(), &name, &image);
        keeper.clear(&name);
    });
    keeper.end();
    println!("pull: killed before {kills} steps");
    assert!(kills > 30, "{kills}");
}

#[test]
#[ignore = "takes a minute: just kill-runs"]
fn import_is_killed_before_each_step() {
    if strace_is_missing() {
        return;
    }
    let keeper = Keeper::new();
    let home = &keeper.home;
    home.write("tree/file", Noise::new(1, 50_000).whole());
    let tree = home.path("tree").to_str().unwrap().to_owned();
    let kills = at_each_step(home, &["import", &tree, "made"], |_| {
        keeper.check();
        home.succeed(["import", &tree, "made"]);
        home.succeed(["validate", "store:made"]);
        keeper.clear("made");
    });
    keeper.end();
    println!("import: killed before {kills} steps");
    assert!(kills > 30, "{kills}");
}

#[test]
#[ignore = "takes a minute: just kill-runs"]
fn a_new_layout_is_killed_before_each_step_of_its_founding() {
    if strace_is_missing() {
        return;
    }
    let registry = TestRegistry::start();
    let home = Home::new(&[&registry.host()]);
    let image = image(51);
    registry.seed("team/app", Some("v1"), &image);
    let source = format!("docker://{}", registry.reference("team/app:v1"));
    let path = home.path("layout");
    let target = format!("oci:{}:v1", path.display());
    let copy = ["--jobs", "1", "copy", &source, &target];
    let kills = at_each_step(&home, &copy, |step| {
        if path.join("oci-layout").exists() {
            check(&home, &path);
        }
        home.succeed(copy);
        check(&home, &path);
        layout::assert_holds(&path, "v1", &image);
        let store = path.to_str().unwrap();
        assert!(home.at(store, &["remove", image.digest().as_str()]), "{step}");
        assert!(home.at(store, &["gc", "--grace", "0s"]), "{step}");
        layout::assert_empty(&path);
        std::fs::remove_dir_all(&path).unwrap();
    });
    println!("copy to a new layout: killed before {kills} steps");
    assert!(kills > 30, "{kills}");
}

#[test]
#[ignore = "takes a minute: just kill-runs"]
fn gc_and_remove_are_killed_before_each_step() {
    if strace_is_missing() {
        return;
    }
    let keeper = Keeper::new();
    let home = &keeper.home;
    let name = keeper.registry.reference("team/app:v1");
    keeper.registry.seed("team/app", Some("v1"), &image(52));
    let garbage = || {
        home.succeed(["pull", &name]);
        home.succeed(["remove", &name]);
    };
    garbage();
    let collections = at_each_step(home, &["gc", "--grace", "0s"], |_| {
        keeper.check();
        keeper.check_clean();
        garbage();
    });
    home.succeed(["pull", &name]);
    let removals = at_each_step(home, &["remove", &name], |_| {
        keeper.check();
        home.succeed(["pull", &name]);
    });
    keeper.clear(&name);
    keeper.end();
    println!("gc: killed before {collections} steps; remove: before {removals}");
    assert!(collections > 10 && removals > 5, "{collections} {removals}");
}
