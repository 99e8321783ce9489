//! Layouts whose maker means harm: every verb answers, with a code, in bounded memory.

use std::fs;
use std::path::{Path, PathBuf};

use corten_spec::{Digest, MediaType};
use corten_testkit::tar::TarMaker;
use serde_json::{Value, json};

use crate::User;

/// A layout written by hand.
struct Layout {
    root: PathBuf,
    entries: Vec<Value>,
}

impl Layout {
    fn new(root: PathBuf) -> Self {
        fs::create_dir_all(root.join("blobs/sha256")).unwrap();
        fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { root, entries: Vec::new() }
    }

    fn blob(&self, media_type: &MediaType, bytes: &[u8]) -> Value {
        let digest = Digest::sha256(bytes);
        fs::write(self.root.join("blobs/sha256").join(digest.encoded()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    fn index(&self, manifests: &[Value], number: usize) -> Value {
        let index = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests,
            "annotations": {"number": number.to_string()},
        });
        self.blob(&MediaType::OCI_INDEX, index.to_string().as_bytes())
    }

    /// An image whose layers claim to be as large as a size can be.
    fn huge_image(&self) -> Value {
        let absent = |number: u64| Digest::sha256(&number.to_le_bytes());
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [absent(1), absent(2), absent(3)]},
        });
        let layer = |number: u64| json!({"mediaType": MediaType::OCI_LAYER, "digest": absent(number), "size": i64::MAX});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": self.blob(&MediaType::OCI_CONFIG, config.to_string().as_bytes()),
            "layers": [layer(1), layer(2), layer(3)],
        });
        self.blob(&MediaType::OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    fn enter(&mut self, mut entry: Value, name: &str) {
        entry["annotations"] =
            json!({"org.opencontainers.image.ref.name": format!("docker.io/library/{name}")});
        self.entries.push(entry);
    }

    fn finish(self) -> String {
        let index = json!({"schemaVersion": 2, "manifests": self.entries});
        fs::write(self.root.join("index.json"), index.to_string()).unwrap();
        self.root.display().to_string()
    }
}

fn remove_blob(root: &Path, blob: &Value) {
    let digest = blob["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    fs::write(root.join("blobs/sha256").join(digest), "other").unwrap();
}

#[test]
fn sizes_that_no_number_holds_are_summed_up_to_the_largest() {
    let user = User::new();
    let mut layout = Layout::new(user.path("layout"));
    layout.enter(layout.huge_image(), "huge:1");
    let path = layout.finish();
    assert_eq!(user.json(&format!("inspect oci:{path}"))["size"], u64::MAX);
    assert_eq!(user.json(&format!("images --store {path}"))["images"][0]["size"], u64::MAX);
}

#[test]
fn indexes_deep_in_each_other_do_not_exhaust_the_stack() {
    let user = User::new();
    let mut layout = Layout::new(user.path("layout"));
    let mut index = layout.huge_image();
    for number in 0..3000 {
        index = layout.index(&[index], number);
    }
    layout.enter(index, "deep:1");
    let path = layout.finish();
    assert_eq!(user.json(&format!("images --store {path}"))["images"][0]["platforms"], json!([]));
}

#[test]
fn an_image_with_a_broken_part_hides_no_other() {
    let user = User::new();
    let mut layout = Layout::new(user.path("layout"));
    let (sound, child) = (layout.huge_image(), layout.index(&[], 1));
    layout.enter(layout.index(std::slice::from_ref(&child), 2), "broken:1");
    layout.enter(sound, "sound:1");
    remove_blob(&layout.root, &child);
    let path = layout.finish();
    let report = user.json(&format!("images --store {path}"));
    assert_eq!(report["images"].as_array().unwrap().len(), 2);
}

#[test]
fn a_tree_shows_what_is_below_a_document_once() {
    let user = User::new();
    let mut layout = Layout::new(user.path("layout"));
    let mut index = layout.huge_image();
    for number in 0..6 {
        index = layout.index(&vec![index; 100], number);
    }
    layout.enter(index, "wide:1");
    let tree = user.ok(&format!("inspect --tree oci:{}", layout.finish()));
    assert_eq!(tree.lines().count(), 1 + 6 * 100 + 4, "{tree}");
}

#[test]
fn a_layout_whose_blobs_are_elsewhere_is_not_valid() {
    let user = User::new();
    let mut layout = Layout::new(user.path("layout"));
    layout.enter(layout.huge_image(), "app:1");
    let path = layout.finish();
    fs::rename(user.path("layout/blobs"), user.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(user.path("elsewhere"), user.path("layout/blobs")).unwrap();
    let ran = user.run(["validate", &format!("oci:{path}")]);
    assert_eq!(ran.code, 9, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[layout-blob-kind]"), "{}", ran.out);
}

/// A layout with one small image whose manifest and config are changed as text, under `app:1`.
fn changed(user: &User, name: &str, change: impl Fn(&str, &str) -> (String, String)) -> String {
    let mut layout = Layout::new(user.path(name));
    let tar = [0_u8; 1024];
    let layer = layout.blob(&MediaType::new("application/vnd.oci.image.layer.v1.tar"), &tar);
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(&tar)]},
    });
    let manifest = |config: &Value| json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [layer]});
    let (config, _) = change(&config.to_string(), "");
    let config = layout.blob(&MediaType::OCI_CONFIG, config.as_bytes());
    let (_, manifest) = change("", &manifest(&config).to_string());
    layout.enter(layout.blob(&MediaType::OCI_MANIFEST, manifest.as_bytes()), "app:1");
    layout.finish()
}

/// With a member before the last bracket.
fn with(text: &str, member: &str) -> String {
    text.strip_suffix('}').map(|text| format!("{text},{member}}}")).unwrap_or_default()
}

/// CVE-2021-41190: what one reader takes for an image is an index, or another image, for the next.
#[test]
fn what_two_readers_read_as_two_images_is_taken_by_nobody() {
    let user = User::new();
    let plain =
        changed(&user, "plain", |config, manifest| (config.to_owned(), manifest.to_owned()));
    user.ok(&format!("copy oci:{plain} oci:{}", user.path("out-plain").display()));
    let twice = r#""annotations":{"a":"1","a":"2"}"#;
    for (number, member) in [r#""manifests":[]"#, r#""Layers":[]"#, twice].into_iter().enumerate() {
        let path = changed(&user, &format!("m{number}"), |config, text| {
            (config.to_owned(), with(text, member))
        });
        let out = user.path(&format!("out{number}"));
        let out = out.display();
        for line in [
            format!("copy oci:{path} oci:{out}-copy"),
            format!("unpack oci:{path} {out}-tree"),
            format!("bundle oci:{path} {out}-bundle"),
            format!("ls oci:{path}"),
            format!("append oci:{path} {path}/blobs --tag new"),
            format!("edit oci:{path} new --env A=1"),
        ] {
            let ran = user.run(line.split_whitespace());
            assert!(
                ran.code != 0 && ran.err.contains("two readers"),
                "{line}: {} {}",
                ran.code,
                ran.err
            );
            assert!(ran.err.contains("--allow-ambiguous"), "{line}: {}", ran.err);
        }
        user.ok(&format!("copy --allow-ambiguous oci:{path} oci:{out}-allowed"));
        user.ok(&format!("unpack --allow-ambiguous oci:{path} {out}-tree"));
    }
    for (number, member) in [r#""Config":{}"#, r#""x":{"a":1,"a":2}"#].into_iter().enumerate() {
        let path = changed(&user, &format!("c{number}"), |config, text| {
            (with(config, member), text.to_owned())
        });
        for line in
            [format!("copy oci:{path} oci:{path}-copy"), format!("unpack oci:{path} {path}-tree")]
        {
            let ran = user.run(line.split_whitespace());
            assert!(ran.code != 0 && ran.err.contains("two readers"), "{line}: {}", ran.err);
        }
        user.ok(&format!("unpack --allow-ambiguous oci:{path} {path}-tree"));
    }
}

#[test]
fn no_image_of_too_many_layers_is_made() {
    let user = User::new();
    let mut layout = Layout::new(user.path("many"));
    let tar = TarMaker::new().file("file", 0o644, b"").finish();
    let diff_id = Digest::sha256(&tar);
    let layer = layout.blob(&MediaType::OCI_LAYER, &tar);
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": vec![diff_id; 1000]},
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": layout.blob(&MediaType::OCI_CONFIG, config.to_string().as_bytes()),
        "layers": vec![layer; 1000],
    });
    layout.enter(layout.blob(&MediaType::OCI_MANIFEST, manifest.to_string().as_bytes()), "many:1");
    let path = layout.finish();
    std::fs::write(user.path("layer.tar"), &tar).unwrap();
    let packed = user.path("layer.tar");
    user.json(&format!("copy oci:{path} store:many"));
    let ran = user.run(format!("append many {} --tag more", packed.display()).split_whitespace());
    assert!(ran.err.contains("1001 layers; an image may have 1000"), "{}", ran.err);
    assert_eq!(ran.code, 1);
    assert_ne!(user.run(["inspect", "more"]).code, 0);
}

#[test]
fn an_image_of_too_many_layers_is_refused_at_once() {
    let user = User::new();
    let mut layout = Layout::new(user.path("many"));
    let digest = Digest::sha256(b"absent");
    let layer = json!({"mediaType": MediaType::OCI_LAYER, "digest": digest, "size": 5});
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": vec![digest; 20_000]},
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": layout.blob(&MediaType::OCI_CONFIG, config.to_string().as_bytes()),
        "layers": vec![layer; 20_000],
    });
    layout.enter(layout.blob(&MediaType::OCI_MANIFEST, manifest.to_string().as_bytes()), "many:1");
    let path = layout.finish();
    let out = user.path("out");
    let out = out.display();
    for line in [
        format!("copy oci:{path} oci:{out}-copy"),
        format!("unpack oci:{path} {out}-tree"),
        format!("bundle oci:{path} {out}-bundle"),
        format!("ls oci:{path}"),
        format!("inspect oci:{path}"),
        format!("edit oci:{path} new --env A=1"),
    ] {
        let ran = user.run(line.split_whitespace());
        assert_ne!(ran.code, 0, "{line}");
        assert!(
            ran.err.contains("has 20000 layers; an image may have 1000"),
            "{line}: {}",
            ran.err
        );
    }
}
