//! Rule: a crate uses only what the tree of ARCHITECTURE.md allows.

use std::path::PathBuf;

use super::workspace::Package;
use super::{Offence, Rule, Workspace};

/// One crate of the tree.
struct Room {
    name: &'static str,
    level: u8,
    uses: &'static [&'static str],
}

const fn room(name: &'static str, level: u8, uses: &'static [&'static str]) -> Room {
    Room { name, level, uses }
}

/// The tree. `spec` stands where a crate reaches it through what it uses; `run` and `engine` know
/// nothing of images.
const TREE: [Room; 16] = [
    room("corten-spec", 0, &[]),
    room("corten-dockerfile", 0, &[]),
    room("corten-project", 0, &[]),
    room("corten-layer", 1, &["corten-spec"]),
    room("corten-store", 1, &["corten-spec"]),
    room("corten-naming", 1, &["corten-spec"]),
    room("corten-engine", 1, &[]),
    room("corten-bundle", 2, &["corten-layer", "corten-store", "corten-spec"]),
    room("corten-convert", 2, &["corten-layer", "corten-store", "corten-spec"]),
    room("corten-trust", 2, &["corten-store", "corten-spec"]),
    room("corten-run", 2, &["corten-engine"]),
    room("corten-registry", 2, &["corten-store", "corten-spec"]),
    room(
        "corten-build",
        3,
        &[
            "corten-bundle",
            "corten-run",
            "corten-layer",
            "corten-store",
            "corten-spec",
            "corten-dockerfile",
        ],
    ),
    room("corten-scan", 3, &["corten-layer", "corten-store", "corten-spec"]),
    room("corten-serve", 3, &["corten-registry", "corten-store", "corten-spec"]),
    room(
        "corten",
        4,
        &[
            "corten-spec",
            "corten-dockerfile",
            "corten-layer",
            "corten-store",
            "corten-naming",
            "corten-engine",
            "corten-bundle",
            "corten-convert",
            "corten-trust",
            "corten-run",
            "corten-registry",
            "corten-build",
            "corten-project",
            "corten-scan",
            "corten-serve",
        ],
    ),
];

/// Edges that tests alone may have: the client's tests meet our own server.
const TEST_EDGES: [(&str, &str); 1] = [("corten-registry", "corten-serve")];

/// What tests share: every crate's tests may use it, no product may.
const TESTKIT: &str = "corten-testkit";

pub(super) fn check(workspace: &Workspace) -> Vec<Offence> {
    let ours: Vec<&str> = workspace.packages.iter().map(|p| p.name.as_str()).collect();
    let mut offences = Vec::new();
    for package in &workspace.packages {
        for (name, purpose) in dependencies(&package.manifest) {
            let is_ours =
                ours.contains(&name.as_str()) || name == "corten" || name.starts_with("corten-");
            if let Some(advice) = is_ours.then(|| verdict(package, &name, purpose)).flatten() {
                let line = line_of_dependency(&package.text, &name);
                let path: PathBuf = package.path.clone();
                offences.push(Offence { path, line, rule: Rule::Edge, advice });
            }
        }
        if package.folder().starts_with("crates") && !is_known(&package.name) {
            let advice =
                format!("give `{}` a level in ARCHITECTURE.md and in this check", package.name);
            offences.push(Offence {
                path: package.path.clone(),
                line: 1,
                rule: Rule::Edge,
                advice,
            });
        }
    }
    offences
}

fn is_known(name: &str) -> bool {
    name == TESTKIT || TREE.iter().any(|room| room.name == name)
}

/// What is wrong with an edge from `package` to our crate `to`; `None` where it is allowed.
fn verdict(package: &Package, to: &str, purpose: Purpose) -> Option<String> {
    let from = package.name.as_str();
    if to == from {
        return None; // A crate's tests may turn on its own features.
    }
    if from == "xtask" {
        return Some(format!("xtask uses nothing of ours; take `{to}` out"));
    }
    if to == TESTKIT {
        let allowed = purpose == Purpose::Test || !package.folder().starts_with("crates");
        return (!allowed).then(|| format!("`{TESTKIT}` is for [dev-dependencies] alone"));
    }
    if from == TESTKIT {
        return (to == "corten").then(|| format!("`{TESTKIT}` uses libraries; take `{to}` out"));
    }
    let room = TREE.iter().find(|room| room.name == from)?;
    let for_tests = purpose == Purpose::Test && TEST_EDGES.contains(&(from, to));
    if for_tests || room.uses.contains(&to) {
        return None;
    }
    let level = TREE.iter().find(|other| other.name == to).map(|other| other.level);
    let why = match level {
        Some(level) if level == room.level => "crates of one level never meet",
        Some(level) if level > room.level => "a crate uses only lower levels",
        _ => "the tree has no such edge",
    };
    Some(format!(
        "`{from}` must not use `{to}`: {why}; move the shared word to corten-spec or the shared port to corten-store"
    ))
}

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Product,
    Test,
}

/// Package names of all dependencies, in every table of the manifest that has them.
fn dependencies(manifest: &toml::Table) -> Vec<(String, Purpose)> {
    let mut found = Vec::new();
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    tables.extend(targets.into_iter().flat_map(|t| t.values()).filter_map(toml::Value::as_table));
    for table in tables {
        for (section, purpose) in [
            ("dependencies", Purpose::Product),
            ("build-dependencies", Purpose::Product),
            ("dev-dependencies", Purpose::Test),
        ] {
            let entries = table.get(section).and_then(toml::Value::as_table);
            for (key, value) in entries.into_iter().flatten() {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                found.push((renamed.unwrap_or(key).to_owned(), purpose));
            }
        }
    }
    found
}

fn line_of_dependency(manifest: &str, name: &str) -> usize {
    let begins = |line: &str| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    let line = manifest.lines().position(begins);
    line.or_else(|| manifest.lines().position(|line| line.contains(name))).map_or(1, |n| n + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_of_the_tree_goes_down() {
        for room in &TREE {
            for used in room.uses {
                let below = TREE.iter().find(|other| other.name == *used).unwrap();
                assert!(below.level < room.level, "{} -> {used}", room.name);
            }
        }
    }
}
