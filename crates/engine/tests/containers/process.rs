//! What a container's process sees and is.

use crate::machine::Machine;
use serde_json::json;

#[test]
fn a_bundle_runs_in_namespaces_of_its_own() {
    let script = "hostname; echo pid $$; ls /proc/self/fd | wc -w; ls /sys/class/net; for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done";
    let Some(machine) = Machine::new(&script.replace("readlink", "busybox readlink")) else {
        return;
    };
    let answer = machine.run();
    assert_eq!((answer.code, answer.error.as_str()), (Some(0), ""));
    let lines: Vec<_> = answer.output.lines().collect();
    // ls has its own directory open, beside the three streams: nothing leaked.
    assert_eq!(&lines[..4], ["box", "pid 1", "4", "lo"]);
    assert_eq!(lines.len(), 10);
    for (line, kind) in lines[4..].iter().zip(["pid", "net", "ipc", "uts", "mnt", "cgroup"]) {
        let ours = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(*line, ours.to_str().unwrap());
        assert!(line.starts_with(kind), "{line}");
    }
    assert!(!machine.has_state());
}

#[test]
fn masked_paths_are_empty_and_read_only_ones_refuse() {
    let script = "wc -c < /proc/keys; ls /sys/firmware | wc -l; echo x > /proc/sys/kernel/hostname; hostname; \
                  touch /sys/fs/cgroup/x /sys/fs/cgroup/*/x; stat -c %t,%T /dev/null /dev/full; touch /written";
    let Some(mut machine) = Machine::new(script) else { return };
    machine.config["root"]["readonly"] = json!(true);
    let answer = machine.run();
    assert_eq!(answer.output, "0\n0\nbox\n1,3\n1,7\n");
    assert!(
        answer.error.contains("/proc/sys/kernel/hostname: Read-only file system"),
        "{}",
        answer.error
    );
    assert!(answer.error.contains("/written: Read-only file system"), "{}", answer.error);
    assert!(!machine.rootfs().join("written").exists());
}

#[test]
fn user_groups_limits_umask_and_rights_are_those_of_the_configuration() {
    let script = "id; ulimit -n; ulimit -Hn; umask; echo $HOME; grep -E 'Cap(Prm|Eff|Bnd|Inh)|NoNew|SigIgn' /proc/self/status";
    let Some(mut machine) = Machine::new(&script.replace("grep", "busybox grep")) else { return };
    std::fs::write(machine.rootfs().join("etc/passwd"), "anna:x:7:8::/home/anna:/bin/sh\n")
        .unwrap();
    machine.config["process"]["user"] =
        json!({ "uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 63 });
    machine.config["process"]["rlimits"] =
        json!([{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 128 }]);
    machine.config["process"]["capabilities"]["effective"] = json!([]);
    machine.config["process"]["capabilities"]["permitted"] = json!([]);
    let answer = machine.run();
    let expected = "uid=7(anna) gid=8 groups=9,10\n64\n128\n0077\n/home/anna\nSigIgn:\t0000000000000000\n\
                    CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                    CapBnd:\t00000000000000e1\nNoNewPrivs:\t1\n";
    assert_eq!(answer.output, expected, "{}", answer.error);
}

#[test]
fn exit_codes_pass_and_missing_programs_have_theirs() {
    let Some(mut machine) = Machine::new("exit 42") else { return };
    assert_eq!(machine.run().code, Some(42));
    machine.config["process"]["args"] = json!(["nosuch"]);
    let answer = machine.run();
    assert_eq!(answer.code, Some(127));
    assert!(answer.error.contains("executable file not found"), "{}", answer.error);
    machine.config["process"]["args"] = json!(["/etc"]);
    assert_eq!(machine.run().code, Some(126));
    std::fs::write(machine.rootfs().join("bin/plain"), "text").unwrap();
    machine.config["process"]["args"] = json!(["plain"]);
    let answer = machine.run();
    assert_eq!(answer.code, Some(126));
    assert!(answer.error.contains("permission denied"), "{}", answer.error);
    machine.config["process"]["args"] = json!(["sh", "-c", "kill -9 $$; sleep 1"]);
    machine.config["process"]["cwd"] = json!("/made/for/it");
    machine.run();
    assert!(machine.rootfs().join("made/for/it").is_dir());
    assert!(!machine.has_state());
}

#[test]
fn a_user_namespace_maps_the_ids() {
    let Some(mut machine) =
        Machine::new("cat /proc/self/uid_map; id; echo x > /dev/null; stat -c %t,%T /dev/null")
    else {
        return;
    };
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    machine.config["linux"]["uidMappings"] = mapping.clone();
    machine.config["linux"]["gidMappings"] = mapping;
    machine.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let answer = machine.run();
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    let words: Vec<_> = answer.output.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "1000", "uid=0", "gid=0", "1,3"]);
}

#[test]
fn sysctls_reach_only_what_the_container_owns() {
    let Some(mut machine) = Machine::new("cat /proc/sys/net/ipv4/ip_forward") else { return };
    machine.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    assert_eq!(machine.run().output, "1\n");
    machine.config["linux"]["sysctl"] = json!({ "kernel.core_pattern": "x" });
    let answer = machine.run();
    assert_eq!(answer.code, Some(125));
    assert!(answer.error.contains("kernel.core_pattern"), "{}", answer.error);
}

#[test]
fn only_the_promised_descriptors_pass() {
    let Some(mut machine) = Machine::new("cat <&3; cat <&4") else { return };
    let file = machine.scratch.path().join("kept");
    std::fs::write(&file, "kept\n").unwrap();
    let open = format!("exec 3<{0} 4<{0} 9<{0}; exec \"$@\"", file.display());
    let answer = machine.behind(&["sh", "-c", &open, "sh"], &["run", "one", "--preserve-fds", "1"]);
    assert_eq!(answer.output, "kept\n", "{}", answer.error);
    machine.config["process"]["args"] = json!(["sh", "-c", "ls /proc/self/fd"]);
    let answer = machine.behind(&["sh", "-c", &open, "sh"], &["run", "one"]);
    // The last one is the directory that ls reads.
    assert_eq!(answer.output, "0\n1\n2\n3\n", "{}", answer.error);
}

#[test]
fn a_time_namespace_has_its_own_boot() {
    let Some(mut machine) = Machine::new("cat /proc/uptime") else { return };
    machine.config["linux"]["timeOffsets"] =
        json!({ "boottime": { "secs": 100_000_000, "nanosecs": 0 } });
    machine.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    let answer = machine.run();
    let seconds: f64 = answer.output.split(' ').next().unwrap().parse().unwrap();
    assert!(seconds >= 100_000_000.0, "{}", answer.error);
}

#[test]
fn a_namespace_is_joined_by_its_path() {
    let Some(mut machine) = Machine::new("busybox readlink /proc/self/ns/net") else { return };
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    machine.config["linux"]["namespaces"][1]["path"] = json!("/proc/self/ns/net");
    let answer = machine.run();
    assert_eq!(answer.output.trim_end(), ours.to_str().unwrap(), "{}", answer.error);
    machine.config["linux"]["namespaces"][1]["path"] = json!("/proc/self/ns/uts");
    assert_eq!(machine.run().code, Some(125));
}
