//! What a build can be given: its targets, and the arguments, secrets and agents of one of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{self, CheckError, CheckRequest};
use crate::dockerfile::Dockerfile;
use crate::position::Span;
use crate::scope::GlobalScope;

/// A stage that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildTarget {
    /// Its name.
    pub name: Option<String>,
    /// What the comment above says of it.
    pub description: Option<String>,
    /// Whether it is built where none is named.
    pub is_default: bool,
    /// What it is built on, before substitution.
    pub base: String,
    /// Its `--platform`, before substitution.
    pub platform: Option<String>,
    /// Where its FROM stands.
    pub span: Span,
}

/// What a target can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The target's name.
    pub name: Option<String>,
    /// What the comment above says of it.
    pub description: Option<String>,
    /// Its arguments, by their places.
    pub arguments: Vec<OutlineArg>,
    /// Its secrets, by their places.
    pub secrets: Vec<OutlineNeed>,
    /// Its ssh agents, by their places.
    pub agents: Vec<OutlineNeed>,
}

/// An argument of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineArg {
    /// Its name.
    pub name: String,
    /// What the comment above says of it.
    pub description: Option<String>,
    /// The value that it has; empty where it has none.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// A secret or an agent of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineNeed {
    /// Which.
    pub id: String,
    /// Whether it must be there.
    pub required: bool,
    /// Where it stands first.
    pub span: Span,
}

/// All stages that can be built.
///
/// ```
/// let file = corten_dockerfile::Dockerfile::parse(b"FROM a AS x\n# y the end\nFROM x AS y")?;
/// let targets = corten_dockerfile::targets(&file);
/// assert_eq!(targets[1].description.as_deref(), Some("the end"));
/// assert!(targets[1].is_default);
/// # Ok::<(), corten_dockerfile::DockerfileError>(())
/// ```
pub fn targets(file: &Dockerfile) -> Vec<BuildTarget> {
    let last = file.stages.len().saturating_sub(1);
    let stages = file.stages.iter().enumerate();
    let target = |(number, stage): (usize, &crate::Stage)| BuildTarget {
        name: stage.name.clone(),
        description: stage.description.clone(),
        is_default: number == last,
        base: stage.base.text.clone(),
        platform: stage.platform.as_ref().map(|word| word.text.clone()),
        span: stage.span,
    };
    stages.map(target).collect()
}

/// What the request's target can be given: also what the stages take that it needs.
///
/// # Errors
/// Where the file does not build.
///
/// ```
/// use corten_dockerfile::{BuildInputs, CheckRequest, Dockerfile, outline};
///
/// let file = Dockerfile::parse(
///     b"ARG TAG=13\nARG IDLE\nFROM debian:$TAG\nARG PORT=80\nRUN --mount=type=secret,id=key x\n",
/// )?;
/// let inputs = BuildInputs::default();
/// let request = CheckRequest::new(&inputs);
/// let outline = outline(&file, &request)?;
/// let names: Vec<&str> = outline.arguments.iter().map(|arg| arg.name.as_str()).collect();
/// assert_eq!(names, ["TAG", "PORT"]);
/// assert_eq!(outline.secrets[0].id, "key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn outline(file: &Dockerfile, request: &CheckRequest<'_>) -> Result<Outline, CheckError> {
    let (target, scope, learned) = check::learn(file, request)?;
    let stage = file.stages.get(target);
    let mut arguments: BTreeMap<String, OutlineArg> = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    let mut agents = BTreeMap::new();
    // The target's own words come before those of what it needs.
    for one in learned.iter().rev() {
        let used = uses_of_uses(&one.used, &scope);
        for name in &used {
            let own = one.arguments.get(name).map(|(definition, value, span)| OutlineArg {
                name: name.clone(),
                description: definition.description.clone(),
                value: value.clone().unwrap_or_default(),
                span: *span,
            });
            if let Some(found) = own.or_else(|| global(name, &scope)) {
                arguments.entry(name.clone()).or_insert(found);
            }
        }
        for (found, all) in [(&one.secrets, &mut secrets), (&one.agents, &mut agents)] {
            for (id, (required, span)) in found {
                let need = OutlineNeed { id: id.clone(), required: *required, span: *span };
                all.entry(id.clone()).or_insert(need);
            }
        }
    }
    let mut arguments: Vec<OutlineArg> = arguments.into_values().collect();
    arguments.sort_by_key(|arg| arg.span);
    Ok(Outline {
        name: stage.and_then(|stage| stage.name.clone()),
        description: stage.and_then(|stage| stage.description.clone()),
        arguments,
        secrets: by_place(secrets),
        agents: by_place(agents),
    })
}

fn by_place(needs: BTreeMap<String, OutlineNeed>) -> Vec<OutlineNeed> {
    let mut needs: Vec<OutlineNeed> = needs.into_values().collect();
    needs.sort_by_key(|need| need.span);
    needs
}

/// The names with those that the defaults of global arguments use.
fn uses_of_uses(names: &BTreeSet<String>, scope: &GlobalScope) -> BTreeSet<String> {
    let mut all = names.clone();
    let mut open: Vec<String> = names.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let uses = scope.arguments.get(&name).map(|arg| &arg.uses);
        for used in uses.into_iter().flatten() {
            if all.insert(used.clone()) {
                open.push(used.clone());
            }
        }
    }
    all
}

fn global(name: &str, scope: &GlobalScope) -> Option<OutlineArg> {
    let arg = scope.arguments.get(name)?;
    Some(OutlineArg {
        name: name.to_owned(),
        description: arg.definition.description.clone(),
        value: arg.value.clone().unwrap_or_default(),
        span: arg.span,
    })
}
