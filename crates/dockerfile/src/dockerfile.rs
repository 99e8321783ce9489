//! A whole Dockerfile: global arguments and stages of typed instructions.

use crate::command::{self, Action, Command, InstructionError};
use crate::directive::{self, Directive, DirectiveName};
use crate::keyword::Keyword;
use crate::position::{Span, Word};
use crate::statement::Statement;
use crate::syntax::{Syntax, SyntaxError};

/// Most stages that a Dockerfile has.
pub const MAX_STAGES: usize = 1000;

/// Most ONBUILD lines that a stage has.
pub const MAX_TRIGGERS: usize = 1000;

/// A Dockerfile, typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// What stands before the first FROM: all of them [`Action::Arg`].
    pub arguments: Vec<Command>,
    /// The stages, in order; at least one.
    pub stages: Vec<Stage>,
    escape: char,
    source: String,
}

/// A FROM and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What it is built on, before substitution.
    pub base: Word,
    /// Its name in lower case.
    pub name: Option<String>,
    /// `--platform`, before substitution.
    pub platform: Option<Word>,
    /// Its instructions.
    pub commands: Vec<Command>,
    /// What the comment above says of it: `# name what it is`.
    pub description: Option<String>,
    /// FROM as it is written.
    pub keyword: String,
    /// FROM's line with its continuations put together.
    pub original: String,
    /// The comments directly above.
    pub comments: Vec<String>,
    /// Where FROM stands.
    pub span: Span,
    /// How many ONBUILD lines it has.
    triggers: usize,
}

/// Why a text is no Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DockerfileError {
    /// It does not read as one.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// An instruction cannot be understood.
    #[error(transparent)]
    Instruction(#[from] InstructionError),
    /// There are too many of something.
    #[error("there are over {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
        /// The first one too many.
        span: Span,
    },
    /// There is no FROM.
    #[error("the dockerfile has no FROM, so there is nothing to build")]
    NoStages,
}

impl DockerfileError {
    /// Where in the text it is.
    pub fn span(&self) -> Span {
        match self {
            Self::Syntax(error) => error.span(),
            Self::Instruction(error) => error.span(),
            Self::TooMany { span, .. } => *span,
            Self::NoStages => Span::line(1, ""),
        }
    }

    /// What may be meant instead.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Instruction(error) => error.suggestion(),
            _ => None,
        }
    }
}

impl Dockerfile {
    /// Reads a Dockerfile's bytes.
    ///
    /// # Errors
    /// What stands in [`DockerfileError`], each with its place.
    ///
    /// ```
    /// use corten_dockerfile::Dockerfile;
    ///
    /// let error = Dockerfile::parse(b"FROM debian\n\nRUM make").unwrap_err();
    /// assert_eq!(error.to_string(), "there is no instruction `RUM`");
    /// assert_eq!(error.suggestion(), Some("RUN"));
    /// assert_eq!(error.span().to_string(), "3:1");
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerfileError> {
        let syntax = Syntax::read(bytes)?;
        Self::from_statements(&syntax, |_| {})
    }

    /// Reads statements, and lets `seen` see each instruction before the next is read.
    pub(crate) fn from_statements(
        syntax: &Syntax,
        mut seen: impl FnMut(&Statement),
    ) -> Result<Self, DockerfileError> {
        let mut file = Self {
            arguments: Vec::new(),
            stages: Vec::new(),
            escape: syntax.escape,
            source: syntax.source.clone(),
        };
        for statement in &syntax.statements {
            seen(statement);
            file.take(statement)?;
        }
        if file.stages.is_empty() {
            return Err(DockerfileError::NoStages);
        }
        Ok(file)
    }

    fn take(&mut self, statement: &Statement) -> Result<(), DockerfileError> {
        let span = statement.span;
        if Keyword::named(&statement.keyword.text) == Some(Keyword::From) {
            self.stages.push(stage(statement)?);
            return within("stages", MAX_STAGES, self.stages.len(), span);
        }
        let command = command::command(statement)?;
        match self.stages.last_mut() {
            Some(stage) => {
                stage.triggers += usize::from(matches!(command.action, Action::Onbuild(_)));
                stage.commands.push(command);
                return within("ONBUILD lines in a stage", MAX_TRIGGERS, stage.triggers, span);
            }
            None if matches!(command.action, Action::Arg(_)) => self.arguments.push(command),
            None => {
                let keyword = command.action.keyword();
                let span = statement.keyword.span;
                return Err(InstructionError::NoStage { keyword, span }.into());
            }
        }
        Ok(())
    }

    /// The character that escapes and continues lines.
    pub fn escape(&self) -> char {
        self.escape
    }

    /// A parser directive at the top, also one behind a `#!` line.
    pub fn directive(&self, name: DirectiveName) -> Option<Directive> {
        directive::find(&self.source, name)
    }

    /// The text, for showing what a span points at.
    ///
    /// ```
    /// let file = corten_dockerfile::Dockerfile::parse(b"FROM scratch\nUSER 1").unwrap();
    /// assert_eq!(file.line(2), Some("USER 1"));
    /// ```
    pub fn line(&self, number: usize) -> Option<&str> {
        self.source.lines().nth(number.checked_sub(1)?)
    }
}

fn within(
    what: &'static str,
    limit: usize,
    count: usize,
    span: Span,
) -> Result<(), DockerfileError> {
    if count > limit { Err(DockerfileError::TooMany { what, limit, span }) } else { Ok(()) }
}

fn stage(statement: &Statement) -> Result<Stage, InstructionError> {
    let head = command::stage_head(statement)?;
    let name = head.name.map(|name| name.text);
    let told = command::descriptions(&statement.comments);
    let description = name.as_deref().and_then(|name| told.get(name));
    let description = description.map(|text| (*text).to_owned());
    Ok(Stage {
        base: head.base,
        name,
        platform: head.platform,
        commands: Vec::new(),
        description,
        keyword: statement.keyword.text.clone(),
        original: statement.original.trim().to_owned(),
        comments: statement.comments.clone(),
        span: statement.span,
        triggers: 0,
    })
}

impl Action {
    /// Which instruction it is.
    pub fn keyword(&self) -> Keyword {
        match self {
            Self::Add(_) => Keyword::Add,
            Self::Arg(_) => Keyword::Arg,
            Self::Cmd(_) => Keyword::Cmd,
            Self::Copy(_) => Keyword::Copy,
            Self::Entrypoint(_) => Keyword::Entrypoint,
            Self::Env(_) => Keyword::Env,
            Self::Expose(_) => Keyword::Expose,
            Self::Healthcheck(_) => Keyword::Healthcheck,
            Self::Label(_) => Keyword::Label,
            Self::Maintainer(_) => Keyword::Maintainer,
            Self::Onbuild(_) => Keyword::Onbuild,
            Self::Run(_) => Keyword::Run,
            Self::Shell(_) => Keyword::Shell,
            Self::Stopsignal(_) => Keyword::Stopsignal,
            Self::User(_) => Keyword::User,
            Self::Volume(_) => Keyword::Volume,
            Self::Workdir(_) => Keyword::Workdir,
        }
    }
}
