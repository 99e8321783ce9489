//! Contexts that are no directories: standard input, archives behind addresses, named ones.

use std::io::Write as _;
use std::process::{Command, Stdio};

use corten_testkit::tar::TarMaker;

use crate::bench::{Answer, Bench};
use crate::site::{Site, ok, status};

const FILE: &str = "FROM base\nCOPY . /all\n";

fn tar() -> Vec<u8> {
    let other = "FROM base\nCOPY a /other\n";
    TarMaker::new()
        .file("Dockerfile", 0o644, FILE)
        .file("other", 0o644, other)
        .file("a", 0o751, "a\n")
        .finish()
}

/// Builds with something on standard input.
pub(crate) fn fed(bench: &Bench, input: &[u8], words: &[&str]) -> Answer {
    let all = [&["build", "-t", "t", "--json", "--network", "none"], words].concat();
    let mut command = bench.command("store", &all);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A build that refuses it reads no more.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: out.status.code().unwrap_or(-1), out: text(&out.stdout), err: text(&out.stderr) }
}

fn good(answer: Answer) {
    assert_eq!(answer.code, 0, "{}", answer.err);
}

/// Packs with a program of this machine; `None`, told, where there is none.
pub(crate) fn packed(bench: &Bench, program: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let plain = bench.path("plain");
    std::fs::write(&plain, bytes).unwrap();
    match Command::new(program).arg("-c").arg(&plain).output() {
        Ok(out) if out.status.success() => Some(out.stdout),
        _ => {
            eprintln!("skipped: there is no {program}");
            None
        }
    }
}

fn left_over(bench: &Bench) -> usize {
    std::fs::read_dir(bench.path("store/.corten/build/contexts")).map_or(0, Iterator::count)
}

#[test]
fn an_archive_on_standard_input_is_the_context() {
    let Some(bench) = Bench::new() else { return };
    good(fed(&bench, &tar(), &["-"]));
    assert_eq!(bench.cat("/all/a"), "a\n");
    assert_eq!(bench.stat("/all/a").map(|stat| stat.1), Some(0o751));
    good(fed(&bench, &tar(), &["-f", "other", "-"]));
    assert_eq!(bench.cat("/other"), "a\n");
    for program in ["gzip", "bzip2", "xz", "zstd"] {
        if let Some(packed) = packed(&bench, program, &tar()) {
            good(fed(&bench, &packed, &["-"]));
            assert_eq!(bench.cat("/all/a"), "a\n", "{program}");
        }
    }
    assert_eq!(left_over(&bench), 0);
}

#[test]
fn a_text_on_standard_input_is_the_dockerfile_of_an_empty_context() {
    let Some(bench) = Bench::new() else { return };
    good(fed(&bench, b"FROM base\nRUN echo hi >/hi\n", &["-"]));
    assert_eq!(bench.cat("/hi"), "hi\n");
    let copied = fed(&bench, b"FROM base\nCOPY a /\n", &["-"]);
    assert!(copied.code == 1 && copied.err.contains("no such file"), "{}", copied.err);
    assert!(copied.err.contains("standard input"), "{}", copied.err);
    let both = fed(&bench, b"FROM base\n", &["-f", "-", "-"]);
    assert!(both.code == 2 && both.err.contains("not both"), "{} {}", both.code, both.err);
    let long = fed(&bench, &vec![b'#'; 64 << 20], &["-"]);
    assert!(long.code == 2 && long.err.contains("too long for a Dockerfile"), "{}", long.err);
    good(fed(&bench, b"FROM base\n", &["--check", "-"]));
}

#[test]
fn contexts_and_dockerfiles_are_fetched() {
    let Some(bench) = Bench::new() else { return };
    let gzip = packed(&bench, "gzip", &tar()).unwrap();
    let site = Site::start(move |request| match request.path.as_str() {
        "/c.tar.gz" => ok("Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n", &gzip),
        "/c.tar" => ok("", &tar()),
        "/Dockerfile" => ok("", b"FROM base\nRUN echo far >/far\n"),
        "/text" => ok("", b"text\n"),
        _ => status("404 Not Found"),
    });
    let build = |words: &[&str]| fed(&bench, b"", words);
    good(build(&[&site.url("/c.tar.gz")]));
    assert_eq!(bench.cat("/all/a"), "a\n");
    good(build(&[&site.url("/Dockerfile")]));
    assert_eq!(bench.cat("/far"), "far\n");
    bench.write("ctx/a", "near\n");
    let local = bench.path("ctx").display().to_string();
    bench.write("ctx/Dockerfile", "FROM nothing\n");
    good(build(&["-f", &site.url("/Dockerfile"), &local]));
    let missing = build(&[&site.url("/missing?token=hidden")]);
    assert_eq!(missing.code, 3, "{}", missing.err);
    assert!(!missing.err.contains("hidden"), "{}", missing.err);
    let dated = build(&["--build-arg", "SOURCE_DATE_EPOCH=context", &site.url("/c.tar.gz")]);
    assert_eq!(dated.code, 0, "{}", dated.err);
    let report: serde_json::Value = serde_json::from_str(&dated.out).unwrap();
    assert_eq!(bench.blob(&report["config"])["created"], "2023-11-14T22:13:20Z");
    // Named ones: an archive is its files, anything else is a file.
    let (named, text) = (format!("far={}", site.url("/c.tar")), format!("t={}", site.url("/text")));
    bench.built(
        "FROM base\nCOPY --from=far a /a\nCOPY --from=t context /t\n",
        &["--build-context", &named, "--build-context", &text],
    );
    assert_eq!((bench.cat("/a").as_str(), bench.cat("/t").as_str()), ("a\n", "text\n"));
    assert_eq!(left_over(&bench), 0);
}

#[test]
fn archives_that_lead_out_of_the_context_are_no_contexts() {
    let Some(bench) = Bench::new() else { return };
    let outside = bench.path("outside");
    std::fs::create_dir_all(&outside).unwrap();
    let secret = bench.write("outside/secret", "FROM secret\n").display().to_string();
    let target = outside.display().to_string();
    let up = TarMaker::new().file("../../evil", 0o644, "x").file("Dockerfile", 0o644, FILE);
    assert_ne!(fed(&bench, &up.finish(), &["-"]).code, 0);
    let through = TarMaker::new()
        .file("Dockerfile", 0o644, FILE)
        .symlink("l", &target)
        .file("l/evil", 0o644, "x");
    fed(&bench, &through.finish(), &["-"]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    // A Dockerfile that is a link to a file of this machine.
    let link = TarMaker::new().symlink("Dockerfile", &secret).finish();
    let answer = fed(&bench, &link, &["-"]);
    assert!(answer.code != 0 && !answer.err.contains("FROM secret"), "{}", answer.err);
    let up = fed(&bench, &tar(), &["-f", &format!("../../../..{secret}"), "-"]);
    assert!(up.code != 0 && !up.err.contains("FROM secret"), "{}", up.err);
    assert_eq!(left_over(&bench), 0);
}
