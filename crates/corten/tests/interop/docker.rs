//! The Docker engine: every form from a registry, and what it gives out.

use std::collections::BTreeSet;

use corten_testkit::{DockerRegistry, Peer};
use serde_json::Value;

use crate::attempts::Attempts;
use crate::bench::Bench;
use crate::forms;

/// It takes images only.
fn limit(form: &str) -> Option<&'static str> {
    (form == "artifact").then_some("unsupported media type application/vnd.oci.empty.v1+json")
}

/// It mounts layers that it knows the registry to have, and calls each of them gzip.
fn mislabelled(form: &str) -> Option<&'static str> {
    matches!(form, "plain" | "zstd").then_some("layer-compression")
}

#[test]
fn docker_pulls_what_corten_pushed_and_corten_pulls_what_it_pushes() {
    let (Some(docker), Some(registry)) = (Peer::docker(), DockerRegistry::start()) else {
        return;
    };
    let (bench, mut attempts) = (Bench::new(), Attempts::default());
    for (form, image) in forms::all() {
        let origin = format!("oci:{}:{form}", bench.layout("origin", form, &[&image]));
        let reference = registry.reference(&format!("{form}:v1"));
        bench.corten(&["copy", &origin, &reference]);
        let ran = docker.run(["pull", "--quiet", &reference]);
        if !attempts.note(form, &ran, limit(form)) {
            continue;
        }
        let config = bench.report(&["inspect", &reference])["image"]["config"].clone();
        let format = "{{.Id}} {{index .RepoDigests 0}}";
        let told = docker.succeed(["image", "inspect", "--format", format, &reference]);
        let digest = registry.reference(&format!("{form}@{}", image.digest()));
        assert_eq!(told.trim(), format!("{} {digest}", config.as_str().unwrap()), "{form}");
        // It writes a manifest of Docker's types and packs layers anew; files and config stay.
        let pushed = registry.reference(&format!("{form}-back:v1"));
        docker.succeed(["tag", &reference, &pushed]);
        docker.succeed(["push", "--quiet", &pushed]);
        docker.succeed(["image", "rm", "--force", &reference, &pushed]);
        bench.corten(&["pull", &pushed, form]);
        assert_eq!(bench.report(&["inspect", form])["image"]["config"], config, "{form}");
        let checked = bench.run(&["validate", form, "--json"]);
        let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
        let findings = checked["findings"].as_array().unwrap();
        let codes: BTreeSet<_> = findings.iter().filter_map(|one| one["code"].as_str()).collect();
        assert_eq!(codes, mislabelled(form).into_iter().collect(), "{form}: {checked}");
        assert_eq!(bench.corten(&["cat", form, "etc/motd"]), forms::MOTD);
    }
    attempts.finish();
}
