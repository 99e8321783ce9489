//! `corten build begin`, `run`, `copy`, …: an image step by step.

mod edits;
mod lines;
mod verbs;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::build::secret;
use super::watching::{ProgressWord, watching};
use super::{Context, Exit, Failure};
use crate::Place;
use crate::failure::ContainerFailure;
use crate::ops::{
    self, BeginFrom, BeginRequest, CopyStep, FileStep, ImportSource, Layering, Note, Pull, RunStep,
    StepChoices, WorkWord,
};
use crate::output::{print, print_json};
use lines::{lines, told};
use verbs::{BeginArgs, CopyArgs, DependencyVerb, PackArgs, RunArgs};
pub(super) use verbs::{StepVerb, WorkArgs};

/// Most bytes of a script or of a config.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A line of a script.
#[derive(Parser)]
#[command(name = "corten build", no_binary_name = true, disable_help_subcommand = true)]
struct ScriptLine {
    #[command(subcommand)]
    verb: StepVerb,
}

/// Carries out a word.
pub(super) async fn step(
    context: &Context,
    verb: StepVerb,
    work: &WorkArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let word = WorkWord { name: work.work.clone(), path: work.work_path.clone() };
    let note = Note { word: told(&edits::typed(&verb)), is_told: !work.no_history };
    match verb {
        StepVerb::Begin(args) => begin(context, &word, args, note).await?,
        StepVerb::Run(args) => run(context, &word, args, note).await?,
        StepVerb::Copy(args) => copy(context, &word, (args, false), note).await?,
        StepVerb::CopyToDir(args) => copy(context, &word, (args, true), note).await?,
        StepVerb::Layer => ops::close_layer(context, &word, note).await?,
        StepVerb::Dependency(DependencyVerb::Add { image }) => {
            ops::add_layers(context, &word, Place::parse_bare(&image)?, note).await?;
        }
        StepVerb::Cat(args) => {
            let bytes = ops::draft_document(context, &word, args.file).await?;
            print(&edits::document(&bytes, args.pretty_print)?)?;
        }
        StepVerb::ReplaceConfig { file } => {
            let (text, shown) = read(&file)?;
            ops::replace_config(context, &word, text.as_bytes(), (&shown, note)).await?;
        }
        StepVerb::Script { file } => return script(context, &file, work, json).await,
        StepVerb::Write { tag, .. } => {
            let names = tag.iter().map(|tag| super::copy::store_name(tag));
            let names = names.collect::<Result<_, _>>()?;
            let report = ops::write_draft(context, &word, names).await?;
            if json {
                print_json(&report)?;
            } else {
                let names: String = report.names.iter().map(|name| format!("{name}\n")).collect();
                print(&format!("{names}{}\n", report.digest))?;
            }
        }
        StepVerb::End => {
            if !ops::end(context, &word).await? {
                return Err(Failure::Usage("nothing is begun here, so nothing ends".to_owned()));
            }
        }
        other => ops::change_config(context, &word, edits::edit(other)?, note).await?,
    }
    Ok(Exit::Done)
}

async fn begin(
    context: &Context,
    work: &WorkWord,
    args: BeginArgs,
    note: Note,
) -> Result<(), Failure> {
    let from = match args.start.as_deref() {
        None => BeginFrom::Nothing,
        Some("-") => BeginFrom::Tree(ImportSource::Stdin),
        Some(text) if text.starts_with(['.', '/']) => {
            BeginFrom::Tree(ImportSource::Path(PathBuf::from(text)))
        }
        Some(text) => BeginFrom::Image(Place::parse_bare(text)?),
    };
    let request = BeginRequest {
        from,
        layering: if args.layers { Layering::Each } else { Layering::Joined },
        pull: if args.pull { Pull::Always } else { Pull::Missing },
        compression: corten_layer::Compression::Gzip,
    };
    for line in ops::begin(context, work, request, note).await? {
        context.tell()(&format!("the image keeps ONBUILD {line}, which is not carried out here"));
    }
    Ok(())
}

fn choices(args: &PackArgs) -> StepChoices {
    StepChoices { no_cache: args.no_cache, compression: args.compression.into() }
}

async fn run(context: &Context, work: &WorkWord, args: RunArgs, note: Note) -> Result<(), Failure> {
    let choices = choices(&args.pack);
    let secrets = args.secret.iter().map(|text| secret(text)).collect::<Result<_, _>>()?;
    let step = RunStep {
        words: args.program.words,
        working_dir: args.working_dir,
        user: args.user,
        env: args.env,
        network: args.network,
        secrets,
    };
    change(context, work, FileStep::Run(step), (choices, note)).await
}

async fn copy(
    context: &Context,
    work: &WorkWord,
    (args, into_directory): (CopyArgs, bool),
    note: Note,
) -> Result<(), Failure> {
    let choices = choices(&args.pack);
    let mut sources = args.paths;
    let target = sources.pop().unwrap_or_default();
    let target = target.into_os_string().into_string();
    let target = target.map_err(|_| Failure::Usage("the target is not UTF-8".to_owned()))?;
    let step = CopyStep {
        sources,
        target,
        into_directory,
        from: args.from,
        chown: args.chown,
        chmod: args.chmod,
        exclude: args.exclude,
    };
    change(context, work, FileStep::Copy(step), (choices, note)).await
}

async fn change(
    context: &Context,
    work: &WorkWord,
    step: FileStep,
    how: (StepChoices, Note),
) -> Result<(), Failure> {
    let watching = watching(context, ProgressWord::Auto)?;
    ops::change_files(context, work, step, how, watching.listener()).await
}

fn read(path: &Path) -> Result<(String, String), Failure> {
    let is_stdin = path.as_os_str() == "-";
    let shown = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let failed = |source| Failure::Io { object: shown.clone(), action: "reading", source };
    let mut text = String::new();
    let taken = if is_stdin {
        std::io::stdin().lock().take(MAX_FILE + 1).read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(path).map_err(failed)?;
        opened.take(MAX_FILE + 1).read_to_string(&mut text)
    };
    if taken.map_err(failed)? as u64 > MAX_FILE {
        return Err(Failure::Usage(format!("{shown} is larger than {MAX_FILE} bytes")));
    }
    Ok((text, shown))
}

/// Every line is read before the first is carried out: a script with a word that is none changes nothing.
async fn script(
    context: &Context,
    path: &Path,
    work: &WorkArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let (text, file) = read(path)?;
    let at = |line, failure| {
        let failure = Box::new(failure);
        Failure::Container(ContainerFailure::Script { file: file.clone(), line, failure })
    };
    let open = |line| at(line, Failure::Usage("a quote is not closed".to_owned()));
    let mut verbs = Vec::new();
    for line in lines(&text).map_err(open)? {
        let parsed = ScriptLine::try_parse_from(&line.words).map_err(|error| {
            let text = error.to_string();
            let text = text.lines().next().unwrap_or_default();
            at(line.number, Failure::Usage(text.trim_start_matches("error: ").to_owned()))
        })?;
        if matches!(parsed.verb, StepVerb::Script { .. }) {
            let text = "a script in a script: put its lines here".to_owned();
            return Err(at(line.number, Failure::Usage(text)));
        }
        verbs.push((line.number, parsed.verb));
    }
    for (number, verb) in verbs {
        let done = Box::pin(step(context, verb, work, json)).await;
        done.map_err(|failure| at(number, failure))?;
    }
    Ok(Exit::Done)
}
