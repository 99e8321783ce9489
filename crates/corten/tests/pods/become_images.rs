//! `corten commit`, `corten unit` and `corten top` without groups.

use crate::Machine;

const CHANGES: &str = "rm /old/file; rm -r /old/deep; mkdir /old/deep; touch /old/deep/new; \
                       echo new >/new; ln /new /again; mkdir -p /vol; echo secret >/vol/secret; \
                       touch /tmp/x; rm /tmp/x; mkdir /made; chmod 700 /made";

#[test]
fn a_container_becomes_an_image_with_whiteouts() {
    let Some(machine) = Machine::new() else { return };
    let words = ["run", "--name", "one", "--network", "none", "-v", "/vol"];
    machine.ok(&[&words[..], &["box", "sh", "-c", CHANGES]].concat());
    let words = ["commit", "one", "box2", "--cmd", r#"["cat","/new"]"#, "--env", "MODE=x"];
    let report = machine.json(&[&words[..], &["--label", "a=b"]].concat());
    assert_eq!(report["name"], "docker.io/library/box2:latest");
    machine.ok(&["validate", "box2"]);
    // The image alone, through the layers as everybody else reads them.
    let into = machine.path("unpacked");
    machine.ok(&["unpack", "box2", into.to_str().unwrap()]);
    let is = |path: &str| into.join(path).symlink_metadata().is_ok();
    for gone in ["old/file", "old/deep/file", "vol/secret", "tmp/x"] {
        assert!(!is(gone), "{gone}");
    }
    for there in ["old/deep/new", "new", "again", "made", "bin/busybox"] {
        assert!(is(there), "{there}");
    }
    let run = ["run", "--rm", "--network", "none", "box2"];
    assert_eq!(machine.ok(&run), "new\n");
    let look = "echo $MODE; ls /old /old/deep; stat -c %a /made; stat -c %h /new";
    let said = machine.ok(&[&run[..], &["sh", "-c", look]].concat());
    assert_eq!(said, "x\n/old:\ndeep\n\n/old/deep:\nnew\n700\n2\n");
    let history = machine.ok(&["inspect", "--image-config", "box2"]);
    assert!(history.contains("corten commit"), "{history}");
}

#[test]
fn a_container_that_runs_is_frozen_for_its_image() {
    let Some(machine) = Machine::new() else { return };
    let write = "i=0; while :; do i=$((i+1)); echo $i >/count; done";
    let words =
        ["run", "--detach", "--name", "busy", "--network", "none", "box", "sh", "-c", write];
    machine.ok(&words);
    let ran = machine.run(&["commit", "busy", "busy2"]);
    let state = machine.json(&["status", "busy"])["state"].clone();
    assert_eq!(state, "running", "it goes on");
    machine.ok(&["stop", "--time", "0", "busy"]);
    if ran.code != 0 && ran.err.contains("changed") {
        eprintln!("skipped: this machine freezes nothing");
        return;
    }
    assert_eq!(ran.code, 0, "{ran:?}");
    let said = machine.ok(&["run", "--rm", "--network", "none", "busy2", "cat", "/count"]);
    assert!(said.is_empty() || said.trim().parse::<u64>().is_ok(), "{said}");
}

#[test]
fn a_unit_starts_a_container_in_front() {
    let Some(machine) = Machine::new() else { return };
    let words = ["create", "--name", "svc", "--network", "none", "--restart", "no"];
    machine.ok(&[&words[..], &["box", "sh", "-c", "echo 100%; exit 7"]].concat());
    let unit = machine.ok(&["unit", "svc"]);
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert!(unit.contains("Type=exec") && unit.contains("WantedBy=multi-user.target"), "{unit}");
    // What systemd does with a line without special characters.
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let ran = machine.run(&words);
    assert_eq!((ran.code, ran.out.as_str()), (7, "100%\n"), "{ran:?}");
    let unit = machine.ok(&["unit", "--image", "web", "--network", "none", "box", "echo", "a b"]);
    assert!(unit.contains("run --rm --name web --network none box echo \"a b\""), "{unit}");
    let ran = machine.run(&["unit", "--image", "web", "--nonsense", "box"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn top_lists_the_processes_of_a_running_container() {
    let Some(machine) = Machine::new() else { return };
    let words = ["run", "--detach", "--name", "two", "--network", "none", "box", "sh", "-c"];
    machine.ok(&[&words[..], &["sleep 1000 & sleep 1001; true"]].concat());
    let commands = || {
        let report = machine.json(&["top", "two"]);
        let all = report["processes"].as_array().unwrap().clone();
        all.iter().map(|one| one["command"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    crate::until("three processes", || commands().len() == 3);
    assert!(commands().contains(&"sleep 1001".to_owned()), "{:?}", commands());
}
