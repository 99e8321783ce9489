//! The cache, and the same bytes every time.

use crate::bench::Bench;

const FILE: &str = "FROM base AS one\nCOPY a /a\nRUN date >/dev/null; mkdir -p /x/y && echo hi >/x/y/z && rm /etc/group\n\
                    FROM one\nWORKDIR /w\nCOPY --from=one /x /x2\nRUN cat /a >/w/a\n";

#[test]
fn what_did_not_change_is_not_done_again() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/a", "1");
    let first = bench.built(FILE, &[]);
    assert_eq!((&first["ran"], &first["cached"]), (&5.into(), &0.into()));
    let second = bench.built(FILE, &[]);
    assert_eq!((&second["ran"], &second["cached"]), (&0.into(), &5.into()));
    assert_eq!(first["digest"], second["digest"]);
    bench.write("ctx/a", "2");
    let third = bench.built(FILE, &[]);
    assert_eq!(bench.cat("/w/a"), "2");
    assert!(third["ran"].as_u64().unwrap() >= 3, "{third}");
    let fourth = bench.built(FILE, &["--no-cache"]);
    assert_eq!((&fourth["ran"], &fourth["digest"]), (&5.into(), &third["digest"]));
    let argued = |value: &str| {
        let arg = format!("V={value}");
        bench.built("FROM base\nARG V\nRUN echo $V >/v\n", &["--build-arg", &arg])
    };
    assert_ne!(argued("1")["digest"], argued("2")["digest"]);
    assert_eq!(argued("1")["ran"], 0);
}

#[test]
fn a_stage_that_gave_the_same_files_is_no_reason_to_copy_them_again() {
    let Some(bench) = Bench::new() else { return };
    let file = |make: &str| {
        format!(
            "FROM base AS one\nCOPY a /a\nRUN mkdir /out && echo same >/out/f && {make}\nFROM base\nCOPY --from=one /out /out\nRUN echo next >/next\n"
        )
    };
    bench.write("ctx/a", "1");
    let first = bench.built(&file("true"), &[]);
    bench.write("ctx/a", "2");
    let second = bench.built(&file("true"), &[]);
    // COPY a and the RUN above it; what is taken from there is what it was.
    assert_eq!((&second["ran"], &second["digest"]), (&2.into(), &first["digest"]));
    let third = bench.built(&file("true"), &[]);
    assert_eq!((&third["ran"], &third["digest"]), (&0.into(), &first["digest"]));
    for other in [
        "chmod 600 /out/f",
        "chown 5 /out/f",
        "ln /out/f /out/g",
        "ln -s f /out/l",
        "mkdir -m 700 /out/d",
        "touch /out/e",
    ] {
        let made = bench.built(&file(other), &[]);
        assert_ne!(made["digest"], first["digest"], "{other}");
        let anew = bench.built(&file(other), &["--no-cache"]);
        assert_eq!(made["digest"], anew["digest"], "{other}");
    }
    // Times count where they are kept.
    let dated = |time: &str| {
        let file = file(&format!("touch -d {time} /out/f"));
        bench.built(&file, &["--build-arg", "SOURCE_DATE_EPOCH=1700000000"])["digest"].clone()
    };
    assert_ne!(dated("@1000000000"), dated("@1100000000"));
}

#[test]
fn the_same_input_gives_the_same_digest_cold_warm_and_elsewhere() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/a", "1");
    let cold = bench.built(FILE, &[]);
    let warm = bench.built(FILE, &[]);
    let anew = bench.built(FILE, &["--no-cache"]);
    bench.bring("store2");
    bench.write("far/away/a", "1");
    bench.write("far/away/Dockerfile", FILE);
    let elsewhere = bench.build_in("store2", &bench.path("far/away"), &[]);
    let elsewhere: serde_json::Value = serde_json::from_str(&elsewhere.out).unwrap();
    for other in [warm, anew, elsewhere] {
        assert_eq!(other["digest"], cold["digest"]);
    }
    let real = bench.built(FILE, &["--timestamps", "real"]);
    assert_ne!(real["digest"], cold["digest"]);
    let dated = bench.built(FILE, &["--build-arg", "SOURCE_DATE_EPOCH=1700000000"]);
    assert_eq!(bench.blob(&dated["config"])["created"], "2023-11-14T22:13:20Z");
}

#[test]
fn names_of_one_file_are_the_same_wherever_the_context_is() {
    let Some(bench) = Bench::new() else { return };
    let file = "FROM scratch\nCOPY d /\n";
    for context in ["ctx", "far"] {
        let a = bench.write(&format!("{context}/d/a"), "1");
        std::fs::hard_link(&a, a.with_file_name("b")).unwrap();
        bench.write(&format!("{context}/Dockerfile"), file);
    }
    let here = bench.built(file, &[]);
    let there = bench.build_in("store", &bench.path("far"), &[]);
    let there: serde_json::Value = serde_json::from_str(&there.out).unwrap();
    assert_eq!((&there["ran"], &there["digest"]), (&0.into(), &here["digest"]));
    // Two files are not one with two names.
    std::fs::remove_file(bench.path("far/d/b")).unwrap();
    bench.write("far/d/b", "1");
    let apart = bench.build_in("store", &bench.path("far"), &[]);
    let apart: serde_json::Value = serde_json::from_str(&apart.out).unwrap();
    assert_ne!(apart["digest"], here["digest"]);
}
