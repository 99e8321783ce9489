//! Layouts that are broken in one way each, and the findings that this must give.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod cases;
mod draft;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use corten::ops::validate::{Checks, Depth, ValidateReport, check_image, check_layout, codes};
use corten_spec::validate::{Code, Level, Profile};
use corten_store::{LayoutStore, MemoryStore, Resolver, Selector};
use draft::Draft;

fn checked(draft: &Draft, checks: Checks) -> ValidateReport {
    let directory = tempfile::tempdir().unwrap();
    draft.write(directory.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(check_layout(directory.path(), checks))
}

fn found(report: &ValidateReport) -> BTreeSet<&str> {
    report.findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn a_good_layout_has_no_findings() {
    let report = checked(&Draft::default(), Checks::default());
    assert_eq!(report.findings, []);
    assert_eq!((report.documents, report.layers), (2, 1));
    assert!(report.bytes > 2560, "{}", report.bytes);
}

#[test]
fn each_broken_layout_gives_its_findings() {
    assert!(cases::ALL.len() >= 60, "{}", cases::ALL.len());
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for case in cases::ALL {
        assert!(names.insert(case.name), "{} stands twice", case.name);
        let mut draft = Draft::default();
        (case.broken)(&mut draft);
        let report = checked(&draft, Checks::default());
        let expected: BTreeSet<&str> = case.codes.iter().map(|code| code.as_str()).collect();
        let errors = case.codes.iter().any(|code| code.level(Profile::Spec) == Level::Error);
        if found(&report) != expected || report.is_valid() == errors {
            wrong.push(format!("{}: expected {expected:?}\n{:#?}", case.name, report.findings));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_rule_about_layouts_and_layers_has_a_broken_layout() {
    let seen: BTreeSet<Code> = cases::ALL.iter().flat_map(|case| case.codes).copied().collect();
    // Given by other tests of this file, or by faults of a disk or of a store.
    let elsewhere = [Code::BlobMissing, Code::LayerLimit];
    for code in Code::all() {
        let families = ["layer-", "layout-", "blob-", "graph-"];
        let of_content = families.iter().any(|family| code.as_str().starts_with(family));
        assert!(!of_content || seen.contains(code) || elsewhere.contains(code), "{code}");
    }
}

#[test]
fn without_layers_only_documents_are_read() {
    let mut draft = Draft { tar: draft::tar(&[draft::file(".wh.", b"")]), ..Draft::default() };
    let documents = Checks { depth: Depth::Documents, ..Checks::default() };
    let report = checked(&draft, documents);
    assert_eq!((report.layers, report.findings.len()), (0, 0));
    draft.files = |written| fs::remove_file(written.blob(&written.layer)).unwrap();
    assert_eq!(found(&checked(&draft, documents)), BTreeSet::from(["layout-blob-missing"]));
}

#[test]
fn strict_readers_refuse_what_should_not_be() {
    let config: draft::Edit = |config| config["history"] = serde_json::json!([{}, {}]);
    let draft = Draft { config, ..Draft::default() };
    let strict = Checks { profile: Profile::Strict, ..Checks::default() };
    assert!(checked(&draft, Checks::default()).is_valid());
    let report = checked(&draft, strict);
    assert_eq!((report.errors, report.findings[0].level.as_str()), (1, "error"));
}

/// An image of any store is checked as one of a layout is.
#[tokio::test]
async fn images_of_stores_are_checked_too() {
    let directory = tempfile::tempdir().unwrap();
    let twice = [draft::file("a", b"1"), draft::file("a", b"2")];
    let draft = Draft { tar: draft::tar(&twice), ..Draft::default() };
    let written = draft.write(directory.path());
    let store = LayoutStore::open(directory.path()).unwrap();
    let selector = Selector::Name("v1".parse().unwrap());
    let root = store.resolve(&selector).await.unwrap().descriptor;
    let store = Arc::new(store);
    let report = check_image(store.clone(), root.clone(), Checks::default()).await;
    assert_eq!(found(&report), BTreeSet::from(["layer-path-duplicate"]));
    assert_eq!((report.documents, report.layers), (2, 1));

    fs::remove_file(written.blob(&written.layer)).unwrap();
    let report = check_image(store.clone(), root.clone(), Checks::default()).await;
    assert_eq!(found(&report), BTreeSet::from(["blob-missing"]));
    assert_eq!(report.findings[0].pointer, "/layers/0");
    assert_eq!(report.findings[0].object, written.manifest.to_string());

    fs::write(written.blob(&written.layer), b"longer than it was, and other bytes").unwrap();
    let report = check_image(store, root.clone(), Checks::default()).await;
    assert_eq!(found(&report), BTreeSet::from(["blob-size"]));

    let empty = check_image(Arc::new(MemoryStore::new("empty")), root, Checks::default()).await;
    assert_eq!(found(&empty), BTreeSet::from(["blob-missing"]));
}

#[test]
fn a_finding_says_where_and_why() {
    let tar = draft::tar(&[draft::file("etc/.wh.\x1bx", b"full")]);
    let draft = Draft { tar, ..Draft::default() };
    let report = checked(&draft, Checks::default());
    let finding = &report.findings[0];
    assert_eq!(finding.pointer, "etc/.wh.\\u{1b}x");
    assert_eq!(finding.section, "layer.md, Whiteouts");
    assert!(finding.message.starts_with("a whiteout is not empty: "), "{}", finding.message);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["errors"], 1);
    assert_eq!(json["findings"][0]["code"], "layer-whiteout-content");
}

#[test]
fn the_reference_lists_every_code() {
    let page = codes();
    for code in Code::all() {
        assert!(page.contains(&format!("| `{code}` | ")), "{code}");
    }
}
