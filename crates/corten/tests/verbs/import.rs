//! Making images of root filesystems.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{User, ran};

fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(root.join("usr/bin/app"), "#!/bin/sh\necho hello\n").unwrap();
    fs::set_permissions(root.join("usr/bin/app"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(root.join("usr/bin/app"), root.join("usr/bin/other")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::write(root.join(format!("{}-long", "n".repeat(150))), "x").unwrap();
}

#[test]
fn a_tree_gives_the_same_digest_as_a_directory_as_any_tar_of_it_and_from_a_pipe() {
    let user = User::new();
    let tree = user.path("tree");
    make_tree(&tree);
    let tar = user.path("tree.tar");
    let made = |format: &str| {
        let status = Command::new("tar")
            .args(["--format", format, "--numeric-owner", "-C"])
            .arg(&tree)
            .arg("-cf")
            .arg(&tar)
            .arg(".")
            .status();
        assert!(status.unwrap().success());
    };
    let expected = user.json(&format!("import {} a", tree.display()))["digest"].clone();
    for format in ["gnu", "posix"] {
        made(format);
        let line = format!("import {} b", tar.display());
        assert_eq!(user.json(&line)["digest"], expected, "{format}");
    }
    let gzipped = Command::new("gzip").arg("-k").arg(&tar).status().unwrap();
    assert!(gzipped.success());
    assert_eq!(user.json(&format!("import {}.gz c", tar.display()))["digest"], expected);

    let mut piped = user.command(["import", "-", "d", "--json"]);
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(&fs::read(&tar).unwrap()).unwrap();
    let report: serde_json::Value =
        serde_json::from_str(&ran(piped.wait_with_output().unwrap()).out).unwrap();
    assert_eq!(report["digest"], expected);
}

#[test]
fn the_config_says_what_the_options_said() {
    let user = User::new();
    make_tree(&user.path("tree"));
    let tree = user.path("tree").display().to_string();
    let arguments = [
        "import",
        &tree,
        "app:1",
        "--cmd",
        r#"["/usr/bin/app","-x"]"#,
        "--entrypoint",
        "exec app",
        "--env",
        "A=1",
        "--env",
        "B=two words",
        "--user",
        "1000:1000",
        "--workdir",
        "/srv",
        "--label",
        "org.example.team=a",
        "--expose",
        "80/tcp",
        "--volume",
        "/data",
        "--stop-signal",
        "SIGINT",
        "--platform",
        "linux/arm64/v8",
        "--author",
        "A <a@example.com>",
        "--created",
        "2020-02-02T02:02:02Z",
        "--annotation",
        "org.example.x=y",
        "--compression",
        "zstd",
    ];
    assert_eq!(user.run(arguments).code, 0);
    let config: serde_json::Value =
        serde_json::from_str(&user.ok("inspect app:1 --image-config --platform linux/arm64"))
            .unwrap();
    let run = &config["config"];
    assert_eq!(run["Cmd"], serde_json::json!(["/usr/bin/app", "-x"]));
    assert_eq!(run["Entrypoint"], serde_json::json!(["/bin/sh", "-c", "exec app"]));
    assert_eq!(run["Env"], serde_json::json!(["A=1", "B=two words"]));
    assert_eq!(run["ExposedPorts"], serde_json::json!({"80/tcp": {}}));
    assert_eq!(run["Volumes"], serde_json::json!({"/data": {}}));
    assert_eq!((&run["User"], &run["WorkingDir"]), (&"1000:1000".into(), &"/srv".into()));
    assert_eq!(config["architecture"], "arm64");
    assert_eq!(config["created"], "2020-02-02T02:02:02Z");
    let manifest: serde_json::Value =
        serde_json::from_str(&user.ok("inspect app:1 --raw")).unwrap();
    assert_eq!(manifest["annotations"]["org.example.x"], "y");
    let kind = "application/vnd.oci.image.layer.v1.tar+zstd";
    assert_eq!(manifest["layers"][0]["mediaType"], kind);
    user.json("validate app:1");
}

#[test]
fn an_image_laid_on_another_has_its_layers_and_its_config_below() {
    let user = User::new();
    make_tree(&user.path("tree"));
    let tree = user.path("tree").display().to_string();
    let base = ["import", &tree, "base", "--env", "A=1", "--cmd", r#"["a"]"#];
    assert_eq!(user.run(base).code, 0);
    fs::create_dir(user.path("site")).unwrap();
    fs::write(user.path("site/index.html"), "hello").unwrap();
    let site = user.path("site").display().to_string();
    user.json(&format!("import {site} web --from base --env B=2"));
    let report = user.json("inspect web");
    assert_eq!(report["image"]["env"], serde_json::json!(["A=1", "B=2"]));
    assert_eq!(report["image"]["cmd"], serde_json::json!(["a"]));
    assert_eq!(report["image"]["layers"].as_array().unwrap().len(), 2);
    assert_eq!(user.ok("cat web /index.html"), "hello");
    assert_eq!(user.ok("cat web /bin/app"), "#!/bin/sh\necho hello\n");
    let names = user.json("images")["images"].as_array().unwrap().len();
    assert_eq!(names, 2, "the base is not kept a second time without a name");
}

#[test]
fn source_date_epoch_bounds_the_times_of_files_and_dates_the_image() {
    let user = User::new();
    make_tree(&user.path("tree"));
    let tree = user.path("tree").display().to_string();
    let run = user.command(["import", &tree, "app"]).env("SOURCE_DATE_EPOCH", "1000").output();
    assert_eq!(ran(run.unwrap()).code, 0);
    let entries = user.json("ls app -R")["entries"].as_array().unwrap().clone();
    assert!(!entries.is_empty());
    for entry in entries {
        assert_eq!(entry["modified"], "1970-01-01T00:16:40Z", "{entry}");
    }
    assert_eq!(user.json("inspect app")["image"]["created"], "1970-01-01T00:16:40Z");
}

#[test]
fn nothing_at_all_is_no_tar_and_makes_no_image() {
    let user = User::new();
    fs::write(user.path("empty.tar"), "").unwrap();
    let ran = user.run(["import", &user.path("empty.tar").display().to_string(), "app"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("empty.tar"), "{}", ran.err);
    let ran = ran_with_empty_input(&user);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert_eq!(user.json("images")["images"], serde_json::json!([]));
}

fn ran_with_empty_input(user: &User) -> crate::Ran {
    ran(user.command(["import", "-", "app"]).stdin(Stdio::null()).output().unwrap())
}
