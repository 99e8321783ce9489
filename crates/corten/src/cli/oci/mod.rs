//! `corten oci`: the engine as an OCI runtime, for other engines to drive (runtime-spec, `runtime.md`).
//!
//! Failures are told on standard error and, as those callers read it, in `--log`.

mod events;
mod exec;
mod notify;
mod spec;
mod told;
mod words;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use corten_engine::{Create, Engine, Force, Groups, Stdio, Unenforced};
use corten_run::{Interaction, Relays};
use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};

use super::Outcome;
use crate::output::print;
use crate::{Environment, Failure, signal};

pub(super) use words::OciArgs;
use words::{GroupsWord, LogFormat, RunArgs, Word};

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
    // Before anything is done: what fails later shall be found there.
    if let Some(Err(error)) = log.as_deref().map(open_log) {
        let path = log.unwrap_or_default();
        complain(&format!("--log {}: {error}", path.display()), None, format);
        return Ok(Outcome::Process(1));
    }
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
    if let Err(error) =
        open_log(&log).and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
    {
        let _ = writeln!(err, "error: {}: writing failed: {error}", log.display());
    }
}

/// Opens the log to be written at its end.
fn open_log(log: &Path) -> std::io::Result<std::fs::File> {
    // Its directory may be anybody's: no link is followed.
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(rustix::fs::open(log, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Tells what is left out of what was asked.
fn warn(text: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "warning: {}", crate::plain::plain(text));
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
    Ok(Engine { root, program, groups, unenforced, tell: warn })
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
        Word::Create(args) => {
            let wanted = activated(args.wanted(), environment);
            corten_engine::create(&engine, &wanted).map(drop)?;
        }
        Word::Start(args) => notify::start(&engine, &args.id, environment)?,
        Word::Run(args) => return run(&engine, args, environment),
        Word::State(args) => {
            return told(&told::state(&corten_engine::details(&engine, &args.id)?));
        }
        Word::List(args) => return told::list(&engine, &args),
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
        Word::Ps(args) => return told::processes(&engine, &args),
        Word::Update(args) => {
            let mut resources =
                args.resources.as_deref().map(resources).transpose()?.unwrap_or_default();
            args.limits.add_to(&mut resources);
            corten_engine::update(&engine, &args.id, &resources)?;
        }
        Word::Delete(args) => {
            let force = if args.force { Force::Yes } else { Force::No };
            corten_engine::delete(&engine, &args.id, force)?;
        }
        Word::Exec(args) => return exec::exec(&engine, args),
        Word::Features => return told(&corten_engine::features()),
        Word::Spec(args) => spec::write(&args)?,
        Word::Events(args) => return events::events(&engine, &args),
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

/// Hands on the sockets that a service manager opened for this process (sd_listen_fds(3)), and a way to tell it when the
/// container is ready.
fn activated(mut wanted: Create, environment: &Environment) -> Create {
    wanted.notify = notify::socket(environment).is_some();
    // What was meant for a process above, and only passed down, is none of the container's.
    let own = std::process::id().to_string();
    if environment.variable("LISTEN_PID").is_some_and(|pid| pid != own) {
        return wanted;
    }
    let count = environment.variable("LISTEN_FDS").and_then(|count| count.parse::<u32>().ok());
    let Some(count) = count.filter(|count| *count > 0) else { return wanted };
    wanted.preserve_fds = wanted.preserve_fds.saturating_add(count);
    for name in ["LISTEN_FDS", "LISTEN_FDNAMES"] {
        let value = environment.variable(name).map(|value| (name.to_owned(), value.to_owned()));
        wanted.env.0.extend(value);
    }
    wanted
}

fn run(engine: &Engine, args: RunArgs, environment: &Environment) -> Result<u8, Refused> {
    let mut wanted = activated(args.create.wanted(), environment);
    let (stdio, relays) = streams(!args.detach && wanted.console_socket.is_none())?;
    wanted.stdio = stdio;
    let state = corten_engine::create(engine, &wanted)?;
    // Closes this side of the streams.
    wanted.stdio = Stdio::default();
    let started = corten_engine::start_listening(engine, &wanted.id);
    let (started, readiness) = match started {
        Ok(readiness) => (Ok(()), readiness),
        Err(error) => (Err(error), None),
    };
    if let (Some(readiness), Some(socket)) = (readiness, notify::socket(environment)) {
        let (socket, pid) = (socket.to_owned(), *state.pid());
        let told = move || notify::pass_on(&readiness, &socket, pid);
        match args.detach {
            true => told()?,
            // Nobody waits for it: the end of the container ends it.
            false => drop(std::thread::spawn(move || drop(told()))),
        }
    }
    if args.detach && started.is_ok() {
        return Ok(0);
    }
    let code = corten_engine::wait(state.pid().unwrap_or(0));
    if !args.keep || started.is_err() {
        corten_engine::delete(engine, &wanted.id, Force::Yes)?;
    }
    started?;
    relays.finish(&|| false).map_err(|error| error.to_string())?;
    Ok(code?)
}

fn resources(file: &Path) -> Result<LinuxResources, Refused> {
    let file = if file.as_os_str() == "-" { Path::new("/dev/stdin") } else { file };
    let parsed = serde_json::from_slice(&read(file)?);
    parsed.map_err(|error| format!("{}: no limits: {error}", file.display()).into())
}

/// What a file of bounded size says.
fn read(file: &Path) -> Result<Vec<u8>, Refused> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let opened = std::fs::File::open(file).map_err(failed)?;
    let read = opened.take(MAX_PROCESS + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_PROCESS {
        return Err(format!("{}: larger than {MAX_PROCESS} bytes", file.display()).into());
    }
    Ok(bytes)
}

/// The words of a runtime that is called by the name `corten-oci`: those of `corten oci`. Among them `--config`, which
/// otherwise is corten's own configuration, is that of a container, as in every runtime.
pub(super) fn by_name(mut words: Vec<OsString>) -> Vec<OsString> {
    let name =
        words.first().map(PathBuf::from).and_then(|path| path.file_name().map(OsString::from));
    if name.is_some_and(|name| name == "corten-oci") {
        words.insert(1, "oci".into());
    }
    if words.get(1).is_none_or(|word| word != "oci") {
        return words;
    }
    let Some(verb) = verb(&words) else { return words };
    for word in words.iter_mut().skip(verb) {
        if word == "--config" {
            *word = "--config-file".into();
        } else if let Some(file) = word.to_str().and_then(|word| word.strip_prefix("--config=")) {
            *word = format!("--config-file={file}").into();
        }
    }
    words
}

/// Where the verb stands among the words, if it is one that takes a configuration. What is run in a container comes
/// after another one, and is nobody's to change.
fn verb(words: &[OsString]) -> Option<usize> {
    const WITH_VALUE: [&str; 5] =
        ["--root", "--log", "--log-format", "--cgroups", "--cgroup-manager"];
    let mut all = words.iter().enumerate().skip(2);
    while let Some((place, word)) = all.next() {
        let text = word.to_str()?;
        if WITH_VALUE.contains(&text) {
            all.next();
        } else if !text.starts_with('-') {
            return matches!(text, "create" | "run").then_some(place);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_a_runtime_is_that_of_a_container() {
        let told = |text: &str| {
            let words = by_name(text.split(' ').map(OsString::from).collect());
            words
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            told("/x/corten-oci run --config a b"),
            "/x/corten-oci oci run --config-file a b"
        );
        assert_eq!(told("corten oci create --config=a b"), "corten oci create --config-file=a b");
        assert_eq!(told("corten --config a oci run b"), "corten --config a oci run b");
        assert_eq!(told("corten oci state --config a b"), "corten oci state --config a b");
        assert_eq!(told("corten run --config a"), "corten run --config a");
        assert_eq!(
            told("corten oci --root run --log create run --config a b"),
            "corten oci --root run --log create run --config-file a b"
        );
        for kept in
            ["corten oci exec b run --config a", "corten-oci --debug exec b create --config=a"]
        {
            assert!(told(kept).ends_with(kept.split_once("exec").unwrap().1), "{}", told(kept));
        }
    }
}
