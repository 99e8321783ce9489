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

#[test]
fn secrets_come_from_variables_and_files_that_are_not_too_large() {
    let Some(bench) = Bench::new() else { return };
    let file = "FROM base\nRUN --mount=type=secret,id=s,required wc -c </run/secrets/s >/size\n";
    bench.write("ctx/Dockerfile", file);
    let context = bench.path("ctx").display().to_string();
    let words = ["build", "-t", "t", "--json", "--network", "none", &context];
    let words = [&words[..], &["--secret", "id=s,env=SAID"]].concat();
    let built = |secret: &str| -> Value {
        let ended = bench.command("store", &words).env("SAID", secret).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        serde_json::from_slice(&ended.stdout).unwrap()
    };
    let first = built("xyzzy");
    assert_eq!(bench.cat("/size"), "5\n");
    assert!(!bench.blob(&first["config"]).to_string().contains("xyzzy"));
    assert_eq!(built("another one")["ran"], 0, "what is secret decides no key");
    let large = bench.write("large", &"x".repeat((1 << 20) + 1)).display().to_string();
    let refused = bench.build(file, &["--no-cache", "--secret", &format!("id=s,src={large}")]);
    assert!(refused.code == 2 && refused.err.contains("larger than"), "{}", refused.err);
}

#[test]
fn a_dockerfile_comes_from_standard_input_and_contexts_from_images() {
    let Some(bench) = Bench::new() else { return };
    let file = bench.write("said", "FROM scratch\nCOPY --from=other /bin/busybox /b\n");
    bench.write("ctx/unused", "");
    let context = bench.path("ctx").display().to_string();
    let other = "other=docker-image://base";
    let words = ["build", "-t", "t", "-f", "-", "--build-context", other, &context];
    let mut command = bench.command("store", &words);
    let ended = command.stdin(std::fs::File::open(file).unwrap()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(bench.stat("/b").is_some());
}

#[test]
fn a_directory_is_built_and_run_in_one_word() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/Dockerfile", "FROM base\nRUN echo built >/out\nCMD [\"cat\", \"/out\"]\n");
    let context = bench.path("ctx").display().to_string();
    let words = ["run", "--rm", "--network", "none", "--quiet", &context];
    let answer = bench.corten("store", &words);
    assert_eq!((answer.code, answer.out.as_str()), (0, "built\n"), "{}", answer.err);
    bench.write("ctx/Dockerfile", "FROM base\nRUN false\n");
    let answer = bench.corten("store", &words);
    assert!(answer.code != 0 && answer.err.contains("2 | RUN false"), "{}", answer.err);
}
