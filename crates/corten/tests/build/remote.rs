//! ADD of files behind addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corten_spec::Digest;
use corten_testkit::tar::TarMaker;

use crate::bench::Bench;
use crate::site::{Site, ok, status};

/// A site with a file, an archive, and things that go wrong; the number is the version of the file.
fn site() -> (Site, Arc<AtomicUsize>) {
    let version = Arc::new(AtomicUsize::new(1));
    let now = version.clone();
    let site = Site::start(move |request| {
        let version = now.load(Ordering::Relaxed);
        let tag = format!("\"v{version}\"");
        let head =
            format!("ETag: {tag}\r\nLast-Modified: Tue, 14 Nov 2023 22:13:2{version} GMT\r\n");
        match request.path.as_str() {
            "/dir/file.txt?token=hidden" | "/dir/file.txt" => {
                if request.header("if-none-match").is_some_and(|known| known == tag) {
                    return status("304 Not Modified");
                }
                ok(&head, format!("version {version}\n").as_bytes())
            }
            "/" => ok("", b"root\n"),
            "/moved" => status("302 Found\r\nLocation: /dir/file.txt"),
            "/loop" => status("302 Found\r\nLocation: /loop"),
            "/away" => status("302 Found\r\nLocation: file:///etc/passwd"),
            "/x.tar" => ok("", &TarMaker::new().file("in", 0o640, "in\n").finish()),
            "/short" => {
                let text =
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf";
                (text.as_bytes().to_vec(), false)
            }
            "/huge" => {
                let text = "HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n";
                (text.as_bytes().to_vec(), true)
            }
            "/slow" => {
                let text = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nslow";
                (text.as_bytes().to_vec(), true)
            }
            "/coded" => ok("Content-Encoding: gzip\r\n", b"no gzip"),
            _ => status("404 Not Found"),
        }
    });
    (site, version)
}

#[test]
fn a_file_comes_with_its_name_its_mode_and_its_time() {
    let Some(bench) = Bench::new() else { return };
    let (site, _) = site();
    bench.write("ctx/local", "local\n");
    let url = site.url("/dir/file.txt?token=hidden");
    let report = bench.built(
        &format!(
            "FROM base\nADD {url} /one\nADD {url} /d/\nADD {} /e/\nADD --chmod=755 --chown=3:4 {url} local /f/\n\
             ADD {} /g/\nADD {} /t/\nADD --unpack {} /u/\n",
            site.url("/"),
            site.url("/moved"),
            site.url("/x.tar"),
            site.url("/x.tar"),
        ),
        &["--timestamps", "real"],
    );
    assert_eq!(bench.cat("/one"), "version 1\n");
    let file = |mode, uid, gid| Some(("file".to_owned(), mode, uid, gid));
    assert_eq!(bench.stat("/one"), file(0o600, 0, 0));
    assert_eq!(bench.stat("/d/file.txt"), file(0o600, 0, 0));
    assert_eq!(bench.stat("/e/__unnamed__"), file(0o600, 0, 0));
    assert_eq!(bench.stat("/f/file.txt"), file(0o755, 3, 4));
    assert_eq!(bench.stat("/f/local"), file(0o755, 3, 4));
    assert_eq!(bench.cat("/g/moved"), "version 1\n");
    assert_eq!(bench.stat("/t/x.tar"), file(0o600, 0, 0));
    assert_eq!(bench.cat("/u/in"), "in\n");
    assert_eq!(bench.stat("/u/in"), file(0o640, 0, 0));
    let listed = bench.corten("store", &["ls", "--json", "store:t", "/one"]).out;
    assert!(listed.contains("2023-11-14T22:13:21"), "{listed}");
    // Within one build an address is asked for once.
    assert_eq!(site.requests("/dir/file.txt?token=hidden").len(), 1);
    let history = bench.blob(&report["config"])["history"].to_string();
    assert!(history.contains("ADD") && !history.contains("hidden"), "{history}");
}

#[test]
fn what_did_not_change_is_neither_fetched_nor_added_again() {
    let Some(bench) = Bench::new() else { return };
    let (site, version) = site();
    let file = format!("FROM base\nADD {} /f\n", site.url("/dir/file.txt"));
    let ran = |more: &[&str]| bench.built(&file, more)["ran"].as_u64();
    assert_eq!(ran(&[]), Some(1));
    assert_eq!(ran(&[]), Some(0));
    assert_eq!(ran(&["--no-cache"]), Some(1));
    let known = |request: &crate::site::Request| request.header("if-none-match");
    let asked: Vec<_> = site.requests("/dir/file.txt").iter().map(known).collect();
    let tag = Some("\"v1\"".to_owned());
    assert_eq!(asked, [None, tag.clone(), tag]);
    assert_eq!(bench.cat("/f"), "version 1\n");
    version.store(2, Ordering::Relaxed);
    assert_eq!(ran(&[]), Some(1));
    assert_eq!(bench.cat("/f"), "version 2\n");
    // A file of the builder's that somebody damaged is fetched anew.
    for entry in std::fs::read_dir(bench.path("store/.corten/build/fetched")).unwrap() {
        std::fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    assert_eq!(ran(&["--no-cache"]), Some(1));
    assert_eq!(bench.cat("/f"), "version 2\n");
    // Nor does it grow for ever.
    let left = || std::fs::read_dir(bench.path("store/.corten/build/fetched")).unwrap().count();
    bench.corten("store", &["gc"]);
    assert!(left() > 0);
    let all = bench.corten("store", &["gc", "--grace", "0s"]);
    assert_eq!((all.code, left()), (0, 0), "{}", all.err);
}

#[test]
fn a_checksum_is_held_to_and_saves_the_question() {
    let Some(bench) = Bench::new() else { return };
    let (site, version) = site();
    let url = site.url("/dir/file.txt");
    let add = |checksum: &str| format!("FROM base\nADD --checksum={checksum} {url} /f\n");
    let right = add(Digest::sha256(b"version 1\n").as_str());
    bench.built(&right, &[]);
    version.store(2, Ordering::Relaxed);
    assert_eq!(bench.built(&right, &[])["ran"], 0);
    bench.built(&right, &["--no-cache"]);
    assert_eq!(
        (bench.cat("/f").as_str(), site.requests("/dir/file.txt").len()),
        ("version 1\n", 1)
    );
    let other = Digest::sha256(b"other");
    let wrong = bench.build(&add(other.as_str()), &[]);
    assert_eq!(wrong.code, 1, "{}", wrong.out);
    assert!(
        wrong.err.contains("is corrupt") && wrong.err.contains(other.as_str()),
        "{}",
        wrong.err
    );
    let sum = Digest::of(corten_spec::Algorithm::Sha512, b"version 2\n");
    bench.built(&add(sum.as_str()), &[]);
    bench.write("ctx/local", "x");
    for file in [
        format!("FROM base\nADD --checksum={other} local /f\n"),
        format!("FROM base\nADD --checksum={other} {url} {url} /f/\n"),
        format!("FROM base\nADD --checksum=sha256:1 {url} /f\n"),
    ] {
        let answer = bench.build(&file, &[]);
        assert!(answer.code == 1 && answer.err.contains("checksum"), "{file} {}", answer.err);
    }
}

#[test]
fn servers_that_misbehave_are_told_without_the_password() {
    let Some(bench) = Bench::new() else { return };
    let (site, _) = site();
    let host = format!("127.0.0.1:{}", site.port);
    let config = format!("[registry.\"{host}\"]\nstall-seconds = 1\n");
    let config = bench.write("config.toml", &config).display().to_string();
    for (path, told) in [
        ("/loop", "over 10 redirects"),
        ("/away", "not a URL that can be followed"),
        ("/short", "was interrupted"),
        ("/huge", "exceeds the limit"),
        ("/slow", "was interrupted"),
        ("/coded", "which was not asked for"),
        ("/nothing?signature=word", "not found"),
    ] {
        let file = format!("FROM base\nADD http://me:secret@{host}{path} /f\n");
        let answer = bench.build(&file, &["--config", &config]);
        assert_eq!(answer.code, 1, "{path}: {}", answer.out);
        assert!(answer.err.contains(told), "{path}: {}", answer.err);
        assert!(answer.err.contains(&format!("http://{host}/")), "{path}: {}", answer.err);
        for secret in ["secret", "word"] {
            assert!(!answer.err.contains(secret), "{path}: {}", answer.err);
        }
    }
    assert!(site.requests("/loop")[0].header("authorization").is_some());
    let kept = std::fs::read_dir(bench.path("store/.corten/build/fetched")).unwrap().count();
    assert_eq!(kept, 0, "nothing is left of what failed");
    let closed = bench.build("FROM base\nADD http://127.0.0.1:1/x /f\n", &[]);
    assert!(closed.err.contains("cannot be reached"), "{}", closed.err);
    let copied = bench.build(&format!("FROM base\nCOPY http://{host}/ /f\n"), &[]);
    assert_eq!(copied.code, 1, "{}", copied.out);
}
