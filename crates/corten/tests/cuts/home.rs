//! A home directory with a configuration and a store of its own, from which corten is run.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corten::Exit;
use corten_testkit::{Ran, Scratch, scratch};

/// After which a run of corten counts as one that does not end.
const LIMIT: Duration = Duration::from_secs(150);

/// Where corten is run; nothing outside of it is read or written.
pub(crate) struct Home {
    scratch: Scratch,
}

impl Home {
    /// A home whose configuration has these hosts speak plain HTTP, with one second of patience
    /// for silence.
    pub(crate) fn new(hosts: &[&str]) -> Self {
        let home = Self { scratch: scratch() };
        let settings = hosts
            .iter()
            .map(|host| format!("[registry.\"{host}\"]\ninsecure = \"http\"\nstall-seconds = 1\n"));
        home.scratch.write("config.toml", settings.collect::<String>());
        std::fs::create_dir(home.temporary()).unwrap();
        home
    }

    /// The local store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// A path in this home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Writes a file in this home.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        self.scratch.write(name, bytes);
    }

    /// What corten has for a temporary directory.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.path("tmp")
    }

    /// corten with the local store of this home.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        command
            .env_clear()
            .env("HOME", self.scratch.path())
            .env("TMPDIR", self.temporary())
            .arg("--store")
            .arg(self.store())
            .arg("--config")
            .arg(self.path("config.toml"))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs corten with another local store; whether it succeeded.
    pub(crate) fn at(&self, store: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        let command = command.env_clear().env("HOME", self.scratch.path());
        let command = command.args(["--store", store]).args(arguments).stdout(Stdio::null());
        command.status().unwrap().success()
    }

    /// Starts corten, its words thrown away.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs corten to its end, which must come.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        let words = scratch();
        let mut command = self.command(arguments);
        let file = |name: &str| File::create(words.join(name)).unwrap();
        let mut child = command.stdout(file("out")).stderr(file("err")).spawn().unwrap();
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > LIMIT {
                child.kill().unwrap();
                panic!("{command:?} does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let read = |name: &str| std::fs::read_to_string(words.join(name)).unwrap();
        Ran { code: status.code(), stdout: read("out"), stderr: read("err") }
    }

    /// Runs corten, which must succeed; its standard output.
    pub(crate) fn succeed<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs corten, which must fail with this code; its standard error.
    pub(crate) fn fail<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        exit: Exit,
    ) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(i32::from(exit.code())), "{}{}", ran.stdout, ran.stderr);
        ran.stderr
    }
}
