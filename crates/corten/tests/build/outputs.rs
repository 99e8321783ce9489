//! Where an image goes besides the store, and images for several platforms.

use corten_testkit::{Peer, TestRegistry};
use serde_json::Value;

use crate::bench::Bench;

const FILE: &str = "FROM base\nRUN echo built >/out\nENTRYPOINT [\"cat\", \"/out\"]\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn layouts_archives_and_files_take_what_was_built() {
    let Some(bench) = Bench::new() else { return };
    let path = |name: &str| bench.path(name).display().to_string();
    let outputs = [
        format!("type=oci,dest={}", path("out.tar")),
        format!("type=oci,tar=false,dest={}", path("layout")),
        format!("type=docker,dest={}", path("docker.tar")),
        format!("type=tar,dest={}", path("files.tar")),
        path("files"),
    ];
    let words: Vec<&str> = outputs.iter().flat_map(|output| ["-o", output]).collect();
    let report = bench.built(FILE, &words);
    assert_eq!(report["outputs"].as_array().unwrap().len(), outputs.len(), "{report}");
    for place in ["oci-archive:out.tar", "oci:layout", "oci-archive:docker.tar"] {
        let (transport, name) = place.split_once(':').unwrap();
        let place = format!("{transport}:{}", path(name));
        let inspected = bench.corten("store", &["inspect", "--json", &place]);
        assert_eq!(inspected.code, 0, "{place}: {}", inspected.err);
        assert_eq!(json(&inspected.out)["root"]["digest"], report["digest"], "{place}");
        let checked = bench.corten("store", &["validate", &place]);
        assert_eq!(checked.code, 0, "{place}: {}", checked.out);
    }
    assert_eq!(std::fs::read_to_string(bench.path("files/out")).unwrap(), "built\n");
    let member = |archive: &str, name: &str| {
        let out = std::process::Command::new("tar").args(["-xOf", archive, name]).output().unwrap();
        assert!(out.status.success(), "{archive} {name}");
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(member(&path("files.tar"), "out"), "built\n");
    let listing = json(&member(&path("docker.tar"), "manifest.json"));
    assert_eq!(listing[0]["RepoTags"], serde_json::json!(["docker.io/library/t:latest"]));
    assert_eq!(listing[0]["Layers"].as_array().unwrap().len(), 3);
}

#[test]
fn standard_output_takes_one_archive_and_nothing_else() {
    let Some(bench) = Bench::new() else { return };
    bench.write("ctx/Dockerfile", FILE);
    let context = bench.path("ctx").display().to_string();
    let words = ["build", "--network", "none", "-q", &context];
    let out = bench.command("store", &[&words[..], &["-o", "-"]].concat()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.stdout.len() % 512, 0);
    assert_eq!(out.stdout.get(257..262), Some(&b"ustar"[..]));
    let twice =
        bench.corten("store", &[&words[..], &["-o", "-", "-o", "type=oci,dest=-"]].concat());
    assert_eq!(twice.code, 2, "{}", twice.err);
    for wrong in ["type=oci", "dest=x", "type=what,dest=x", "type=local,dest=x,mode=1"] {
        let answer = bench.corten("store", &[&words[..], &["-o", wrong]].concat());
        assert_eq!((answer.code, answer.err.contains(wrong)), (2, true), "{}", answer.err);
    }
}

#[test]
fn a_registry_gets_every_name() {
    let Some(bench) = Bench::new() else { return };
    let registry = TestRegistry::start();
    let (first, second) = (registry.reference("team/app:1"), registry.reference("team/app:2"));
    bench.write("ctx/Dockerfile", FILE);
    let context = bench.path("ctx").display().to_string();
    let words = ["build", "--json", "--network", "none", "--insecure", "http", "--push", &context];
    let nameless = bench.corten("store", &words);
    assert_eq!((nameless.code, nameless.err.contains("-t NAME")), (2, true), "{}", nameless.err);
    let answer = bench.corten("store", &[&words[..], &["-t", &first, "-t", &second]].concat());
    assert_eq!(answer.code, 0, "{}", answer.err);
    for name in [first, second] {
        let words = ["inspect", "--json", "--insecure", "http", &format!("docker://{name}")];
        let inspected = bench.corten("other", &words);
        assert_eq!(json(&inspected.out)["root"]["digest"], json(&answer.out)["digest"], "{name}");
    }
}

#[test]
fn docker_and_podman_run_what_is_loaded_into_them() {
    let Some(bench) = Bench::new() else { return };
    let archive = bench.path("docker.tar").display().to_string();
    if let Some(podman) = Peer::find("podman") {
        bench.built(FILE, &["-o", &format!("type=docker,dest={archive}")]);
        let root = bench.path("podman").display().to_string();
        let run = bench.path("podman-run").display().to_string();
        let own = ["--root", &root, "--runroot", &run];
        podman.succeed([&own[..], &["load", "-q", "-i", &archive]].concat());
        let words = ["run", "--rm", "--network", "none", "docker.io/library/t"];
        assert_eq!(podman.succeed([&own[..], &words].concat()), "built\n");
        podman.succeed([&own[..], &["rmi", "-af"]].concat());
    }
    if let Some(docker) = Peer::docker() {
        // Its socket is in the tree that it is installed in.
        let host = format!("unix://{}", docker.tree().join("run/docker.sock").display());
        let context = bench.path("ctx").display().to_string();
        let words = ["build", "--network", "none", "--load", "-t", "corten-loaded:d", &context];
        let out = bench.command("store", &words).env("DOCKER_HOST", &host).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let words = ["run", "--rm", "--network", "none", "corten-loaded:d"];
        assert_eq!(docker.succeed(words), "built\n");
        docker.succeed(["image", "rm", "--force", "corten-loaded:d"]);
    }
}

const CROSS: &str = "FROM --platform=$BUILDPLATFORM base AS make\nARG TARGETPLATFORM TARGETARCH\n\
                     RUN echo $TARGETPLATFORM >/out\nFROM scratch\nCOPY --from=make /out /\n";

#[test]
fn images_for_several_platforms_become_one_index() {
    let Some(bench) = Bench::new() else { return };
    let words = ["--platform", "linux/amd64,linux/arm64", "--platform", "linux/arm/v7"];
    let report = bench.built(CROSS, &words);
    let index = bench.blob(&report["digest"]);
    let platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"];
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3, "{index}");
    for (image, platform) in report["images"].as_array().unwrap().iter().zip(platforms) {
        assert_eq!(image["platform"], platform);
        let config = bench.blob(&image["config"]);
        assert_eq!(platform.split('/').nth(1), config["architecture"].as_str());
        let words = ["cat", "--platform", platform, "store:t", "/out"];
        assert_eq!(bench.corten("store", &words).out, format!("{platform}\n"));
    }
    assert_eq!(bench.corten("store", &["validate", "store:t"]).code, 0);
    let again = bench.built(CROSS, &words);
    assert_eq!((&again["digest"], &again["ran"]), (&report["digest"], &0.into()));
    let one = bench.build(CROSS, &[&words[..], &["-o", "files"]].concat());
    assert_eq!((one.code, one.err.contains("one platform")), (2, true), "{}", one.err);
}

#[test]
fn a_process_for_a_machine_that_nobody_plays_is_refused_with_what_to_do() {
    let Some(bench) = Bench::new() else { return };
    let run = "FROM scratch\nCOPY Dockerfile /\nRUN [\"/x\"]\n";
    let answer = bench.build(run, &["--platform", "linux/s390x"]);
    if std::fs::read_dir("/proc/sys/fs/binfmt_misc")
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name() == "qemu-s390x"))
    {
        eprintln!("skipped: this machine plays an s390x");
        return;
    }
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert!(answer.err.contains("RUN for linux/s390x"), "{}", answer.err);
    assert!(answer.err.contains("3 | RUN"), "{}", answer.err);
    let wrong = bench.build("FROM --platform=what/is/this/now base\n", &[]);
    assert_ne!(wrong.code, 0);
}
