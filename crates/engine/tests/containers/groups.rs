//! Control groups: on this machine as it is, and as it would be with one version of them alone or with none.

use crate::machine::{Answer, Machine, engine_binary};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A view of control groups, made in a mount namespace of the engine's own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum View {
    AsItIs,
    One,
    Two,
    None,
}

impl View {
    fn words(self) -> Vec<&'static str> {
        let script = match self {
            View::AsItIs => return Vec::new(),
            View::One => "umount -a -t cgroup2; exec \"$@\"",
            View::Two => {
                "umount -a -t cgroup2,cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec \"$@\""
            }
            View::None => {
                "umount -a -t cgroup2,cgroup; mount -t tmpfs none /sys/fs/cgroup; exec \"$@\""
            }
        };
        vec!["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    }

    /// Whether this machine can show it.
    fn is_here(self) -> bool {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let has = |kind: &str| table.lines().any(|line| line.contains(&format!(" - {kind} ")));
        let here = match self {
            View::AsItIs | View::None => true,
            View::One => has("cgroup"),
            View::Two => has("cgroup2"),
        };
        if !here {
            eprintln!("skipped: this machine has no control groups for {self:?}");
        }
        here
    }

    fn engine(self, machine: &Machine, words: &[&str]) -> Answer {
        machine.behind(&self.words(), words)
    }

    /// Creates and starts the container in the background.
    fn start(self, machine: &Machine) {
        std::fs::write(machine.bundle().join("config.json"), machine.config.to_string()).unwrap();
        let output = std::fs::File::create(machine.scratch.path().join("output")).unwrap();
        let binary = engine_binary();
        let mut words = self.words();
        words.push(binary.to_str().unwrap());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("--root").arg(machine.scratch.path().join("state"));
        command.args(["create", "one", "--bundle"]).arg(machine.bundle());
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let status = command.status().unwrap();
        assert!(
            status.success(),
            "{}",
            std::fs::read_to_string(machine.scratch.path().join("output")).unwrap()
        );
        let started = self.engine(machine, &["start", "one"]);
        assert_eq!(started.code, Some(0), "{}", started.error);
    }
}

/// The directories of the container's groups, by controller.
fn groups(machine: &Machine) -> Vec<(String, PathBuf)> {
    let file = machine.scratch.path().join("state/one/groups.json");
    let kept: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    kept.iter()
        .flat_map(|kept| {
            let names = kept["controllers"].as_array().unwrap();
            let names = if names.is_empty() { vec![json!("unified")] } else { names.clone() };
            let path = PathBuf::from(kept["path"].as_str().unwrap());
            names.into_iter().map(move |name| (name.as_str().unwrap().to_owned(), path.clone()))
        })
        .collect()
}

fn group(machine: &Machine, controller: &str) -> PathBuf {
    let all = groups(machine);
    all.iter().find(|(name, _)| name == controller).unwrap_or_else(|| panic!("{all:?}")).1.clone()
}

fn has_controllers(names: &[&str]) -> bool {
    let table = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let missing = names.iter().find(|name| {
        !table
            .lines()
            .any(|line| line.split(':').nth(1).unwrap().split(',').any(|listed| listed == **name))
    });
    if let Some(name) = missing {
        eprintln!("skipped: {name} is in no hierarchy of version 1");
    }
    missing.is_none()
}

fn resources(machine: &mut Machine, value: Value) {
    machine.config["linux"]["resources"] = value;
}

#[test]
fn a_container_is_in_groups_of_its_own_which_go_with_it() {
    for view in [View::AsItIs, View::One, View::Two] {
        let Some(mut machine) = Machine::new("sleep 100").filter(|_| view.is_here()) else {
            return;
        };
        // A name that no other test has at the same time.
        let name = machine.scratch.path().file_name().unwrap().to_string_lossy().into_owned();
        machine.config["linux"]["cgroupsPath"] = json!(format!("corten{name}"));
        view.start(&machine);
        let groups = groups(&machine);
        assert!(!groups.is_empty());
        let told = machine.exec(&["cat", "/proc/self/cgroup", "/proc/1/cgroup"]);
        // The root of the namespace of control groups is the container's own group.
        if view == View::AsItIs {
            assert!(told.output.lines().all(|line| line.ends_with(":/")), "{}", told.output);
            for (_, path) in &groups {
                let inside = std::fs::read_to_string(path.join("cgroup.procs")).unwrap();
                assert_eq!(inside.lines().count(), 1, "{}", path.display());
            }
        }
        let all: Value =
            serde_json::from_str(&view.engine(&machine, &["ps", "one"]).output).unwrap();
        assert_eq!(all.as_array().unwrap().len(), 1);
        assert_ne!(left_over(&machine), Vec::<PathBuf>::new());
        if view == View::AsItIs {
            // Who cannot see the groups runs nothing more in the container, which would be outside of them.
            let mut words = View::None.words();
            let binary = engine_binary();
            words.push(binary.to_str().unwrap());
            let state = machine.scratch.path().join("state");
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).arg("--root").arg(state).args(["exec", "one", "ls"]);
            let answer = Answer::from(command.output().unwrap());
            assert!(answer.error.contains("join the container's groups"), "{}", answer.error);
        }
        let answer = view.engine(&machine, &["delete", "--force", "one"]);
        assert_eq!(answer.code, Some(0), "{}", answer.error);
        assert_eq!(left_over(&machine), Vec::<PathBuf>::new());
    }
}

#[test]
fn without_a_namespace_of_groups_a_container_sees_its_own_alone() {
    // Files that no group has at the root of its hierarchy.
    let script = "test -e /sys/fs/cgroup/pids/pids.max && echo pids; \
                  test -e /sys/fs/cgroup/cgroup.freeze && echo freeze; \
                  test -w /sys/fs/cgroup/pids/pids.max && echo writable; \
                  cat /proc/self/cgroup";
    for (view, seen) in [(View::AsItIs, "pids\n"), (View::Two, "freeze\n")] {
        let Some(mut machine) = Machine::new(script).filter(|_| view.is_here()) else { return };
        if view == View::AsItIs && !has_controllers(&["pids"]) {
            return;
        }
        let spaces = machine.config["linux"]["namespaces"].as_array_mut().unwrap();
        spaces.retain(|space| space["type"] != "cgroup");
        let answer = view.engine(&machine, &["run", "one"]);
        assert!(answer.output.starts_with(seen), "{view:?} {answer:?}");
        // There is no namespace that would hide where the group is.
        assert!(answer.output.contains("/corten-one"), "{view:?} {answer:?}");
    }
}

/// Groups that bear the name of this machine's container and its number.
fn left_over(machine: &Machine) -> Vec<PathBuf> {
    let name = machine.scratch.path().file_name().unwrap().to_string_lossy().into_owned();
    fn walk(directory: &Path, name: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().contains(name) {
                    found.push(entry.path());
                }
                walk(&entry.path(), name, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &name, &mut found);
    found
}

#[test]
fn a_limit_of_processes_refuses_one_more() {
    let script = "for i in 1 2 3 4 5 6; do sleep 1 & done; wait; echo never";
    let Some(mut machine) = Machine::new(script).filter(|_| has_controllers(&["pids"])) else {
        return;
    };
    resources(&mut machine, json!({ "pids": { "limit": 4 } }));
    let answer = machine.run();
    assert!(answer.error.contains("can't fork"), "{answer:?}");
    // The least that a program can run with: itself.
    machine.config["process"]["args"] = json!(["sh", "-c", "echo alone"]);
    resources(&mut machine, json!({ "pids": { "limit": 1 } }));
    let answer = machine.run();
    assert_eq!((answer.output.as_str(), answer.code), ("alone\n", Some(0)), "{}", answer.error);
}

#[test]
fn a_limit_of_memory_ends_who_takes_more() {
    let script = "busybox dd if=/dev/zero of=/dev/null bs=64M count=1";
    let Some(mut machine) = Machine::new(script).filter(|_| has_controllers(&["memory"])) else {
        return;
    };
    assert_eq!(machine.run().code, Some(0));
    resources(&mut machine, json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } }));
    let answer = machine.run();
    assert_eq!(answer.code, Some(137), "{}", answer.error);
}

#[test]
fn limits_of_version_one_stand_in_their_files_and_change_by_update() {
    let Some(mut machine) = Machine::new("sleep 100") else { return };
    if !has_controllers(&["memory", "cpu", "cpuset", "pids", "blkio"]) {
        return;
    }
    resources(
        &mut machine,
        json!({
            "memory": { "limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20, "swappiness": 7 },
            "cpu": { "shares": 512, "quota": 40_000, "period": 50_000, "burst": 10_000, "cpus": "0" },
            "pids": { "limit": 77 },
            "blockIO": { "weight": 123 }
        }),
    );
    View::AsItIs.start(&machine);
    let read = |controller: &str, file: &str| {
        let path = group(&machine, controller).join(file);
        std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .trim()
            .to_owned()
    };
    for (controller, file, value) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("memory", "memory.memsw.limit_in_bytes", "100663296"),
        ("memory", "memory.swappiness", "7"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "40000"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpu", "cpu.cfs_burst_us", "10000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "77"),
    ] {
        assert_eq!(read(controller, file), value, "{file}");
    }
    let weight =
        ["blkio.weight", "blkio.bfq.weight"].map(|file| group(&machine, "blkio").join(file));
    let weight = weight.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap();
    assert!(weight.contains("123"), "{weight}");
    // Greater and smaller, so that the order among limit and sum of memory turns.
    for (limit, swap) in [(128 << 20, 256 << 20), (32 << 20, 48 << 20)] {
        let file = machine.scratch.path().join("limits.json");
        let new = json!({ "memory": { "limit": limit, "swap": swap }, "pids": { "limit": -1 } });
        std::fs::write(&file, new.to_string()).unwrap();
        let answer = machine.engine(&["update", "one", "--resources", file.to_str().unwrap()]);
        assert_eq!(answer.code, Some(0), "{}", answer.error);
        assert_eq!(read("memory", "memory.limit_in_bytes"), limit.to_string());
        assert_eq!(read("memory", "memory.memsw.limit_in_bytes"), swap.to_string());
        assert_eq!(read("pids", "pids.max"), "max");
        assert_eq!(read("cpu", "cpu.shares"), "512");
    }
    let stats: Value = serde_json::from_str(&machine.engine(&["stats", "one"]).output).unwrap();
    assert_eq!(stats["memoryLimit"], json!(32 << 20));
    assert_eq!(stats["pidsCurrent"], json!(1));
    assert_eq!(stats["pidsLimit"], Value::Null);
    for field in
        ["memoryCurrent", "memoryPeak", "cpuUsage", "cpuUser", "cpuSystem", "cpuPeriods", "ioRead"]
    {
        assert!(stats[field].is_u64(), "{field} of {stats}");
    }
    assert!(stats["cpuUsage"].as_u64().unwrap() > 0);
}

#[test]
fn devices_are_denied_but_those_of_the_rules() {
    let script = "echo > /dev/null && busybox head -c 1 /dev/zero | wc -c; \
                  busybox mknod /tmp/loop b 7 0; busybox mknod /tmp/misc c 10 237; \
                  busybox head -c 0 /tmp/misc && echo misc; cat /tmp/loop > /dev/null || echo denied";
    for view in [View::AsItIs, View::One, View::Two] {
        let Some(mut machine) = Machine::new(script).filter(|_| view.is_here()) else { return };
        if view != View::Two && !has_controllers(&["devices"]) {
            return;
        }
        for set in ["bounding", "effective", "permitted"] {
            machine.config["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
        }
        resources(
            &mut machine,
            json!({ "devices": [
                { "allow": false, "access": "rwm" },
                { "allow": true, "type": "c", "major": 10, "minor": 237, "access": "r" }
            ] }),
        );
        let answer = view.engine(&machine, &["run", "one"]);
        assert_eq!(answer.output, "1\nmisc\ndenied\n", "{view:?} {}", answer.error);
        assert!(answer.error.contains("Operation not permitted"), "{view:?} {}", answer.error);
        // Without rules nothing keeps the same program from them.
        resources(&mut machine, json!({}));
        for name in ["loop", "misc"] {
            std::fs::remove_file(machine.rootfs().join("tmp").join(name)).unwrap();
        }
        let answer = view.engine(&machine, &["run", "one"]);
        assert!(!answer.error.contains("Operation not permitted"), "{view:?} {}", answer.error);
    }
}

#[test]
fn rules_are_replaced_by_an_update() {
    for view in [View::AsItIs, View::Two] {
        let Some(mut machine) = Machine::new("busybox mknod /tmp/k c 10 237; exec sleep 100")
            .filter(|_| view.is_here())
        else {
            return;
        };
        let rules = |access: &str| json!({ "devices": [{ "allow": false }, { "allow": true, "type": "c", "major": 10, "minor": 237, "access": access }] });
        for set in ["bounding", "effective", "permitted"] {
            machine.config["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
        }
        resources(&mut machine, rules("m"));
        view.start(&machine);
        let look = ["exec", "one", "busybox", "head", "-c", "0", "/tmp/k"];
        // The options of the bundle, which come last, would go to the command.
        let look = |machine: &Machine| {
            let mut words = view.words();
            let binary = engine_binary();
            words.push(binary.to_str().unwrap());
            let state = machine.scratch.path().join("state");
            let answer = Command::new(words[0])
                .args(&words[1..])
                .arg("--root")
                .arg(state)
                .args(look)
                .output();
            Answer::from(answer.unwrap())
        };
        assert!(look(&machine).error.contains("not permitted"), "{view:?}");
        let file = machine.scratch.path().join("rules.json");
        for (access, code) in [("rm", Some(0)), ("m", Some(1)), ("rm", Some(0))] {
            std::fs::write(&file, rules(access).to_string()).unwrap();
            let answer =
                view.engine(&machine, &["update", "one", "--resources", file.to_str().unwrap()]);
            assert_eq!(answer.code, Some(0), "{}", answer.error);
            let answer = look(&machine);
            assert_eq!(answer.code, code, "{view:?} {access} {}", answer.error);
        }
        view.engine(&machine, &["delete", "--force", "one"]);
    }
}

#[test]
fn a_paused_container_rests_until_it_is_resumed_or_ended() {
    for view in [View::AsItIs, View::One, View::Two] {
        let script = "while true; do echo x >> /tmp/beats; busybox usleep 2000; done";
        let Some(machine) = Machine::new(script).filter(|_| view.is_here()) else { return };
        view.start(&machine);
        let beats =
            || std::fs::metadata(machine.rootfs().join("tmp/beats")).map_or(0, |found| found.len());
        let status = || {
            let told = view.engine(&machine, &["state", "one"]);
            let state: Value = serde_json::from_str(&told.output).unwrap();
            state["status"].as_str().unwrap().to_owned()
        };
        let beats_on = || {
            let before = beats();
            (0..300).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                beats() > before
            })
        };
        assert!(beats_on());
        assert_eq!(status(), "running");
        for _ in 0..2 {
            assert_eq!(view.engine(&machine, &["pause", "one"]).code, Some(0), "{view:?}");
        }
        assert_eq!(status(), "paused");
        let before = beats();
        std::thread::sleep(std::time::Duration::from_millis(60));
        assert_eq!(beats(), before);
        let words: Vec<_> = view.words();
        if words.is_empty() {
            assert!(machine.exec(&["ls"]).error.contains("is paused, wanted running"));
        }
        for _ in 0..2 {
            assert_eq!(view.engine(&machine, &["resume", "one"]).code, Some(0), "{view:?}");
        }
        assert!(beats_on());
        assert_eq!(view.engine(&machine, &["pause", "one"]).code, Some(0));
        let answer = view.engine(&machine, &["delete", "--force", "one"]);
        assert_eq!(answer.code, Some(0), "{view:?} {}", answer.error);
        assert!(!machine.has_state());
    }
}

#[test]
fn what_shares_the_pid_namespace_of_the_machine_is_ended_with_its_groups() {
    for view in [View::AsItIs, View::One, View::Two] {
        let script = "(sleep 4321 & sleep 4321 & wait) & busybox usleep 100000; exec sleep 4321";
        let Some(mut machine) = Machine::new(script).filter(|_| view.is_here()) else { return };
        machine.config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "cgroup" }]);
        machine.config["linux"]["readonlyPaths"] = json!([]);
        machine.config["linux"]["maskedPaths"] = json!([]);
        machine.config.as_object_mut().unwrap().remove("hostname");
        view.start(&machine);
        let count = || {
            let told = view.engine(&machine, &["ps", "one"]);
            serde_json::from_str::<Vec<i32>>(&told.output).unwrap_or_default()
        };
        let all = (0..300).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Some(count()).filter(|all| all.len() == 4)
        });
        let all = all.unwrap_or_else(|| panic!("{view:?} {:?}", count()));
        assert!(all.iter().all(|pid| Path::new(&format!("/proc/{pid}")).exists()));
        let words: &[&str] = if view == View::One {
            &["kill", "--all", "one", "KILL"]
        } else {
            &["delete", "--force", "one"]
        };
        let answer = view.engine(&machine, words);
        assert_eq!(answer.code, Some(0), "{view:?} {}", answer.error);
        let alive = |pid: &&i32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            text.is_ok_and(|text| text.contains("4321"))
        };
        assert_eq!(all.iter().filter(alive).count(), 0, "{view:?}");
        assert_eq!(view.engine(&machine, &["delete", "--force", "one"]).code, Some(0));
        assert!(!machine.has_state());
    }
}

#[test]
fn without_groups_a_limit_is_an_error_and_the_rest_goes_on() {
    let Some(mut machine) = Machine::new("echo fine") else { return };
    let answer = View::None.engine(&machine, &["run", "one"]);
    assert_eq!((answer.output.as_str(), answer.code), ("fine\n", Some(0)), "{}", answer.error);
    for (name, value) in [
        ("memory", json!({ "limit": 1 << 26 })),
        ("pids", json!({ "limit": 10 })),
        ("devices", json!([{ "allow": false }])),
    ] {
        resources(&mut machine, json!({ name: value }));
        let answer = View::None.engine(&machine, &["run", "one"]);
        assert_eq!(answer.code, Some(125), "{}", answer.error);
        assert!(answer.error.contains(&format!("linux.resources.{name}")), "{}", answer.error);
        assert!(!machine.has_state());
        let answer = View::None.engine(&machine, &["--cgroup-manager", "lenient", "run", "one"]);
        assert_eq!(answer.code, Some(0), "{}", answer.error);
        let answer = machine.engine(&["--cgroup-manager", "disabled", "run", "one"]);
        assert_eq!(answer.code, Some(0), "{}", answer.error);
    }
    // A user namespace keeps the container from devices without rules.
    machine.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    for ids in ["uidMappings", "gidMappings"] {
        machine.config["linux"][ids] = json!([{ "containerID": 0, "hostID": 0, "size": 1000 }]);
    }
    let answer = View::None.engine(&machine, &["run", "one"]);
    assert_eq!((answer.output.as_str(), answer.code), ("fine\n", Some(0)), "{}", answer.error);
}

#[test]
fn without_groups_the_processes_are_those_of_the_pid_namespace() {
    let Some(mut machine) = Machine::new("sleep 100 & sleep 101; true") else { return };
    View::None.start(&machine);
    let told = || View::None.engine(&machine, &["ps", "one"]);
    let count = || serde_json::from_str::<Vec<u32>>(&told().output).map_or(0, |pids| pids.len());
    for _ in 0..200 {
        if count() == 3 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(count(), 3, "{}", told().error);
    assert_eq!(View::None.engine(&machine, &["delete", "--force", "one"]).code, Some(0));
    // One that shares the machine's processes has none that can be told apart.
    let namespaces = machine.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|one| one["type"] != "pid");
    View::None.start(&machine);
    let told = View::None.engine(&machine, &["ps", "one"]);
    assert!(told.error.contains("no control group"), "{}", told.error);
}

#[test]
fn a_limit_that_this_version_has_not_names_controller_and_path() {
    let Some(mut machine) = Machine::new("echo fine").filter(|_| View::Two.is_here()) else {
        return;
    };
    let has = std::fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers")
        .or_else(|_| std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers"))
        .unwrap_or_default();
    if !has.split_ascii_whitespace().any(|name| name == "memory") {
        resources(&mut machine, json!({ "memory": { "limit": 1 << 26 } }));
        let answer = View::Two.engine(&machine, &["run", "one"]);
        assert_eq!(answer.code, Some(125));
        assert!(answer.error.contains("controller memory"), "{}", answer.error);
        assert!(answer.error.contains("/memory.max: No such file"), "{}", answer.error);
        assert!(!machine.has_state());
    }
    if has.split_ascii_whitespace().any(|name| name == "hugetlb") {
        machine.config["process"]["args"] = json!(["sleep", "100"]);
        resources(
            &mut machine,
            json!({
                "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }],
                "unified": { "hugetlb.1GB.max": "0", "cgroup.max.depth": "3" }
            }),
        );
        View::AsItIs.start(&machine);
        let directory = group(&machine, "unified");
        for (file, value) in [
            ("hugetlb.2MB.max", "4194304"),
            ("hugetlb.2MB.rsvd.max", "4194304"),
            ("hugetlb.1GB.max", "0"),
            ("cgroup.max.depth", "3"),
        ] {
            let text = std::fs::read_to_string(directory.join(file)).unwrap();
            assert_eq!(text.trim(), value, "{file}");
        }
    } else {
        eprintln!("skipped: no hugetlb in version 2");
    }
}

#[test]
fn an_ordinary_user_runs_without_groups_and_is_told_of_limits() {
    let Some(mut machine) = Machine::new("echo fine") else { return };
    let root = machine.scratch.path().to_owned();
    machine.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    for ids in ["uidMappings", "gidMappings"] {
        machine.config["linux"][ids] = json!([{ "containerID": 0, "hostID": 4242, "size": 1 }]);
    }
    machine.config["process"]["capabilities"] = json!({});
    let script =
        "chown -R 4242:4242 $0; exec setpriv --reuid 4242 --regid 4242 --clear-groups \"$@\"";
    let user = ["sh", "-c", script, root.to_str().unwrap()];
    let answer = machine.behind(&user, &["run", "one"]);
    if answer.error.contains("engine: Permission denied") || answer.code == Some(127) {
        eprintln!("skipped: an ordinary user cannot reach the engine: {}", answer.error);
        return;
    }
    assert_eq!((answer.output.as_str(), answer.code), ("fine\n", Some(0)), "{}", answer.error);
    if has_controllers(&["memory"]) {
        resources(&mut machine, json!({ "memory": { "limit": 1 << 26 } }));
        let answer = machine.behind(&user, &["run", "one"]);
        assert_eq!(answer.code, Some(125), "{}", answer.error);
        assert!(answer.error.contains("controller memory at /"), "{}", answer.error);
        assert!(answer.error.contains("Permission denied"), "{}", answer.error);
    }
}

#[test]
fn the_path_of_the_configuration_is_used_and_kept_from_others() {
    let Some(mut machine) = Machine::new("sleep 100").filter(|_| has_controllers(&["pids"])) else {
        return;
    };
    let name = machine.scratch.path().file_name().unwrap().to_string_lossy().into_owned();
    let upper = format!("/corten{name}");
    machine.config["linux"]["cgroupsPath"] = json!(format!("{upper}/deep/er"));
    View::AsItIs.start(&machine);
    let directory = group(&machine, "pids");
    assert!(directory.ends_with(format!("corten{name}/deep/er")), "{}", directory.display());
    // Whoever names a group that is in use would share its end.
    let taken = machine.engine(&["run", "two"]);
    assert_eq!(taken.code, Some(125));
    assert!(taken.error.contains("deep/er: File exists"), "{}", taken.error);
    // Groups that the container made go with it.
    std::fs::create_dir_all(directory.join("a/b/c")).unwrap();
    assert_eq!(machine.engine(&["delete", "--force", "one"]).code, Some(0));
    assert_eq!(left_over(&machine), Vec::<PathBuf>::new());
    for (path, why) in [
        ("a.slice:corten:x", "the form of systemd"),
        ("../x", "a way upwards"),
        ("/", "no group of its own"),
    ] {
        machine.config["linux"]["cgroupsPath"] = json!(path);
        let answer = machine.run();
        assert!(answer.error.contains(why) && answer.code == Some(125), "{}", answer.error);
    }
    assert!(!machine.has_state());
}
