//! Every document inside the tests and the text of the image specification, and the verdict on it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use corten_spec::validate::{self, DocumentKind, Level, Profile};
use corten_spec::{Digest, ImageConfig, Index, Manifest};

struct Case {
    file: String,
    kind: DocumentKind,
    schema_accepts: bool,
    found: String,
    differs_because: String,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/image-spec");
    let table = std::fs::read_to_string(data.join("cases.tsv")).unwrap();
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let case = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        Case {
            file: columns[0].to_owned(),
            kind: serde_json::from_value(columns[1].into()).unwrap(),
            schema_accepts: columns[2] == "accepted",
            found: columns[3].to_owned(),
            differs_because: columns[5].to_owned(),
            bytes: std::fs::read(data.join(columns[0])).unwrap(),
        }
    };
    rows.map(case).collect()
}

#[test]
fn each_document_is_judged_as_the_text_of_the_specification_says() {
    let cases = cases();
    assert_eq!(cases.len(), 84);
    for case in cases {
        let findings = validate::document(case.kind, &case.file, &case.bytes, Profile::Spec);
        let accepted = findings.iter().all(|finding| finding.level != Level::Error);
        let differs = accepted != case.schema_accepts;
        assert_eq!(differs, !case.differs_because.is_empty(), "{}: {findings:#?}", case.file);
        let mut found: Vec<String> = Vec::new();
        for finding in findings.iter().filter(|finding| finding.level != Level::Note) {
            let mark = if finding.level == Level::Warning { "?" } else { "" };
            found.push(format!("{}{mark}", finding.code));
        }
        found.dedup();
        assert_eq!(found.join(" "), case.found, "{}", case.file);
    }
}

#[test]
fn what_is_accepted_is_also_parsed() {
    for case in cases() {
        let findings = validate::document(case.kind, &case.file, &case.bytes, Profile::Spec);
        if findings.iter().any(|finding| finding.level == Level::Error) {
            continue;
        }
        let error = match case.kind {
            DocumentKind::Manifest | DocumentKind::DockerManifest => {
                serde_json::from_slice::<Manifest>(&case.bytes).err()
            }
            DocumentKind::Index | DocumentKind::LayoutIndex | DocumentKind::DockerList => {
                serde_json::from_slice::<Index>(&case.bytes).err()
            }
            DocumentKind::Config | DocumentKind::DockerConfig => {
                serde_json::from_slice::<ImageConfig>(&case.bytes).err()
            }
            _ => None,
        };
        assert!(error.is_none(), "{}: {error:?}", case.file);
    }
}

#[test]
fn the_documents_of_docker_are_exact() {
    let expected = [
        ("docker-list-01.json", "4ffd0883f25635999f04ea543240a27c9a4341979ff7d46a9774f71512eebb1f"),
        (
            "docker-manifest-01.json",
            "888206c77cd2811ec47e752ba291e5b7734e3ef137dfd222daadaca39a9f17bc",
        ),
        (
            "docker-config-01.json",
            "a059ea7356d5b5a9e0f6352bfa463e7bd4721c2ade3ef168603826e0de6fe54b",
        ),
        (
            "docker-config-02.json",
            "a20665eb1fe2912accb3d5dadaed360430df0d1aa46874875886947d61d3d4ee",
        ),
    ];
    for case in cases() {
        let known = expected.iter().find(|(file, _)| *file == case.file);
        assert_eq!(known.is_some(), case.file.starts_with("docker-"), "{}", case.file);
        if let Some((file, hex)) = known {
            assert_eq!(Digest::sha256(&case.bytes).encoded(), *hex, "{file}");
        }
    }
}
