//! Cache mounts that begin with the files of something: `from` and `source`. As in BuildKit, they are copied the first
//! time alone, and other files make another cache.

use crate::bench::Bench;

fn file(seed: &str, run: &str) -> String {
    format!(
        "FROM base AS seed\nRUN mkdir -p /s/d && echo {seed} >/s/d/f && chown 7:8 /s/d/f && chmod 640 /s/d/f && ln -s f /s/d/l && touch -d @1000000000 /s/d/f\n\
         FROM base\nRUN --mount=type=cache,id=x,target=/c,from=seed,source=/s {run}\n"
    )
}

#[test]
fn a_cache_begins_with_the_files_of_a_stage_and_only_once() {
    let Some(bench) = Bench::new() else { return };
    let look = "cat /c/d/l >/out; ls -ln /c/d >/owners; echo more >>/c/d/f";
    bench.built(&file("one", look), &[]);
    assert_eq!(bench.cat("/out"), "one\n");
    let owners = bench.cat("/owners");
    let line = owners.lines().find(|line| line.ends_with(" f")).unwrap();
    assert!(
        line.starts_with("-rw-r-----") && line.contains(" 7 ") && line.contains(" 8 "),
        "{line}"
    );
    bench.built(&file("one", "cat /c/d/f >/out"), &[]);
    assert_eq!(
        bench.cat("/out"),
        "one\nmore\n",
        "what a step wrote stays, and nothing is copied again"
    );
    assert_eq!(bench.built(&file("one", "cat /c/d/f >/out"), &[])["ran"], 0);
    bench.built(&file("two", "cat /c/d/f >/out"), &[]);
    assert_eq!(bench.cat("/out"), "two\n", "other files are another cache");
    bench.built(&file("one", "cat /c/d/f >/out2"), &[]);
    assert_eq!(bench.cat("/out2"), "one\nmore\n", "and the first is still there");
    // The stage's own files are as they were.
    let whole = format!(
        "{}RUN --mount=from=seed,source=/s,target=/s cat /s/d/f >/stage\n",
        file("one", "true")
    );
    bench.built(&whole, &[]);
    assert_eq!(bench.cat("/stage"), "one\n");
}

#[test]
fn a_cache_begins_with_the_files_of_an_image_or_a_context() {
    let Some(bench) = Bench::new() else { return };
    bench.write("extra/d/f", "extra\n");
    let extra = format!("extra={}", bench.path("extra").display());
    let of = |from: &str, run: &str| {
        format!("FROM base\nRUN --mount=type=cache,target=/c,{from} {run}\n")
    };
    bench.built(&of("from=base,source=/etc", "cp /c/group /out"), &[]);
    assert_eq!(bench.cat("/out"), bench.cat("/etc/group"));
    bench.built(&of("from=extra", "cat /c/d/f >/out"), &["--build-context", &extra]);
    assert_eq!(bench.cat("/out"), "extra\n");
    bench.built(
        &of("from=extra,source=d,mode=0700,uid=5", "ls -lnd /c >/out; cat /c/f >>/out"),
        &["--build-context", &extra],
    );
    let out = bench.cat("/out");
    assert!(
        out.starts_with("drwx------") && out.contains(" 5 ") && out.ends_with("extra\n"),
        "{out}"
    );
    for (from, told) in [
        ("from=base,source=/none", "/none is not there"),
        ("from=base,source=/etc/group", "is not a directory"),
    ] {
        let answer = bench.build(&of(from, "true"), &[]);
        assert!(answer.code != 0 && answer.err.contains(told), "{}", answer.err);
    }
}

#[test]
fn one_cache_mounted_twice_is_one() {
    let Some(bench) = Bench::new() else { return };
    let mount = |target: &str| format!("--mount=type=cache,id=same,sharing=locked,target={target}");
    bench.built(
        &format!("FROM base\nRUN {} {} echo x >/a/f; cp /b/f /out\n", mount("/a"), mount("/b")),
        &[],
    );
    assert_eq!(bench.cat("/out"), "x\n");
}

#[test]
fn a_cache_that_is_locked_is_one_step_s_at_a_time() {
    let Some(bench) = Bench::new() else { return };
    let run = |name: &str| {
        format!(
            "RUN --mount=type=cache,id=l,sharing=locked,target=/c mkdir /c/taken && sleep 0.3 && rmdir /c/taken && echo {name} >/{name}\n"
        )
    };
    let file = format!(
        "FROM base AS one\n{}FROM base AS two\n{}FROM base\nCOPY --from=one /one /\nCOPY --from=two /two /\n",
        run("one"),
        run("two")
    );
    bench.built(&file, &[]);
    assert_eq!(bench.cat("/two"), "two\n");
    // Steps that want one alone get one each.
    let private = file.replace("sharing=locked", "sharing=private");
    bench.built(&private, &["--no-cache"]);
}
