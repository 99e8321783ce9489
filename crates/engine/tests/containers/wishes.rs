//! What a configuration may ask of the process and its life beside namespaces and mounts.

use crate::machine::Machine;
use serde_json::json;

#[test]
fn a_process_is_scheduled_as_it_is_written() {
    let Some(mut machine) = Machine::new("cat /proc/self/stat") else { return };
    machine.config["process"]["scheduler"] = json!({
        "policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"],
    });
    machine.config["process"]["ioPriority"] =
        json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 0 });
    // Without a shell between: the flag makes of its children ordinary processes again.
    machine.config["process"]["args"] = json!(["cat", "/proc/self/stat"]);
    let answer = machine.run();
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    let rest: Vec<&str> = answer.output.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 19 and 41 of the line (proc_pid_stat(5)), counted from the state, the third.
    assert_eq!((rest[16], rest[38]), ("5", "3"), "{}", answer.output);
}

#[test]
fn memory_comes_from_the_nodes_that_are_written() {
    let Some(mut machine) = Machine::new("") else { return };
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        eprintln!("skipped: this kernel knows no memory nodes");
        return;
    }
    machine.config["process"]["args"] = json!(["cat", "/proc/self/numa_maps"]);
    machine.config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "0" });
    let answer = machine.run();
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    assert!(answer.output.contains(" bind:0 "), "{}", answer.output);
    machine.config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "3-1" });
    assert_eq!(machine.run().code, Some(125));
}

#[test]
fn a_capability_that_nobody_knows_is_left_out() {
    let Some(mut machine) = Machine::new("cat /proc/self/status") else { return };
    for set in ["bounding", "effective", "permitted"] {
        machine.config["process"]["capabilities"][set] = json!(["CAP_KILL", "CAP_OF_TOMORROW"]);
    }
    let answer = machine.run();
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    assert!(answer.output.contains("CapBnd:\t0000000000000020"), "{}", answer.output);
}

#[test]
fn a_poststart_hook_that_fails_ends_the_container() {
    let Some(mut machine) = Machine::new("sleep 100") else { return };
    let mark = machine.scratch.path().join("mark");
    let script = format!("echo ended >> {}", mark.display());
    machine.config["hooks"] = json!({
        "poststart": [{ "path": "/bin/false" }],
        "poststop": [
            { "path": "/bin/false" },
            { "path": "/bin/sh", "args": ["sh", "-c", script] },
        ],
    });
    let answer = machine.run();
    assert_ne!(answer.code, Some(0));
    assert!(answer.error.contains("/bin/false"), "{}", answer.error);
    assert!(!machine.has_state());
    // One that fails does not keep the next from running.
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "ended\n");
}

#[test]
fn a_hook_has_the_environment_that_it_names_or_that_of_the_runtime() {
    let Some(mut machine) = Machine::new("exit 0") else { return };
    for (env, wanted) in [(json!(null), "PATH"), (json!([]), "PWD"), (json!(["A=1"]), "A")] {
        let seen = machine.scratch.path().join("seen");
        let script = format!("env > {}", seen.display());
        let mut hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
        if !env.is_null() {
            hook["env"] = env.clone();
        }
        machine.config["hooks"] = json!({ "createRuntime": [hook] });
        let answer = machine.run();
        assert_eq!(answer.code, Some(0), "{}", answer.error);
        let seen = std::fs::read_to_string(&seen).unwrap();
        let names: Vec<&str> =
            seen.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(names.contains(&wanted), "{env}: {seen}");
        // A shell adds some by itself.
        let has_callers = names.contains(&"CARGO_MANIFEST_DIR") || names.contains(&"HOME");
        assert_eq!(has_callers, env.is_null(), "{env}: {seen}");
    }
}

#[test]
fn who_takes_over_sockets_learns_that_they_are_its_own() {
    let Some(mut machine) = Machine::new("echo $$ $LISTEN_PID $LISTEN_FDS") else { return };
    machine.config["process"]["env"] = json!(["PATH=/bin", "LISTEN_FDS=2", "LISTEN_PID=77"]);
    let answer = machine.run();
    let words: Vec<&str> = answer.output.split_whitespace().collect();
    assert_eq!(words, ["1", "1", "2"], "{} {}", answer.output, answer.error);
}

#[test]
fn names_of_the_machine_are_set_by_one_word_alone() {
    let Some(mut machine) = Machine::new("exit 0") else { return };
    machine.config["linux"]["sysctl"] = json!({ "kernel.hostname": "other" });
    let answer = machine.run();
    assert_eq!(answer.code, Some(125));
    assert!(answer.error.contains("kernel.hostname"), "{}", answer.error);
    machine.config["linux"]["sysctl"] = json!({ "kernel.domainname": "other" });
    assert_eq!(machine.run().code, Some(0));
    machine.config["domainname"] = json!("one");
    assert_eq!(machine.run().code, Some(125));
}

#[test]
fn a_bind_has_the_ids_that_are_written() {
    let Some(mut machine) = Machine::new("stat -c '%u:%g' /data/file") else { return };
    let data = machine.scratch.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("file"), "").unwrap();
    std::os::unix::fs::lchown(data.join("file"), Some(7), Some(8)).unwrap();
    let mapping = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1000 }]);
    let mount = json!({
        "destination": "/data", "type": "bind", "source": data, "options": ["bind"],
        "uidMappings": mapping(5000), "gidMappings": mapping(6000),
    });
    let plain = machine.config["mounts"].clone();
    machine.config["mounts"].as_array_mut().unwrap().push(mount);
    let answer = machine.run();
    if answer.error.contains("ids are to be mapped") {
        eprintln!("skipped: the file system of {} takes no other ids", data.display());
    } else {
        assert_eq!(answer.output, "5007:6008\n", "{}", answer.error);
    }
    // Without a mapping there is nothing to map with; and what is no bind has none.
    for mount in [
        json!({ "destination": "/data", "type": "bind", "source": data, "options": ["bind", "idmap"] }),
        json!({ "destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["idmap"] }),
    ] {
        machine.config["mounts"] = plain.clone();
        machine.config["mounts"].as_array_mut().unwrap().push(mount);
        let answer = machine.run();
        assert_eq!(answer.code, Some(125), "{}", answer.output);
        assert!(answer.error.contains("id-mapped"), "{}", answer.error);
    }
}
