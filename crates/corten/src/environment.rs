//! The environment of this process: variables, user, clock and where it is; read here and nowhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use corten_bundle::Powers;

/// Where there is memory as a file system.
const MEMORY: &str = "/dev/shm";
/// What `statfs` says of one: `TMPFS_MAGIC`.
const TMPFS: i64 = 0x0102_1994;
/// Least free bytes for it to be of use.
const LEAST_MEMORY: u64 = 16 << 20;

/// What the process knows of its surroundings, read once.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    now: SystemTime,
    user: u32,
    powers: Powers,
    why_one_id: Option<&'static str>,
    here: PathBuf,
    program: Option<PathBuf>,
}

impl Environment {
    /// Reads the variables, the clock and the user of this process.
    pub fn of_this_process() -> Self {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            now: SystemTime::now(),
            user: rustix::process::geteuid().as_raw(),
            powers: powers(),
            why_one_id: None,
            // Where there is none any more, relative paths lead nowhere.
            here: std::env::current_dir().unwrap_or_default(),
            program: std::env::current_exe().ok(),
        }
    }

    /// The same, once this process has become the root of a user namespace; and why that has one id alone, if so.
    pub(crate) fn of_its_namespace(why_one_id: Option<&'static str>) -> Self {
        Self { why_one_id, ..Self::of_this_process() }
    }

    /// Why there is one id alone, where that is known.
    pub(crate) fn why_one_id(&self) -> Option<&'static str> {
        self.why_one_id
    }

    /// A variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A variable that is set, be it empty.
    pub(crate) fn set(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The time of day at the start.
    pub(crate) fn now(&self) -> SystemTime {
        self.now
    }

    /// What this process may do with the files of a layer.
    pub(crate) fn powers(&self) -> Powers {
        self.powers
    }

    /// The working directory.
    pub(crate) fn here(&self) -> &Path {
        &self.here
    }

    /// The user's number, for the runtime directory.
    pub(crate) fn user(&self) -> u32 {
        self.user
    }

    /// Where this program is.
    pub(crate) fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// Where what lives no longer than the machine is up belongs: `/run/corten` for the machine's root,
    /// a directory of one's own for everybody else.
    pub(crate) fn run_directory(&self) -> PathBuf {
        if self.powers == Powers::Machine {
            return PathBuf::from("/run/corten");
        }
        let runtime = self.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.filter(|path| path.is_absolute()).map(|path| path.join("corten"));
        let kept = || Some(self.directory("XDG_DATA_HOME", ".local/share")?.join("corten/run"));
        runtime.or_else(kept).unwrap_or_else(|| PathBuf::from("/run/corten"))
    }

    /// A directory of this user's own in memory, made where it is missing; none where there is no room for one.
    pub(crate) fn memory(&self) -> Option<PathBuf> {
        let there = rustix::fs::statfs(MEMORY).ok()?;
        let free = there.f_bavail.checked_mul(u64::try_from(there.f_bsize).ok()?)?;
        if there.f_type != TMPFS || free < LEAST_MEMORY {
            return None;
        }
        // Inside a user namespace everybody is root: what tells one from the other is who that is outside.
        let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
        let mut first = map.lines().next()?.split_whitespace().map(str::parse::<u64>);
        let (inside, outside) = (first.next()?.ok()?, first.next()?.ok()?);
        let user = outside + u64::from(self.user).checked_sub(inside)?;
        let path = Path::new(MEMORY).join(format!("corten-{user}"));
        let private =
            std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
                .create(&path);
        if private.is_err_and(|error| error.kind() != std::io::ErrorKind::AlreadyExists) {
            return None;
        }
        // Everybody may make directories there: one that is another's is not used.
        let found = rustix::fs::lstat(&path).ok()?;
        let is_private = found.st_mode & 0o7_7777 == 0o4_0700 && found.st_uid == self.user;
        is_private.then_some(path)
    }

    fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }

    /// `$XDG_…`, or its default below the home directory.
    pub(crate) fn directory(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let set = self.variable(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        set.or_else(|| Some(self.home()?.join(below_home)))
    }
}

/// Root of the machine, root of a user namespace with ranges of ids or with one, or nobody special.
pub(crate) fn powers() -> Powers {
    if !rustix::process::geteuid().is_root() {
        return Powers::OneId;
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_whitespace().collect();
    match words.as_slice() {
        ["0", "0", "4294967295"] => Powers::Machine,
        ["0", _, "1"] => Powers::OneId,
        _ => Powers::Ranges,
    }
}
