//! The tests of a project: processes in what was built, or beside it, whose files are thrown away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use corten_build::{Base, BuildEvent, BuildListener, NamedContext, Plan};
use corten_dockerfile::{
    Action, BuildInputs, Command, CommandLine, Dockerfile, LineForm, Position, RunFile, Span,
};
use corten_project::ProjectTest;

use super::super::build::{self, BuildTold};
use super::plan::{mounts, run as run_of};
use super::read::{ReadProject, TESTS};
use super::{ProjectWanted, failure, request};
use crate::failure::ContainerFailure;
use crate::{Context, Failure};

/// What was built, among the contexts of a test.
const IMAGE: &str = "corten-image";
/// Where a tester sees it.
const AT: &str = "/image";
/// Most bytes of output that are held against what is expected.
const MAX_OUTPUT: usize = 1024 * 1024;

/// One test.
pub(super) struct Trial {
    name: String,
    line: CommandLine,
    files: Vec<RunFile>,
    exit: i32,
    output: Option<String>,
    contains: Option<String>,
}

/// The tests of a project: its scripts in the order of their names, then those of its file.
pub(super) fn trials(project: &ReadProject) -> Result<Vec<Trial>, Failure> {
    let script = |(name, text): &(String, String)| {
        // A script that says no program of its own ends with its first failure.
        let data = match text.starts_with("#!") {
            true => text.clone(),
            false => format!("set -e\n{text}"),
        };
        let data = if data.ends_with('\n') { data } else { format!("{data}\n") };
        Trial {
            name: name.clone(),
            line: CommandLine { words: vec!["<<test".to_owned()], form: LineForm::Shell },
            files: vec![RunFile { name: "test".to_owned(), data, strip_tabs: false }],
            exit: 0,
            output: None,
            contains: None,
        }
    };
    let listed = |test: &ProjectTest| Trial {
        name: test.name.clone(),
        line: CommandLine { words: test.run.clone(), form: LineForm::Exec },
        files: Vec::new(),
        exit: test.exit,
        output: test.output.clone(),
        contains: test.contains.clone(),
    };
    let scripts = project.tests.iter().map(script);
    let all: Vec<Trial> = scripts.chain(project.file.tests.iter().map(listed)).collect();
    let mut names: Vec<&str> = all.iter().map(|trial| trial.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair.first() == pair.last()) {
        let name = twice.first().copied().unwrap_or_default();
        return Err(Failure::Usage(format!("{}: two tests are called {name}", project.shown)));
    }
    Ok(all)
}

/// Runs every test; the names of those that passed, which are all, or an error that names the others.
pub(super) async fn run(
    context: &Context,
    wanted: &ProjectWanted,
    project: &ReadProject,
    (trials, image): (Vec<Trial>, Base),
    told: BuildTold,
) -> Result<Vec<String>, Failure> {
    let (mut passed, mut failed, mut shown) = (Vec::new(), Vec::new(), String::new());
    for trial in trials {
        match one(context, wanted, project, (&trial, image.clone()), told.clone()).await? {
            None => passed.push(trial.name),
            Some(why) => {
                shown.push_str(&format!("{}: {why}\n", trial.name));
                failed.push(trial.name);
            }
        }
    }
    if failed.is_empty() {
        return Ok(passed);
    }
    let all = failed.len() + passed.len();
    let word = format!("{} of {all} tests failed: {}", failed.len(), failed.join(", "));
    let source = "the image got no name".into();
    Err(Failure::Container(ContainerFailure::Step { word, source, shown }))
}

/// Why a test failed, if it did.
async fn one(
    context: &Context,
    wanted: &ProjectWanted,
    project: &ReadProject,
    (trial, image): (&Trial, Base),
    told: BuildTold,
) -> Result<Option<String>, Failure> {
    let from = project.file.tester.as_deref().unwrap_or(IMAGE);
    if from != IMAGE {
        corten_spec::Reference::parse(from)?;
    }
    let text = format!("FROM {from}\n");
    let wrong = |error| Failure::Usage(format!("{}: {error}", project.shown));
    let mut file = Dockerfile::parse(text.as_bytes()).map_err(wrong)?;
    let mut seen = Vec::new();
    if from != IMAGE {
        seen.extend(mounts(&format!("type=bind,from={IMAGE},target={AT}"))?);
    }
    if !project.tests.is_empty() {
        seen.extend(mounts(&format!("type=bind,source={TESTS},target=/{TESTS}"))?);
    }
    let start = Position { line: 1, column: 1 };
    if let Some(stage) = file.stages.first_mut() {
        stage.commands = vec![Command {
            action: Action::Run(run_of(trial.line.clone(), trial.files.clone(), seen)),
            keyword: "RUN".to_owned(),
            original: format!("test: {}", trial.name),
            comments: Vec::new(),
            span: Span::new(start, start),
        }];
    }
    let fails = |error| failure(&project.shown, error);
    let plan = Plan::new(file, BuildInputs::default(), None, &[IMAGE]).map_err(fails)?;
    let contexts = BTreeMap::from([(IMAGE.to_owned(), NamedContext::Image(IMAGE.to_owned()))]);
    let request = request(context, wanted, (&project.root, contexts), true)?;
    let own = BTreeMap::from([(IMAGE.to_owned(), image)]);
    let heard = Arc::new(Heard { told, lines: Mutex::default() });
    let images = (wanted.build.pull, own);
    let built = build::carry_out(context, plan, request, images, heard.clone()).await?;
    let code = match built {
        Ok(_) => 0,
        Err(error) => match error.process() {
            Some((code, _)) => code,
            None => return Err(fails(error)),
        },
    };
    let output = heard.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(verdict(trial, code, &output))
}

fn verdict(trial: &Trial, code: i32, output: &str) -> Option<String> {
    let last: Vec<&str> = output.lines().rev().take(20).collect();
    let wrote: String = last.iter().rev().map(|line| format!("\n  {line}")).collect();
    if code != trial.exit {
        return Some(format!("exit code {code}, not {}{wrote}", trial.exit));
    }
    if let Some(expected) = &trial.output
        && expected.trim_end_matches('\n') != output.trim_end_matches('\n')
    {
        return Some(format!("it did not write what it must, {expected:?}, but:{wrote}"));
    }
    if let Some(part) = &trial.contains
        && !output.contains(part)
    {
        return Some(format!("what it wrote does not hold {part:?}:{wrote}"));
    }
    None
}

/// Hears what a test writes, and passes it on.
struct Heard {
    told: BuildTold,
    lines: Mutex<String>,
}

impl BuildListener for Heard {
    fn hear(&self, event: BuildEvent<'_>) {
        if let BuildEvent::Output { line, .. } = event {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() + line.len() < MAX_OUTPUT {
                lines.push_str(line);
                lines.push('\n');
            }
        }
        self.told.hear(event);
    }
}
