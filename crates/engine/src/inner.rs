//! The inner stage: inside the namespaces, it builds the root, waits for the start, and becomes the program.

use crate::cgroup_view::Sight;
use crate::devices::Workplace;
use crate::error::{Doing, Error, Result};
use crate::late::{self, Side};
use crate::mounts::Inside;
use crate::order::{Channel, Message, Order, Task};
use crate::own::Own;
use crate::process::Prepared;
use crate::procfs::Procfs;
use crate::root::{Links, Root};
use crate::stage::Carried;
use crate::sys::{self, MountAttributes, Reach};
use crate::targets::{self, Targets};
use crate::{
    birth, devices, hooks, init, mounts, namespaces, no_pivot, process, schedule, sysctl, terminal,
    tree,
};
use oci_spec::runtime::{ContainerState, Linux, LinuxNamespaceType, Process};
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags};
use rustix::mount::UnmountFlags;
use rustix::net::SocketFlags;
use rustix::process::PidfdFlags;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

/// Acts out the order. Returns only when it failed.
pub(crate) fn run(channel: BorrowedFd<'_>, order: &Order, carried: &Carried) -> Result<()> {
    let channel = Channel::from_socket(channel.try_clone_to_owned().doing(|| "copy a descriptor")?);
    sys::close_on_exec_from(3 + order.preserve).doing(|| "close descriptors at exec")?;
    // Nobody in the container may look into this process while it is not yet one of theirs.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .doing(|| "hide from tracers")?;
    if let Task::Enter { process, .. } = &order.task
        && let Some(list) =
            process.exec_cpu_affinity().as_ref().and_then(|one| one.initial().as_ref())
    {
        schedule::set_processors(list, "initial")?;
    }
    channel.send(&Message::Here { placed: !carried.outside && step_in(order) })?;
    // Said once the caller knows this process's pid, which it may need to end it.
    channel.expect_go()?;
    let linux = order.spec.linux().clone().unwrap_or_default();
    if carried.unentered {
        birth::enter(order, &linux)?;
    }
    if matches!(order.task, Task::Create { .. })
        && namespaces::creates(&linux, LinuxNamespaceType::Cgroup)
    {
        // Its root is the group that this process is in by now.
        sys::unshare(libc::CLONE_NEWCGROUP).doing(|| "make a namespace of control groups")?;
    }
    // Where the process goes late into its pid namespace, the container's proc does not show this stage.
    let outside = carried.pid_namespace.map(|_| Procfs::of_machine()).transpose()?;
    match &order.task {
        Task::Create { start, no_pivot } => {
            let prepared = build(&channel, order, &linux, carried, *no_pivot)?;
            if let Some(procfs) = &outside {
                join_pids(carried)?;
                prepared.drop_rights(&linux, procfs)?;
                create_late(&channel, order, &prepared, *start)
            } else {
                prepared.take_terminal()?;
                channel.send(&Message::Ready)?;
                // Said once the state is written: a caller that died before leaves nobody waiting for a start.
                channel.expect_go()?;
                wait_and_become(order, &prepared, sys::borrow(*start), || {
                    prepared.drop_rights(&linux, &Procfs::of_machine()?)
                })
            }
        }
        Task::Enter { process, .. } => {
            join_pids(carried)?;
            let prepared = enter(order, &linux, process, carried)?;
            let procfs = outside.map_or_else(Procfs::of_machine, Ok)?;
            if let Some(list) = process
                .exec_cpu_affinity()
                .as_ref()
                .and_then(|one| one.cpu_affinity_final().as_ref())
            {
                schedule::set_processors(list, "final")?;
            }
            prepared.drop_rights(&linux, &procfs)?;
            match late::fork(&channel, 3 + order.preserve, &[])? {
                Side::Child(child) => child.act(|| {
                    prepared.take_terminal()?;
                    prepared.become_program(|| Ok(()))
                }),
                Side::Leader(leader) => {
                    leader.introduce(&channel)?;
                    channel.expect_go()?;
                    leader.go()?;
                    leader.outcome()?;
                    channel.send(&Message::Ready)?;
                    sys::end_at_once(0)
                }
            }
        }
    }
}

/// The children of this process from now on are in the pid namespace that was carried in.
fn join_pids(carried: &Carried) -> Result<()> {
    let Some(pids) = carried.pid_namespace else { return Ok(()) };
    let pids = sys::adopt(pids).doing(|| "take over the pid namespace")?;
    sys::join(&pids, libc::CLONE_NEWPID).doing(|| "join the pid namespace")
}

/// The end of a creation whose process goes where other processes are.
fn create_late(
    channel: &Channel,
    order: &Order,
    prepared: &Prepared<'_>,
    start: RawFd,
) -> Result<()> {
    match late::fork(channel, 3 + order.preserve, &[start])? {
        Side::Child(child) => child.act(|| {
            prepared.take_terminal()?;
            // What it had to drop is dropped already.
            wait_and_become(order, prepared, sys::borrow(start), || Ok(()))
        }),
        Side::Leader(leader) => {
            leader.introduce(channel)?;
            channel.send(&Message::Ready)?;
            channel.expect_go()?;
            leader.go()?;
            sys::end_at_once(0)
        }
    }
}

/// Goes into the control groups of version 1, a thread by itself. `false` when not all took it: then the caller
/// puts it there, or knows why not.
fn step_in(order: &Order) -> bool {
    let enter = |file: &RawFd| {
        rustix::io::retry_on_intr(|| rustix::io::write(sys::borrow(*file), b"0")).is_ok()
    };
    !order.entrance.closed && order.entrance.threads.iter().all(enter)
}

fn build<'a>(
    channel: &Channel,
    order: &'a Order,
    linux: &Linux,
    carried: &Carried,
    no_pivot: bool,
) -> Result<Prepared<'a>> {
    let process = order.spec.process().as_ref();
    let process = process
        .ok_or_else(|| Error::Unsupported { what: "a container without a process".to_owned() })?;
    if carried.pid_namespace.is_none() {
        // Early, so that the hooks have nothing of the caller's session either.
        process::lead_session()?;
    }
    name_the_machine(order, linux)?;
    if namespaces::creates(linux, LinuxNamespaceType::Network) {
        sys::raise_loopback().doing(|| "bring the loopback interface up")?;
    }
    let (root, own) = take_root(order, linux, carried)?;
    let targets = Targets::of(&root)?;
    let inside = Inside { root: &root, targets: &targets, linux };
    mount_all(inside, order, linux, carried)?;
    if !has_own_dev(order) {
        let place = Workplace { root: &root, own: &own, targets: &targets };
        devices::make(&place, linux.devices().as_deref().unwrap_or_default())?;
    }
    let slave = console(&root, process, order)?;
    if let Some(slave) = &slave {
        devices::console(&root, slave)?;
    }
    channel.send(&Message::Hooks)?;
    channel.expect_go()?;
    if let Some(all) = order.spec.hooks() {
        let state = hooks::state(order, ContainerState::Creating, std::process::id());
        hooks::run_all(all.create_container(), &state)?;
    }
    let domainname = order.spec.domainname().as_deref().filter(|name| !name.is_empty());
    sysctl::apply(linux, domainname)?;
    mounts::make_read_only(&root, linux.readonly_paths().as_deref().unwrap_or_default())?;
    mounts::mask(&root, &own, linux.masked_paths().as_deref().unwrap_or_default())?;
    root.make_directories(process.cwd(), Links::Follow)?;
    if order.spec.root().as_ref().is_some_and(|root| root.readonly() == Some(true)) {
        mounts::seal_root(&root)?;
    }
    if no_pivot {
        no_pivot::refuse_shared(shares_root(linux))?;
    }
    change_root(&root, no_pivot)?;
    if let Some(word) = linux.rootfs_propagation() {
        mounts::propagate_root(&root, word)?;
    }
    let prepared = process::prepare(process, linux, &root, slave)?;
    Ok(prepared.under_init(init::is_wanted(&order.spec)))
}

fn name_the_machine(order: &Order, linux: &Linux) -> Result<()> {
    let own = namespaces::has(linux, LinuxNamespaceType::Uts);
    if let Some(name) = order.spec.hostname().as_ref().filter(|name| !name.is_empty()) {
        if !own {
            return Err(Error::Unsupported {
                what: "a hostname without a uts namespace".to_owned(),
            });
        }
        rustix::system::sethostname(name.as_bytes()).doing(|| "set the hostname")?;
    }
    if let Some(name) = order.spec.domainname().as_ref().filter(|name| !name.is_empty()) {
        if !own {
            return Err(Error::Unsupported {
                what: "a domainname without a uts namespace".to_owned(),
            });
        }
        rustix::system::setdomainname(name.as_bytes()).doing(|| "set the domainname")?;
    }
    Ok(())
}

/// Mounts the root file system on itself, cut off from the machine's mounts.
/// Beneath it lies the engine's own file system.
fn take_root(order: &Order, linux: &Linux, carried: &Carried) -> Result<(Root, Own)> {
    let open = |path: &Path| {
        rustix::fs::openat(
            CWD,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
    };
    let machine = open(Path::new("/")).doing(|| "open the machine's root")?;
    let shares = shares_root(linux);
    if !shares {
        tree::propagate(&machine, Reach::Tree, libc::MS_SLAVE, "the machine's mounts")?;
    }
    let wanted = order.spec.root().as_ref().map(|root| root.path().clone()).unwrap_or_default();
    let path: PathBuf = order.bundle.join(wanted);
    let place = open(&path);
    let mount = match (carried.rootfs, &place) {
        (Some(mount), _) => sys::adopt(mount).doing(|| "take over the root's mount")?,
        (None, Ok(place)) => tree::copy(place, Reach::Tree)
            .doing(|| format!("copy the mount of {}", path.display()))?,
        (None, Err(error)) => {
            return Err(*error).doing(|| format!("open the root {}", path.display()));
        }
    };
    if !shares {
        tree::propagate(&mount, Reach::Tree, libc::MS_PRIVATE, "the root")?;
    }
    // Where the ids of the container cannot reach the place, the machine's root is as good a one.
    let place = place.as_ref().unwrap_or(&machine);
    if shares {
        // Neither the new root nor the mount below it may be shared, or the kernel refuses to change the root;
        // and the machine would get the mount of the root as well.
        let below = tree::root_of_mount(place)?;
        tree::propagate(&below, Reach::One, libc::MS_PRIVATE, "the mount below the root")?;
        tree::propagate(&mount, Reach::One, libc::MS_PRIVATE, "the root")?;
    }
    let own = Own::attach(place)?;
    tree::attach(&mount, place).doing(|| "mount the root")?;
    seal_below(order, &mount)?;
    Ok((Root::new(mount), own))
}

/// Whether mounts of the container appear on the machine.
fn shares_root(linux: &Linux) -> bool {
    linux.rootfs_propagation().as_deref().is_some_and(|word| word.ends_with("shared"))
}

/// What is mounted below a root that shall be read-only becomes so, too; the root itself at the end, for places of
/// mounts are still to be made in it.
fn seal_below(order: &Order, root: &OwnedFd) -> Result<()> {
    if order.spec.root().as_ref().is_none_or(|root| root.readonly() != Some(true)) {
        return Ok(());
    }
    let before = rustix::fs::fstatvfs(root).doing(|| "ask what the root is")?.f_flag;
    tree::read_only(root, Reach::Tree, "what is mounted below the root")?;
    if before.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let writable = MountAttributes { clear: libc::MOUNT_ATTR_RDONLY, ..MountAttributes::default() };
    tree::change(root, Reach::One, writable, "the root")
}

fn mount_all(inside: Inside<'_>, order: &Order, linux: &Linux, carried: &Carried) -> Result<()> {
    let own = namespaces::has(linux, LinuxNamespaceType::Cgroup);
    let sight = if own { Sight::Namespace } else { Sight::Machine };
    for (index, mount) in order.spec.mounts().as_deref().unwrap_or_default().iter().enumerate() {
        let source = carried.sources.iter().find(|(place, _)| *place == index);
        let source = source
            .map(|(_, descriptor)| sys::adopt(*descriptor))
            .transpose()
            .doing(|| "take over a mount")?;
        mounts::mount(inside, mount, source, sight)?;
    }
    Ok(())
}

/// Whether the configuration binds a whole `/dev`, which is then left as it is.
fn has_own_dev(order: &Order) -> bool {
    let mounts = order.spec.mounts().as_deref().unwrap_or_default();
    mounts.iter().any(|mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        let binds = mount.typ().as_deref() == Some("bind")
            || options.iter().any(|word| word == "bind" || word == "rbind");
        targets::is_dev(mount.destination()) && binds
    })
}

fn console(root: &Root, process: &Process, order: &Order) -> Result<Option<OwnedFd>> {
    match (process.terminal().unwrap_or(false), order.console) {
        (false, _) => Ok(None),
        (true, None) => {
            Err(Error::Unsupported { what: "a terminal without a console socket".to_owned() })
        }
        (true, Some(socket)) => {
            let socket = sys::adopt(socket).doing(|| "take over the console socket")?;
            terminal::make(root, process, &socket).map(Some)
        }
    }
}

/// Makes the root the root, and lets go of the machine's.
fn change_root(root: &Root, keeps_old: bool) -> Result<()> {
    // Where the caller lives in a root of its own (chroot), that of the namespace is another. Changed from
    // there, nothing of the machine would be let go of, and a process that joins the namespace later, as that
    // of an exec, would stand in the machine's root.
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .doing(|| "hold this process")?;
    sys::join(&own, libc::CLONE_NEWNS).doing(|| "go to the root of the mount namespace")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let machine = rustix::fs::openat(CWD, "/", flags, Mode::empty())
        .doing(|| "open the root of the mount namespace")?;
    rustix::process::fchdir(root.directory()).doing(|| "enter the new root")?;
    if keeps_old {
        no_pivot::move_root(root)?;
    } else {
        // The old root is put over the new one, and then taken away: no directory is needed for it.
        rustix::process::pivot_root(".", ".").doing(|| "pivot to the new root")?;
        // What the machine shares with this namespace must stay mounted there.
        tree::propagate(&machine, Reach::Tree, libc::MS_SLAVE, "the old root")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).doing(|| "let go of the old root")?;
    }
    rustix::process::chdir("/").doing(|| "enter the root")
}

fn enter<'a>(
    order: &Order,
    linux: &Linux,
    process: &'a Process,
    carried: &Carried,
) -> Result<Prepared<'a>> {
    let namespace = carried
        .mount_namespace
        .ok_or_else(|| Error::Stage { text: "no mount namespace to join".to_owned() })?;
    let namespace = sys::adopt(namespace).doing(|| "take over the mount namespace")?;
    sys::join(&namespace, libc::CLONE_NEWNS).doing(|| "join the mount namespace")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        Root::new(rustix::fs::openat(CWD, "/", flags, Mode::empty()).doing(|| "open the root")?);
    let slave = console(&root, process, order)?;
    process::prepare(process, linux, &root, slave)
}

/// Waits until `start` connects, and becomes the program. What goes wrong from here on is told to `start`.
fn wait_and_become(
    order: &Order,
    prepared: &Prepared<'_>,
    listener: BorrowedFd<'_>,
    drop_rights: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let connection =
        rustix::io::retry_on_intr(|| rustix::net::accept_with(listener, SocketFlags::CLOEXEC))
            .doing(|| "wait for the start")?;
    let connection = Channel::from_socket(connection);
    let started = connection.expect_go().and_then(|()| {
        drop_rights()?;
        prepared.become_program(|| {
            let Some(all) = order.spec.hooks() else { return Ok(()) };
            let state = hooks::state(order, ContainerState::Created, std::process::id());
            hooks::run_all(all.start_container(), &state)
        })
    });
    if let Err(error) = started {
        connection.send(&Message::Failed(error.into()))?;
    }
    // Told already; the channel of the creation is no longer read.
    std::process::exit(125)
}
