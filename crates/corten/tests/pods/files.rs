//! `corten cp`, in both directions, of containers that run and of those that do not.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;

use crate::Machine;

fn container(machine: &Machine, running: bool) {
    let script = "echo in >/in; chmod 4755 /in; ln -s /etc/shadow /link; mkdir -p /dir/sub; echo x >/dir/sub/x; \
                  ln -s /nowhere /out; echo ready; ";
    let script = format!("{script}{}", if running { "sleep 1000" } else { "true" });
    let words = ["--name", "one", "--network", "none", "-v", "/vol", "box", "sh", "-c", &script];
    if running {
        machine.ok(&[&["run", "--detach"], &words[..]].concat());
        crate::until("the files", || machine.run(&["logs", "one"]).out.contains("ready"));
    } else {
        machine.ok(&[&["run"], &words[..]].concat());
    }
}

fn copies(running: bool) {
    let Some(machine) = Machine::new() else { return };
    container(&machine, running);
    let at = |name: &str| machine.path(name);
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    // Out: a file under a new name, a file into a directory, a directory, a directory's content.
    machine.ok(&["cp", "one:/in", &text("file")]);
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "in\n");
    assert_eq!(
        at("file").metadata().unwrap().permissions().mode() & 0o7777,
        0o755,
        "no set-user-id"
    );
    fs::create_dir(at("into")).unwrap();
    machine.ok(&["cp", "one:in", &text("into")]);
    machine.ok(&["cp", "one:/dir", &text("into")]);
    machine.ok(&["cp", "one:/dir/.", &text("content")]);
    assert!(
        at("into/in").is_file() && at("into/dir/sub/x").is_file() && at("content/sub/x").is_file()
    );
    // A link stays a link and is not followed.
    machine.ok(&["cp", "one:/link", &text("link")]);
    assert_eq!(fs::read_link(at("link")).unwrap().to_str(), Some("/etc/shadow"));
    // In: the same, and over a file that is there.
    fs::write(at("new"), "first\n").unwrap();
    machine.ok(&["cp", &text("new"), "one:/tmp"]);
    fs::write(at("new"), "second\n").unwrap();
    machine.ok(&["cp", &text("new"), "one:/tmp/new"]);
    machine.ok(&["cp", &text("into"), "one:/tmp/tree"]);
    machine.ok(&["cp", "one:/tmp/new", &text("back")]);
    assert_eq!(fs::read_to_string(at("back")).unwrap(), "second\n");
    machine.ok(&["cp", "one:/tmp/tree/dir/sub/x", &text("back")]);
    assert_eq!(fs::read_to_string(at("back")).unwrap(), "x\n");
    assert_eq!(at("back").metadata().unwrap().uid(), 0);
    for wrong in [
        ["one:/absent", &text("x")],
        ["one:/in", "one:/x"],
        [&text("new"), "one:/absent/x"],
        [&text("new"), &text("x")],
        ["none:/in", &text("x")],
    ] {
        let ran = machine.run(&["cp", wrong[0], wrong[1]]);
        assert_ne!(ran.code, 0, "{wrong:?}: {ran:?}");
    }
    streams(&machine);
}

fn streams(machine: &Machine) {
    let tar = machine.command(&["cp", "one:/dir", "-"]).output().unwrap();
    assert!(tar.status.success(), "{tar:?}");
    let mut words = machine.command(&["cp", "-", "one:/root"]);
    let mut child = words.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
    assert!(child.wait().unwrap().success());
    let to = machine.path("streamed");
    machine.ok(&["cp", "one:/root/sub/x", to.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(to).unwrap(), "x\n");
    let file = machine.command(&["cp", "one:/dir/sub/x", "-"]).output().unwrap();
    assert_eq!(file.stdout.get(512..514), Some(&b"x\n"[..]), "a tar of one file");
}

#[test]
fn files_go_into_a_running_container_and_out_of_it() {
    copies(true);
}

#[test]
fn files_go_into_a_stopped_container_and_out_of_it() {
    copies(false);
}

#[test]
fn no_link_of_a_container_leads_to_the_machine() {
    let Some(machine) = Machine::new() else { return };
    let secret = machine.path("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("word"), "secret\n").unwrap();
    let secret = secret.to_str().unwrap();
    // Links to the machine's own directory, at every place where one could be followed.
    let script = format!(
        "ln -s {secret} /root/away; ln -s ../../../../../..{secret} /root/up; echo up; sleep 1000"
    );
    let words =
        ["run", "--detach", "--name", "bad", "--network", "none", "box", "sh", "-c", &script];
    machine.ok(&words);
    crate::until("the links", || machine.run(&["logs", "bad"]).out.contains("up"));
    let to = machine.path("stolen");
    for link in ["away", "up"] {
        let from = format!("bad:/root/{link}/word");
        let ran = machine.run(&["cp", &from, to.to_str().unwrap()]);
        assert!(ran.code != 0 && !to.exists(), "{ran:?}");
        fs::write(machine.path("planted"), "x").unwrap();
        let into = format!("bad:/root/{link}/planted");
        let ran = machine.run(&["cp", machine.path("planted").to_str().unwrap(), &into]);
        assert!(ran.code != 0, "{ran:?}");
    }
    let ran = machine.run(&["cp", "bad:/proc/1/root/etc/passwd", to.to_str().unwrap()]);
    assert!(ran.code != 0 && !to.exists(), "{ran:?}");
    assert_eq!(fs::read_dir(secret).unwrap().count(), 1, "nothing came there");
    // A link of the user's own that stands at the target is not written through.
    fs::create_dir(machine.path("mine")).unwrap();
    symlink(secret, machine.path("mine/etc")).unwrap();
    let ran = machine.run(&["cp", "bad:/etc", machine.path("mine").to_str().unwrap()]);
    assert!(ran.code != 0, "{ran:?}");
    assert_eq!(fs::read_dir(secret).unwrap().count(), 1, "nothing came there");
}
