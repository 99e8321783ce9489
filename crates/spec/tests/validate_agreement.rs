//! What the checks accept, other readers accept too: random changes to documents, the same on every
//! run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use corten_spec::validate::{self, Code, DocumentKind, Finding, Level, Profile};
use corten_spec::{Descriptor, ImageConfig, Index, Manifest};
use serde_json::{Value, json};

/// xorshift64*: enough to spread changes, and always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let spread = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(spread).unwrap() % limit
    }
}

/// Every document of the image specification with its kind.
fn documents() -> Vec<(DocumentKind, Vec<u8>)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/image-spec");
    let table = std::fs::read_to_string(data.join("cases.tsv")).unwrap();
    let row = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let kind = serde_json::from_value(columns[1].into()).unwrap();
        (kind, std::fs::read(data.join(columns[0])).unwrap())
    };
    table.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

fn has(findings: &[Finding], codes: &[Code]) -> bool {
    findings.iter().any(|finding| codes.contains(&finding.code))
}

#[test]
fn the_reader_of_json_agrees_with_another_one() {
    let mut random = Random(7);
    let pieces: [&[u8]; 20] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\\u00",
        b"\\ud83d\\ude00",
        b"-",
        b"0",
        b"1e",
        b".",
        b"null",
        b"tru",
        b" ",
        b"\n",
        b"\xff",
        b"\x00",
    ];
    let (mut accepted, mut refused) = (0, 0);
    for (kind, bytes) in documents() {
        for _ in 0..60 {
            let mut bytes = bytes.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len());
                let until = (at + random.below(4)).min(bytes.len());
                let piece = pieces[random.below(pieces.len())];
                let _ = bytes.splice(at..until, piece.iter().copied()).count();
            }
            let findings = validate::document(kind, "x", &bytes, Profile::Spec);
            // Another reader may keep such text and such numbers, or not.
            if has(&findings, &[Code::JsonCodePoint, Code::JsonNumberRange, Code::JsonDepth]) {
                continue;
            }
            let broken = has(&findings, &[Code::JsonSyntax, Code::JsonEncoding]);
            let read = serde_json::from_slice::<Value>(&bytes);
            assert_eq!(broken, read.is_err(), "{read:?}\n{}", String::from_utf8_lossy(&bytes));
            *if broken { &mut refused } else { &mut accepted } += 1;
        }
    }
    assert!(accepted > 500 && refused > 500, "{accepted} accepted, {refused} refused");
}

/// Values that stand where others are expected.
fn strangers() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(2),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("a/b"),
        json!("sha256:x"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"": ""}),
        json!({"a": null}),
        json!([{}]),
        json!(["a=b"]),
    ]
}

/// Replaces or removes one value somewhere below.
fn disturb(value: &mut Value, random: &mut Random, strangers: &[Value]) {
    let deeper = random.below(4) > 0;
    match value {
        Value::Object(members) if deeper && !members.is_empty() => {
            let name = members.keys().nth(random.below(members.len())).unwrap().clone();
            if random.below(6) == 0 {
                members.remove(&name);
            } else {
                disturb(&mut members[&name], random, strangers);
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let place = random.below(items.len());
            disturb(&mut items[place], random, strangers);
        }
        other => *other = strangers[random.below(strangers.len())].clone(),
    }
}

#[test]
fn what_the_checks_accept_can_be_parsed() {
    let mut random = Random(11);
    let strangers = strangers();
    let (mut accepted, mut refused) = (0, 0);
    for (kind, bytes) in documents() {
        let Ok(good) = serde_json::from_slice::<Value>(&bytes) else {
            continue;
        };
        let findings = validate::document(kind, "x", &bytes, Profile::Spec);
        if findings.iter().any(|finding| finding.level == Level::Error) {
            continue;
        }
        for _ in 0..100 {
            let mut value = good.clone();
            disturb(&mut value, &mut random, &strangers);
            let bytes = value.to_string().into_bytes();
            let findings = validate::document(kind, "x", &bytes, Profile::Spec);
            if findings.iter().any(|finding| finding.level == Level::Error) {
                refused += 1;
                continue;
            }
            accepted += 1;
            let error = match kind {
                DocumentKind::Descriptor => serde_json::from_slice::<Descriptor>(&bytes).err(),
                DocumentKind::Manifest | DocumentKind::DockerManifest => {
                    serde_json::from_slice::<Manifest>(&bytes).err()
                }
                DocumentKind::Index | DocumentKind::LayoutIndex | DocumentKind::DockerList => {
                    serde_json::from_slice::<Index>(&bytes).err()
                }
                DocumentKind::Config | DocumentKind::DockerConfig => {
                    serde_json::from_slice::<ImageConfig>(&bytes).err()
                }
                _ => None,
            };
            assert!(error.is_none(), "{kind:?} {value}: {error:?}");
        }
    }
    assert!(accepted > 300 && refused > 500, "{accepted} accepted, {refused} refused");
}
