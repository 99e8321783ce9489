//! crane: layouts it makes, layouts of ours it pushes, and copies between registries.

use corten_testkit::{DockerRegistry, Peer};

use crate::bench::{Bench, assert_on_disk, listed};
use crate::forms;
use crate::wire::assert_in_registry;

#[test]
fn crane_fetches_and_pushes_every_form_unchanged() {
    let (Some(crane), Some(registry)) = (Peer::find("crane"), DockerRegistry::start()) else {
        return;
    };
    let bench = Bench::new();
    for (form, image) in forms::all() {
        let ours = bench.layout(&format!("ours-{form}"), form, &[&image]);
        let at = |repository: &str| registry.reference(&format!("{repository}:{form}"));
        let has = |repository: &str| {
            assert_in_registry(registry.host(), repository, form, &image);
        };
        bench.corten(&["push", &format!("oci:{ours}:{form}"), &at("corten")]);
        has("corten");
        // From the registry to its own layout, and back with us.
        let theirs = bench.at(&format!("theirs-{form}"));
        crane.succeed(["pull", "--insecure", "--format=oci", &at("corten"), &theirs]);
        assert_on_disk(&theirs, &image, form);
        assert_eq!(listed(&theirs, None), Some(image.digest().to_string()));
        bench.corten(&["copy", &format!("oci:{theirs}"), &at("back")]);
        has("back");
        // From our layout to the registry, and back with us.
        crane.succeed(["push", "--insecure", &ours, &at("crane")]);
        has("crane");
        crane.succeed(["copy", "--insecure", &at("crane"), &at("copied")]);
        has("copied");
        let pulled = bench.at(&format!("pulled-{form}"));
        bench.corten(&["copy", &at("copied"), &format!("oci:{pulled}:{form}")]);
        assert_on_disk(&pulled, &image, form);
        assert_eq!(listed(&pulled, Some(form)), Some(image.digest().to_string()));
    }
}

#[test]
fn crane_and_corten_tell_the_same() {
    let (Some(crane), Some(registry)) = (Peer::find("crane"), DockerRegistry::start()) else {
        return;
    };
    let bench = Bench::new();
    for (form, image) in forms::all() {
        let origin = bench.layout("origin", form, &[&image]);
        bench.corten(&[
            "copy",
            &format!("oci:{origin}:{form}"),
            &registry.reference(&format!("app:{form}")),
        ]);
        let reference = registry.reference(&format!("app:{form}"));
        let theirs = crane.succeed(["manifest", "--insecure", &reference]);
        assert_eq!(theirs.trim_end(), bench.corten(&["inspect", "--raw", &reference]), "{form}");
        let digest = crane.succeed(["digest", "--insecure", &reference]);
        let ours = bench.report(&["inspect", &reference]);
        assert_eq!(ours["root"]["digest"], digest.trim());
    }
    let repository = registry.reference("app");
    let theirs = crane.succeed(["ls", "--insecure", &repository]);
    let ours = bench.corten(&["tags", &repository]);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&ours), sorted(&theirs));
    assert_eq!(sorted(&ours).len(), forms::all().len());
    let reference = registry.reference("app:index");
    let arm64 = ["--platform", "linux/arm64"];
    let theirs = crane.succeed(["config", "--insecure", &reference].iter().chain(&arm64));
    let ours = bench.corten(&[&["inspect", "--image-config", &reference][..], &arm64].concat());
    assert_eq!(theirs.trim_end(), ours);
    let exported = crane.succeed(["export", "--insecure", &registry.reference("app:single"), "-"]);
    assert!(exported.contains(forms::MOTD));
    assert_eq!(bench.corten(&["cat", &registry.reference("app:single"), "etc/motd"]), forms::MOTD);
}
