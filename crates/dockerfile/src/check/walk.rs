//! The walk through the stages, instruction by instruction, with the values that each of them sees.

use std::collections::{BTreeMap, BTreeSet};

use super::{Advisor, BaseImage, Check, CheckError, CheckRequest, CommandError};
use crate::chmod;
use crate::command::{Action, ArgDefinition, Command, LineForm, Run, Sources, Trigger, Undefined};
use crate::dockerfile::{Dockerfile, Stage};
use crate::expand::Variables;
use crate::image_name;
use crate::link::{StageLinks, StageSource};
use crate::mount::{Mount, MountKind};
use crate::pattern::clean_path;
use crate::port;
use crate::position::Span;
use crate::scope::{GlobalScope, StageScope};
use crate::signal;
use crate::statement::PairForm;

/// What is walked through.
pub(crate) struct Walk<'a> {
    pub(crate) file: &'a Dockerfile,
    pub(crate) scope: &'a GlobalScope,
    pub(crate) links: &'a [StageLinks],
    pub(crate) request: &'a CheckRequest<'a>,
}

/// What was learnt of a stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    /// The arguments that it declares, with their values.
    pub(crate) arguments: BTreeMap<String, (ArgDefinition, Option<String>, Span)>,
    /// The arguments that it uses, or declares.
    pub(crate) used: BTreeSet<String>,
    /// Its secrets and agents: whether they must be there, and where that stands first.
    pub(crate) secrets: BTreeMap<String, (bool, Span)>,
    pub(crate) agents: BTreeMap<String, (bool, Span)>,
}

#[derive(Clone, Default)]
struct State {
    scope: StageScope,
    /// Whether all variables of the base are known.
    is_known: bool,
    has_shell: bool,
    has_workdir: bool,
}

/// Walks through `stages`, each after those that it needs.
pub(crate) fn walk(
    walk: &Walk<'_>,
    stages: &[usize],
    advisor: &mut Advisor,
) -> Result<Vec<Learned>, CheckError> {
    let mut states: BTreeMap<usize, State> = BTreeMap::new();
    let mut learned = Vec::new();
    for index in stages {
        let found = walk.file.stages.get(*index).zip(walk.links.get(*index));
        let Some((stage, links)) = found else { continue };
        let mut one = Learned::default();
        one.used.extend(links.base_word.matched.iter().cloned());
        one.used.extend(links.platform_word.iter().flat_map(|word| word.matched.iter().cloned()));
        let (state, triggers) = begin(walk, stage, links, &states, advisor)?;
        let is_replaced = matches!(&links.base, StageSource::Context(name)
            if stage.name.as_ref() == Some(name));
        let commands = if is_replaced { &[] } else { stage.commands.as_slice() };
        let mut steps =
            Steps { walk, state, learned: one, last: BTreeMap::new(), advisor: &mut *advisor };
        for command in triggers.iter().chain(commands) {
            steps.command(command).map_err(|error| refused(command.span, error))?;
        }
        let Steps { state, learned: one, .. } = steps;
        states.insert(*index, state);
        learned.push(one);
    }
    Ok(learned)
}

fn refused(span: Span, error: CommandError) -> CheckError {
    CheckError::Command { span, source: Box::new(error) }
}

/// What a stage begins with, and what its base has it do first.
fn begin(
    walk: &Walk<'_>,
    stage: &Stage,
    links: &StageLinks,
    states: &BTreeMap<usize, State>,
    advisor: &mut Advisor,
) -> Result<(State, Vec<Command>), CheckError> {
    let mut state = State::default();
    let mut triggers = Vec::new();
    match &links.base {
        StageSource::Stage(base) => {
            state = states.get(base).cloned().unwrap_or_default();
            let base = walk.file.stages.get(*base);
            for command in base.into_iter().flat_map(|base| &base.commands) {
                if let Action::Onbuild(trigger) = &command.action {
                    triggers.push(triggered(trigger, stage)?);
                }
            }
        }
        StageSource::Scratch => state.is_known = true,
        StageSource::Context(_) => {}
        StageSource::Image(name) => {
            let platform = links.platform.as_deref();
            if let Some(image) = walk.request.bases.image(name, platform) {
                check_platform(walk, stage, links, &image, advisor);
                for trigger in &image.triggers {
                    triggers.push(triggered(trigger, stage)?);
                }
                state.is_known = true;
                state.has_shell = image.has_shell;
                state.scope = StageScope::new(image.environment);
            }
        }
    }
    if state.scope.value("PATH").is_none() && walk.request.inputs.target.os != "windows" {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let set = state.scope.set_environment("PATH", path);
        set.map_err(|error| refused(stage.span, error.into()))?;
    }
    Ok((state, triggers))
}

fn triggered(trigger: &Trigger, stage: &Stage) -> Result<Command, CheckError> {
    trigger.command(stage.span).map_err(|error| refused(stage.span, error.into()))
}

fn check_platform(
    walk: &Walk<'_>,
    stage: &Stage,
    links: &StageLinks,
    image: &BaseImage,
    advisor: &mut Advisor,
) {
    let target = walk.request.inputs.target.text();
    let expected = links.platform.as_deref().unwrap_or(&target);
    let Some((system, architecture)) = image_name::parse_platform(expected) else { return };
    let Some((own_system, own_architecture)) = &image.platform else { return };
    if (&system, &architecture) != (own_system, own_architecture) {
        let text = format!(
            "the base `{}` is for {own_system}/{own_architecture}, and {expected} is built for",
            links.base_word.text
        );
        advisor.say(&stage.comments, Check::InvalidBaseImagePlatform, stage.span, text);
    }
}

/// The instructions of one stage, one after the other.
struct Steps<'a> {
    walk: &'a Walk<'a>,
    state: State,
    learned: Learned,
    /// Where the last CMD, ENTRYPOINT and HEALTHCHECK stand.
    last: BTreeMap<&'static str, Span>,
    advisor: &'a mut Advisor,
}

impl Steps<'_> {
    fn say(&mut self, command: &Command, check: Check, text: String) {
        self.advisor.say(&command.comments, check, command.span, text);
    }

    fn command(&mut self, written: &Command) -> Result<(), CommandError> {
        let escape = self.walk.file.escape();
        let done = written.substitute(escape, &self.state.scope)?;
        self.check_defined(written, done.undefined);
        let command = &done.command;
        match &command.action {
            Action::Add(add) => {
                check_mode(add.chmod.as_deref())?;
                let is_checked = matches!(add.sources.paths.as_slice(), [path] if is_remote(path));
                if add.checksum.is_some() && !is_checked {
                    return Err(CommandError::Unchecked);
                }
                self.check_ignored(command, &add.sources, "ADD");
            }
            Action::Copy(copy) => {
                check_mode(copy.chmod.as_deref())?;
                if let Some(path) = copy.sources.paths.iter().find(|path| is_remote(path)) {
                    return Err(CommandError::RemoteCopy { path: path.clone() });
                }
                if copy.from.is_none() {
                    self.check_ignored(command, &copy.sources, "COPY");
                }
            }
            Action::Arg(definitions) => self.declare(command, definitions)?,
            Action::Cmd(line) | Action::Entrypoint(line) => {
                self.check_once(command);
                if line.form == LineForm::Shell && !self.state.has_shell {
                    let keyword = &command.keyword;
                    let text = format!(
                        "{keyword} is run by a shell, which passes no signals on; an array is run as it is"
                    );
                    self.say(command, Check::JSONArgsRecommended, text);
                }
            }
            Action::Healthcheck(_) => self.check_once(command),
            Action::Env(pairs) | Action::Label(pairs) => {
                for pair in pairs {
                    if pair.form == PairForm::Space {
                        let keyword = &command.keyword;
                        let text = format!("{keyword} has `key value` in place of `key=value`");
                        self.say(command, Check::LegacyKeyValueFormat, text);
                    }
                    if matches!(command.action, Action::Env(_)) {
                        self.check_secret(command, "ENV", &pair.key);
                        self.state.scope.set_environment(&pair.key, &pair.value)?;
                    }
                }
            }
            Action::Expose(ports) => self.check_ports(command, ports)?,
            Action::Run(run) => self.mounts(command, run)?,
            Action::Shell(_) => self.state.has_shell = true,
            Action::Stopsignal(signal) => {
                if signal::signal_number(signal).is_none() {
                    return Err(CommandError::Signal { signal: signal.clone() });
                }
            }
            Action::Volume(paths) if paths.iter().any(String::is_empty) => {
                return Err(CommandError::Volume);
            }
            Action::Workdir(path) => self.check_workdir(command, path),
            Action::Maintainer(_) | Action::Onbuild(_) | Action::User(_) | Action::Volume(_) => {}
        }
        Ok(())
    }

    fn check_defined(&mut self, command: &Command, undefined: Vec<Undefined>) {
        if !self.state.is_known {
            return;
        }
        for Undefined { name, suggestion } in undefined {
            if self.state.scope.declares(&name) || crate::builtin::is_no_variable(&name) {
                continue;
            }
            let mut text = format!("the variable `${name}` is not set here");
            if let Some(near) = suggestion {
                text.push_str(&format!(" (`${near}` is)"));
            }
            self.say(command, Check::UndefinedVar, text);
        }
    }

    fn declare(
        &mut self,
        command: &Command,
        definitions: &[ArgDefinition],
    ) -> Result<(), CommandError> {
        for definition in definitions {
            self.check_secret(command, "ARG", &definition.key);
        }
        let (escape, inputs) = (self.walk.file.escape(), self.walk.request.inputs);
        let done = self.state.scope.declare(definitions, escape, self.walk.scope, inputs)?;
        let undefined = crate::command::undefined(done.unmatched, &self.state.scope);
        self.check_defined(command, undefined);
        for (definition, value, is_global) in done.values {
            self.learned.used.insert(definition.key.clone());
            if !is_global {
                let known = (definition.clone(), value, command.span);
                self.learned.arguments.insert(definition.key, known);
            }
        }
        Ok(())
    }

    /// Only the last one counts; so an earlier one is what is told of.
    fn check_once(&mut self, command: &Command) {
        let name = command.action.keyword().name();
        if let Some(span) = self.last.insert(name, command.span) {
            let text = format!("a later {} takes the place of this one", command.keyword);
            let check = Check::MultipleInstructionsDisallowed;
            self.advisor.say(&command.comments, check, span, text);
        }
    }

    fn check_secret(&mut self, command: &Command, keyword: &str, key: &str) {
        if super::names_a_secret(key) {
            let text =
                format!("{keyword} `{key}` seems to be a secret, which the image would keep");
            self.say(command, Check::SecretsUsedInArgOrEnv, text);
        }
    }

    fn check_workdir(&mut self, command: &Command, path: &str) {
        let is_absolute = path.starts_with('/')
            || (self.walk.request.inputs.target.os == "windows"
                && (path.starts_with('\\') || path.get(1..2) == Some(":")));
        if !self.state.has_workdir && !is_absolute {
            let text = format!("`{path}` is relative to whatever directory the base has");
            self.say(command, Check::WorkdirRelativePath, text);
        }
        self.state.has_workdir = true;
    }

    fn check_ports(&mut self, command: &Command, ports: &[String]) -> Result<(), CommandError> {
        for text in ports {
            let exposed = port::parse_port(text)?;
            if exposed.is_cased {
                let text = format!("the protocol of `{text}` is not in lower case");
                self.say(command, Check::ExposeProtoCasing, text);
            }
            if exposed.is_mapped {
                let text =
                    format!("`{text}` has an address or a port of the host, which means nothing");
                self.say(command, Check::ExposeInvalidFormat, text);
            }
        }
        Ok(())
    }

    fn check_ignored(&mut self, command: &Command, sources: &Sources, keyword: &str) {
        // With exceptions, what is in a directory may be there though the directory is not.
        let Some(ignore) = self.walk.request.ignore.filter(|ignore| !ignore.has_exceptions())
        else {
            return;
        };
        for path in sources.paths.iter().filter(|path| !is_remote(path)) {
            let path = clean_path(path);
            let is_root = path == "." || path == "/";
            let leaves_nothing = || ignore.patterns().any(|p| matches!(p, "*" | "**" | "**/*"));
            if (!is_root || leaves_nothing()) && ignore.excludes(&path) {
                let text = format!("{keyword} takes `{path}`, which .dockerignore leaves out");
                self.say(command, Check::CopyIgnoredFile, text);
            }
        }
    }

    fn mounts(&mut self, command: &Command, run: &Run) -> Result<(), CommandError> {
        let escape = self.walk.file.escape();
        let mut unmatched = BTreeSet::new();
        for flag in &run.mounts {
            let scope = &self.state.scope;
            let Mount { kind, .. } = flag.resolve_noting(escape, scope, &mut unmatched)?;
            match kind {
                MountKind::Secret { id, required, .. } => {
                    self.learned.secrets.entry(id).or_insert((required, command.span));
                }
                MountKind::Ssh { id, required, .. } => {
                    self.learned.agents.entry(id).or_insert((required, command.span));
                }
                _ => {}
            }
        }
        let undefined = crate::command::undefined(unmatched, &self.state.scope);
        self.check_defined(command, undefined);
        Ok(())
    }
}

fn check_mode(chmod: Option<&str>) -> Result<(), CommandError> {
    let given = chmod.filter(|text| !text.is_empty());
    given.map_or(Ok(()), |text| Ok(chmod::parse_chmod(text).map(|_| ())?))
}

/// Addresses, which no `.dockerignore` speaks of.
fn is_remote(path: &str) -> bool {
    path.contains("://") || path.starts_with("git@")
}
