//! `corten run` and `corten oci` on a machine as most people have it: systemd, control groups of version 2 alone.
//!
//! On another machine every test is skipped and says so. `just machine` runs them on one.
//!
//! ```text
//! groups    limits, devices, pause, memory that runs out; what becomes of the caller's own group
//! engines   podman at its defaults, with corten as its runtime
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A test that was skipped must not look like one that passed.
#![allow(clippy::print_stderr)]

mod engines;
mod groups;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where distributions have a static busybox.
const BUSYBOX: [&str; 2] = ["/usr/bin/busybox", "/bin/busybox"];

/// A store with an image of busybox, and the binary.
pub(crate) struct Machine {
    pub(crate) scratch: tempfile::TempDir,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Answer {
    /// The output of what ended well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{} {}", self.out, self.err);
        self.out
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The binary: the one that cargo built, or that of another place where the tests were carried to.
pub(crate) fn corten() -> PathBuf {
    std::env::var_os("CORTEN_BINARY")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_corten")), PathBuf::from)
}

impl Machine {
    /// The machine, with an image; `None` and a loud word on another one.
    pub(crate) fn new() -> Option<Self> {
        let skipped = |why: &str| {
            eprintln!("skipped: {why}");
            None
        };
        if !Path::new("/run/systemd/system").is_dir() {
            return skipped("systemd does not run this machine");
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        if mounts.contains(" - cgroup ") || !mounts.contains(" - cgroup2 ") {
            return skipped("this machine has control groups of version 1");
        }
        let Some(busybox) = BUSYBOX.iter().find(|path| Path::new(path).exists()) else {
            return skipped("there is no static busybox");
        };
        let machine = Self { scratch: tempfile::tempdir().unwrap() };
        let root = machine.scratch.path().join("rootfs");
        for directory in ["bin", "tmp", "proc", "sys", "dev", "etc"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for name in ["sh", "cat", "sleep", "mknod", "head", "tail", "id", "echo", "ls"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        machine.corten(&["import", root.to_str().unwrap(), "box"]).good();
        Some(machine)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(corten());
        command.arg("--store").arg(self.scratch.path().join("store")).arg("--quiet");
        command
    }

    /// Runs the binary.
    pub(crate) fn corten(&self, words: &[&str]) -> Answer {
        self.command().args(words).output().unwrap().into()
    }

    /// Runs a script in which `$C` is the binary with the store.
    pub(crate) fn script(&self, before: &[&str], script: &str) -> Answer {
        let store = self.scratch.path().join("store");
        let text =
            format!("C=\"{} --store {} --quiet\"\n{script}", corten().display(), store.display());
        let mut words = before.to_vec();
        words.extend(["sh", "-c", &text]);
        Command::new(words[0]).args(&words[1..]).output().unwrap().into()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let all = self.corten(&["ps", "--all", "--json"]);
        let all: serde_json::Value = serde_json::from_str(&all.out).unwrap_or_default();
        for one in all["containers"].as_array().into_iter().flatten() {
            self.corten(&["rm", "--force", one["id"].as_str().unwrap_or_default()]);
        }
    }
}
