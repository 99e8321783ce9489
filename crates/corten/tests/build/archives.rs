//! ADD of the archives that GNU tar makes: every format, every compression.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use crate::bench::Bench;
use crate::contexts::{fed, packed};

/// Packs the directory `tree`; `None`, told, where this machine has no GNU tar.
fn tar(bench: &Bench, words: &[&str]) -> Option<Vec<u8>> {
    let told = Command::new("tar").arg("--version").output().ok();
    if !told.is_some_and(|out| String::from_utf8_lossy(&out.stdout).contains("GNU tar")) {
        eprintln!("skipped: there is no GNU tar");
        return None;
    }
    let out = Command::new("tar")
        .args(words)
        .args(["--owner=7", "--group=8", "-C"])
        .arg(bench.path("tree"))
        .args(["-cf", "-", "."])
        .output()
        .unwrap();
    assert!(out.status.success(), "{words:?} {}", String::from_utf8_lossy(&out.stderr));
    Some(out.stdout)
}

fn add(bench: &Bench, archive: &[u8]) {
    std::fs::create_dir_all(bench.path("ctx")).unwrap();
    std::fs::write(bench.path("ctx/archive"), archive).unwrap();
    bench.built("FROM base\nADD archive /un/\n", &[]);
}

/// A file of 3 MiB with two pieces far from each other.
fn write_sparse(path: &Path) -> Vec<u8> {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(3 << 20).unwrap();
    file.write_at(b"middle", (1 << 20) + 5).unwrap();
    file.write_at(b"end", (3 << 20) - 3).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn every_format_of_gnu_tar_is_unpacked() {
    let Some(bench) = Bench::new() else { return };
    bench.write("tree/d/f", "f\n");
    std::fs::hard_link(bench.path("tree/d/f"), bench.path("tree/d/twin")).unwrap();
    std::os::unix::fs::symlink("d/f", bench.path("tree/l")).unwrap();
    let sparse = write_sparse(&bench.path("tree/sparse"));
    let sum = corten_spec::Digest::sha256(&sparse);
    // Names that a plain header has no room for.
    let long = format!("{}/{}", "long".repeat(30), "name".repeat(50));
    for (format, has_long) in
        [("v7", false), ("ustar", false), ("oldgnu", true), ("gnu", true), ("posix", true)]
    {
        if has_long {
            bench.write(&format!("tree/{long}"), "long\n");
        }
        let format_word = format!("--format={format}");
        let sparse_words: &[&[&str]] = match format {
            "posix" => &[&["-S", "--sparse-version=0.0"], &["-S", "--sparse-version=0.1"], &["-S"]],
            "gnu" | "oldgnu" => &[&["-S"], &[]],
            _ => &[&[]],
        };
        for words in sparse_words {
            let words = [&[format_word.as_str()], *words].concat();
            let Some(archive) = tar(&bench, &words) else { return };
            add(&bench, &archive);
            let stat = |path| bench.stat(path).map(|(_, mode, uid, gid)| (mode, uid, gid));
            assert_eq!(bench.cat("/un/d/twin"), "f\n", "{words:?}");
            assert_eq!(stat("/un/d/f"), Some((0o644, 7, 8)), "{words:?}");
            assert_eq!(stat("/un"), Some((0o755, 0, 0)), "{words:?}");
            let out = bench.command("store", &["cat", "store:t", "/un/sparse"]).output().unwrap();
            assert_eq!(corten_spec::Digest::sha256(&out.stdout), sum, "{words:?}");
            if has_long {
                assert_eq!(bench.cat(&format!("/un/{long}")), "long\n", "{words:?}");
            }
        }
        let _ = std::fs::remove_dir_all(bench.path("tree").join("long".repeat(30)));
    }
}

#[test]
fn every_compression_is_unpacked_and_a_text_is_not() {
    let Some(bench) = Bench::new() else { return };
    bench.write("tree/f", "f\n");
    bench.write("tree/Dockerfile", "FROM base\nCOPY . /all\n");
    let Some(archive) = tar(&bench, &[]) else { return };
    for program in ["gzip", "bzip2", "xz", "zstd", "cat"] {
        let bytes = match program {
            "cat" => Some(archive.clone()),
            _ => packed(&bench, program, &archive),
        };
        let Some(bytes) = bytes else { continue };
        add(&bench, &bytes);
        assert_eq!(bench.cat("/un/f"), "f\n", "{program}");
        // As a context: owners are those of the archive, but not of its root.
        let answer = fed(&bench, &bytes, &["-"]);
        assert_eq!(answer.code, 0, "{program} {}", answer.err);
        let stat = |path| bench.stat(path).map(|(_, mode, uid, gid)| (mode, uid, gid));
        assert_eq!(stat("/all/f"), Some((0o644, 7, 8)), "{program}");
        assert_eq!(stat("/all"), Some((0o755, 0, 0)), "{program}");
        if program == "cat" {
            continue;
        }
        let text = packed(&bench, program, b"a text\n").unwrap();
        add(&bench, &text);
        assert!(bench.stat("/un/archive").is_some(), "{program}");
        let cut = bytes.get(..bytes.len() - 9).unwrap();
        std::fs::write(bench.path("ctx/archive"), cut).unwrap();
        let answer = bench.build("FROM base\nADD archive /un/\n", &[]);
        let is_file = answer.code == 0 && bench.stat("/un/archive").is_some();
        let is_told = answer.code == 1 && answer.err.contains("the archive");
        assert!(is_file || is_told, "{program} {} {}", answer.code, answer.err);
    }
}
