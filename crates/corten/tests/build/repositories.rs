//! Git repositories: as contexts, and for ADD over git's own protocol.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::bench::Bench;

/// Repositories below a directory, served by a daemon.
struct Forge {
    root: PathBuf,
    port: u16,
    daemon: Child,
}

impl Drop for Forge {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Forge {
    /// `None`, told, where this machine has no git.
    fn start(bench: &Bench) -> Option<Self> {
        let root = bench.path("forge");
        std::fs::create_dir_all(&root).unwrap();
        // The daemon is a child of git's: exec is what makes it the one that is killed.
        let found = Command::new("git").arg("--exec-path").output().ok()?;
        let place = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        let program = PathBuf::from(place).join("git-daemon");
        if !program.is_file() {
            eprintln!("skipped: there is no git daemon");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let daemon = Command::new(program)
            .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", root.display()))
            .env("HOME", &root)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Self { root, port, daemon });
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("the git daemon does not listen");
    }

    fn git(&self, repository: &str, words: &[&str]) -> String {
        let directory = self.root.join(repository);
        std::fs::create_dir_all(&directory).unwrap();
        let out = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always"])
            .args(words)
            .current_dir(directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .env("GIT_AUTHOR_DATE", "1600000000 +0000")
            .output()
            .unwrap();
        assert!(out.status.success(), "{words:?} {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    fn commit(&self, repository: &str) -> String {
        self.git(repository, &["add", "--all"]);
        self.git(repository, &["commit", "--quiet", "--allow-empty", "-m", "m"]);
        self.git(repository, &["rev-parse", "HEAD"])
    }

    /// A repository with a directory, a program, a link and a tag on its first commit.
    fn seed(&self, bench: &Bench) -> (String, String) {
        self.git("r.git", &["init", "--quiet", "-b", "trunk"]);
        bench.write("forge/r.git/Dockerfile", "FROM base\nCOPY . /all\n");
        bench.write("forge/r.git/dir/f", "one\n");
        bench.write("forge/r.git/dir/Dockerfile", "FROM base\nCOPY f /from-dir\n");
        let run = bench.write("forge/r.git/run.sh", "#!/bin/sh\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(run, mode).unwrap();
        std::os::unix::fs::symlink("/etc", self.root.join("r.git/link")).unwrap();
        bench.write("forge/r.git/.gitattributes", "*.sh filter=evil\n");
        let first = self.commit("r.git");
        self.git("r.git", &["tag", "-a", "-m", "t", "v1"]);
        bench.write("forge/r.git/dir/f", "two\n");
        (first, self.commit("r.git"))
    }

    fn url(&self, rest: &str) -> String {
        format!("git://127.0.0.1:{}/{rest}", self.port)
    }

    fn file_url(&self, rest: &str) -> String {
        format!("file://{}/{rest}", self.root.display())
    }
}

fn build(bench: &Bench, words: &[&str]) -> crate::bench::Answer {
    let all = [&["build", "-t", "t", "--json", "--network", "none"], words].concat();
    bench.corten("store", &all)
}

#[test]
fn add_takes_the_files_of_a_commit() {
    let Some(bench) = Bench::new() else { return };
    let Some(forge) = Forge::start(&bench) else { return };
    let (first, second) = forge.seed(&bench);
    let file = |mode| Some(("file".to_owned(), mode, 0, 0));
    let add = |rest: &str, flags: &str| {
        format!("FROM base\nADD {flags} {} /r\n", forge.url(&format!("r.git{rest}")))
    };
    let text = |rest: &str, flags: &str| {
        bench.built(&add(rest, flags), &[]);
        bench.cat("/r/dir/f")
    };
    assert_eq!(text("", ""), "two\n");
    assert_eq!(bench.stat("/r/run.sh"), file(0o755));
    assert_eq!(bench.stat("/r/dir/f"), file(0o644));
    assert_eq!(bench.stat("/r/.git"), None);
    assert_eq!(bench.stat("/r/link").map(|stat| stat.0), Some("symlink".to_owned()));
    for rest in
        ["#v1", "?tag=v1", &format!("#{first}"), &format!("?ref=v1&checksum={}", &first[..9])]
    {
        assert_eq!(text(rest, ""), "one\n", "{rest}");
    }
    assert_eq!(text("#trunk", &format!("--checksum={second}")), "two\n");
    assert_eq!(bench.built(&add("#trunk", ""), &[])["ran"], 0, "the commit decides");
    bench.built(&add("#v1:dir", ""), &[]);
    assert_eq!((bench.cat("/r/f").as_str(), bench.stat("/r/dir")), ("one\n", None));
    bench.built(&add("#v1", "--keep-git-dir"), &[]);
    assert!(bench.cat("/r/.git/HEAD").starts_with(&first));
    let again = |more: &[&str]| bench.built(&add("#v1", "--keep-git-dir"), more)["digest"].clone();
    assert_eq!(again(&[]), again(&["--no-cache"]), "what is kept of git is the same every time");
    for (rest, flags, told) in [
        ("#nothing", "", "it has no branch or tag nothing"),
        ("#v1:link", "", "link is no directory in it"),
        ("#v1:.git", "", ".git is no directory in it"),
        ("#v1:none", "", "none is no directory in it"),
        ("?ref=-x", "", "git would take it for an option"),
        ("#v1", "--checksum=00ff", "not 00ff"),
        ("?checksum=aa", "--checksum=bb", "differ on the checksum"),
    ] {
        let answer = bench.build(&add(rest, flags), &[]);
        assert!(answer.code == 1 && answer.err.contains(told), "{rest}: {}", answer.err);
    }
    bench.built(&add("#v1:../..", ""), &[]);
    assert_eq!(bench.cat("/r/dir/f"), "one\n", "above the root is the root");
    let local = bench.build(&format!("FROM base\nADD {} /r\n", forge.file_url("r.git")), &[]);
    assert_eq!(local.code, 1, "a Dockerfile names no repositories of this machine");
}

#[test]
fn submodules_come_along_but_none_of_this_machine() {
    let Some(bench) = Bench::new() else { return };
    let Some(forge) = Forge::start(&bench) else { return };
    forge.seed(&bench);
    for (name, url) in [("good.git", "../r.git".to_owned()), ("bad.git", forge.file_url("r.git"))] {
        forge.git(name, &["init", "--quiet"]);
        let from = forge.file_url("r.git");
        forge.git(name, &["submodule", "--quiet", "add", &from, "sub"]);
        forge.git(name, &["config", "-f", ".gitmodules", "submodule.sub.url", &url]);
        forge.commit(name);
    }
    let add = |rest: &str| format!("FROM base\nADD {} /m\n", forge.url(rest));
    bench.built(&add("good.git"), &[]);
    assert_eq!(bench.cat("/m/sub/dir/f"), "two\n");
    assert_eq!(bench.stat("/m/sub/.git"), None);
    bench.built(&add("good.git?submodules=false"), &[]);
    assert_eq!(bench.stat("/m/sub/dir"), None);
    let bad = bench.build(&add("bad.git"), &[]);
    assert!(bad.code == 1 && bad.err.contains("transport 'file' not allowed"), "{}", bad.err);
}

#[test]
fn a_repository_is_a_context_and_its_commit_the_time() {
    let Some(bench) = Bench::new() else { return };
    let Some(forge) = Forge::start(&bench) else { return };
    forge.seed(&bench);
    let good = |words: &[&str]| {
        let answer = build(&bench, words);
        assert_eq!(answer.code, 0, "{words:?} {}", answer.err);
        serde_json::from_str::<serde_json::Value>(&answer.out).unwrap()
    };
    let report = good(&[&forge.url("r.git#v1")]);
    assert_eq!(bench.cat("/all/dir/f"), "one\n");
    assert_eq!(bench.stat("/all/run.sh"), Some(("file".to_owned(), 0o755, 0, 0)));
    assert_eq!(bench.blob(&report["config"])["created"], "2023-11-14T22:13:20Z");
    let same = good(&[&forge.file_url("r.git#v1")]);
    assert_eq!(same["digest"], report["digest"], "however it is reached");
    good(&[&forge.file_url("r.git#:dir")]);
    assert_eq!(bench.cat("/from-dir"), "two\n");
    good(&["-f", "dir/Dockerfile", "--check", &forge.url("r.git")]);
    let named = format!("far={}", forge.url("r.git#v1:dir"));
    bench.built("FROM base\nCOPY --from=far f /n\n", &["--build-context", &named]);
    assert_eq!(bench.cat("/n"), "one\n");
    let dated = good(&["--build-arg", "SOURCE_DATE_EPOCH=0", &forge.url("r.git#v1")]);
    assert_eq!(bench.blob(&dated["config"])["created"], "1970-01-01T00:00:00Z");
    let missing = build(&bench, &[&forge.url("none.git")]);
    assert_ne!(missing.code, 0, "{}", missing.out);
}

#[test]
fn where_there_is_no_git_the_error_says_what_to_do() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/Dockerfile", "FROM base\nADD git://127.0.0.1:1/r.git /r\n");
    let ctx = bench.path("ctx").display().to_string();
    let mut command = bench.command("store", &["build", "--network", "none", &ctx]);
    let out = command.env("PATH", bench.path("empty")).output().unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && err.contains("no program git"), "{err}");
}
