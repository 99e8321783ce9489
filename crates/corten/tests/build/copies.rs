//! COPY and ADD.

use corten_testkit::tar::TarMaker;

use crate::bench::Bench;

#[test]
fn files_go_where_buildkit_puts_them() {
    let Some(bench) = Bench::new() else { return };
    for (name, text) in [
        ("a", "a"),
        ("d/b", "b"),
        ("d/sub/c", "c"),
        ("skip/x", "x"),
        ("d/no.o", "o"),
        ("d/yes.o", "y"),
    ] {
        bench.write(&format!("ctx/{name}"), text);
    }
    bench.write("ctx/.dockerignore", "skip\n**/*.o\n!d/yes.o\n");
    std::os::unix::fs::symlink("d/b", bench.path("ctx/link")).unwrap();
    bench.built(
        "FROM base\nRUN mkdir -p /real && ln -s real /way\nCOPY a /one\nCOPY a /dir/\nCOPY d /tree\nCOPY d/* /flat/\n\
         COPY link /followed\nCOPY a /way/\nCOPY --chmod=u+x,go= a /mode\nCOPY --chown=app a /owned\n\
         COPY --parents d/./sub/c /kept/\nCOPY --exclude=sub d /less\nWORKDIR /w\nCOPY a .\n\
         COPY <<EOF <<\"RAW\" /here/\nhome $PATH\nEOF\nraw $PATH\nRAW\nADD a /added\n",
        &[],
    );
    for (path, text) in [
        ("/one", "a"),
        ("/dir/a", "a"),
        ("/tree/b", "b"),
        ("/tree/sub/c", "c"),
        ("/tree/yes.o", "y"),
        ("/flat/b", "b"),
        ("/flat/c", "c"),
        ("/followed", "b"),
        ("/real/a", "a"),
        ("/kept/sub/c", "c"),
        ("/less/b", "b"),
        ("/w/a", "a"),
        ("/here/RAW", "raw $PATH\n"),
        ("/added", "a"),
    ] {
        assert_eq!(bench.cat(path), text, "{path}");
    }
    assert!(bench.cat("/here/EOF").starts_with("home /usr/local/sbin"));
    for path in ["/tree/no.o", "/less/sub", "/skip"] {
        assert_eq!(bench.stat(path), None, "{path}");
    }
    assert_eq!(bench.stat("/mode"), Some(("file".to_owned(), 0o700, 0, 0)));
    assert_eq!(bench.stat("/owned").map(|stat| (stat.2, stat.3)), Some((1000, 1000)));
    let answer = bench.build("FROM base\nCOPY skip/x /\n", &[]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("2 | COPY skip/x /") && answer.err.contains('^'), "{}", answer.err);
}

#[test]
fn stages_images_and_named_contexts_are_copied_from() {
    let Some(bench) = Bench::new() else { return };
    bench.write("other/f", "named\n");
    let other = format!("more={}", bench.path("other").display());
    let layout = format!("laid=oci-layout://{}:base", bench.path("images").display());
    bench.built(
        "FROM base AS one\nRUN echo made >/made && chown 3:4 /made && ln /made /twin\nFROM scratch\n\
         COPY --from=one /made /twin /out/\nCOPY --from=0 /etc/passwd /p\nCOPY --from=more f /f\n\
         COPY --from=laid /etc/group /g\nCOPY --from=base /bin /bin\n",
        &["--build-context", &other, "--build-context", &layout],
    );
    assert_eq!(bench.cat("/out/twin"), "made\n");
    assert_eq!(bench.stat("/out/made").map(|stat| (stat.2, stat.3)), Some((3, 4)));
    assert_eq!(bench.cat("/f"), "named\n");
    assert!(bench.cat("/g").starts_with("root:"));
    assert_eq!(bench.stat("/bin/sh").map(|stat| stat.0), Some("symlink".to_owned()));
}

#[test]
fn an_archive_is_unpacked_by_add_and_by_nothing_else() {
    let Some(bench) = Bench::new() else { return };
    let tar = TarMaker::new().directory("d", 0o700).file("d/f", 0o640, "in\n").finish();
    std::fs::create_dir_all(bench.path("ctx")).unwrap();
    std::fs::write(bench.path("ctx/x.tar"), tar).unwrap();
    bench.built("FROM scratch\nADD x.tar /un\nCOPY x.tar /c/\nADD --unpack=false x.tar /a/\n", &[]);
    assert_eq!(bench.cat("/un/d/f"), "in\n");
    assert_eq!(bench.stat("/un/d"), Some(("directory".to_owned(), 0o700, 0, 0)));
    assert_eq!(bench.stat("/c/x.tar").map(|stat| stat.0), Some("file".to_owned()));
    assert_eq!(bench.stat("/a/x.tar").map(|stat| stat.0), Some("file".to_owned()));
}
