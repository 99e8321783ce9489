//! `edit`: another config, the same layers.

use corten_spec::ContainerConfig;
use corten_testkit::TestRegistry;
use corten_testkit::images::{ImageMaker, TestImage, artifact};
use serde_json::{Value, json};

use crate::User;

fn of(platform: &str) -> TestImage {
    let mut config = ContainerConfig {
        env: vec!["A=1".to_owned(), "B=2".to_owned()],
        cmd: Some(vec!["old".to_owned()]),
        ..ContainerConfig::default()
    };
    config.labels.insert("gone".to_owned(), "x".to_owned());
    config.extra.insert("Healthcheck".to_owned(), json!({ "Test": ["NONE"] }));
    let image = ImageMaker::new().platform(platform).text_layer("etc/on", platform);
    image.config(config).annotation("old", "1").annotation("kept", "2").build()
}

fn read(user: &User, words: &str) -> Value {
    serde_json::from_str(&user.ok(&format!("inspect {words}"))).unwrap()
}

#[test]
fn every_platform_gets_the_new_config_and_keeps_its_layers() {
    let (user, registry) = (User::new(), TestRegistry::start());
    let children = [of("linux/amd64"), of("linux/arm64"), artifact("a/b", "note", "text")];
    registry.seed("app", Some("1"), &TestImage::index(&children));
    let words = "--env B=3 --env C=4 --unset-env A --unset-label gone --user 7 \
                 --annotation new=3 --unset-annotation old";
    let line = format!("edit {} app:new {words}", registry.reference("app:1"));
    let report = user.json(&line);
    assert_eq!(report["edited"], json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(report["left_out"], json!([children[2].digest().to_string()]));
    assert_eq!(user.json(&line)["digest"], report["digest"], "the same words, the same digest");
    let index = read(&user, "--raw app:new");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    for (platform, old) in ["linux/amd64", "linux/arm64"].into_iter().zip(&children) {
        let manifest = read(&user, &format!("--raw --platform {platform} app:new"));
        let config = read(&user, &format!("--image-config --platform {platform} app:new"));
        let before: Value = serde_json::from_slice(old.root().bytes()).unwrap();
        assert_eq!(manifest["layers"], before["layers"]);
        assert_eq!(manifest["annotations"], json!({ "kept": "2", "new": "3" }));
        let run = &config["config"];
        assert_eq!(run["Env"], json!(["B=3", "C=4"]));
        assert_eq!((&run["User"], &run["Cmd"]), (&json!("7"), &json!(["old"])));
        assert_eq!((&run["Labels"], &run["Healthcheck"]["Test"]), (&Value::Null, &json!(["NONE"])));
        let last = config["history"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["created_by"], &last["empty_layer"]),
            (&json!("corten edit"), &json!(true))
        );
    }
    user.ok("validate app:new");
}

#[test]
fn an_image_of_the_store_is_changed_under_its_name() {
    let (user, registry) = (User::new(), TestRegistry::start());
    registry.seed("app", Some("1"), &of("linux/amd64"));
    user.ok(&format!("copy {} store:app:1", registry.reference("app:1")));
    let before = user.json("inspect app:1")["root"]["digest"].clone();
    let report = user.json("edit app:1 --entrypoint [\"/bin/x\"]");
    assert_ne!(report["digest"], before);
    assert_eq!(user.json("inspect app:1")["root"]["digest"], report["digest"]);
    let config = read(&user, "--image-config app:1");
    assert_eq!(config["config"]["Entrypoint"], json!(["/bin/x"]));
    assert_eq!(config["config"]["Cmd"], Value::Null, "an entry point takes the command away");
    registry.seed("note", Some("1"), &artifact("a/b", "note", "text"));
    let ran = user.run(["edit", &registry.reference("note:1"), "note:2", "--user", "1"]);
    assert!(ran.code == 2 && ran.err.contains("is no image"), "{} {}", ran.code, ran.err);
}
