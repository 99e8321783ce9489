//! One process of a bundle, run to its end without a record of it: what a step of a build needs. And the
//! guard that ends such processes when whoever runs them is killed.

use crate::error::{Doing, Result, RunError};
use crate::front;
use crate::runtime::{Runtime as _, Streams, Wires};
use crate::{ContainerId, ExitStatus};
use corten_engine::{Engine, Force, Groups, Unenforced, Unwritten};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

/// How often it is asked whether the process is still wanted, in nanoseconds.
const PATIENCE: i64 = 50_000_000;
/// The word by which this program is run again as a guard.
const GUARD: &str = "corten-run-guard";
/// Where the runtime's state is below the directory that is guarded.
pub(crate) const RUNTIME: &str = "runtime";
/// Where bundles are below it.
const BUNDLES: &str = "bundles";

/// What is run once.
pub struct OnceBundle<'a> {
    /// A directory that [`make_room`] made and a [`Guard`] may keep; the runtime's state is below it.
    pub directory: &'a Path,
    /// The bundle: its root filesystem is mounted for the calling thread.
    pub bundle: &'a Path,
    /// Variables besides those of `config.json`, which they replace: handed on in memory, written nowhere.
    pub env: &'a [(String, String)],
}

impl fmt::Debug for OnceBundle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variables may be secrets.
        f.debug_struct("OnceBundle").field("bundle", &self.bundle).finish_non_exhaustive()
    }
}

/// Makes a directory for [`run_once`]: it must not be there, and its parent must. What a process needs only while
/// it runs goes into `memory`, where there is one: a directory of one's own in memory, which the disk need not
/// write and what is secret does not outlive. [`sweep`] takes that away as well.
pub fn make_room(directory: &Path, memory: Option<&Path>) -> Result<()> {
    let making = |path: &Path| format!("make the directory {}", path.display());
    let make = |path: &Path| {
        // Containers have what is below it by their mounts, not by its path: nobody else comes in.
        let mut private = std::fs::DirBuilder::new();
        let private = std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
        private.create(path).doing(|| making(path))
    };
    make(directory)?;
    for part in [RUNTIME, BUNDLES] {
        let path = directory.join(part);
        let Some(memory) = memory else {
            make(&path)?;
            continue;
        };
        let mut name = directory.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(part);
        let there = memory.join(name);
        // The link is first: through it what is there is found again, whoever is killed.
        std::os::unix::fs::symlink(&there, &path).doing(|| making(&path))?;
        make(&there)?;
    }
    Ok(())
}

/// Where the bundles of a directory of [`make_room`] belong.
pub fn bundles(directory: &Path) -> PathBuf {
    let path = directory.join(BUNDLES);
    std::fs::read_link(&path).unwrap_or(path)
}

/// Gives the calling thread a mount namespace of its own: what it mounts from now on is seen nowhere else, and
/// vanishes with it and the processes that it starts.
pub fn private_mounts() -> Result<()> {
    let made = corten_engine::private_mounts().map_err(io::Error::other);
    made.doing(|| "keep mounts apart".to_owned())
}

/// Runs the process of a bundle to its end with these streams, and ends everything that it started. `created` is
/// told the pid before the start, for a network, say; what it gives is held until the end. Where `is_unwanted`
/// comes to say so, everything is killed.
pub fn run_once(
    wanted: OnceBundle<'_>,
    streams: Streams,
    id: &ContainerId,
    created: &mut dyn FnMut(u32) -> io::Result<Vec<OwnedFd>>,
    is_unwanted: &dyn Fn() -> bool,
) -> Result<ExitStatus> {
    let root = wanted.directory.join(RUNTIME);
    let native = crate::runtime::native(root);
    let wires = Wires::Streams(streams);
    let env = Unwritten(wanted.env.to_vec());
    let pid = native.create_with(id, wanted.bundle, wires, &env)?;
    let started = created(pid).doing(|| "prepare the start".to_owned()).and_then(|held| {
        native.start(id)?;
        Ok(held)
    });
    let ended = match started {
        Ok(_held) => wait(pid, is_unwanted),
        Err(error) => {
            // The first error is the one to tell.
            let _ = native.delete(id);
            let _ = front::ended_within(pid, Some(std::time::Duration::from_secs(2)));
            return Err(error);
        }
    };
    native.delete(id)?;
    ended
}

fn wait(pid: u32, is_unwanted: &dyn Fn() -> bool) -> Result<ExitStatus> {
    let waiting = || format!("wait for process {pid}");
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or(rustix::io::Errno::CHILD).doing(waiting)?;
    let held = pidfd_open(number, PidfdFlags::empty()).doing(waiting)?;
    let pause = Timespec { tv_sec: 0, tv_nsec: PATIENCE };
    let mut killed = false;
    loop {
        let mut ends = [PollFd::new(&held, PollFlags::IN)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut ends, Some(&pause))).doing(waiting)?;
        if ready > 0 {
            return front::ended(pid);
        }
        if !killed && is_unwanted() {
            crate::sys::signal(pid, libc::SIGKILL)?;
            killed = true;
        }
    }
}

/// A process of its own that waits for the end of this one, and then ends what [`run_once`] runs below a
/// directory and removes the directory. Dropping the guard is that end, too.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    alive: Option<ChildStdin>,
}

impl Guard {
    /// Starts one for `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        let starting = || format!("start a guard of {}", directory.display());
        let mut command = Command::new("/proc/self/exe");
        command.arg(GUARD).arg(directory).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Out of reach of what a terminal sends to all of its foreground.
        command.process_group(0);
        let mut child = command.spawn().doing(starting)?;
        let alive = child.stdin.take();
        Ok(Self { child, alive })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.alive.take());
        // It does what there is to do in any case.
        let _ = self.child.wait();
    }
}

/// Runs as a guard where `words` say so.
pub fn guard(words: &[OsString]) -> Option<ExitCode> {
    let [_, word, directory] = words else { return None };
    if word != GUARD {
        return None;
    }
    // The end of the one who is guarded closes the pipe, however it ends.
    wait_for_end();
    let done = sweep(Path::new(directory));
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits for the end of standard input.
fn wait_for_end() {
    let mut bytes = [0_u8; 64];
    loop {
        match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
            Ok(0) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Ends everything that [`run_once`] runs below `directory`, and removes the directory.
pub fn sweep(directory: &Path) -> Result<()> {
    let engine = Engine {
        root: directory.join(RUNTIME),
        program: PathBuf::from("/proc/self/exe"),
        groups: Groups::Auto,
        unenforced: Unenforced::Refuse,
        tell: |_| (),
    };
    let told = |error: corten_engine::Error| RunError::Runtime {
        verb: "end",
        object: directory.display().to_string(),
        message: error.to_string(),
        code: error.exit_code(),
    };
    for state in corten_engine::list(&engine).map_err(told)? {
        corten_engine::delete(&engine, state.id(), Force::Yes).map_err(told)?;
    }
    for part in [RUNTIME, BUNDLES] {
        if let Ok(there) = std::fs::read_link(directory.join(part)) {
            crate::erase(&there).doing(|| format!("remove {}", there.display()))?;
        }
    }
    crate::erase(directory).doing(|| format!("remove {}", directory.display()))
}
