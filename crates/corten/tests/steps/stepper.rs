//! A work, word by word.

use std::process::Command;

use serde_json::Value;

use crate::bench::{Answer, Bench};

/// Words of one work.
pub(crate) struct Stepper<'a> {
    bench: &'a Bench,
    work: &'a str,
    store: &'a str,
}

impl<'a> Stepper<'a> {
    pub(crate) fn new(bench: &'a Bench, work: &'a str) -> Self {
        Self { bench, work, store: "store" }
    }

    /// The same in another store.
    pub(crate) fn of(self, store: &'a str) -> Self {
        Self { store, ..self }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let (verb, rest) = words.split_first().unwrap();
        // Options of the work stand before what a program is told.
        let words = [&["build", verb, "--work", self.work], rest].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        command.arg("--store").arg(self.bench.path(self.store)).args(&words);
        command.stdin(std::process::Stdio::null()).current_dir(self.bench.path("."));
        command.env_remove("SOURCE_DATE_EPOCH").env("HOME", self.bench.path("home"));
        command
    }

    pub(crate) fn says(&self, words: &[&str]) -> Answer {
        let out = self.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Answer {
            code: out.status.code().unwrap_or(-1),
            out: text(&out.stdout),
            err: text(&out.stderr),
        }
    }

    /// A word that must work.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let answer = self.says(words);
        assert_eq!(answer.code, 0, "{words:?}: {}", answer.err);
        answer.out
    }

    /// Words of a line, parted by spaces.
    pub(crate) fn line(&self, line: &str) -> String {
        self.ok(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// A program of the shell.
    pub(crate) fn sh(&self, text: &str) -> String {
        self.ok(&["run", "--network", "none", "--", "/bin/sh", "-ec", text])
    }

    /// Writes the image `t`; its digest.
    pub(crate) fn written(&self) -> String {
        self.line("write -t t").lines().last().unwrap().to_owned()
    }

    pub(crate) fn config(&self) -> Value {
        serde_json::from_str(&self.line("cat")).unwrap()
    }

    pub(crate) fn manifest(&self) -> Value {
        serde_json::from_str(&self.line("cat --file manifest")).unwrap()
    }
}

/// The rows of a history: what is told, and whether there is a layer.
pub(crate) fn rows(config: &Value) -> Vec<(Option<String>, bool)> {
    let rows = config["history"].as_array().cloned().unwrap_or_default();
    let row = |row: &Value| {
        let told = row["created_by"].as_str().map(str::to_owned);
        (told, row["empty_layer"] != true)
    };
    rows.iter().map(row).collect()
}
