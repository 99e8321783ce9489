//! `corten build` beside BuildKit and buildah: the same Dockerfiles, the same bases, the same images.
//!
//! The peers' answers are data (`answers/`). `just differential` asks them again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A test that was skipped must not look like one that passed.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod answers;
mod bases;
mod corpus;
mod engines;
#[allow(dead_code)]
#[path = "../run/image.rs"]
mod image;
mod making;
mod own;
mod page;
mod peers;
mod record;
mod seen;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::answers::Answers;
use crate::corpus::{Case, Family, families};
use crate::own::Bench;

/// Calls `judge` for every case, on three threads: what it says is put together.
fn each(families: &[Family], judge: impl Fn(&Family, &Case) -> Option<String> + Sync) -> String {
    let all: Vec<(&Family, &Case)> = families
        .iter()
        .flat_map(|family| family.cases.iter().map(move |case| (family, case)))
        .collect();
    let (next, told) = (AtomicUsize::new(0), Mutex::new(String::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((family, case)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let judged = catch_unwind(AssertUnwindSafe(|| judge(family, case)));
                    if let Some(text) = judged.unwrap_or_else(|_| Some("it panicked".to_owned())) {
                        told.lock()
                            .unwrap()
                            .push_str(&format!("{}/{}: {text}\n", family.name, case.name));
                    }
                }
            });
        }
    });
    told.into_inner().unwrap()
}

/// What is wrong with a case whose answers are recorded.
fn wrong(bench: &Bench, answers: &Answers, case: &Case) -> Option<String> {
    let Some(answer) = answers.all.get(&case.name).filter(|answer| answer.mark == case.mark) else {
        return Some("the peers have not been asked: just differential".to_owned());
    };
    let own = bench.build(case);
    let differs = answer.compare(&own);
    let mut text = String::new();
    if differs != answer.differs {
        text = format!("differs in\n{differs:#?}\nand not in\n{:#?}\n", answer.differs);
        if let Err(error) = &own {
            text.push_str(error);
        }
    }
    for peer in answers::PEERS {
        if differs.contains_key(peer) != case.reasons.contains_key(peer) {
            let lines = differs.get(peer);
            text.push_str(&format!("{peer}: a difference and a reason come together: {lines:#?}"));
        }
    }
    (!text.is_empty()).then_some(text)
}

#[test]
fn every_case_gives_what_the_peers_gave_and_one_digest_four_ways() {
    let Some(bench) = Bench::new() else { return };
    let families = families();
    let only = std::env::var("CORTEN_CASES").unwrap_or_default();
    let recorded: Vec<Answers> = families.iter().map(Answers::read).collect();
    let told = each(&families, |family, case| {
        let name = format!("{}/{}", family.name, case.name);
        let at = families.iter().position(|own| own.name == family.name).unwrap();
        name.contains(&only).then(|| wrong(&bench, &recorded[at], case)).flatten()
    });
    assert!(told.is_empty(), "{told}");
}

#[test]
fn the_page_says_what_is_recorded() {
    let page = page::page(&families());
    let there = std::fs::read_to_string(page::path()).unwrap();
    assert!(page == there, "docs/src/reference/differential.md is old: just differential");
}
