//! A store with a base, contexts, and the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corten_spec::ContainerConfig;
use corten_testkit::tar::TarMaker;
use corten_testkit::{Scratch, scratch};
use serde_json::Value;

use crate::image::{Layout, busybox, image};

/// A scratch with a store that has the image `base`.
pub(crate) struct Bench {
    pub(crate) scratch: Scratch,
}

/// How a command ended.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bench {
    /// `None`, told on stderr, where this machine cannot build.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root builds here");
            return None;
        }
        let busybox = busybox()?;
        let scratch = scratch();
        let layout = Layout::new(scratch.join("images"));
        layout.add("base", &image(&busybox, TarMaker::new(), ContainerConfig::default()));
        let bench = Self { scratch };
        bench.bring("store");
        Some(bench)
    }

    /// Copies the base into a store.
    pub(crate) fn bring(&self, store: &str) {
        let from = format!("oci:{}:base", self.scratch.join("images").display());
        let answer = self.corten(store, &["pull", &from, "base"]);
        assert_eq!(answer.code, 0, "{}", answer.err);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Writes a file of the scratch.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.scratch.write(name, text)
    }

    /// The command with a store.
    pub(crate) fn command(&self, store: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        command.args(words).arg("--store").arg(self.path(store)).stdin(Stdio::null());
        command.env_remove("SOURCE_DATE_EPOCH").env("HOME", self.path("home"));
        command
    }

    pub(crate) fn corten(&self, store: &str, words: &[&str]) -> Answer {
        let out = self.command(store, words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Answer {
            code: out.status.code().unwrap_or(-1),
            out: text(&out.stdout),
            err: text(&out.stderr),
        }
    }

    /// Builds the context `ctx` under the name `t`, without a network.
    pub(crate) fn build(&self, dockerfile: &str, more: &[&str]) -> Answer {
        self.write("ctx/Dockerfile", dockerfile);
        self.build_in("store", &self.path("ctx"), more)
    }

    pub(crate) fn build_in(&self, store: &str, context: &Path, more: &[&str]) -> Answer {
        let context = context.display().to_string();
        let words = ["build", "-t", "t", "--json", "--network", "none", &context];
        self.corten(store, &[&words, more].concat())
    }

    /// The same, which must work; gives the report.
    pub(crate) fn built(&self, dockerfile: &str, more: &[&str]) -> Value {
        let answer = self.build(dockerfile, more);
        assert_eq!(answer.code, 0, "{dockerfile}\n{}", answer.err);
        serde_json::from_str(&answer.out).unwrap()
    }

    /// A blob of the store as JSON.
    pub(crate) fn blob(&self, digest: &Value) -> Value {
        let digest = digest.as_str().unwrap().replace("sha256:", "");
        let path = self.path("store/blobs/sha256").join(digest);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// A file of the image.
    pub(crate) fn cat(&self, path: &str) -> String {
        let answer = self.corten("store", &["cat", "store:t", path]);
        assert_eq!(answer.code, 0, "{path}: {}", answer.err);
        answer.out
    }

    /// What is at a path of the image: kind, mode, owner.
    pub(crate) fn stat(&self, path: &str) -> Option<(String, u64, u64, u64)> {
        let answer = self.corten("store", &["ls", "--recursive", "--json", "store:t", "/"]);
        assert_eq!(answer.code, 0, "{}", answer.err);
        let report: Value = serde_json::from_str(&answer.out).unwrap();
        let entries = report["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["path"] == path)?;
        let number = |key: &str| entry[key].as_u64().unwrap();
        let kind = entry["kind"].as_str().unwrap().to_owned();
        Some((kind, number("mode"), number("uid"), number("gid")))
    }
}
