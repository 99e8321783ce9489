//! Words that change files: typed instructions of a Dockerfile, carried out by the builder on the draft.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_build::{
    Base, BuildError, BuildRequest, Built, ContextKind, Grants, NamedContext, Plan, SecretValue,
    StepNetwork,
};
use corten_dockerfile::{
    Action, BuildInputs, Command, CommandLine, Copy, Dockerfile, IgnoreFile, LineForm, Position,
    Run, RunNetwork, Security, Sources, Span,
};
use corten_layer::Compression;

use super::super::build::{self, BuildTold, SecretWord, StepWord};
use super::super::ready::Pull;
use super::draft::{WorkWord, hold};
use super::finish::closed;
use super::{Note, noted};
use crate::failure::ContainerFailure;
use crate::{Context, Failure};

/// The name of the draft among the contexts of a plan.
const DRAFT: &str = "corten-draft";

/// How words that change files are carried out.
#[derive(Clone, Debug)]
pub struct StepChoices {
    /// Whether the word is carried out, whatever is cached.
    pub no_cache: bool,
    /// How layers are packed.
    pub compression: Compression,
}

/// A process that changes files.
#[derive(Clone, Debug)]
pub struct RunStep {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Its directory, instead of the image's.
    pub working_dir: Option<String>,
    /// Its user, instead of the image's.
    pub user: Option<String>,
    /// Variables that it alone has.
    pub env: Vec<(String, String)>,
    /// Its network.
    pub network: StepWord,
    /// Secrets by id, each at `/run/secrets/ID`.
    pub secrets: BTreeMap<String, SecretWord>,
}

/// Files that are copied.
#[derive(Clone, Debug)]
pub struct CopyStep {
    /// What is copied: paths of this machine, or of `from`.
    pub sources: Vec<PathBuf>,
    /// Where it goes.
    pub target: String,
    /// Whether the target is a directory that takes each source by its name.
    pub into_directory: bool,
    /// An image to copy from.
    pub from: Option<String>,
    /// Owner: `user[:group]`.
    pub chown: Option<String>,
    /// Mode, octal or symbolic.
    pub chmod: Option<String>,
    /// What is left out.
    pub exclude: Vec<String>,
}

/// A word that changes files.
#[derive(Clone, Debug)]
pub enum FileStep {
    /// A process.
    Run(RunStep),
    /// A copy.
    Copy(CopyStep),
}

/// Carries out a word that changes files. The work is changed at the end, at once, or not at all.
pub async fn change_files(
    context: &Context,
    work: &WorkWord,
    step: FileStep,
    (choices, note): (StepChoices, Note),
    told: BuildTold,
) -> Result<(), Failure> {
    super::super::run::tell_of_one_id(context);
    let held = hold(context, work).await?;
    let mut draft = held.draft()?;
    let (actions, network, secrets, config) = match &step {
        FileStep::Run(run) => {
            let mut config = draft.config.clone();
            let own = config.config.get_or_insert_default();
            own.working_dir = run.working_dir.clone().or(own.working_dir.take());
            own.user = run.user.clone().or(own.user.take());
            for (name, value) in &run.env {
                own.env.retain(|entry| entry.split('=').next() != Some(name));
                own.env.push(format!("{name}={value}"));
            }
            let secrets = build::secrets(context, &run.secrets)?;
            (vec![run_action(run)?], run.network, secrets, config)
        }
        FileStep::Copy(copy) => {
            let actions = copy_actions(copy, &context.here())?;
            (actions, StepWord::None, BTreeMap::new(), draft.config.clone())
        }
    };
    let here = draft.stack();
    let base = Base { config, layers: here.clone(), digest: None, held: Arc::new(()) };
    let wanted = Wanted { base, actions, network: network.into(), secrets, choices };
    let built = carry_out(context, wanted, &note, told).await?;
    draft.open.extend(built.layers.into_iter().skip(here.len()));
    draft.joined = None;
    noted(context, &mut draft, &note, true)?;
    if draft.layering == super::Layering::Each {
        draft = closed(context, draft).await?;
    }
    held.keep(&draft)
}

struct Wanted {
    base: Base,
    actions: Vec<Action>,
    network: StepNetwork,
    secrets: BTreeMap<String, SecretValue>,
    choices: StepChoices,
}

async fn carry_out(
    context: &Context,
    wanted: Wanted,
    note: &Note,
    told: BuildTold,
) -> Result<Built, Failure> {
    let plan = plan(wanted.actions, &note.word).map_err(|error| failure(&note.word, error))?;
    let mut base = wanted.base;
    // What a base keeps for those who build on it is not for a word.
    if let Some(own) = base.config.config.as_mut() {
        own.extra.remove("OnBuild");
    }
    let request = BuildRequest {
        platform: base.config.platform.clone(),
        kind: ContextKind::default(),
        context: PathBuf::from("/"),
        ignore: IgnoreFile::default(),
        contexts: BTreeMap::from([(DRAFT.to_owned(), NamedContext::Image(DRAFT.to_owned()))]),
        secrets: wanted.secrets,
        labels: BTreeMap::new(),
        network: wanted.network,
        no_cache: wanted.choices.no_cache,
        times: build::times_of_environment(context)?,
        compression: wanted.choices.compression,
        imports: None,
        title: None,
        grants: Grants::default(),
    };
    let own = BTreeMap::from([(DRAFT.to_owned(), base)]);
    let built = build::carry_out(context, plan, request, (Pull::Missing, own), told).await?;
    built.map_err(|error| failure(&note.word, error))
}

fn plan(actions: Vec<Action>, word: &str) -> Result<Plan, BuildError> {
    let text = format!("FROM {DRAFT}\n");
    let mut file = Dockerfile::parse(text.as_bytes()).map_err(BuildError::Dockerfile)?;
    let start = Position { line: 1, column: 1 };
    let command = |action: Action| Command {
        keyword: action.keyword().name().to_owned(),
        action,
        original: word.to_owned(),
        comments: Vec::new(),
        span: Span::new(start, start),
    };
    if let Some(stage) = file.stages.first_mut() {
        stage.commands = actions.into_iter().map(command).collect();
    }
    Plan::new(file, BuildInputs::default(), None, &[DRAFT])
}

/// There is no line to point at: the word is what failed.
fn failure(word: &str, error: BuildError) -> Failure {
    let mut shown = String::new();
    if let Some((_, output)) = error.process()
        && !output.is_empty()
    {
        shown.push_str("the last lines that it wrote:\n");
        output.iter().for_each(|line| shown.push_str(&format!("  {line}\n")));
    }
    let source = match error {
        BuildError::At { source, .. } => source,
        other => Box::new(other) as Box<dyn std::error::Error + Send + Sync>,
    };
    Failure::Container(ContainerFailure::Step { word: word.to_owned(), source, shown })
}

fn run_action(run: &RunStep) -> Result<Action, Failure> {
    if run.words.first().is_none_or(String::is_empty) {
        return Err(Failure::Usage("run: say what, behind --".to_owned()));
    }
    let mut mounts = Vec::new();
    for id in run.secrets.keys() {
        mounts.push(secret_mount(id)?);
    }
    Ok(Action::Run(Run {
        line: CommandLine { words: run.words.clone(), form: LineForm::Exec },
        files: Vec::new(),
        mounts,
        network: RunNetwork::Default,
        security: Security::Sandbox,
        devices: Vec::new(),
    }))
}

/// A mount as `RUN --mount` has it.
fn secret_mount(id: &str) -> Result<corten_dockerfile::MountFlag, Failure> {
    let wrong =
        || Failure::Usage(format!("--secret id={id}: an id is letters, digits, '.', '-', '_'"));
    let is_good = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if id.is_empty() || !id.chars().all(is_good) {
        return Err(wrong());
    }
    let text = format!("FROM x\nRUN --mount=type=secret,id={id},required=true true\n");
    let file = Dockerfile::parse(text.as_bytes()).map_err(|_| wrong())?;
    let mut commands = file.stages.into_iter().flat_map(|stage| stage.commands);
    match commands.next().map(|command| command.action) {
        Some(Action::Run(run)) => run.mounts.into_iter().next().ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

/// One COPY for all, or one for each source that becomes a directory of its own name.
fn copy_actions(copy: &CopyStep, here: &Path) -> Result<Vec<Action>, Failure> {
    if copy.sources.is_empty() || copy.target.is_empty() {
        return Err(Failure::Usage("copy: say what, and where it goes".to_owned()));
    }
    let action = |paths: Vec<String>, destination: String| {
        Action::Copy(Copy {
            sources: Sources { paths, files: Vec::new(), destination: literal(&destination) },
            from: copy.from.clone(),
            chown: copy.chown.as_deref().map(literal),
            chmod: copy.chmod.as_deref().map(literal),
            link: false,
            parents: false,
            exclude: copy.exclude.clone(),
        })
    };
    let paths = copy.sources.iter().map(|path| source_path(path, here, copy.from.is_some()));
    let paths: Vec<(String, bool)> = paths.collect::<Result<_, _>>()?;
    let directory = format!("{}/", copy.target.trim_end_matches('/'));
    if !copy.into_directory {
        let target = if paths.len() > 1 { directory } else { copy.target.clone() };
        return Ok(vec![action(paths.into_iter().map(|(path, _)| path).collect(), target)]);
    }
    let mut actions = Vec::new();
    for ((path, is_directory), source) in paths.into_iter().zip(&copy.sources) {
        let unnamed = || {
            let text = format!("{}: a path without a name", source.display());
            Failure::Usage(text)
        };
        let target = match is_directory {
            true => {
                let named = match copy.from {
                    Some(_) => source.clone(),
                    None => absolute(&here.join(source)),
                };
                let name = named.file_name().and_then(|name| name.to_str()).ok_or_else(unnamed)?;
                format!("{directory}{name}")
            }
            false => directory.clone(),
        };
        actions.push(action(vec![path], target));
    }
    Ok(actions)
}

/// `a/.` is the directory `a` under its own name.
fn absolute(path: &Path) -> PathBuf {
    path.components().collect()
}

/// A source as COPY has it, and whether it is a directory.
fn source_path(path: &Path, here: &Path, is_foreign: bool) -> Result<(String, bool), Failure> {
    let whole = if is_foreign { Path::new("/").join(path) } else { here.join(path) };
    let text = std::str::from_utf8(whole.as_os_str().as_bytes());
    let text = text.map_err(|_| Failure::Usage(format!("{}: not UTF-8", path.display())))?;
    let is_directory = match is_foreign {
        true => path.as_os_str().as_bytes().ends_with(b"/"),
        false => {
            let unread = |source| Failure::Io {
                object: path.display().to_string(),
                action: "reading",
                source,
            };
            std::fs::metadata(&whole).map_err(unread)?.is_dir()
        }
    };
    // A name is a name here: whoever types patterns has a shell for them.
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        if "*?[\\".contains(c) {
            name.push('\\');
        }
        name.push(c);
    }
    Ok((literal(&name), is_directory))
}

/// A text that substitution gives back as it is.
pub(in crate::ops) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\$\"'".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use corten_dockerfile::Expander;

    use super::*;

    #[test]
    fn a_literal_survives_substitution() {
        for text in ["a", "$HOME", "${x:-y}", "a\\b", "\"q\"", "it's", "a b", "\\$"] {
            let none: [(&str, &str); 0] = [];
            let expanded = Expander::new('\\').word(&literal(text), &none.to_vec()).unwrap();
            assert_eq!(expanded.text, text);
        }
    }

    #[test]
    fn a_draft_is_no_parameter() {
        let plan = plan(Vec::new(), "word").unwrap();
        assert_eq!(plan.stages, [0]);
    }
}
