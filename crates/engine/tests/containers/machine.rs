//! Bundles made of a static busybox, and the example binary that drives the engine.

use serde_json::{Value, json};
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const BUSYBOX: [&str; 3] = [
    "/var/lib/corten-peers/tree/bin/busybox",
    "/var/lib/corten-peers/tree/usr/bin/busybox",
    "/bin/busybox",
];

/// A scratch directory with a bundle and a state directory.
pub(crate) struct Machine {
    pub(crate) scratch: tempfile::TempDir,
    pub(crate) config: Value,
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
pub(crate) fn engine_binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("examples/engine")
}

impl Machine {
    /// A machine whose bundle runs this shell script; `None` and a loud word where that is not possible.
    pub(crate) fn new(script: &str) -> Option<Machine> {
        let busybox = BUSYBOX.iter().find(|path| Path::new(path).exists());
        let Some(busybox) = busybox.filter(|_| rustix::process::geteuid().is_root()) else {
            eprintln!("skipped: it needs root and a static busybox");
            return None;
        };
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("bundle/rootfs");
        for directory in ["bin", "etc", "tmp", "root", "proc", "sys", "dev"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for name in [
            "sh", "ls", "cat", "id", "mount", "hostname", "sleep", "stat", "touch", "tty", "kill",
            "wc", "ip",
        ] {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        Some(Machine { scratch, config: config(script) })
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.scratch.path().join("bundle")
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    /// Writes the configuration, and runs the engine.
    pub(crate) fn engine(&self, words: &[&str]) -> Answer {
        self.behind(&[], words)
    }

    /// The same, with words before the engine's own: a program that runs it.
    pub(crate) fn behind(&self, before: &[&str], words: &[&str]) -> Answer {
        // By rename: several may do this at once.
        let new = tempfile::NamedTempFile::new_in(self.bundle()).unwrap();
        std::fs::write(new.path(), self.config.to_string()).unwrap();
        new.persist(self.bundle().join("config.json")).unwrap();
        let binary = engine_binary();
        let all: Vec<_> =
            before.iter().copied().map(OsStr::new).chain([binary.as_os_str()]).collect();
        let mut command = Command::new(all[0]);
        command.args(&all[1..]);
        command.arg("--root").arg(self.scratch.path().join("state")).args(words);
        command.arg("--bundle").arg(self.bundle());
        Answer::from(command.output().unwrap())
    }

    /// Runs the container to its end.
    pub(crate) fn run(&self) -> Answer {
        self.engine(&["run", "one"])
    }

    /// Runs a command in the container `one`.
    pub(crate) fn exec(&self, words: &[&str]) -> Answer {
        let mut command = Command::new(engine_binary());
        command
            .arg("--root")
            .arg(self.scratch.path().join("state"))
            .args(["exec", "one"])
            .args(words);
        Answer::from(command.output().unwrap())
    }

    pub(crate) fn has_state(&self) -> bool {
        self.scratch.path().join("state/one").exists()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.engine(&["delete", "--force", "one"]);
    }
}

fn config(script: &str) -> Value {
    let capabilities = json!(["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL"]);
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities }
        },
        "root": { "path": "rootfs" },
        "hostname": "box",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"] }
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" }, { "type": "cgroup" }
            ],
            "maskedPaths": ["/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys"]
        }
    })
}
