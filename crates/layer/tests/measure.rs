//! What the index of real plain archives takes, on demand: `CORTEN_PLAIN` names them, in the order
//! of the stack.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::panic)]
#![allow(clippy::disallowed_methods)]

use std::fs::File;
use std::time::Instant;

use corten_layer::{Limits, Merged};

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "a measurement; needs archives"]
fn index_of_plain_archives() {
    let Ok(paths) = std::env::var("CORTEN_PLAIN") else {
        eprintln!("skipped: CORTEN_PLAIN names no archives");
        return;
    };
    let before = resident();
    let start = Instant::now();
    let mut merged = Merged::new(Limits::default());
    let mut entries = 0;
    for path in paths.split(':') {
        entries += merged.add_plain(File::open(path).unwrap()).unwrap();
    }
    let took = start.elapsed();
    let bytes = (resident() - before) * 1024 / entries;
    eprintln!("{entries} entries, {} paths, {took:?}, {bytes} bytes each", merged.iter().count());
    assert!(bytes < 600, "{bytes} bytes for an entry");
}
