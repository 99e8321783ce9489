//! A root for containers, a busybox for them to run, and the example binary.

use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const BUSYBOX: [&str; 2] = ["/var/lib/corten-peers/tree/usr/bin/busybox", "/bin/busybox"];
/// What a test waits for at the longest.
const PATIENCE: Duration = Duration::from_secs(60);

/// A scratch directory with a root for containers and a directory for their files.
pub(crate) struct Machine {
    pub(crate) scratch: tempfile::TempDir,
    /// A script that the example binary is run by.
    pub(crate) by: Option<PathBuf>,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) error: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Answer {
        Answer {
            code: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The example binary, which cargo builds beside the tests.
pub(crate) fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("examples/life")
}

impl Machine {
    /// `None`, and a loud word, where containers cannot be run.
    pub(crate) fn new() -> Option<Machine> {
        let busybox = BUSYBOX.iter().find(|path| Path::new(path).exists());
        let Some(busybox) = busybox.filter(|_| rustix::process::geteuid().is_root()) else {
            eprintln!("skipped: it needs root and a static busybox");
            return None;
        };
        let scratch = tempfile::tempdir().unwrap();
        let lower = scratch.path().join("lower");
        for directory in ["bin", "etc", "tmp", "root", "proc", "sys", "dev"] {
            std::fs::create_dir_all(lower.join(directory)).unwrap();
        }
        std::fs::copy(busybox, lower.join("bin/busybox")).unwrap();
        for name in [
            "sh", "ls", "cat", "id", "sleep", "stty", "tty", "kill", "touch", "seq", "true",
            "false", "head", "test", "mkdir", "env", "pwd", "ps", "hostname", "ip",
        ] {
            symlink("busybox", lower.join("bin").join(name)).unwrap();
        }
        Some(Machine { scratch, by: None })
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    pub(crate) fn command<W: AsRef<OsStr>>(&self, words: &[W]) -> Command {
        let mut command = match &self.by {
            Some(script) => Command::new(script),
            None => Command::new(binary()),
        };
        if self.by.is_some() {
            command.arg(binary());
        }
        command.arg(self.root()).args(words).stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end.
    pub(crate) fn life(&self, words: &[&str]) -> Answer {
        Answer::from(self.command(words).output().unwrap())
    }

    /// Runs a verb that shall succeed, and gives what it says.
    pub(crate) fn fine(&self, words: &[&str]) -> String {
        let answer = self.life(words);
        assert_eq!(answer.code, Some(0), "{words:?}: {answer:?}");
        answer.output
    }

    fn lower(&self) -> String {
        format!("--lower={}", self.scratch.path().join("lower").display())
    }

    /// The words that create or run a container for a shell script.
    pub(crate) fn words(&self, verb: &str, flags: &[&str], script: &str) -> Vec<String> {
        let mut words = vec![verb.to_owned(), self.lower()];
        words.extend(flags.iter().map(|flag| (*flag).to_owned()));
        words.extend(["sh", "-c", script].map(str::to_owned));
        words
    }

    /// Creates a container, and gives its id.
    pub(crate) fn create(&self, flags: &[&str], script: &str) -> String {
        let output = self.command(&self.words("create", flags, script)).output().unwrap();
        let answer = Answer::from(output);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        answer.output.trim().to_owned()
    }

    /// Creates a container of a name and starts it.
    pub(crate) fn started(&self, name: &str, flags: &[&str], script: &str) -> String {
        let name_flag = format!("--name={name}");
        let flags: Vec<&str> = flags.iter().copied().chain([name_flag.as_str()]).collect();
        let id = self.create(&flags, script);
        self.fine(&["start", name]);
        id
    }

    /// Runs a container in the foreground.
    pub(crate) fn run(&self, flags: &[&str], script: &str) -> Answer {
        Answer::from(self.command(&self.words("run", flags, script)).output().unwrap())
    }

    pub(crate) fn inspect(&self, name: &str) -> Value {
        serde_json::from_str(&self.fine(&["inspect", name])).unwrap()
    }

    pub(crate) fn state(&self, name: &str) -> String {
        self.inspect(name)["status"]["state"].as_str().unwrap().to_owned()
    }

    /// What is left of containers on disk; empty when nothing is.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        ["containers", "embryos", "garbage", "names", "pods", "runtime"]
            .iter()
            .filter_map(|name| std::fs::read_dir(self.root().join(name)).ok())
            .flat_map(|entries| entries.map(|entry| entry.unwrap().path()))
            .collect()
    }

    /// Removes everything that there is, by force.
    pub(crate) fn clear(&self) {
        for pod in std::fs::read_dir(self.root().join("pods")).into_iter().flatten().flatten() {
            let id = pod.file_name();
            self.life(&["pod", "--force", "remove", id.to_str().unwrap()]);
        }
        for line in self.life(&["list"]).output.lines() {
            let id = line.split(' ').next().unwrap();
            self.life(&["remove", "--force", id]);
        }
        self.life(&["collect"]);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come to be");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The processes of this machine whose command line holds a text.
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
        })
        .collect()
}
