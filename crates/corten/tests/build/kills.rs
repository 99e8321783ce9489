//! Builds that are killed at any moment: nothing is broken after, nothing is left.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use corten_testkit::Dice;

use crate::bench::Bench;

/// Steps of every kind: a stage beside the other, a cache that is kept, what is copied between them.
const FILE: &str = "FROM base AS one\nRUN --mount=type=cache,target=/cache echo x >>/cache/x; echo one >/one\n\
                    RUN rm -r /etc/group; echo two >/two\nFROM base\nWORKDIR /place\nCOPY . .\n\
                    RUN find /place -type f | wc -l >/count\nCOPY --from=one /one /two /out/\nRUN cat /out/one /out/two >/all\n";

/// Kills `count` builds, each at a moment of its own; how many were struck before their end.
fn kills(count: u64, seed: u64) -> u64 {
    let Some(bench) = Bench::new() else { return 0 };
    for number in 0..200 {
        bench.write(&format!("ctx/d{}/f{number}", number % 7), &format!("{number}\n"));
    }
    let expected = bench.built(FILE, &[])["digest"].clone();
    let begun = Instant::now();
    bench.built(FILE, &["--no-cache"]);
    let longest = u64::try_from(begun.elapsed().as_micros()).unwrap() * 5 / 4;
    let (mut dice, mut struck) = (Dice::new(seed), 0);
    let place = bench.path("store/.corten/build/rooms");
    let rooms = || std::fs::read_dir(&place).unwrap().flatten().map(|entry| entry.file_name());
    let mut seen = BTreeSet::new();
    let context = bench.path("ctx").display().to_string();
    for number in 0..count {
        // Another file, so that nothing of the steps that see it is cached.
        bench.write("ctx/changed", &format!("{number}\n"));
        let mut command =
            bench.command("store", &["build", "-t", "k", "--network", "none", &context]);
        let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(longest)));
        struck += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        seen.extend(rooms().map(|name| name.to_string_lossy().replace(".lock", "")));
    }
    std::fs::remove_file(bench.path("ctx/changed")).unwrap();
    assert_eq!(bench.built(FILE, &[])["digest"], expected, "seed {seed}");
    assert_eq!(bench.built(FILE, &["--no-cache"])["digest"], expected, "seed {seed}");
    assert_eq!(bench.cat("/all"), "one\ntwo\n");
    let checked = bench.corten("store", &["store", "check"]);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    let left = || rooms().count();
    let limit = Instant::now() + Duration::from_secs(20);
    while left() > 0 && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(left(), 0, "rooms are left");
    let memory = std::fs::read_dir("/dev/shm/corten-0").into_iter().flatten().flatten();
    for entry in memory {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = name.split_once('.').is_some_and(|(room, _)| seen.contains(room));
        assert!(!is_ours, "{name} is left in memory");
    }
    let store = bench.path("store").display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let of_ours = |entry: &std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&store)
    };
    assert_eq!(processes.filter(of_ours).count(), 0, "processes are left");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&store), "{mounts}");
    struck
}

#[test]
fn some_kills_break_and_leave_nothing() {
    kills(8, 4_711);
}

#[test]
#[ignore = "takes a minute; just kill-builds"]
fn many_kills_break_and_leave_nothing() {
    let number = |name: &str, otherwise| {
        std::env::var(name).ok().map_or(otherwise, |text| text.parse::<u64>().unwrap())
    };
    let seed = number("CORTEN_SEED", u64::from(std::process::id()));
    let (count, struck) = (number("CORTEN_KILLS", 100), kills(number("CORTEN_KILLS", 100), seed));
    eprintln!("{count} kills, seed {seed}: {struck} were struck before their end");
}
