//! umoci: layouts of ours that it unpacks and changes, and layouts that it made.

use corten_testkit::{DockerRegistry, Peer};
use serde_json::Value;

use crate::attempts::Attempts;
use crate::bench::{Bench, listed};
use crate::forms;
use crate::wire::ask;

/// umoci unpacks OCI images and nothing else, and takes no index apart.
fn limit(form: &str) -> Option<&'static str> {
    match form {
        "single" | "plain" | "zstd" => None,
        "artifact" => Some("config blob is not correct mediatype"),
        "docker" | "docker-list" => {
            Some("descriptor does not point to ispec.MediaTypeImageManifest")
        }
        _ => Some("tag is ambiguous"),
    }
}

#[test]
fn umoci_unpacks_what_corten_wrote() {
    let Some(umoci) = Peer::find("umoci") else { return };
    let (bench, mut attempts) = (Bench::new(), Attempts::default());
    for (form, image) in forms::all() {
        let origin = bench.layout("origin", form, &[&image]);
        // The local store is a layout like any other, whole references its names.
        let name = format!("example.com/team/app:{form}");
        bench.corten(&["copy", &format!("oci:{origin}:{form}"), &format!("store:{name}")]);
        for (number, from) in
            [format!("{origin}:{form}"), format!("{}:{name}", bench.store())].iter().enumerate()
        {
            let bundle = bench.at(&format!("bundle-{form}-{number}"));
            let ran = umoci.run(["unpack", "--image", from, &bundle]);
            if attempts.note(from, &ran, limit(form)) {
                let motd = std::fs::read_to_string(format!("{bundle}/rootfs/etc/motd")).unwrap();
                assert_eq!(motd, forms::MOTD);
            }
        }
    }
    attempts.finish();
    let theirs = umoci.succeed(["ls", "--layout", &bench.store()]);
    let ours = bench.report(&["images"]);
    let ours: Vec<_> =
        ours["images"].as_array().unwrap().iter().map(|one| one["name"].as_str()).collect();
    assert_eq!(ours.len(), forms::all().len());
    assert!(theirs.lines().all(|name| ours.contains(&Some(name))), "{theirs}");
}

#[test]
fn corten_keeps_what_umoci_makes_and_changes() {
    let (Some(umoci), Some(registry)) = (Peer::find("umoci"), DockerRegistry::start()) else {
        return;
    };
    let bench = Bench::new();
    let layout = bench.layout("layout", "ours", &[&forms::single()]);
    let image = |name: &str| format!("{layout}:{name}");
    bench.write("added/note", "remember");
    umoci.succeed(["new", "--image", &image("theirs")]);
    umoci.succeed(["insert", "--image", &image("theirs"), &bench.at("added"), "/srv"]);
    umoci.succeed([
        "insert",
        "--image",
        &image("ours"),
        "--tag",
        "grown",
        &bench.at("added"),
        "/srv",
    ]);
    umoci.succeed(["config", "--image", &image("grown"), "--config.user", "1000"]);
    let checked = bench.report(&["validate", &format!("oci:{layout}")]);
    assert_eq!(checked["errors"], Value::from(0), "{checked}");
    for name in ["theirs", "grown"] {
        let from = format!("oci:{}", image(name));
        assert_eq!(bench.corten(&["cat", &from, "/srv/note"]), "remember");
        let pushed = registry.reference(&format!("umoci:{name}"));
        let report = bench.report(&["copy", &from, &pushed]);
        let digest = listed(&layout, Some(name)).unwrap();
        assert_eq!(report["digest"], digest.as_str());
        let there = ask(registry.host(), &format!("umoci/manifests/{name}"));
        assert_eq!(there.header("docker-content-digest"), Some(digest.as_str()));
        bench.corten(&["pull", &pushed, name]);
        let checked = bench.report(&["validate", name]);
        assert_eq!(checked["errors"], Value::from(0), "{checked}");
    }
    assert_eq!(bench.report(&["inspect", "grown"])["image"]["user"], "1000");
    assert_eq!(bench.corten(&["cat", "grown", "etc/motd"]), forms::MOTD);
    assert_eq!(listed(&layout, Some("ours")), Some(forms::single().digest().to_string()));
}
