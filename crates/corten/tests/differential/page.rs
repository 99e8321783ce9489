//! The table of the book: docs/src/reference/differential.md.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::answers::{Answers, Given, PEERS};
use crate::corpus::Family;

pub(crate) fn path() -> PathBuf {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    place.join("../../docs/src/reference/differential.md")
}

/// The page of what is recorded.
pub(crate) fn page(families: &[Family]) -> String {
    let all: Vec<(&Family, Answers)> =
        families.iter().map(|family| (family, Answers::read(family))).collect();
    let versions = all.first().map(|(_, answers)| answers.versions.clone()).unwrap_or_default();
    let mut text = format!(
        "# Beside BuildKit and buildah\n\n{} Dockerfiles, each built by corten, by BuildKit {} and by buildah {} from the \
         same bases: their\nconfigs and trees compared, paths, types, modes, owners, attributes, links and contents. \
         Between BuildKit and corten the\nhistory is compared as well. corten builds each four ways: cold, warm, from a \
         copy of the context elsewhere with other\ntimes, and on one processor without the cache; the digest is the same \
         four times.\n\nThe cases stand in `crates/corten/tests/differential/cases`, the peers' answers beside them; the \
         tests hold corten against\nthe answers. `just differential` asks the peers again and writes this page.\n\n\
         | Cases | Number | As BuildKit | As buildah | buildah refuses |\n|---|---|---|---|---|\n",
        families.iter().map(|family| family.cases.len()).sum::<usize>(),
        versions.first().map_or("", String::as_str),
        versions.get(1).map_or("", String::as_str),
    );
    let mut sums = [0; 4];
    for (family, answers) in &all {
        let differs =
            |peer: &str| answers.all.values().filter(|one| !one.differs.contains_key(peer)).count();
        let refuses = |one: &&crate::answers::Answer| {
            matches!(one.buildah, Given::Refused(_)) && one.differs.contains_key("buildah")
        };
        let row = [
            family.cases.len(),
            differs("buildkit"),
            differs("buildah"),
            answers.all.values().filter(refuses).count(),
        ];
        for (sum, number) in sums.iter_mut().zip(row) {
            *sum += number;
        }
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            family.about, row[0], row[1], row[2], row[3]
        );
    }
    let _ = writeln!(text, "| all | {} | {} | {} | {} |", sums[0], sums[1], sums[2], sums[3]);
    for (peer, title) in PEERS.iter().zip(["BuildKit", "buildah"]) {
        let _ = write!(text, "\n## Other than {title}\n\n| Why | Cases |\n|---|---|\n");
        for (reason, cases) in reasons(families, peer) {
            let _ = writeln!(text, "| {} | {} |", reason.replace('|', "\\|"), cases.join(", "));
        }
    }
    text.push_str(
        "\n## What is not compared\n\n\
         - Times of configs and histories: corten's are those of the epoch, the peers' of the day. Times of files are \
         compared where a\n  case names an epoch.\n\
         - The history of buildah, which makes one layer of a stage; its label `io.buildah.version`; fields of the \
         engine that it\n  leaves in a config (`Hostname` and the like).\n\
         - Whether a layer has an entry for the root directory, which nobody sees.\n\
         - Words of errors: that all refuse is compared.\n",
    );
    text
}

/// The reasons of one peer's differences, each with its cases, in the order of the cases.
fn reasons<'a>(families: &'a [Family], peer: &str) -> Vec<(&'a str, Vec<String>)> {
    let mut told: Vec<(&str, Vec<String>)> = Vec::new();
    for family in families {
        let (_, short) = family.name.split_once('-').unwrap_or(("", &family.name));
        for case in &family.cases {
            let Some(reason) = case.reasons.get(peer) else { continue };
            let name = format!("{short}/{}", case.name);
            match told.iter_mut().find(|(text, _)| text == reason) {
                Some((_, cases)) => cases.push(name),
                None => told.push((reason, vec![name])),
            }
        }
    }
    told
}
