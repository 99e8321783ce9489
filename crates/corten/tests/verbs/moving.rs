//! Moving images between places.

use corten_testkit::TestRegistry;
use corten_testkit::images::{ImageMaker, TestImage, referrer};

use crate::User;

#[test]
fn an_image_goes_through_every_place_and_comes_back_the_same() {
    let (user, registry) = (User::new(), TestRegistry::start());
    let digest = user.image("app", "hello");
    let path = |name: &str| user.path(name).display().to_string();
    let remote = registry.reference("team/app:1");
    let hops = [
        ("store:app".to_owned(), remote.clone()),
        (remote, format!("oci:{}:x", path("layout"))),
        (format!("oci:{}:x", path("layout")), format!("oci-archive:{}:y", path("app.tar"))),
        (format!("oci-archive:{}:y", path("app.tar")), format!("dir:{}", path("flat"))),
        (format!("dir:{}", path("flat")), "store:back:2".to_owned()),
    ];
    for (from, to) in hops {
        let report = user.json(&format!("copy {from} {to}"));
        assert_eq!(report["digest"], digest.as_str(), "{from} -> {to}");
    }
    assert_eq!(user.json("inspect back:2")["root"]["digest"], digest.as_str());
    assert_eq!(user.json("validate back:2")["errors"], 0);
}

#[test]
fn an_archive_goes_through_a_pipe() {
    let (user, other) = (User::new(), User::new());
    let digest = user.image("app", "hello");
    let archive = user.command(["-q", "copy", "store:app", "-"]).output().unwrap();
    std::fs::write(user.path("pipe"), archive.stdout).unwrap();
    let mut read = other.command(["copy", "-", "store:app", "--json"]);
    let output = read.stdin(std::fs::File::open(user.path("pipe")).unwrap()).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["digest"], digest.as_str());
}

#[test]
fn a_push_into_a_pipe_is_the_archive_and_nothing_else() {
    let user = User::new();
    user.image("app", "hello");
    let pushed = user.command(["-q", "push", "app", "-"]).output().unwrap();
    let copied = user.command(["-q", "copy", "store:app", "-"]).output().unwrap();
    assert!(pushed.stdout == copied.stdout, "the archives differ");
}

#[test]
fn what_the_target_has_is_not_sent_again() {
    let (user, registry) = (User::new(), TestRegistry::start());
    user.image("app", "hello");
    let reference = registry.reference("app:1");
    let first = user.json(&format!("push app {reference}"));
    assert_eq!((&first["blobs_copied"], &first["blobs_present"]), (&2.into(), &0.into()));
    let again = user.json(&format!("push app {reference}"));
    assert_eq!((&again["blobs_copied"], &again["blobs_present"]), (&0.into(), &2.into()));
    let mounted = user.json(&format!("copy {reference} {}", registry.reference("other:1")));
    assert_eq!(mounted["blobs_mounted"], 2);
}

fn two_platforms() -> TestImage {
    let of =
        |platform: &str| ImageMaker::new().platform(platform).text_layer("p", platform).build();
    TestImage::index(&[of("linux/amd64"), of("linux/arm64"), of("linux/s390x")])
}

#[test]
fn a_pull_keeps_the_index_and_takes_the_platforms_asked_for() {
    let (user, registry) = (User::new(), TestRegistry::start());
    let index = two_platforms();
    registry.seed("app", Some("1"), &index);
    let reference = registry.reference("app:1");
    let line = format!("pull {reference} app --platform linux/arm64 --platform linux/s390x");
    let report = user.json(&line);
    assert_eq!(report["digest"], index.digest().to_string());
    let images = user.json("images");
    let platforms = &images["images"][0]["platforms"];
    assert_eq!(*platforms, serde_json::json!(["linux/arm64", "linux/s390x"]));
    let checked = user.json("validate app");
    assert_eq!(checked["errors"], 0, "a sparse index is legal: {checked}");

    let all = user.json(&format!("pull {reference} whole --all-platforms"));
    assert_eq!(all["manifests"], 4);
    let one = user.json(&format!("copy {reference} store:one --platform linux/arm64 --no-index"));
    assert_eq!(one["media_type"], "application/vnd.oci.image.manifest.v1+json");
}

#[test]
fn referrers_come_along_when_asked() {
    let (user, registry) = (User::new(), TestRegistry::start());
    let image = ImageMaker::new().text_layer("a", "a").build();
    let signature = referrer(&image, "application/vnd.example.signature", "s");
    registry.seed("app", Some("1"), &image);
    registry.seed("app", None, &signature);
    let from = registry.reference("app:1");
    assert_eq!(user.json(&format!("copy {from} store:plain"))["referrers"], 0);
    assert_eq!(user.json(&format!("copy {from} store:app --referrers"))["referrers"], 1);
    let back = registry.reference("back:1");
    assert_eq!(user.json(&format!("push app {back} --referrers"))["referrers"], 1);
    let digest = signature.digest();
    assert_eq!(registry.referrers("back", image.digest())[0].digest, *digest);
}

#[test]
fn the_tags_of_a_repository_are_listed_over_all_pages() {
    let user = User::new();
    let registry = TestRegistry::with(corten_testkit::Setup::default().pages_of(2));
    let image = ImageMaker::new().build();
    let tags = ["1.0", "1.1", "2.0", "latest", "next"];
    tags.iter().for_each(|tag| registry.seed("app", Some(tag), &image));
    let report = user.json(&format!("tags {}", registry.reference("app")));
    assert_eq!(report["tags"], serde_json::json!(tags));
}
