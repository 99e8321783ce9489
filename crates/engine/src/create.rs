//! The creation of a container, seen from its caller.

use crate::error::{Doing, Error, Result};
use crate::groups::Group;
use crate::groups::plan::Plan;
use crate::order::{Message, Order, Task, write_order};
use crate::record::{CONFIG_FILE, CONFIG_LIMIT, Record, Room, START_SOCKET, parse_config};
use crate::spawn::{Stage, Stdio};
use crate::{Engine, apparmor, birth, hooks, namespaces, readiness, spawn};
use oci_spec::runtime::{ContainerState, LinuxDevice, LinuxNamespaceType, Spec, State, User};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fmt;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What to create, and with what.
#[derive(Debug, Default)]
pub struct Create {
    /// The name: letters, digits, `_+-.`, 255 at the most.
    pub id: String,
    /// The directory that holds `config.json`.
    pub bundle: PathBuf,
    /// Another file than that for the configuration.
    pub config: Option<PathBuf>,
    /// The socket that takes the master of the terminal, when the process has one.
    pub console_socket: Option<PathBuf>,
    /// Where the pid is written.
    pub pid_file: Option<PathBuf>,
    /// The three standard streams.
    pub stdio: Stdio,
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
    /// Variables of the process besides those of `config.json`, which they replace.
    pub env: Unwritten,
    /// Whether the program is given a way to tell when it is ready: see [`crate::start_listening`].
    pub notify: bool,
    /// Moves the root in place of pivoting, for machines that run from their first memory file system.
    pub no_pivot: bool,
}

/// Variables that are handed on in memory and written nowhere: secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Unwritten(pub Vec<(String, String)>);

impl Unwritten {
    fn add_to(&self, spec: &mut Spec) {
        let Some(process) = spec.process_mut() else { return };
        let mut env = process.env().clone().unwrap_or_default();
        for (name, value) in &self.0 {
            env.retain(|one| one.split_once('=').is_none_or(|(known, _)| known != name));
            env.push(format!("{name}={value}"));
        }
        process.set_env(Some(env));
    }
}

impl fmt::Debug for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Creates a container whose first process waits for [`crate::start`]. That process is a child of this one.
/// On an error nothing is left behind.
pub fn create(engine: &Engine, wanted: &Create) -> Result<State> {
    let bundle = std::fs::canonicalize(&wanted.bundle)
        .doing(|| format!("find the bundle {}", wanted.bundle.display()))?;
    let file = wanted.config.clone().unwrap_or_else(|| bundle.join(CONFIG_FILE));
    let (bytes, mut spec) = read_config(file, engine.tell)?;
    wanted.env.add_to(&mut spec);
    let room = Room::make(&engine.root, &wanted.id)?;
    let mut built = Built { stage: None, group: Group::default() };
    let done = room
        .write(CONFIG_FILE, &bytes)
        .and_then(|()| if wanted.notify { readiness::prepare(&room, &mut spec) } else { Ok(()) })
        .and_then(|()| build((engine, &room), wanted, bundle, spec, &mut built));
    if done.is_err() {
        built.tear_down();
        // The first error is the one to tell.
        let _ = room.remove();
    }
    done
}

/// What a broken creation has to take back.
struct Built {
    stage: Option<Stage>,
    group: Group,
}

impl Built {
    fn tear_down(&mut self) {
        if let Some(stage) = &mut self.stage {
            stage.tear_down();
        }
        // The first error is the one to tell.
        let _ = self.group.end();
    }
}

fn read_config(path: PathBuf, tell: fn(&str)) -> Result<(Vec<u8>, Spec)> {
    let mut bytes = Vec::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(CONFIG_LIMIT + 1).read_to_end(&mut bytes))
        .doing(|| format!("read {}", path.display()))?;
    let wrong = |detail: &str| Error::Config { path: path.clone(), detail: detail.to_owned() };
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > CONFIG_LIMIT {
        return Err(wrong(&format!("larger than {CONFIG_LIMIT} bytes")));
    }
    let spec = parse_config(&bytes, &path, tell)?;
    check(&spec).map_err(|error| match error {
        Error::Config { detail, .. } => wrong(&detail),
        other => other,
    })?;
    Ok((bytes, spec))
}

/// Refuses early what the stages could not carry out.
fn check(spec: &Spec) -> Result<()> {
    let wrong = |detail: &str| Error::Config { path: PathBuf::new(), detail: detail.to_owned() };
    if !spec.version().starts_with("1.") {
        return Err(wrong(&format!("ociVersion {:?} is not of version 1", spec.version())));
    }
    if spec.root().is_none() {
        return Err(wrong("no root"));
    }
    let Some(process) = spec.process() else { return Err(wrong("no process")) };
    apparmor::check(process)?;
    if let Some(what) = no_owner(spec) {
        return Err(wrong(&format!("{what} is {}, which is no user or group", u32::MAX)));
    }
    let linux = spec.linux().clone().unwrap_or_default();
    let unsupported = |what: &str| Err(Error::Unsupported { what: what.to_owned() });
    if !namespaces::creates(&linux, LinuxNamespaceType::Mount) {
        return unsupported("a container without a mount namespace of its own");
    }
    let mut kinds: Vec<_> =
        namespaces::all(&linux).iter().map(|each| namespaces::flag(each.typ())).collect();
    kinds.sort_unstable();
    if kinds.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(wrong("a kind of namespace stands twice"));
    }
    let mapped = |mappings: &Option<Vec<_>>| mappings.as_ref().is_some_and(|all| !all.is_empty());
    if namespaces::creates(&linux, LinuxNamespaceType::User)
        && !(mapped(linux.uid_mappings()) && mapped(linux.gid_mappings()))
    {
        return Err(wrong("a user namespace without mappings of ids"));
    }
    if linux.time_offsets().as_ref().is_some_and(|all| !all.is_empty())
        && !namespaces::creates(&linux, LinuxNamespaceType::Time)
    {
        return Err(wrong("time offsets without a time namespace"));
    }
    match () {
        () if linux.mount_label().as_ref().is_some_and(|label| !label.is_empty()) => {
            unsupported("linux.mountLabel")
        }
        () if linux.intel_rdt().is_some() => unsupported("linux.intelRdt"),
        () if linux.net_devices().as_ref().is_some_and(|all| !all.is_empty()) => {
            unsupported("linux.netDevices")
        }
        () => Ok(()),
    }
}

/// Where an id stands that is none: the kernel reads the highest number as "leave it", which would leave the
/// process, or a device, to whoever starts it.
fn no_owner(spec: &Spec) -> Option<&'static str> {
    let is_none = |id: u32| id == u32::MAX;
    let user = spec.process().as_ref().is_some_and(|process| !is_user(process.user()));
    let linux = spec.linux().as_ref();
    let devices = linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let owned =
        |device: &LinuxDevice| [device.uid(), device.gid()].into_iter().flatten().any(is_none);
    match () {
        () if user => Some("an id of process.user"),
        () if devices.iter().any(owned) => Some("an owner of linux.devices"),
        () => None,
    }
}

/// Whether every id of a user is one.
pub(crate) fn is_user(user: &User) -> bool {
    let more = user.additional_gids().as_deref().unwrap_or_default();
    [user.uid(), user.gid()].iter().chain(more).all(|id| *id != u32::MAX)
}

fn build(
    (engine, room): (&Engine, &Room),
    wanted: &Create,
    bundle: PathBuf,
    spec: Spec,
    built: &mut Built,
) -> Result<State> {
    let linux = spec.linux().clone().unwrap_or_default();
    let preserve = i32::try_from(wanted.preserve_fds).unwrap_or(i32::MAX - 3);
    let above = 3_i32.saturating_add(preserve);
    let listener = spawn::lift(listen(room)?, above)?;
    let console = wanted.console_socket.as_deref().map(connect).transpose()?;
    let console = console.map(|socket| spawn::lift(socket, above)).transpose()?;
    let plan = Plan::of(engine, &linux, &room.id)?;
    built.group = plan.make(room)?;
    plan.limit(&built.group)?;
    let doors = built.group.doors(above, plan.in_user_namespace)?;
    let order = Order {
        id: room.id.clone(),
        bundle,
        spec,
        preserve,
        console: console.as_ref().map(AsRawFd::as_raw_fd),
        entrance: doors.entrance(),
        task: Task::Create { start: listener.as_raw_fd(), no_pivot: wanted.no_pivot },
    };
    if order.spec.hooks().is_some() {
        // They may ask.
        let state = hooks::state(&order, ContainerState::Creating, 0);
        room.save(&Record { state, start_time: 0 })?;
    }
    let order_file = spawn::lift(write_order(&order)?, above)?;
    let passed = [Some(&listener), console.as_ref()];
    let passed = passed.into_iter().flatten().map(AsRawFd::as_raw_fd);
    let passed: Vec<_> = passed.chain(doors.numbers()).collect();
    let program = &engine.program;
    let stage = built.stage.insert(if birth::is_possible(&linux) {
        Stage::born(program, &order, &order_file, &passed, wanted)?
    } else {
        Stage::spawn(program, &order_file, &passed, &wanted.stdio, above)?
    });
    drop((listener, console, doors));
    let made = built.group.members.len();
    let done = converse(stage, &order, &plan, &mut built.group).and_then(|()| {
        let has_changed = built.group.members.len() != made;
        if has_changed { room.keep_groups(&built.group.kept()?) } else { Ok(()) }
    });
    stage.reap(&done)?;
    done?;
    plan.finish(&built.group)?;
    let pid = stage.process();
    let pid = pid.ok_or_else(|| Error::Stage { text: "the stage told no pid".to_owned() })?;
    let state = hooks::state(&order, ContainerState::Created, pid.unsigned_abs());
    let record = Record { state, start_time: crate::start_time(pid).unwrap_or(0) };
    room.save(&record)?;
    if let Some(file) = &wanted.pid_file {
        write_pid(file, pid)?;
    }
    stage.channel.send(&Message::Go)?;
    stage.part()?;
    Ok(record.state)
}

/// Leads the stages up to the point where the first process waits.
fn converse(stage: &mut Stage, order: &Order, plan: &Plan, group: &mut Group) -> Result<()> {
    stage.let_go()?;
    loop {
        match (stage.hear()?, stage.outer_pid()) {
            (Some(Message::Map), Some(outer)) => {
                let linux = order.spec.linux().clone().unwrap_or_default();
                let uids = linux.uid_mappings().clone().unwrap_or_default();
                let gids = linux.gid_mappings().clone().unwrap_or_default();
                namespaces::map(outer, &uids, &gids)?;
                stage.channel.send(&Message::Go)?;
            }
            (Some(Message::Forked(_)), _) => {}
            (Some(Message::Here { placed }), _) => {
                if let Some(pid) = stage.process().filter(|_| !placed) {
                    plan.enter(group, pid)?;
                }
                stage.channel.send(&Message::Go)?;
            }
            (Some(Message::Hooks), _) => {
                run_runtime_hooks(order, stage.process().unwrap_or(0))?;
                stage.channel.send(&Message::Go)?;
            }
            (Some(Message::Ready), _) if stage.process().is_some() => return Ok(()),
            (Some(Message::Failed(failure)), _) => return Err(failure.into()),
            (other, _) => {
                return Err(Error::Stage { text: format!("the stage ended early ({other:?})") });
            }
        }
    }
}

fn run_runtime_hooks(order: &Order, pid: i32) -> Result<()> {
    let Some(all) = order.spec.hooks() else { return Ok(()) };
    let state = hooks::state(order, ContainerState::Creating, pid.unsigned_abs());
    // Deprecated by the specification, and what most hooks in the field still are.
    #[allow(deprecated)]
    hooks::run_all(all.prestart(), &state)?;
    hooks::run_all(all.create_runtime(), &state)
}

fn listen(room: &Room) -> Result<OwnedFd> {
    let socket = unix_socket()?;
    let address =
        SocketAddrUnix::new(room.short_path(START_SOCKET)).doing(|| "name the start socket")?;
    rustix::net::bind(&socket, &address).doing(|| "bind the start socket")?;
    rustix::net::listen(&socket, 1).doing(|| "listen on the start socket")?;
    Ok(socket)
}

/// A socket of messages, as the start needs it.
pub(crate) fn unix_socket() -> Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .doing(|| "make a socket")
}

/// Connects to the console socket.
pub(crate) fn connect(path: &Path) -> Result<OwnedFd> {
    std::os::unix::net::UnixStream::connect(path)
        .map(OwnedFd::from)
        .doing(|| format!("connect to the console socket {}", path.display()))
}

/// How many names are tried for a new file.
const ATTEMPTS: u32 = 64;

/// Writes a pid file at once. The directory may be anybody's: the new file is made exclusively and under a name of
/// its own, no link is followed, and what is there and no plain file is not replaced.
pub(crate) fn write_pid(path: &Path, pid: i32) -> Result<()> {
    let writing = || format!("write the pid file {}", path.display());
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        let what = format!("the pid file {}, which is no plain file", path.display());
        return Err(Error::Unsupported { what });
    }
    let (new, mut file) = new_beside(path).doing(writing)?;
    let written =
        file.write_all(pid.to_string().as_bytes()).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&new);
    }
    written.doing(writing)
}

/// A new file in the directory of `path`.
fn new_beside(path: &Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    let own = std::process::id();
    for attempt in 0..ATTEMPTS {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{own}.{attempt}"));
        let new = path.with_file_name(name);
        let mut options = std::fs::OpenOptions::new();
        match options.write(true).create_new(true).mode(0o644).open(&new) {
            Ok(file) => return Ok((new, file)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::from(std::io::ErrorKind::AlreadyExists))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(user: serde_json::Value, devices: serde_json::Value) -> String {
        let mut spec = serde_json::to_value(Spec::default()).unwrap();
        spec["process"]["user"] = user;
        spec["linux"]["devices"] = devices;
        let spec: Spec = serde_json::from_value(spec).unwrap();
        check(&spec).map_or_else(|error| error.to_string(), |()| String::new())
    }

    /// What the kernel reads as "leave it" would leave a process to root.
    #[test]
    fn the_highest_number_is_no_user_and_no_group() {
        use serde_json::json;
        let none = u32::MAX;
        let device = json!({"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "uid": none});
        for (user, devices) in [
            (json!({"uid": none, "gid": 0}), json!([])),
            (json!({"uid": 0, "gid": none}), json!([])),
            (json!({"uid": 0, "gid": 0, "additionalGids": [1, none]}), json!([])),
            (json!({"uid": 0, "gid": 0}), json!([device])),
        ] {
            let error = refused(user.clone(), devices);
            assert!(error.contains("4294967295, which is no user or group"), "{user}: {error}");
        }
        assert_eq!(refused(json!({"uid": none - 1, "gid": 0}), json!([])), "");
    }
}
