//! ONBUILD: an instruction kept for those who build on the image.

use super::{Command, InstructionError};
use crate::dockerfile::DockerfileError;
use crate::keyword::Keyword;
use crate::position::Span;
use crate::statement::{Arguments, Statement};
use crate::syntax::Syntax;

/// The instruction that ONBUILD keeps, as text with its here-documents: what goes into the image's
/// config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The text.
    pub expression: String,
}

impl Trigger {
    /// The instruction, read when it triggers. Its place is `span`: the FROM that triggers it.
    ///
    /// # Errors
    /// Where the text is not one instruction that can be kept.
    ///
    /// ```
    /// use corten_dockerfile::{Action, Span, Trigger};
    ///
    /// let trigger = Trigger { expression: "WORKDIR /app".to_owned() };
    /// let command = trigger.command(Span::default()).unwrap();
    /// assert_eq!(command.action, Action::Workdir("/app".to_owned()));
    /// ```
    pub fn command(&self, span: Span) -> Result<Command, DockerfileError> {
        let syntax = Syntax::read(self.expression.as_bytes())?;
        let mut statements = syntax.statements.into_iter();
        let (Some(statement), None) = (statements.next(), statements.next()) else {
            let takes = "one instruction";
            let keyword = Keyword::Onbuild;
            return Err(InstructionError::Arguments { keyword, takes, span }.into());
        };
        let mut command = super::command(&statement)?;
        command.span = span;
        Ok(command)
    }
}

pub(super) fn read(statement: &Statement) -> Result<Trigger, InstructionError> {
    let Arguments::Nested(inner) = &statement.arguments else {
        return Err(InstructionError::Arguments {
            keyword: Keyword::Onbuild,
            takes: "an instruction",
            span: statement.span,
        });
    };
    let banned = [Keyword::Onbuild, Keyword::From, Keyword::Maintainer];
    let trigger = Keyword::named(inner.keyword.text.trim());
    if let Some(trigger) = trigger.filter(|trigger| banned.contains(trigger)) {
        return Err(InstructionError::Trigger { trigger, span: inner.keyword.span });
    }
    let original = statement.original.trim_start();
    let name = Keyword::Onbuild.name().len();
    let mut expression = original.get(name..).unwrap_or_default().trim_start().to_owned();
    for heredoc in &statement.heredocs {
        expression.push('\n');
        expression.push_str(&heredoc.body);
        expression.push_str(&heredoc.name);
    }
    Ok(Trigger { expression })
}
