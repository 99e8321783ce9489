//! The phases of a project as instructions of a Dockerfile, typed.

use std::collections::BTreeMap;

use corten_dockerfile::{
    Action, Command, CommandLine, Copy, Dockerfile, InlineFile, KeyValue, LineForm, MountFlag,
    PairForm, Position, Run, RunFile, RunNetwork, Security, Sources, Span, Trigger,
};
use corten_project::{ProjectConfig, START_FILE, TemplateRule};

use super::super::steps::literal;
use super::read::ReadProject;
use crate::Failure;

/// The directory `files/` among the contexts of the plan.
pub(super) const FILES_CONTEXT: &str = "corten-files";
/// The stage of the builder.
const BUILDER: &str = "corten-builder";
/// Where the builder sees the project.
const PROJECT: &str = "/project";
/// The program of the phase `prestart`.
const PRESTART: &str = "/etc/corten/prestart";

/// The stages of a project.
pub(super) fn dockerfile(project: &ReadProject) -> Result<Dockerfile, Failure> {
    let file = &project.file;
    let from = base(file.from.as_deref().unwrap_or("scratch"))?;
    let text = match &file.builder {
        Some(builder) => format!("FROM {} AS {BUILDER}\nFROM {from}\n", base(&builder.from)?),
        None => format!("FROM {from}\n"),
    };
    let wrong = |error| Failure::Usage(format!("{}: {error}", project.shown));
    let mut made = Dockerfile::parse(text.as_bytes()).map_err(wrong)?;
    let mut stages = made.stages.iter_mut();
    if let Some(builder) = &file.builder
        && let Some(stage) = stages.next()
    {
        let mounts = mounts(&format!("type=bind,target={PROJECT}"))?;
        let lines = builder.run.iter();
        stage.commands = lines
            .map(|line| command("builder", line, Action::Run(shell(line, mounts.clone()))))
            .collect();
    }
    if let Some(stage) = stages.next() {
        stage.commands = image(project)?;
    }
    Ok(made)
}

/// The name of an image has nothing in it that a line could end or part.
fn base(name: &str) -> Result<&str, Failure> {
    if name != "scratch" {
        corten_spec::Reference::parse(name)?;
    }
    Ok(name)
}

fn command(phase: &str, told: &str, action: Action) -> Command {
    let start = Position { line: 1, column: 1 };
    Command {
        keyword: action.keyword().name().to_owned(),
        action,
        original: format!("{phase}: {told}"),
        comments: Vec::new(),
        span: Span::new(start, start),
    }
}

/// A text for the shell.
pub(super) fn shell(text: &str, mounts: Vec<MountFlag>) -> Run {
    run(CommandLine { words: vec![text.to_owned()], form: LineForm::Shell }, Vec::new(), mounts)
}

/// What runs.
pub(super) fn run(line: CommandLine, files: Vec<RunFile>, mounts: Vec<MountFlag>) -> Run {
    Run {
        line,
        files,
        mounts,
        network: RunNetwork::Default,
        security: Security::Sandbox,
        devices: Vec::new(),
    }
}

/// A mount as `RUN --mount` has it; the words are ours.
pub(super) fn mounts(text: &str) -> Result<Vec<MountFlag>, Failure> {
    let text = format!("FROM scratch\nRUN --mount={text} true\n");
    let file = Dockerfile::parse(text.as_bytes())
        .map_err(|error| Failure::Usage(format!("a mount: {error}")))?;
    let commands = file.stages.into_iter().flat_map(|stage| stage.commands);
    let mounts = commands.filter_map(|command| match command.action {
        Action::Run(run) => Some(run.mounts),
        _ => None,
    });
    Ok(mounts.flatten().collect())
}

fn image(project: &ReadProject) -> Result<Vec<Command>, Failure> {
    let file = &project.file;
    let lines = |phase: &'static str, lines: &[String]| {
        let one = move |line: &String| command(phase, line, Action::Run(shell(line, Vec::new())));
        lines.iter().map(one).collect::<Vec<_>>()
    };
    let mut commands = lines("build", &file.build.run);
    for taken in file.builder.iter().flat_map(|builder| &builder.take) {
        let rule = TemplateRule {
            owner: taken.owner.clone(),
            mode: taken.mode.clone(),
            ..TemplateRule::default()
        };
        let copy = copy(&rule, Some(BUILDER), sources(vec![literal(&taken.from)], &taken.to));
        commands.push(command("builder.take", &taken.from, copy));
    }
    if project.has_files {
        let sources = sources(vec![".".to_owned()], "/");
        commands.push(command("files", "/", copy(&file.files, Some(FILES_CONTEXT), sources)));
    }
    commands.extend(templates(project));
    if let Some(text) = &project.start {
        let files = vec![(START_FILE, text.clone())];
        commands.push(command("templates", START_FILE, inline(&TemplateRule::default(), files)));
    }
    if !file.prestart.run.is_empty() {
        let text = format!("#!/bin/sh\nset -e\n{}\nexec \"$@\"\n", file.prestart.run.join("\n"));
        let rule = TemplateRule { mode: Some("0755".to_owned()), ..TemplateRule::default() };
        commands.push(command("prestart", PRESTART, inline(&rule, vec![(PRESTART, text)])));
    }
    commands.extend(lines("build-late", &file.build_late.run));
    commands.extend(config(&file.config, !file.prestart.run.is_empty()));
    for expression in &file.inherit {
        let trigger = Trigger { expression: expression.clone() };
        let start = Position { line: 1, column: 1 };
        trigger.command(Span::new(start, start)).map_err(|error| {
            Failure::Usage(format!("{}: inherit: {expression}: {error}", project.shown))
        })?;
        commands.push(command("inherit", expression, Action::Onbuild(trigger)));
    }
    Ok(commands)
}

/// Those of one directory, owner and mode are one layer.
fn templates(project: &ReadProject) -> Vec<Command> {
    let mut groups: BTreeMap<(&str, TemplateRule), Vec<(&str, String)>> = BTreeMap::new();
    for (path, text) in &project.rendered {
        let rule = project.file.templates.get(path).cloned().unwrap_or_default();
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        groups.entry((directory, rule)).or_default().push((path, text.clone()));
    }
    let group = |((directory, rule), files): ((&str, TemplateRule), Vec<_>)| {
        command("templates", &format!("{directory}/"), inline(&rule, files))
    };
    groups.into_iter().map(group).collect()
}

/// Texts of one directory, by their paths.
fn inline(rule: &TemplateRule, files: Vec<(&str, String)>) -> Action {
    let directory = files.first().and_then(|(path, _)| path.rsplit_once('/'));
    let directory = directory.map_or("", |(directory, _)| directory);
    let mut sources = sources(Vec::new(), &format!("{directory}/"));
    sources.files = files
        .into_iter()
        .map(|(path, data)| InlineFile {
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            data,
            expand: false,
        })
        .collect();
    copy(rule, None, sources)
}

fn sources(paths: Vec<String>, destination: &str) -> Sources {
    Sources { paths, files: Vec::new(), destination: literal(destination) }
}

fn copy(rule: &TemplateRule, from: Option<&str>, sources: Sources) -> Action {
    Action::Copy(Copy {
        sources,
        from: from.map(str::to_owned),
        chown: rule.owner.as_deref().map(literal),
        chmod: rule.mode.as_deref().map(literal),
        link: false,
        parents: false,
        exclude: Vec::new(),
    })
}

fn config(config: &ProjectConfig, has_prestart: bool) -> Vec<Command> {
    let pairs = |pairs: &BTreeMap<String, String>| {
        let pair = |(key, value): (&String, &String)| KeyValue {
            key: literal(key),
            value: literal(value),
            form: PairForm::Equals,
        };
        pairs.iter().map(pair).collect::<Vec<_>>()
    };
    let exec = |words: &[String]| CommandLine { words: words.to_vec(), form: LineForm::Exec };
    let mut actions = Vec::new();
    if !config.env.is_empty() {
        actions.push(("env", Action::Env(pairs(&config.env))));
    }
    if !config.labels.is_empty() {
        actions.push(("labels", Action::Label(pairs(&config.labels))));
    }
    let list = |texts: &[String]| texts.iter().map(|text| literal(text)).collect::<Vec<_>>();
    if !config.expose.is_empty() {
        actions.push(("expose", Action::Expose(list(&config.expose))));
    }
    if !config.volumes.is_empty() {
        actions.push(("volumes", Action::Volume(list(&config.volumes))));
    }
    if let Some(directory) = &config.working_dir {
        actions.push(("working-dir", Action::Workdir(literal(directory))));
    }
    if let Some(user) = &config.user {
        actions.push(("user", Action::User(literal(user))));
    }
    if let Some(signal) = &config.stop_signal {
        actions.push(("stop-signal", Action::Stopsignal(literal(signal))));
    }
    if let Some(words) = &config.entrypoint {
        let first = has_prestart.then(|| PRESTART.to_owned());
        let words: Vec<String> = first.into_iter().chain(words.iter().cloned()).collect();
        actions.push(("entrypoint", Action::Entrypoint(exec(&words))));
    }
    if let Some(words) = &config.cmd {
        actions.push(("cmd", Action::Cmd(exec(words))));
    }
    let one = |(name, action): (&str, Action)| command("config", name, action);
    actions.into_iter().map(one).collect()
}
