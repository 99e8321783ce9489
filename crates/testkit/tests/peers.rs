//! The tools of the field against the in-process registry: what they push and pull stays the same.
//! Each test is skipped, loudly, where its peer is missing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use corten_spec::Algorithm;
use corten_testkit::images::{ImageMaker, LayerForm, TestImage, artifact, referrer};
use corten_testkit::{
    Auth, DockerRegistry, FaultProxy, Mischief, Peer, Setup, TestRegistry, scratch,
};

fn image(platform: &str) -> TestImage {
    ImageMaker::new()
        .platform(platform)
        .text_layer("etc/motd", "hello")
        .noise_layer(7, 300_000)
        .build()
}

fn zstd() -> TestImage {
    ImageMaker::new().form(LayerForm::Zstd).text_layer("a", "x").build()
}

fn docker() -> TestImage {
    ImageMaker::new().docker().text_layer("a", "x").build()
}

fn index() -> TestImage {
    TestImage::index(&[image("linux/amd64"), image("linux/arm64")])
}

fn nested() -> TestImage {
    TestImage::index(&[index(), zstd()])
}

fn wide() -> TestImage {
    ImageMaker::new().algorithm(Algorithm::Sha512).text_layer("a", "x").build()
}

#[test]
fn skopeo_copies_in_and_out_unchanged() {
    let Some(skopeo) = Peer::find("skopeo") else { return };
    let (registry, scratch) = (TestRegistry::start(), scratch());
    let cases = [
        ("single", image("linux/amd64")),
        ("zstd", zstd()),
        ("docker", docker()),
        ("index", index()),
    ];
    for (name, image) in cases {
        registry.seed("from", Some(name), &image);
        let layout = format!("dir:{}", scratch.join(name).display());
        let from = format!("docker://{}", registry.reference(&format!("from:{name}")));
        let to = format!("docker://{}", registry.reference(&format!("to:{name}")));
        let copy = ["copy", "--quiet", "--all", "--preserve-digests"];
        skopeo.succeed(copy.iter().chain(&["--src-tls-verify=false", &from, &layout]));
        skopeo.succeed(copy.iter().chain(&["--dest-tls-verify=false", &layout, &to]));
        registry.assert_has("to", name, &image);
    }
}

#[test]
fn crane_copies_and_lists() {
    let Some(crane) = Peer::find("crane") else { return };
    let registry = TestRegistry::start();
    let cases = [
        ("single", image("linux/amd64")),
        ("docker", docker()),
        ("index", index()),
        ("nested", nested()),
    ];
    for (name, image) in &cases {
        registry.seed("from", Some(name), image);
        let from = registry.reference(&format!("from:{name}"));
        let to = registry.reference(&format!("to:{name}"));
        crane.succeed(["copy", "--insecure", &from, &to]);
        registry.assert_has("to", name, image);
        let digest = crane.succeed(["digest", "--insecure", &to]);
        assert_eq!(digest.trim(), image.digest().as_str());
    }
    let tags = crane.succeed(["ls", "--insecure", &registry.reference("to")]);
    assert_eq!(tags.lines().collect::<Vec<_>>(), ["docker", "index", "nested", "single"]);
    let catalog = crane.succeed(["catalog", "--insecure", &registry.host()]);
    assert_eq!(catalog.lines().collect::<Vec<_>>(), ["from", "to"]);
}

#[test]
fn oras_copies_artifacts_with_their_referrers() {
    let Some(oras) = Peer::find("oras") else { return };
    let registry = TestRegistry::start();
    let subject = artifact("application/vnd.test.thing", "thing.txt", "content");
    let signature = referrer(&subject, "application/vnd.test.signature", "signed");
    let note = referrer(&signature, "application/vnd.test.note", "noted");
    for one in [&subject, &signature, &note] {
        registry.seed("from", None, one);
    }
    registry.seed("from", Some("v1"), &subject);
    let (from, to) = (registry.reference("from:v1"), registry.reference("to:v1"));
    oras.succeed(["cp", "--recursive", "--from-plain-http", "--to-plain-http", &from, &to]);
    registry.assert_has("to", "v1", &subject);
    let referrers = |image: &TestImage| -> Vec<String> {
        let listed = registry.referrers("to", image.digest());
        listed.iter().map(|one| one.digest.to_string()).collect()
    };
    assert_eq!(referrers(&subject), [signature.digest().to_string()]);
    assert_eq!(referrers(&signature), [note.digest().to_string()]);
    assert!(!registry.requests("GET /referrers/").is_empty());
}

#[test]
fn oras_carries_another_algorithm() {
    let Some(oras) = Peer::find("oras") else { return };
    let registry = TestRegistry::start();
    registry.seed("from", None, &wide());
    let from = registry.reference(&format!("from@{}", wide().digest()));
    let to = registry.reference("to");
    oras.succeed(["cp", "--from-plain-http", "--to-plain-http", &from, &to]);
    let manifest = registry.manifest("to", wide().digest().as_str());
    assert_eq!(manifest.unwrap().bytes(), wide().root().bytes());
}

#[test]
fn tokens_are_fetched_by_real_clients() {
    let Some(skopeo) = Peer::find("skopeo") else { return };
    let auth = Auth::Token { user: "ann".to_owned(), password: "one".to_owned() };
    let registry = TestRegistry::with(Setup { auth, ..Setup::default() });
    registry.seed("team/app", Some("v1"), &docker());
    let from = format!("docker://{}", registry.reference("team/app:v1"));
    let to = format!("docker://{}", registry.reference("team/copy:v1"));
    let denied = skopeo.run(["inspect", "--raw", "--tls-verify=false", &from]);
    assert_ne!(denied.code, Some(0));
    let arguments = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    let credentials = ["--src-creds", "ann:one", "--dest-creds", "ann:one"];
    skopeo.succeed(arguments.iter().chain(&credentials).chain(&[from.as_str(), &to]));
    registry.assert_has("team/copy", "v1", &docker());
    assert!(registry.requests("GET /token").iter().any(|one| one.status == 200));
}

#[test]
fn a_clean_proxy_before_the_reference_registry_changes_nothing() {
    let (Some(skopeo), Some(reference)) = (Peer::find("skopeo"), DockerRegistry::start()) else {
        return;
    };
    let (registry, proxy) =
        (TestRegistry::start(), FaultProxy::start(reference.host(), Mischief::Clean));
    registry.seed("from", Some("v1"), &index());
    let arguments = [
        "copy",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
    ];
    let from = format!("docker://{}", registry.reference("from:v1"));
    let there = format!("docker://{}/there:v1", proxy.host());
    let back = format!("docker://{}", registry.reference("back:v1"));
    skopeo.succeed(arguments.iter().chain(&[from.as_str(), &there]));
    skopeo.succeed(arguments.iter().chain(&[there.as_str(), &back]));
    registry.assert_has("back", "v1", &index());
    assert!(proxy.connections() > 0 && proxy.struck().is_empty());
}
