//! The stages: this binary run again, with one thread, to become a container's process.
//!
//! The outer stage enters the namespaces and forks; the inner stage, already in the new pid namespace, runs
//! from a read-only mount of the binary, so that nothing in the container can open it for writing.

use crate::error::{Doing, Error, Result};
use crate::namespaces;
use crate::order::{Channel, Message, Order, Task, read_order};
use crate::procfs::Procfs;
use crate::sys::{self, Reach};
use crate::{idmap, inner, limits, seal, tree};
use oci_spec::runtime::{Linux, LinuxNamespaceType};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use std::ffi::{CString, OsString};
use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::ExitCode;

/// The binary that this process runs.
const OWN: &str = "/proc/self/exe";
/// The first argument of a stage.
pub(crate) const STAGE: &str = "--engine-stage";
/// The second argument: which stage.
pub(crate) const OUTER: &str = "outer";
pub(crate) const INNER: &str = "inner";

/// What the outer stage holds open for the inner one, by descriptor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// A detached mount of the root file system.
    pub(crate) rootfs: Option<RawFd>,
    /// Detached mounts of the sources of binds, by the place in the list of mounts.
    pub(crate) sources: Vec<(usize, RawFd)>,
    /// The mount namespace to join.
    pub(crate) mount_namespace: Option<RawFd>,
    /// The pid namespace to go into last of all, since others are there.
    pub(crate) pid_namespace: Option<RawFd>,
    /// Whether the inner stage was not born in its control group of version 2.
    pub(crate) outside: bool,
    /// Whether the namespaces are still to be entered: there was no outer stage that did.
    pub(crate) unentered: bool,
}

/// Acts when the arguments (with the program's own name first) say that this process is a stage of the
/// engine. A program that uses the engine calls this first of all in `main`, before any thread starts;
/// `None` means that it is an ordinary start.
pub fn stage(arguments: &[OsString]) -> Option<ExitCode> {
    let mut words = arguments.iter().skip(1).map(|word| word.to_str());
    if words.next()? != Some(STAGE) {
        return None;
    }
    let kind = words.next().flatten();
    let rest: Vec<&str> = words.map_while(|word| word).collect();
    let done = match kind {
        Some(OUTER) => outer_stage(&rest),
        Some(INNER) => inner_stage(&rest),
        _ => Err(unknown()),
    };
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(125) })
}

fn unknown() -> Error {
    Error::Unsupported { what: "a stage called by hand".to_owned() }
}

/// Adopts the descriptor that an argument names.
pub(crate) fn adopted(word: Option<&&str>) -> Result<OwnedFd> {
    let number: RawFd = word.and_then(|word| word.parse().ok()).ok_or_else(unknown)?;
    sys::adopt(number).doing(|| format!("adopt descriptor {number}"))
}

fn report<T>(channel: &Channel, result: Result<T>) -> Result<T> {
    result.or_else(|error| {
        channel.send(&Message::Failed(error.into()))?;
        Err(unknown())
    })
}

fn outer_stage(words: &[&str]) -> Result<()> {
    let channel = Channel::from_socket(adopted(words.first())?);
    let order = adopted(words.get(1))?;
    let done = outer(&channel, order);
    report(&channel, done)
}

fn outer(channel: &Channel, order_file: OwnedFd) -> Result<()> {
    let order = read_order(order_file.as_fd().try_clone_to_owned().doing(|| "copy a descriptor")?)?;
    sys::close_on_exec_from(3 + order.preserve).doing(|| "close descriptors at exec")?;
    rustix::process::umask(Mode::empty());
    // Asked before the mounts are copied, while the name leads from this root to the binary.
    let own = Path::new(OWN);
    let own_name = std::fs::read_link(own).ok();
    channel.expect_go()?;
    let linux = order.spec.linux().clone().unwrap_or_default();
    let mut keep = Vec::new();
    let carried = match &order.task {
        Task::Create { .. } => outer_create(channel, &order, &linux, &mut keep)?,
        Task::Enter { pidfd, .. } => outer_enter(&linux, *pidfd, &mut keep)?,
    };
    let program = seal::sealed(own, own_name.as_deref())?;
    let (forked, outside) = fork(order.entrance.unified)?;
    let carried = Carried { outside, ..carried };
    match forked {
        Some(pid) => channel.send(&Message::Forked(pid)),
        None => {
            let inherited = [channel.as_fd(), order_file.as_fd()];
            for descriptor in
                inherited.into_iter().chain(keep.iter().map(AsFd::as_fd)).chain(passed(&order))
            {
                rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())
                    .doing(|| "pass a descriptor")?;
            }
            let arguments = inner_arguments(channel, order_file.as_raw_fd(), &carried)?;
            Err(sys::execute(&program, &arguments, &[])).doing(|| "run the inner stage")
        }
    }
}

/// Forks the inner stage, into its control group where there is one and the kernel lets us. Says too whether it
/// is outside of a group that it should be in.
fn fork(group: Option<RawFd>) -> Result<(Option<i32>, bool)> {
    if let Some(group) = group
        && let Ok(forked) = sys::fork_sibling_into(sys::borrow(group))
    {
        return Ok((forked, false));
    }
    Ok((sys::fork_sibling().doing(|| "fork")?, group.is_some()))
}

/// The arguments of an inner stage.
pub(crate) fn inner_arguments(
    channel: impl AsFd,
    order_file: RawFd,
    carried: &Carried,
) -> Result<Vec<CString>> {
    let carried = serde_json::to_string(carried).map_err(std::io::Error::from).doing(|| "write")?;
    let arguments = [
        "corten-engine".to_owned(),
        STAGE.to_owned(),
        INNER.to_owned(),
        channel.as_fd().as_raw_fd().to_string(),
        order_file.to_string(),
        carried,
    ];
    Ok(arguments.into_iter().filter_map(|word| CString::new(word).ok()).collect())
}

/// Descriptors that the caller passed for the inner stage's use.
fn passed<'a>(order: &Order) -> impl Iterator<Item = std::os::fd::BorrowedFd<'a>> + use<'a, '_> {
    let start = match order.task {
        Task::Create { start, .. } => Some(start),
        Task::Enter { .. } => None,
    };
    start
        .into_iter()
        .chain(order.console)
        .chain(order.entrance.threads.iter().copied())
        .map(sys::borrow as fn(RawFd) -> std::os::fd::BorrowedFd<'a>)
}

fn outer_create(
    channel: &Channel,
    order: &Order,
    linux: &Linux,
    keep: &mut Vec<OwnedFd>,
) -> Result<Carried> {
    if let Some(process) = order.spec.process() {
        limits::before_namespaces(process)?;
    }
    let mut carried = Carried::default();
    let mut joined = namespaces::open_joined(linux)?;
    if let Some(place) = joined.iter().position(|(kind, _)| *kind == libc::CLONE_NEWPID) {
        let (_, pids) = joined.remove(place);
        carried.pid_namespace = Some(pids.as_raw_fd());
        keep.push(pids);
    }
    let new_user = namespaces::creates(linux, LinuxNamespaceType::User);
    if new_user {
        take_sources(order, linux, &mut carried, keep)?;
        // Those of somebody else's user namespace are joined with the rights there, which end with the new one; the
        // others, which only the new one's root may join, after it.
        joined
            .retain(|(kind, file)| *kind == libc::CLONE_NEWUSER || sys::join(file, *kind).is_err());
        sys::unshare(libc::CLONE_NEWUSER).doing(|| "make a user namespace")?;
        channel.send(&Message::Map)?;
        channel.expect_go()?;
    }
    namespaces::enter(&joined)?;
    namespaces::make(linux, 0)?;
    if let Some(offsets) = linux.time_offsets() {
        let mut text = String::new();
        for (clock, offset) in offsets {
            let (seconds, nanoseconds) =
                (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{clock} {seconds} {nanoseconds}");
        }
        Procfs::of_machine()?.write("self/timens_offsets", text.as_bytes())?;
    }
    if new_user || namespaces::has(linux, LinuxNamespaceType::User) {
        namespaces::become_root()?;
    }
    Ok(carried)
}

/// Opens the root and the sources of binds while this process may still read what the ids of the container
/// may not reach. Where it may not do that either, the inner stage opens them by path.
fn take_sources(
    order: &Order,
    linux: &Linux,
    carried: &mut Carried,
    keep: &mut Vec<OwnedFd>,
) -> Result<()> {
    if let Some(root) = order.spec.root()
        && let Ok(mount) = tree::copy_path(&order.bundle.join(root.path()), Reach::Tree)
    {
        carried.rootfs = Some(mount.as_raw_fd());
        keep.push(mount);
    }
    for (index, mount) in order.spec.mounts().as_deref().unwrap_or_default().iter().enumerate() {
        let options = crate::options::parse(mount.options().as_deref().unwrap_or_default());
        let (Some(bind), Some(source)) = (options.bind, mount.source()) else { continue };
        let reach = if bind == crate::options::Bind::Tree { Reach::Tree } else { Reach::One };
        if let Ok(made) = tree::copy_path(source, reach) {
            if idmap::is_wanted(mount, &options) {
                idmap::apply(&made, mount, &options, linux)?;
            }
            carried.sources.push((index, made.as_raw_fd()));
            keep.push(made);
        }
    }
    Ok(())
}

fn outer_enter(linux: &Linux, pidfd: RawFd, keep: &mut Vec<OwnedFd>) -> Result<Carried> {
    let target = sys::borrow(pidfd);
    let kinds: Vec<_> = namespaces::all(linux).iter().map(|namespace| namespace.typ()).collect();
    let mounts = crate::enter::namespace_of(target, "mnt")?;
    let mut carried = Carried { mount_namespace: Some(mounts.as_raw_fd()), ..Carried::default() };
    keep.push(mounts);
    if kinds.contains(&LinuxNamespaceType::Pid) {
        let pids = crate::enter::namespace_of(target, "pid")?;
        carried.pid_namespace = Some(pids.as_raw_fd());
        keep.push(pids);
    }
    if kinds.contains(&LinuxNamespaceType::User) {
        sys::join(target, libc::CLONE_NEWUSER).doing(|| "join the user namespace")?;
        namespaces::become_root()?;
    }
    let now = kinds.iter().map(|kind| namespaces::flag(*kind)).fold(0, |all, one| all | one)
        & !(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID);
    if now != 0 {
        sys::join(target, now).doing(|| format!("join the namespaces {now:#x}"))?;
    }
    // Of its own, so that the copy of the binary's mount can be made by who may only act in the container.
    sys::unshare(libc::CLONE_NEWNS).doing(|| "make a mount namespace to start from")?;
    Ok(carried)
}

fn inner_stage(words: &[&str]) -> Result<()> {
    let channel = Channel::from_socket(adopted(words.first())?);
    let order = read_order(adopted(words.get(1))?);
    let carried: Option<Carried> = words.get(2).and_then(|text| serde_json::from_str(text).ok());
    let done =
        order.and_then(|order| inner::run(channel.as_fd(), &order, &carried.ok_or_else(unknown)?));
    report(&channel, done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_start_is_no_stage() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(stage(&words(&["program", "run"])).is_none());
        assert!(stage(&words(&["program"])).is_none());
        assert_eq!(stage(&words(&["program", STAGE, "unknown"])), Some(ExitCode::from(125)));
    }
}
