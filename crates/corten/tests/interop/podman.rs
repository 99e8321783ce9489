//! podman: images of ours from every place it pulls from, what it pushes and saves, and artifacts.

use std::path::PathBuf;
use std::process::Command;

use corten_testkit::images::artifact;
use corten_testkit::{DockerRegistry, Peer, Ran};
use serde_json::Value;

use crate::attempts::Attempts;
use crate::bench::Bench;
use crate::forms;
use crate::wire::{ask, assert_in_registry};

/// podman with a storage of its own.
pub(crate) struct Podman<'a> {
    peer: Peer,
    bench: &'a Bench,
}

impl<'a> Podman<'a> {
    pub(crate) fn at(bench: &'a Bench) -> Option<Self> {
        Some(Self { peer: Peer::find("podman")?, bench })
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.peer.run(self.words(arguments))
    }

    /// The same as a command that does not run yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.peer.command();
        command.args(self.words(arguments));
        command
    }

    fn words(&self, arguments: &[&str]) -> Vec<String> {
        let at = |directory: &str| self.bench.at(&format!("podman/{directory}"));
        let places = ["--root", &at("root"), "--runroot", &at("run"), "--tmpdir", &at("tmp")];
        places.iter().chain(arguments).map(|word| (*word).to_owned()).collect()
    }

    /// Where this machine sees what it sees, its mounts too.
    pub(crate) fn root(&self) -> PathBuf {
        self.peer.root()
    }

    /// The root filesystem that it sees.
    pub(crate) fn tree(&self) -> PathBuf {
        let program = PathBuf::from(self.peer.command().get_program());
        program.parent().unwrap().parent().unwrap().join("tree")
    }

    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert!(ran.code == Some(0), "podman {arguments:?}: {ran:?}");
        ran.stdout.trim_end().to_owned()
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // So that no mount is left in what the bench removes.
        self.run(&["rmi", "--all", "--force"]);
    }
}

/// As with skopeo, indexes are read one level deep; artifacts have a verb of their own.
fn pull_limit(form: &str) -> Option<&'static str> {
    match form {
        "nested" => Some("Unexpectedly received a manifest list instead of a manifest"),
        "artifact" => Some("unsupported image-specific operation on artifact"),
        _ => None,
    }
}

#[test]
fn podman_pulls_from_every_place_that_corten_wrote() {
    let (bench, mut attempts) = (Bench::new(), Attempts::default());
    let (Some(podman), Some(registry)) = (Podman::at(&bench), DockerRegistry::start()) else {
        return;
    };
    for (form, image) in forms::all() {
        let origin = format!("oci:{}:{form}", bench.layout("origin", form, &[&image]));
        let pushed = registry.reference(&format!("app:{form}"));
        let archive = format!("oci-archive:{}", bench.at(&format!("{form}.tar")));
        let directory = format!("dir:{}", bench.at(&format!("dir-{form}")));
        let places = [pushed, archive, directory, origin.clone()];
        for place in &places {
            if *place != origin {
                bench.corten(&["copy", &origin, place]);
            }
            let pulled = podman.run(&["pull", "--quiet", "--tls-verify=false", place]);
            if attempts.note(&format!("{form} from {place}"), &pulled, pull_limit(form)) {
                let id = pulled.stdout.trim();
                let digest = podman.succeed(&["image", "inspect", "--format", "{{.Digest}}", id]);
                assert_eq!(digest, image.digest().as_str(), "{place}");
                let config = bench.report(&["inspect", place])["image"]["config"].clone();
                assert_eq!(config, format!("sha256:{id}"), "{place}");
                podman.succeed(&["rmi", "--force", id]);
            }
        }
    }
    attempts.finish();
}

#[test]
fn corten_reads_what_podman_pushes_and_saves() {
    let bench = Bench::new();
    let (Some(podman), Some(registry)) = (Podman::at(&bench), DockerRegistry::start()) else {
        return;
    };
    for (form, image) in forms::all() {
        if pull_limit(form).is_some() {
            continue;
        }
        let origin = format!("oci:{}:{form}", bench.layout("origin", form, &[&image]));
        let (ours, pushed) = (
            registry.reference(&format!("app:{form}")),
            registry.reference(&format!("podman:{form}")),
        );
        bench.corten(&["copy", &origin, &ours]);
        let id = podman.succeed(&["pull", "--quiet", "--tls-verify=false", &ours]);
        podman.succeed(&["push", "--quiet", "--tls-verify=false", &id, &pushed]);
        // Layers that it pulled from there it does not pack anew, unless they are to be gzip.
        if form == "single" || form == "plain" {
            assert_in_registry(registry.host(), "podman", form, &image);
        }
        let mut places = vec![pushed];
        for (format, place) in
            [("oci-archive", "oci-archive"), ("oci-dir", "oci"), ("docker-dir", "dir")]
        {
            let saved = bench.at(&format!("{format}-{form}"));
            podman.succeed(&["save", "--quiet", "--format", format, "--output", &saved, &id]);
            places.push(format!("{place}:{saved}"));
        }
        let layers = diff_ids(&bench, &origin);
        for place in places {
            let checked = bench.report(&["validate", &place]);
            assert_eq!(checked["errors"], Value::from(0), "{place}: {checked}");
            assert_eq!(diff_ids(&bench, &place), layers, "{place}");
            assert_eq!(bench.corten(&["cat", &place, "etc/motd"]), forms::MOTD, "{place}");
            bench.corten(&["copy", &place, "store:saved"]);
        }
        podman.succeed(&["rmi", "--force", &id]);
    }
}

/// The digests of the unpacked layers of the image for this machine.
fn diff_ids(bench: &Bench, place: &str) -> Vec<String> {
    let image = bench.report(&["inspect", place])["image"].clone();
    let layers = image["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["diff_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn podman_and_corten_exchange_artifacts() {
    let bench = Bench::new();
    let (Some(podman), Some(registry)) = (Podman::at(&bench), DockerRegistry::start()) else {
        return;
    };
    // Ours to podman.
    let ours = artifact("application/vnd.example.thing", "thing.txt", "content");
    let origin = format!("oci:{}:v1", bench.layout("origin", "v1", &[&ours]));
    let pushed = registry.reference("things/ours:v1");
    bench.corten(&["copy", &origin, &pushed]);
    podman.succeed(&["artifact", "pull", "--quiet", "--tls-verify=false", &pushed]);
    let extracted = bench.at("extracted");
    podman.succeed(&["artifact", "extract", &pushed, &extracted]);
    assert_eq!(std::fs::read_to_string(extracted).unwrap(), "content");
    // Theirs to us, and on.
    let theirs = registry.reference("things/theirs:v1");
    podman.succeed(&[
        "artifact",
        "add",
        "--type",
        "application/vnd.example.note",
        &theirs,
        &bench.write("note", "remember"),
    ]);
    podman.succeed(&["artifact", "push", "--quiet", "--tls-verify=false", &theirs]);
    let manifest = ask(registry.host(), "things/theirs/manifests/v1").body;
    bench.corten(&["pull", &theirs, "note"]);
    assert_eq!(bench.corten(&["inspect", "--raw", "note"]).as_bytes(), manifest);
    // It gives its layer the type `text/plain; charset=utf-8`, which RFC 6838 does not allow.
    let checked = bench.run(&["validate", "note", "--json"]);
    let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
    let findings = checked["findings"].as_array().unwrap();
    let codes: Vec<_> = findings.iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["descriptor-media-type-grammar"]);
    let again = registry.reference("things/again:v1");
    bench.corten(&["push", "note", &again]);
    assert_eq!(ask(registry.host(), "things/again/manifests/v1").body, manifest);
}
