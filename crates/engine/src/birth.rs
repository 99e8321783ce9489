//! A container's process born where it belongs, without an outer stage: possible where nothing is to be done
//! between its namespaces and its birth, that is for a new pid namespace or none, and no new user namespace.
//! One start of the binary less is most of what a container costs the engine.

use crate::error::{Doing, Result};
use crate::order::{Channel, Order};
use crate::spawn::{Stdio, lift};
use crate::stage::{Carried, inner_arguments};
use crate::sys::{self, Launch};
use crate::{limits, namespaces, seal};
use oci_spec::runtime::{Linux, LinuxNamespaceType};
use rustix::fs::Mode;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// Whether the process of these namespaces can be born into them.
pub(crate) fn is_possible(linux: &Linux) -> bool {
    let made_or_none = |kind| namespaces::creates(linux, kind) || !namespaces::has(linux, kind);
    // A new clock holds for children alone, and a user namespace needs ids before anything can be done in it.
    made_or_none(LinuxNamespaceType::Pid)
        && !namespaces::has(linux, LinuxNamespaceType::Time)
        && !namespaces::has(linux, LinuxNamespaceType::User)
}

/// The namespaces that a process is born in.
fn born_in(linux: &Linux) -> i32 {
    if namespaces::creates(linux, LinuxNamespaceType::Pid) { libc::CLONE_NEWPID } else { 0 }
}

/// Starts `program` as the inner stage of the order behind `order_file`. `passed` are the descriptors which the
/// order names. The process is a child of this one; its pid is returned.
pub(crate) fn inner_stage(
    program: &Path,
    order: &Order,
    (order_file, channel): (&OwnedFd, &Channel),
    passed: &[RawFd],
    stdio: &Stdio,
) -> Result<i32> {
    let program = seal::sealed(program, std::fs::read_link(program).ok().as_deref())?;
    let linux = order.spec.linux().clone().unwrap_or_default();
    let streams = [
        stream(stdio.input.as_ref(), sys::borrow(0))?,
        stream(stdio.output.as_ref(), sys::borrow(1))?,
        stream(stdio.error.as_ref(), sys::borrow(2))?,
    ];
    let mut kept = vec![channel.as_fd().as_raw_fd(), order_file.as_raw_fd()];
    kept.extend_from_slice(passed);
    let launch = |group: Option<RawFd>| -> Result<io::Result<i32>> {
        let outside = group.is_none() && order.entrance.unified.is_some();
        let carried = Carried { outside, unentered: true, ..Carried::default() };
        let arguments = inner_arguments(channel, order_file.as_raw_fd(), &carried)?;
        Ok(sys::launch(&Launch {
            program: program.as_fd(),
            arguments: &arguments,
            streams: streams.each_ref().map(AsRawFd::as_raw_fd),
            kept: &kept,
            namespaces: born_in(&linux),
            group,
        }))
    };
    // Where the kernel does not let it be born in its group, the caller puts it there.
    match order.entrance.unified.map(|group| launch(Some(group))).transpose()? {
        Some(Ok(pid)) => Ok(pid),
        _ => launch(None)?.doing(|| "start the inner stage"),
    }
}

/// A copy of a standard stream that stands above all three.
fn stream(given: Option<&OwnedFd>, own: BorrowedFd<'_>) -> Result<OwnedFd> {
    let wanted = given.map_or(own, AsFd::as_fd);
    lift(wanted.try_clone_to_owned().doing(|| "copy a standard stream")?, 3)
}

/// What an outer stage does before it forks, done by the inner one itself.
pub(crate) fn enter(order: &Order, linux: &Linux) -> Result<()> {
    rustix::process::umask(Mode::empty());
    if let Some(process) = order.spec.process() {
        limits::before_namespaces(process)?;
    }
    namespaces::enter(&namespaces::open_joined(linux)?)?;
    namespaces::make(linux, born_in(linux))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxNamespaceBuilder;

    fn linux(kinds: &[(LinuxNamespaceType, Option<&str>)]) -> Linux {
        let namespaces = kinds.iter().map(|(kind, path)| {
            let builder = LinuxNamespaceBuilder::default().typ(*kind);
            match path {
                Some(path) => builder.path(*path).build().unwrap(),
                None => builder.build().unwrap(),
            }
        });
        let mut linux = Linux::default();
        linux.set_namespaces(Some(namespaces.collect()));
        linux
    }

    #[test]
    fn a_process_is_born_at_once_unless_something_comes_before() {
        use LinuxNamespaceType::{Mount, Network, Pid, Time, User};
        for (kinds, possible) in [
            (&[(Mount, None), (Pid, None), (Network, Some("/proc/1/ns/net"))][..], true),
            (&[(Mount, None)], true),
            (&[(Mount, None), (Pid, Some("/proc/1/ns/pid"))], false),
            (&[(Mount, None), (Pid, None), (User, None)], false),
            (&[(Mount, None), (Pid, None), (User, Some("/proc/1/ns/user"))], false),
            (&[(Mount, None), (Pid, None), (Time, None)], false),
        ] {
            assert_eq!(is_possible(&linux(kinds)), possible, "{kinds:?}");
        }
    }
}
