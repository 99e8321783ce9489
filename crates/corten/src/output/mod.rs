//! What a person or a program sees: tables and trees on standard output, progress on standard
//! error, JSON when asked.

mod board;
mod progress;
mod screen;
mod text;
mod watch;

pub(crate) use progress::{Bars, Lines};
pub(crate) use screen::{Colours, Screen};
pub(crate) use text::{Table, age, bytes, count, tree};
pub(crate) use watch::{JsonLines, Nothing, PlainLines, Watcher, Watching, is_json, write_json};
use watch::{Seen, seen};

use std::io::Write;

use serde::Serialize;

use crate::Failure;
use crate::plain::{plain_json, plain_lines};

/// Writes `text` to standard output. Control characters other than line breaks never reach it,
/// whoever forgot them above; texts that must stay in their line go through [`crate::plain::plain`].
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(plain_lines(text).as_bytes())
}

/// Tells the user something beside what was asked, on standard error.
pub(crate) fn note(text: &str) {
    if seen(Seen::Note(text)) {
        return;
    }
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "note: {}", crate::plain::plain(text));
}

/// Writes `bytes` to standard output as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| Failure::Io {
        object: "standard output".to_owned(),
        action: "writing",
        source,
    })
}

/// Writes `report` as indented JSON with a final newline.
pub(crate) fn print_json(report: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(report).map_err(|source| Failure::Io {
        object: "standard output".to_owned(),
        action: "writing JSON",
        source: source.into(),
    })?;
    print_bytes(format!("{}\n", plain_json(&text)).as_bytes())
}
