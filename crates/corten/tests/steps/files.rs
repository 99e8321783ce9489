//! Words that change files, and the layers that become of them.

use serde_json::json;

use crate::bench::Bench;
use crate::stepper::{Stepper, rows};

#[test]
fn changes_between_two_words_layer_are_one_layer() {
    let Some(bench) = Bench::new() else { return };
    bench.write("site/index.html", "hello\n");
    bench.write("site/deep/$odd [name]*", "odd\n");
    let work = Stepper::new(&bench, "one");
    work.line("begin base");
    let below = work.manifest()["layers"].as_array().unwrap().len();
    work.sh("mkdir /d; echo 1 >/d/a; echo 2 >/d/b; rm /etc/group");
    work.line("copy site /srv");
    work.sh("rm /d/a; echo 3 >/d/b; ln /d/b /d/c");
    work.line("layer");
    work.sh("rm -r /d; mkdir /d; echo 4 >/d/e");
    work.line("copy-to-dir site site/index.html /opt");
    work.written();
    let layers = work.manifest()["layers"].as_array().unwrap().len();
    assert_eq!(layers - below, 2, "one for each `layer`");
    assert_eq!(bench.cat("/srv/index.html"), "hello\n");
    assert_eq!(bench.cat("/srv/deep/$odd [name]*"), "odd\n");
    assert_eq!(bench.cat("/opt/site/index.html"), "hello\n");
    assert_eq!(bench.cat("/opt/index.html"), "hello\n");
    assert_eq!(bench.cat("/d/e"), "4\n");
    for path in ["/d/a", "/d/b", "/d/c", "/etc/group"] {
        assert_eq!(bench.stat(path), None, "{path}");
    }
    let listed = bench.corten("store", &["validate", "store:t"]);
    assert_eq!(listed.code, 0, "{}{}", listed.out, listed.err);
    let config = work.config();
    let told: Vec<_> = rows(&config).into_iter().rev().take(7).rev().collect();
    let is_layer: Vec<bool> = told.iter().map(|row| row.1).collect();
    assert_eq!(is_layer, [false, false, false, true, false, false, true], "{told:?}");
    assert_eq!(told[2].0.as_deref(), Some("corten build copy site /srv"));
}

#[test]
fn each_word_can_be_a_layer_of_its_own() {
    let Some(bench) = Bench::new() else { return };
    bench.write("a", "a\n");
    let work = Stepper::new(&bench, "each");
    work.line("begin --layers base");
    let below = work.manifest()["layers"].as_array().unwrap().len();
    work.sh("echo 1 >/one");
    work.line("copy a /two");
    assert_eq!(work.manifest()["layers"].as_array().unwrap().len() - below, 2);
}

#[test]
fn the_same_words_give_the_same_bytes() {
    let Some(bench) = Bench::new() else { return };
    bench.write("a", "a\n");
    bench.bring("other");
    let make = |store: &str, name: &str| {
        let words = |words: &[&str]| {
            let mut command = Stepper::new(&bench, name).of(store).command(words);
            command.env("SOURCE_DATE_EPOCH", "1700000000");
            let out = command.output().unwrap();
            let err = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(out.status.success(), "{words:?}: {err}");
            String::from_utf8(out.stdout).unwrap()
        };
        words(&["begin", "base"]);
        let text = "echo x >/x; rm /etc/group";
        words(&["run", "--network", "none", "--", "/bin/sh", "-c", text]);
        words(&["copy", "--chown", "1:2", "--chmod", "u=rw,go=", "a", "/b"]);
        words(&["environment", "add", "A", "b c"]);
        words(&["write", "-t", "t"])
    };
    let first = make("store", "a");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(make("other", "b"), first);
    assert_eq!(bench.stat("/b"), Some(("file".to_owned(), 0o600, 1, 2)));
    let config = Stepper::new(&bench, "a").config();
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
}

#[test]
fn it_begins_with_nothing_with_a_tree_and_with_a_tar() {
    let Some(bench) = Bench::new() else { return };
    bench.write("tree/etc/motd", "hi\n");
    let work = Stepper::new(&bench, "nothing");
    work.line("begin");
    assert_eq!(work.manifest()["layers"], json!([]));
    work.line("copy tree/etc/motd /motd");
    work.written();
    assert_eq!(bench.cat("/motd"), "hi\n");
    let tar = bench.path("t.tar");
    let mut packer = std::process::Command::new("tar");
    packer.arg("-cf").arg(&tar).arg("-C").arg(bench.path("tree")).arg(".");
    assert!(packer.status().unwrap().success());
    let mut digests = Vec::new();
    for (name, start) in [("tree", "./tree"), ("tar", "./t.tar")] {
        let work = Stepper::new(&bench, name);
        work.ok(&["begin", start]);
        digests.push(work.manifest()["layers"].clone());
        work.written();
        assert_eq!(bench.cat("/etc/motd"), "hi\n");
        assert!(rows(&work.config())[0].1, "the tree is the layer of begin");
    }
    assert_eq!(digests[0], digests[1], "a tree is a tree");
}

#[test]
fn other_images_are_copied_from_and_laid_on() {
    let Some(bench) = Bench::new() else { return };
    let tool = Stepper::new(&bench, "tool");
    tool.line("begin");
    bench.write("tool/bin/tool", "tool\n");
    tool.line("copy tool /tools");
    tool.line("write -t tool");
    let work = Stepper::new(&bench, "user");
    work.line("begin base");
    let below = work.manifest()["layers"].as_array().unwrap().len();
    work.line("copy --from tool /tools/bin/tool /copied");
    work.line("dependency add tool");
    // What is there already is not laid on twice.
    work.line("dependency add tool");
    work.written();
    assert_eq!(work.manifest()["layers"].as_array().unwrap().len() - below, 2);
    assert_eq!(bench.cat("/copied"), "tool\n");
    assert_eq!(bench.cat("/tools/bin/tool"), "tool\n");
}

#[test]
fn a_run_has_its_own_directory_user_variables_and_secrets() {
    let Some(bench) = Bench::new() else { return };
    let token = bench.write("token", "hush");
    let secret = format!("id=token,src={}", token.display());
    let work = Stepper::new(&bench, "run");
    work.line("begin base");
    work.line("environment add KEPT yes");
    work.ok(&["run", "--network", "none", "--", "/bin/sh", "-c", "mkdir -m 777 /w"]);
    work.ok(&[
        "run",
        "--network",
        "none",
        "--working-dir",
        "/w",
        "--user",
        "1000",
        "--env",
        "MODE=fast",
        "--",
        "/bin/sh",
        "-c",
        "pwd >f; id -u >>f; echo $MODE $KEPT >>f",
    ]);
    work.ok(&[
        "run",
        "--network",
        "none",
        "--secret",
        &secret,
        "--",
        "/bin/sh",
        "-c",
        "wc -c </run/secrets/token >/size",
    ]);
    work.written();
    assert_eq!(bench.cat("/w/f"), "/w\n1000\nfast yes\n");
    assert_eq!(bench.cat("/size"), "4\n");
    assert_eq!(bench.stat("/run/secrets"), None);
    let config = work.config();
    assert_eq!(config["config"].get("WorkingDir"), None, "what a run has is not the image's");
    assert!(!config.to_string().contains("fast"), "values of a run are told to nobody");
}
