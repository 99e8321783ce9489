//! `BuildKit`'s tests of its checks: which rule speaks of which line.
//!
//! The data's form: `@ NAME BYTES IGNORE-BYTES ANSWER`, then build arguments (`= NAME=VALUE`) and
//! expected advice (`! LINE RULE`), a line with a dot, the Dockerfile and the `.dockerignore`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod asked;

use std::fs;
use std::path::Path;

use corten_dockerfile::{
    BaseImage, BaseImages, BuildInputs, Check, CheckError, CheckOptions, CheckReport, CheckRequest,
    IgnoreFile, NoBases, Trigger, check,
};

use asked::inputs;

/// All images have nothing but a path.
struct Plain;

impl BaseImages for Plain {
    fn image(&self, _name: &str, _platform: Option<&str>) -> Option<BaseImage> {
        let path = ("PATH".to_owned(), "/usr/bin".to_owned());
        Some(BaseImage { environment: vec![path], ..BaseImage::default() })
    }
}

struct Case {
    name: String,
    answer: String,
    inputs: BuildInputs,
    expected: Vec<(usize, String)>,
    file: Vec<u8>,
    ignore: Option<IgnoreFile>,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/check/checks.txt");
    let data = fs::read_to_string(path).unwrap();
    let mut rest = data.as_str();
    let mut cases = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_once('\n').unwrap();
        rest = after;
        let fields: Vec<&str> = head.split(' ').collect();
        let ["@", name, bytes, ignored, answer] = fields.as_slice() else { panic!("{head}") };
        let mut inputs = inputs();
        let mut expected = Vec::new();
        loop {
            let (line, after) = rest.split_once('\n').unwrap();
            rest = after;
            if let Some(arg) = line.strip_prefix("= ") {
                let (key, value) = arg.split_once('=').unwrap();
                inputs.args.insert(key.to_owned(), value.to_owned());
            } else if let Some(said) = line.strip_prefix("! ") {
                let (number, rule) = said.split_once(' ').unwrap();
                expected.push((number.parse().unwrap(), rule.to_owned()));
            } else {
                assert_eq!(line, ".");
                break;
            }
        }
        let mut take = |bytes: &str| {
            let (taken, after) = rest.split_at(bytes.parse().unwrap());
            rest = after.strip_prefix('\n').unwrap();
            taken.as_bytes()
        };
        let file = take(bytes).to_vec();
        let ignore = (*ignored != "-").then(|| IgnoreFile::parse(take(ignored)).unwrap());
        let (name, answer) = ((*name).to_owned(), (*answer).to_owned());
        cases.push(Case { name, answer, inputs, expected, file, ignore });
    }
    cases
}

fn said(report: &CheckReport) -> Vec<(usize, String)> {
    let mut said: Vec<(usize, String)> = report
        .advice
        .iter()
        .map(|advice| (advice.span.start.line, advice.check.to_string()))
        .collect();
    said.sort();
    said
}

#[test]
fn every_check_speaks_of_the_lines_that_buildkit_speaks_of() {
    let cases = cases();
    assert_eq!(cases.len(), 87);
    let mut wrong = Vec::new();
    for case in &cases {
        let options = case.inputs.args.get("BUILDKIT_DOCKERFILE_CHECK");
        let options = options.map(|text| CheckOptions::parse(text).unwrap());
        let request = CheckRequest {
            ignore: case.ignore.as_ref(),
            bases: &Plain,
            options: options.as_ref(),
            ..CheckRequest::new(&case.inputs)
        };
        let report = check(&case.file, &request);
        let answer = match &report.error {
            Some(error) => format!("error:{}", error.span().unwrap().start.line),
            None if report.is_strict && !report.advice.is_empty() => "strict".to_owned(),
            None => "ok".to_owned(),
        };
        if (said(&report), &answer) != (case.expected.clone(), &case.answer) {
            wrong.push(format!("{}: {answer} {report:#?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn request<'a>(inputs: &'a BuildInputs, bases: &'a dyn BaseImages) -> CheckRequest<'a> {
    CheckRequest { bases, ..CheckRequest::new(inputs) }
}

#[test]
fn a_base_for_another_platform_is_told() {
    struct Arm;
    impl BaseImages for Arm {
        fn image(&self, name: &str, _platform: Option<&str>) -> Option<BaseImage> {
            let platform = ("linux".to_owned(), "arm64".to_owned());
            (name == "arm").then(|| BaseImage { platform: Some(platform), ..BaseImage::default() })
        }
    }
    let file = b"FROM arm\nFROM --platform=linux/arm64 arm AS arm64\nFROM other\n";
    let report = check(file, &request(&inputs(), &Arm));
    assert_eq!(said(&report), [(1, "InvalidBaseImagePlatform".to_owned())]);
}

#[test]
fn what_an_unknown_base_may_set_is_not_undefined() {
    let file = b"FROM other\nCOPY $A .\nFROM scratch\nCOPY $A .\n";
    let report = check(file, &request(&inputs(), &NoBases));
    assert_eq!(said(&report), [(4, "UndefinedVar".to_owned())]);
}

#[test]
fn what_a_base_keeps_is_done_first() {
    struct Keeps;
    impl BaseImages for Keeps {
        fn image(&self, _name: &str, _platform: Option<&str>) -> Option<BaseImage> {
            let triggers = vec![Trigger { expression: "ENV A=x".to_owned() }];
            Some(BaseImage { triggers, ..BaseImage::default() })
        }
    }
    let report = check(b"FROM a\nUSER $A\n", &request(&inputs(), &Keeps));
    assert_eq!(report, CheckReport { advice: Vec::new(), error: None, is_strict: false });
    let own = b"FROM scratch AS a\nONBUILD ENV A=x\nUSER $A\nFROM a\nUSER $A\n";
    assert_eq!(said(&check(own, &request(&inputs(), &NoBases))), [(3, "UndefinedVar".to_owned())]);
}

#[test]
fn what_reads_well_and_cannot_be_carried_out_is_an_error() {
    for (line, text) in [
        ("RUN --mount=type=bnd x", "the field `type` cannot be `bnd`"),
        ("RUN --mount=type=cache,size=1m x", "a mount of type cache has no `size`"),
        ("EXPOSE 80/http", "`http` is no protocol, only tcp, udp and sctp are"),
        ("STOPSIGNAL SIGNOT", "there is no signal `SIGNOT`"),
        ("ENV a=${b", "a substitution is not closed by `}` in `${b`"),
        ("USER ${u:?who}", "u: who"),
    ] {
        let file = format!("FROM scratch\n{line}\n");
        let report = check(file.as_bytes(), &request(&inputs(), &NoBases));
        let Some(CheckError::Command { span, source }) = report.error else { panic!("{line}") };
        assert_eq!((span.start.line, source.to_string().as_str()), (2, text), "{line}");
    }
}

#[test]
fn every_check_has_a_name_of_its_own_and_a_sentence() {
    let names: std::collections::BTreeSet<&str> = Check::ALL.map(Check::name).into();
    let sentences: std::collections::BTreeSet<&str> = Check::ALL.map(Check::summary).into();
    assert_eq!((names.len(), sentences.len()), (22, 22));
    assert!(Check::ALL.iter().all(|check| format!("{check:?}") == check.name()));
}
