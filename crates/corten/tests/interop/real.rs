//! The real images: Debian; Debian with Python; Debian with Python and compilers (640 MB).

use std::process::Command;

use corten_testkit::{DockerRegistry, Peer};
use serde_json::Value;

use crate::bench::{Bench, listed};
use crate::wire::ask;

/// The raw manifest of a real image and every digest in it, as its layout has them.
struct Real {
    layout: String,
    name: &'static str,
    digest: String,
    manifest: Vec<u8>,
    blobs: Vec<(String, u64)>,
}

impl Real {
    fn find(name: &'static str) -> Option<Self> {
        let layout = Peer::real_images()?.to_str().unwrap().to_owned();
        let digest = listed(&layout, Some(name)).unwrap();
        let manifest =
            std::fs::read(format!("{layout}/blobs/{}", digest.replace(':', "/"))).unwrap();
        let parsed: Value = serde_json::from_slice(&manifest).unwrap();
        let layers = parsed["layers"].as_array().unwrap().iter();
        let blob = |one: &Value| {
            (one["digest"].as_str().unwrap().to_owned(), one["size"].as_u64().unwrap())
        };
        let blobs = layers.chain([&parsed["config"]]).map(blob).collect();
        Some(Self { layout, name, digest, manifest, blobs })
    }

    fn place(&self) -> String {
        format!("oci:{}:{}", self.layout, self.name)
    }

    fn assert_manifest(&self, registry: &DockerRegistry, repository: &str) {
        let found = ask(registry.host(), &format!("{repository}/manifests/{}", self.name));
        assert!(found.body == self.manifest, "{repository}: {} is another", self.name);
    }

    /// Asserts that a layout has the image, by what other programs say of its bytes.
    fn assert_on_disk(&self, layout: &str, name: Option<&str>) {
        assert_eq!(listed(layout, name).as_deref(), Some(self.digest.as_str()), "{layout}");
        let manifest = (self.digest.clone(), self.manifest.len() as u64);
        for (digest, size) in self.blobs.iter().chain([&manifest]) {
            let hex = digest.strip_prefix("sha256:").unwrap();
            let path = format!("{layout}/blobs/sha256/{hex}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), *size, "{path}");
            let summed = Command::new("sha256sum").arg(&path).output().unwrap();
            assert!(summed.stdout.starts_with(hex.as_bytes()), "{path}");
        }
    }
}

#[test]
fn every_real_image_goes_to_a_registry_and_back() {
    let Some(registry) = DockerRegistry::start() else { return };
    let bench = Bench::new();
    for name in ["debian", "python", "build"] {
        let Some(real) = Real::find(name) else { return };
        let pushed = registry.reference(&format!("real:{name}"));
        let report = bench.report(&["copy", &real.place(), &pushed]);
        assert_eq!(report["digest"], real.digest.as_str());
        real.assert_manifest(&registry, "real");
        // The layers of the smaller ones are there already.
        let back = bench.at("back");
        bench.corten(&["copy", &pushed, &format!("oci:{back}:{name}")]);
        real.assert_on_disk(&back, Some(name));
    }
}

#[test]
fn debian_comes_back_from_every_peer() {
    let (Some(registry), Some(real)) = (DockerRegistry::start(), Real::find("debian")) else {
        return;
    };
    let (Some(skopeo), Some(crane), Some(oras)) =
        (Peer::find("skopeo"), Peer::find("crane"), Peer::find("oras"))
    else {
        return;
    };
    let bench = Bench::new();
    let at = |repository: &str| registry.reference(&format!("{repository}:debian"));
    bench.corten(&["copy", &real.place(), &at("corten")]);
    let theirs = ["skopeo", "crane", "oras"].map(|peer| bench.at(peer));
    let from = format!("docker://{}", at("corten"));
    let to = format!("oci:{}:debian", theirs[0]);
    skopeo.succeed(["copy", "--quiet", "--preserve-digests", "--src-tls-verify=false", &from, &to]);
    crane.succeed(["pull", "--insecure", "--format=oci", &at("corten"), &theirs[1]]);
    let to = format!("{}:debian", theirs[2]);
    oras.succeed(["cp", "--from-plain-http", "--to-oci-layout", &at("corten"), &to]);
    for (layout, peer) in theirs.iter().zip(["skopeo", "crane", "oras"]) {
        real.assert_on_disk(layout, None);
        bench.corten(&["copy", &format!("oci:{layout}"), &at(peer)]);
        real.assert_manifest(&registry, peer);
    }
}

#[test]
fn umoci_unpacks_debian_as_corten_exports_it() {
    let (Some(umoci), Some(real)) = (Peer::find("umoci"), Real::find("debian")) else { return };
    let bench = Bench::new();
    bench.corten(&["copy", &real.place(), "store:debian"]);
    let image = format!("{}:docker.io/library/debian:latest", bench.store());
    let (bundle, exported) = (bench.at("bundle"), bench.at("exported"));
    umoci.succeed(["unpack", "--image", &image, &bundle]);
    std::fs::create_dir(&exported).unwrap();
    bench.corten(&["export", "debian", "--output", &bench.at("debian.tar")]);
    let unpack = ["--numeric-owner", "-xpf", &bench.at("debian.tar"), "-C", &exported];
    assert!(Command::new("tar").args(unpack).status().unwrap().success());
    let entries = tree(&exported);
    assert!(entries.lines().count() > 4000, "{}", entries.lines().count());
    assert!(entries == tree(&format!("{bundle}/rootfs")), "the trees differ");
    let differ =
        ["--recursive", "--no-dereference", "--brief", &exported, &format!("{bundle}/rootfs")];
    let differ = Command::new("diff").args(differ).output().unwrap();
    assert!(differ.status.success(), "{}", String::from_utf8_lossy(&differ.stdout));
}

/// Every entry with its mode, owners, size of a file, time, target and count of links.
fn tree(root: &str) -> String {
    let print = ["-printf", "%P %M %U:%G %n %T@ %l\\n"];
    let listed = Command::new("find").arg(".").args(print).current_dir(root).output().unwrap();
    let mut lines: Vec<_> =
        String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}
