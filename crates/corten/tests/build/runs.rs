//! RUN: what it sees, what it leaves, and how it ends.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::grants::{ANSWER, ASK, fake_agent, tools};

#[test]
fn what_is_mounted_is_seen_and_is_in_no_layer() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/src/f", "bound\n");
    let secret = bench.write("token", "hush\n");
    let secret = format!("id=token,src={}", secret.display());
    bench.built(
        "FROM base AS other\nRUN echo other >/o\nFROM base\n\
         RUN --mount=target=/in,source=src --mount=from=other,source=/o,target=/o2 \
         --mount=type=tmpfs,target=/mem --mount=type=secret,id=token --mount=type=secret,id=token,env=TOKEN \
         cat /in/f /o2 /run/secrets/token >/seen && echo $TOKEN | wc -c >>/seen && touch /mem/x\n\
         RUN --mount=type=cache,target=/cache/deep echo kept >/cache/deep/k\n\
         RUN --mount=type=cache,target=/cache/deep cat /cache/deep/k >>/seen\n",
        &["--secret", &secret],
    );
    assert_eq!(bench.cat("/seen"), "bound\nother\nhush\n5\nkept\n");
    for path in [
        "/in",
        "/o2",
        "/mem",
        "/run",
        "/run/secrets",
        "/cache",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/dev",
    ] {
        assert_eq!(bench.stat(path), None, "{path}");
    }
}

#[test]
fn forms_of_run_users_and_directories() {
    let Some(bench) = Bench::new() else { return };
    bench.built(
        "FROM base\nWORKDIR /w\nRUN chown app /w\nUSER app\nRUN [\"/bin/sh\", \"-c\", \"id -u >exec; pwd >>exec\"]\n\
         RUN <<EOF\necho a >doc\necho b >>doc\nEOF\nRUN cat <<X >mixed\n$HOME\nX\nRUN <<S\n#!/bin/sh\necho script >script\nS\n\
         ENV K=v\nARG P=q\nRUN echo $K$P >env\n",
        &[],
    );
    assert_eq!(bench.cat("/w/exec"), "1000\n/w\n");
    assert_eq!(bench.cat("/w/doc"), "a\nb\n");
    assert_eq!(bench.cat("/w/mixed"), "/home/app\n");
    assert_eq!(bench.cat("/w/script"), "script\n");
    assert_eq!(bench.cat("/w/env"), "vq\n");
    assert_eq!(bench.stat("/w/doc").map(|stat| (stat.2, stat.3)), Some((1000, 1000)));
}

#[test]
fn what_a_step_removes_is_gone() {
    let Some(bench) = Bench::new() else { return };
    bench.built(
        "FROM base\nRUN mkdir /d && echo 1 >/d/a && echo 2 >/d/b\nRUN rm /d/a /etc/group && rm -r /tmp && mkdir /tmp\n\
         RUN rm -r /d && mkdir /d && echo 3 >/d/c\n",
        &[],
    );
    for path in ["/d/a", "/d/b", "/etc/group"] {
        assert_eq!(bench.stat(path), None, "{path}");
    }
    assert_eq!(bench.cat("/d/c"), "3\n");
}

#[test]
fn stages_that_do_not_need_each_other_run_beside_each_other() {
    let Some(bench) = Bench::new() else { return };
    // Each waits for a word of the other: one after the other, neither would end.
    let stage = |own: &str, other: &str| {
        format!(
            "FROM base AS {own}\nRUN --mount=type=cache,id=meet,target=/m touch /m/{own}; \
             for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
             test -e /m/{other} && touch /{own} && exit 0; sleep 1; done; exit 7\n"
        )
    };
    let file = format!(
        "{}{}FROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\n",
        stage("one", "two"),
        stage("two", "one")
    );
    bench.built(&file, &[]);
    assert!(bench.stat("/one").is_some() && bench.stat("/two").is_some());
}

#[test]
fn a_locked_cache_is_held_for_as_long_as_its_step_runs() {
    let Some(bench) = Bench::new() else { return };
    let stage = |own: &str| {
        format!(
            "FROM base AS {own}\nRUN --mount=type=cache,id=one,sharing=locked,target=/m \
             mkdir /m/mine && sleep 1 && rm -r /m/mine && touch /{own}\n"
        )
    };
    let last = "FROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\n";
    bench.built(&format!("{}{}{last}", stage("one"), stage("two")), &[]);
    assert!(bench.stat("/one").is_some() && bench.stat("/two").is_some());
}

#[test]
fn a_killed_build_leaves_no_process_and_no_mount() {
    let Some(bench) = Bench::new() else { return };
    // A number that nobody else on this machine sleeps for.
    let words = format!("sleep\0{}\0", 7_000_000 + std::process::id());
    let line = words.replace('\0', " ");
    bench.write("ctx/Dockerfile", &format!("FROM base\nRUN echo begun; {line}; true\n"));
    let sleeps = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.starts_with(words.as_bytes())
        })
    };
    let context = bench.path("ctx").display().to_string();
    let mut command = bench.command("store", &["build", "--network", "none", &context]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let begun = lines.map_while(Result::ok).find(|line| line.contains("| begun"));
    assert!(begun.is_some());
    let limit = Instant::now() + Duration::from_secs(20);
    while !sleeps() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(sleeps(), "the step does not run");
    child.kill().unwrap();
    child.wait().unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    let work = bench.path("store/.corten/build/rooms");
    let is_left = || {
        let directories = std::fs::read_dir(&work).unwrap().flatten();
        directories.filter(|entry| entry.path().is_dir()).count() > 0
    };
    while (sleeps() || is_left()) && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!sleeps(), "its process still runs");
    assert!(!is_left(), "its directory is still there");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&bench.path("store").display().to_string()), "{mounts}");
    bench.built("FROM base\nRUN true\n", &[]);
}

/// An ordinary user of this machine without ranges of ids, who has the base.
struct Ordinary<'a> {
    bench: &'a Bench,
}

impl<'a> Ordinary<'a> {
    const ID: u32 = 54_321;

    fn new(bench: &'a Bench) -> Option<Self> {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        if std::process::Command::new("setpriv").arg("--version").output().is_err() {
            eprintln!("skipped: setpriv is missing");
            return None;
        }
        std::fs::copy(env!("CARGO_BIN_EXE_corten"), bench.path("corten")).unwrap();
        for name in ["corten", "."] {
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(bench.path(name), mode).unwrap();
        }
        std::fs::create_dir_all(bench.path("home")).unwrap();
        chown(bench.path("home"), Some(Self::ID), Some(Self::ID)).unwrap();
        let user = Self { bench };
        user.corten(&["pull", &format!("oci:{}:base", bench.path("images").display()), "base"]);
        Some(user)
    }

    fn corten(&self, words: &[&str]) -> String {
        let (bench, id) = (self.bench, Self::ID.to_string());
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        command.arg(bench.path("corten")).args(words);
        command.env("HOME", bench.path("home")).env("XDG_RUNTIME_DIR", bench.path("home"));
        command.arg("--store").arg(bench.path("home/store")).stdin(Stdio::null());
        let out = command.output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{words:?}: {err}");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }
}

/// One id is all there is, and yet the layers say whose the files are.
#[test]
fn an_ordinary_user_with_one_id_builds_what_root_builds() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/a", "a\n");
    let file = "FROM base\nCOPY --chown=3:4 a /owned/a\nRUN chmod 600 /owned/a; mkdir -m 777 /made; echo x >>/etc/passwd\n\
                USER 1000:7\nRUN id -u >/made/id; id -g >>/made/id\nRUN echo y >>/made/id; mkdir /made/d; ln -s id /made/l\n\
                USER root\nRUN echo z >>/made/id; rm /owned/a\n";
    let report = bench.built(file, &[]);
    let Some(user) = Ordinary::new(&bench) else { return };
    let context = bench.path("ctx").display().to_string();
    let words = ["build", "-t", "t", "--network", "none", &context, "--json"];
    let theirs: serde_json::Value = serde_json::from_str(&user.corten(&words)).unwrap();
    assert_eq!(bench.cat("/made/id"), "1000\n7\ny\nz\n");
    assert_eq!(
        theirs["digest"],
        report["digest"],
        "{}",
        user.corten(&["ls", "-lR", "store:t", "/made"])
    );
}

#[test]
fn an_ordinary_user_with_one_id_builds_the_same_way_every_time() {
    use std::os::unix::fs::chown;
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/a", "a\n");
    bench.write(
        "ctx/Dockerfile",
        &format!(
            "FROM base\nCOPY --from=tools / /\nCOPY a /a\nRUN id -u >/id; cat /a >/b; rm /etc/group\n\
             RUN --mount=type=ssh,required --mount=type=secret,id=s,env=S {ASK} >/asked; echo $S | wc -c >/s\n"
        ),
    );
    let Some(user) = Ordinary::new(&bench) else { return };
    let corten = |words: &[&str]| user.corten(words);
    let Some(tools) = tools(&bench) else { return };
    let socket = bench.path("home/agent");
    fake_agent(&socket);
    chown(&socket, Some(Ordinary::ID), Some(Ordinary::ID)).unwrap();
    let ssh = format!("default={}", socket.display());
    let context = bench.path("ctx").display().to_string();
    let build = |more: &[&str]| {
        let lent = ["--ssh", &ssh, "--secret", "id=s,env=HOME", "--build-context", &tools];
        corten(&[&["build", "-t", "t", "--network", "none", &context], &lent[..], more].concat())
    };
    let first = build(&[]);
    assert_eq!(build(&["--no-cache"]), first);
    assert_eq!(corten(&["cat", "store:t", "/id"]), "0\n");
    assert_eq!(corten(&["cat", "store:t", "/b"]), "a\n");
    assert_eq!(corten(&["cat", "store:t", "/asked"]), ANSWER);
    let length = bench.path("home").display().to_string().len() + 1;
    assert_eq!(corten(&["cat", "store:t", "/s"]), format!("{length}\n"));
    assert!(!corten(&["ls", "store:t", "/etc"]).contains("group"));
}
