//! The cache as people manage it: what it holds, why a step ran again, and limits.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::Bench;

const FILE: &str = "FROM base AS builder\nARG VERSION=1\nCOPY src /src\n\
                    RUN --mount=type=cache,id=things,target=/things echo $VERSION >>/things/log; cp /things/log /out\n\
                    FROM base\nCOPY --from=builder /out /out\nRUN cat /out >/copy\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

impl Bench {
    fn cache(&self, words: &[&str]) -> Value {
        let answer = self.corten("store", &[&["cache"], words, &["--json"]].concat());
        assert_eq!(answer.code, 0, "{words:?}: {}", answer.err);
        json(&answer.out)
    }

    fn why(&self, step: &str) -> Value {
        self.cache(&["explain", step])
    }

    fn of_kind(&self, kind: &str) -> Vec<Value> {
        let listed = self.cache(&["ls", "--filter", &format!("kind={kind}")]);
        listed["entries"].as_array().unwrap().clone()
    }
}

fn names(report: &Value) -> Vec<&str> {
    let changes = report["changes"].as_array().unwrap();
    changes.iter().map(|change| change["name"].as_str().unwrap()).collect()
}

#[test]
fn the_list_says_what_everything_was_made_by() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/src/a.c", "a\n");
    bench.built(FILE, &[]);
    let steps = bench.of_kind("step");
    assert_eq!(steps.len(), 4, "{steps:?}");
    let copy = steps.iter().find(|step| step["about"] == "COPY src /src").unwrap();
    assert_eq!((&copy["stage"], &copy["line"]), (&"builder".into(), &3.into()));
    assert_eq!((&copy["shared"], &copy["in_use"]), (&false.into(), &false.into()));
    let needed = steps.iter().find(|step| step["about"] == "RUN cat /out >/copy").unwrap();
    assert_eq!(needed["shared"], true, "the image has it");
    let mounts = bench.of_kind("mount");
    assert_eq!((mounts.len(), &mounts[0]["about"]), (1, &"things".into()));
    assert!(mounts[0]["size"].as_u64().unwrap() > 0, "{mounts:?}");
    let id = copy["id"].as_str().unwrap();
    let one = bench.cache(&["ls", &id[..10]]);
    assert_eq!(one["entries"].as_array().unwrap().len(), 1);
    let shown = bench.corten("store", &["cache", "ls"]);
    assert!(shown.out.contains("[builder] COPY src /src"), "{}", shown.out);
}

#[test]
fn a_step_that_ran_again_says_which_input_changed() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/src/a.c", "a\n");
    bench.write("ctx/src/b.c", "b\n");
    bench.built(FILE, &[]);
    assert_eq!(bench.why("builder 2/3")["reason"], "new");
    bench.built(FILE, &[]);
    assert_eq!(bench.why("builder 2/3")["reason"], "found");
    bench.write("ctx/src/a.c", "other\n");
    bench.built(FILE, &[]);
    let copy = bench.why("COPY src");
    assert_eq!((&copy["reason"], names(&copy)), (&"changed".into(), vec!["file src/a.c"]));
    let run = bench.why("builder 3/3");
    assert_eq!(names(&run), ["the layers below"], "{run}");
    assert!(run["changes"][0]["after"].as_str().unwrap().contains("COPY src"), "{run}");
    bench.built(FILE, &["--build-arg", "VERSION=2"]);
    let run = bench.why("builder 3");
    let change = &run["changes"][0];
    assert_eq!(names(&run), ["variable VERSION"], "{run}");
    assert_eq!((&change["before"], &change["after"]), (&"1".into(), &"2".into()));
    let shown = bench.corten("store", &["cache", "explain", "builder 3", "t"]);
    assert!(shown.out.contains("variable VERSION: 1 -> 2"), "{}", shown.out);
    bench.built(FILE, &[]);
    bench.built(&FILE.replace("cat /out >/copy", "cat /out >/other"), &[]);
    let last = bench.why("3");
    assert_eq!(names(&last), ["the instruction", "command"], "{last}");
    bench.built(FILE, &["--no-cache"]);
    assert_eq!(bench.why("3")["reason"], "no-cache");
    let context = bench.path("ctx").display().to_string();
    assert_eq!(bench.cache(&["explain", "3", &context])["reason"], "no-cache");
    for (words, told) in
        [(["explain", "9"], "no step of that build"), (["explain", "R"], "more than one")]
    {
        let answer = bench.corten("store", &[&["cache"], &words[..]].concat());
        assert_eq!((answer.code, answer.err.contains(told)), (2, true), "{}", answer.err);
    }
}

#[test]
fn values_of_secrets_are_nowhere() {
    let Some(bench) = Bench::new() else { return };
    let file =
        "FROM base\nARG API_TOKEN\nARG PLACE\nRUN --mount=type=secret,id=s,env=S echo done >/x\n";
    let built = |token: &str, secret: &str, place: &str| {
        bench.write("secret", secret);
        let source = format!("id=s,src={}", bench.path("secret").display());
        let (token, place) =
            (format!("API_TOKEN={token}"), format!("PLACE=https://me:{place}@host/"));
        let words = ["--build-arg", &token, "--build-arg", &place, "--secret", &source];
        bench.built(file, &words);
    };
    built("hush-one", "whisper-one", "murmur-one");
    built("hush-two", "whisper-two", "murmur-one");
    let why = bench.why("2");
    assert_eq!(
        (names(&why), &why["changes"][0]["after"]),
        (vec!["variable API_TOKEN"], &Value::Null)
    );
    built("hush-two", "whisper-three", "murmur-two");
    assert_eq!(names(&bench.why("2")), ["variable PLACE"]);
    for place in ["origins", "builds"] {
        for entry in std::fs::read_dir(bench.path("store/.corten/build").join(place)).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let said = ["hush", "whisper", "murmur"].iter().find(|word| text.contains(**word));
            assert_eq!(said, None, "{text}");
        }
    }
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let Some(bench) = Bench::new() else { return };
    let file = |number: u8| {
        format!(
            "FROM base AS one\nRUN head -c 1000000 /dev/urandom >/data; echo {number}\nFROM base\nCOPY --from=one /etc/group /group\n"
        )
    };
    for number in [1, 2, 3] {
        bench.built(&file(number), &[]);
    }
    bench.built(&file(1), &[]);
    let dry = bench.cache(&["gc", "--max", "2500k", "--dry-run"]);
    let removed = dry["removed"].as_array().unwrap();
    assert_eq!(removed.len(), 1, "{dry}");
    assert!(removed[0]["about"].as_str().unwrap().ends_with("echo 2"), "{dry}");
    let blob = |report: &Value| {
        let digest = report["removed"][0]["layer"].as_str().unwrap().replace("sha256:", "");
        bench.path("store/blobs/sha256").join(digest)
    };
    assert!(blob(&dry).exists());
    let done = bench.cache(&["gc", "--max", "2500k"]);
    assert_eq!(done["removed"][0]["id"], dry["removed"][0]["id"]);
    assert!(!blob(&done).exists());
    assert!(done["kept"].as_u64().unwrap() <= 2_500 * 1024, "{done}");
    assert_eq!(bench.built(&file(1), &[])["ran"], 0);
    assert_eq!(bench.built(&file(2), &[])["ran"], 1, "what is copied is the same");
    assert_eq!(bench.why("one 2/2")["reason"], "collected");
    let kept = bench.cache(&["gc", "--keep-duration", "1h"]);
    assert_eq!(kept["removed"].as_array().unwrap().len(), 0);
    let all = bench.cache(&["gc", "--all", "--kind", "step"]);
    assert_eq!(bench.of_kind("step").len(), 0, "{all}");
    let answer = bench.corten("store", &["cache", "gc"]);
    assert_eq!((answer.code, answer.err.contains("--max SIZE")), (2, true), "{}", answer.err);
    let checked = bench.corten("store", &["store", "check"]);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    assert_eq!(bench.cat("/group").lines().next().unwrap(), "root:x:0:");
}

#[test]
fn limits_hold_after_every_build() {
    let Some(bench) = Bench::new() else { return };
    let file = |number: u8| {
        format!(
            "FROM base AS one\nRUN --mount=type=cache,target=/c head -c 1000000 /dev/urandom >/c/f{number}; cp /c/f{number} /data\nFROM base\nCOPY --from=one /etc/group /group\n"
        )
    };
    let size = || bench.cache(&["ls"])["bytes"].as_u64().unwrap();
    for number in 1..5 {
        bench.built(&file(number), &["--cache-max", "3m"]);
        assert!(size() <= 3 << 20, "{number}: {}", size());
    }
    assert!(size() > 1 << 20, "not more than needed");
    bench.write("config.toml", "[build]\ncache-max = \"10k\"\n");
    let config = bench.path("config.toml").display().to_string();
    bench.built(&file(4), &["--config", &config]);
    assert!(size() <= 10 << 10, "{}", size());
    let answer = bench.corten("store", &["cache", "gc", "--config", &config]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    // A step that uses the mount next begins anew.
    bench.built("FROM base\nRUN --mount=type=cache,target=/c ls /c >/listed\n", &[]);
    assert_eq!(bench.cat("/listed"), "");
}

#[test]
fn what_a_running_build_uses_stays() {
    let Some(bench) = Bench::new() else { return };
    let file = "FROM base AS one\nRUN echo first >/first\nFROM base\nCOPY --from=one /first /first\n\
                RUN --mount=type=cache,target=/c echo here >/c/here; n=0; while [ ! -e /c/go ] && [ $n -lt 1200 ]; do n=$((n+1)); sleep 0.05; done; ls /c >/listed\n";
    bench.built(
        "FROM base AS one\nRUN echo first >/first\nFROM base\nCOPY --from=one /first /first\n",
        &[],
    );
    bench.write("ctx/Dockerfile", file);
    let context = bench.path("ctx").display().to_string();
    let words = ["build", "-t", "t", "--json", "--network", "none", &context];
    let mut command = bench.command("store", &words);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let caches = bench.path("store/.corten/build/caches");
    let here = || {
        let names = std::fs::read_dir(&caches).into_iter().flatten().flatten();
        names.map(|name| name.path().join("0")).find(|data| data.join("here").exists())
    };
    let limit = Instant::now() + Duration::from_secs(60);
    while here().is_none() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(20));
    }
    let data = here().expect("the step runs");
    let gone = bench.cache(&["gc", "--all"]);
    let kinds: Vec<&Value> =
        gone["removed"].as_array().unwrap().iter().map(|entry| &entry["kind"]).collect();
    assert!(kinds.iter().all(|kind| **kind == "memo"), "{gone}");
    let listed = bench.of_kind("mount");
    assert_eq!(listed[0]["in_use"], true, "a shared mount is locked, too");
    let collected = bench.corten("store", &["gc", "--grace", "0s"]);
    assert_eq!(collected.code, 0, "{}", collected.err);
    std::fs::write(data.join("go"), "").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(bench.cat("/listed"), "go\nhere\n");
    assert_eq!(bench.cat("/first"), "first\n");
    let gone = bench.cache(&["gc", "--all"]);
    assert!(gone["removed"].as_array().unwrap().len() >= 4, "{gone}");
    assert_eq!(std::fs::read_dir(&caches).unwrap().count(), 0);
}
