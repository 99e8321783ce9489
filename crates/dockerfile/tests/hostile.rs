//! Files that are made to take long: each is read and checked, or refused, in a moment.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;

use corten_dockerfile::{
    BuildInputs, CheckReport, CheckRequest, Dockerfile, DockerfileError, IgnoreFile, check, outline,
};

/// `piece` as often as it fits into a megabyte between `start` and `end`.
fn filled(start: &str, piece: &str, end: &str) -> String {
    let count = ((1 << 20) - start.len() - end.len()) / piece.len();
    format!("{start}{}{end}", piece.repeat(count))
}

fn checked(file: &str) -> CheckReport {
    let inputs = BuildInputs::default();
    let request = CheckRequest::new(&inputs);
    if let Ok(file) = Dockerfile::parse(file.as_bytes()) {
        let _ = outline(&file, &request);
    }
    check(file.as_bytes(), &request)
}

#[test]
fn many_short_words_end() {
    checked(&filled("FROM scratch\nVOLUME ", "a \\\n", "b\n"));
    let line = "é ".repeat(21_000);
    checked(&filled("FROM scratch\n", &format!("VOLUME {line}\n"), ""));
    checked(&filled("FROM scratch\nENV ", "$a=$b \\\n", "c=d\n"));
}

#[test]
fn many_different_names_end() {
    let mut names = "FROM scratch".to_owned();
    let mut line = "\nLABEL a=".to_owned();
    for number in 0..100_000 {
        writeln!(names, "$n{number}\\").unwrap();
        writeln!(line, "$n{number}\\").unwrap();
    }
    assert!(checked(&names).advice.len() > 50_000);
    assert!(checked(&format!("FROM scratch{line}\n")).advice.len() > 50_000);
    let mut arguments = String::new();
    for number in 0..100_000 {
        writeln!(arguments, "# n{number} x").unwrap();
    }
    arguments.push_str("ARG a");
    for number in 0..100_000 {
        write!(arguments, " \\\nn{number}").unwrap();
    }
    checked(&format!("{arguments}\nFROM scratch\n"));
}

#[test]
fn many_stages_and_triggers_are_refused() {
    let stages = Dockerfile::parse(filled("", "FROM scratch\n", "").as_bytes());
    assert!(matches!(stages, Err(DockerfileError::TooMany { what: "stages", .. })));
    let triggers = filled("FROM scratch\n", "ONBUILD USER a\n", "");
    assert!(Dockerfile::parse(triggers.as_bytes()).is_err());
    let nested = filled("FROM scratch\n", "ONBUILD \\\n", "RUN a\n");
    assert!(Dockerfile::parse(nested.as_bytes()).is_err());
}

#[test]
fn stages_that_need_each_other_end() {
    let mut file = String::new();
    for number in 0..900 {
        writeln!(file, "FROM scratch AS s{number}\nONBUILD USER a").unwrap();
    }
    file.push_str("FROM s0\n");
    let copies = filled(&file, "COPY --from=s899 a b\n", "");
    assert_eq!(checked(&copies).error, None);
    let early = filled("FROM scratch\n", "COPY --from=x a b\n", "FROM scratch AS x\n");
    assert!(checked(&early).error.is_some());
}

#[test]
fn values_that_double_are_refused() {
    let mut file = "FROM scratch\nENV a=0123456789\n".to_owned();
    for _ in 0..64 {
        file.push_str("ENV a=$a$a\n");
    }
    assert!(checked(&file).error.is_some());
    let large = "x".repeat(60_000);
    let labels = format!("FROM scratch\nENV a={large}\nLABEL {}b=c\n", "a=$a \\\n".repeat(100_000));
    assert!(checked(&labels).error.is_some());
}

#[test]
fn patterns_that_try_everything_end() {
    let pattern = "a*".repeat(2_000);
    let path = "a".repeat(4_000);
    let ignore = IgnoreFile::parse(format!("**/{pattern}b\n{pattern}c").as_bytes()).unwrap();
    assert!(!ignore.excludes(&path));
    assert!(IgnoreFile::parse("a\n".repeat(20_000).as_bytes()).is_err());
}
