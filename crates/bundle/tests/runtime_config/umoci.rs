//! The same cases through umoci: what `conversion.md` governs must be equal, but for the differences
//! that a case gives a reason for, and those that all cases have.

use std::collections::BTreeMap;
use std::path::Path;

use corten_spec::{Algorithm, Digest};
use corten_testkit::{Peer, Scratch, scratch};
use serde_json::{Value, json};

use crate::convert;
use crate::words::{Case, Words, cases};

/// The fields that the specification governs.
#[derive(Debug, PartialEq)]
struct Governed {
    args: Value,
    cwd: Value,
    user: Value,
    /// Variables by name: umoci's template sets two before those of the image, so the order differs.
    env: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// A user without the primary group among the supplementary ones, where umoci does not put it.
fn without_primary(user: &Value) -> Value {
    let (mut user, primary) = (user.clone(), user["gid"].clone());
    if let Some(groups) = user.get_mut("additionalGids").and_then(Value::as_array_mut) {
        groups.retain(|group| *group != primary);
        if groups.is_empty() {
            user.as_object_mut().unwrap().remove("additionalGids");
        }
    }
    user
}

impl Governed {
    fn of(config: &Value) -> Self {
        let env = config["process"]["env"].as_array().unwrap().iter();
        let env = env.map(|entry| entry.as_str().unwrap().split_once('=').unwrap());
        let annotations = serde_json::from_value(config["annotations"].clone()).unwrap();
        Self {
            args: config["process"]["args"].clone(),
            cwd: config["process"]["cwd"].clone(),
            user: without_primary(&config["process"]["user"]),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            annotations,
        }
    }

    /// Without what umoci has in every case and the specification does not: a terminal's name where
    /// there is no terminal, and the year 1 where an image does not say when it was made.
    fn without_inventions(mut self, case: &Case) -> Self {
        let image = case.config.iter().flat_map(|config| config["Env"].as_array().into_iter());
        let sets_term = image.flatten().any(|entry| entry.as_str().unwrap().starts_with("TERM="));
        if !sets_term {
            assert_eq!(self.env.remove("TERM").as_deref(), Some("xterm"));
        }
        let created = "org.opencontainers.image.created";
        if self.annotations.get(created).is_some_and(|date| date == "0001-01-01T00:00:00Z") {
            self.annotations.remove(created);
        }
        self
    }

    /// Without what this version of umoci leaves out though the specification asks for it, and the
    /// home of one who has none.
    fn without_omissions(mut self) -> Self {
        self.annotations.retain(|key, _| !key.starts_with("org.opencontainers.image.os."));
        if self.env.get("HOME").is_some_and(|home| home == "/") {
            self.env.remove("HOME");
        }
        self
    }
}

/// A layout with one image, and a root filesystem with the files of the case.
fn lay_out(case: &Case, place: &Scratch) {
    let blob = |value: Value| {
        let bytes = value.to_string().into_bytes();
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let size = bytes.len();
        place.write(Path::new("layout/blobs").join(digest.to_string().replace(':', "/")), bytes);
        (digest.to_string(), size)
    };
    let (digest, size) = blob(case.document());
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest, "size": size});
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let (digest, size) =
        blob(json!({"schemaVersion": 2, "mediaType": manifest, "config": config, "layers": []}));
    let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": manifest, "digest": digest,
        "size": size, "annotations": {"org.opencontainers.image.ref.name": "case"}}]});
    place.write("layout/index.json", index.to_string());
    place.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    std::fs::create_dir(place.join("rootfs")).unwrap();
    for (path, text) in &case.files {
        place.write(format!("rootfs{path}"), text);
    }
}

/// What umoci makes of a case; `None` when it refuses.
fn by_umoci(umoci: &Peer, case: &Case) -> Option<Value> {
    let place = scratch();
    lay_out(case, &place);
    asked(umoci, &format!("{}:case", place.join("layout").display()), &place)
}

/// What umoci makes of the image with the root filesystem in the place.
fn asked(umoci: &Peer, image: &str, place: &Scratch) -> Option<Value> {
    let root = place.join("rootfs");
    let config = place.join("config.json");
    let ran = umoci.run([
        "raw".as_ref(),
        "runtime-config".as_ref(),
        "--image".as_ref(),
        image.as_ref(),
        "--rootfs".as_ref(),
        root.as_os_str(),
        config.as_os_str(),
    ]);
    let text = std::fs::read(config).ok().filter(|_| ran.code == Some(0))?;
    Some(serde_json::from_slice(&text).unwrap())
}

/// How the two results differ; `None` when they are equal.
fn difference(umoci: &Peer, case: &Case) -> Option<String> {
    let ours = convert(case).ok();
    let ours = ours.map(|ours| serde_json::from_slice::<Value>(&ours.bytes()).unwrap());
    match (ours, by_umoci(umoci, case)) {
        (None, None) => None,
        (Some(_), None) => Some("umoci refuses".to_owned()),
        (None, Some(_)) => Some("umoci does not refuse".to_owned()),
        (Some(ours), Some(theirs)) => {
            let ours = Governed::of(&ours).without_omissions();
            let theirs = Governed::of(&theirs).without_inventions(case).without_omissions();
            (ours != theirs).then(|| format!("{ours:#?}\numoci: {theirs:#?}"))
        }
    }
}

#[test]
fn umoci_makes_the_same_of_every_image_but_for_the_reasons_given() {
    let Some(umoci) = Peer::find("umoci") else { return };
    let asked: Vec<_> =
        cases().into_iter().filter(|(_, case)| case.overrides == Words::default()).collect();
    assert!(asked.len() >= 60, "{}", asked.len());
    let judge = |(table, case): &(String, Case)| {
        let found = difference(&umoci, case);
        let place = format!("{table}: {}", case.name);
        match (found, &case.umoci) {
            (Some(found), None) => Some(format!("{place}: {found}")),
            (None, Some(why)) => Some(format!("{place}: no difference, though {why}")),
            _ => None,
        }
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let parts: Vec<_> = asked
            .chunks(asked.len().div_ceil(4))
            .map(|part| scope.spawn(|| part.iter().filter_map(judge).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} differences:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn umoci_makes_the_same_of_real_images() {
    let (Some(umoci), Some(layout)) = (Peer::find("umoci"), Peer::real_images()) else { return };
    let json =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
        json(&layout.join("blobs").join(digest))
    };
    let index = json(&layout.join("index.json"));
    let images = index["manifests"].as_array().unwrap();
    for image in images {
        let name = image["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
        let place = scratch();
        std::fs::create_dir(place.join("rootfs")).unwrap();
        let theirs = asked(&umoci, &format!("{}:{name}", layout.display()), &place).unwrap();
        let document = blob(&blob(image)["config"]);
        let config = document["config"].clone();
        let fields = document.as_object().unwrap().clone();
        let case = Case::of(name, config, fields);
        let ours = convert(&case).unwrap().bytes();
        let ours = Governed::of(&serde_json::from_slice(&ours).unwrap()).without_omissions();
        let theirs = Governed::of(&theirs).without_inventions(&case).without_omissions();
        assert_eq!(ours, theirs, "{name}");
    }
    assert!(images.len() >= 3, "{}", images.len());
}
