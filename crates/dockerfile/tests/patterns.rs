//! `patternmatcher`'s tables of paths and patterns, and the rules of `.dockerignore`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use corten_dockerfile::{Glob, IgnoreFile, ParentMatches, PatternError};

/// The answer of a walk from the root down.
fn walked(ignore: &IgnoreFile, path: &str) -> bool {
    let mut known = ParentMatches::default();
    for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
        known = ignore.excludes_below(&path[..at], &known).1;
    }
    ignore.excludes_below(path, &known).0
}

#[test]
fn all_rows_of_patternmatcher_hold() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pattern/patterns.txt");
    let (mut rows, mut wrong) = (0, Vec::new());
    for row in fs::read_to_string(path).unwrap().lines().filter(|line| !line.starts_with('#')) {
        rows += 1;
        let fields: Vec<&str> = row.split('\t').collect();
        let [kind, patterns, path, expected] = fields.as_slice() else { panic!("{row}") };
        let answers = match IgnoreFile::from_patterns(patterns.split(" ; ")) {
            Err(_) => vec!["error".to_owned()],
            Ok(ignore) => {
                vec![ignore.excludes(path).to_string(), walked(&ignore, path).to_string()]
            }
        };
        let mut right = answers.iter().all(|answer| answer == expected);
        // The rows of Go's own table speak of whole names, but for one that speaks of a parent.
        if *kind == "glob" && *path != "ab/c" {
            let glob = Glob::parse(patterns).map(|glob| glob.matches(path).to_string());
            right &= glob.unwrap_or_else(|_| "error".to_owned()) == *expected;
        }
        if !right {
            wrong.push(format!("{row}: {answers:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rows, ROWS);
}

const ROWS: usize = 134;

/// The files that a walk finds which does not go where nothing can be let in.
fn found<'a>(ignore: &IgnoreFile, files: &[&'a str]) -> Vec<&'a str> {
    let is_found = |path: &&&str| {
        let mut known = ParentMatches::default();
        for (at, _) in path.match_indices('/') {
            let (excluded, below) = ignore.excludes_below(&path[..at], &known);
            if excluded && !ignore.may_let_in_below(&path[..at]) {
                return false;
            }
            known = below;
        }
        !ignore.excludes_below(path, &known).0
    };
    files.iter().filter(is_found).copied().collect()
}

/// The data's form: a tree of files; then the lines of an ignore file with tabs between, and after `= `
/// which files `BuildKit` took: a one, and a binary digit for each file, in hexadecimal digits.
#[test]
fn contexts_have_the_files_that_buildkit_takes() {
    let data = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pattern").join(name);
        fs::read_to_string(path).unwrap()
    };
    let tree = data("tree.txt");
    let files: Vec<&str> = tree.lines().collect();
    let (mut rows, mut wrong) = (0, Vec::new());
    for row in data("contexts.txt").lines() {
        rows += 1;
        let (lines, answer) = row.rsplit_once("\t= ").unwrap();
        let ignore = IgnoreFile::parse(lines.replace('\t', "\n").as_bytes());
        let (Ok(ignore), true) = (&ignore, answer != "error") else {
            if ignore.is_ok() || answer != "error" {
                wrong.push(format!("{lines}: {ignore:?} {answer}"));
            }
            continue;
        };
        let digits = answer.chars().flat_map(|digit| {
            let digit = digit.to_digit(16).unwrap();
            (0..4).rev().map(move |bit| digit >> bit & 1 == 1)
        });
        let taken: Vec<bool> = digits.skip_while(|bit| !bit).skip(1).collect();
        let pairs = files.iter().zip(&taken);
        let theirs: Vec<&str> = pairs.filter(|(_, bit)| **bit).map(|(file, _)| *file).collect();
        let ours = found(ignore, &files);
        if (ours != theirs) || taken.len() != files.len() {
            let odd = |a: &[&str], b: &[&str]| -> Vec<String> {
                a.iter().filter(|f| !b.contains(f)).map(|f| (*f).to_owned()).collect()
            };
            wrong.push(format!("{lines:?}: +{:?} -{:?}", odd(&ours, &theirs), odd(&theirs, &ours)));
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {rows}", wrong.join("\n"), wrong.len());
    assert_eq!((rows, files.len()), (187, 333));
}

#[test]
fn lines_of_an_ignore_file_are_cleaned() {
    let file = IgnoreFile::parse(
        b"\xef\xbb\xbftest1\r\n/test2\n  a//./file/\n\n# test3\n #test4\n! /a/file/keep \n",
    )
    .unwrap();
    let patterns: Vec<&str> = file.patterns().collect();
    assert_eq!(patterns, ["test1", "test2", "a/file", "#test4"]);
    assert!(file.has_exceptions());
    assert!(file.excludes("a/file/x") && !file.excludes("a/file/keep/x"));
    assert_eq!(IgnoreFile::parse(b"a\n!\n"), Err(PatternError::Exception { line: 2 }));
    assert!(matches!(IgnoreFile::parse(b"[z-a]"), Err(PatternError::Malformed { .. })));
}

#[test]
fn it_is_not_what_git_ignores() {
    let ignore = IgnoreFile::parse(b"*.o\nbuild/\n/top\n").unwrap();
    assert!(ignore.excludes("a.o") && !ignore.excludes("src/a.o"));
    assert!(ignore.excludes("build") && ignore.excludes("build/x") && ignore.excludes("top"));
    assert!(!ignore.excludes("src/build"));
}

#[test]
fn a_directory_is_walked_where_something_in_it_may_be_let_in() {
    let ignore = IgnoreFile::parse(b"*\n!src/keep/*.c\n!docs\n").unwrap();
    for walked in ["src", "src/keep", "src/keep/deeper"] {
        assert!(ignore.may_let_in_below(walked), "{walked}");
    }
    for left in ["source", "src/other", "docs"] {
        assert!(!ignore.may_let_in_below(left), "{left}");
    }
    assert!(IgnoreFile::parse(b"*\n!**/x").unwrap().may_let_in_below("any/where"));
}
