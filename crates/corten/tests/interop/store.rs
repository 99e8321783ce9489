//! The local store, and any layout, while other tools read and write it.

use std::sync::atomic::{AtomicBool, Ordering};

use corten_testkit::images::{ImageMaker, TestImage};
use corten_testkit::{DockerRegistry, Peer};
use serde_json::Value;

use crate::bench::{Bench, assert_on_disk, listed};
use crate::forms;
use crate::wire::assert_in_registry;

const NAME: &str = "docker.io/library/app:latest";

#[test]
fn the_local_store_is_read_by_the_peers() {
    let Some(registry) = DockerRegistry::start() else { return };
    let (Some(skopeo), Some(oras)) = (Peer::find("skopeo"), Peer::find("oras")) else { return };
    let bench = Bench::new();
    let image = forms::index();
    let origin = bench.layout("origin", "v1", &[&image]);
    bench.corten(&["copy", &format!("oci:{origin}:v1"), "store:app"]);
    bench.corten(&["copy", &format!("oci:{origin}:v1"), "store:example.com:5000/team/app:1.0"]);
    for name in [NAME, "example.com:5000/team/app:1.0"] {
        let place = format!("oci:{}:{name}", bench.store());
        let inspected = skopeo.succeed(["inspect", "--override-arch", "amd64", &place]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected["Digest"], image.digest().as_str());
        let raw = skopeo.succeed(["inspect", "--raw", &place]);
        assert_eq!(raw.trim_end().as_bytes(), &**image.root().bytes());
        let fetched = ["manifest", "fetch", "--oci-layout-path", &bench.store(), name];
        assert_eq!(oras.succeed(fetched).as_bytes(), &**image.root().bytes());
    }
    let from = format!("oci:{}:{NAME}", bench.store());
    let to = format!("docker://{}", registry.reference("skopeo:v1"));
    let copy = ["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"];
    skopeo.succeed(copy.iter().chain(&[from.as_str(), &to]));
    assert_in_registry(registry.host(), "skopeo", "v1", &image);
}

#[test]
fn crane_pushes_the_local_store() {
    let (Some(crane), Some(registry)) = (Peer::find("crane"), DockerRegistry::start()) else {
        return;
    };
    let bench = Bench::new();
    let image = forms::index();
    let origin = bench.layout("origin", "v1", &[&image]);
    bench.corten(&["copy", &format!("oci:{origin}:v1"), "store:app"]);
    crane.succeed(["push", "--insecure", &bench.store(), &registry.reference("one:v1")]);
    assert_in_registry(registry.host(), "one", "v1", &image);
    // It has no names for what is inside: a layout of several images is one index to it.
    let single = forms::single();
    let origin = bench.layout("more", "v1", &[&single]);
    bench.corten(&["copy", &format!("oci:{origin}:v1"), "store:more"]);
    let all = registry.reference("all:v1");
    crane.succeed(["push", "--insecure", "--index", &bench.store(), &all]);
    for image in [&image, &single] {
        assert_in_registry(registry.host(), "all", image.digest().as_str(), image);
    }
}

/// How many images each side writes into the shared layout.
const WRITTEN: u64 = 6;

fn numbered(number: u64) -> TestImage {
    ImageMaker::new().text_layer("etc/motd", "hello").noise_layer(number, 300_000).build()
}

/// Runs `write` for each number, while the program reads what stands in the layout from the start.
fn beside_reader(bench: &Bench, layout: &str, write: impl Fn(u64)) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut copies = 0;
            while !done.load(Ordering::Relaxed) || copies < 2 {
                bench.corten(&["copy", &format!("oci:{layout}:ours"), &format!("store:n{copies}")]);
                bench.corten(&["inspect", &format!("oci:{layout}:ours")]);
                bench.corten(&["cat", &format!("oci:{layout}:ours"), "etc/motd"]);
                copies += 1;
            }
        });
        (1..=WRITTEN).for_each(&write);
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn corten_reads_a_layout_while_skopeo_and_crane_write_it() {
    let (Some(skopeo), Some(crane)) = (Peer::find("skopeo"), Peer::find("crane")) else { return };
    let Some(registry) = DockerRegistry::start() else { return };
    let bench = Bench::new();
    let ours = forms::single();
    let layout = bench.layout("shared", "ours", &[&ours]);
    for number in 1..=2 * WRITTEN {
        let origin = bench.layout("origin", &format!("n{number}"), &[&numbered(number)]);
        let to = registry.reference(&format!("app:n{number}"));
        bench.corten(&["copy", &format!("oci:{origin}:n{number}"), &to]);
    }
    beside_reader(&bench, &layout, |number| {
        let from = format!("docker://{}", registry.reference(&format!("app:n{number}")));
        let to = format!("oci:{layout}:n{number}");
        skopeo.succeed(["copy", "--quiet", "--src-tls-verify=false", &from, &to]);
    });
    beside_reader(&bench, &layout, |number| {
        let from = registry.reference(&format!("app:n{}", WRITTEN + number));
        let pull = ["pull", "--insecure", "--format=oci", "--annotate-ref", &from, &layout];
        crane.succeed(pull);
    });
    assert_on_disk(&layout, &ours, "ours");
    for number in 1..=2 * WRITTEN {
        assert_on_disk(&layout, &numbered(number), "theirs");
    }
    for number in 1..=WRITTEN {
        let there = listed(&layout, Some(&format!("n{number}")));
        assert_eq!(there, Some(numbered(number).digest().to_string()));
    }
    let checked = bench.report(&["validate", &format!("oci:{layout}")]);
    assert_eq!(checked["errors"], Value::from(0), "{checked}");
    // What corten adds stands beside what they wrote.
    bench.corten(&["copy", "store:n0", &format!("oci:{layout}:added")]);
    assert_eq!(listed(&layout, Some("added")), Some(ours.digest().to_string()));
    assert!(listed(&layout, Some("n1")).is_some() && listed(&layout, Some("ours")).is_some());
    assert_eq!(
        skopeo.succeed(["inspect", "--raw", &format!("oci:{layout}:added")]).trim_end().as_bytes(),
        &**ours.root().bytes()
    );
}

#[test]
fn skopeo_reads_a_layout_while_corten_writes_it() {
    let Some(skopeo) = Peer::find("skopeo") else { return };
    let bench = Bench::new();
    let ours = forms::single();
    let layout = bench.layout("shared", "ours", &[&ours]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut copies = 0;
            while !done.load(Ordering::Relaxed) || copies < 2 {
                let to = format!("dir:{}", bench.at(&format!("copied-{copies}")));
                skopeo.succeed(["copy", "--quiet", &format!("oci:{layout}:ours"), &to]);
                copies += 1;
            }
        });
        for number in 1..=3 * WRITTEN {
            let origin = bench.layout("origin", &format!("n{number}"), &[&numbered(number)]);
            let from = format!("oci:{origin}:n{number}");
            bench.corten(&["copy", &from, &format!("oci:{layout}:n{number}")]);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    for number in 1..=3 * WRITTEN {
        let there = listed(&layout, Some(&format!("n{number}")));
        assert_eq!(there, Some(numbered(number).digest().to_string()));
    }
}
