//! `BuildKit`'s tables of substitution and of words, row by row.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use corten_dockerfile::{Action, Dockerfile, ExpandError, Expander, Unset};

fn table(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/words").join(name);
    fs::read_to_string(path).unwrap()
}

#[test]
fn all_rows_of_variables_hold() {
    let variables = vec![("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")];
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in table("variables.txt").lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with('W') {
            continue;
        }
        rows += 1;
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, source, expected] = parts.as_slice() else { panic!("{line}") };
        let found = Expander::new('\\').word(source, &variables).map(|found| found.text);
        let found = found.unwrap_or_else(|_| "error".to_owned());
        if found != *expected {
            wrong.push(format!("{line}: {found}"));
        }
    }
    assert_eq!((rows, wrong), (ROWS_OF_VARIABLES, Vec::new()));
}

const ROWS_OF_VARIABLES: usize = 228;

#[test]
fn all_rows_of_words_hold() {
    let mut variables: Vec<(String, String)> = Vec::new();
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in table("words.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(setting) = line.strip_prefix("ENV ") {
            let (key, value) = setting.split_once('=').unwrap();
            variables = vec![(key.to_owned(), value.to_owned())];
            continue;
        }
        rows += 1;
        let (source, expected) = line.split_once('|').unwrap();
        let found = Expander::new('\\').words(source.trim(), &variables);
        let found = found.unwrap_or_else(|_| vec!["error".to_owned()]).join(",");
        if found != expected.trim_start() {
            wrong.push(format!("{line}: {found}"));
        }
    }
    assert_eq!((rows, wrong), (ROWS_OF_WORDS, Vec::new()));
}

const ROWS_OF_WORDS: usize = 24;

/// Expressions made at random, and what `BuildKit` made of each as the value of a label.
#[test]
fn all_expressions_have_the_values_that_buildkit_gives_them() {
    let variables = vec![("A", "a"), ("E", ""), ("P", "/usr/local/bin:/bin"), ("U", "ünïn")];
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in table("expressions.txt").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [answer, expression, value] = fields.as_slice() else { panic!("{line}") };
        let file = format!("FROM scratch\nLABEL l={expression}\n");
        let file = Dockerfile::parse(file.as_bytes()).unwrap();
        let found = file.stages[0].commands[0].substitute('\\', &variables);
        let ours = match found.map(|done| done.command.action) {
            Ok(Action::Label(pairs)) => format!("ok\t{}", pairs[0].value),
            _ => "error\t".to_owned(),
        };
        rows += 1;
        if ours != format!("{answer}\t{value}") {
            wrong.push(format!("{line}: {ours}"));
        }
    }
    assert_eq!((rows, wrong), (1774, Vec::new()));
}

#[test]
fn a_variable_can_be_required() {
    let expand = |word: &str, variables: &[(&str, &str)]| {
        Expander::new('\\').word(word, variables).map(|found| found.text)
    };
    let required = |message: &str| {
        Err(ExpandError::Required { name: "VAR".to_owned(), message: message.to_owned() })
    };
    let (or_empty, unset) = ("${VAR:?message here$ARG}", "${VAR?message here$ARG}");
    let (set, empty, without) =
        ([("VAR", "plain"), ("ARG", "x")], [("VAR", ""), ("ARG", "x")], [("ARG", "x")]);
    assert_eq!(expand(or_empty, &set), Ok("plain".to_owned()));
    assert_eq!(expand(or_empty, &empty), required("message herex"));
    assert_eq!(expand(or_empty, &without), required("message herex"));
    assert_eq!(expand(unset, &set), Ok("plain".to_owned()));
    assert_eq!(expand(unset, &empty), Ok(String::new()));
    assert_eq!(expand("${VAR?}", &without), required("must not be unset"));
    assert_eq!(expand("${VAR:?}", &empty), required("must not be empty"));
}

#[test]
fn unset_variables_can_stay() {
    let keep = Expander::new('\\').unset(Unset::Keep);
    let kept = |word: &str| keep.word(word, &vec![("A", "a")]).unwrap().text;
    assert_eq!(
        kept("$A $B ${B} ${B:-c$A} ${B%x*} ${B/x/y}"),
        "a $B ${B} ${B:-ca} ${B%x*} ${B/x/y}"
    );
}

#[test]
fn the_escape_character_is_the_files() {
    let expand = |word: &str| Expander::new('`').word(word, &vec![("A", "a")]).unwrap().text;
    assert_eq!(expand("c:\\$A`$A\"`$A``\""), "c:\\a$A$A`");
}

#[test]
fn quotes_in_here_documents_are_characters() {
    let text = "it's \"$A\" \\$A ${B:-b}\n";
    let found = Expander::heredoc().word(text, &vec![("A", "a")]).unwrap();
    assert_eq!(found.text, "it's \"a\" $A b\n");
}

#[test]
fn what_grows_or_nests_without_end_is_refused() {
    let big = "x".repeat(1 << 19);
    let found = Expander::new('\\').word("$A$A$A", &vec![("A", big.as_str())]);
    assert_eq!(found, Err(ExpandError::TooLong));
    let deep = "${A:-".repeat(20_000);
    let nothing: Vec<(&str, &str)> = Vec::new();
    assert_eq!(Expander::new('\\').word(&deep, &nothing), Err(ExpandError::TooDeep));
}
