//! Kills in the middle, two at once, and what the collection of garbage leaves alone.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::bench::Bench;
use crate::stepper::Stepper;

#[test]
fn a_killed_word_leaves_the_work_as_it_was() {
    let Some(bench) = Bench::new() else { return };
    let work = Stepper::new(&bench, "killed");
    work.line("begin base");
    work.sh("echo 1 >/one");
    let before = (work.config(), work.manifest());
    let script = "echo 2 >/two; echo begun; sleep 600";
    let mut command = work.command(&["run", "--network", "none", "--", "/bin/sh", "-c", script]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let begun = lines.map_while(Result::ok).find(|line| line.contains("| begun"));
    assert!(begun.is_some(), "the word runs");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((work.config(), work.manifest()), before);
    work.sh("test ! -e /two && echo 3 >/three");
    work.written();
    assert_eq!(bench.cat("/one"), "1\n");
    assert_eq!(bench.cat("/three"), "3\n");
    assert_eq!(bench.stat("/two"), None);
}

#[test]
fn a_word_that_fails_leaves_the_work_as_it_was() {
    let Some(bench) = Bench::new() else { return };
    let work = Stepper::new(&bench, "failed");
    work.line("begin base");
    let before = work.config();
    let answer =
        work.says(&["run", "--network", "none", "--", "/bin/sh", "-c", "echo why; exit 9"]);
    assert_eq!(answer.code, 1);
    for says in ["exit code 9", "why", "run"] {
        assert!(answer.err.contains(says), "{}", answer.err);
    }
    let answer = work.says(&["copy", "missing", "/x"]);
    assert!(answer.code == 3 && answer.err.contains("missing"), "{}", answer.err);
    let answer = work.says(&["begin"]);
    assert!(answer.code == 2 && answer.err.contains("begun already"), "{}", answer.err);
    assert_eq!(work.config(), before);
    work.line("end");
    assert_eq!(work.says(&["end"]).code, 2);
    work.line("begin");
}

#[test]
fn words_at_once_come_one_after_the_other() {
    let Some(bench) = Bench::new() else { return };
    let work = Stepper::new(&bench, "both");
    work.line("begin base");
    let numbers = ["1", "2", "3", "4", "5", "6"];
    let children: Vec<_> = numbers
        .iter()
        .map(|number| {
            let text = format!("echo {number} >/{number}");
            let mut command = match *number {
                "5" | "6" => work.command(&["label", "add", number, number]),
                _ => work.command(&["run", "--network", "none", "--", "/bin/sh", "-c", &text]),
            };
            command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    work.written();
    for number in &numbers[..4] {
        assert_eq!(bench.cat(&format!("/{number}")), format!("{number}\n"));
    }
    let labels = work.config()["config"]["Labels"].clone();
    assert_eq!(labels, serde_json::json!({"5": "5", "6": "6"}));
}

#[test]
fn what_a_work_needs_is_no_garbage_until_it_ends() {
    let Some(bench) = Bench::new() else { return };
    let apart = bench.path("kept");
    let apart = apart.display().to_string();
    let (work, other) = (Stepper::new(&bench, "gc"), Stepper::new(&bench, "none"));
    work.line("begin base");
    work.sh("echo kept >/kept");
    let path = |words: &[&str]| {
        let mut words = words.to_vec();
        words.insert(1, "--work-path");
        words.insert(2, &apart);
        let answer = bench.corten("store", &[&["build"], words.as_slice()].concat());
        assert_eq!(answer.code, 0, "{words:?} {}", answer.err);
    };
    path(&["begin", "base"]);
    path(&["copy", "/etc/hostname", "/apart"]);
    assert!(bench.path("kept/work.json").is_file());
    let answer = other.says(&["cat"]);
    assert_eq!(answer.code, 2, "another name is another work");
    assert_eq!(bench.corten("store", &["remove", "base"]).code, 0);
    let gc = || {
        let answer = bench.corten("store", &["gc", "--grace", "0s", "--json"]);
        assert_eq!(answer.code, 0, "{}", answer.err);
        let report: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
        report["deleted"].as_array().unwrap().len()
    };
    gc();
    work.sh("cat /kept >/again");
    work.written();
    assert_eq!(bench.cat("/again"), "kept\n");
    path(&["write", "-t", "apart"]);
    let answer = bench.corten("store", &["validate", "store:apart"]);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    work.line("end");
    path(&["end"]);
    for name in ["t", "apart"] {
        assert_eq!(bench.corten("store", &["remove", name]).code, 0);
    }
    assert!(gc() > 4, "what nobody needs any more goes");
}

#[test]
fn a_draft_that_is_none_is_refused() {
    let Some(bench) = Bench::new() else { return };
    let work = Stepper::new(&bench, "hostile");
    work.line("begin");
    let draft = bench.path("store/.corten/build/works/name-hostile/work.json");
    let whole = std::fs::read(&draft).unwrap();
    for bytes in [&whole[..whole.len() / 2], b"", b"[]", b"{\"form\":9}"] {
        std::fs::write(&draft, bytes).unwrap();
        let answer = work.says(&["cat"]);
        assert!(answer.code != 0 && answer.err.contains("work.json"), "{}", answer.err);
    }
    let answer = work.says(&["begin"]);
    assert_ne!(answer.code, 0);
    work.line("end");
    for name in ["", "../up", "a/b", ".."] {
        let answer = bench.corten("store", &["build", "begin", "--work", name]);
        if name == ".." {
            // A name like any other: it has a prefix of its own.
            assert_eq!(answer.code, 0, "{}", answer.err);
            continue;
        }
        assert_eq!(answer.code, 2, "{name}: {}", answer.err);
    }
    assert!(bench.path("store/.corten/build/works/name-..").is_dir());
}
