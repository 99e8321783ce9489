//! Which stages need which: FROM, `COPY --from`, `RUN --mount=from=`, and what ONBUILD keeps.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Action, Command};
use crate::dockerfile::{Dockerfile, Stage};
use crate::expand::{ExpandError, Expanded, Expander};
use crate::heredoc::Nothing;
use crate::image_name;
use crate::position::Span;
use crate::scope::GlobalScope;
use crate::suggest;

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageSource {
    /// Another stage, by its index.
    Stage(usize),
    /// Nowhere.
    Scratch,
    /// A named context.
    Context(String),
    /// An image, as it is named.
    Image(String),
}

/// What a stage needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageLinks {
    /// What it is built on. Where a named context has the stage's own name, it is that context, and
    /// the stage's instructions do not count.
    pub base: StageSource,
    /// `--platform` of FROM, substituted.
    pub platform: Option<String>,
    /// What its instructions take files from, in order.
    pub uses: Vec<StageUse>,
    pub(crate) base_word: Expanded,
    pub(crate) platform_word: Option<Expanded>,
}

/// One place where a stage takes files from something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageUse {
    /// From what.
    pub source: StageSource,
    /// The same, as it is written.
    pub from: String,
    /// The instruction.
    pub span: Span,
}

/// Why stages do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// A FROM cannot be substituted.
    #[error("`{written}` cannot be substituted")]
    Expand {
        /// What is written.
        written: String,
        /// Its place.
        span: Span,
        /// Why.
        source: ExpandError,
    },
    /// A base is empty once it is substituted.
    #[error("the base `{written}` is empty")]
    BlankBase {
        /// What is written.
        written: String,
        /// Its place.
        span: Span,
    },
    /// A base or a source is neither a stage nor a name that an image can have.
    #[error("`{name}` is no stage, and no image can have that name")]
    ImageName {
        /// The name, substituted.
        name: String,
        /// Its place.
        span: Span,
    },
    /// A platform is none once it is substituted.
    #[error("`{written}` is no platform, it reads `{text}`")]
    Platform {
        /// What is written.
        written: String,
        /// What it reads.
        text: String,
        /// The variable that may be meant.
        suggestion: Option<String>,
        /// Its place.
        span: Span,
    },
    /// There is no stage of this index.
    #[error("there is no stage {index}")]
    Index {
        /// The index.
        index: String,
        /// Its place.
        span: Span,
    },
    /// `--from` has a variable or a quote.
    #[error("--from takes no variables; make a stage of `{from}` and name it")]
    VariableFrom {
        /// What is written.
        from: String,
        /// Its place.
        span: Span,
    },
    /// A stage needs one that comes after it.
    #[error("the stage `{stage}` is needed before it is built")]
    Later {
        /// The later stage.
        stage: String,
        /// Where it is needed.
        span: Span,
    },
    /// A stage needs itself.
    #[error("the stage `{stage}` needs itself")]
    Cycle {
        /// The stage.
        stage: String,
        /// Where it does.
        span: Span,
    },
    /// There is no stage of the target's name.
    #[error("there is no stage `{target}`")]
    NoTarget {
        /// The target.
        target: String,
        /// The stage that may be meant.
        suggestion: Option<String>,
    },
}

impl LinkError {
    /// Where in the text it is; nowhere for a target.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Expand { span, .. }
            | Self::BlankBase { span, .. }
            | Self::ImageName { span, .. }
            | Self::Platform { span, .. }
            | Self::Index { span, .. }
            | Self::VariableFrom { span, .. }
            | Self::Later { span, .. }
            | Self::Cycle { span, .. } => Some(*span),
            Self::NoTarget { .. } => None,
        }
    }
}

/// The stage that a target names, in any case; the last one where none is named. A number is an index
/// where no stage has it for a name.
///
/// # Errors
/// Where there is no such stage.
pub fn target(file: &Dockerfile, name: Option<&str>) -> Result<usize, LinkError> {
    let Some(name) = name else { return Ok(file.stages.len().saturating_sub(1)) };
    let named = |stage: &Stage| stage.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name));
    let index = || name.parse().ok().filter(|index| *index < file.stages.len());
    file.stages.iter().rposition(named).or_else(index).ok_or_else(|| {
        let names = file.stages.iter().filter_map(|stage| stage.name.as_deref());
        let suggestion = suggest::nearest(name, names).map(str::to_owned);
        LinkError::NoTarget { target: name.to_owned(), suggestion }
    })
}

/// What every stage needs. `contexts` are the names of the named contexts.
///
/// # Errors
/// Where a FROM cannot be read, a stage needs itself, an index has no stage, or a name no image.
///
/// ```
/// use corten_dockerfile::{BuildInputs, Dockerfile, GlobalScope, StageSource, links, reachable};
///
/// let file = Dockerfile::parse(
///     b"FROM a AS one\nFROM b AS two\nFROM one AS three\nCOPY --from=1 x y\nFROM c\n",
/// )?;
/// let scope = GlobalScope::read(&file, &BuildInputs::default())?;
/// let links = links(&file, &scope, &[])?;
/// assert_eq!(links[2].base, StageSource::Stage(0));
/// assert_eq!(links[2].uses[0].source, StageSource::Stage(1));
/// assert_eq!(reachable(&links, 2)?, [0, 1, 2]);
/// assert_eq!(reachable(&links, 3)?, [3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn links(
    file: &Dockerfile,
    scope: &GlobalScope,
    contexts: &[&str],
) -> Result<Vec<StageLinks>, LinkError> {
    let mut all: Vec<StageLinks> = Vec::new();
    for (number, stage) in file.stages.iter().enumerate() {
        all.push(head(file, number, stage, scope, contexts)?);
    }
    let mut uses = Vec::new();
    for (number, stage) in file.stages.iter().enumerate() {
        uses.push(stage_uses(file, &all, number, stage, contexts)?);
    }
    for (links, uses) in all.iter_mut().zip(uses) {
        links.uses = uses;
    }
    check_cycles(&all)?;
    Ok(all)
}

/// The stages that `target` needs and itself, in the order in which they stand, which is the order in
/// which they can be built.
///
/// # Errors
/// Where one of them needs a later one.
pub fn reachable(links: &[StageLinks], target: usize) -> Result<Vec<usize>, LinkError> {
    let found: Vec<usize> = needs(links, target).into_iter().collect();
    check_order(links, &found)?;
    Ok(found)
}

/// None of `stages` needs a later one.
pub(crate) fn check_order(links: &[StageLinks], stages: &[usize]) -> Result<(), LinkError> {
    for stage in stages {
        let uses = links.get(*stage).map(|links| links.uses.as_slice()).unwrap_or_default();
        let is_later =
            |used: &&StageUse| matches!(used.source, StageSource::Stage(n) if n > *stage);
        if let Some(later) = uses.iter().find(is_later) {
            return Err(LinkError::Later { stage: later.from.clone(), span: later.span });
        }
    }
    Ok(())
}

fn needs(links: &[StageLinks], target: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([target]);
    let mut open = vec![target];
    while let Some(links) = open.pop().and_then(|stage| links.get(stage)) {
        let sources = links.uses.iter().map(|used| &used.source).chain([&links.base]);
        for source in sources {
            if let StageSource::Stage(stage) = source
                && found.insert(*stage)
            {
                open.push(*stage);
            }
        }
    }
    found
}

fn head(
    file: &Dockerfile,
    number: usize,
    stage: &Stage,
    scope: &GlobalScope,
    contexts: &[&str],
) -> Result<StageLinks, LinkError> {
    let expand = |word: &crate::position::Word| {
        let expanded = Expander::new(file.escape()).word(&word.text, scope);
        let (written, span) = (word.text.clone(), word.span);
        expanded.map_err(|source| LinkError::Expand { written, span, source })
    };
    let base_word = expand(&stage.base)?;
    if base_word.text.is_empty() {
        let (written, span) = (stage.base.text.clone(), stage.base.span);
        return Err(LinkError::BlankBase { written, span });
    }
    let platform_word = stage.platform.as_ref().map(expand).transpose()?;
    if let (Some(word), Some(written)) = (&platform_word, &stage.platform)
        && image_name::parse_platform(&word.text).is_none()
    {
        let undefined = crate::command::undefined(word.unmatched.clone(), scope);
        let suggestion = undefined.into_iter().find_map(|one| one.suggestion);
        return Err(LinkError::Platform {
            written: written.text.clone(),
            text: word.text.clone(),
            suggestion,
            span: written.span,
        });
    }
    let base_span = stage.base.span;
    let own_context = stage.name.as_deref().and_then(|name| context(name, contexts));
    let base = match own_context {
        Some(context) => StageSource::Context(context),
        None => {
            let before = file.stages.get(..number).unwrap_or_default();
            let named = |stage: &Stage| stage.name.as_deref() == Some(&base_word.text);
            let stage = before.iter().rposition(named).map(StageSource::Stage);
            stage.map_or_else(|| outside(&base_word.text, contexts, base_span), Ok)?
        }
    };
    let platform = platform_word.as_ref().map(|word| word.text.clone());
    Ok(StageLinks { base, platform, uses: Vec::new(), base_word, platform_word })
}

/// What a name means that no stage has.
fn outside(name: &str, contexts: &[&str], span: Span) -> Result<StageSource, LinkError> {
    if name == "scratch" {
        return Ok(StageSource::Scratch);
    }
    match context(name, contexts) {
        Some(context) => Ok(StageSource::Context(context)),
        None if image_name::is_image_name(name) => Ok(StageSource::Image(name.to_owned())),
        None => Err(LinkError::ImageName { name: name.to_owned(), span }),
    }
}

/// The named context that replaces `name`. An image without a tag is the one with `latest`.
fn context(name: &str, contexts: &[&str]) -> Option<String> {
    let is_reserved = ["scratch", "context"].iter().any(|word| name.eq_ignore_ascii_case(word));
    let bare = |name: &str| name.strip_suffix(":latest").unwrap_or(name).to_owned();
    let same = |context: &&&str| bare(context) == bare(name);
    contexts.iter().filter(|_| !is_reserved).find(same).map(|context| (*context).to_owned())
}

fn stage_uses(
    file: &Dockerfile,
    all: &[StageLinks],
    number: usize,
    stage: &Stage,
    contexts: &[&str],
) -> Result<Vec<StageUse>, LinkError> {
    let base = all.get(number).map(|links| &links.base);
    if let (Some(StageSource::Context(context)), Some(name)) = (base, &stage.name)
        && self::context(name, contexts).as_ref() == Some(context)
    {
        return Ok(Vec::new());
    }
    let mut uses = Vec::new();
    let triggered = match base {
        Some(StageSource::Stage(base)) => triggers(file, *base, stage.span),
        _ => Vec::new(),
    };
    for command in triggered.iter().chain(&stage.commands) {
        uses.extend(command_uses(file, command, contexts)?);
    }
    Ok(uses)
}

/// What the ONBUILD lines of stage `base` have those do that are built on it. What does not read is
/// left to the build, which says so.
fn triggers(file: &Dockerfile, base: usize, span: Span) -> Vec<Command> {
    let commands = file.stages.get(base).map(|stage| stage.commands.as_slice()).unwrap_or_default();
    let kept = commands.iter().filter_map(|command| match &command.action {
        Action::Onbuild(trigger) => trigger.command(span).ok(),
        _ => None,
    });
    kept.collect()
}

/// What one instruction takes files from: also an instruction that an image's ONBUILD kept.
///
/// # Errors
/// Where `--from` has a variable, an index that no stage has, or a name that no image can have.
pub fn command_uses(
    file: &Dockerfile,
    command: &Command,
    contexts: &[&str],
) -> Result<Vec<StageUse>, LinkError> {
    let span = command.span;
    let named = |name: &str| {
        let is = |stage: &Stage| {
            stage.name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        file.stages.iter().rposition(is).map(StageSource::Stage)
    };
    let found = |name: &str| named(name).map_or_else(|| outside(name, contexts, span), Ok);
    match &command.action {
        Action::Copy(copy) => {
            let Some(from) = &copy.from else { return Ok(Vec::new()) };
            let plain = Expander::new(file.escape()).word(from, &Nothing);
            if plain.is_ok_and(|word| word.text != *from) {
                return Err(LinkError::VariableFrom { from: from.clone(), span });
            }
            let source = match from.parse::<i64>() {
                Ok(index) => {
                    let index = usize::try_from(index).ok();
                    let index = index.filter(|index| *index < file.stages.len());
                    StageSource::Stage(
                        index.ok_or_else(|| LinkError::Index { index: from.clone(), span })?,
                    )
                }
                Err(_) => found(from)?,
            };
            Ok(vec![StageUse { source, from: from.clone(), span }])
        }
        Action::Run(run) => {
            let sources = run.mounts.iter().filter_map(|mount| mount.from.as_deref());
            let used = |from: &str| {
                found(from).map(|source| StageUse { source, from: from.to_owned(), span })
            };
            sources.map(used).collect()
        }
        _ => Ok(Vec::new()),
    }
}

/// No stage needs itself, not even by way of others.
fn check_cycles(all: &[StageLinks]) -> Result<(), LinkError> {
    let mut known: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (number, links) in all.iter().enumerate() {
        for used in &links.uses {
            let StageSource::Stage(stage) = used.source else { continue };
            // Only by way of a stage that is not before it can it come back to itself.
            if stage < number {
                continue;
            }
            let needed = known.entry(stage).or_insert_with(|| needs(all, stage));
            if needed.contains(&number) {
                return Err(LinkError::Cycle { stage: used.from.clone(), span: used.span });
            }
        }
    }
    Ok(())
}
