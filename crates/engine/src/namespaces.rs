//! Which namespaces a container gets, which it joins, and how the ids of a user namespace are mapped.

use crate::error::{Doing, Error, Result};
use crate::procfs::Procfs;
use crate::sys;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType};
use rustix::fs::{CWD, Mode, OFlags};
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

/// The most entries of a mapping that the kernel takes.
const MAPPINGS: usize = 340;

/// The kernel's flag for a kind of namespace.
pub(crate) fn flag(kind: LinuxNamespaceType) -> i32 {
    match kind {
        LinuxNamespaceType::Mount => libc::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => libc::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => libc::CLONE_NEWIPC,
        LinuxNamespaceType::User => libc::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => libc::CLONE_NEWPID,
        LinuxNamespaceType::Network => libc::CLONE_NEWNET,
        LinuxNamespaceType::Time => libc::CLONE_NEWTIME,
    }
}

/// The namespaces of a configuration.
pub(crate) fn all(linux: &Linux) -> &[LinuxNamespace] {
    linux.namespaces().as_deref().unwrap_or_default()
}

/// Whether a new namespace of this kind is asked for.
pub(crate) fn creates(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    all(linux).iter().any(|namespace| namespace.typ() == kind && namespace.path().is_none())
}

/// Whether the container has its own namespace of this kind, new or joined.
pub(crate) fn has(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    all(linux).iter().any(|namespace| namespace.typ() == kind)
}

/// The flags of all new namespaces but the user's, and that of control groups, which is made by who is in them.
fn new_flags(linux: &Linux) -> i32 {
    let new = all(linux).iter().filter(|namespace| namespace.path().is_none());
    new.map(|namespace| flag(namespace.typ())).fold(0, |all, one| all | one)
        & !(libc::CLONE_NEWUSER | libc::CLONE_NEWCGROUP)
}

/// Makes the new namespaces, those apart that this process was born in (`CLONE_NEW*`).
pub(crate) fn make(linux: &Linux, born_in: i32) -> Result<()> {
    let new = new_flags(linux) & !born_in;
    sys::unshare(new).doing(|| format!("make the namespaces {new:#x}"))
}

/// Opens the namespaces that are joined by path, the user's first, and verifies each one's kind.
pub(crate) fn open_joined(linux: &Linux) -> Result<Vec<(i32, OwnedFd)>> {
    let mut joined = Vec::new();
    for namespace in all(linux) {
        let Some(path) = namespace.path() else { continue };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .doing(|| format!("open the namespace {}", path.display()))?;
        joined.push((flag(namespace.typ()), file));
    }
    joined.sort_by_key(|(kind, _)| *kind != libc::CLONE_NEWUSER);
    Ok(joined)
}

/// Enters namespaces of the kinds told; the kernel refuses one of another kind.
pub(crate) fn enter(joined: &[(i32, OwnedFd)]) -> Result<()> {
    for (kind, file) in joined {
        sys::join(file, *kind).doing(|| format!("join the namespace of kind {kind:#x}"))?;
    }
    Ok(())
}

/// Writes the mappings of the process `pid`, which has just entered a new user namespace.
pub(crate) fn map(pid: i32, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<()> {
    if uids.len() > MAPPINGS || gids.len() > MAPPINGS {
        return Err(Error::Unsupported { what: format!("more than {MAPPINGS} mappings of ids") });
    }
    let procfs = Procfs::of_machine()?;
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let mut mappers = Vec::new();
    if !write_directly(&procfs, pid, "uid_map", uids) {
        match uids {
            // One's own id may be mapped without help.
            [one] if one.host_id() == user && one.size() == 1 => {
                procfs.write(&format!("{pid}/uid_map"), lines(uids).as_bytes())?;
            }
            _ => mappers.push(Mapper::start("newuidmap", pid, uids)?),
        }
    }
    if !write_directly(&procfs, pid, "gid_map", gids) {
        match gids {
            [one] if one.host_id() == group && one.size() == 1 => {
                procfs.write(&format!("{pid}/setgroups"), b"deny")?;
                procfs.write(&format!("{pid}/gid_map"), lines(gids).as_bytes())?;
            }
            _ => mappers.push(Mapper::start("newgidmap", pid, gids)?),
        }
    }
    // Both run meanwhile.
    mappers.into_iter().try_for_each(Mapper::end)
}

fn write_directly(procfs: &Procfs, pid: i32, file: &str, mappings: &[LinuxIdMapping]) -> bool {
    procfs.write(&format!("{pid}/{file}"), lines(mappings).as_bytes()).is_ok()
}

fn lines(mappings: &[LinuxIdMapping]) -> String {
    let mut text = String::new();
    for mapping in mappings {
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{} {} {}", mapping.container_id(), mapping.host_id(), mapping.size());
    }
    text
}

/// A program that runs and may map ranges of ids for an ordinary user.
struct Mapper {
    program: &'static str,
    child: Child,
}

impl Mapper {
    fn start(program: &'static str, pid: i32, mappings: &[LinuxIdMapping]) -> Result<Mapper> {
        let mut command = Command::new(program);
        command.arg(pid.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        for mapping in mappings {
            for number in [mapping.container_id(), mapping.host_id(), mapping.size()] {
                command.arg(number.to_string());
            }
        }
        let child = command.spawn().doing(|| format!("run {program}"))?;
        Ok(Mapper { program, child })
    }

    fn end(self) -> Result<()> {
        let program = self.program;
        let output = self.child.wait_with_output().doing(|| format!("run {program}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(512).collect();
        Err(Error::Stage { text: format!("{program} refused the mapping of ids: {said}") })
    }
}

/// Becomes the root of a user namespace whose ids were just mapped.
pub(crate) fn become_root() -> Result<()> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (uid, gid) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
    set_thread_res_gid(gid, gid, gid).doing(|| "become the group root of the user namespace")?;
    // Where the kernel denies it (a single id mapped without help), there is nothing to drop either.
    let _ = set_thread_groups(&[]);
    set_thread_res_uid(uid, uid, uid).doing(|| "become the user root of the user namespace")
}
