//! A machine as a test wants it: namespaces of this one that a shell holds, in which scripts run.
//!
//! ```text
//! <scratch>/bin/corten      the binary, where an ordinary user reaches it
//! <scratch>/home            the acting user's: configuration, store
//! <scratch>/images          a layout with the image `app`
//! <scratch>/script, out, err, code
//! ```

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use corten_testkit::images::TestImage;
use corten_testkit::{Scratch, scratch};

use crate::image::Layout;

/// An ordinary user, whom this machine does not know.
pub(crate) const USER: u32 = 54_321;

/// After which a script counts as one that does not end.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs what it is told, one script after the other, until its standard input ends.
const HOLDER: &str = r#"
while read -r word; do
    sh "$0/script" >"$0/out" 2>"$0/err" </dev/null
    echo $?
done
"#;

/// How the machine is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// Whether everything is done by an ordinary user.
    pub(crate) ordinary: bool,
    /// What root does first, in a mount and a network namespace of the machine's own; `$0` is the scratch.
    pub(crate) prepare: String,
    /// Words before the shell that acts: further namespaces, or a container; `$S` in them is the scratch.
    pub(crate) inside: Vec<String>,
    /// Images that those words need, by name.
    pub(crate) images: Vec<(String, TestImage)>,
    /// The configuration.
    pub(crate) config: String,
    /// More variables.
    pub(crate) env: Vec<(String, String)>,
}

/// A machine.
pub(crate) struct Machine {
    pub(crate) scratch: Scratch,
    pub(crate) layout: Layout,
    holder: Child,
    codes: Receiver<i32>,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Machine {
    /// Makes one; `None`, told on stderr, where this machine cannot be it.
    pub(crate) fn new(setup: &Setup) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root makes machines");
            return None;
        }
        let scratch = scratch();
        let open = |path: &Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        open(scratch.path());
        let binary = scratch.write("bin/corten", "");
        std::fs::copy(env!("CARGO_BIN_EXE_corten"), &binary).unwrap();
        open(&binary);
        scratch.write("home/.config/corten/config.toml", &setup.config);
        let layout = Layout::new(scratch.join("images"));
        setup.images.iter().for_each(|(name, image)| layout.add(name, image));
        for path in ["home", "home/.config", "home/.config/corten"] {
            if setup.ordinary {
                chown(scratch.join(path), Some(USER), Some(USER)).unwrap();
            }
        }
        for file in ["out", "err", "script"] {
            let path = scratch.write(file, "");
            chown(path, setup.ordinary.then_some(USER), None).unwrap();
        }
        let mut holder = holder(setup, &scratch).spawn().unwrap();
        let codes = codes(&mut holder);
        let machine = Self { scratch, layout, holder, codes };
        match machine.codes.recv_timeout(LIMIT) {
            Ok(0) => Some(machine),
            other => {
                let said = std::fs::read_to_string(machine.scratch.join("err")).unwrap();
                eprintln!("skipped: this machine cannot be such a one ({other:?}): {said}");
                None
            }
        }
    }

    /// Runs a script; `$S` is the scratch, `$IMAGE` the image `app`.
    pub(crate) fn sh(&self, script: &str) -> Answer {
        let path = self.scratch.path().display();
        let head = format!("S={path} IMAGE=oci:{path}/images:app\ncd $S/home\n");
        std::fs::write(self.scratch.join("script"), head + script).unwrap();
        self.holder.stdin.as_ref().unwrap().write_all(b"go\n").unwrap();
        let code = self.codes.recv_timeout(LIMIT);
        let read = |name: &str| {
            String::from_utf8_lossy(&std::fs::read(self.scratch.join(name)).unwrap()).into_owned()
        };
        let (out, err) = (read("out"), read("err"));
        let Ok(code) = code else { panic!("it does not end: {script}\n{out}\n{err}") };
        Answer { code, out, err }
    }

    /// The process that holds the namespaces.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Changes the configuration.
    pub(crate) fn write_config(&self, text: &str) {
        self.scratch.write("home/.config/corten/config.toml", text);
    }

    /// A path in the scratch.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The loop ends with its input, and the namespaces with the last process in them.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn holder(setup: &Setup, scratch: &Scratch) -> Command {
    let first = format!("ip link set lo up\n{}\necho 0\nexec \"$@\"\n", setup.prepare);
    let mut command = Command::new("unshare");
    // With the first process of its namespace every other one ends.
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-ec", &first]).arg(scratch.path());
    if setup.ordinary {
        let ids = [format!("--reuid={USER}"), format!("--regid={USER}")];
        command.arg("setpriv").args(ids).args(["--clear-groups", "--"]);
    }
    let place = scratch.path().to_str().unwrap();
    let inside = setup.inside.iter().map(|word| word.replace("$S", place));
    command.args(inside).args(["sh", "-c", HOLDER, place]);
    let programs = format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", scratch.path().display());
    command
        .env_clear()
        .env("HOME", scratch.join("home"))
        .env("PATH", programs)
        .envs(setup.env.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(scratch.join("err")).unwrap())
        .process_group(0);
    command
}

/// The numbers that a holder prints.
fn codes(holder: &mut Child) -> Receiver<i32> {
    let (sender, receiver) = channel();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = sender.send(line.trim().parse().unwrap_or(-1));
        }
    });
    receiver
}
