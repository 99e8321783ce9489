//! `corten oci`: the words and flags that those who drive a runtime use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A test that was skipped must not look like one that passed.
#![allow(clippy::print_stderr)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use corten_testkit::{Scratch, scratch};
use serde_json::{Value, json};

const BUSYBOX: [&str; 4] = [
    "/var/lib/corten-peers/tree/bin/busybox",
    "/var/lib/corten-peers/tree/usr/bin/busybox",
    "/bin/busybox",
    "/usr/bin/busybox",
];

/// A bundle with a busybox, and a directory of state.
struct Bundle {
    scratch: Scratch,
    config: Value,
}

/// What a command answered.
#[derive(Debug)]
struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Answer {
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{} {}", self.out, self.err);
        self.out
    }
}

impl Bundle {
    /// A bundle whose process runs a script; `None` and a loud word where that is not possible.
    fn new(script: &str) -> Option<Self> {
        let busybox = BUSYBOX.iter().find(|path| Path::new(path).exists());
        let Some(busybox) = busybox.filter(|_| rustix::process::geteuid().is_root()) else {
            eprintln!("skipped: it needs root and a static busybox");
            return None;
        };
        let scratch = scratch();
        let root = scratch.join("bundle/rootfs");
        for directory in ["bin", "tmp", "proc", "dev", "run", "sys"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for name in ["sh", "cat", "sleep", "id", "env", "pwd", "ls", "chmod"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let caps = json!(["CAP_KILL"]);
        let config = json!({
            "ociVersion": "1.2.0",
            "process": {
                "user": { "uid": 11, "gid": 12, "additionalGids": [13], "umask": 63 },
                "args": ["sh", "-c", script],
                "env": ["PATH=/bin", "KEPT=yes"],
                "cwd": "/tmp",
                "capabilities": { "bounding": caps, "permitted": caps, "effective": caps, "inheritable": caps },
            },
            "root": { "path": "rootfs" },
            "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
            "linux": { "namespaces": [
                { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }, { "type": "network" },
            ] },
        });
        Some(Self { scratch, config })
    }

    fn path(&self) -> PathBuf {
        self.scratch.join("bundle")
    }

    fn command(&self) -> Command {
        std::fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        command.args(["oci", "--root"]).arg(self.scratch.join("state")).current_dir(self.path());
        command.env_remove("NOTIFY_SOCKET").env_remove("LISTEN_FDS");
        command
    }

    fn oci(&self, words: &[&str]) -> Answer {
        self.command().args(words).output().unwrap().into()
    }

    /// Starts the container `one` and leaves it running.
    fn start(&self) {
        // Its streams are not ours: who reads ours to their end would wait for it.
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.args(["run", "--detach", "one"]).status().unwrap().success());
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.oci(&["delete", "--force", "one"]);
    }
}

#[test]
fn a_further_process_is_like_the_containers_own() {
    let Some(bundle) = Bundle::new("sleep 1000") else { return };
    bundle.start();
    let show = "id; pwd; umask; echo $KEPT $NEW; grep Cap /proc/self/status";
    let told = bundle.oci(&["exec", "one", "sh", "-c", show]).good();
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("uid=11 gid=12 groups=12,13")
            || lines[0].starts_with("uid=11 gid=12 groups=13"),
        "{told}"
    );
    assert_eq!(lines[1..4], ["/tmp", "0077", "yes"], "{told}");
    assert!(told.contains("CapBnd:\t0000000000000020"), "{told}");
    assert!(told.contains("CapInh:\t0000000000000020"), "{told}");
    let words = [
        "exec",
        "--user",
        "21:22",
        "--additional-gids",
        "23",
        "--cwd",
        "/",
        "--env",
        "NEW=1",
        "--env",
        "KEPT=no",
        "--cap",
        "CAP_CHOWN",
        "--no-new-privs",
        "one",
        "sh",
        "-c",
        "id; pwd; echo $KEPT $NEW; cat /proc/self/status",
    ];
    let told = bundle.oci(&words).good();
    assert!(told.starts_with("uid=21 gid=22 groups="), "{told}");
    assert!(told.contains("23") && told.contains("\n/\nno 1\n"), "{told}");
    assert!(
        told.contains("CapBnd:\t0000000000000021") && told.contains("NoNewPrivs:\t1"),
        "{told}"
    );
}

#[test]
fn containers_and_their_processes_are_listed_in_both_forms() {
    let Some(bundle) = Bundle::new("sleep 1000") else { return };
    bundle.start();
    let table = bundle.oci(&["list"]).good();
    assert!(
        table.starts_with("ID") && table.contains("one") && table.contains("running"),
        "{table}"
    );
    assert_eq!(bundle.oci(&["list", "--quiet"]).good(), "one\n");
    let all: Value =
        serde_json::from_str(&bundle.oci(&["list", "--format", "json"]).good()).unwrap();
    assert_eq!((&all[0]["id"], &all[0]["status"]), (&json!("one"), &json!("running")));
    let table = bundle.oci(&["ps", "one"]).good();
    assert!(table.starts_with("PID") && table.contains("sleep"), "{table}");
    let pids: Vec<u32> =
        serde_json::from_str(&bundle.oci(&["ps", "--format", "json", "one"]).good()).unwrap();
    assert!(!pids.is_empty());
    let state: Value = serde_json::from_str(&bundle.oci(&["state", "one"]).good()).unwrap();
    assert!(state["rootfs"].as_str().unwrap().ends_with("bundle/rootfs"), "{state}");
    let created = state["created"].as_str().unwrap();
    assert!(created.starts_with("20") && created.ends_with('Z'), "{state}");
}

#[test]
fn a_paused_container_says_so_and_takes_nobody_in_unless_told_to() {
    let Some(bundle) = Bundle::new("sleep 1000") else { return };
    bundle.start();
    let paused = bundle.oci(&["pause", "one"]);
    if paused.code != Some(0) {
        eprintln!("skipped: nothing here can pause: {}", paused.err);
        return;
    }
    let state: Value = serde_json::from_str(&bundle.oci(&["state", "one"]).good()).unwrap();
    assert_eq!(state["status"], "paused");
    let told = bundle.oci(&["exec", "one", "id"]);
    assert!(told.code != Some(0) && told.err.contains("paused"), "{}", told.err);
    bundle.oci(&["resume", "one"]).good();
    bundle.oci(&["exec", "--ignore-paused", "one", "id"]).good();
}

#[test]
fn limits_are_changed_by_flags() {
    let Some(bundle) = Bundle::new("sleep 1000") else { return };
    bundle.start();
    let updated = bundle.oci(&["update", "--pids-limit", "77", "--memory", "100m", "one"]);
    if updated.code != Some(0) {
        eprintln!("skipped: no limits here: {}", updated.err);
        return;
    }
    let told: Value =
        serde_json::from_str(&bundle.oci(&["events", "--stats", "one"]).good()).unwrap();
    assert_eq!((&told["type"], &told["id"]), (&json!("stats"), &json!("one")));
    assert_eq!(told["data"]["pids"]["limit"], 77);
    assert_eq!(told["data"]["memory"]["usage"]["limit"], 104_857_600);
}

#[test]
fn what_is_kept_after_the_end_is_there_until_it_is_deleted() {
    let Some(bundle) = Bundle::new("exit 3") else { return };
    assert_eq!(bundle.oci(&["run", "--keep", "one"]).code, Some(3));
    let state: Value = serde_json::from_str(&bundle.oci(&["state", "one"]).good()).unwrap();
    assert_eq!(state["status"], "stopped");
    bundle.oci(&["delete", "one"]).good();
    assert_ne!(bundle.oci(&["state", "one"]).code, Some(0));
}

#[test]
fn another_configuration_is_taken_and_a_log_that_cannot_be_is_an_error() {
    let Some(bundle) = Bundle::new("exit 3") else { return };
    let mut other = bundle.config.clone();
    other["process"]["args"] = json!(["sh", "-c", "exit 4"]);
    std::fs::write(bundle.path().join("other.json"), other.to_string()).unwrap();
    assert_eq!(bundle.oci(&["run", "--config", "other.json", "one"]).code, Some(4));
    let told = bundle.oci(&["--log", "/none/log", "run", "one"]);
    assert!(told.code == Some(1) && told.err.contains("/none/log"), "{}", told.err);
}

#[test]
fn a_configuration_to_begin_with_runs_and_is_never_written_over() {
    let Some(bundle) = Bundle::new("exit 0") else { return };
    let place = bundle.scratch.join("new");
    std::fs::create_dir(&place).unwrap();
    let words = ["spec", "--bundle", place.to_str().unwrap()];
    bundle.oci(&words).good();
    let mut made: Value =
        serde_json::from_slice(&std::fs::read(place.join("config.json")).unwrap()).unwrap();
    let told = bundle.oci(&words);
    assert!(told.code != Some(0) && told.err.contains("config.json"), "{}", told.err);
    made["process"]["terminal"] = false.into();
    made["process"]["args"] = json!(["sh", "-c", "exit 5"]);
    std::fs::write(place.join("config.json"), made.to_string()).unwrap();
    std::os::unix::fs::symlink(bundle.path().join("rootfs"), place.join("rootfs")).unwrap();
    let told = bundle.oci(&["run", "--bundle", place.to_str().unwrap(), "one"]);
    assert_eq!(told.code, Some(5), "{}", told.err);
}

#[test]
fn a_container_that_says_that_it_is_ready_is_heard_by_the_service_manager() {
    let script = "echo x > /run/notify/mine; chmod 700 /run/notify; sleep 5";
    let Some(mut bundle) = Bundle::new(script) else { return };
    bundle.config["process"]["user"] = json!({ "uid": 0, "gid": 0 });
    let path = bundle.scratch.join("manager.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = bundle.command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", &path).args(["run", "--detach", "one"]);
    let mut child = command.spawn().unwrap();
    // By way of the container's own mounts, where its program finds it.
    let begun = std::time::Instant::now();
    let speaker = UnixDatagram::unbound().unwrap();
    loop {
        let pid = std::fs::read(bundle.scratch.join("state/one/state.json"))
            .ok()
            .and_then(|state| serde_json::from_slice::<Value>(&state).ok())
            .and_then(|state| state["pid"].as_i64());
        let socket = format!("/proc/{}/root/run/notify/notify.sock", pid.unwrap_or(0));
        if speaker.send_to(b"STATUS=well\nREADY=1\n", socket).is_ok() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no socket");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut message = [0; 256];
    let length = manager.recv(&mut message).unwrap();
    let text = String::from_utf8_lossy(&message[..length]).into_owned();
    assert!(text.contains("READY=1\n") && text.contains("MAINPID="), "{text}");
    assert!(child.wait().unwrap().success());
    // The directory is the machine's: the container leaves nothing in it and changes nothing of it.
    let ours = bundle.scratch.join("state/one/notify");
    std::thread::sleep(Duration::from_millis(200));
    assert!(!ours.join("mine").exists());
    assert_eq!(std::fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn sockets_of_a_process_above_are_not_handed_on() {
    let Some(bundle) = Bundle::new("echo ${LISTEN_FDS:-none}") else { return };
    let mut command = bundle.command();
    command.env("LISTEN_FDS", "3").env("LISTEN_PID", "1").args(["run", "one"]);
    let told: Answer = command.output().unwrap().into();
    assert!(told.good().starts_with("none\n"));
}

#[test]
fn sockets_that_were_opened_for_the_runtime_are_the_containers() {
    let Some(bundle) = Bundle::new("cat <&3; echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES") else {
        return;
    };
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(b"handed on\n").unwrap();
    drop(write);
    let mut command = bundle.command();
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web").args(["run", "one"]);
    let number = std::os::fd::AsRawFd::as_raw_fd(&read);
    // The shell puts it where the container looks for it.
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("exec 3<&{number}; exec \"$@\""))
        .arg("sh")
        .arg(command.get_program());
    shell.args(command.get_args()).current_dir(bundle.path());
    shell.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web");
    rustix::io::fcntl_setfd(&read, rustix::io::FdFlags::empty()).unwrap();
    shell.arg0("sh");
    let told: Answer = shell.output().unwrap().into();
    assert_eq!(told.good(), "handed on\n1 1 web\n");
}
