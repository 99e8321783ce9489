//! The architecture check: the house is in order, and every rule fires on a planted offence.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use xtask::house::{Rule, Workspace, check, read};

/// A workspace of the given texts, and a manifest for each crate named in a path.
fn planted(files: &[(&str, &str)]) -> Vec<(Rule, String)> {
    let mut all: Vec<(PathBuf, String)> = Vec::new();
    for (path, text) in files {
        all.push((PathBuf::from(path), (*text).to_owned()));
        let folder: PathBuf = Path::new(path).iter().take(2).collect();
        let manifest = folder.join("Cargo.toml");
        let given = files.iter().any(|(path, _)| Path::new(path) == manifest);
        if path.starts_with("crates/") && !given && all.iter().all(|(path, _)| *path != manifest) {
            let short = folder.file_name().unwrap().to_string_lossy().into_owned();
            let name = if short == "corten" { short } else { format!("corten-{short}") };
            all.push((manifest, format!("[package]\nname = \"{name}\"\n")));
        }
    }
    let offences = check(&Workspace::of(all).unwrap());
    offences.into_iter().map(|offence| (offence.rule, offence.to_string())).collect()
}

/// Asserts that exactly one offence is found, of `rule`, beginning with `place`.
#[track_caller]
fn one(files: &[(&str, &str)], rule: Rule, place: &str) -> String {
    let offences = planted(files);
    assert_eq!(offences.len(), 1, "{offences:#?}");
    let (found, text) = offences.into_iter().next().unwrap();
    assert_eq!(found, rule, "{text}");
    assert!(text.starts_with(place), "{text} does not start with {place}");
    text
}

#[track_caller]
fn none(files: &[(&str, &str)]) {
    assert_eq!(planted(files), []);
}

/// A source with the opening that every file needs.
fn source(body: &str) -> String {
    format!("//! A planted file.\n{body}\n")
}

/// A function of `lines` lines.
fn function(name: &str, lines: usize) -> String {
    format!("fn {name}() {{\n{}}}\n", "    let _ = 1;\n".repeat(lines - 2))
}

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let offences = check(&read(root).unwrap());
    let lines: Vec<String> = offences.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn an_edge_upward_is_found_at_its_line() {
    let manifest = "[package]\nname = \"corten-store\"\n\n[dependencies]\nbytes = \"1\"\ncorten-registry.workspace = true\n";
    let text = one(
        &[("crates/store/Cargo.toml", manifest)],
        Rule::Edge,
        "crates/store/Cargo.toml:6: edge: `corten-store` must not use `corten-registry`",
    );
    assert!(text.contains("a crate uses only lower levels"), "{text}");
}

#[test]
fn an_edge_between_siblings_is_found_under_every_kind_of_dependency() {
    for section in [
        "[dependencies]",
        "[build-dependencies]",
        "[dev-dependencies]",
        "[target.'cfg(unix)'.dependencies]",
    ] {
        let manifest = format!(
            "[package]\nname = \"corten-layer\"\n{section}\ncorten-store = {{ path = \"\" }}\n"
        );
        let text = one(
            &[("crates/layer/Cargo.toml", &manifest)],
            Rule::Edge,
            "crates/layer/Cargo.toml:4:",
        );
        assert!(text.contains("crates of one level never meet"), "{section}: {text}");
    }
}

#[test]
fn an_edge_hidden_behind_another_name_is_found() {
    let manifest = "[package]\nname = \"corten-spec\"\n[dependencies]\nport = { package = \"corten-store\", path = \"../store\" }\n";
    one(&[("crates/spec/Cargo.toml", manifest)], Rule::Edge, "crates/spec/Cargo.toml:4:");
}

#[test]
fn an_edge_downward_that_the_tree_does_not_draw_is_found() {
    let manifest = "[package]\nname = \"corten-run\"\n[dependencies]\ncorten-spec = \"*\"\n";
    let text = one(&[("crates/run/Cargo.toml", manifest)], Rule::Edge, "crates/run/Cargo.toml:4:");
    assert!(text.contains("the tree has no such edge"), "{text}");
}

#[test]
fn the_edges_of_the_tree_are_allowed() {
    none(&[
        (
            "crates/serve/Cargo.toml",
            "[package]\nname = \"corten-serve\"\n[dependencies]\ncorten-registry = \"*\"\ncorten-store = \"*\"\ncorten-spec = \"*\"\n[dev-dependencies]\ncorten-testkit = \"*\"\ncorten-serve = \"*\"\n",
        ),
        (
            "crates/testkit/Cargo.toml",
            "[package]\nname = \"corten-testkit\"\n[dependencies]\ncorten-serve = \"*\"\ncorten-layer = \"*\"\n",
        ),
        (
            "crates/corten/Cargo.toml",
            "[package]\nname = \"corten\"\n[dependencies]\ncorten-registry = \"*\"\ncorten-layer = \"*\"\n",
        ),
    ]);
}

#[test]
fn the_clients_tests_alone_may_meet_the_server() {
    let manifest = |section: &str| {
        format!("[package]\nname = \"corten-registry\"\n[{section}]\ncorten-serve = \"*\"\n")
    };
    none(&[("crates/registry/Cargo.toml", &manifest("dev-dependencies"))]);
    let product = manifest("dependencies");
    one(
        &[("crates/registry/Cargo.toml", &product)],
        Rule::Edge,
        "crates/registry/Cargo.toml:4: edge: `corten-registry` must not use `corten-serve`",
    );
}

#[test]
fn testkit_in_a_product_is_found() {
    let manifest = "[package]\nname = \"corten\"\n[dependencies]\ncorten-testkit = \"*\"\n";
    one(&[("crates/corten/Cargo.toml", manifest)], Rule::Edge, "crates/corten/Cargo.toml:4:");
}

#[test]
fn a_crate_that_uses_the_binary_or_that_nobody_knows_is_found() {
    let manifest = "[package]\nname = \"corten-testkit\"\n[dependencies]\ncorten = \"*\"\n";
    one(&[("crates/testkit/Cargo.toml", manifest)], Rule::Edge, "crates/testkit/Cargo.toml:4:");
    let manifest = "[package]\nname = \"corten-attic\"\n";
    one(&[("crates/attic/Cargo.toml", manifest)], Rule::Edge, "crates/attic/Cargo.toml:1:");
    let manifest = "[package]\nname = \"xtask\"\n[dependencies]\ncorten-spec = \"*\"\n";
    one(&[("xtask/Cargo.toml", manifest)], Rule::Edge, "xtask/Cargo.toml:4:");
}

#[test]
fn a_file_without_an_opening_is_found() {
    for text in [
        "fn f() {}\n",
        "// Not a doc comment.\n",
        "//!\nfn f() {}\n",
        "#![allow(x)]\n//! Too late for it.\n",
    ] {
        one(
            &[("crates/spec/src/lib.rs", text)],
            Rule::Opening,
            "crates/spec/src/lib.rs:1: opening",
        );
    }
    none(&[("crates/spec/src/lib.rs", "//! What it is for.\n")]);
}

#[test]
fn a_file_over_600_lines_is_found_and_its_unit_tests_are_not_counted() {
    let long = source(&"// why\n".repeat(600));
    one(
        &[("crates/spec/src/lib.rs", &long)],
        Rule::Length,
        "crates/spec/src/lib.rs:600: length: 602 lines",
    );
    let lines = source(&"// why\n".repeat(590));
    let tests = "/// The specification.\n#[cfg(test)]\nmod tests {\n".to_owned()
        + &"    // why\n".repeat(200)
        + "}\n";
    none(&[("crates/spec/src/lib.rs", &(lines + &tests))]);
}

#[test]
fn a_file_of_tests_may_have_1000_lines() {
    let long = source(&"// why\n".repeat(900));
    none(&[("crates/spec/tests/a.rs", &long)]);
    none(&[
        ("crates/spec/src/lib.rs", &source("#[cfg(test)]\nmod tests;")),
        ("crates/spec/src/tests.rs", &long),
    ]);
    let longer = source(&"// why\n".repeat(1000));
    one(&[("crates/spec/tests/a.rs", &longer)], Rule::Length, "crates/spec/tests/a.rs:1000:");
}

#[test]
fn a_function_over_80_lines_is_found_wherever_it_stands() {
    let place = "crates/spec/src/lib.rs";
    none(&[(place, &source(&function("f", 80)))]);
    let text = one(&[(place, &source(&function("f", 81)))], Rule::Length, &format!("{place}:2:"));
    assert!(text.contains("`f` has 81 lines"), "{text}");
    let member = source(&format!("struct S;\nimpl S {{\n{}}}", function("f", 81)));
    one(&[(place, &member)], Rule::Length, &format!("{place}:4:"));
    let default = source(&format!("trait T {{\n{}}}", function("f", 81)));
    one(&[(place, &default)], Rule::Length, &format!("{place}:3:"));
    let test = source(&format!("#[cfg(test)]\nmod tests {{\n{}}}", function("f", 81)));
    one(&[(place, &test)], Rule::Length, &format!("{place}:4:"));
}

#[test]
fn functions_with_idle_verbs_are_found() {
    for name in ["get_blob", "do_it", "handle_push", "process_layer"] {
        let place = "crates/spec/src/lib.rs";
        one(
            &[(place, &source(&format!("fn {name}() {{}}")))],
            Rule::Name,
            &format!("{place}:2: name"),
        );
        let member = source(&format!("struct S;\nimpl S {{\n    fn {name}(&self) {{}}\n}}"));
        one(&[(place, &member)], Rule::Name, &format!("{place}:4:"));
        let declared = source(&format!("trait T {{\n    fn {name}(&self);\n}}"));
        one(&[(place, &declared)], Rule::Name, &format!("{place}:3:"));
    }
    let foreign = "struct S;\nimpl foreign::Trait for S {\n    fn get_it(&self) {}\n}\nfn target() {}\nfn get() {}";
    none(&[("crates/spec/src/lib.rs", &source(foreign))]);
}

#[test]
fn types_modules_files_and_folders_with_idle_nouns_are_found() {
    let lib = "crates/spec/src/lib.rs";
    for item in [
        "struct BlobManager;",
        "enum TarHelper {}",
        "trait Utils {}",
        "mod common {}",
        "type MiscMap = u8;",
    ] {
        one(&[(lib, &source(item))], Rule::Name, &format!("{lib}:2: name"));
    }
    one(
        &[("crates/spec/src/tar_util.rs", &source(""))],
        Rule::Name,
        "crates/spec/src/tar_util.rs:1:",
    );
    one(
        &[
            ("crates/spec/tests/common/mod.rs", &source("")),
            ("crates/spec/tests/common/a.rs", &source("")),
        ],
        Rule::Name,
        "crates/spec/tests/common/",
    );
    none(&[(lib, &source("struct CredentialHelper;\nstruct Futility;\nstruct Commons;"))]);
    none(&[("crates/registry/src/lib.rs", &source("enum HelperAction {}"))]);
}

#[test]
fn synonyms_of_the_vocabulary_are_found() {
    let lib = "crates/store/src/lib.rs";
    for (item, word) in [
        ("struct Endpoint;", "Location"),
        ("enum ManifestList {}", "Index"),
        ("pub trait Driver {}", "a port"),
        ("type Checksum = u8;", "Digest"),
        ("pub struct Sandbox;", "Bundle"),
    ] {
        let text = one(&[(lib, &source(item))], Rule::Name, &format!("{lib}:2: name"));
        assert!(text.ends_with(&format!("says {word}")), "{text}");
    }
    none(&[("crates/testkit/src/lib.rs", &source("pub struct Sandbox;"))]);
}

#[test]
fn two_public_types_of_one_name_are_found_across_crates() {
    let text = one(
        &[
            ("crates/spec/src/lib.rs", &source("mod a;\npub use a::Range;")),
            ("crates/spec/src/a.rs", &source("pub struct Range;")),
            ("crates/store/src/lib.rs", &source("pub mod wire {\n    pub enum Range {}\n}")),
        ],
        Rule::Twice,
        "crates/store/src/lib.rs:3: twice: a public type `Range` stands in crates/spec/src/a.rs:2 too",
    );
    assert!(text.ends_with("rename one"), "{text}");
    none(&[
        ("crates/spec/src/lib.rs", &source("pub struct Range;")),
        (
            "crates/store/src/lib.rs",
            &source("mod a {\n    pub struct Range;\n}\npub(crate) struct Range;"),
        ),
    ]);
}

#[test]
fn a_public_type_with_two_public_paths_is_found() {
    let a = source("pub struct Range;");
    for lifted in [
        "pub mod a;\npub use a::Range;",
        "pub mod a;\npub use crate::a::*;",
        "pub mod a;\npub use self::a::Range as Span;",
        "pub mod a;\npub mod b {\n    pub use super::a::{Range};\n}",
        "mod a;\npub use a::Range;\npub mod b {\n    pub use crate::Range;\n}",
    ] {
        let files =
            [("crates/spec/src/lib.rs", source(lifted)), ("crates/spec/src/a.rs", a.clone())];
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let text = one(&files, Rule::Twice, "crates/spec/src/a.rs:2: twice: `Range` has the paths");
        assert!(text.ends_with("keep one"), "{text}");
    }
    none(&[
        ("crates/spec/src/lib.rs", &source("mod a;\npub use a::Range;")),
        ("crates/spec/src/a.rs", &a),
    ]);
}

#[test]
fn only_the_top_crate_re_exports_another_crates_types() {
    let lifted = source("pub use corten_spec::Digest;");
    let spec = ("crates/spec/src/lib.rs", &*source("pub struct Digest;"));
    one(&[spec, ("crates/store/src/lib.rs", &lifted)], Rule::Twice, "crates/store/src/lib.rs:2:");
    none(&[spec, ("crates/corten/src/lib.rs", &lifted)]);
}

#[test]
fn an_error_enum_over_twelve_variants_is_found() {
    let variants = |count: usize| (0..count).map(|n| format!("    V{n},\n")).collect::<String>();
    let lib = "crates/spec/src/lib.rs";
    let named = |count| source(&format!("pub enum StoreError {{\n{}}}", variants(count)));
    none(&[(lib, &named(12))]);
    let text = one(&[(lib, &named(13))], Rule::Errors, &format!("{lib}:2: errors"));
    assert!(text.contains("`StoreError` has 13 variants"), "{text}");
    let derived =
        format!("#[derive(Debug, thiserror::Error)]\npub enum Mismatch {{\n{}}}", variants(13));
    one(&[(lib, &source(&derived))], Rule::Errors, &format!("{lib}:3:"));
    none(&[(lib, &source(&format!("pub enum Code {{\n{}}}", variants(40))))]);
}

#[test]
fn a_library_that_prints_or_asks_the_world_is_found() {
    let lib = "crates/store/src/lib.rs";
    for body in [
        "println!(\"x\")",
        "let _ = std::env::var(\"HOME\")",
        "std::time::SystemTime::now()",
        "jiff::Timestamp::now()",
        "format!(\"{:?}\", std::time::SystemTime::now())",
        "tokio::select! { _ = std::time::Instant::now() => () }",
        "std::process::Command::new(\"ls\")",
        "tokio::net::TcpStream::connect(1)",
        "std::io::stdout()",
    ] {
        let text = source(&format!("fn f() {{\n    {body};\n}}"));
        one(&[(lib, &text)], Rule::Effect, &format!("{lib}:3: effect"));
    }
}

#[test]
fn what_is_kept_without_a_mode_or_where_nobody_said_is_found() {
    let lib = "crates/store/src/lib.rs";
    for body in [
        "std::fs::create_dir_all(\"x\")",
        "std::fs::write(\"x\", \"\")",
        "std::fs::File::create(\"x\")",
        "tempfile::tempfile()",
    ] {
        let text = source(&format!("fn f() {{\n    {body};\n}}"));
        one(&[(lib, &text)], Rule::Mode, &format!("{lib}:3: mode"));
    }
    let text = source("use std::fs::{self, File};\nfn f() {\n    File::create(\"x\");\n}");
    one(&[(lib, &text)], Rule::Mode, &format!("{lib}:4: mode"));
    let builder = "fn f() {\n    std::fs::DirBuilder::new().create(\"x\");\n}";
    none(&[(lib, &source(builder))]);
}

#[test]
fn an_effect_behind_an_import_is_found() {
    let lib = "crates/store/src/lib.rs";
    let text =
        source("use std::time::{Duration, SystemTime as Clock};\nfn f() {\n    Clock::now();\n}");
    let found = one(&[(lib, &text)], Rule::Effect, &format!("{lib}:4:"));
    assert!(found.contains("std::time::SystemTime::now"), "{found}");
    one(&[(lib, &source("use std::{env, io};"))], Rule::Effect, &format!("{lib}:2:"));
}

#[test]
fn effects_are_allowed_where_they_live() {
    none(&[
        (
            "crates/corten/src/lib.rs",
            &source("fn f() {\n    println!(\"{:?}\", std::env::args());\n}"),
        ),
        (
            "crates/registry/src/lib.rs",
            &source("fn f() {\n    std::time::Instant::now();\n    reqwest::Client::new();\n}"),
        ),
        (
            "crates/store/src/lib.rs",
            &source("use std::fs;\n#[cfg(test)]\nmod tests {\n    use std::env;\n}"),
        ),
        (
            "crates/store/tests/a.rs",
            &source("fn f() {\n    println!(\"{:?}\", std::env::args());\n}"),
        ),
        (
            "crates/spec/src/lib.rs",
            &source("fn f(environment: u8) -> &'static str {\n    env!(\"CARGO_PKG_VERSION\")\n}"),
        ),
    ]);
}

#[test]
fn files_and_http_in_a_pure_crate_are_found() {
    let lib = "crates/spec/src/lib.rs";
    for text in [
        "use std::fs::File;",
        "use tokio::io::AsyncRead;",
        "use http::HeaderMap;",
        "fn f() { std::fs::read(1); }",
    ] {
        one(&[(lib, &source(text))], Rule::Effect, &format!("{lib}:2: effect"));
    }
}

#[test]
fn what_is_no_rust_or_no_toml_is_named() {
    let of = |path: &str, text: &str| {
        Workspace::of(vec![(PathBuf::from(path), text.to_owned())]).unwrap_err().to_string()
    };
    assert!(of("crates/a/src/lib.rs", "fn fn").starts_with("crates/a/src/lib.rs:1: not Rust"));
    assert!(of("crates/a/Cargo.toml", "[").starts_with("crates/a/Cargo.toml: not TOML"));
}
