//! Words that change the config, and every word as it is told.

use corten_dockerfile::parse_port;

use super::Failure;
use super::verbs::{CopyArgs, DependencyVerb, MountVerb, PairVerb, PortVerb, RunArgs, StepVerb};
use crate::ops::{ConfigCut, ConfigEdit, DraftDocument, DraftEdit};

fn refused<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Usage(text.into()))
}

/// The change of a word that changes the config alone.
pub(super) fn edit(verb: StepVerb) -> Result<DraftEdit, Failure> {
    let of = |edit| Ok(DraftEdit { edit, ..DraftEdit::default() });
    let cut = |cut| Ok(DraftEdit { cut, ..DraftEdit::default() });
    let plain = ConfigEdit::default();
    match verb {
        StepVerb::SetName { name } => Ok(DraftEdit { name: Some(name), ..DraftEdit::default() }),
        StepVerb::SetTag { tag } => Ok(DraftEdit { tag: Some(tag), ..DraftEdit::default() }),
        StepVerb::SetUser { user } => Ok(DraftEdit { user: Some(user), ..DraftEdit::default() }),
        StepVerb::SetGroup { group } => {
            Ok(DraftEdit { group: Some(group), ..DraftEdit::default() })
        }
        StepVerb::SetExec(args) => of(ConfigEdit { entrypoint: Some(args.words), ..plain }),
        StepVerb::SetCmd(args) => of(ConfigEdit { cmd: Some(args.words), ..plain }),
        StepVerb::SetWorkingDirectory { directory } => {
            of(ConfigEdit { working_dir: Some(absolute(directory)?), ..plain })
        }
        StepVerb::SetStopSignal { signal } => {
            if corten_dockerfile::signal_number(&signal).is_none() {
                return refused(format!("there is no signal {signal}"));
            }
            of(ConfigEdit { stop_signal: Some(signal), ..plain })
        }
        StepVerb::SetAuthor { author } => of(ConfigEdit { author: Some(author), ..plain }),
        StepVerb::Environment(PairVerb::Add { name, value }) => {
            if name.is_empty() || name.contains(['=', '\0']) {
                return refused(format!("'{name}' is no name of a variable"));
            }
            of(ConfigEdit { env: vec![(name, value)], ..plain })
        }
        StepVerb::Environment(PairVerb::Remove { name }) => {
            cut(ConfigCut { env: [name].into(), ..ConfigCut::default() })
        }
        StepVerb::Label(PairVerb::Add { name, value }) => {
            of(ConfigEdit { labels: [(name, value)].into(), ..plain })
        }
        StepVerb::Label(PairVerb::Remove { name }) => {
            cut(ConfigCut { labels: [name].into(), ..ConfigCut::default() })
        }
        StepVerb::Annotation(PairVerb::Add { name, value }) => {
            of(ConfigEdit { annotations: [(name, value)].into(), ..plain })
        }
        StepVerb::Annotation(PairVerb::Remove { name }) => {
            cut(ConfigCut { annotations: [name].into(), ..ConfigCut::default() })
        }
        StepVerb::Port(PortVerb::Add { socket_activated: true, .. }) => refused(
            "--socket-activated: an image has no field for it; whoever runs it passes sockets on",
        ),
        StepVerb::Port(PortVerb::Add { port, count, .. }) => {
            of(ConfigEdit { exposed_ports: ports(&port, count)?, ..plain })
        }
        StepVerb::Port(PortVerb::Remove { port }) => {
            let names = ports(std::slice::from_ref(&port), 1)?;
            // An image of others may name a port without its protocol.
            let bare = names.iter().filter_map(|name| name.strip_suffix("/tcp"));
            let exposed_ports = bare.map(str::to_owned).chain(names.clone()).collect();
            cut(ConfigCut { exposed_ports, ..ConfigCut::default() })
        }
        StepVerb::Mount(MountVerb::Add { read_only: true, .. }) => refused(
            "--read-only: an image says where its data is, and whoever runs it how it is mounted: \
             'corten run --volume NAME:PATH:ro'",
        ),
        StepVerb::Mount(MountVerb::Add { path, .. }) => {
            // Of a name and a path, images of today have the path.
            let path = path.into_iter().next_back().unwrap_or_default();
            of(ConfigEdit { volumes: vec![absolute(path)?], ..plain })
        }
        StepVerb::Mount(MountVerb::Remove { path }) => {
            cut(ConfigCut { volumes: [path].into(), ..ConfigCut::default() })
        }
        other => gone(&other),
    }
}

/// Words of acbuild that images of today have no place for, and what they have instead.
fn gone(verb: &StepVerb) -> Result<DraftEdit, Failure> {
    match verb {
        StepVerb::Dependency(_) => refused(
            "dependency remove: layers that others lie on are not taken out; begin again without it",
        ),
        StepVerb::Isolator(_) => refused(
            "isolator: an image has no limits; whoever runs it sets them: 'corten run --memory --cpus --cap-drop'",
        ),
        StepVerb::SetEventHandler(_) => refused(
            "set-event-handler: an image has no hooks; a program before the process is its entry point, \
             hooks are of the runtime's bundle ('corten bundle')",
        ),
        StepVerb::SetSuppGroups(_) => refused(
            "set-supp-groups: an image has none beside those of its /etc/group; add the user there, \
             or say 'corten run --group-add'",
        ),
        _ => refused("this word changes more than the config"),
    }
}

fn absolute(path: String) -> Result<String, Failure> {
    if path.starts_with('/') {
        return Ok(path);
    }
    refused(format!("{path}: a path in an image begins with /"))
}

/// `PORT[/PROTOCOL]`, or a name, a protocol and a port.
fn ports(words: &[String], count: u16) -> Result<Vec<String>, Failure> {
    let text = match words {
        [port] => port.clone(),
        [protocol, port] | [_, protocol, port] => format!("{port}/{protocol}"),
        _ => return refused("port: say PORT[/PROTOCOL]"),
    };
    let (port, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    let wrong = |why: String| Failure::Usage(format!("port {text}: {why}"));
    let text = match count {
        0 | 1 => format!("{port}/{protocol}"),
        count => {
            let first: u16 =
                port.parse().map_err(|_| wrong("--count goes with one port".into()))?;
            let last = first.checked_add(count - 1);
            let last = last.ok_or_else(|| wrong("there are not so many ports".into()))?;
            format!("{first}-{last}/{protocol}")
        }
    };
    Ok(parse_port(&text).map_err(|error| wrong(error.to_string()))?.names().collect())
}

/// A document as it is, or laid out.
pub(super) fn document(bytes: &[u8], is_pretty: bool) -> Result<String, Failure> {
    let failed =
        |source| Failure::Io { object: "the document".to_owned(), action: "reading", source };
    if is_pretty {
        let value: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|error| failed(error.into()))?;
        return Ok(format!("{value:#}\n"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| failed(std::io::Error::other(error)))?;
    Ok(format!("{text}\n"))
}

/// A word with its arguments, as it could be typed.
pub(super) fn typed(verb: &StepVerb) -> Vec<String> {
    let words = |name: &str, rest: &[&str]| {
        std::iter::once(&name).chain(rest).map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let behind = |name: &str, rest: &[String]| {
        let mut all = words(name, &["--"]);
        all.extend(rest.iter().cloned());
        all
    };
    match verb {
        StepVerb::Begin(args) => {
            let mut all = words("begin", if args.layers { &["--layers"] } else { &[] });
            all.extend(args.start.clone());
            all
        }
        StepVerb::Run(args) => run_words(args),
        StepVerb::Copy(args) => copy_words("copy", args),
        StepVerb::CopyToDir(args) => copy_words("copy-to-dir", args),
        StepVerb::Dependency(DependencyVerb::Add { image }) => words("dependency", &["add", image]),
        StepVerb::Dependency(DependencyVerb::Remove { image }) => {
            words("dependency", &["remove", image])
        }
        StepVerb::Layer => words("layer", &[]),
        StepVerb::SetName { name } => words("set-name", &[name]),
        StepVerb::SetTag { tag } => words("set-tag", &[tag]),
        StepVerb::SetExec(args) => behind("set-exec", &args.words),
        StepVerb::SetCmd(args) => behind("set-cmd", &args.words),
        StepVerb::SetUser { user } => words("set-user", &[user]),
        StepVerb::SetGroup { group } => words("set-group", &[group]),
        StepVerb::SetWorkingDirectory { directory } => words("set-working-directory", &[directory]),
        StepVerb::SetStopSignal { signal } => words("set-stop-signal", &[signal]),
        StepVerb::SetAuthor { author } => words("set-author", &[author]),
        StepVerb::Environment(pair) => pair_words("environment", pair),
        StepVerb::Label(pair) => pair_words("label", pair),
        StepVerb::Annotation(pair) => pair_words("annotation", pair),
        StepVerb::Port(PortVerb::Add { port, count, .. }) => {
            let mut all = words("port", &["add"]);
            if *count != 1 {
                all.extend(["--count".to_owned(), count.to_string()]);
            }
            all.extend(port.iter().cloned());
            all
        }
        StepVerb::Port(PortVerb::Remove { port }) => words("port", &["remove", port]),
        StepVerb::Mount(MountVerb::Add { path, .. }) => {
            let mut all = words("mount", &["add"]);
            all.extend(path.iter().cloned());
            all
        }
        StepVerb::Mount(MountVerb::Remove { path }) => words("mount", &["remove", path]),
        StepVerb::Cat(args) => match args.file {
            DraftDocument::Config => words("cat", &[]),
            DraftDocument::Manifest => words("cat", &["--file", "manifest"]),
        },
        StepVerb::ReplaceConfig { file } => words("replace-config", &[&file.to_string_lossy()]),
        StepVerb::Script { file } => words("script", &[&file.to_string_lossy()]),
        StepVerb::Write { .. } => words("write", &[]),
        StepVerb::End => words("end", &[]),
        StepVerb::Isolator(args) => behind("isolator", &args.words),
        StepVerb::SetEventHandler(args) => behind("set-event-handler", &args.words),
        StepVerb::SetSuppGroups(args) => behind("set-supp-groups", &args.words),
    }
}

fn pair_words(name: &str, verb: &PairVerb) -> Vec<String> {
    match verb {
        PairVerb::Add { name: key, value } => [name, "add", key, value].map(str::to_owned).to_vec(),
        PairVerb::Remove { name: key } => [name, "remove", key].map(str::to_owned).to_vec(),
    }
}

fn flags<'a>(
    name: &str,
    flags: impl IntoIterator<Item = (&'a str, Option<&'a String>)>,
) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    for (flag, value) in flags {
        all.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value.clone()]));
    }
    all
}

/// Variables of the run may be secrets of whoever types them: their names are told, not their values.
fn run_words(args: &RunArgs) -> Vec<String> {
    let given = [("--working-dir", args.working_dir.as_ref()), ("--user", args.user.as_ref())];
    let names: Vec<String> = args.env.iter().map(|(name, _)| format!("{name}=…")).collect();
    let env = names.iter().map(|name| ("--env", Some(name)));
    let mut all = flags("run", given.into_iter().chain(env));
    all.push("--".to_owned());
    all.extend(args.program.words.iter().cloned());
    all
}

fn copy_words(name: &str, args: &CopyArgs) -> Vec<String> {
    let given = [
        ("--from", args.from.as_ref()),
        ("--chown", args.chown.as_ref()),
        ("--chmod", args.chmod.as_ref()),
    ];
    let exclude = args.exclude.iter().map(|pattern| ("--exclude", Some(pattern)));
    let mut all = flags(name, given.into_iter().chain(exclude));
    all.extend(args.paths.iter().map(|path| path.to_string_lossy().into_owned()));
    all
}
