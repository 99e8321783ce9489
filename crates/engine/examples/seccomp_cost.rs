//! What a filter costs: `seccomp_cost PROFILE.json` compiles and loads it, and prints both times.
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::time::Instant;

fn main() {
    let path = std::env::args().nth(1).expect("the path of a profile");
    let text = std::fs::read_to_string(path).expect("a readable profile");
    let profile = serde_json::from_str(&text).expect("a profile of the runtime-spec");
    let start = Instant::now();
    let filter = corten_engine::seccomp::compile(&profile).expect("a filter");
    let compiled = start.elapsed();
    rustix::thread::set_no_new_privs(true).expect("no_new_privs");
    let start = Instant::now();
    filter.install().expect("a loaded filter");
    println!(
        "{} instructions, {} names unknown: compiled in {compiled:?}, loaded in {:?}",
        filter.instructions().len(),
        filter.unknown().len(),
        start.elapsed()
    );
}
