//! The cases: files of text, a family each.
//!
//! ```text
//! # A line that tells of the family.
//! + file a : text\n             what every case of the family has in its context
//! === name
//! + dir d mode=0700             what this case has besides
//! @ arg NAME=VALUE              an option: arg, target, label, secret ID TEXT, context NAME, file NAME
//! ! buildah: reason             why that peer's answer is another one
//! FROM base                     the Dockerfile, up to the next case
//! ```
//!
//! What a line of `+` means stands in `making.rs`. With `in=NAME` it is of the named context NAME.

use std::collections::BTreeMap;
use std::path::Path;

use corten_spec::{Algorithm, Digest};

use crate::making::Thing;

/// One Dockerfile with what it is built of.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// What it is called within its family.
    pub(crate) name: String,
    /// The Dockerfile.
    pub(crate) text: String,
    /// What is in its contexts.
    pub(crate) things: Vec<Thing>,
    /// Options by their words, in order.
    pub(crate) options: Vec<(String, String)>,
    /// Why a peer's answer is another one.
    pub(crate) reasons: BTreeMap<String, String>,
    /// Tells this case from what it was when the peers were asked.
    pub(crate) mark: String,
}

/// Cases that are about one thing.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    /// What they are about, in a line.
    pub(crate) about: String,
    pub(crate) cases: Vec<Case>,
}

impl Case {
    /// A Dockerfile without a context.
    pub(crate) fn of_text(name: &str, text: &str) -> Self {
        let (name, text) = (name.to_owned(), text.to_owned());
        let (things, options) = (Vec::new(), Vec::new());
        Self { name, text, things, options, reasons: BTreeMap::new(), mark: String::new() }
    }

    /// The values of an option.
    pub(crate) fn values<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(own, _)| own == word).map(|(_, value)| value.as_str())
    }

    /// Nanoseconds that no other case has.
    pub(crate) fn fraction(&self) -> i64 {
        i64::from_str_radix(self.mark.get(..7).unwrap_or("1"), 16).unwrap()
    }

    /// The name of the Dockerfile.
    pub(crate) fn file(&self) -> &str {
        self.values("file").next().unwrap_or("Dockerfile")
    }
}

/// All families, by their names.
pub(crate) fn families() -> Vec<Family> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/cases");
    let mut paths: Vec<_> =
        std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| family(path)).collect()
}

fn family(path: &Path) -> Family {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let (head, rest) = text.split_once("=== ").unwrap();
    let about = head.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
    let cases = rest.split("\n=== ").map(|body| case(&name, head, body)).collect();
    Family { name, about: about.to_owned(), cases }
}

fn case(family: &str, head: &str, body: &str) -> Case {
    let (name, body) = body.split_once('\n').unwrap();
    let is_ours = |line: &&str| ["+ ", "@ ", "! "].iter().any(|mark| line.starts_with(mark));
    let own: Vec<&str> = body.lines().take_while(is_ours).collect();
    let length: usize = own.iter().map(|line| line.len() + 1).sum();
    let text = format!("{}\n", body[length..].trim_end_matches('\n'));
    let (mut things, mut options, mut reasons) = (Vec::new(), Vec::new(), BTreeMap::new());
    for line in head.lines().filter(is_ours).chain(own.iter().copied()) {
        let (mark, rest) = line.split_at(2);
        match mark {
            "+ " => things.push(Thing::parse(rest)),
            "@ " => {
                let (word, value) = rest.split_once(' ').unwrap_or((rest, ""));
                options.push((word.to_owned(), value.to_owned()));
            }
            _ => {
                let (peer, reason) = rest.split_once(": ").unwrap();
                assert!(["buildkit", "buildah"].contains(&peer), "{family}/{name}: {line}");
                reasons.insert(peer.to_owned(), reason.to_owned());
            }
        }
    }
    // The reasons are not asked of anybody.
    let asked = format!("{family}/{name}\n{text}{things:?}{options:?}");
    let mark = Digest::of(Algorithm::Sha256, asked.as_bytes()).encoded()[..12].to_owned();
    Case { name: name.to_owned(), text, things, options, reasons, mark }
}
