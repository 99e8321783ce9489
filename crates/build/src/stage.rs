//! One stage, from its base to its last instruction.

use std::any::Any;
use std::sync::Arc;

use corten_dockerfile::{
    Action, Command, IgnoreFile, Span, StageScope, StageSource, Trigger, command_uses,
};
use corten_layer::{Entry, EntryKind};
use corten_spec::{ChainId, DiffId, ImageConfig, Platform};

use crate::address::redacted;
use crate::assemble::{Assembly, Item, pack};
use crate::base::NamedContext;
use crate::builder::Session;
use crate::builds::StepEnd;
use crate::config::{self, Row};
use crate::copying::absolute;
use crate::error::{BuildError, Result, StepError, refused};
use crate::event::BuildEvent;
use crate::explain::BELOW;
use crate::flags::owner_of;
use crate::key::KeyHasher;
use crate::lookup::{LastLink, is_directory, resolve};
use crate::plan::Step;
use crate::rootfs::{Ground, Laid, Made};
use crate::source::{Owners, Source};

/// What a stage has become.
#[derive(Clone)]
pub(crate) struct StageState {
    pub(crate) config: ImageConfig,
    pub(crate) layers: Vec<Laid>,
    pub(crate) scope: StageScope,
    pub(crate) held: Vec<Arc<dyn Any + Send + Sync>>,
}

impl StageState {
    /// What names its files.
    pub(crate) fn chain(&self) -> String {
        chain(&self.layers)
    }

    fn run(&self) -> Option<&corten_spec::ContainerConfig> {
        self.config.config.as_ref()
    }

    /// The directory that relative paths are meant from.
    pub(crate) fn working_dir(&self) -> &str {
        self.run().and_then(|run| run.working_dir.as_deref()).unwrap_or("/")
    }

    /// The user of processes.
    pub(crate) fn user(&self) -> &str {
        self.run().and_then(|run| run.user.as_deref()).unwrap_or_default()
    }
}

/// The name of a stack of layers by their contents.
pub(crate) fn chain(layers: &[Laid]) -> String {
    let diff_ids: Vec<DiffId> = layers.iter().map(|laid| laid.layer.diff_id.clone()).collect();
    ChainId::of(&diff_ids).map(|chain| chain.0.to_string()).unwrap_or_default()
}

/// A stage while its instructions are carried out.
pub(crate) struct StageRun<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) ground: Ground<'a>,
    pub(crate) state: StageState,
    pub(crate) step: Step,
    pub(crate) place: StepPlace,
    has_cmd: bool,
}

/// Where a step stands among those of its build.
#[derive(Clone)]
pub(crate) struct StepPlace {
    /// The stage, and its number in the Dockerfile.
    pub(crate) stage: String,
    pub(crate) stage_number: usize,
    /// Which of its steps, from 1, and how many it has.
    pub(crate) number: usize,
    pub(crate) total: usize,
}

type Ended<T> = std::result::Result<T, BuildError>;

/// Builds a stage on the calling thread.
pub(crate) fn run_stage(session: &Session<'_>, number: usize) -> Ended<StageState> {
    let plan = session.plan;
    let Some(stage) = plan.file.stages.get(number) else { return Err(BuildError::Died) };
    let at = |error| wrong(stage.span, &stage.original, error);
    let ground = Ground::new(session, &format!("stage-{number}")).map_err(at)?;
    let (state, triggers) = begin(session, number).map_err(at)?;
    let mut commands = Vec::new();
    for expression in triggers {
        let told = |error: corten_dockerfile::DockerfileError| {
            at(StepError::Refused(format!("ONBUILD {expression}: {error}")))
        };
        commands
            .push(Trigger { expression: expression.clone() }.command(stage.span).map_err(told)?);
    }
    let is_context = stage.name.as_deref().is_some_and(|name| {
        let base = plan.links.get(number).map(|links| &links.base);
        matches!(base, Some(StageSource::Context(context)) if context == name)
    });
    if !is_context {
        commands.extend(stage.commands.iter().cloned());
    }
    let makes = |command: &&Command| makes_layer(&command.action);
    let (total, name) = (commands.iter().filter(makes).count() + 1, plan.name(number));
    let step = Step { span: stage.span, text: stage.original.clone(), label: String::new() };
    let place = StepPlace { stage: name, stage_number: number, number: 1, total };
    let mut run = StageRun { session, ground, state, step, place, has_cmd: false };
    run.note(None, StepEnd::Base, Some(run.state.chain()));
    for command in &commands {
        if session.is_over() {
            return Err(wrong(command.span, &command.original, StepError::Cancelled));
        }
        run.place.number += usize::from(makes_layer(&command.action));
        let text = command.original.trim().to_owned();
        let StepPlace { stage, number, .. } = &run.place;
        let label = format!("[{stage} {number}/{total}] {}", shortened(&text));
        run.step = Step { span: command.span, text, label };
        run.command(command).map_err(|error| wrong(command.span, &command.original, error))?;
    }
    Ok(run.state)
}

fn makes_layer(action: &Action) -> bool {
    matches!(action, Action::Run(_) | Action::Copy(_) | Action::Add(_) | Action::Workdir(_))
}

fn wrong(span: Span, original: &str, source: StepError) -> BuildError {
    BuildError::At { span, instruction: shortened(original), source: Box::new(source) }
}

pub(crate) fn shortened(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    // Shown to whoever looks on.
    let mut short: String = redacted(line).chars().take(120).collect();
    if line.chars().count() > 120 || line.len() < text.trim().len() {
        short.push('…');
    }
    short
}

/// What a stage begins with, and what its base has kept for it.
fn begin(session: &Session<'_>, number: usize) -> Result<(StageState, Vec<String>)> {
    let Some(links) = session.plan.links.get(number) else { return Err(StepError::Cancelled) };
    let platform = match &links.platform {
        None => session.request.platform.clone(),
        Some(text) => match text.parse::<Platform>() {
            Ok(platform) => platform,
            Err(error) => return refused(format!("--platform={text}: {error}")),
        },
    };
    let mut state = match &links.base {
        StageSource::Stage(stage) => session.stage(*stage)?,
        StageSource::Scratch => {
            let config = config::empty(platform.clone());
            let (scope, held) = (StageScope::default(), Vec::new());
            StageState { config, layers: Vec::new(), scope, held }
        }
        StageSource::Image(name) => of_image(session, name, &platform)?,
        StageSource::Context(name) => match session.request.contexts.get(name) {
            Some(NamedContext::Image(place)) => of_image(session, place, &platform)?,
            _ => return refused(format!("the context {name} is a directory, not an image")),
        },
    };
    let triggers = config::take_triggers(&mut state.config);
    if !matches!(links.base, StageSource::Stage(_)) {
        config::with_path(&mut state.config);
        state.scope = StageScope::new(config::environment(&state.config));
    }
    Ok((state, triggers))
}

fn of_image(session: &Session<'_>, name: &str, platform: &Platform) -> Result<StageState> {
    let base = session.image(name, platform)?;
    Ok(StageState {
        config: base.config,
        layers: base.layers.into_iter().map(Laid::known).collect(),
        scope: StageScope::default(),
        held: vec![base.held],
    })
}

impl StageRun<'_> {
    fn command(&mut self, command: &Command) -> Result<()> {
        let plan = self.session.plan;
        let escape = plan.file.escape();
        let command = command.substitute(escape, &self.state.scope)?.command;
        let times = self.session.request.times;
        match &command.action {
            Action::Copy(copy) => self.copy(&command, copy),
            Action::Add(add) => self.add(add),
            Action::Run(run) => self.run(&command, run),
            Action::Workdir(path) => self.workdir(path),
            _ => {
                self.state.scope.apply(&command, escape, &plan.global, &plan.inputs)?;
                let StageState { config, scope, .. } = &mut self.state;
                config::apply(config, &command, scope, &mut self.has_cmd, times)
            }
        }
    }

    pub(crate) fn tell(&self, event: BuildEvent<'_>) {
        self.session.builder.listener.hear(event);
    }

    /// A key of this step, over the files that are there.
    pub(crate) fn key(&self, kind: &str) -> KeyHasher {
        let request = self.session.request;
        let (times, compression) = (format!("{:?}", request.times), request.compression.as_str());
        KeyHasher::new(kind)
            .named("platform", self.state.config.platform.to_string())
            .named("times", times)
            .named("compression", compression)
            .named("what this user may do", format!("{:?}", self.session.builder.powers))
            .named(BELOW, self.state.chain())
    }

    /// Packs what was assembled.
    pub(crate) fn packed(
        &self,
        items: std::collections::BTreeMap<corten_layer::TreePath, Item>,
    ) -> Result<Laid> {
        let (layer, entries) = pack(items, self.session.how(), &self.session.pending)?;
        Ok(Laid { layer, made: Made::Entries(Arc::new(entries)) })
    }

    fn workdir(&mut self, path: &str) -> Result<()> {
        let path = absolute(Some(self.state.working_dir()), path);
        let path = if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path };
        let times = self.session.request.times;
        let row = if path == "/" { Row::Empty } else { Row::Layer };
        if row == Row::Layer {
            let user = self.state.user().to_owned();
            let key = self.key("workdir").named("path", &path).named("user", &user);
            let target = path.clone();
            self.layer(key, |run| {
                let layers = &run.state.layers;
                let owner = match user.as_str() {
                    "" => (0, 0),
                    user => owner_of(user, &run.ground, layers)?,
                };
                let view = run.ground.view(layers)?;
                let mut assembly = Assembly::new(&view);
                let found = resolve(&assembly, target.as_bytes(), LastLink::Follow)?;
                match found.entry {
                    Some(entry) if is_directory(&entry) => {}
                    Some(_) => return refused(format!("{target}: it is not a directory")),
                    None => {
                        let made = || {
                            let mut entry = Entry::new(EntryKind::Directory, "");
                            (entry.uid, entry.gid, entry.mtime) = (owner.0, owner.1, times.now());
                            entry
                        };
                        assembly.put(found.path, Item::plain(made()), &made)?;
                    }
                }
                let items = assembly.items;
                Ok((run.packed(items)?, Vec::new()))
            })?;
        }
        self.state.config.config.get_or_insert_default().working_dir = Some(path.clone());
        config::note(&mut self.state.config, format!("WORKDIR {path}"), row, times);
        Ok(())
    }

    /// What an instruction takes files from, in order.
    pub(crate) fn uses(&self, command: &Command) -> Result<Vec<StageSource>> {
        let names: Vec<&str> = self.session.request.contexts.keys().map(String::as_str).collect();
        let uses = command_uses(&self.session.plan.file, command, &names);
        let uses = uses.map_err(|error| StepError::Refused(error.to_string()))?;
        Ok(uses.into_iter().map(|used| used.source).collect())
    }

    /// The layers of a stage or an image; none for a directory.
    pub(crate) fn layers_of(&self, used: &StageSource) -> Result<Option<Vec<Laid>>> {
        let image = |name: &str| -> Result<Option<Vec<Laid>>> {
            let base = self.session.image(name, &self.session.request.platform)?;
            Ok(Some(base.layers.into_iter().map(Laid::known).collect()))
        };
        match used {
            StageSource::Stage(stage) => Ok(Some(self.session.stage(*stage)?.layers)),
            StageSource::Scratch => Ok(Some(Vec::new())),
            StageSource::Image(name) => image(name),
            StageSource::Context(name) => match self.session.request.contexts.get(name) {
                Some(NamedContext::Image(place)) => image(place),
                _ => Ok(None),
            },
        }
    }

    /// A tree to take from.
    pub(crate) fn source(&self, used: &StageSource) -> Result<Arc<Source>> {
        if let Some(layers) = self.layers_of(used)? {
            return Ok(self.ground.look(&layers)?.source);
        }
        let StageSource::Context(name) = used else { return Err(StepError::Cancelled) };
        match self.session.request.contexts.get(name) {
            Some(NamedContext::Directory(path)) => {
                let ignore = crate::context::read_ignore(path, None);
                let ignore = ignore.map_err(|error| StepError::Base {
                    name: name.clone(),
                    source: Box::new(error),
                })?;
                self.session.directory(path, &ignore, Owners::Root)
            }
            Some(NamedContext::Fetched(path)) => {
                let ignore = IgnoreFile::default();
                self.session.directory(path, &ignore, Owners::Keep)
            }
            _ => refused(format!("there is no context {name}")),
        }
    }
}
