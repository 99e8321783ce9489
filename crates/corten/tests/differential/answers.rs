//! What the peers answered, beside the cases: a line of JSON for each, and what of it differs from corten's answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::corpus::{Case, Family};
use crate::own::Outcome;
use crate::seen::Seen;

/// The peers, in the order of the table.
pub(crate) const PEERS: [&str; 2] = ["buildkit", "buildah"];

/// What one peer made of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Given {
    /// This.
    Image(Seen),
    /// What BuildKit made, but for the history.
    Same,
    /// Nothing, and why.
    Refused(String),
}

/// What is recorded of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) case: String,
    pub(crate) mark: String,
    pub(crate) buildkit: Given,
    pub(crate) buildah: Given,
    /// By peer: what differs, corten's first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) differs: BTreeMap<String, Vec<String>>,
}

/// The answers of a family, with the versions of those who gave them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) versions: Vec<String>,
    pub(crate) all: BTreeMap<String, Answer>,
}

impl Answer {
    pub(crate) fn new(case: &Case, buildkit: Outcome, buildah: Outcome) -> Self {
        let buildah = match (&buildkit, buildah) {
            (Ok(one), Ok(other)) if one.differences(&other, false).is_empty() => Given::Same,
            (_, other) => given(other),
        };
        let (case, mark) = (case.name.clone(), case.mark.clone());
        Self { case, mark, buildkit: given(buildkit), buildah, differs: BTreeMap::new() }
    }

    fn of(&self, peer: &str) -> &Given {
        match (peer, &self.buildah) {
            ("buildah", Given::Image(_) | Given::Refused(_)) => &self.buildah,
            _ => &self.buildkit,
        }
    }

    /// What differs between corten's answer and each peer's.
    pub(crate) fn compare(&self, own: &Outcome) -> BTreeMap<String, Vec<String>> {
        let compared = PEERS.map(|peer| {
            let lines = match (own, self.of(peer)) {
                (Ok(own), Given::Image(seen)) => own.differences(seen, peer == "buildkit"),
                (Err(_), Given::Refused(_)) => Vec::new(),
                (Ok(_), _) => vec!["built | refused".to_owned()],
                (Err(_), _) => vec!["refused | built".to_owned()],
            };
            (peer.to_owned(), lines)
        });
        compared.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
    }
}

fn given(outcome: Outcome) -> Given {
    match outcome {
        Ok(seen) => Given::Image(seen),
        Err(text) => Given::Refused(text),
    }
}

impl Answers {
    fn path(family: &Family) -> PathBuf {
        let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        place.join("tests/differential/answers").join(format!("{}.jsonl", family.name))
    }

    /// Those that were recorded.
    pub(crate) fn read(family: &Family) -> Self {
        let text = std::fs::read_to_string(Self::path(family)).unwrap_or_default();
        let mut lines = text.lines();
        let versions = lines.next().map(|line| serde_json::from_str(line).unwrap());
        let all = lines.map(|line| serde_json::from_str(line).unwrap());
        let all = all.map(|answer: Answer| (answer.case.clone(), answer)).collect();
        Self { versions: versions.unwrap_or_default(), all }
    }

    /// Writes them down, in the order of the cases.
    pub(crate) fn write(&self, family: &Family) {
        let mut text = serde_json::to_string(&self.versions).unwrap();
        for case in &family.cases {
            if let Some(answer) = self.all.get(&case.name) {
                text.push('\n');
                text.push_str(&serde_json::to_string(answer).unwrap());
            }
        }
        text.push('\n');
        std::fs::create_dir_all(Self::path(family).parent().unwrap()).unwrap();
        std::fs::write(Self::path(family), text).unwrap();
    }
}
