//! skopeo: what it fetches from a registry, and what it reads of ours, in every place it knows.

use std::path::Path;
use std::process::Command;

use corten_testkit::images::TestImage;
use corten_testkit::{DockerRegistry, Peer, Ran};

use crate::attempts::Attempts;
use crate::bench::{Bench, assert_on_disk, listed};
use crate::forms;
use crate::wire::assert_in_registry;

const PLACES: [&str; 3] = ["oci", "oci-archive", "dir"];
const NAME: &str = "example.com/team/app:1.0";

/// skopeo copies indexes one level deep.
fn nested(form: &str) -> Option<&'static str> {
    (form == "nested").then_some("Unexpectedly received a manifest list instead of a manifest")
}

/// It writes Docker lists nowhere but into registries and flat directories.
fn into(place: &str, form: &str) -> Option<&'static str> {
    let converts = form == "docker-list" && place.starts_with("oci");
    converts.then_some("Manifest list must be converted to type").or_else(|| nested(form))
}

fn copy(skopeo: &Peer, from: &str, to: &str) -> Ran {
    let options = ["--all", "--preserve-digests", "--src-tls-verify=false"];
    let ends = ["--dest-tls-verify=false", from, to];
    skopeo.run(["copy", "--quiet"].iter().chain(&options).chain(&ends))
}

/// `place` as both tools write it, with a path of its own.
fn place_at(bench: &Bench, place: &str, directory: &str) -> String {
    let name = if place == "dir" { String::new() } else { format!(":{NAME}") };
    format!("{place}:{}{name}", bench.at(directory))
}

#[test]
fn skopeo_fetches_what_corten_pushed_and_corten_reads_it_there() {
    let (Some(skopeo), Some(registry)) = (Peer::find("skopeo"), DockerRegistry::start()) else {
        return;
    };
    let (bench, mut attempts) = (Bench::new(), Attempts::default());
    for (form, image) in forms::all() {
        let origin = bench.layout("origin", form, &[&image]);
        let pushed = registry.reference(&format!("app:{form}"));
        bench.corten(&["copy", &format!("oci:{origin}:{form}"), &pushed]);
        assert_in_registry(registry.host(), "app", form, &image);
        for place in PLACES {
            let directory = format!("{place}-{form}");
            let there = place_at(&bench, place, &directory);
            let fetched = copy(&skopeo, &format!("docker://{pushed}"), &there);
            let what = format!("{form} from the registry to {place}");
            if attempts.note(&what, &fetched, into(place, form)) {
                assert_in_place(&bench, place, &directory, &image);
                let back = registry.reference(&format!("{place}:{form}"));
                bench.corten(&["copy", &there, &back]);
                assert_in_registry(registry.host(), place, form, &image);
            }
        }
    }
    attempts.finish();
}

#[test]
fn skopeo_pushes_what_corten_wrote() {
    let (Some(skopeo), Some(registry)) = (Peer::find("skopeo"), DockerRegistry::start()) else {
        return;
    };
    let (bench, mut attempts) = (Bench::new(), Attempts::default());
    for (form, image) in forms::all() {
        let origin = bench.layout("origin", form, &[&image]);
        for place in PLACES {
            let directory = format!("{place}-{form}");
            let there = place_at(&bench, place, &directory);
            bench.corten(&["copy", &format!("oci:{origin}:{form}"), &there]);
            assert_in_place(&bench, place, &directory, &image);
            let pushed = registry.reference(&format!("{place}:{form}"));
            let ran = copy(&skopeo, &there, &format!("docker://{pushed}"));
            if attempts.note(&format!("{form} from {place}"), &ran, nested(form)) {
                assert_in_registry(registry.host(), place, form, &image);
                let name = format!("example.com/{place}:{form}");
                bench.corten(&["pull", &pushed, &name, "--all-platforms"]);
                assert_eq!(listed(bench.store(), Some(&name)), Some(image.digest().to_string()));
                assert_on_disk(bench.store(), &image, form);
            }
        }
    }
    attempts.finish();
}

fn assert_in_place(bench: &Bench, place: &str, directory: &str, image: &TestImage) {
    match place {
        "oci" => assert_in_layout(bench.path(directory), image, directory),
        "oci-archive" => {
            let unpacked = bench.at(&format!("{directory}-unpacked"));
            std::fs::create_dir(&unpacked).unwrap();
            let arguments = ["-xf", &bench.at(directory), "-C", &unpacked];
            assert!(Command::new("tar").args(arguments).status().unwrap().success());
            assert_in_layout(unpacked, image, directory);
        }
        _ => assert_in_directory(bench.path(directory), image),
    }
}

fn assert_in_layout(layout: impl AsRef<Path>, image: &TestImage, said: &str) {
    assert_on_disk(&layout, image, said);
    assert_eq!(listed(&layout, Some(NAME)), Some(image.digest().to_string()), "{said}");
}

/// A flat directory: the root is `manifest.json`, all else has the name of its digest.
fn assert_in_directory(directory: impl AsRef<Path>, image: &TestImage) {
    let read = |name: &str| {
        let path = directory.as_ref().join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let (root, children) = image.documents().split_last().unwrap();
    assert!(read("manifest.json") == **root.bytes());
    for child in children {
        let name = format!("{}.manifest.json", child.descriptor().digest.encoded());
        assert!(read(&name) == **child.bytes(), "{name} differs");
    }
    for (descriptor, bytes) in image.distributable() {
        assert!(read(descriptor.digest.encoded()) == **bytes, "{} differs", descriptor.digest);
    }
}
