//! Kills while the cache becomes smaller, is sent, and is taken from: nothing is broken after.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use corten_testkit::Dice;

use crate::bench::Bench;

const FILE: &str = "FROM base AS one\nRUN --mount=type=cache,id=c,target=/cache mkdir -p /cache/d && for i in 1 2 3 4 5 6 7 8 9; do echo $i >/cache/d/$i; done; echo one >/one\n\
                    FROM base\nCOPY . /work\nRUN echo two >/two\nCOPY --from=one /one /out/\n";

struct Killed<'a> {
    bench: &'a Bench,
    dice: Dice,
    struck: u64,
}

impl Killed<'_> {
    /// Runs it once to its end, to know how long it takes.
    fn longest(&self, mut command: Command) -> u64 {
        let begun = Instant::now();
        let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(ended.success());
        u64::try_from(begun.elapsed().as_micros()).unwrap()
    }

    fn kill(&mut self, mut command: Command, longest: u64) {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(self.dice.below(longest)));
        self.struck += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn build(&self, store: &str, more: &[&str]) -> Command {
        let context = self.bench.path("ctx").display().to_string();
        let words = ["build", "-t", "t", "--json", "--network", "none", &context];
        self.bench.command(store, &[&words, more].concat())
    }

    fn is_sound(&self, store: &str) {
        let checked = self.bench.corten(store, &["store", "check"]);
        assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    }
}

fn kills(count: u64, seed: u64) -> u64 {
    let Some(bench) = Bench::new() else { return 0 };
    for number in 0..50 {
        bench.write(&format!("ctx/f{number}"), &format!("{number}\n"));
    }
    let expected = bench.built(FILE, &[])["digest"].clone();
    let mut killed = Killed { bench: &bench, dice: Dice::new(seed), struck: 0 };
    let gc = || bench.command("store", &["cache", "gc", "--all"]);
    let longest = killed.longest(gc());
    for _ in 0..count {
        bench.built(FILE, &[]);
        killed.kill(gc(), longest);
        killed.is_sound("store");
    }
    assert_eq!(bench.built(FILE, &[])["digest"], expected, "seed {seed}");
    let directory = bench.path("cache").display().to_string();
    let to = format!("type=local,dest={directory},mounts=true");
    let from = format!("type=local,src={directory}");
    let longest = killed.longest(killed.build("store", &["--cache-to", &to]));
    for number in 0..count {
        // Another cache each time, over the one before.
        bench.write("ctx/changed", &format!("{number}\n"));
        let command = killed.build("store", &["--cache-to", &to]);
        killed.kill(command, longest * 2);
        let validated = bench.corten("store", &["validate", &format!("oci:{directory}:latest")]);
        assert_eq!(validated.code, 0, "{}{}", validated.out, validated.err);
    }
    std::fs::remove_file(bench.path("ctx/changed")).unwrap();
    bench.built(FILE, &["--cache-to", &to]);
    let mut longest = 0;
    for number in 0..=count {
        let store = format!("store{number}");
        bench.bring(&store);
        match number {
            0 => longest = killed.longest(killed.build(&store, &["--cache-from", &from])),
            _ => killed.kill(killed.build(&store, &["--cache-from", &from]), longest),
        }
        let ended = bench.build_in(&store, &bench.path("ctx"), &["--cache-from", &from]);
        let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((&report["digest"], &report["ran"]), (&expected, &0.into()), "{}", ended.err);
        killed.is_sound(&store);
    }
    // What killed collections have left, the next one takes away.
    assert_eq!(bench.corten("store", &["cache", "gc", "--all"]).code, 0);
    let caches = bench.path("store/.corten/build/caches");
    assert_eq!(std::fs::read_dir(caches).unwrap().count(), 0);
    let place = bench.path("store/.corten/build");
    let left = |name: &str| {
        let entries = std::fs::read_dir(place.join(name)).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp")).count()
    };
    assert_eq!(["", "steps", "origins", "builds"].map(left), [0; 4]);
    killed.struck
}

#[test]
fn kills_of_caches_break_nothing() {
    kills(4, 815);
}

#[test]
#[ignore = "takes a minute"]
fn many_kills_of_caches_break_nothing() {
    let struck = kills(40, u64::from(std::process::id()));
    eprintln!("{struck} were struck before their end");
}
