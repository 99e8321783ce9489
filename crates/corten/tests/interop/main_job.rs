//! The main job: a real root filesystem becomes an image, and runs elsewhere, unchanged.

use std::process::Command;

use corten_testkit::{DockerRegistry, Peer};
use serde_json::json;

use crate::bench::Bench;
use crate::podman::Podman;
use crate::wire::ask;

/// Tells which system it is and how many packages it has.
const QUESTION: &str = "cat /etc/os-release; dpkg -l | grep -c ^ii";
const IMAGE: &str = "team/debian:13";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What an engine needs besides to run in a machine without control groups of its own.
const PODMAN_RUN: [&str; 6] =
    ["--network", "none", "--cgroups", "disabled", "--security-opt", "seccomp=unconfined"];

/// The image as pushed.
struct Pushed {
    reference: String,
    digest: String,
    /// Digest of the config: what engines call the id of an image.
    id: String,
}

#[test]
fn a_real_root_filesystem_is_imported_validated_pushed_and_run_elsewhere() {
    let (Some(registry), Some(real)) = (DockerRegistry::start(), Peer::real_images()) else {
        return;
    };
    let bench = Bench::new();
    let real = format!("oci:{}:debian", real.display());
    bench.corten(&["export", &real, "--output", &bench.at("debian.tar")]);
    import_twice(&bench);
    let checked = bench.report(&["validate", "debian"]);
    assert_eq!((&checked["errors"], &checked["findings"]), (&json!(0), &json!([])));
    let reference = registry.reference(IMAGE);
    let pushed = bench.report(&["push", "debian", &reference]);
    let digest = pushed["digest"].as_str().unwrap().to_owned();
    let manifest = bench.corten(&["inspect", "--raw", "debian"]);
    let there = ask(registry.host(), "team/debian/manifests/13");
    assert_eq!(there.body, manifest.as_bytes(), "the registry has the same bytes");
    assert_eq!(there.header("docker-content-digest"), Some(digest.as_str()));
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let id = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let pushed = Pushed { reference, digest, id };
    std::thread::scope(|scope| {
        scope.spawn(|| runs_with_podman(&bench, &pushed));
        scope.spawn(|| runs_with_docker(&bench, &pushed));
    });
}

/// Imports the tree as a tar and as a directory; both are one image.
fn import_twice(bench: &Bench) {
    let (tar, root) = (bench.at("debian.tar"), bench.at("root"));
    std::fs::create_dir(&root).unwrap();
    let unpack = ["--numeric-owner", "-xpf", &tar, "-C", &root];
    assert!(Command::new("tar").args(unpack).status().unwrap().success());
    let options = ["--cmd", r#"["/bin/bash"]"#, "--env", PATH, "--label", "org.example.team=base"];
    let import = |source: &str, name: &str| {
        let report = bench.report(&[&["import", source, name], &options[..]].concat());
        report["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(import(&tar, "debian"), import(&root, "debian:directory"));
    std::fs::remove_dir_all(root).unwrap();
}

fn assert_debian(said: &str, engine: &str) {
    assert!(said.contains("\nID=debian\n"), "{engine}: {said}");
    let packages: u32 = said.lines().last().unwrap().parse().unwrap();
    assert!(packages > 50, "{engine}: {said}");
}

fn runs_with_podman(bench: &Bench, pushed: &Pushed) {
    let Some(podman) = Podman::at(bench) else { return };
    podman.succeed(&["pull", "--quiet", "--tls-verify=false", &pushed.reference]);
    let format = "{{.Id}} {{.Digest}} {{.Config.Labels}}";
    let image = podman.succeed(&["image", "inspect", "--format", format, &pushed.reference]);
    let id = pushed.id.strip_prefix("sha256:").unwrap();
    assert_eq!(image, format!("{id} {} map[org.example.team:base]", pushed.digest));
    let command = [pushed.reference.as_str(), "sh", "-c", QUESTION];
    let run = [&["run", "--rm"], &PODMAN_RUN[..], &command].concat();
    assert_debian(&podman.succeed(&run), "podman");
}

fn runs_with_docker(bench: &Bench, pushed: &Pushed) {
    let Some(docker) = Peer::docker() else { return };
    docker.succeed(["pull", "--quiet", &pushed.reference]);
    let format = "{{.Id}} {{index .RepoDigests 0}} {{.Config.Labels}}";
    let image = docker.succeed(["image", "inspect", "--format", format, &pushed.reference]);
    let repository = pushed.reference.strip_suffix(":13").unwrap();
    let digest = format!("{repository}@{}", pushed.digest);
    assert_eq!(image.trim(), format!("{} {digest} map[org.example.team:base]", pushed.id));
    let run = ["run", "--rm", "--network", "none", &pushed.reference, "sh", "-c", QUESTION];
    assert_debian(&docker.succeed(run), "docker");
    docker.succeed(["push", "--quiet", &pushed.reference]);
    docker.succeed(["image", "rm", "--force", &pushed.reference]);
    comes_back(bench, pushed);
}

/// What docker pushes back has the same config, so the same files; its layers it packs anew.
fn comes_back(bench: &Bench, pushed: &Pushed) {
    bench.corten(&["pull", &pushed.reference, "again"]);
    let again = bench.report(&["inspect", "again"]);
    assert_eq!(again["image"]["config"], json!(pushed.id));
    let checked = bench.report(&["validate", "again"]);
    assert_eq!(checked["errors"], json!(0), "{checked}");
    let same = bench.run(&["diff", "debian", "again"]);
    assert_eq!(same.code, Some(0), "{same:?}");
}
