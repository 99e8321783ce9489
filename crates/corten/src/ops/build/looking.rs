//! What a Dockerfile says without being built: advice on it, what it can be given, its targets.

use corten_dockerfile::{CheckReport, CheckRequest, check, outline, targets};
use schemars::JsonSchema;
use serde::Serialize;

use super::{BuildWanted, Read, read};
use crate::{Context, Failure};

/// Advice on a Dockerfile.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BuildCheckReport {
    /// The Dockerfile.
    pub file: String,
    /// What could be better.
    pub advice: Vec<AdviceReport>,
    /// Why it does not build, where that was found.
    pub error: Option<String>,
    /// Whether advice counts as an error.
    pub strict: bool,
}

/// One piece of advice.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AdviceReport {
    /// The check, by its name.
    pub check: String,
    /// What it says.
    pub text: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

/// What a target can be given.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OutlineReport {
    /// The target's name.
    pub name: Option<String>,
    /// What its comment says.
    pub description: Option<String>,
    /// Its arguments.
    pub arguments: Vec<ArgReport>,
    /// Its secrets.
    pub secrets: Vec<NeedReport>,
    /// Its ssh agents.
    pub agents: Vec<NeedReport>,
}

/// An argument.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ArgReport {
    /// Its name.
    pub name: String,
    /// Its value, or nothing.
    pub value: String,
    /// What its comment says.
    pub description: Option<String>,
}

/// A secret or an agent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NeedReport {
    /// Which.
    pub id: String,
    /// Whether it must be there.
    pub required: bool,
}

/// The targets of a Dockerfile.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TargetsReport {
    /// Each stage.
    pub targets: Vec<TargetReport>,
}

/// A stage that can be built.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TargetReport {
    /// Its name.
    pub name: Option<String>,
    /// What its comment says.
    pub description: Option<String>,
    /// What it is built on, as it is written.
    pub base: String,
    /// Whether it is built where none is named.
    pub default: bool,
}

fn asked<T>(
    context: &Context,
    wanted: &BuildWanted,
    ask: impl FnOnce(&Read, &CheckRequest<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let read = read(context, wanted)?;
    let contexts: Vec<&str> = wanted.contexts.keys().map(String::as_str).collect();
    let request = CheckRequest {
        target: wanted.target.as_deref(),
        contexts: &contexts,
        ignore: Some(&read.ignore),
        ..CheckRequest::new(&read.inputs)
    };
    ask(&read, &request)
}

/// What could be better about a Dockerfile.
pub fn build_check(context: &Context, wanted: &BuildWanted) -> Result<BuildCheckReport, Failure> {
    use std::io::Read as _;
    asked(context, wanted, |read, request| {
        let path = wanted.file.clone().unwrap_or_else(|| wanted.context.join("Dockerfile"));
        let mut bytes = Vec::new();
        let limit = corten_dockerfile::MAX_DOCKERFILE as u64 + 1;
        std::fs::File::open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|source| Failure::Io {
                object: read.shown.clone(),
                action: "reading",
                source,
            })?;
        let CheckReport { advice, error, is_strict } = check(&bytes, request);
        let advice = advice.into_iter().map(|one| AdviceReport {
            check: format!("{:?}", one.check),
            text: one.text,
            line: one.span.start.line,
            column: one.span.start.column,
        });
        let error = error.map(|error| error.to_string());
        Ok(BuildCheckReport {
            file: read.shown.clone(),
            advice: advice.collect(),
            error,
            strict: is_strict,
        })
    })
}

/// What a target can be given.
pub fn build_outline(context: &Context, wanted: &BuildWanted) -> Result<OutlineReport, Failure> {
    asked(context, wanted, |read, request| {
        let outline = outline(&read.file, request)
            .map_err(|error| Failure::Usage(format!("{}: {error}", read.shown)))?;
        let need = |need: corten_dockerfile::OutlineNeed| NeedReport {
            id: need.id,
            required: need.required,
        };
        let arguments = outline.arguments.into_iter().map(|arg| ArgReport {
            name: arg.name,
            value: arg.value,
            description: arg.description,
        });
        Ok(OutlineReport {
            name: outline.name,
            description: outline.description,
            arguments: arguments.collect(),
            secrets: outline.secrets.into_iter().map(need).collect(),
            agents: outline.agents.into_iter().map(need).collect(),
        })
    })
}

/// The stages that can be built.
pub fn build_targets(context: &Context, wanted: &BuildWanted) -> Result<TargetsReport, Failure> {
    let read = read(context, wanted)?;
    let one = |target: corten_dockerfile::BuildTarget| TargetReport {
        name: target.name,
        description: target.description,
        base: target.base,
        default: target.is_default,
    };
    Ok(TargetsReport { targets: targets(&read.file).into_iter().map(one).collect() })
}
