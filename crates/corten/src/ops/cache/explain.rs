//! Why a step of the last build was carried out.

use corten_build::{
    ExplainedStep, InputChangeKind, PastBuild, StepEnd, StepReason, explain_step, kept_builds,
    named_steps,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::build::BUILD;
use super::super::layers::on_thread;
use super::wrong;
use crate::{Context, Failure};

/// Most steps that an error lists.
const MAX_LISTED: usize = 30;

/// Why a step was carried out, or was not.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExplainCacheReport {
    /// The Dockerfile of its build.
    pub file: String,
    /// Names of the image of its build.
    pub names: Vec<String>,
    /// Seconds since the build.
    pub age_seconds: Option<u64>,
    /// Which step: its stage and number, as the build told it.
    pub step: String,
    /// The line of the Dockerfile.
    pub line: usize,
    /// The instruction.
    pub text: String,
    /// Its key.
    pub key: Option<String>,
    /// Whether it was carried out.
    pub ran: bool,
    /// Why: found, base, no-cache, new, collected, changed or forgotten.
    pub reason: String,
    /// The same as a sentence.
    pub why: String,
    /// What changed.
    pub changes: Vec<ExplainedChange>,
}

/// Something that changed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExplainedChange {
    /// What.
    pub name: String,
    /// How: added, removed or changed.
    pub how: String,
    /// What it was, where that is known and no secret.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// Explains the step that `word` names in the last build, or in the last one of the Dockerfile or name `of`.
pub async fn explain_cache(
    context: &Context,
    word: &str,
    of: Option<&str>,
) -> Result<ExplainCacheReport, Failure> {
    let place = context.store()?.path().join(BUILD);
    let (word, of) = (word.to_owned(), of.map(str::to_owned));
    let now = context.now();
    on_thread("the builds", move || {
        let builds = kept_builds(&place).map_err(wrong(&place))?;
        let build = match &of {
            None => builds.first(),
            Some(of) => builds.iter().find(|build| is_of(build, of)),
        };
        let Some(build) = build else {
            let what = of.map_or_else(String::new, |of| format!(" of {of}"));
            return Err(Failure::Usage(format!("no build{what} is remembered")));
        };
        let steps = named_steps(build, &word);
        let step = match steps.as_slice() {
            [step] => step,
            [] => return Err(unnamed(build, &format!("no step of that build is '{word}'"))),
            _ => return Err(unnamed(build, &format!("'{word}' may be more than one step"))),
        };
        let explained = explain_step(&place, build, step).map_err(wrong(&place))?;
        let age = now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
        let age = u64::try_from(age.as_millis()).unwrap_or_default().checked_sub(build.began);
        Ok(report(explained, age.map(|millis| millis / 1000)))
    })
    .await
}

fn is_of(build: &PastBuild, of: &str) -> bool {
    let path = std::fs::canonicalize(of).ok();
    let path = path.map(|path| if path.is_dir() { path.join("Dockerfile") } else { path });
    let is_name = |name: &String| {
        let reference = corten_spec::Reference::parse(of).ok();
        let parsed = reference.and_then(|reference| crate::place::ref_name(&reference).ok());
        name == of || parsed.is_some_and(|parsed| parsed.to_string() == *name)
    };
    build.file == of
        || path.is_some_and(|path| path.display().to_string() == build.file)
        || build.names.iter().any(is_name)
}

fn unnamed(build: &PastBuild, why: &str) -> Failure {
    let steps = build.steps.iter().filter(|step| step.end != StepEnd::Base).take(MAX_LISTED);
    let steps: Vec<String> = steps
        .map(|step| format!("'{} {}/{}' {}", step.stage, step.number, step.total, step.text))
        .collect();
    Failure::Usage(format!("{why}; it has {}", steps.join(", ")))
}

fn report(explained: ExplainedStep, age_seconds: Option<u64>) -> ExplainCacheReport {
    let ExplainedStep { build, step, reason, .. } = explained;
    let (word, why) = match &reason {
        StepReason::Found if step.end == StepEnd::Imported => {
            ("found", "its layer was in a cache elsewhere")
        }
        StepReason::Found => ("found", "its layer was in the cache"),
        StepReason::Base => ("base", "it is what the stage begins with"),
        StepReason::NoCache => ("no-cache", "the build was told to carry out every step"),
        StepReason::New => ("new", "it was never built before"),
        StepReason::Collected => ("collected", "its layer was collected since it was made"),
        StepReason::Changed(changes) if changes.is_empty() => {
            ("changed", "something changed that is not told of")
        }
        StepReason::Changed(_) => ("changed", "something that it depends on changed"),
        _ => ("forgotten", "what it was made of is not known any more"),
    };
    let changes = match reason {
        StepReason::Changed(changes) => changes,
        _ => Vec::new(),
    };
    let changes = changes.into_iter().map(|change| ExplainedChange {
        name: change.name,
        how: match change.kind {
            InputChangeKind::Added => "added",
            InputChangeKind::Removed => "removed",
            InputChangeKind::Other => "changed",
        }
        .to_owned(),
        before: change.before,
        after: change.after,
    });
    ExplainCacheReport {
        file: build.file,
        names: build.names,
        age_seconds,
        step: format!("{} {}/{}", step.stage, step.number, step.total),
        line: step.line,
        text: step.text,
        key: step.key,
        ran: matches!(step.end, StepEnd::Ran | StepEnd::Failed),
        reason: word.to_owned(),
        why: why.to_owned(),
        changes: changes.collect(),
    }
}
