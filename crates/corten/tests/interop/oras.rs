//! oras: layouts, archives and registries, and artifacts of its own making.

use corten_testkit::{DockerRegistry, Peer};
use serde_json::Value;

use crate::bench::{Bench, assert_on_disk, listed};
use crate::forms;
use crate::wire::{ask, assert_in_registry};

#[test]
fn oras_copies_every_form_unchanged() {
    let (Some(oras), Some(registry)) = (Peer::find("oras"), DockerRegistry::start()) else {
        return;
    };
    let bench = Bench::new();
    for (form, image) in forms::all() {
        let ours = format!("{}:{form}", bench.layout("ours", form, &[&image]));
        let at = |repository: &str| registry.reference(&format!("{repository}:{form}"));
        let has = |repository: &str| assert_in_registry(registry.host(), repository, form, &image);
        bench.corten(&["copy", &format!("oci:{ours}"), &at("corten")]);
        has("corten");
        // From the registry to its layout, and back with us.
        let theirs = format!("{}:{form}", bench.at("theirs"));
        oras.succeed(["cp", "--from-plain-http", "--to-oci-layout", &at("corten"), &theirs]);
        assert_on_disk(bench.path("theirs"), &image, form);
        let there = listed(bench.path("theirs"), Some(form));
        assert_eq!(there, Some(image.digest().to_string()));
        bench.corten(&["copy", &format!("oci:{theirs}"), &at("back")]);
        has("back");
        // From our layout and our archive.
        let archive = format!("{}:{form}", bench.at(&format!("{form}.tar")));
        bench.corten(&["copy", &format!("oci:{ours}"), &format!("oci-archive:{archive}")]);
        for (from, repository) in [(&ours, "layout"), (&archive, "archive")] {
            oras.succeed(["cp", "--to-plain-http", "--from-oci-layout", from, &at(repository)]);
            has(repository);
        }
        // From registry to registry, and home.
        let plain = ["cp", "--from-plain-http", "--to-plain-http"];
        oras.succeed(plain.iter().chain(&[at("layout").as_str(), &at("copied")]));
        bench.corten(&["pull", &at("copied"), form, "--all-platforms"]);
        assert_on_disk(bench.store(), &image, form);
    }
}

#[test]
fn an_artifact_that_oras_pushed_comes_back_from_what_corten_keeps() {
    let (Some(oras), Some(registry)) = (Peer::find("oras"), DockerRegistry::start()) else {
        return;
    };
    let bench = Bench::new();
    let pushed = registry.reference("things/note:1");
    bench.write("out/note.txt", "remember");
    let mut push = oras.command();
    push.current_dir(bench.path("out")).args(["push", "--plain-http", "--disable-path-validation"]);
    push.args(["--artifact-type", "application/vnd.example.note", &pushed, "note.txt:text/plain"]);
    assert!(push.output().unwrap().status.success());
    let manifest = ask(registry.host(), "things/note/manifests/1").body;
    bench.corten(&["pull", &pushed, "note"]);
    assert_eq!(bench.corten(&["inspect", "--raw", "note"]).as_bytes(), manifest);
    let checked = bench.report(&["validate", "note"]);
    assert_eq!(checked["errors"], Value::from(0), "{checked}");
    let again = registry.reference("things/again:1");
    bench.corten(&["push", "note", &again]);
    assert_eq!(ask(registry.host(), "things/again/manifests/1").body, manifest);
    oras.succeed(["pull", "--plain-http", "--output", &bench.at("in"), &again]);
    assert_eq!(std::fs::read_to_string(bench.path("in/note.txt")).unwrap(), "remember");
}
