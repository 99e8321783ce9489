//! The operations of the lifecycle.

use crate::machine::{Machine, engine_binary};
use serde_json::{Value, json};
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;

fn status(machine: &Machine) -> String {
    let answer = machine.engine(&["state", "one"]);
    let state: Value = serde_json::from_str(&answer.output).unwrap();
    state["status"].as_str().unwrap().to_owned()
}

fn stopped_soon(machine: &Machine) {
    for _ in 0..200 {
        if status(machine) == "stopped" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it does not stop");
}

/// Creates with the three streams on files, so that nobody waits for the end of a pipe.
fn create(machine: &Machine) {
    create_behind(machine, &[]);
}

/// The same, with words before the engine's own: a program that runs it.
fn create_behind(machine: &Machine, before: &[&str]) {
    std::fs::write(machine.bundle().join("config.json"), machine.config.to_string()).unwrap();
    let output = std::fs::File::create(machine.scratch.path().join("output")).unwrap();
    let state = machine.scratch.path().join("state");
    let mut command = Command::new("env");
    command
        .args(before)
        .arg(engine_binary())
        .arg("--root")
        .arg(state)
        .args(["create", "one", "--pid-file"])
        .arg(machine.scratch.path().join("pid"));
    command
        .arg("--bundle")
        .arg(machine.bundle())
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    assert!(command.status().unwrap().success());
}

#[test]
fn a_container_goes_through_its_states() {
    let Some(machine) = Machine::new("echo started > /tmp/mark; sleep 100") else { return };
    create(&machine);
    assert_eq!(status(&machine), "created");
    assert!(!machine.rootfs().join("tmp/mark").exists());
    assert!(
        std::fs::read_to_string(machine.scratch.path().join("pid")).unwrap().parse::<i32>().is_ok()
    );
    assert!(machine.engine(&["create", "one"]).error.contains("already exists"));
    assert_eq!(machine.engine(&["start", "one"]).code, Some(0));
    assert_eq!(status(&machine), "running");
    assert!(machine.engine(&["start", "one"]).error.contains("is running, wanted created"));
    assert!(machine.engine(&["delete", "one"]).error.contains("is running, wanted stopped"));
    assert_eq!(machine.engine(&["kill", "one", "KILL"]).code, Some(0));
    stopped_soon(&machine);
    assert_eq!(machine.engine(&["delete", "one"]).code, Some(0));
    assert!(machine.engine(&["state", "one"]).error.contains("does not exist"));
}

#[test]
fn exec_joins_the_container_and_leaks_nothing() {
    let Some(machine) = Machine::new("sleep 100") else { return };
    create(&machine);
    machine.engine(&["start", "one"]);
    let answer = machine.exec(&[
        "sh",
        "-c",
        "hostname; ls /proc/self/fd | wc -w; cat /proc/1/cmdline; exit 7",
    ]);
    assert_eq!(answer.code, Some(7), "{}", answer.error);
    assert_eq!(answer.output, "box\n4\nsleep\x00100\x00");
    assert_eq!(machine.exec(&["nosuch"]).code, Some(127));
    assert_eq!(machine.engine(&["delete", "--force", "one"]).code, Some(0));
    assert!(!machine.has_state());
}

#[test]
fn a_container_made_in_a_changed_root_holds_nothing_of_the_machine() {
    let Some(machine) = Machine::new("sleep 100") else { return };
    let place = machine.scratch.path().join("machine");
    std::fs::create_dir(&place).unwrap();
    let script = "mount --rbind / \"$0\" && exec chroot \"$0\" \"$@\"";
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script];
    create_behind(&machine, &[&unshare[..], &[place.to_str().unwrap()]].concat());
    assert_eq!(machine.engine(&["start", "one"]).code, Some(0));
    let answer = machine.exec(&["sh", "-c", "ls /; cat /proc/1/comm /proc/self/mountinfo"]);
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    let own = answer.output.starts_with("bin\ndev\netc\nproc\nroot\nsys\ntmp\nsleep\n");
    let name = place.file_name().unwrap().to_str().unwrap();
    assert!(own && !answer.output.contains(&format!("/{name} ")), "{}", answer.output);
}

#[test]
fn a_root_that_shares_its_mounts_unmounts_none_of_the_machine() {
    let Some(mut machine) = Machine::new("true") else { return };
    machine.config["linux"]["rootfsPropagation"] = json!("rshared");
    // First cut off from the machine of the test, which is to survive a failure.
    let script = "mount --make-rshared / && mount --bind \"$0\" \"$0\" && cat /proc/self/mountinfo && echo -- \
        && \"$@\" && cat /proc/self/mountinfo";
    let place = machine.scratch.path().join("place");
    std::fs::create_dir(&place).unwrap();
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script];
    let before = [&unshare[..], &[place.to_str().unwrap()]].concat();
    let answer = machine.behind(&before, &["run", "one"]);
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    let (before, after) = answer.output.split_once("--\n").unwrap();
    let places = |table: &str| -> Vec<String> {
        let fields = table.lines().map(|line| line.split(' ').nth(4).unwrap().to_owned());
        fields.collect()
    };
    assert!(places(before).len() > 3, "{before}");
    assert_eq!(places(before), places(after));
}

#[test]
fn hooks_run_in_their_order_with_the_state_on_their_input() {
    let Some(mut machine) = Machine::new("echo program >> /tmp/log") else { return };
    let log = machine.rootfs().join("tmp/log");
    let outside = |name: &str| {
        let script =
            format!("(echo -n '{name} '; grep -o '\"status\":\"[a-z]*\"') >> {}", log.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 10, "env": ["PATH=/bin:/usr/bin"] }])
    };
    let inside =
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo startContainer >> /tmp/log"] }]);
    machine.config["hooks"] = json!({
        "prestart": outside("prestart"), "createRuntime": outside("createRuntime"),
        "createContainer": outside("createContainer"), "startContainer": inside,
        "poststop": outside("poststop")
    });
    let answer = machine.run();
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    let told = std::fs::read_to_string(&log).unwrap();
    let expected = "prestart \"status\":\"creating\"\ncreateRuntime \"status\":\"creating\"\n\
                    createContainer \"status\":\"creating\"\nstartContainer\nprogram\npoststop \"status\":\"stopped\"\n";
    assert_eq!(told, expected);
    machine.config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", "sleep 30"], "timeout": 1 }] });
    let answer = machine.run();
    assert_eq!(answer.code, Some(125));
    assert!(answer.error.contains("hook /bin/sh: did not end within 1 s"), "{}", answer.error);
    assert!(!machine.has_state());
}

#[test]
fn a_terminal_comes_out_through_the_console_socket() {
    let Some(mut machine) = Machine::new("tty; stat -c %t /dev/console; stty size") else { return };
    let script = "tty; test -c /dev/console && echo console; busybox stty size";
    machine.config["process"]["args"] = json!(["sh", "-c", script]);
    machine.config["process"]["terminal"] = json!(true);
    machine.config["process"]["consoleSize"] = json!({ "height": 33, "width": 44 });
    let path = machine.scratch.path().join("console");
    let listener = UnixListener::bind(&path).unwrap();
    let taker = std::thread::spawn(move || master(&listener));
    let answer = machine.engine(&["run", "one", "--console-socket", path.to_str().unwrap()]);
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    assert_eq!(taker.join().unwrap(), "/dev/pts/0\r\nconsole\r\n33 44\r\n");
}

#[test]
fn a_container_with_a_terminal_holds_nothing_of_its_creator_while_it_waits() {
    let Some(mut machine) = Machine::new("tty") else { return };
    machine.config["process"]["terminal"] = json!(true);
    let path = machine.scratch.path().join("console");
    let listener = UnixListener::bind(&path).unwrap();
    let taker = std::thread::spawn(move || master(&listener));
    let (tell, told) = std::sync::mpsc::channel();
    let words = ["create", "one", "--console-socket", path.to_str().unwrap()];
    let created = std::thread::scope(|scope| {
        // What the creation says is read to its end, which is when nobody has the pipe any more.
        scope.spawn(|| tell.send(machine.engine(&words)));
        let created = told.recv_timeout(std::time::Duration::from_secs(30));
        assert_eq!(machine.engine(&["start", "one"]).code, Some(0));
        created
    });
    assert_eq!(created.map(|answer| answer.code), Ok(Some(0)));
    assert_eq!(taker.join().unwrap(), "/dev/pts/0\r\n");
}

/// Takes the master from the socket and reads until the container is gone.
fn master(listener: &UnixListener) -> String {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    let (socket, _) = listener.accept().unwrap();
    let mut bytes = [0_u8; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
    rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::empty()).unwrap();
    let master: OwnedFd = control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        })
        .unwrap();
    let mut text = Vec::new();
    // The end of the last process is an error of the master's, after all it wrote.
    let _ = std::fs::File::from(master).read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    let Some(machine) = Machine::new("exit 9") else { return };
    let names: Vec<_> = (0..24).map(|number| format!("many{number}")).collect();
    std::thread::scope(|scope| {
        let all: Vec<_> =
            names.iter().map(|name| scope.spawn(|| machine.engine(&["run", name]))).collect();
        for one in all {
            let answer = one.join().unwrap();
            assert_eq!(answer.code, Some(9), "{}", answer.error);
        }
    });
    assert_eq!(std::fs::read_dir(machine.scratch.path().join("state")).unwrap().count(), 0);
}
