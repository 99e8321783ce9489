//! `corten oci`: the engine as an OCI runtime, for other engines to drive (runtime-spec, `runtime.md`).
//!
//! Failures are told on standard error and, as those callers read it, in `--log`.

mod words;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use corten_engine::{Engine, Exec, Force, Groups, Stdio, Unenforced};
use corten_run::{Interaction, Relays};
use oci_spec::runtime::{LinuxResources, Process};
use rustix::fs::{Mode, OFlags};

use super::Outcome;
use crate::output::print;
use crate::{Environment, Failure, signal};

pub(super) use words::OciArgs;
use words::{ExecArgs, GroupsWord, LogFormat, RunArgs, Word};

/// Most bytes of a file with a process.
const MAX_PROCESS: u64 = 4 << 20;

/// Why a word of the runtime failed.
enum Refused {
    Engine(corten_engine::Error),
    Other(String),
}

impl From<corten_engine::Error> for Refused {
    fn from(error: corten_engine::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<String> for Refused {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

impl Refused {
    fn told(&self) -> (String, u8) {
        match self {
            Self::Engine(error) => (error.to_string(), error.exit_code()),
            Self::Other(text) => (text.clone(), 1),
        }
    }
}

/// Acts as a runtime; standard error and the log tell what failed.
pub(super) fn oci(args: OciArgs, environment: &Environment) -> Result<Outcome, Failure> {
    let (log, format) = (args.log.clone(), args.log_format);
    match act(args, environment) {
        Ok(code) => Ok(Outcome::Process(code)),
        Err(refused) => {
            let (text, code) = refused.told();
            complain(&text, log, format);
            Ok(Outcome::Process(code))
        }
    }
}

fn complain(text: &str, log: Option<PathBuf>, format: LogFormat) {
    let mut err = std::io::stderr().lock();
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(err, "error: {}", crate::plain::plain(text));
    let Some(log) = log else { return };
    let line = match format {
        LogFormat::Json => serde_json::json!({ "level": "error", "msg": text }).to_string(),
        LogFormat::Text => format!("level=error msg={text:?}"),
    };
    // Its directory may be anybody's: no link is followed.
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = rustix::fs::open(&log, flags, Mode::RUSR | Mode::WUSR);
    let opened = opened.map(std::fs::File::from).map_err(std::io::Error::from);
    if let Err(error) = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
        let _ = writeln!(err, "error: {}: writing failed: {error}", log.display());
    }
}

fn engine(args: &OciArgs, environment: &Environment) -> Result<Engine, Refused> {
    let word = if args.systemd_cgroup && !matches!(args.cgroups, GroupsWord::Disabled) {
        GroupsWord::Systemd
    } else {
        args.cgroups
    };
    let (groups, unenforced) = match word {
        GroupsWord::Auto => (Groups::Auto, Unenforced::Refuse),
        GroupsWord::Disabled => (Groups::Off, Unenforced::Ignore),
        GroupsWord::Systemd => {
            let systemd = crate::ops::systemd(environment).ok_or_else(|| Refused::Other(
                "systemd makes no control groups here: it does not run this machine, its bus does not answer, or \
                 there are control groups of version 1".to_owned(),
            ))?;
            (Groups::Systemd(systemd), Unenforced::Refuse)
        }
    };
    let root = args.root.clone().unwrap_or_else(|| environment.run_directory().join("oci"));
    let program = PathBuf::from("/proc/self/exe");
    Ok(Engine { root, program, groups, unenforced })
}

fn act(args: OciArgs, environment: &Environment) -> Result<u8, Refused> {
    let engine = engine(&args, environment)?;
    let Some(word) = args.word else {
        if args.version {
            return said(&format!(
                "corten version {}\nspec: {}\n",
                env!("CARGO_PKG_VERSION"),
                corten_engine::SPECIFICATION
            ));
        }
        return Err("a word is missing: create, start, state, kill, delete, …".to_owned().into());
    };
    match word {
        Word::Create(args) => corten_engine::create(&engine, &args.wanted()).map(drop)?,
        Word::Start(args) => corten_engine::start(&engine, &args.id)?,
        Word::Run(args) => return run(&engine, args),
        Word::State(args) => return told(&corten_engine::state(&engine, &args.id)?),
        Word::List(_) => return told(&corten_engine::list(&engine)?),
        Word::Kill(args) => {
            let signal = signal::number(&args.signal);
            let signal = signal.ok_or_else(|| format!("{}: no such signal", args.signal))?;
            let sent = match args.all {
                true => corten_engine::kill_all(&engine, &args.id, signal),
                false => corten_engine::kill(&engine, &args.id, signal),
            };
            sent.map_err(not_running)?;
        }
        Word::Pause(args) => corten_engine::pause(&engine, &args.id)?,
        Word::Resume(args) => corten_engine::resume(&engine, &args.id)?,
        Word::Ps(args) => return told(&corten_engine::processes(&engine, &args.id)?),
        Word::Update(args) => {
            let resources = resources(&args.resources)?;
            corten_engine::update(&engine, &args.id, &resources)?;
        }
        Word::Delete(args) => {
            let force = if args.force { Force::Yes } else { Force::No };
            corten_engine::delete(&engine, &args.id, force)?;
        }
        Word::Exec(args) => return exec(&engine, args),
        Word::Features => return told(&corten_engine::features()),
    }
    Ok(0)
}

/// The refusal to signal a container that has ended, in the words by which containerd and podman know it:
/// to whoever only wants it gone, that is no failure.
fn not_running(error: corten_engine::Error) -> Refused {
    match error {
        error @ corten_engine::Error::Status { .. } => {
            Refused::Other(format!("container not running: {error}"))
        }
        other => other.into(),
    }
}

fn said(text: &str) -> Result<u8, Refused> {
    print(text).map(|()| 0).map_err(|error| Refused::Other(error.to_string()))
}

fn told(value: &impl serde::Serialize) -> Result<u8, Refused> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    said(&format!("{text}\n"))
}

/// The caller's streams for a process that this one waits for: what has a name is carried, not handed over. A process
/// that is left behind, or has a terminal, gets them as they are: whoever drives a runtime chooses them.
fn streams(watched: bool) -> Result<(Stdio, Relays), Refused> {
    if !watched {
        return Ok(Default::default());
    }
    let (streams, relays) =
        corten_run::caller_streams(Interaction::Talk).map_err(|error| error.to_string())?;
    let (output, error) = (Some(streams.stdout), Some(streams.stderr));
    Ok((Stdio { input: streams.stdin, output, error }, relays))
}

fn run(engine: &Engine, args: RunArgs) -> Result<u8, Refused> {
    let mut wanted = args.create.wanted();
    let (stdio, relays) = streams(!args.detach && wanted.console_socket.is_none())?;
    wanted.stdio = stdio;
    let state = corten_engine::create(engine, &wanted)?;
    // Closes this side of the streams.
    wanted.stdio = Stdio::default();
    let started = corten_engine::start(engine, &wanted.id);
    if args.detach && started.is_ok() {
        return Ok(0);
    }
    let code = corten_engine::wait(state.pid().unwrap_or(0));
    corten_engine::delete(engine, &wanted.id, Force::Yes)?;
    started?;
    relays.finish(&|| false).map_err(|error| error.to_string())?;
    Ok(code?)
}

fn exec(engine: &Engine, args: ExecArgs) -> Result<u8, Refused> {
    let process = match &args.process {
        Some(file) => read_process(file)?,
        None => plain_process(&args)?,
    };
    let (stdio, relays) = streams(!args.detach && args.console_socket.is_none())?;
    let wanted = Exec {
        process,
        console_socket: args.console_socket,
        pid_file: args.pid_file,
        preserve_fds: args.preserve_fds,
        stdio,
    };
    let pid = corten_engine::exec(engine, &args.id, &wanted)?;
    // Closes this side of the streams.
    drop(wanted);
    if args.detach {
        return Ok(0);
    }
    let code = corten_engine::wait(pid)?;
    relays.finish(&|| false).map_err(|error| error.to_string())?;
    Ok(code)
}

fn resources(file: &Path) -> Result<LinuxResources, Refused> {
    let file = if file.as_os_str() == "-" { Path::new("/dev/stdin") } else { file };
    read_json(file, "no limits")
}

fn read_process(file: &Path) -> Result<Process, Refused> {
    read_json(file, "no process")
}

/// What a file of bounded size says; `none` tells that it says something else.
fn read_json<T: serde::de::DeserializeOwned>(file: &Path, none: &str) -> Result<T, Refused> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let opened = std::fs::File::open(file).map_err(failed)?;
    let read = opened.take(MAX_PROCESS + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_PROCESS {
        return Err(format!("{}: larger than {MAX_PROCESS} bytes", file.display()).into());
    }
    let parsed = serde_json::from_slice(&bytes);
    parsed.map_err(|error| format!("{}: {none}: {error}", file.display()).into())
}

fn plain_process(args: &ExecArgs) -> Result<Process, Refused> {
    let mut process = Process::default();
    process.set_args(Some(args.command.clone()));
    process.set_cwd(args.cwd.clone());
    process.set_rlimits(None);
    process.env_mut().get_or_insert_default().extend(args.env.iter().cloned());
    process.set_terminal(Some(args.tty));
    if let Some(user) = &args.user {
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        let none = |word: &str| format!("{word}: no user or group number");
        let id = |word: &str| corten_spec::parse_owner_id(word).ok_or_else(|| none(word));
        process.user_mut().set_uid(id(uid)?).set_gid(id(gid)?);
    }
    Ok(process)
}

/// The words of a runtime that is called by the name `corten-oci`: those of `corten oci`.
pub(super) fn by_name(mut words: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let name = words.first().map(PathBuf::from).and_then(|path| path.file_name().map(Into::into));
    if name.is_some_and(|name: std::ffi::OsString| name == "corten-oci") {
        words.insert(1, "oci".into());
    }
    words
}
