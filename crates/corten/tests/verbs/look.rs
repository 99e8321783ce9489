//! Looking at and into images.

use std::fs;

use corten_testkit::TestRegistry;
use corten_testkit::images::ImageMaker;
use corten_testkit::tar::TarMaker;

use crate::User;

fn stack() -> ImageMaker {
    ImageMaker::new()
        .layer(TarMaker::new().file("etc/base", 0o644, "base").file("etc/both", 0o644, "old"))
        .layer(TarMaker::new().symlink("link", "etc/both").whiteout("etc", "gone"))
        .layer(TarMaker::new().file("etc/both", 0o600, "new"))
}

#[test]
fn files_of_an_image_are_listed_with_the_layer_they_come_from() {
    let (user, registry) = (User::new(), TestRegistry::start());
    registry.seed("app", Some("1"), &stack().build());
    let report = user.json(&format!("ls {} /etc", registry.reference("app:1")));
    let rows: Vec<(String, u64)> = report["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["path"].as_str().unwrap().to_owned(), e["layer"].as_u64().unwrap()))
        .collect();
    assert_eq!(rows, [("/etc/base".to_owned(), 0), ("/etc/both".to_owned(), 2)]);
}

#[test]
fn a_file_is_printed_and_layers_below_it_are_not_fetched() {
    let (user, registry) = (User::new(), TestRegistry::start());
    let image = stack().build();
    registry.seed("app", Some("1"), &image);
    assert_eq!(user.ok(&format!("cat {} /etc/both", registry.reference("app:1"))), "new");
    let layers: Vec<String> = image
        .blobs()
        .iter()
        .filter(|(blob, _)| blob.media_type.is_layer())
        .map(|(blob, _)| blob.digest.to_string())
        .collect();
    let fetched = |digest: &String| {
        registry.requests("GET /blobs/").iter().any(|request| request.path.contains(digest))
    };
    assert_eq!(layers.iter().map(fetched).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn links_are_followed_inside_the_image_only() {
    let (user, registry) = (User::new(), TestRegistry::start());
    let image = stack().layer(TarMaker::new().symlink("out", "../../../../etc/base")).build();
    registry.seed("app", Some("1"), &image);
    let reference = registry.reference("app:1");
    assert_eq!(user.ok(&format!("cat {reference} /link")), "new");
    assert_eq!(user.ok(&format!("cat {reference} /out")), "base");
    assert_eq!(user.run(["cat", &reference, "/nothing"]).code, 3);
    assert_eq!(user.run(["cat", &reference, "/etc"]).code, 2);
}

#[test]
fn an_export_is_the_merged_tree() {
    let user = User::new();
    user.image("app", "hello");
    let report = user.json(&format!("export app --output {}", user.path("out.tar").display()));
    assert_eq!(report["entries"], 3);
    fs::create_dir(user.path("out")).unwrap();
    let tar = std::process::Command::new("tar")
        .arg("-C")
        .arg(user.path("out"))
        .arg("-xf")
        .arg(user.path("out.tar"))
        .status()
        .unwrap();
    assert!(tar.success());
    assert_eq!(fs::read_to_string(user.path("out/motd")).unwrap(), "hello");
    let again = user.json(&format!("import {} again", user.path("out.tar").display()));
    assert_eq!(again["digest"], user.json("inspect app")["root"]["digest"]);
}

#[test]
fn two_images_are_compared_by_config_and_files() {
    let user = User::new();
    user.image("a", "one");
    user.image("b", "two!");
    assert!(user.json("diff a a")["same"].as_bool().unwrap());
    let ran = user.run(["diff", "a", "b", "--json", "--ignore-times"]);
    assert_eq!(ran.code, 9, "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let files = report["files"].as_array().unwrap();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0]["path"], "/etc/motd");
    assert_eq!(files[0]["what"], serde_json::json!(["size", "content"]));
}

#[test]
fn a_tree_shows_what_hangs_together() {
    let (user, registry) = (User::new(), TestRegistry::start());
    let image = stack().build();
    registry.seed("app", Some("1"), &image);
    let kind = "application/vnd.example.sbom";
    registry.seed("app", None, &corten_testkit::images::referrer(&image, kind, "{}"));
    let reference = registry.reference("app:1");
    let report = user.json(&format!("inspect --tree {reference}"));
    let roles: Vec<&str> = report["root"]["children"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| child["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["config", "layer", "layer", "layer", "referrer"]);
    assert!(user.ok(&format!("inspect --tree {reference}")).contains(kind));
}

#[test]
fn nothing_in_an_image_speaks_to_the_terminal() {
    let user = User::new();
    let evil = "e\u{1b}]0;title\u{7}\n~ /faked\u{9b}2J\u{202e}";
    let tree = user.path("tree");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join(evil.replace('/', "_")), "").unwrap();
    let label = format!("key={evil}");
    let tree = tree.to_str().unwrap();
    let made =
        user.run(["import", tree, "evil", "--label", &label, "--annotation", &label, "-u", evil]);
    assert_eq!(made.code, 0, "{}", made.err);
    user.image("other", "x");
    let missing = format!("/{evil}");
    let lines: [&[&str]; 8] = [
        &["ls", "evil"],
        &["ls", "-l", "evil"],
        &["inspect", "evil"],
        &["inspect", "--tree", "evil"],
        &["inspect", "--json", "evil"],
        &["diff", "evil", "other"],
        &["validate", "--notes", "evil"],
        &["cat", "evil", &missing],
    ];
    for line in lines {
        let ran = user.run(line);
        let text = ran.out + &ran.err;
        let control = text.chars().find(|c| *c != '\n' && c.is_control());
        assert_eq!(control, None, "{line:?}: {text:?}");
        assert!(line.contains(&"--json") || !text.contains('\u{202e}'), "{line:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("~ /faked")), "{line:?}: {text}");
    }
}

#[test]
fn a_local_image_is_looked_into_without_a_home() {
    let user = User::new();
    user.image("app", "hello");
    let layout = format!("oci:{}", user.path("layout").display());
    user.ok(&format!("copy store:app {layout}:x"));
    for line in [vec!["ls", &layout], vec!["cat", &layout, "/etc/motd"], vec!["export", &layout]] {
        let ran = crate::ran(user.command(&line).env_remove("HOME").output().unwrap());
        assert_eq!(ran.code, 0, "{line:?}: {}", ran.err);
    }
}

#[test]
fn an_export_goes_into_a_pipe_and_leaves_it_one() {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let user = User::new();
    user.image("app", "hello");
    let pipe = user.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::read(pipe).unwrap())
    };
    let report = user.json(&format!("export app -o {}", pipe.display()));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(report["bytes"], reader.join().unwrap().len());
    user.ok(&format!("export app -o {}", user.path("tar").display()));
    let plain = user.path("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode();
    assert_eq!(mode(&user.path("tar")), mode(&plain), "as any new file");
}
