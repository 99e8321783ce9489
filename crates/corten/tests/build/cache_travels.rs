//! Caches that travel: through a registry and a layout, with mounts, damaged, missing.

use corten_spec::Digest;
use corten_testkit::{Setup, TestRegistry};
use serde_json::Value;

use crate::bench::Bench;

const FILE: &str = "FROM base AS one\nRUN --mount=type=cache,id=things,target=/things test -e /things/log || head -c 100000 /dev/urandom >/things/log; cp /things/log /big\n\
                    FROM base AS two\nCOPY a /a\nRUN cat /a >/b\n\
                    FROM base\nRUN echo here >/here\nCOPY --from=two /b /b\nCOPY --from=one /big /big\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

impl Bench {
    /// Builds the context in a store; gives the report and what was told.
    fn travels(&self, store: &str, more: &[&str]) -> (Value, String) {
        let context = self.path("ctx");
        let words = [&["--insecure", "http"], more].concat();
        let answer = self.build_in(store, &context, &words);
        assert_eq!(answer.code, 0, "{}", answer.err);
        (json(&answer.out), answer.err)
    }

    fn begin(&self) {
        self.write("ctx/a", "a\n");
        self.write("ctx/Dockerfile", FILE);
    }

    fn mount_of(&self, store: &str) -> Option<Vec<u8>> {
        let caches = self.path(store).join(".corten/build/caches");
        let names = std::fs::read_dir(caches).into_iter().flatten().flatten();
        names.filter_map(|name| std::fs::read(name.path().join("0/log")).ok()).next()
    }

    fn checked(&self, store: &str) {
        let checked = self.corten(store, &["store", "check"]);
        assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    }
}

/// Everything is cached, in an empty store; the digest is the same.
fn round(bench: &Bench, to: &str, from: &str) -> (Value, Value, String) {
    bench.begin();
    let (first, _) = bench.travels("store", &["--cache-to", to]);
    assert_eq!(first["ran"], 6);
    assert_eq!(first["caches"].as_array().unwrap().len(), 1, "{first}");
    bench.bring("store2");
    let (second, told) = bench.travels("store2", &["--cache-from", from]);
    assert_eq!((&second["ran"], &second["cached"]), (&0.into(), &6.into()), "{told}");
    assert_eq!(second["digest"], first["digest"]);
    bench.checked("store2");
    (first, second, told)
}

#[test]
fn a_registry_takes_a_cache_and_gives_what_is_needed() {
    let Some(bench) = Bench::new() else { return };
    let registry = TestRegistry::start();
    let name = registry.reference("team/app:cache");
    let to = format!("type=registry,ref={name}");
    bench.begin();
    bench.travels("store", &["--cache-to", &to]);
    registry.clear_log();
    bench.bring("store2");
    let (report, _) = bench.travels("store2", &["--cache-from", &name]);
    assert_eq!((&report["ran"], &report["cached"]), (&0.into(), &6.into()));
    let fetched = registry.requests("GET /blobs/");
    // The config, and the three layers of the image: those of other stages stay there.
    assert_eq!(fetched.len(), 4, "{:?}", fetched.iter().map(|one| one.line()).collect::<Vec<_>>());
    // What came is here now.
    registry.clear_log();
    let (again, _) = bench.travels("store2", &[]);
    assert_eq!(
        again["ran"], 1,
        "the one layer that did not come and is none of the image: {again}"
    );
    // What changes fetches what it stands on, and nothing else.
    bench.bring("store3");
    bench.write("ctx/Dockerfile", &FILE.replace("echo here >/here", "echo there >/here"));
    registry.clear_log();
    let (report, _) = bench.travels("store3", &["--cache-from", &name]);
    assert_eq!(report["ran"], 3, "{report}");
    assert_eq!(
        registry.requests("GET /blobs/").len(),
        4,
        "the config, and the layers of both stages: 1 and 2"
    );
    bench.checked("store3");
}

#[test]
fn a_layout_takes_a_cache_with_mounts() {
    let Some(bench) = Bench::new() else { return };
    let directory = bench.path("cache").display().to_string();
    let (to, from) =
        (format!("type=local,dest={directory},mounts=true"), format!("type=local,src={directory}"));
    let (first, _, _) = round(&bench, &to, &from);
    assert_eq!(bench.mount_of("store2"), None, "no step wanted it");
    let log = bench.mount_of("store").unwrap();
    bench.bring("store3");
    bench.write("ctx/Dockerfile", &FILE.replace("cp /things/log /big", "cp /things/log /big; :"));
    let (report, told) = bench.travels("store3", &["--cache-from", &from]);
    assert_eq!(bench.mount_of("store3").unwrap(), log, "{told}");
    assert_eq!(
        report["ran"], 1,
        "what the mount held gives the same bytes, and all else is cached: {told}"
    );
    let validated = bench.corten("store", &["validate", &format!("oci:{directory}:latest")]);
    assert_eq!(validated.code, 0, "{}", validated.out);
    // Owners, modes and times travel.
    let stat = |store: &str| {
        let caches = bench.path(store).join(".corten/build/caches");
        let place = std::fs::read_dir(caches).unwrap().next().unwrap().unwrap().path();
        let metadata = std::fs::metadata(place.join("0/log")).unwrap();
        use std::os::unix::fs::MetadataExt as _;
        (metadata.uid(), metadata.mode(), metadata.mtime(), metadata.mtime_nsec())
    };
    assert_eq!(stat("store3"), stat("store"));
    // The same cache again is the same, and nothing of an older one stays.
    bench.begin();
    let index = || std::fs::read(bench.path("cache/index.json")).unwrap();
    let before = index();
    let (again, _) = bench.travels("store", &["--cache-to", &to]);
    assert_eq!((&again["ran"], &again["digest"]), (&0.into(), &first["digest"]));
    assert_eq!(index(), before);
    bench.write("ctx/Dockerfile", "FROM base\nRUN echo alone >/x\n");
    bench.travels("store", &["--cache-to", &format!("type=local,dest={directory},mode=min")]);
    let blobs = std::fs::read_dir(bench.path("cache/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 3, "a manifest, a config, a layer");
    bench.checked("store");
}

#[test]
fn what_was_tampered_with_is_refused_and_the_step_is_carried_out() {
    let Some(bench) = Bench::new() else { return };
    let directory = bench.path("cache").display().to_string();
    let to = format!("type=local,dest={directory},mounts=things");
    let from = format!("type=local,src={directory}");
    bench.begin();
    let file = FILE.replace("head -c 100000 /dev/urandom", "echo same");
    bench.write("ctx/Dockerfile", &file);
    let (first, _) = bench.travels("store", &["--cache-to", &to]);
    let blobs = bench.path("cache/blobs/sha256");
    let config = |directory: &std::path::Path| -> Vec<u8> {
        let index = json(&std::fs::read_to_string(directory.join("index.json")).unwrap());
        let digest = index["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "");
        std::fs::read(directory.join("blobs/sha256").join(digest)).unwrap()
    };
    let manifest: Value = serde_json::from_slice(&config(&bench.path("cache"))).unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        let path = blobs.join(layer["digest"].as_str().unwrap().replace("sha256:", ""));
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    bench.bring("store2");
    let (second, told) = bench.travels("store2", &["--cache-from", &from]);
    assert_eq!(second["digest"], first["digest"], "{told}");
    assert!(told.contains("of a cache elsewhere is not used"), "{told}");
    bench.checked("store2");
}

#[test]
fn a_layer_that_unpacks_to_something_else_is_refused() {
    let Some(bench) = Bench::new() else { return };
    let directory = bench.path("cache").display().to_string();
    let (to, from) =
        (format!("type=local,dest={directory}"), format!("type=local,src={directory}"));
    bench.write("ctx/Dockerfile", "FROM base\nRUN echo one >/one\n");
    let (first, _) = bench.travels("store", &["--cache-to", &to]);
    // A config that says another DiffId, under a manifest that fits it.
    let place = bench.path("cache");
    let read = |digest: &Value| {
        let name = digest.as_str().unwrap().replace("sha256:", "");
        json(&std::fs::read_to_string(place.join("blobs/sha256").join(name)).unwrap())
    };
    let write = |value: &Value| {
        let text = value.to_string();
        let digest = Digest::sha256(text.as_bytes());
        std::fs::write(place.join("blobs/sha256").join(digest.encoded()), &text).unwrap();
        (digest.to_string(), text.len())
    };
    let mut index = json(&std::fs::read_to_string(place.join("index.json")).unwrap());
    let mut manifest = read(&index["manifests"][0]["digest"]);
    let mut config = read(&manifest["config"]["digest"]);
    config["steps"][0]["diffId"] = Digest::sha256(b"another").to_string().into();
    let (digest, size) = write(&config);
    manifest["config"]["digest"] = digest.into();
    manifest["config"]["size"] = size.into();
    let (digest, size) = write(&manifest);
    index["manifests"][0]["digest"] = digest.into();
    index["manifests"][0]["size"] = size.into();
    std::fs::write(place.join("index.json"), index.to_string()).unwrap();
    bench.bring("store2");
    let (second, told) = bench.travels("store2", &["--cache-from", &from]);
    assert!(told.contains("it unpacks to"), "{told}");
    assert_eq!((&second["ran"], &second["digest"]), (&1.into(), &first["digest"]));
    bench.checked("store2");
}

#[test]
fn a_cache_that_is_missing_is_a_note() {
    let Some(bench) = Bench::new() else { return };
    let registry = TestRegistry::with(Setup::default());
    bench.begin();
    let name = registry.reference("team/none:cache");
    let (report, told) = bench.travels("store", &["--cache-from", &name]);
    assert_eq!(report["ran"], 6);
    assert!(told.contains(&format!("note: --cache-from {name}")), "{told}");
    let nowhere = format!("type=local,src={}", bench.path("nowhere").display());
    let (_, told) = bench.travels("store", &["--cache-from", &nowhere]);
    assert!(told.contains("going on without it"), "{told}");
    let base = format!("type=local,src={},tag=base", bench.path("images").display());
    let (_, told) = bench.travels("store", &["--cache-from", &base]);
    assert!(told.contains("it is no cache"), "{told}");
    let context = bench.path("ctx");
    let refused = bench.build_in("store", &context, &["--cache-to", "type=gha"]);
    assert_eq!((refused.code, refused.err.contains("registry and local")), (2, true));
    let lost = "type=registry,ref=127.0.0.1:1/none:x,ignore-error=true";
    let (_, told) = bench.travels("store", &["--cache-to", lost]);
    assert!(told.contains("note: --cache-to 127.0.0.1:1/none:x"), "{told}");
}

#[test]
fn a_cache_passes_through_a_machine_that_never_had_its_layers() {
    let Some(bench) = Bench::new() else { return };
    let registry = TestRegistry::start();
    let (first, second) = (registry.reference("a/cache:1"), registry.reference("b/cache:1"));
    bench.begin();
    let to = |name: &str| format!("type=registry,ref={name}");
    let (one, _) = bench.travels("store", &["--cache-to", &to(&first)]);
    bench.bring("store2");
    bench.travels("store2", &["--cache-from", &first, "--cache-to", &to(&second)]);
    bench.bring("store3");
    let (three, told) = bench.travels("store3", &["--cache-from", &second]);
    assert_eq!((&three["ran"], &three["digest"]), (&0.into(), &one["digest"]), "{told}");
}
