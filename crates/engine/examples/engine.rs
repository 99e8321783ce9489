//! A small OCI runtime command line over the engine, with the flags that podman and containerd pass. It
//! shows what a `main` does first of all: it lets the engine act when this process is one of its stages.

use corten_engine::{
    Create, Engine, Exec, Force, Groups, Mapping, Unenforced, create, delete, exec, features, kill,
    kill_all, list, make_user_namespace, pause, paused, processes, resume, start, state, stats,
    update, wait,
};
use oci_spec::runtime::{LinuxResources, Process};
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

type Answer = Result<u8, Box<dyn Error>>;

/// Flags that stand alone; any other flag takes a value.
const ALONE: &[&str] = &[
    "all",
    "a",
    "debug",
    "detach",
    "d",
    "force",
    "f",
    "no-new-keyring",
    "no-pivot",
    "no-new-privs",
    "systemd-cgroup",
    "tty",
    "t",
];

/// The words of a command line, sorted.
#[derive(Default)]
struct Words {
    plain: Vec<String>,
    flags: BTreeMap<String, Vec<String>>,
}

impl Words {
    fn sort(arguments: &[OsString]) -> Words {
        let mut words = Words::default();
        let mut rest = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
        while let Some(word) = rest.next() {
            // What follows the id of exec is the command to run.
            let command =
                words.plain.first().is_some_and(|verb| verb == "exec" || verb == "as-root");
            if word == "--" || (command && words.plain.len() >= 2) {
                words.plain.extend((word != "--").then_some(word));
                words.plain.extend(rest);
                break;
            }
            let Some(flag) = word.strip_prefix('-').map(|flag| flag.trim_start_matches('-')) else {
                words.plain.push(word);
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None if ALONE.contains(&flag) => (flag.to_owned(), String::new()),
                None => (flag.to_owned(), rest.next().unwrap_or_default()),
            };
            words.flags.entry(name).or_default().push(value);
        }
        words
    }

    fn flag(&self, names: &[&str]) -> Option<&String> {
        names.iter().find_map(|name| self.flags.get(*name)?.last())
    }

    fn path(&self, names: &[&str]) -> Option<PathBuf> {
        self.flag(names).map(PathBuf::from)
    }

    fn has(&self, names: &[&str]) -> bool {
        self.flag(names).is_some_and(|value| value != "false")
    }

    fn id(&self) -> Result<&str, Box<dyn Error>> {
        self.plain
            .get(1)
            .map(String::as_str)
            .ok_or_else(|| "the id of a container is missing".into())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = corten_engine::stage(&arguments) {
        return code;
    }
    let words = Words::sort(&arguments);
    match run(&words) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report(&words, error.as_ref());
            ExitCode::from(
                error
                    .downcast_ref::<corten_engine::Error>()
                    .map_or(1, corten_engine::Error::exit_code),
            )
        }
    }
}

/// Tells an error on standard error and, as the callers of runtimes read it, in the log.
#[allow(clippy::print_stderr)]
fn report(words: &Words, error: &dyn Error) {
    eprintln!("engine: {error}");
    if let Some(log) = words.path(&["log"]) {
        let line = match words.flag(&["log-format"]).map(String::as_str) {
            Some("json") => {
                serde_json::json!({ "level": "error", "msg": error.to_string() }).to_string()
            }
            _ => format!("level=error msg={:?}", error.to_string()),
        };
        let file = std::fs::OpenOptions::new().append(true).create(true).open(log);
        if let Ok(mut file) = file {
            // The error is told on standard error in any case.
            let _ = std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes());
        }
    }
}

fn engine(words: &Words) -> Engine {
    let choice = words.flag(&["cgroups", "cgroup-manager"]).map(String::as_str);
    let (off, ignored) = (choice == Some("disabled"), choice == Some("lenient"));
    Engine {
        root: words.path(&["root"]).unwrap_or_else(|| PathBuf::from("/run/corten-engine")),
        program: PathBuf::from("/proc/self/exe"),
        groups: if off { Groups::Off } else { Groups::Auto },
        unenforced: if off || ignored { Unenforced::Ignore } else { Unenforced::Refuse },
        tell: |_| (),
    }
}

#[allow(clippy::print_stdout)]
fn run(words: &Words) -> Answer {
    let engine = engine(words);
    match words.plain.first().map(String::as_str) {
        Some("create") => create(&engine, &wanted(words)?).map(drop)?,
        Some("run") => return run_whole(&engine, words),
        Some("start") => start(&engine, words.id()?)?,
        Some("state") => {
            let paused = paused(&engine, words.id()?)?;
            let mut told = serde_json::to_value(state(&engine, words.id()?)?)?;
            if let Some(status) = told.get_mut("status").filter(|_| paused) {
                *status = "paused".into();
            }
            println!("{}", serde_json::to_string_pretty(&told)?);
        }
        Some("kill") => {
            let signal = signal(words.plain.get(2).map_or("TERM", String::as_str))?;
            let kill = if words.has(&["all", "a"]) { kill_all } else { kill };
            kill(&engine, words.id()?, signal)?;
        }
        Some("pause") => pause(&engine, words.id()?)?,
        Some("resume") => resume(&engine, words.id()?)?,
        Some("ps") => println!("{}", serde_json::to_string(&processes(&engine, words.id()?)?)?),
        Some("stats") => println!("{}", serde_json::to_string(&stats(&engine, words.id()?)?)?),
        Some("update") => {
            let file = words.path(&["resources", "r"]).ok_or("update needs --resources FILE")?;
            let resources: LinuxResources = serde_json::from_slice(&std::fs::read(file)?)?;
            update(&engine, words.id()?, &resources)?;
        }
        Some("delete") => {
            let force = if words.has(&["force", "f"]) { Force::Yes } else { Force::No };
            delete(&engine, words.id()?, force)?;
        }
        Some("list") => println!("{}", serde_json::to_string(&list(&engine)?)?),
        Some("exec") => return run_exec(&engine, words),
        Some("features") => println!("{}", serde_json::to_string(&features())?),
        Some("as-root") => return as_root(words),
        other if words.flag(&["version", "v"]).is_some() || other == Some("version") => {
            println!("engine version 0.1.0\nspec: 1.2.0");
        }
        other => return Err(format!("unknown command {other:?}").into()),
    }
    Ok(0)
}

fn preserved(words: &Words) -> Result<u32, Box<dyn Error>> {
    Ok(words.flag(&["preserve-fds"]).map(|number| number.parse()).transpose()?.unwrap_or(0))
}

fn wanted(words: &Words) -> Result<Create, Box<dyn Error>> {
    Ok(Create {
        id: words.id()?.to_owned(),
        bundle: words.path(&["bundle", "b"]).unwrap_or_else(|| PathBuf::from(".")),
        console_socket: words.path(&["console-socket"]),
        pid_file: words.path(&["pid-file"]),
        preserve_fds: preserved(words)?,
        no_pivot: words.has(&["no-pivot"]),
        ..Create::default()
    })
}

/// Create, start, wait and delete.
fn run_whole(engine: &Engine, words: &Words) -> Answer {
    let wanted = wanted(words)?;
    let state = create(engine, &wanted)?;
    let started = start(engine, &wanted.id);
    if words.has(&["detach", "d"]) && started.is_ok() {
        return Ok(0);
    }
    let code = wait(state.pid().unwrap_or(0));
    delete(engine, &wanted.id, Force::Yes)?;
    started?;
    Ok(code?)
}

fn run_exec(engine: &Engine, words: &Words) -> Answer {
    let process = match words.path(&["process", "p"]) {
        Some(file) => serde_json::from_slice(&std::fs::read(file)?)?,
        None => plain_process(words)?,
    };
    let wanted = Exec {
        process,
        console_socket: words.path(&["console-socket"]),
        pid_file: words.path(&["pid-file"]),
        preserve_fds: preserved(words)?,
        ..Exec::default()
    };
    let pid = exec(engine, words.id()?, &wanted)?;
    if words.has(&["detach", "d"]) { Ok(0) } else { Ok(wait(pid)?) }
}

fn plain_process(words: &Words) -> Result<Process, Box<dyn Error>> {
    let mut process = Process::default();
    process.set_args(words.plain.get(2..).map(<[String]>::to_vec));
    process.set_cwd(words.path(&["cwd"]).unwrap_or_else(|| PathBuf::from("/")));
    process.set_rlimits(None);
    if let Some(pairs) = words.flags.get("env").or(words.flags.get("e")) {
        process.env_mut().get_or_insert_default().extend(pairs.iter().cloned());
    }
    if let Some(user) = words.flag(&["user", "u"]) {
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        process.user_mut().set_uid(uid.parse()?).set_gid(gid.parse()?);
    }
    process.set_terminal(Some(words.has(&["tty", "t"])));
    Ok(process)
}

/// Goes on as the root of a user namespace: `as-root -- ARGUMENTS`.
fn as_root(words: &Words) -> Answer {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    make_user_namespace(&Mapping::of_user(uid, gid, None)?)?;
    // In place of the program's own name stands the verb.
    let rest: Vec<OsString> = words.plain.iter().map(OsString::from).collect();
    run(&Words::sort(&rest))
}

/// A signal by its number or its name, with or without `SIG`.
fn signal(word: &str) -> Result<i32, Box<dyn Error>> {
    const NAMES: &[(&str, i32)] = &[
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("CHLD", 17),
        ("CONT", 18),
        ("STOP", 19),
        ("TSTP", 20),
        ("WINCH", 28),
    ];
    if let Ok(number) = word.parse() {
        return Ok(number);
    }
    let name = word.to_ascii_uppercase();
    let bare = name.strip_prefix("SIG").unwrap_or(&name);
    let found = NAMES.iter().find(|(name, _)| *name == bare);
    Ok(found.ok_or_else(|| format!("unknown signal {word}"))?.1)
}
