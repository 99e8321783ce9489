//! From text to statements: lines, continuations, comments, directives and here-documents.

use crate::directive::{Directive, DirectiveName, Repeated, Search};
use crate::heredoc::{self, Heredoc};
use crate::keyword::Keyword;
use crate::position::{LogicalLine, Position, Span};
use crate::statement::Statement;

/// Longest line of a Dockerfile, in bytes without its end; as long as `BuildKit` takes.
pub const MAX_LINE: usize = 65_535;

/// Largest Dockerfile, in bytes.
pub const MAX_DOCKERFILE: usize = 4 << 20;

/// Most comments above an instruction that are kept; of more, the last ones.
pub const MAX_COMMENTS: usize = 1000;

/// A Dockerfile as it is written, before anything in it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// The text, with a replacement character for each byte that is no UTF-8.
    pub source: String,
    /// The parser directives at its top.
    pub directives: Vec<Directive>,
    /// The character that escapes and continues lines.
    pub escape: char,
    /// The instructions.
    pub statements: Vec<Statement>,
    /// Lines within instructions that are empty, each with the instruction's last line: what is
    /// tolerated today and will not be.
    pub empty_continuations: Vec<Span>,
}

/// Why a text is no Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// The whole is too large.
    #[error("the dockerfile has {size} bytes, over the limit of {MAX_DOCKERFILE}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// One line is too long.
    #[error("line {line} is longer than the limit of {MAX_LINE} bytes")]
    LongLine {
        /// The line, from 1.
        line: usize,
    },
    /// Nothing in it is an instruction.
    #[error("the dockerfile has no instructions")]
    Empty,
    /// A directive stands twice.
    #[error("the directive `{}` may stand only once", name.name())]
    RepeatedDirective {
        /// Which.
        name: DirectiveName,
        /// The second one.
        span: Span,
    },
    /// The escape character is none that can be.
    #[error("`{value}` cannot be the escape character, only ` and \\ can")]
    Escape {
        /// What was given.
        value: String,
        /// The directive.
        span: Span,
    },
    /// An array holds something that is no string.
    #[error("an array of arguments must hold strings alone")]
    NotStrings {
        /// The array.
        span: Span,
    },
    /// A here-document does not end.
    #[error("the here-document `{name}` does not end")]
    OpenHeredoc {
        /// The word that would end it.
        name: String,
        /// The instruction that opens it.
        span: Span,
    },
    /// A key of ENV or LABEL has no value.
    #[error("{keyword} needs a value for `{name}`")]
    NoValue {
        /// The instruction.
        keyword: Keyword,
        /// The key.
        name: String,
        /// The key's place.
        span: Span,
    },
    /// A word of ENV or LABEL after the first is no pair.
    #[error("{keyword} takes name=value, and `{word}` has no =")]
    NoEquals {
        /// The instruction.
        keyword: Keyword,
        /// The word.
        word: String,
        /// Its place.
        span: Span,
    },
}

impl SyntaxError {
    /// Where in the text it is.
    pub fn span(&self) -> Span {
        match self {
            Self::TooLarge { .. } | Self::Empty => Span::line(1, ""),
            Self::LongLine { line } => Span::line(*line, ""),
            Self::RepeatedDirective { span, .. }
            | Self::Escape { span, .. }
            | Self::NotStrings { span }
            | Self::OpenHeredoc { span, .. }
            | Self::NoValue { span, .. }
            | Self::NoEquals { span, .. } => *span,
        }
    }
}

impl Syntax {
    /// Reads a Dockerfile's bytes.
    ///
    /// # Errors
    /// What stands in [`SyntaxError`]. Instructions that do not exist are no error here.
    pub fn read(bytes: &[u8]) -> Result<Self, SyntaxError> {
        if bytes.len() > MAX_DOCKERFILE {
            return Err(SyntaxError::TooLarge { size: bytes.len() });
        }
        let mut reader = Reader::new(String::from_utf8_lossy(bytes).into_owned());
        let source = std::mem::take(&mut reader.syntax.source);
        let mut lines = Lines { rest: source.strip_prefix('\u{feff}').unwrap_or(&source), at: 0 };
        let longest = bytes.split(|byte| *byte == b'\n').position(|line| line.len() > MAX_LINE);
        while let Some(line) = lines.next() {
            reader.line(line, &mut lines)?;
        }
        if let Some(line) = longest {
            return Err(SyntaxError::LongLine { line: line + 1 });
        }
        if reader.syntax.statements.is_empty() {
            return Err(SyntaxError::Empty);
        }
        Ok(Self { source, ..reader.syntax })
    }
}

/// The lines of the text, each with its end.
struct Lines<'a> {
    rest: &'a str,
    /// The number of the line that was read last, from 1.
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let end = match self.rest.find('\n') {
            Some(end) => end + 1,
            None if self.rest.is_empty() => return None,
            None => self.rest.len(),
        };
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.at += 1;
        Some(line)
    }
}

struct Reader {
    syntax: Syntax,
    search: Search,
    comments: Vec<String>,
}

impl Reader {
    fn new(source: String) -> Self {
        let syntax = Syntax {
            source,
            directives: Vec::new(),
            escape: '\\',
            statements: Vec::new(),
            empty_continuations: Vec::new(),
        };
        Self { syntax, search: Search::default(), comments: Vec::new() }
    }

    /// A line that no instruction's line is continued on.
    fn line(&mut self, raw: &str, lines: &mut Lines<'_>) -> Result<(), SyntaxError> {
        let number = lines.at;
        let text = raw.trim_end_matches(['\r', '\n']).trim_start();
        let directive = self.directive(text, number)?;
        if is_comment(raw) {
            if !directive {
                self.comment(raw);
            }
            return Ok(());
        }
        let (first, mut continues) = self.split_continuation(text);
        if !continues && first.is_empty() {
            return Ok(());
        }
        let indent = raw.chars().count() - raw.trim_start().chars().count();
        let mut whole = LogicalLine::single(first, Position { line: number, column: indent + 1 });
        let mut has_empty = false;
        while continues {
            let Some(raw) = lines.next() else { break };
            let text = raw.trim_end_matches(['\r', '\n']);
            if is_comment(raw) {
                continue;
            }
            if text.trim_start().is_empty() {
                has_empty = true;
                continue;
            }
            let (part, more) = self.split_continuation(text);
            whole.push(part, Position { line: lines.at, column: 1 });
            continues = more;
        }
        if has_empty {
            self.syntax.empty_continuations.push(Span::line(lines.at, ""));
        }
        self.statement(&whole, lines)
    }

    fn statement(&mut self, line: &LogicalLine, lines: &mut Lines<'_>) -> Result<(), SyntaxError> {
        let mut statement = Statement::read(line, 0, self.syntax.escape, 0)?;
        statement.comments = std::mem::take(&mut self.comments);
        if statement.takes_heredocs() && line.text.contains("<<") {
            for heredoc in heredoc::opened_on(&line.text) {
                let heredoc = body(heredoc, lines, statement.span)?;
                statement.span.end = heredoc.span.end;
                statement.heredocs.push(heredoc);
            }
        }
        // Lines of comments at the end of a continuation belong to it.
        if statement.span.end.line < lines.at {
            statement.span.end = Position { line: lines.at, column: 1 };
        }
        self.syntax.statements.push(statement);
        Ok(())
    }

    fn directive(&mut self, text: &str, number: usize) -> Result<bool, SyntaxError> {
        let found = self.search.read(text, number, "#").map_err(|Repeated(name)| {
            SyntaxError::RepeatedDirective { name, span: Span::line(number, text) }
        })?;
        let Some(directive) = found else { return Ok(false) };
        if directive.name == DirectiveName::Escape {
            self.syntax.escape = match directive.value.as_str() {
                "\\" => '\\',
                "`" => '`',
                _ => {
                    let Directive { value, span, .. } = directive;
                    return Err(SyntaxError::Escape { value, span });
                }
            };
        }
        self.syntax.directives.push(directive);
        Ok(true)
    }

    /// Comments gather until an instruction takes them; an empty one lets all of them go.
    fn comment(&mut self, raw: &str) {
        let mut text = raw.chars();
        text.next();
        match text.as_str().trim() {
            "" => self.comments.clear(),
            text => self.comments.push(text.to_owned()),
        }
        // Nobody says more of one instruction; what stands nearest to it counts.
        if self.comments.len() > MAX_COMMENTS {
            self.comments.remove(0);
        }
    }

    /// What stands before the escape character that continues a line, and whether one does. An
    /// escape character that is escaped itself does not.
    fn split_continuation<'a>(&self, line: &'a str) -> (&'a str, bool) {
        let escape = self.syntax.escape;
        match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(before) if !before.ends_with(escape) => (before, true),
            _ => (line, false),
        }
    }
}

/// Reads the lines of a here-document up to the one that ends it.
fn body(mut heredoc: Heredoc, lines: &mut Lines<'_>, opened: Span) -> Result<Heredoc, SyntaxError> {
    let first = lines.at + 1;
    while let Some(line) = lines.next() {
        let text = line.trim_end_matches(['\r', '\n']);
        let end = if heredoc.strip_tabs { text.trim_start_matches('\t') } else { text };
        if end == heredoc.name {
            let start = Position { line: first, column: 1 };
            heredoc.span = Span::new(start, Span::line(lines.at, text).end);
            return Ok(heredoc);
        }
        heredoc.body.push_str(line);
    }
    Err(SyntaxError::OpenHeredoc { name: heredoc.name, span: opened })
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}
