//! Places in a Dockerfile: lines and columns, and from where to where a thing stands.

use std::fmt;

/// A place in the text. Lines and columns count from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// From where to where something stands. `end` is the place after its last character.
///
/// ```
/// use corten_dockerfile::{Position, Span};
///
/// let span = Span::new(Position { line: 2, column: 1 }, Position { line: 4, column: 9 });
/// assert_eq!(span.lines(), 2..=4);
/// assert_eq!(span.to_string(), "2:1");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// The place after the last character.
    pub end: Position,
}

impl Span {
    /// From `start` to before `end`.
    pub fn new(start: Position, end: Position) -> Self {
        Self { start, end }
    }

    /// The whole of one line.
    pub(crate) fn line(line: usize, text: &str) -> Self {
        let end = Position { line, column: text.trim_end().chars().count() + 1 };
        Self { start: Position { line, column: 1 }, end }
    }

    /// The lines it touches, from 1.
    pub fn lines(&self) -> std::ops::RangeInclusive<usize> {
        self.start.line..=self.end.line
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start.fmt(f)
    }
}

/// A piece of the text with its place. What was quoted or continued over lines is shorter than its
/// span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Word {
    pub(crate) fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }
}

/// One instruction's line as it reads when its continuations are put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogicalLine {
    pub(crate) text: String,
    pieces: Vec<Piece>,
}

/// From which place on a part of the logical line comes.
#[derive(Clone, Debug)]
struct Piece {
    at: usize,
    place: Position,
    /// How many characters stand before each stride of its bytes.
    counts: Vec<usize>,
}

/// Bytes between two counts of characters. Without them, long lines of short words take for ever.
const STRIDE: usize = 256;

/// How many characters begin in these bytes.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

impl LogicalLine {
    /// A line of its own, beginning at `place`.
    pub(crate) fn single(text: &str, place: Position) -> Self {
        let mut line = Self::default();
        line.push(text, place);
        line
    }

    /// Puts what stands at `place` behind what is there.
    pub(crate) fn push(&mut self, text: &str, place: Position) {
        let mut count = 0;
        let strides = text.as_bytes().chunks(STRIDE).map(|bytes| {
            let before = count;
            count += characters(bytes);
            before
        });
        self.pieces.push(Piece { at: self.text.len(), place, counts: strides.collect() });
        self.text.push_str(text);
    }

    /// The part from byte `start` to byte `end`.
    pub(crate) fn part(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Where the bytes from `start` to before `end` stand.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        // The end is the place after the last character, which may be on a line before the next.
        let last = self.part(start, end).chars().next_back().map_or(0, char::len_utf8);
        let mut stop = self.place(end.saturating_sub(last));
        if last > 0 {
            stop.column += 1;
        }
        Span::new(self.place(start), stop)
    }

    /// Where the whole line stands from byte `start` on: also an empty line that it begins with.
    pub(crate) fn whole(&self, start: usize) -> Span {
        let span = self.span(start, self.text.len());
        let first = self.pieces.first().filter(|_| start == 0);
        Span { start: first.map_or(span.start, |piece| piece.place), ..span }
    }

    fn place(&self, offset: usize) -> Position {
        let behind = self.pieces.partition_point(|piece| piece.at <= offset);
        let piece = behind.checked_sub(1).and_then(|number| self.pieces.get(number));
        let Some(piece) = piece else { return Position::default() };
        let stride = ((offset - piece.at) / STRIDE).min(piece.counts.len().saturating_sub(1));
        let from = piece.at + stride * STRIDE;
        let rest = self.text.as_bytes().get(from..offset).unwrap_or_default();
        let before = piece.counts.get(stride).copied().unwrap_or_default() + characters(rest);
        Position { line: piece.place.line, column: piece.place.column + before }
    }

    /// The same without the white space around it.
    pub(crate) fn trimmed_range(&self, start: usize, end: usize) -> (usize, usize) {
        let text = self.part(start, end);
        let from = start + (text.len() - text.trim_start().len());
        let to = from + text.trim().len();
        (from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_continued_line_stands_where_it_was_written() {
        let mut line = LogicalLine::default();
        line.push("RUN a ", Position { line: 3, column: 1 });
        line.push("  bé c", Position { line: 5, column: 1 });
        let at = line.text.find("bé").unwrap();
        let span = line.span(at, at + "bé".len());
        let place = |column| Position { line: 5, column };
        assert_eq!(span, Span::new(place(3), place(5)));
        assert_eq!(line.span(0, line.text.len()).lines(), 3..=5);
    }

    #[test]
    fn columns_count_characters_also_far_along_a_line() {
        let line = LogicalLine::single(&"éa".repeat(1000), Position { line: 1, column: 1 });
        for number in [0, 1, 170, 171, 172, 999] {
            let span = line.span(number * 3, number * 3 + 2);
            assert_eq!((span.start.column, span.end.column), (number * 2 + 1, number * 2 + 2));
        }
    }
}
