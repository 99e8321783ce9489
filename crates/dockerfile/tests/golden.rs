//! The syntax trees of `BuildKit`'s own parser tests, as S-expressions, and its lists of what is no
//! Dockerfile.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use corten_dockerfile::{
    Arguments, Dockerfile, PairForm, Position, Span, Statement, Syntax, SyntaxError, Word,
};

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder)
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(data(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// A text as Go quotes it.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            c if c < ' ' => write!(quoted, "\\x{:02x}", u32::from(c)).unwrap(),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn words(dump: &mut String, words: &[Word]) {
    for word in words {
        write!(dump, " {}", quoted(&word.text)).unwrap();
    }
}

fn arguments(dump: &mut String, arguments: &Arguments) {
    match arguments {
        Arguments::None => {}
        Arguments::Text(word) => words(dump, std::slice::from_ref(word)),
        Arguments::Words(list) | Arguments::Json(list) => words(dump, list),
        Arguments::Pairs(pairs) => {
            for pair in pairs {
                let form = if pair.form == PairForm::Equals { "=" } else { "" };
                let (key, value) = (quoted(&pair.key.text), quoted(&pair.value.text));
                write!(dump, " {key} {value} {}", quoted(form)).unwrap();
            }
        }
        Arguments::Nested(statement) => write!(dump, " {}", expression(statement)).unwrap(),
        Arguments::Health(kind, rest) => {
            words(dump, std::slice::from_ref(kind));
            self::arguments(dump, rest);
        }
    }
}

fn expression(statement: &Statement) -> String {
    let mut dump = format!("({}", statement.keyword.text.to_lowercase());
    if !statement.flags.is_empty() {
        let flags: Vec<String> = statement.flags.iter().map(|flag| quoted(&flag.text)).collect();
        write!(dump, " [{}]", flags.join(" ")).unwrap();
    }
    arguments(&mut dump, &statement.arguments);
    dump.push(')');
    dump
}

#[test]
fn all_trees_of_buildkit_are_ours() {
    let cases = cases("parser");
    assert_eq!(cases.len(), 33);
    for case in cases {
        let syntax = Syntax::read(&fs::read(case.join("Dockerfile")).unwrap()).unwrap();
        let dump: Vec<String> = syntax.statements.iter().map(expression).collect();
        let expected = fs::read_to_string(case.join("result")).unwrap();
        assert_eq!(dump.join("\n"), expected.trim_end(), "{}", case.display());
    }
}

#[test]
fn what_buildkit_refuses_is_refused() {
    let cases = cases("parser-negative");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let bytes = fs::read(case.join("Dockerfile")).unwrap();
        assert!(Dockerfile::parse(&bytes).is_err(), "{}", case.display());
    }
}

#[test]
fn instructions_stand_on_their_lines() {
    let syntax = Syntax::read(&fs::read(data("parser-line/Dockerfile")).unwrap()).unwrap();
    let lines: Vec<_> = syntax.statements.iter().map(|statement| statement.span.lines()).collect();
    assert_eq!(lines, [5..=5, 11..=12, 17..=31]);
}

#[test]
fn empty_lines_within_instructions_are_found() {
    let text = "FROM a\nRUN x \\\n\n y \\\n\n z\nRUN a \\\n# c\n b\nRUN c \\\n\t \n d\n";
    let syntax = Syntax::read(text.as_bytes()).unwrap();
    let lines: Vec<usize> = syntax.empty_continuations.iter().map(|span| span.start.line).collect();
    assert_eq!(lines, [6, 12]);
    assert_eq!(syntax.statements[1].original, "RUN x  y  z");
}

#[test]
fn a_line_has_at_most_65535_bytes() {
    let line = |length: usize| format!("FROM a\nLABEL a={}", "b".repeat(length - 8));
    assert!(Syntax::read(line(65_535).as_bytes()).is_ok());
    let too_long = Syntax::read(line(65_536).as_bytes());
    assert_eq!(too_long, Err(SyntaxError::LongLine { line: 2 }));
    let too_large = Syntax::read("FROM a\n".repeat(1 << 20).as_bytes());
    assert_eq!(too_large, Err(SyntaxError::TooLarge { size: 7 << 20 }));
}

#[test]
fn words_flags_and_keys_have_their_places() {
    let text = "FROM a\n  COPY --from=x \\\n   b  c\nENV d=e \\\n f='g h'";
    let syntax = Syntax::read(text.as_bytes()).unwrap();
    let at =
        |line, from, to| Span::new(Position { line, column: from }, Position { line, column: to });
    let copy = &syntax.statements[1];
    assert_eq!(copy.keyword.span, at(2, 3, 7));
    assert_eq!(copy.flags[0].span, at(2, 8, 16));
    let Arguments::Words(list) = &copy.arguments else { panic!("{copy:?}") };
    assert_eq!([list[0].span, list[1].span], [at(3, 4, 5), at(3, 7, 8)]);
    let Arguments::Pairs(pairs) = &syntax.statements[2].arguments else { panic!() };
    assert_eq!(pairs[1].key.span, at(5, 2, 9));
}

#[test]
fn the_escape_character_of_a_directive_continues_lines() {
    let text = "# escape=`\nFROM a\nRUN dir c:\\ `\n  b\n";
    let syntax = Syntax::read(text.as_bytes()).unwrap();
    assert_eq!(syntax.escape, '`');
    assert_eq!(syntax.statements[1].original, "RUN dir c:\\   b");
    for wrong in ["# escape=x\nFROM a", "# escape=\\\n# Escape=`\nFROM a"] {
        assert!(Syntax::read(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn here_documents_are_read_behind_their_line() {
    let text = "FROM a\nRUN <<A cat 3<<-\"B\"\none $x\nA\n\ttwo\n\tB\n\
                COPY <<c.txt <<d /e/\nc\nc.txt\nd\nONBUILD RUN <<E\nin\nE\nRUN [\"<<X\"]\n";
    let syntax = Syntax::read(text.as_bytes()).unwrap();
    let found: Vec<Vec<(String, String, bool)>> = syntax
        .statements
        .iter()
        .map(|statement| {
            let docs = statement.heredocs.iter();
            docs.map(|doc| (doc.name.clone(), doc.body.clone(), doc.expand)).collect()
        })
        .collect();
    let doc = |name: &str, body: &str, expand| (name.to_owned(), body.to_owned(), expand);
    assert_eq!(found[1], [doc("A", "one $x\n", true), doc("B", "\ttwo\n", false)]);
    assert_eq!(found[2], [doc("c.txt", "c\n", true), doc("d", "", true)]);
    assert_eq!(found[3], [doc("E", "in\n", true)]);
    assert_eq!(found[4], []);
    assert_eq!(syntax.statements[1].span.lines(), 2..=6);
    let open = Syntax::read(b"FROM a\nRUN <<A\nx");
    assert!(matches!(open, Err(SyntaxError::OpenHeredoc { name, .. }) if name == "A"));
}
