//! Small files of every form and corner, with what `BuildKit` said of each when it read it and when it
//! checked it.
//!
//! The data's form: `@ READING CHECKING BYTES ADVICE`, then the file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod asked;

use std::fs;
use std::path::Path;

use corten_dockerfile::{CheckRequest, Dockerfile, check};

use asked::inputs;

/// Files of which we say something else, and why.
const OTHERWISE: [(&str, &str); 8] = [
    ("FROM scratch\nCOPY ${x:?} b\n", "what makes it fail is told once, not as advice besides"),
    ("FROM scratch\nENV a=${a:0}\n", "the same"),
    (
        "FROM scratch\nENV a=${a##*/} b=${a%%x} c=${a/x/y} d=${a//x/y}\n",
        "a variable is told of once for an instruction, not once for each use",
    ),
    ("ARG a\n", "without a stage there is nothing to read it for"),
    ("FROM scratch\n# check=skip=UndefinedVar\nUSER $nope\n", "newer than what was asked"),
    ("FROM scratch\n# check=skip=WorkdirRelativePath\n# x\nWORKDIR a\n", "newer as well"),
    ("FROM scratch\n# check=skip=WorkdirRelativePath\n\nWORKDIR a\n", "newer as well"),
    (
        "FROM scratch\nENV API_KEY=1 KEYS=2 MY_TOKEN_FILE=3 Auth=4\nARG secret\n",
        "newer as well: a FILE is no secret",
    ),
];

#[test]
fn every_form_is_taken_or_refused_as_buildkit_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/check/forms.txt");
    let data = fs::read_to_string(path).unwrap();
    let inputs = inputs();
    let request = CheckRequest::new(&inputs);
    let mut rest = data.as_str();
    let (mut files, mut refused, mut wrong) = (0, 0, Vec::new());
    while let Some((head, after)) = rest.split_once('\n') {
        let fields: Vec<&str> = head.split(' ').collect();
        let ["@", reading, checking, bytes, advice] = fields.as_slice() else { panic!("{head}") };
        let (file, after) = after.split_at(bytes.parse().unwrap());
        rest = &after[1..];
        let read = match Dockerfile::parse(file.as_bytes()) {
            Ok(_) => "accept".to_owned(),
            Err(error) => format!("refuse {error}"),
        };
        let report = check(file.as_bytes(), &request);
        let mut said: Vec<(usize, &str)> =
            report.advice.iter().map(|a| (a.span.start.line, a.check.name())).collect();
        said.sort_unstable();
        let mut said: Vec<String> =
            said.iter().map(|(line, check)| format!("{line}:{check}")).collect();
        if said.is_empty() {
            said.push("-".to_owned());
        }
        let answer = match &report.error {
            Some(error) => format!("error {error:?}"),
            None if report.is_strict && !report.advice.is_empty() => "error".to_owned(),
            None => "ok".to_owned(),
        };
        files += 1;
        refused += usize::from(*reading == "refuse");
        let is_same = read.starts_with(reading)
            && (*checking == "unknown"
                || (answer.starts_with(checking) && said.join(",") == *advice));
        let is_known = OTHERWISE.iter().any(|(known, _)| *known == file);
        if is_same == is_known {
            wrong.push(format!("{file:?}\n  ours   {read} {answer} {said:?}\n  theirs {head}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {files}", wrong.join("\n"), wrong.len());
    assert_eq!((files, refused), (353, 96));
}
