//! `append`: layers on top.

use std::io::Write as _;
use std::process::Stdio;

use corten_testkit::TestRegistry;
use corten_testkit::images::{ImageMaker, TestImage, artifact};
use corten_testkit::tar::TarMaker;
use serde_json::{Value, json};

use crate::{User, ran};

fn of(platform: &str) -> TestImage {
    ImageMaker::new().platform(platform).text_layer("etc/on", platform).build()
}

fn read(user: &User, words: &str) -> Value {
    serde_json::from_str(&user.ok(&format!("inspect {words}"))).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    corten_spec::Digest::sha256(bytes).to_string()
}

/// A user with `app`, and layers of each form: their names.
fn prepared() -> (User, TestRegistry, Vec<u8>) {
    let (user, registry) = (User::new(), TestRegistry::start());
    registry.seed("app", Some("1"), &of("linux/amd64"));
    let tar = TarMaker::new().file("opt/a", 0o644, b"a\n").file("etc/.wh.on", 0o644, b"").finish();
    std::fs::write(user.path("plain.tar"), &tar).unwrap();
    std::fs::write(user.path("packed.tar.gz"), gzip(&tar)).unwrap();
    std::fs::create_dir_all(user.path("tree/srv")).unwrap();
    std::fs::write(user.path("tree/srv/page"), "page\n").unwrap();
    (user, registry, tar)
}

#[test]
fn a_packed_layer_keeps_its_bytes_and_a_plain_one_its_archive() {
    let (user, registry, tar) = prepared();
    let app = registry.reference("app:1");
    let path = |name: &str| user.path(name).display().to_string();
    let line = format!(
        "append {app} {} {} {} -t new",
        path("packed.tar.gz"),
        path("plain.tar"),
        path("tree")
    );
    let report = user.json(&line);
    assert_eq!(user.json(&line)["digest"], report["digest"], "the same layers, the same digest");
    assert_eq!(report["appended"], json!(["linux/amd64"]));
    let packed = std::fs::read(user.path("packed.tar.gz")).unwrap();
    assert_eq!(report["layers"][0]["digest"], sha256(&packed));
    let manifest = read(&user, "--raw new");
    let config = read(&user, "--image-config new");
    let (layers, ids) =
        (manifest["layers"].as_array().unwrap(), config["rootfs"]["diff_ids"].as_array().unwrap());
    assert_eq!((layers.len(), ids.len()), (4, 4));
    assert_eq!(
        (ids[1].as_str(), ids[2].as_str()),
        (Some(&*sha256(&tar)), Some(&*sha256(&tar))),
        "the archive is what was given"
    );
    let rows: Vec<&Value> = config["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["created_by"] == "corten append")
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(user.ok("cat new /opt/a"), "a\n");
    assert_eq!(user.ok("cat new /srv/page"), "page\n");
    assert_eq!(user.run(["cat", "new", "/etc/on"]).code, 3, "a whiteout hides what is below");
    user.ok("validate new");
}

#[test]
fn standard_input_is_a_layer_too() {
    let (user, registry, tar) = prepared();
    let app = registry.reference("app:1");
    let mut command = user.command(["append", &app, "-", "-t", "new", "--compression", "zstd"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&tar).unwrap();
    let done = ran(child.wait_with_output().unwrap());
    assert_eq!(done.code, 0, "{}", done.err);
    let layers = read(&user, "--raw new")["layers"].clone();
    assert!(layers[1]["mediaType"].as_str().unwrap().ends_with("tar+zstd"), "{layers}");
    user.ok("validate new");
}

#[test]
fn an_index_is_asked_which_of_its_images_is_meant() {
    let (user, registry, _) = prepared();
    let children = [of("linux/amd64"), of("linux/arm64"), artifact("a/b", "note", "text")];
    registry.seed("many", Some("1"), &TestImage::index(&children));
    let many = registry.reference("many:1");
    let layer = user.path("packed.tar.gz").display().to_string();
    let refused = user.run(["append", &many, &layer, "-t", "new"]);
    assert_eq!(refused.code, 2);
    for word in ["linux/amd64", "linux/arm64", "--platform all"] {
        assert!(refused.err.contains(word), "{}", refused.err);
    }
    let report = user.json(&format!("append {many} {layer} -t one --platform linux/arm64"));
    assert_eq!(report["appended"], json!(["linux/arm64"]));
    assert!(read(&user, "--raw one").get("manifests").is_none(), "one image is no index");
    let report = user.json(&format!("append {many} {layer} -t each --platform all"));
    assert_eq!(report["appended"], json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(report["left_out"], json!([children[2].digest().to_string()]));
    for platform in ["linux/amd64", "linux/arm64"] {
        assert_eq!(user.ok(&format!("cat --platform {platform} each /opt/a")), "a\n");
    }
    user.ok("validate each");
}

#[test]
fn what_is_no_layer_is_refused_and_names_nothing() {
    let (user, registry, tar) = prepared();
    let app = registry.reference("app:1");
    let cut = gzip(&tar);
    let dots = TarMaker::new().file("../up", 0o644, b"x").finish();
    let hidden = TarMaker::new().file("etc/.wh.", 0o644, b"").finish();
    for (name, bytes, says) in [
        ("empty", &b""[..], "not a single byte"),
        ("xz", b"\xfd7zXZ\0rest", "packed with xz"),
        ("bz2", b"BZh91AY", "packed with bzip2"),
        ("text", &[b'x'; 600], "text"),
        ("cut.gz", &cut[..cut.len() / 2], "cut.gz"),
        ("dots", &dots, "../up"),
        ("hidden", &hidden, ".wh."),
    ] {
        let path = user.path(name);
        std::fs::write(&path, bytes).unwrap();
        let refused = user.run(["append", &app, &path.display().to_string(), "-t", "new"]);
        assert_ne!(refused.code, 0, "{name}");
        assert!(refused.err.contains(says), "{name}: {}", refused.err);
        assert_eq!(user.run(["inspect", "store:new"]).code, 3, "{name}");
    }
}
