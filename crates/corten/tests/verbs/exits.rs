//! Every way to fail has its exit code, names the object and the place, and says what to do.

use corten_testkit::images::{ImageMaker, TestImage};
use corten_testkit::{Fault, Setup, TestRegistry};

use crate::{Ran, User};

fn assert_fails(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "'{word}' is missing in: {}", ran.err);
    }
    assert!(ran.err.starts_with("error: "), "{}", ran.err);
}

fn registry_with_an_image() -> (TestRegistry, TestImage) {
    let registry = TestRegistry::start();
    let image = ImageMaker::new().text_layer("a", "hello").build();
    registry.seed("app", Some("1"), &image);
    (registry, image)
}

#[test]
fn not_found() {
    let (user, (registry, _)) = (User::new(), registry_with_an_image());
    let ran = user.run(["pull", &registry.reference("app:2")]);
    assert_fails(&ran, 3, &["tag 2 not found in", &registry.host()]);
    assert_fails(&user.run(["inspect", "store:nothing"]), 3, &["docker.io/library/nothing:latest"]);
    assert_fails(&user.run(["inspect", "oci:/nonexistent:x"]), 3, &["/nonexistent"]);
}

#[test]
fn denied() {
    let (user, registry) = (User::new(), TestRegistry::with(Setup::tokens("ann", "secret")));
    let ran = user.run(["pull", &registry.reference("app:1")]);
    assert_fails(&ran, 4, &["denies", "hint: log in with 'corten login"]);
}

#[test]
fn no_such_platform_lists_what_there_is() {
    let (user, registry) = (User::new(), TestRegistry::start());
    let of = |platform: &str| ImageMaker::new().platform(platform).build();
    let index = TestImage::index(&[of("linux/arm64"), of("linux/s390x")]);
    registry.seed("app", Some("1"), &index);
    let ran = user.run(["pull", &registry.reference("app:1"), "--platform", "linux/riscv64"]);
    assert_fails(&ran, 5, &["linux/riscv64", "linux/arm64, linux/s390x"]);
}

#[test]
fn rate_limited_says_how_long_to_wait() {
    let (user, (registry, _)) = (User::new(), registry_with_an_image());
    registry.always("* /manifests/", Fault::RateLimited(3600));
    let ran = user.run(["pull", &registry.reference("app:1")]);
    assert_fails(&ran, 6, &["3600 s", &registry.host()]);
}

#[test]
fn corrupt_names_the_source() {
    let (user, (registry, image)) = (User::new(), registry_with_an_image());
    registry.always("GET /blobs/", Fault::Corrupt(0));
    let ran = user.run(["pull", &registry.reference("app:1")]);
    assert_fails(&ran, 7, &["corrupt", &registry.host(), "sha256:"]);
    assert_eq!(user.json("images")["images"], serde_json::json!([]), "nothing was published");
    drop(image);
}

#[test]
fn unreachable_names_the_host() {
    let user = User::new();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ran = user.run(["tags", &format!("127.0.0.1:{port}/app")]);
    assert_fails(&ran, 8, &[&format!("127.0.0.1:{port}"), "cannot be reached"]);
}

#[test]
fn a_wrong_command_line_is_2_and_says_what_is_right() {
    let user = User::new();
    let rows = [
        vec!["nonsense"],
        vec!["copy", "docker-daemon:x", "oci:y"],
        vec!["pull", "docker.io/UPPER"],
        vec!["pull", "a", "--platform", "nonsense"],
        vec!["copy", "oci:", "store:x"],
    ];
    for row in rows {
        assert_eq!(user.run(row.clone()).code, 2, "{row:?}");
    }
}

#[test]
fn an_image_that_breaks_the_rules_is_9() {
    let user = User::new();
    user.image("app", "hello");
    user.ok(&format!("copy store:app oci:{}:x", user.path("layout").display()));
    let blobs = user.path("layout/blobs/sha256");
    for blob in std::fs::read_dir(blobs).unwrap() {
        let path = blob.unwrap().path();
        if std::fs::metadata(&path).unwrap().len() < 400 {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[0] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let ran = user.run(["validate", &format!("oci:{}", user.path("layout").display())]);
    assert_eq!(ran.code, 9, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[blob-digest]"), "{}", ran.out);
}

#[test]
fn a_registry_that_fails_comes_with_where_the_image_is_instead() {
    let (user, (registry, _)) = (User::new(), registry_with_an_image());
    user.image("app", "hello");
    let digest = format!("sha256:{}", "0".repeat(64));
    let name = registry.reference("app:2");
    user.ok(&format!("tag app {name}"));
    let target = format!("oci:{}", user.path("layout").display());
    // `copy` asks the registry, and says that the local store has it.
    let ran = user.run(["copy", &name, &target]);
    assert_fails(
        &ran,
        3,
        &[
            "tag 2 not found in",
            &format!("hint: the local store has this image: write store:{name}"),
        ],
    );
    // A verb that looks asks the local store first, and says so; a tag that is missing has neighbours.
    let ran = user.run(["inspect", &registry.reference("app:3")]);
    let tags = format!("'corten tags {}' lists the tags there", registry.reference("app"));
    assert_fails(&ran, 3, &["tag 3 not found in", "hint: the local store has no", &tags]);
    let ran = user.run(["inspect", &registry.reference(&format!("app@{digest}"))]);
    assert_fails(&ran, 3, &[&format!("{digest} not found in")]);
    assert!(!ran.err.contains("corten tags"), "{}", ran.err);
}
