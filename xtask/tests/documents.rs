//! What is written for readers: links lead somewhere, the book has its pages, limits are real.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use xtask::pages::PAGES;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below `folder` with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The documents at the root, and those of the book and of the decisions.
fn documents() -> Vec<PathBuf> {
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        top.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    all.extend(files(&root().join("docs/src"), "md"));
    all.extend(files(&root().join("docs/decisions"), "md"));
    all
}

/// The targets of all links of a Markdown text that lead to files.
fn links(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for part in text.split("](").skip(1) {
        let target = part.split([')', '#']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains("://") {
            targets.push(target.to_owned());
        }
    }
    targets
}

/// The pages that the binary writes; whether they are there is `cargo xtask cli --check`'s business.
fn is_written_by_the_binary(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
    path.parent().unwrap().ends_with("reference") && PAGES.contains(&stem.as_str())
}

#[test]
fn every_link_leads_to_a_file() {
    let mut dead = Vec::new();
    for document in documents() {
        for target in links(&fs::read_to_string(&document).unwrap()) {
            let path = document.parent().unwrap().join(&target);
            if !path.exists() && !is_written_by_the_binary(&path) {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "\n{}", dead.join("\n"));
}

#[test]
fn the_book_lists_every_page() {
    let source = root().join("docs/src");
    let summary = fs::read_to_string(source.join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> =
        links(&summary).iter().map(|target| source.join(target)).collect();
    let pages = files(&source, "md").into_iter().filter(|page| !page.ends_with("SUMMARY.md"));
    let unlisted: Vec<PathBuf> = pages.filter(|page| !listed.contains(page)).collect();
    assert_eq!(unlisted, Vec::<PathBuf>::new());
}

#[test]
fn the_page_on_the_architecture_is_short() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(page.lines().count() <= 300);
}

#[test]
fn the_architecture_and_the_decisions_speak_of_crates_that_are_there() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let manifest = fs::read_to_string(entry.unwrap().path().join("Cargo.toml")).unwrap();
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap();
        let name = name.trim_matches('"');
        assert!(page.contains(&format!("| `{name}` |")), "ARCHITECTURE.md has no row for {name}");
    }
}
