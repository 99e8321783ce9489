//! Words that change the config, and those that images of today have no place for.

use serde_json::json;

use crate::bench::Bench;
use crate::stepper::{Stepper, rows};

#[test]
fn every_word_has_its_field() {
    let Some(bench) = Bench::new() else { return };
    let work = Stepper::new(&bench, "words");
    work.line("begin");
    for line in [
        "set-name example.com/team/app",
        "set-tag 2",
        "set-exec -- /bin/app --serve -v",
        "set-cmd -- -x y",
        "set-group 20",
        "set-user app",
        "set-working-directory /srv",
        "set-stop-signal SIGINT",
        "set-author me",
        "environment add A 1",
        "env add B -2",
        "environment add GONE 3",
        "environment remove GONE",
        "label add l m",
        "label add gone x",
        "label remove gone",
        "annotation add org.example.a b",
        "annotation add gone x",
        "annotation remove gone",
        "port add http tcp 80",
        "port add 53/udp",
        "port add --count 2 range tcp 9000",
        "port add 99",
        "port remove 99",
        "mount add data /data",
        "volume add /more",
        "mount add /gone",
        "mount remove /gone",
    ] {
        work.line(line);
    }
    let config = work.config();
    assert_eq!(
        config["config"],
        json!({
            "User": "app:20",
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "9000/tcp": {}, "9001/tcp": {}},
            "Env": ["A=1", "B=-2"],
            "Entrypoint": ["/bin/app", "--serve", "-v"],
            "Cmd": ["-x", "y"],
            "Volumes": {"/data": {}, "/more": {}},
            "WorkingDir": "/srv",
            "Labels": {"l": "m"},
            "StopSignal": "SIGINT",
        })
    );
    assert_eq!(config["author"], "me");
    assert_eq!(work.manifest()["annotations"], json!({"org.example.a": "b"}));
    assert!(rows(&config).iter().all(|row| !row.1));
    assert_eq!(rows(&config)[3].0.as_deref(), Some("corten build set-exec -- /bin/app --serve -v"));
    let report = work.line("write");
    assert!(report.starts_with("example.com/team/app:2\n"), "{report}");
    let pretty = work.line("cat --pretty-print");
    assert!(pretty.lines().count() > 20, "{pretty}");
}

#[test]
fn a_history_tells_nothing_of_what_is_not_to_be_told() {
    let Some(bench) = Bench::new() else { return };
    let work = Stepper::new(&bench, "quiet");
    work.line("begin --no-history base");
    let before = rows(&work.config());
    work.line("label --no-history add a b");
    work.ok(&["run", "--no-history", "--network", "none", "--", "/bin/touch", "/x"]);
    let config = work.config();
    let more = rows(&config).split_off(before.len());
    assert_eq!(more, [(None, true)], "there is a layer, and nothing is said of it");
    assert!(!config.to_string().contains("touch"));
}

#[test]
fn a_config_is_replaced_and_the_layers_stay() {
    let Some(bench) = Bench::new() else { return };
    let work = Stepper::new(&bench, "replace");
    work.line("begin base");
    work.ok(&["run", "--network", "none", "--", "/bin/touch", "/x"]);
    let before = work.config();
    let mut new = before.clone();
    new["config"] = json!({"Cmd": ["/bin/x"], "Healthcheck": {"Test": ["NONE"]}});
    new["rootfs"]["diff_ids"] = json!([]);
    bench.write("new.json", &new.to_string());
    work.line("replace-config new.json");
    let after = work.config();
    assert_eq!(after["config"], new["config"]);
    assert_eq!(after["rootfs"], before["rootfs"]);
    bench.write("bad.json", "{\"os\": 1}");
    let answer = work.says(&["replace-config", "bad.json"]);
    assert!(answer.code != 0 && answer.err.contains("bad.json"), "{}", answer.err);
    assert_eq!(work.config(), after);
}

#[test]
fn what_images_do_not_have_is_refused_with_its_place_of_today() {
    let Some(bench) = Bench::new() else { return };
    let work = Stepper::new(&bench, "gone");
    work.line("begin");
    let before = work.config();
    for (line, says) in [
        ("isolator add memory {}", "corten run --memory"),
        ("set-event-handler pre-start -- /bin/x", "entry point"),
        ("set-supp-groups 1 2", "--group-add"),
        ("dependency remove base", "not taken out"),
        ("port add --socket-activated a tcp 80", "sockets"),
        ("mount add --read-only a /a", ":ro"),
        ("port add a tcp 70000", "70000"),
        ("mount add data", "begins with /"),
        ("set-stop-signal SIGNOTHING", "SIGNOTHING"),
        ("set-name UPPER", "UPPER"),
        ("environment add A=B c", "A=B"),
    ] {
        let answer = work.says(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(answer.code, 2, "{line}: {}", answer.err);
        assert!(answer.err.contains(says), "{line}: {}", answer.err);
    }
    assert_eq!(work.config(), before);
    let answer = work.says(&["write"]);
    assert!(answer.code == 2 && answer.err.contains("no name"), "{}", answer.err);
}
