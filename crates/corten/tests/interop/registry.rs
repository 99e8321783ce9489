//! The reference registry: what corten pushes it keeps byte for byte, and what it does not take.

use corten_spec::Algorithm;
use corten_testkit::images::{
    ImageMaker, TestImage, artifact, empty_artifact, referrer, referrer_index,
};
use corten_testkit::tar::TarMaker;
use corten_testkit::{DockerRegistry, Ran};
use serde_json::Value;

use crate::bench::{Bench, assert_on_disk};
use crate::forms;
use crate::wire::{ask, assert_in_registry};

#[test]
fn every_form_goes_there_and_back_and_is_not_sent_twice() {
    let Some(registry) = DockerRegistry::start() else { return };
    let bench = Bench::new();
    let subject = forms::single();
    let mut all = forms::all();
    all.push(("empty", empty_artifact("application/vnd.example.mark")));
    all.push(("referrer", referrer(&subject, "application/vnd.example.note", "noted")));
    let member = artifact("application/vnd.example.thing", "a", "b");
    all.push((
        "referrer-index",
        referrer_index(&subject, "application/vnd.example.set", &[member]),
    ));
    for (form, image) in &all {
        let origin = format!("oci:{}:{form}", bench.layout("origin", form, &[image]));
        // Each in repositories of its own: some are made of the same layers.
        let at = |repository: &str| registry.reference(&format!("{repository}/{form}:{form}"));
        let has = |repository: &str| {
            assert_in_registry(registry.host(), &format!("{repository}/{form}"), form, image);
        };
        let first = bench.report(&["copy", &origin, &at("app")]);
        assert_eq!(first["blobs_present"], Value::from(0), "{form}: {first}");
        has("app");
        bench.corten(&["pull", &at("app"), form, "--all-platforms"]);
        assert_on_disk(bench.store(), image, form);
        let again = bench.report(&["push", form, &at("app")]);
        assert_eq!(again["blobs_copied"], Value::from(0), "{form}: {again}");
        let beside = bench.report(&["copy", &at("app"), &at("beside")]);
        assert_eq!(beside["blobs_copied"], Value::from(0), "{form}: {beside}");
        assert!(beside["blobs_mounted"].as_u64() > Some(0), "{form}: {beside}");
        has("beside");
    }
}

fn pushed(bench: &Bench, registry: &DockerRegistry, name: &str, image: &TestImage) -> Ran {
    let origin = format!("oci:{}:{name}", bench.layout(name, name, &[image]));
    bench.run(&["copy", &origin, &registry.reference(&format!("app:{name}"))])
}

#[test]
fn what_the_reference_registry_does_not_take_is_told() {
    let Some(registry) = DockerRegistry::start() else { return };
    let bench = Bench::new();
    // It knows one algorithm.
    let wide = ImageMaker::new().algorithm(Algorithm::Sha512).text_layer("a", "b").build();
    let ran = pushed(&bench, &registry, "wide", &wide);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("DIGEST_INVALID"), "{ran:?}");
    assert!(ran.stderr.contains("refuses sha512:"), "{ran:?}");
    // It takes layers by reference only where it is told to.
    let tar = TarMaker::new().file("a", 0o644, "foreign");
    let url = "http://example.com/layer";
    let foreign = ImageMaker::new().docker().text_layer("b", "c").foreign_layer(tar, url).build();
    let ran = pushed(&bench, &registry, "foreign", &foreign);
    assert!(ran.stderr.contains("MANIFEST_BLOB_UNKNOWN"), "{ran:?}");
    assert_eq!(ask(registry.host(), "app/manifests/foreign").status, 404);
}

#[test]
fn layers_not_to_be_distributed_stay_where_they_are() {
    let allow = "validation: {manifests: {urls: {allow: ['^http://example\\.com/']}}}";
    let Some(registry) = DockerRegistry::start_with(allow) else { return };
    let bench = Bench::new();
    let tar = TarMaker::new().file("a", 0o644, "foreign");
    let url = "http://example.com/layer";
    let foreign = ImageMaker::new().docker().text_layer("b", "c").foreign_layer(tar, url).build();
    let ran = pushed(&bench, &registry, "foreign", &foreign);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_in_registry(registry.host(), "app", "foreign", &foreign);
    bench.corten(&["pull", &registry.reference("app:foreign"), "foreign"]);
    assert_on_disk(bench.store(), &foreign, "foreign");
}
