//! What instructions that make no layer do to the config, and what every instruction leaves in the history.

use std::collections::BTreeMap;

use corten_dockerfile::{
    Action, Command, CommandLine, HealthProbe, HealthTest, LineForm, StageScope, Variables as _,
    parse_port, signal_number,
};
use corten_spec::{ContainerConfig, History, ImageConfig, Platform, RootFs};
use serde_json::{Value, json};

use crate::error::{Result, StepError, refused};
use crate::request::Times;
use crate::words::{duration, listed, quoted, timestamp};

/// Where programs are looked for in an image that does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The shell of a stage that names none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// What each row of the history says of who wrote it.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The config of nothing.
pub(crate) fn empty(platform: Platform) -> ImageConfig {
    let config = ContainerConfig {
        env: vec![format!("PATH={PATH}")],
        working_dir: Some("/".to_owned()),
        ..ContainerConfig::default()
    };
    ImageConfig {
        created: None,
        author: None,
        platform,
        config: Some(config),
        rootfs: RootFs::layers(Vec::new()),
        history: Vec::new(),
        extra: BTreeMap::new(),
    }
}

/// Gives the config a search path where it has none.
pub(crate) fn with_path(config: &mut ImageConfig) {
    let run = config.config.get_or_insert_default();
    if !run.env.iter().any(|entry| entry.starts_with("PATH=")) {
        run.env.insert(0, format!("PATH={PATH}"));
    }
}

/// The variables of a config.
pub(crate) fn environment(config: &ImageConfig) -> Vec<(String, String)> {
    let entries = config.config.iter().flat_map(|run| &run.env);
    entries
        .filter_map(|entry| entry.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// Takes the instructions that a base keeps for those who build on it.
pub(crate) fn take_triggers(config: &mut ImageConfig) -> Vec<String> {
    let kept = config.config.as_mut().and_then(|run| run.extra.remove("OnBuild"));
    serde_json::from_value(kept.unwrap_or_default()).unwrap_or_default()
}

/// The words that run a command line: through the shell, where it is written for one.
pub(crate) fn words(config: &ImageConfig, line: &CommandLine) -> Vec<String> {
    match line.form {
        LineForm::Exec => line.words.clone(),
        LineForm::Shell => through_shell(config, &line.words.join(" ")),
    }
}

/// A text for the stage's shell.
pub(crate) fn through_shell(config: &ImageConfig, text: &str) -> Vec<String> {
    let own = config.config.as_ref().and_then(|run| run.extra.get("Shell")).cloned();
    let own: Option<Vec<String>> = own.and_then(|own| serde_json::from_value(own).ok());
    let mut words = own.filter(|words| !words.is_empty());
    let words = words.get_or_insert_with(|| SHELL.map(str::to_owned).to_vec());
    words.push(text.to_owned());
    std::mem::take(words)
}

/// Whether a row of the history has a layer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    Layer,
    Empty,
}

/// Adds a row to the history.
pub(crate) fn note(config: &mut ImageConfig, text: String, row: Row, times: Times) {
    let (Times::Until(seconds) | Times::Real(seconds)) = times;
    config.history.push(History {
        created: Some(timestamp(seconds)),
        created_by: Some(text),
        comment: Some(COMMENT.to_owned()),
        empty_layer: row == Row::Empty,
        ..History::default()
    });
}

/// Carries out an instruction that makes no layer, which was substituted with `scope` and is taken over there
/// already. `has_cmd` is whether the stage has set a command.
pub(crate) fn apply(
    config: &mut ImageConfig,
    command: &Command,
    scope: &StageScope,
    has_cmd: &mut bool,
    times: Times,
) -> Result<()> {
    let shell_words = |config: &ImageConfig, line| words(config, line);
    let mut author = None;
    let text = match &command.action {
        Action::Arg(definitions) => {
            let told = definitions.iter().map(|definition| {
                let declared = scope.declared().iter().rev().find(|arg| arg.name == definition.key);
                match declared.and_then(|arg| arg.value.as_ref()) {
                    Some(value) => format!("{}={value}", definition.key),
                    None => definition.key.clone(),
                }
            });
            format!("ARG {}", told.collect::<Vec<_>>().join(" "))
        }
        Action::Cmd(line) => {
            let words = shell_words(config, line);
            let text = format!("CMD {}", quoted(&words));
            let run = config.config.get_or_insert_default();
            run.cmd = Some(words);
            run.extra.insert("ArgsEscaped".to_owned(), Value::Bool(true));
            *has_cmd = true;
            text
        }
        Action::Entrypoint(line) => {
            let words = shell_words(config, line);
            let text = format!("ENTRYPOINT {}", quoted(&words));
            let run = config.config.get_or_insert_default();
            run.entrypoint = Some(words);
            if !*has_cmd {
                run.cmd = None;
            }
            text
        }
        Action::Healthcheck(probe) => health(config, probe),
        Action::Maintainer(name) => {
            author = Some(name.clone());
            format!("MAINTAINER {name}")
        }
        Action::Onbuild(trigger) => {
            let run = config.config.get_or_insert_default();
            let kept = run.extra.entry("OnBuild".to_owned()).or_insert_with(|| json!([]));
            if let Some(kept) = kept.as_array_mut() {
                kept.push(Value::String(trigger.expression.clone()));
            }
            return Ok(());
        }
        Action::Shell(shell) => {
            let run = config.config.get_or_insert_default();
            run.extra.insert("Shell".to_owned(), json!(shell));
            format!("SHELL {}", listed(shell))
        }
        other => plain(config.config.get_or_insert_default(), other)?,
    };
    config.author = author.or(config.author.take());
    note(config, text, Row::Empty, times);
    Ok(())
}

/// Those that only set a field.
fn plain(run: &mut ContainerConfig, action: &Action) -> Result<String> {
    let key = |text: &String| (text.clone(), serde_json::Map::new());
    Ok(match action {
        Action::Env(pairs) => {
            let mut text = "ENV".to_owned();
            for pair in pairs {
                let entry = format!("{}={}", pair.key, pair.value);
                text = format!("{text} {entry}");
                let same = |old: &&mut String| old.split('=').next() == Some(&pair.key);
                match run.env.iter_mut().find(same) {
                    Some(old) => *old = entry,
                    None => run.env.push(entry),
                }
            }
            text
        }
        Action::Label(pairs) => {
            let told = pairs.iter().map(|pair| format!(" {}={}", pair.key, pair.value));
            let text = format!("LABEL{}", told.collect::<String>());
            run.labels.extend(pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())));
            text
        }
        Action::Expose(ports) => {
            let mut names = Vec::new();
            for port in ports {
                let read = parse_port(port);
                names.extend(read.map_err(|error| StepError::Refused(error.to_string()))?.names());
            }
            names.sort();
            names.dedup();
            run.exposed_ports.extend(names.iter().map(key));
            format!("EXPOSE {}", listed(&names))
        }
        Action::Volume(paths) => {
            if paths.iter().any(String::is_empty) {
                return refused("VOLUME: a path is empty");
            }
            run.volumes.extend(paths.iter().map(key));
            format!("VOLUME {}", listed(paths))
        }
        Action::User(user) => {
            run.user = Some(user.clone());
            format!("USER {user}")
        }
        Action::Stopsignal(signal) => {
            if signal_number(signal).is_none() {
                return refused(format!("there is no signal {signal}"));
            }
            run.stop_signal = Some(signal.clone());
            format!("STOPSIGNAL {signal}")
        }
        _ => return refused("it makes a layer"),
    })
}

fn health(config: &mut ImageConfig, probe: &HealthProbe) -> String {
    let test = match &probe.test {
        HealthTest::None => vec!["NONE".to_owned()],
        HealthTest::Command(line) => {
            let first = if line.form == LineForm::Shell { "CMD-SHELL" } else { "CMD" };
            std::iter::once(first.to_owned()).chain(line.words.iter().cloned()).collect()
        }
    };
    let lengths = [
        ("Interval", probe.interval),
        ("Timeout", probe.timeout),
        ("StartPeriod", probe.start_period),
        ("StartInterval", probe.start_interval),
    ];
    let mut value = serde_json::Map::new();
    value.insert("Test".to_owned(), json!(test));
    for (name, length) in lengths.iter().filter(|(_, length)| !length.is_zero()) {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        value.insert((*name).to_owned(), json!(nanos));
    }
    if probe.retries > 0 {
        value.insert("Retries".to_owned(), json!(probe.retries));
    }
    let told = lengths.iter().map(|(name, length)| format!(" {name}:{}", duration(*length)));
    let told: String = told.collect();
    let run = config.config.get_or_insert_default();
    run.extra.insert("Healthcheck".to_owned(), Value::Object(value));
    format!("HEALTHCHECK {{Test:{}{told} Retries:{}}}", listed(&test), probe.retries)
}

/// The values that a RUN tells of its arguments in the history: `|2 A=1 B=2 `.
pub(crate) fn told_arguments(scope: &StageScope) -> String {
    let mut told: Vec<(String, String)> = Vec::new();
    for arg in scope.declared() {
        let value = scope.value(&arg.name).map(str::to_owned).or(arg.value.clone());
        let value = value.unwrap_or_default();
        match told.iter_mut().find(|(name, _)| *name == arg.name) {
            Some((_, old)) => *old = value,
            None => told.push((arg.name.clone(), value)),
        }
    }
    if told.is_empty() {
        return String::new();
    }
    let pairs = told.iter().map(|(name, value)| format!("{name}={value} "));
    format!("|{} {}", told.len(), pairs.collect::<String>())
}
