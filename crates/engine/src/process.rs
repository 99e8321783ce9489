//! The last steps: from a stage with all rights to the program with those of the configuration.

use crate::error::{Doing, Error, Result};
use crate::procfs::Procfs;
use crate::root::{Links, Root};
use crate::{apparmor, filter, init, limits, one_id, rights, schedule, streams, sys, terminal};
use oci_spec::runtime::{Linux, LinuxPersonalityDomain, Process};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::ffi::CString;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where programs are looked for when the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The most bytes read of the container's `/etc/passwd`.
const PASSWD_LIMIT: u64 = 1 << 20;
/// The umask of a process whose configuration names none.
const UMASK: u32 = 0o022;

/// A process ready to become its program.
pub(crate) struct Prepared<'a> {
    process: &'a Process,
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    filter: Option<crate::seccomp::Filter>,
    /// Whether the program gets a first process above it.
    init: bool,
}

/// Finds the program and the working directory, inside the root, which is already the root of this process.
pub(crate) fn prepare<'a>(
    process: &'a Process,
    linux: &Linux,
    root: &Root,
    terminal: Option<OwnedFd>,
) -> Result<Prepared<'a>> {
    refuse_unknown(process)?;
    let arguments = c_strings(process.args().as_deref().unwrap_or_default(), "process.args")?;
    let program = process.args().as_deref().unwrap_or_default().first();
    let program = program
        .filter(|program| !program.is_empty())
        .ok_or_else(|| Error::NotFound { program: String::new() })?;
    let mut environment: Vec<String> = process.env().clone().unwrap_or_default();
    if !environment.iter().any(|pair| pair.starts_with("HOME=")) {
        environment.push(format!("HOME={}", home(root, process.user().uid())));
    }
    let search = environment.iter().rev().find_map(|pair| pair.strip_prefix("PATH="));
    enter_directory(process)?;
    let path = find(program, search.unwrap_or(PATH))?;
    streams::replace_null(root)?;
    if let Some(terminal) = &terminal {
        // Already here, since a container that waits for its start must not hold the streams of its creator, who
        // may read them to their end before it starts it.
        terminal::wire(terminal)?;
    }
    Ok(Prepared {
        process,
        path: c_string(&path.to_string_lossy(), "the program's path")?,
        arguments,
        environment: c_strings(&environment, "process.env")?,
        // Before anything waits for the start: a filter that cannot be had is an error of the creation.
        filter: linux.seccomp().as_ref().map(filter::compile).transpose()?,
        init: false,
    })
}

/// Leads a new session, or the one that this process leads already.
pub(crate) fn lead_session() -> Result<()> {
    match rustix::process::setsid() {
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(error) => Err(error).doing(|| "start a session"),
    }
}

/// Wishes that would be left out silently otherwise.
fn refuse_unknown(process: &Process) -> Result<()> {
    let wished = [(
        "process.selinuxLabel",
        process.selinux_label().as_ref().is_some_and(|label| !label.is_empty()),
    )];
    match wished.iter().find(|(_, wished)| *wished) {
        Some((what, _)) => Err(Error::Unsupported { what: (*what).to_owned() }),
        None => Ok(()),
    }
}

fn c_string(text: &str, what: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Unsupported { what: format!("a zero byte in {what}") })
}

fn c_strings(texts: &[String], what: &str) -> Result<Vec<CString>> {
    texts.iter().map(|text| c_string(text, what)).collect()
}

/// The home of a user by the container's own table; `/` when it does not say.
fn home(root: &Root, uid: u32) -> String {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(file) = root.open(Path::new("/etc/passwd"), flags, Links::Follow) else {
        return "/".to_owned();
    };
    let regular = rustix::fs::fstat(&file)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile);
    let mut table = Vec::new();
    if !regular || std::fs::File::from(file).take(PASSWD_LIMIT).read_to_end(&mut table).is_err() {
        return "/".to_owned();
    }
    let table = String::from_utf8_lossy(&table);
    let line = table.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()));
    match line.and_then(|line| line.split(':').nth(5)) {
        Some(home) if home.starts_with('/') && !home.contains('\0') => home.to_owned(),
        _ => "/".to_owned(),
    }
}

/// Enters the working directory, and verifies that it lies inside the root (CVE-2024-21626).
fn enter_directory(process: &Process) -> Result<()> {
    let shown = process.cwd().display();
    if !process.cwd().is_absolute() {
        return Err(Error::Unsupported { what: format!("the relative working directory {shown}") });
    }
    match rustix::process::chdir(process.cwd()) {
        // The user of the process may be allowed what this root is not.
        Err(Errno::ACCESS) => return Ok(()),
        other => other.doing(|| format!("enter the working directory {shown}"))?,
    }
    verify_directory()
}

fn verify_directory() -> Result<()> {
    let real = rustix::process::getcwd(Vec::new()).doing(|| "ask for the working directory")?;
    if real.to_bytes().first() != Some(&b'/') {
        return Err(Error::Unsupported {
            what: "a working directory outside of the root".to_owned(),
        });
    }
    Ok(())
}

fn find(program: &str, search: &str) -> Result<PathBuf> {
    if program.contains('/') {
        return runnable(Path::new(program), program).map(|()| PathBuf::from(program));
    }
    let mut refused = None;
    for directory in search.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let path = Path::new(directory).join(program);
        match runnable(&path, program) {
            Ok(()) => return Ok(path),
            Err(error @ Error::NotExecutable { .. }) => refused = Some(error),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| Error::NotFound { program: program.to_owned() }))
}

fn runnable(path: &Path, program: &str) -> Result<()> {
    let refused = |reason: &str| Error::NotExecutable {
        program: program.to_owned(),
        reason: reason.to_owned(),
    };
    let found = match rustix::fs::statat(CWD, path, AtFlags::empty()) {
        Ok(found) => found,
        // Whether the user may go there is seen when the program is run.
        Err(Errno::ACCESS) => return Ok(()),
        Err(Errno::NOENT | Errno::NOTDIR) => {
            return Err(Error::NotFound { program: program.to_owned() });
        }
        Err(error) => return Err(refused(&error.to_string())),
    };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile if found.st_mode & 0o111 != 0 => Ok(()),
        FileType::Directory => Err(refused("is a directory: permission denied")),
        _ => Err(refused("permission denied")),
    }
}

impl Prepared<'_> {
    /// The same, with an init above the program when `init` is true.
    pub(crate) fn under_init(self, init: bool) -> Self {
        Self { init, ..self }
    }

    /// Leads a session, at the terminal where the process has one.
    pub(crate) fn take_terminal(&self) -> Result<()> {
        lead_session()?;
        if self.process.terminal().unwrap_or(false) { terminal::take_control() } else { Ok(()) }
    }

    /// Takes on limits, user and capabilities: from here on there is nothing that the program may not do.
    /// `procfs` shows this process.
    pub(crate) fn drop_rights(&self, linux: &Linux, procfs: &Procfs) -> Result<()> {
        let process = self.process;
        if let Some(wanted) = linux.personality() {
            let domain = match wanted.domain() {
                LinuxPersonalityDomain::PerLinux => 0,
                LinuxPersonalityDomain::PerLinux32 => 8,
            };
            sys::personality(domain).doing(|| "set the personality")?;
        }
        schedule::apply(process, linux)?;
        limits::apply(process)?;
        one_id::rename(process.user(), procfs)?;
        streams::own_pipes(process);
        if let Some(filter) = self.filter.as_ref().filter(|_| !self.no_new_privileges()) {
            // Without no_new_privs only who has all rights may install it, so it comes first.
            filter::install(filter)?;
        }
        change_user(process)
    }

    /// Runs `hooks`, confined as the program will be, and becomes the program. After [`Prepared::drop_rights`].
    pub(crate) fn become_program(&self, hooks: impl FnOnce() -> Result<()>) -> Result<()> {
        let process = self.process;
        // Asked for while it may be: the filter may deny the file, and no_new_privs another profile.
        apparmor::apply(process)?;
        if self.no_new_privileges() {
            rustix::thread::set_no_new_privs(true).doing(|| "set no_new_privs")?;
            if let Some(filter) = &self.filter {
                filter::install(filter)?;
            }
        }
        hooks()?;
        let umask = process.user().umask().unwrap_or(UMASK);
        rustix::process::umask(Mode::from_raw_mode(umask & 0o777));
        // Once more as who it will be, which may see what root could not.
        rustix::process::chdir(process.cwd())
            .doing(|| format!("enter the working directory {}", process.cwd().display()))?;
        verify_directory()?;
        sys::reset_signals();
        let become_it =
            || sys::execute_path(&self.path, &self.arguments, &activated(&self.environment));
        Err(self.failure(if self.init { init::lead(become_it)? } else { become_it() }))
    }

    fn no_new_privileges(&self) -> bool {
        self.process.no_new_privileges().unwrap_or(false)
    }

    fn failure(&self, error: std::io::Error) -> Error {
        let program =
            self.process.args().as_deref().unwrap_or_default().first().cloned().unwrap_or_default();
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Error::NotFound { program },
            Some(Errno::ACCESS) => {
                Error::NotExecutable { program, reason: "permission denied".to_owned() }
            }
            Some(Errno::NOEXEC) => {
                Error::NotExecutable { program, reason: "exec format error".to_owned() }
            }
            _ => Error::NotExecutable { program, reason: error.to_string() },
        }
    }
}

/// The environment of a process that takes over sockets: that they are for this one, the program looks up by its pid
/// (sd_listen_fds(3)), which is known here at last.
fn activated(environment: &[CString]) -> Vec<CString> {
    let is = |pair: &CString, name: &str| pair.to_bytes().starts_with(name.as_bytes());
    let mut environment = environment.to_vec();
    if environment.iter().any(|pair| is(pair, "LISTEN_FDS=")) {
        environment.retain(|pair| !is(pair, "LISTEN_PID="));
        let pid = CString::new(format!("LISTEN_PID={}", std::process::id()));
        environment.extend(pid.ok());
    }
    environment
}

fn change_user(process: &Process) -> Result<()> {
    use rustix::thread::{
        set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    };
    let user = process.user();
    rights::bound(process.capabilities().as_ref())?;
    set_keep_capabilities(true).doing(|| "keep capabilities across the change of the user")?;
    let groups = user.additional_gids().as_deref().unwrap_or_default();
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    match set_thread_groups(&groups) {
        // A user namespace of a single id has no say over groups, and none to drop.
        Err(Errno::PERM) if groups.is_empty() => {}
        other => other.doing(|| format!("set the groups {groups:?}"))?,
    }
    let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
    set_thread_res_gid(gid, gid, gid).doing(|| format!("become the group {}", user.gid()))?;
    set_thread_res_uid(uid, uid, uid).doing(|| format!("become the user {}", user.uid()))?;
    rights::apply(process.capabilities().as_ref())?;
    set_keep_capabilities(false).doing(|| "end the keeping of capabilities")
}
