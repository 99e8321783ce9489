//! Public Dockerfiles, with what `BuildKit` said of each: taken or refused, and its stages.
//!
//! The data's form: `@ ANSWER STAGES BYTES PATH`, a line for each stage
//! (`+ FIRST-LAST`, name, base, platform and description, with tabs between), then the file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod asked;

use std::fs;
use std::path::Path;

use corten_dockerfile::{
    BuildInputs, CheckRequest, Dockerfile, OutlineArg, OutlineNeed, check, detect_syntax, outline,
};

use asked::inputs;

#[derive(Debug)]
struct Case {
    path: String,
    answer: Answer,
    stages: Vec<String>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Accept,
    Refuse,
    /// Refused for a flag that came after the frontend that was asked.
    Later,
}

fn cases(name: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corpus").join(name);
    let data = fs::read(path).unwrap();
    let mut rest = data.as_slice();
    let mut cases = Vec::new();
    while !rest.is_empty() {
        let head = line(&mut rest);
        let fields: Vec<&str> = head.splitn(5, ' ').collect();
        let ["@", answer, stages, bytes, path] = fields.as_slice() else { panic!("{head}") };
        let answer = match *answer {
            "accept" => Answer::Accept,
            "refuse" => Answer::Refuse,
            "later" => Answer::Later,
            _ => panic!("{head}"),
        };
        let stages = (0..stages.parse().unwrap()).map(|_| line(&mut rest)).collect();
        let (file, after) = rest.split_at(bytes.parse().unwrap());
        rest = after.strip_prefix(b"\n").unwrap();
        cases.push(Case { path: (*path).to_owned(), answer, stages, bytes: file.to_vec() });
    }
    cases
}

fn line(rest: &mut &[u8]) -> String {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
    let (line, after) = rest.split_at(end);
    *rest = &after[1..];
    String::from_utf8(line.to_vec()).unwrap()
}

/// The stages, written as the data has them.
fn stages(file: &Dockerfile) -> Vec<String> {
    let stage = |stage: &corten_dockerfile::Stage| {
        format!(
            "+ {}-{}\t{}\t{}\t{}\t{}",
            stage.span.lines().start(),
            stage.span.lines().end(),
            stage.name.as_deref().unwrap_or_default(),
            stage.base.text,
            stage.platform.as_ref().map(|word| word.text.as_str()).unwrap_or_default(),
            stage.description.as_deref().unwrap_or_default(),
        )
    };
    file.stages.iter().map(stage).collect()
}

fn compare(name: &str, accepted: usize, refused: usize) {
    let cases = cases(name);
    let mut wrong = Vec::new();
    for case in &cases {
        match (case.answer, Dockerfile::parse(&case.bytes)) {
            (Answer::Accept, Ok(file)) if stages(&file) == case.stages => {}
            (Answer::Refuse, Err(_)) | (Answer::Later, Ok(_)) => {}
            (_, Ok(file)) => wrong.push(format!(
                "{}: {:?}\n  ours   {:?}\n  theirs {:?}",
                case.path,
                case.answer,
                stages(&file),
                case.stages
            )),
            (_, Err(error)) => wrong.push(format!("{}: {}: {error}", case.path, error.span())),
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {}", wrong.join("\n"), wrong.len(), cases.len());
    let refusals = cases.iter().filter(|case| case.answer == Answer::Refuse).count();
    assert_eq!((cases.len() - refusals, refusals), (accepted, refused));
}

#[test]
fn buildkits_files_are_read_as_buildkit_reads_them() {
    compare("buildkit.txt", 136, 12);
}

#[test]
fn buildahs_files_are_read_as_buildkit_reads_them() {
    compare("buildah.txt", 343, 12);
}

#[test]
fn imagebuilders_files_are_read_as_buildkit_reads_them() {
    compare("imagebuilder.txt", 83, 6);
}

#[test]
fn kanikos_files_are_read_as_buildkit_reads_them() {
    compare("kaniko.txt", 85, 0);
}

/// The file with `scratch` in place of every base that is no stage, so that no image is asked for.
fn without_images(bytes: &[u8]) -> String {
    let file = Dockerfile::parse(bytes).unwrap();
    let source = String::from_utf8(bytes.to_vec()).unwrap();
    let mut lines: Vec<String> = source.split_inclusive('\n').map(str::to_owned).collect();
    for (number, stage) in file.stages.iter().enumerate() {
        let name = Some(stage.base.text.as_str());
        if file.stages[..number].iter().any(|stage| stage.name.as_deref() == name) {
            continue;
        }
        let span = stage.base.span;
        let line = &mut lines[span.start.line - 1];
        let before: String = line.chars().take(span.start.column - 1).collect();
        let after: String = line.chars().skip(span.end.column - 1).collect();
        *line = format!("{before}scratch{after}");
    }
    lines.concat()
}

#[test]
fn changed_files_are_read_as_buildkit_reads_them() {
    compare("changed.txt", 665, 943);
}

fn request(inputs: &BuildInputs) -> CheckRequest<'_> {
    CheckRequest::new(inputs)
}

/// The data's form: repository, path, whether `BuildKit` says that it builds, and its advice.
#[test]
fn all_files_have_the_advice_that_buildkit_has_for_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/check/scratch.txt");
    let table = fs::read_to_string(path).unwrap();
    let inputs = inputs();
    let request = request(&inputs);
    let (mut files, mut pieces, mut wrong) = (0, 0, Vec::new());
    for repository in ["buildkit", "imagebuilder", "kaniko", "buildah"] {
        for case in cases(&format!("{repository}.txt")) {
            let start = format!("{repository} {}\t", case.path);
            let Some(row) = table.lines().find_map(|row| row.strip_prefix(&start)) else {
                continue;
            };
            let report = check(without_images(&case.bytes).as_bytes(), &request);
            let mut said: Vec<(usize, &str)> = report
                .advice
                .iter()
                .map(|advice| (advice.span.start.line, advice.check.name()))
                .collect();
            said.sort_unstable();
            let written: Vec<String> =
                said.iter().map(|(line, check)| format!("{line} {check}")).collect();
            let answer = if report.error.is_some() { "error" } else { "ok" };
            let ours = format!("{answer}\t{}", written.join(", "));
            files += 1;
            pieces += said.len();
            if ours != row {
                wrong.push(format!("{}\n  ours   {ours}\n  theirs {row}", case.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((files, pieces), (620, 333));
}

/// The data's form: repository and path, then arguments with values, secrets and agents by line.
#[test]
fn all_files_have_the_outline_that_buildkit_has_for_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/check/outlines.txt");
    let table = fs::read_to_string(path).unwrap();
    let inputs = inputs();
    let request = request(&inputs);
    let (mut files, mut wrong) = (0, Vec::new());
    for repository in ["buildkit", "imagebuilder", "kaniko", "buildah"] {
        for case in cases(&format!("{repository}.txt")) {
            let start = format!("{repository} {}\t", case.path);
            let Some(row) = table.lines().find_map(|row| row.strip_prefix(&start)) else {
                continue;
            };
            let file = Dockerfile::parse(without_images(&case.bytes).as_bytes()).unwrap();
            let outline = outline(&file, &request).unwrap();
            let mut ours = Vec::new();
            for OutlineArg { name, value, span, .. } in &outline.arguments {
                ours.push(format!("{} {name}={value}", span.start.line));
            }
            for (kind, needs) in [("secret", &outline.secrets), ("ssh", &outline.agents)] {
                for OutlineNeed { id, required, span } in needs {
                    let must = if *required { "!" } else { "" };
                    ours.push(format!("{} {kind} {id}{must}", span.start.line));
                }
            }
            ours.sort();
            files += 1;
            if ours.join(" | ") != row {
                wrong.push(format!("{}\n  ours   {}\n  theirs {row}", case.path, ours.join(" | ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files, 115);
}

/// Whatever is cut out of real files, or changed in them, is taken or refused, but does not panic.
#[test]
fn no_part_of_a_file_panics() {
    let mut seed: u64 = 0x2545_f491_4f6c_dd1d;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    let spice: [&[u8]; 12] = [
        b"\\\n",
        b"<<EOF",
        b"${a:-",
        b"\"",
        b"'",
        b"[\"",
        b"\xff",
        b"\r\n",
        b"--x=",
        b"`",
        b"#",
        b"ONBUILD ",
    ];
    for name in ["buildkit.txt", "buildah.txt", "imagebuilder.txt", "kaniko.txt"] {
        for case in cases(name) {
            for _ in 0..4 {
                let mut bytes = case.bytes.clone();
                bytes.truncate(random(bytes.len() + 1));
                for _ in 0..random(4) {
                    let at = random(bytes.len() + 1);
                    bytes.splice(at..at, spice[random(spice.len())].iter().copied());
                }
                let _ = Dockerfile::parse(&bytes);
                let _ = detect_syntax(&String::from_utf8_lossy(&bytes));
            }
        }
    }
}
