//! What is said around a build: files that tell of it, questions that build nothing, compression, gc.

use serde_json::Value;

use crate::bench::Bench;

const FILE: &str = "ARG BASE=base\nFROM $BASE AS tools\nARG MODE=debug\nRUN echo $MODE >/mode\n\
                    # app is what is shipped\nFROM tools AS app\nRUN echo x >/x\n";

#[test]
fn files_tell_of_what_was_built() {
    let Some(bench) = Bench::new() else { return };
    let (id, data) = (bench.path("id"), bench.path("data"));
    let words = ["--iidfile", id.to_str().unwrap(), "--metadata-file", data.to_str().unwrap()];
    let report = bench.built(FILE, &words);
    let id = std::fs::read_to_string(id).unwrap();
    assert!(
        id == report["config"].as_str().unwrap() || id == report["digest"].as_str().unwrap(),
        "{id}"
    );
    let data: Value = serde_json::from_str(&std::fs::read_to_string(data).unwrap()).unwrap();
    assert!(data.to_string().contains(report["digest"].as_str().unwrap()), "{data}");
}

#[test]
fn questions_build_nothing() {
    let Some(bench) = Bench::new() else { return };
    let asked = |call: &str| bench.build(FILE, &[&format!("--call={call}")]);
    let (targets, outline) = (asked("targets"), asked("outline"));
    assert!(
        targets.out.contains("tools") && targets.out.contains("is what is shipped"),
        "{}",
        targets.out
    );
    assert!(outline.out.contains("MODE") && outline.out.contains("debug"), "{}", outline.out);
    let checked = bench.build("FROM base as x\nRUN true\n", &["--check"]);
    assert!(checked.out.contains("FromAsCasing"), "{} {}", checked.out, checked.err);
    assert_ne!(bench.corten("store", &["inspect", "store:t"]).code, 0, "nothing was built");
}

#[test]
fn layers_are_compressed_as_it_is_said() {
    let Some(bench) = Bench::new() else { return };
    for (word, kind) in [("zstd", "+zstd"), ("none", ".tar"), ("gzip", "+gzip")] {
        let report = bench.built("FROM scratch\nCOPY Dockerfile /\n", &["--compression", word]);
        let manifest = bench.blob(&report["digest"]);
        let media_type = manifest["layers"][0]["mediaType"].as_str().unwrap();
        assert!(media_type.ends_with(kind), "{word}: {media_type}");
    }
}

#[test]
fn gc_forgets_steps_whose_layers_it_takes() {
    let Some(bench) = Bench::new() else { return };
    bench.built(FILE, &[]);
    let steps = || std::fs::read_dir(bench.path("store/.corten/build/steps")).unwrap().count();
    assert_eq!(steps(), 2);
    let gc = || assert_eq!(bench.corten("store", &["gc", "--grace", "0"]).code, 0);
    gc();
    assert_eq!(steps(), 2, "the image has both layers");
    assert_eq!(bench.corten("store", &["remove", "t"]).code, 0);
    gc();
    assert_eq!(steps(), 0);
}
