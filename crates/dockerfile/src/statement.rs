//! One instruction as it is written: name, flags and arguments, told apart by the rules of its name
//! but not yet understood.

use crate::heredoc::Heredoc;
use crate::json::{self, Json};
use crate::keyword::Keyword;
use crate::position::{LogicalLine, Span, Word};
use crate::syntax::SyntaxError;
use crate::word;

/// An instruction as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// The name, as it is written.
    pub keyword: Word,
    /// What begins with `--` before the arguments, unquoted.
    pub flags: Vec<Word>,
    /// The arguments.
    pub arguments: Arguments,
    /// The here-documents behind it.
    pub heredocs: Vec<Heredoc>,
    /// The comments directly above it, without their `#`.
    pub comments: Vec<String>,
    /// The line with its continuations put together.
    pub original: String,
    /// Where it stands, here-documents included.
    pub span: Span,
}

/// Arguments in the form that an instruction's name gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Arguments {
    /// Nothing, or an instruction that does not exist.
    #[default]
    None,
    /// One piece of text: a shell's, a user, a directory.
    Text(Word),
    /// Words between white space.
    Words(Vec<Word>),
    /// An array of strings.
    Json(Vec<Word>),
    /// Keys with values.
    Pairs(Vec<Pair>),
    /// What ONBUILD keeps.
    Nested(Box<Statement>),
    /// What HEALTHCHECK does, and with which arguments.
    Health(Word, Box<Arguments>),
}

/// A key with its value, neither substituted nor unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: Word,
    /// The value.
    pub value: Word,
    /// How the two are put apart.
    pub form: PairForm,
}

/// How a key is put apart from its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairForm {
    /// `key=value`.
    Equals,
    /// `key value`, the old way, one for a line.
    Space,
}

impl Arguments {
    /// The arguments as a flat list, whatever their form; what ONBUILD keeps as its words.
    pub(crate) fn words(&self) -> Vec<&Word> {
        match self {
            Self::None | Self::Pairs(_) => Vec::new(),
            Self::Text(text) => vec![text],
            Self::Words(words) | Self::Json(words) => words.iter().collect(),
            Self::Nested(statement) => vec![&statement.keyword],
            Self::Health(kind, rest) => {
                let mut words = vec![kind];
                words.extend(rest.words());
                words
            }
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Json(_) => true,
            Self::Health(_, rest) => rest.is_json(),
            _ => false,
        }
    }
}

/// How deep instructions are read that keep instructions. ONBUILD keeps one that is not ONBUILD; what
/// nests deeper is an error later, and is not read here.
const DEEPEST: usize = 2;

impl Statement {
    /// Reads the part of a logical line from `start` on.
    pub(crate) fn read(
        line: &LogicalLine,
        start: usize,
        escape: char,
        depth: usize,
    ) -> Result<Self, SyntaxError> {
        let (from, to) = line.trimmed_range(start, line.text.len());
        let text = line.part(from, to);
        let name = text.split(word::is_space).next().unwrap_or_default();
        let keyword = Word::new(name, line.span(from, from + name.len()));
        let gap = from + name.len();
        let rest = line.part(gap, to);
        let gap = gap + (rest.len() - rest.trim_start_matches(word::is_space).len());
        let (flags, after) = word::flags(line, gap, to, escape);
        let (from, to) = line.trimmed_range(after, to);
        let mut statement = Self {
            flags,
            original: line.part(start, line.text.len()).to_owned(),
            span: line.whole(start),
            keyword,
            ..Self::default()
        };
        statement.arguments = match Keyword::named(&statement.keyword.text) {
            Some(keyword) => arguments(keyword, line, (from, to), escape, depth)?,
            None => Arguments::None,
        };
        Ok(statement)
    }

    /// Whether here-documents may follow it.
    pub(crate) fn takes_heredocs(&self) -> bool {
        let inner = match &self.arguments {
            Arguments::Nested(inner) => inner,
            _ => self,
        };
        let keyword = Keyword::named(&inner.keyword.text);
        keyword.is_some_and(Keyword::takes_heredocs) && !inner.arguments.is_json()
    }
}

type Bytes = (usize, usize);

fn arguments(
    keyword: Keyword,
    line: &LogicalLine,
    (from, to): Bytes,
    escape: char,
    depth: usize,
) -> Result<Arguments, SyntaxError> {
    let text = line.part(from, to);
    let all = || Arguments::Text(Word::new(text, line.span(from, to)));
    if text.is_empty() {
        return Ok(Arguments::None);
    }
    match keyword {
        Keyword::Add | Keyword::Copy | Keyword::Volume => {
            Ok(strings(line, (from, to))?.unwrap_or_else(|| spaced(line, (from, to))))
        }
        Keyword::Cmd | Keyword::Entrypoint | Keyword::Run | Keyword::Shell => {
            Ok(strings(line, (from, to))?.unwrap_or_else(all))
        }
        Keyword::Expose | Keyword::From => Ok(spaced(line, (from, to))),
        Keyword::Arg => Ok(Arguments::Words(word::quoted(line, from, to, escape))),
        Keyword::Env | Keyword::Label => pairs(keyword, line, (from, to), escape),
        Keyword::Maintainer | Keyword::Stopsignal | Keyword::User | Keyword::Workdir => Ok(all()),
        Keyword::Healthcheck => {
            let kind = text.split(char::is_whitespace).next().unwrap_or_default();
            let split = from + kind.len();
            let kind = Word::new(kind, line.span(from, split));
            let (from, to) = line.trimmed_range(split, to);
            let rest = match line.part(from, to) {
                "" => Arguments::None,
                text => strings(line, (from, to))?
                    .unwrap_or_else(|| Arguments::Text(Word::new(text, line.span(from, to)))),
            };
            Ok(Arguments::Health(kind, Box::new(rest)))
        }
        Keyword::Onbuild if depth < DEEPEST => {
            Ok(Arguments::Nested(Box::new(Statement::read(line, from, escape, depth + 1)?)))
        }
        Keyword::Onbuild => Ok(Arguments::None),
    }
}

/// The arguments as an array of strings, where that is what they are.
fn strings(line: &LogicalLine, (from, to): Bytes) -> Result<Option<Arguments>, SyntaxError> {
    match json::read(line.part(from, to)) {
        Json::Strings(found) => {
            let words = found
                .into_iter()
                .map(|(value, start, end)| Word::new(value, line.span(from + start, from + end)));
            Ok(Some(Arguments::Json(words.collect())))
        }
        Json::Other => Err(SyntaxError::NotStrings { span: line.span(from, to) }),
        Json::Not => Ok(None),
    }
}

fn spaced(line: &LogicalLine, (from, to): Bytes) -> Arguments {
    let mut words = Vec::new();
    let mut at = from;
    for part in line.part(from, to).split(word::is_space) {
        if !part.is_empty() {
            words.push(Word::new(part, line.span(at, at + part.len())));
        }
        at += part.len() + 1; // the spaces that part here are one byte each
    }
    Arguments::Words(words)
}

fn pairs(
    keyword: Keyword,
    line: &LogicalLine,
    (from, to): Bytes,
    escape: char,
) -> Result<Arguments, SyntaxError> {
    let words = word::quoted(line, from, to, escape);
    let old = words.first().is_some_and(|first| !first.text.contains('='));
    if old {
        let text = line.part(from, to);
        let key = text.split(word::is_space).next().unwrap_or_default();
        let rest = text.get(key.len()..).unwrap_or_default();
        let start = from + key.len() + (rest.len() - rest.trim_start_matches(word::is_space).len());
        let key = Word::new(key, line.span(from, from + key.len()));
        if rest.is_empty() {
            return Err(SyntaxError::NoValue { keyword, name: key.text, span: key.span });
        }
        let value = Word::new(line.part(start, to), line.span(start, to));
        return Ok(Arguments::Pairs(vec![Pair { key, value, form: PairForm::Space }]));
    }
    let pair = |word: Word| match word.text.split_once('=') {
        Some((key, value)) => Ok(Pair {
            key: Word::new(key, word.span),
            value: Word::new(value, word.span),
            form: PairForm::Equals,
        }),
        None => Err(SyntaxError::NoEquals { keyword, word: word.text, span: word.span }),
    };
    words.into_iter().map(pair).collect::<Result<_, _>>().map(Arguments::Pairs)
}
