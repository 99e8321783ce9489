//! Why a step of a build was carried out: its key is held, input by input, against that of the most recent other
//! result of the same instruction.

use std::collections::BTreeMap;
use std::path::Path;

use crate::builds::{PastBuild, PastStep, StepEnd, kept_builds};
use crate::cache::{StepOrigin, origins, step_origin};
use crate::key::KeyInput;

/// Most changes that are told.
const MAX_CHANGES: usize = 200;
/// The input that stands for the layers below a step.
pub(crate) const BELOW: &str = "the layers below";

/// Why a step was carried out, or was not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepReason {
    /// It was not: its layer was there.
    Found,
    /// It has no layer of its own.
    Base,
    /// The build asked for it.
    NoCache,
    /// Its instruction was never carried out before.
    New,
    /// It was in the cache under the same key once, and its layer was taken away since.
    Collected,
    /// These inputs are others.
    Changed(Vec<InputChange>),
    /// What its key was made of is not known any more.
    Forgotten,
}

/// An input that is another one than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputChange {
    /// Which.
    pub name: String,
    /// What it was, where that is known and no secret.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
    /// In what way it changed.
    pub kind: InputChangeKind,
}

/// In what way an input changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputChangeKind {
    /// It is there now, and was not.
    Added,
    /// It was there, and is not.
    Removed,
    /// It is another.
    Other,
}

/// A step, and why it was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedStep {
    /// The build that it is of.
    pub build: PastBuild,
    /// Which it is.
    pub step: PastStep,
    /// Why.
    pub reason: StepReason,
    /// When the result that it was held against was made, in seconds after 1970.
    pub against: Option<u64>,
}

/// The steps of a build that a word names: a number of the last stage, `STAGE NUMBER[/TOTAL]`, the beginning of a key
/// or of an instruction. All that it can mean, in their order.
pub fn named_steps<'a>(build: &'a PastBuild, word: &str) -> Vec<&'a PastStep> {
    let word = word.trim().trim_start_matches('[').trim_end_matches(']');
    let numbered = |text: &str| text.split('/').next().unwrap_or_default().parse::<usize>().ok();
    let (stage, number) = match word.rsplit_once(' ') {
        Some((stage, number)) => (stage, numbered(number)),
        None => (build.target.as_str(), numbered(word)),
    };
    if let Some(number) = number {
        let is_it = |step: &&PastStep| step.stage == stage && step.number == number;
        let found: Vec<_> = build.steps.iter().filter(is_it).collect();
        if !found.is_empty() {
            return found;
        }
    }
    let is_key = word.len() >= 6 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lower = word.to_lowercase();
    let is_it = |step: &&PastStep| {
        let key = step.key.as_deref().unwrap_or_default();
        (is_key && key.starts_with(&lower)) || step.text.to_lowercase().starts_with(&lower)
    };
    build.steps.iter().filter(is_it).collect()
}

/// Explains a step of a build. `place` is that of the builder.
///
/// # Errors
/// Where what is remembered cannot be read.
pub fn explain_step(
    place: &Path,
    build: &PastBuild,
    step: &PastStep,
) -> std::io::Result<ExplainedStep> {
    let told = |reason, against| ExplainedStep {
        build: build.clone(),
        step: step.clone(),
        reason,
        against,
    };
    let key = match (&step.key, step.end) {
        (_, StepEnd::Base) => return Ok(told(StepReason::Base, None)),
        (_, StepEnd::Cached | StepEnd::Imported) => return Ok(told(StepReason::Found, None)),
        (Some(key), _) => key,
        (None, _) => return Ok(told(StepReason::Forgotten, None)),
    };
    if build.no_cache {
        return Ok(told(StepReason::NoCache, None));
    }
    let mut others: Vec<PastBuild> = kept_builds(place)?;
    others.retain(|other| other.began < build.began);
    let had = |other: &PastStep| other.key.as_ref() == Some(key) && other.end != StepEnd::Failed;
    if others.iter().any(|other| other.steps.iter().any(had)) {
        return Ok(told(StepReason::Collected, None));
    }
    let Some((before, other)) = earlier(place, build, step, &others)? else {
        return Ok(told(StepReason::New, None));
    };
    let Some(now) = step_origin(place, key) else {
        return Ok(told(StepReason::Forgotten, None));
    };
    let mut changes = changes(&before.inputs, &now.inputs);
    if before.text != now.text {
        let kind = InputChangeKind::Other;
        let (old, new) = (Some(before.text.clone()), Some(now.text.clone()));
        let name = "the instruction".to_owned();
        changes.insert(0, InputChange { name, before: old, after: new, kind });
    }
    for change in changes.iter_mut().filter(|change| change.name == BELOW) {
        (change.before, change.after) = (None, below(build, step, other));
    }
    Ok(told(StepReason::Changed(changes), Some(before.made)))
}

/// Whether a step of another build is the same instruction.
type Likeness<'a> = &'a dyn Fn(&PastStep) -> bool;

/// The most recent other result of the same instruction: of the same text in a stage of the same name, else of the
/// same place in a build of the same Dockerfile.
fn earlier<'a>(
    place: &Path,
    build: &PastBuild,
    step: &PastStep,
    others: &'a [PastBuild],
) -> std::io::Result<Option<(StepOrigin, Option<&'a PastBuild>)>> {
    let is_same = |other: &PastStep| other.stage == step.stage && other.text == step.text;
    let word = |text: &str| text.split_whitespace().next().unwrap_or_default().to_lowercase();
    let is_there = |other: &PastStep| {
        (other.stage_number, other.number) == (step.stage_number, step.number)
            && word(&other.text) == word(&step.text)
    };
    let of_file = |other: &&PastBuild| other.file == build.file && other.platform == build.platform;
    let looks: [(bool, Likeness<'_>); 3] = [(true, &is_same), (true, &is_there), (false, &is_same)];
    for (only_of_file, is_it) in looks {
        for other in others.iter().filter(|other| !only_of_file || of_file(other)) {
            let keyed = other.steps.iter().filter(|step| is_it(step));
            let known = keyed.filter_map(|step| step_origin(place, step.key.as_deref()?)).next();
            if let Some(origin) = known {
                return Ok(Some((origin, Some(other))));
            }
        }
    }
    let known = origins(place)?.into_iter().filter(|(key, origin)| {
        let is_other = step.key.as_ref() != Some(key);
        is_other && origin.stage == step.stage && origin.text == step.text
    });
    let newest = known.map(|(_, origin)| origin).max_by_key(|origin| origin.made);
    Ok(newest.map(|origin| (origin, None)))
}

fn changes(before: &[KeyInput], after: &[KeyInput]) -> Vec<InputChange> {
    let index = |inputs: &[KeyInput]| -> BTreeMap<String, KeyInput> {
        inputs.iter().map(|input| (input.name.clone(), input.clone())).collect()
    };
    let (old, new) = (index(before), index(after));
    let mut changes = Vec::new();
    for input in after {
        let (kind, earlier) = match old.get(&input.name) {
            None => (InputChangeKind::Added, None),
            Some(earlier) if earlier.digest != input.digest => {
                (InputChangeKind::Other, earlier.text.clone())
            }
            Some(_) => continue,
        };
        let (name, later) = (input.name.clone(), input.text.clone());
        changes.push(InputChange { name, before: earlier, after: later, kind });
    }
    for input in before.iter().filter(|input| !new.contains_key(&input.name)) {
        let (name, earlier) = (input.name.clone(), input.text.clone());
        let kind = InputChangeKind::Removed;
        changes.push(InputChange { name, before: earlier, after: None, kind });
    }
    changes.truncate(MAX_CHANGES);
    changes
}

/// The first step below that gave other contents.
fn below(build: &PastBuild, step: &PastStep, other: Option<&PastBuild>) -> Option<String> {
    let other = other?;
    let mine =
        |past: &&PastStep| past.stage_number == step.stage_number && past.number < step.number;
    for past in build.steps.iter().filter(mine) {
        let is_it =
            |then: &&PastStep| (then.stage_number, then.number) == (past.stage_number, past.number);
        let then = other.steps.iter().find(is_it);
        if then.is_none_or(|then| then.contents != past.contents) {
            let which = format!("{} {}/{}", past.stage, past.number, past.total);
            return Some(format!("step [{which}] {} gave other contents", past.text));
        }
    }
    None
}
