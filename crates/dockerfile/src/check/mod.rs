//! Checks: what can be said about a Dockerfile that builds and might be better.
//!
//! The rules have the names that `BuildKit` gave them; `# check=skip=…` and its like speak of them by
//! these names, at the top of a file or directly above one instruction.

mod base;
mod form;
mod options;
mod rule;
mod secret;
mod stage;
mod walk;

pub use base::{BaseImage, BaseImages, CommandError, NoBases};
pub use options::{CheckOptions, CheckOptionsError};
pub use rule::Check;
pub use secret::names_a_secret;

use crate::dockerfile::{Dockerfile, DockerfileError};
use crate::link::{self, LinkError};
use crate::pattern::IgnoreFile;
use crate::position::Span;
use crate::scope::{BuildInputs, GlobalError, GlobalScope};
use crate::syntax::Syntax;

/// One thing that a check has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Which check.
    pub check: Check,
    /// What it says of this place.
    pub text: String,
    /// Of which.
    pub span: Span,
}

/// What is checked with what.
#[derive(Clone, Copy)]
pub struct CheckRequest<'a> {
    /// What a build is given.
    pub inputs: &'a BuildInputs,
    /// The stage that is checked with those it needs; all where none is named.
    pub target: Option<&'a str>,
    /// The names of the named contexts.
    pub contexts: &'a [&'a str],
    /// The `.dockerignore`, where there is one.
    pub ignore: Option<&'a IgnoreFile>,
    /// What is known of images that stages are built on.
    pub bases: &'a dyn BaseImages,
    /// Options that take the place of the file's own, as `BUILDKIT_DOCKERFILE_CHECK` has them.
    pub options: Option<&'a CheckOptions>,
}

impl<'a> CheckRequest<'a> {
    /// Of the last stage, without contexts, and with nothing known of bases.
    pub fn new(inputs: &'a BuildInputs) -> Self {
        Self { inputs, target: None, contexts: &[], ignore: None, bases: &NoBases, options: None }
    }
}

/// What checks have found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// What they say, in the order in which it was found.
    pub advice: Vec<Advice>,
    /// Why the file does not build, where that was found: then what comes behind is not checked.
    pub error: Option<CheckError>,
    /// Whether advice is to be taken as an error.
    pub is_strict: bool,
}

/// Why a Dockerfile does not build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It is no Dockerfile.
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
    /// Its `# check=` says what it cannot.
    #[error(transparent)]
    Options(#[from] CheckOptionsError),
    /// An argument before the first FROM has no value.
    #[error(transparent)]
    Global(#[from] GlobalError),
    /// Its stages do not fit together.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// An instruction cannot be carried out.
    #[error("the instruction cannot be carried out")]
    Command {
        /// Where it stands.
        span: Span,
        /// Why.
        source: Box<CommandError>,
    },
}

impl CheckError {
    /// Where in the text it is, where it is in the text.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Dockerfile(error) => Some(error.span()),
            Self::Options(_) => None,
            Self::Global(error) => Some(error.span),
            Self::Link(error) => error.span(),
            Self::Command { span, .. } => Some(*span),
        }
    }
}

/// Gathers advice, as far as it is wanted.
pub(crate) struct Advisor {
    options: CheckOptions,
    advice: Vec<Advice>,
}

impl Advisor {
    pub(crate) fn new(options: CheckOptions) -> Self {
        Self { options, advice: Vec::new() }
    }

    /// Says something of a place, unless the file or the comments above the place do not want it.
    fn say(&mut self, comments: &[String], check: Check, span: Span, text: String) {
        let own = options::in_comments(comments);
        let wants = |options: &CheckOptions| !options.skips(check);
        let is_wanted = if check.is_experimental() {
            self.options.tries(check) || own.as_ref().is_some_and(|own| own.tries(check))
        } else {
            wants(&self.options) && own.as_ref().is_none_or(wants)
        };
        if is_wanted {
            self.advice.push(Advice { check, text, span });
        }
    }
}

/// Checks a Dockerfile's bytes.
///
/// ```
/// use corten_dockerfile::{BuildInputs, Check, CheckRequest, check};
///
/// let inputs = BuildInputs::default();
/// let request = CheckRequest::new(&inputs);
/// let report = check(b"FROM scratch as app\nCMD run\n", &request);
/// let found: Vec<_> = report.advice.iter().map(|said| (said.check, said.span.start.line)).collect();
/// assert_eq!(found, [(Check::FromAsCasing, 1), (Check::JSONArgsRecommended, 2)]);
/// ```
pub fn check(bytes: &[u8], request: &CheckRequest<'_>) -> CheckReport {
    let options = match request.options {
        Some(options) => Ok(options.clone()),
        None => CheckOptions::of_file(&String::from_utf8_lossy(bytes)),
    };
    let (mut advisor, error) = match options {
        Ok(options) => (Advisor::new(options), None),
        Err(error) => (Advisor::new(CheckOptions::default()), Some(error.into())),
    };
    let error = error.or_else(|| run(bytes, request, &mut advisor).err());
    CheckReport { advice: advisor.advice, error, is_strict: advisor.options.is_strict }
}

fn run(bytes: &[u8], request: &CheckRequest<'_>, advisor: &mut Advisor) -> Result<(), CheckError> {
    let syntax = Syntax::read(bytes).map_err(DockerfileError::from)?;
    form::check_lines(&syntax, advisor);
    let file = Dockerfile::from_statements(&syntax, |statement| {
        form::check_statement(statement, advisor);
    })?;
    stage::check_names(&file, advisor);
    stage::check_casing(&file, advisor);
    stage::check_defaults(&file, request.inputs, advisor);
    let scope = GlobalScope::read(&file, request.inputs)?;
    stage::check_heads(&file, &scope, advisor);
    let links = link::links(&file, &scope, request.contexts)?;
    let stages = match request.target {
        Some(_) => {
            let target = link::target(&file, request.target)?;
            link::reachable(&links, target)?
        }
        None => (0..links.len()).collect(),
    };
    link::check_order(&links, &stages)?;
    walk::walk(&walk::Walk { file: &file, scope: &scope, links: &links, request }, &stages, advisor)
        .map(|_| ())
}

/// The same walk without advice, for what it learns of each stage.
pub(crate) fn learn(
    file: &Dockerfile,
    request: &CheckRequest<'_>,
) -> Result<(usize, GlobalScope, Vec<walk::Learned>), CheckError> {
    let scope = GlobalScope::read(file, request.inputs)?;
    let links = link::links(file, &scope, request.contexts)?;
    let target = link::target(file, request.target)?;
    let stages = link::reachable(&links, target)?;
    let walk = walk::Walk { file, scope: &scope, links: &links, request };
    let mut silent = Advisor::new(CheckOptions { skip_all: true, ..CheckOptions::default() });
    let learned = walk::walk(&walk, &stages, &mut silent)?;
    Ok((target, scope, learned))
}
