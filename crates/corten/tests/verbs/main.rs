//! The command as a person uses it: every verb, its report, its exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod apart;
mod append;
mod doctor;
mod edit;
mod exits;
mod hostile;
mod import;
mod look;
mod moving;
mod real;
mod schema;
mod templates;
mod tree;
mod user;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

use corten_testkit::{Scratch, scratch};
use serde_json::Value;

/// A person with a home and a store of their own.
struct User {
    home: Scratch,
}

/// What a command did.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl User {
    fn new() -> Self {
        Self { home: scratch() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        command.args(arguments).env_clear().env("HOME", self.home.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        ran(self.command(arguments).output().unwrap())
    }

    /// Runs a line of words that must succeed; what it printed.
    fn ok(&self, line: &str) -> String {
        let ran = self.run(line.split_whitespace());
        assert_eq!(ran.code, 0, "corten {line}: {}", ran.err);
        ran.out
    }

    /// The same with `--json`: the report, held against the verb's schema.
    fn json(&self, line: &str) -> Value {
        let report: Value = serde_json::from_str(&self.ok(&format!("{line} --json"))).unwrap();
        schema::assert_follows(line, &report);
        report
    }

    /// Imports a small tree under `name`; its digest.
    fn image(&self, name: &str, text: &str) -> String {
        let tree = self.path(&format!("tree-{name}"));
        std::fs::create_dir_all(tree.join("etc")).unwrap();
        std::fs::write(tree.join("etc/motd"), text).unwrap();
        std::os::unix::fs::symlink("etc/motd", tree.join("motd")).ok();
        let report = self.json(&format!("import {} {name}", tree.display()));
        report["digest"].as_str().unwrap().to_owned()
    }
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
