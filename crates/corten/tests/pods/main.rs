//! Pods, and what containers become: several images as one unit, `commit`, `cp`, `unit`, `top`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stderr)] // A test that was skipped must not look like one that passed.

mod become_images;
mod files;
mod play;
mod together;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use corten_testkit::{Scratch, scratch};
use serde_json::Value;

const BUSYBOX: [&str; 2] = ["/var/lib/corten-peers/tree/usr/bin/busybox", "/bin/busybox"];
/// What a test waits for at the longest.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store with one image, `box`, in it.
struct Machine {
    home: Scratch,
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Machine {
    /// `None`, and a loud word, where containers cannot be run.
    fn new() -> Option<Self> {
        let busybox = BUSYBOX.iter().find(|path| Path::new(path).exists());
        let Some(busybox) = busybox.filter(|_| rustix::process::geteuid().is_root()) else {
            eprintln!("skipped: it needs root and a static busybox");
            return None;
        };
        let machine = Self { home: scratch() };
        let tree = machine.path("tree");
        for directory in ["bin", "etc", "tmp", "root", "old/deep"] {
            std::fs::create_dir_all(tree.join(directory)).unwrap();
        }
        std::fs::copy(busybox, tree.join("bin/busybox")).unwrap();
        for name in [
            "sh", "ls", "cat", "id", "sleep", "rm", "mkdir", "touch", "true", "false", "echo",
            "env", "hostname", "ip", "ln", "stat", "nc", "chmod", "rmdir", "readlink", "wget",
        ] {
            symlink("busybox", tree.join("bin").join(name)).unwrap();
        }
        std::fs::write(tree.join("old/file"), "old\n").unwrap();
        std::fs::write(tree.join("old/deep/file"), "deep\n").unwrap();
        machine.ok(&["import", tree.to_str().unwrap(), "box", "--cmd", r#"["sh"]"#]);
        Some(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        command.args(words).env_clear().env("HOME", self.home.path()).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.command(words).output().unwrap().into()
    }

    /// Runs a verb that must succeed; what it printed.
    fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        ran.out
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[&["--json"], words].concat())).unwrap()
    }

    /// How many of the machine's processes are about this store.
    fn processes(&self) -> usize {
        let mark = self.home.path().to_str().unwrap().as_bytes().to_vec();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| line.windows(mark.len()).any(|part| part == mark)).count()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        for pod in self.run(&["pod", "ps", "--all", "--ids"]).out.lines() {
            self.run(&["pod", "rm", "--force", pod]);
        }
        for container in self.run(&["ps", "--all", "--ids"]).out.lines() {
            self.run(&["rm", "--force", container]);
        }
    }
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(30));
    }
}
