//! What the engine hands to a container: of the machine's objects only those that the configuration names, and none
//! that the container could change.

use crate::machine::{Answer, Machine, engine_binary};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

/// Makes a `/dev` of its own before the engine runs, and tells afterwards what became of its null device.
const PRIVATE: [&str; 6] = ["unshare", "-m", "--propagation", "private", "sh", "-c"];
const SCRIPT: &str = "mount -t tmpfs -o mode=755 dev /dev && mkdir /dev/pts && mount -t devpts -o newinstance,ptmxmode=666 pts /dev/pts \
    && for d in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do mknod -m 666 /dev/${d%% *} c ${d#* }; done; \
    exec 3>&1; \"$@\" </dev/null >/dev/null 2>&3; stat -c '%a %u %g' /dev/* >&3";

/// Runs the engine with the machine's null device on all streams but the last; what its `/dev` is afterwards.
fn beside_own_dev(machine: &Machine, words: &[&str]) -> Answer {
    let mut before = PRIVATE.to_vec();
    before.extend([SCRIPT, "sh"]);
    machine.behind(&before, words)
}

fn untouched(answer: &Answer) {
    // A directory, a link and six devices in some order: none of them with another mode or owner.
    let told = |line: &&str| line.starts_with(|sign: char| sign.is_ascii_digit());
    let lines: Vec<_> = answer.output.lines().filter(told).collect();
    let devices = lines.iter().filter(|line| **line == "666 0 0").count();
    assert_eq!((lines.len(), devices), (7, 6), "{answer:?}");
}

const CHANGE: &str = "for f in /proc/keys /proc/timer_list /proc/self/fd/0 /proc/self/fd/1 /dev/null /dev/zero /dev/tty /dev/stdin; do \
    busybox chmod 600 $f; busybox chown 7:7 $f; done; exit 0";

fn with_rights(machine: &mut Machine, names: &[&str]) {
    let rights = &mut machine.config["process"]["capabilities"];
    for set in ["bounding", "effective", "permitted"] {
        rights[set].as_array_mut().unwrap().extend(names.iter().map(|name| json!(name)));
    }
}

#[test]
fn covers_devices_and_streams_are_no_inodes_of_the_machine() {
    let Some(mut machine) = Machine::new(CHANGE) else { return };
    machine.config["linux"]["maskedPaths"] = json!(["/proc/keys", "/proc/timer_list"]);
    with_rights(&mut machine, &["CAP_FOWNER"]);
    untouched(&beside_own_dev(&machine, &["run", "one"]));
}

#[test]
fn the_same_holds_for_a_process_that_comes_later() {
    let Some(mut machine) = Machine::new("sleep 100") else { return };
    with_rights(&mut machine, &["CAP_FOWNER"]);
    let binary = engine_binary();
    let shown = binary.display();
    let state = machine.scratch.path().join("state");
    let process = machine.scratch.path().join("process.json");
    let mut further = machine.config["process"].clone();
    further["args"] = json!(["sh", "-c", CHANGE]);
    std::fs::write(&process, further.to_string()).unwrap();
    let both = format!(
        "\"$@\" --detach && {shown} --root {0} exec --process {1} one; {shown} --root {0} delete --force one",
        state.display(),
        process.display(),
    );
    let mut before = PRIVATE.to_vec();
    before.extend([SCRIPT, "sh", "sh", "-c", &both, "sh"]);
    let answer = machine.behind(&before, &["run", "one"]);
    untouched(&answer);
}

#[test]
fn a_user_namespace_of_the_same_ids_gets_devices_whose_inodes_it_cannot_change() {
    let Some(mut machine) = Machine::new(CHANGE) else { return };
    let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    machine.config["linux"]["uidMappings"] = mapping.clone();
    machine.config["linux"]["gidMappings"] = mapping;
    machine.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    with_rights(&mut machine, &["CAP_FOWNER"]);
    untouched(&beside_own_dev(&machine, &["run", "one"]));
}

#[test]
fn a_named_pipe_on_a_stream_keeps_its_owner_and_a_pipe_without_a_name_gets_the_users() {
    let Some(mut machine) = Machine::new("echo said > /dev/stdout; echo more >&2") else { return };
    machine.config["process"]["user"] = json!({ "uid": 7, "gid": 7 });
    let pipe = machine.scratch.path().join("pipe");
    let shown = pipe.display();
    let script = format!(
        "busybox mkfifo {shown} 2>/dev/null || mkfifo {shown}; exec 3<>{shown}; \"$@\" 2>{shown}; stat -c %u {shown}"
    );
    let answer = machine.behind(&["sh", "-c", &script, "sh"], &["run", "one"]);
    assert_eq!(answer.output, "said\n0\n", "{}", answer.error);
}

fn bound(source: &Path, destination: &str) -> Value {
    json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind"] })
}

#[test]
fn a_mount_goes_to_no_directory_of_the_kernels_by_a_link() {
    for target in
        ["/dev", "dev/", "/proc", "/sys", "/", "/dev/pts", "/proc/sys", "/sys/fs", "/proc/version"]
    {
        for kind in ["bind", "tmpfs"] {
            let Some(mut machine) = Machine::new("exit 0") else { return };
            symlink(target, machine.rootfs().join("data")).unwrap();
            let own = machine.scratch.path().join("own");
            std::fs::create_dir(&own).unwrap();
            std::fs::write(own.join("null"), "mine").unwrap();
            let source = match target {
                "/proc/version" => own.join("null"),
                _ => own.clone(),
            };
            let mount = match kind {
                "bind" => bound(&source, "/data"),
                _ => json!({ "destination": "/data", "type": "tmpfs", "source": "tmpfs" }),
            };
            machine.config["mounts"].as_array_mut().unwrap().push(mount);
            let answer = machine.run();
            assert_eq!(answer.code, Some(125), "{target} {kind}: {answer:?}");
            let names: Vec<_> =
                std::fs::read_dir(&own).unwrap().map(|one| one.unwrap().file_name()).collect();
            assert_eq!(names, ["null"], "{target} {kind}");
            assert_eq!(std::fs::read(own.join("null")).unwrap(), b"mine");
        }
    }
}

#[test]
fn a_named_directory_of_the_kernel_can_be_mounted_upon() {
    let Some(mut machine) =
        Machine::new("cat /dev/mine/f /proc/version /sys/fs/f; echo x >/dev/null")
    else {
        return;
    };
    let own = machine.scratch.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("f"), "mine\n").unwrap();
    let mounts = machine.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    mounts.extend([
        bound(&own, "/dev/mine"),
        bound(&own.join("f"), "/proc/version"),
        bound(&own, "/sys/fs"),
    ]);
    let answer = machine.run();
    assert_eq!(answer.output, "mine\nmine\nmine\n", "{}", answer.error);
}

#[test]
fn nodes_are_made_in_the_engines_own_file_systems_alone() {
    // The image's /dev leads into a volume, and there is no file system for /dev.
    let Some(mut machine) = Machine::new("exit 0") else { return };
    let own = machine.scratch.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("null"), "mine").unwrap();
    std::fs::remove_dir(machine.rootfs().join("dev")).unwrap();
    symlink("/data", machine.rootfs().join("dev")).unwrap();
    let mounts = machine.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    mounts.push(bound(&own, "/data"));
    let answer = machine.run();
    assert_eq!(answer.code, Some(125), "{answer:?}");
    assert!(answer.error.contains("/dev"), "{}", answer.error);
    assert_eq!(std::fs::read(own.join("null")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(&own).unwrap().count(), 1);
    // Without either, the devices are mounts, and the image's own directory gets no node.
    std::fs::remove_file(machine.rootfs().join("dev")).unwrap();
    std::fs::create_dir(machine.rootfs().join("dev")).unwrap();
    machine.config["mounts"].as_array_mut().unwrap().pop();
    machine.config["process"]["args"] =
        json!(["sh", "-c", "echo x >/dev/null; stat -c %t,%T /dev/null"]);
    assert_eq!(machine.run().output, "1,3\n");
    let kind = std::fs::symlink_metadata(machine.rootfs().join("dev/null")).unwrap().file_type();
    assert!(kind.is_file(), "{kind:?}");
}

/// Looks, as fast as it can, for a process that stands in another root or has more rights than it should.
const WATCH: &str = "while :; do for p in /proc/[0-9]*; do \
    [ -e $p/root/CANARY ] && echo $p stands outside >> /found; \
    busybox grep -q 'CapEff:.*f$' $p/status && echo $p has all rights >> /found; done; done 2>/dev/null";

fn watched(machine: &mut Machine) {
    let canary = machine.scratch.path().join("canary");
    std::fs::write(&canary, "").unwrap();
    with_rights(machine, &["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]);
    let watch = WATCH.replace("CANARY", canary.strip_prefix("/").unwrap().to_str().unwrap());
    machine.config["process"]["args"] = json!(["sh", "-c", watch]);
    detach(machine);
}

/// Starts the container and leaves it running, with nothing of this process's.
fn detach(machine: &Machine) {
    let before = ["sh", "-c", "exec \"$@\" >/dev/null 2>&1", "sh"];
    assert_eq!(machine.behind(&before, &["run", "one", "--detach"]).code, Some(0));
}

fn found(machine: &Machine) -> String {
    std::fs::read_to_string(machine.rootfs().join("found")).unwrap_or_default()
}

#[test]
fn who_traces_in_a_container_finds_nothing_of_the_machine_in_a_process_that_enters() {
    let Some(mut machine) = Machine::new("") else { return };
    watched(&mut machine);
    let process = machine.scratch.path().join("process.json");
    let mut further = machine.config["process"].clone();
    further["args"] = json!(["sh", "-c", "echo entered; sleep 0.02"]);
    std::fs::write(&process, further.to_string()).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let mut command = std::process::Command::new(engine_binary());
        command.arg("--root").arg(machine.scratch.path().join("state"));
        command.args(["exec", "--process"]).arg(&process).arg("one");
        let answer = Answer::from(command.output().unwrap());
        assert_eq!(answer.output, "entered\n", "{answer:?}");
    }
    assert_eq!(found(&machine), "");
}

#[test]
fn nor_in_a_container_that_shares_its_processes() {
    let Some(mut machine) = Machine::new("") else { return };
    watched(&mut machine);
    let state = machine.engine(&["state", "one"]);
    let state: Value = serde_json::from_str(&state.output).unwrap();
    let (pid, before) = (state["pid"].clone(), machine.config.clone());
    let shared = json!({ "type": "pid", "path": format!("/proc/{pid}/ns/pid") });
    machine.config["linux"]["namespaces"][0] = shared;
    machine.config["process"]["args"] = json!(["sh", "-c", "echo shares; kill -0 1"]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let answer = machine.engine(&["run", "two"]);
        assert_eq!((answer.code, &*answer.output), (Some(0), "shares\n"), "{answer:?}");
    }
    machine.config = before;
    assert_eq!(found(&machine), "");
}

#[test]
fn a_process_that_enters_tells_why_it_could_not_run_and_leaves_nobody() {
    let Some(machine) = Machine::new("sleep 100") else { return };
    detach(&machine);
    let answer = machine.exec(&["nosuch"]);
    assert_eq!(answer.code, Some(127), "{answer:?}");
    let answer = machine.exec(&["sh", "-c", "exit 9"]);
    assert_eq!(answer.code, Some(9), "{answer:?}");
    let processes = machine.engine(&["ps", "one"]);
    let all: Vec<u32> = serde_json::from_str(&processes.output).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
}

#[test]
fn a_read_only_root_is_so_in_what_is_mounted_below_it_and_its_own_mounts_are_what_they_say() {
    let Some(mut machine) = Machine::new("touch /below/x; touch /x; touch /tmp/x && echo written")
    else {
        return;
    };
    let below = machine.rootfs().join("below");
    std::fs::create_dir(&below).unwrap();
    machine.config["root"]["readonly"] = json!(true);
    machine.config["mounts"].as_array_mut().unwrap().push(
        json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["rw"] }),
    );
    let mounted = format!("mount -t tmpfs below {} && \"$@\"", below.display());
    let before = ["unshare", "-m", "--propagation", "private", "sh", "-c", &mounted, "sh"];
    let answer = machine.behind(&before, &["run", "one"]);
    assert_eq!(answer.output, "written\n", "{}", answer.error);
    assert_eq!(answer.error.matches("Read-only file system").count(), 2, "{}", answer.error);
}

/// Takes its root away, goes to what is below it in its namespace, and looks what is there.
const LEAVE: &str = "open(F, '</proc/self/ns/mnt') or die; my $r = '/'; syscall(UMOUNT, $r, 2) == 0 or die; \
    syscall(SETNS, fileno(F), 0x20000) == 0 or die; \
    print((-e 'CANARY') ? 'outside' : 'inside', (-e '/proc/self') ? ' with proc' : '', (-e '/sys/kernel') ? ' with sys' : '', \"\\n\");";
/// The numbers of umount2 and setns.
const CALLS: [&str; 2] = if cfg!(target_arch = "x86_64") { ["166", "308"] } else { ["39", "268"] };

#[test]
fn without_pivoting_no_proc_without_masks_is_left_below() {
    let Some(mut machine) = Machine::new("") else { return };
    if !Path::new("/usr/bin/perl").exists() {
        eprintln!("skipped: it needs perl");
        return;
    }
    let canary = machine.scratch.path().join("canary");
    std::fs::write(&canary, "").unwrap();
    with_rights(&mut machine, &["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]);
    let mounts = machine.config["mounts"].as_array_mut().unwrap();
    for path in ["/usr", "/lib", "/lib64", "/etc"] {
        if let Ok(real) = std::fs::canonicalize(path) {
            mounts.push(json!({ "destination": path, "type": "bind", "source": real, "options": ["bind", "ro"] }));
        }
    }
    let leave = LEAVE.replace("CANARY", canary.to_str().unwrap());
    let leave = leave.replace("UMOUNT", CALLS[0]).replace("SETNS", CALLS[1]);
    machine.config["process"]["args"] = json!(["/usr/bin/perl", "-e", leave]);
    let answer = machine.engine(&["run", "one", "--no-pivot"]);
    // That the old root is there is what was asked for.
    assert_eq!(answer.output, "outside\n", "{answer:?}");
}

#[test]
fn hooks_in_the_container_are_confined_as_its_program_is() {
    for no_new_privileges in [true, false] {
        let Some(mut machine) = Machine::new("cat /told") else { return };
        machine.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        machine.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }]
        });
        let script =
            "busybox grep -E '^Seccomp:|CapEff' /proc/self/status > /told; busybox mkdir /made";
        machine.config["hooks"]["startContainer"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("{script}; exit 0")], "env": ["PATH=/bin"] }]);
        let answer = machine.run();
        assert_eq!(answer.output, "CapEff:\t00000000000000e1\nSeccomp:\t2\n", "{answer:?}");
        assert!(!machine.rootfs().join("made").exists());
    }
}

#[test]
fn a_pid_file_is_written_through_no_link_and_over_nothing_but_a_file() {
    let Some(machine) = Machine::new("exit 0") else { return };
    let place = machine.scratch.path().join("place");
    std::fs::create_dir(&place).unwrap();
    let (victim, file) = (place.join("victim"), place.join("pid"));
    std::fs::write(&victim, "precious").unwrap();
    // Where a fixed name for the new file could be guessed.
    symlink(&victim, place.join(".pid")).unwrap();
    let words = ["run", "one", "--pid-file", file.to_str().unwrap()];
    assert_eq!(machine.engine(&words).code, Some(0));
    assert!(std::fs::read_to_string(&file).unwrap().parse::<u32>().unwrap() > 0);
    std::fs::remove_file(&file).unwrap();
    symlink(&victim, &file).unwrap();
    let answer = machine.engine(&words);
    assert_eq!(answer.code, Some(125), "{answer:?}");
    assert!(answer.error.contains("no plain file"), "{}", answer.error);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert!(file.is_symlink());
}
