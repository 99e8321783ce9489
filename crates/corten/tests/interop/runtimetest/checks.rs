//! What a runtime config promises (runtime-spec `config.md`, `config-linux.md`), held against what a process
//! in the container finds. Nothing here is known of the config but what stands in it.

use serde_json::Value;

use super::facts::{Facts, KINDS, Outside, namespace, parameter};

/// The number of the error of a full device.
const NO_SPACE: &str = "28";
/// The devices of every container (`config-linux.md`, default devices).
const DEVICES: [(&str, &str); 6] = [
    ("null", "1:3"),
    ("zero", "1:5"),
    ("full", "1:7"),
    ("random", "1:8"),
    ("urandom", "1:9"),
    ("tty", "5:0"),
];
/// The links of every container (`runtime-linux.md`, dev symbolic links).
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// The capabilities by their numbers (linux/capability.h).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
/// Names of limits, and how the kernel's table calls them.
const LIMITS: [(&str, &str); 16] = [
    ("AS", "Max address space"),
    ("CORE", "Max core file size"),
    ("CPU", "Max cpu time"),
    ("DATA", "Max data size"),
    ("FSIZE", "Max file size"),
    ("LOCKS", "Max file locks"),
    ("MEMLOCK", "Max locked memory"),
    ("MSGQUEUE", "Max msgqueue size"),
    ("NICE", "Max nice priority"),
    ("NOFILE", "Max open files"),
    ("NPROC", "Max processes"),
    ("RSS", "Max resident set"),
    ("RTPRIO", "Max realtime priority"),
    ("RTTIME", "Max realtime timeout"),
    ("SIGPENDING", "Max pending signals"),
    ("STACK", "Max stack size"),
];

/// Everything in which the container is not as its config says, a line each.
pub(crate) fn broken(config: &Value, facts: &Facts, outside: &Outside) -> Vec<String> {
    let mut checks = Checks { config, facts, outside, broken: Vec::new() };
    checks.process();
    checks.user();
    checks.rights();
    checks.limits();
    checks.names();
    checks.namespaces();
    checks.devices();
    checks.mounts();
    checks.paths();
    checks.root();
    checks.groups();
    checks.broken
}

pub(super) struct Checks<'a> {
    pub(super) config: &'a Value,
    pub(super) facts: &'a Facts,
    outside: &'a Outside,
    broken: Vec<String>,
}

pub(super) fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|one| one.as_str().unwrap()).collect()
}

impl Checks<'_> {
    pub(super) fn same(&mut self, what: &str, expected: impl ToString, found: impl ToString) {
        let (expected, found) = (expected.to_string(), found.to_string());
        self.expect(what, expected == found, &format!("not {expected:?} but {found:?}"));
    }

    pub(super) fn expect(&mut self, what: &str, so: bool, found: &str) {
        if !so {
            self.broken.push(format!("{what}: {found}"));
        }
    }

    fn process(&mut self) {
        let process = &self.config["process"];
        let facts = self.facts;
        let split = |text: &str| -> Vec<String> {
            text.split_terminator('\0').map(str::to_owned).collect()
        };
        let args = format!("{:?}", texts(&process["args"]));
        self.same("args", args, format!("{:?}", split(facts.of("proc cmdline"))));
        let mut env: Vec<_> = split(facts.of("proc environ"));
        if !texts(&process["env"]).iter().any(|one| one.starts_with("HOME=")) {
            // A process without a home is given that of its user.
            env.retain(|one| !one.starts_with("HOME="));
        }
        self.same("env", format!("{:?}", texts(&process["env"])), format!("{env:?}"));
        self.same("cwd", process["cwd"].as_str().unwrap(), facts.of("cwd"));
        self.same("pid", 1, facts.of("pid"));
        self.same("descriptors", "0 1 2", facts.of("fds"));
        if let Some(score) = process["oomScoreAdj"].as_i64() {
            self.same("oom_score_adj", score, facts.of("proc oom_score_adj").trim());
        }
        let blocked = facts.status("SigBlk");
        self.same("blocked signals", "0000000000000000", blocked);
        // Perl itself ignores SIGFPE.
        self.same("ignored signals", "0000000000000080", facts.status("SigIgn"));
    }

    fn user(&mut self) {
        let user = &self.config["process"]["user"];
        let four = |id: &Value| vec![id.as_u64().unwrap().to_string(); 4].join("\t");
        self.same("uid", four(&user["uid"]), self.facts.status("Uid"));
        self.same("gid", four(&user["gid"]), self.facts.status("Gid"));
        let groups = user["additionalGids"].as_array().into_iter().flatten();
        let mut groups: Vec<_> = groups.map(|gid| gid.as_u64().unwrap()).collect();
        groups.sort_unstable();
        let found = self.facts.status("Groups");
        let mut found: Vec<u64> =
            found.split_whitespace().map(|gid| gid.parse().unwrap()).collect();
        found.sort_unstable();
        if !(self.outside.ordinary && groups.is_empty()) {
            self.same("groups", format!("{groups:?}"), format!("{found:?}"));
        }
        let umask = user["umask"].as_u64().unwrap_or(0o022);
        self.same("umask", format!("{umask:04o}"), self.facts.status("Umask"));
    }

    fn rights(&mut self) {
        let process = &self.config["process"];
        let sets = [
            ("bounding", "CapBnd"),
            ("effective", "CapEff"),
            ("permitted", "CapPrm"),
            ("inheritable", "CapInh"),
            ("ambient", "CapAmb"),
        ];
        for (set, field) in sets {
            let bits = texts(&process["capabilities"][set]).into_iter().map(|name| {
                let name = name.strip_prefix("CAP_").unwrap();
                1_u64 << CAPABILITIES.iter().position(|known| *known == name).unwrap()
            });
            // What another user than root keeps over the start of a program are the ambient ones.
            let kept = process["user"]["uid"] == 0 || !matches!(set, "effective" | "permitted");
            let bits = if kept { bits.fold(0, |all, one| all | one) } else { self.ambient() };
            self.same(set, format!("{bits:016x}"), self.facts.status(field));
        }
        let forbidden = u8::from(process["noNewPrivileges"] == true);
        self.same("no_new_privs", forbidden, self.facts.status("NoNewPrivs"));
        let filtered = !self.config["linux"]["seccomp"].is_null();
        self.same("seccomp", if filtered { 2 } else { 0 }, self.facts.status("Seccomp"));
        if filtered && cfg!(target_arch = "x86_64") {
            self.same("unshare", 1, self.facts.of("unshare"));
        }
    }

    fn ambient(&self) -> u64 {
        let names = texts(&self.config["process"]["capabilities"]["ambient"]);
        let number = |name: &str| CAPABILITIES.iter().position(|one| name[4..] == **one).unwrap();
        names.into_iter().fold(0, |all, name| all | 1 << number(name))
    }

    fn limits(&mut self) {
        for limit in self.config["process"]["rlimits"].as_array().into_iter().flatten() {
            let name = limit["type"].as_str().unwrap().strip_prefix("RLIMIT_").unwrap();
            let (_, title) = LIMITS.iter().find(|(known, _)| *known == name).unwrap();
            let lines = self.facts.of("proc limits").lines();
            let line = lines.clone().find_map(|line| line.strip_prefix(title)).unwrap_or("");
            let found: Vec<_> = line.split_whitespace().take(2).collect();
            let number = |value: &Value| match value.as_u64().unwrap() {
                u64::MAX => "unlimited".to_owned(),
                number => number.to_string(),
            };
            let expected = format!("{} {}", number(&limit["soft"]), number(&limit["hard"]));
            self.same(title, expected, found.join(" "));
        }
    }

    fn names(&mut self) {
        for name in ["hostname", "domainname"] {
            if let Some(expected) = self.config[name].as_str() {
                self.same(name, expected, self.facts.of(name).trim_end());
            }
        }
        for (name, value) in self.config["linux"]["sysctl"].as_object().into_iter().flatten() {
            let found = self.facts.of(&format!("slurp {}", parameter(name))).trim_end();
            self.same(name, value.as_str().unwrap(), found.replace('\t', " "));
        }
    }

    fn namespaces(&mut self) {
        let listed = self.config["linux"]["namespaces"].as_array().unwrap();
        for (word, kernel) in KINDS {
            let found = self.facts.of(&format!("ns {kernel}"));
            let around = &self.outside.around[kernel];
            match listed.iter().find(|one| one["type"] == word).map(|one| one["path"].as_str()) {
                None => self.same(&format!("{word} namespace, inherited"), around, found),
                Some(None) => {
                    let new = found != around && !found.is_empty();
                    self.expect(&format!("{word} namespace"), new, "not new");
                }
                Some(Some(path)) => {
                    let pid = path.split('/').nth(2).unwrap().parse().unwrap();
                    self.same(&format!("{word} namespace"), namespace(pid, kernel), found);
                }
            }
        }
        if let Some(offsets) = self.config["linux"]["timeOffsets"].as_object() {
            for (clock, offset) in offsets {
                let lines = self.facts.of("proc timens_offsets").lines();
                let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
                let found = words.clone().find(|words| words[0] == clock).unwrap_or_default();
                let expected = [&offset["secs"], &offset["nanosecs"]]
                    .map(|value| value.as_i64().unwrap_or(0).to_string());
                self.same(clock, expected.join(" "), found[1..].join(" "));
            }
        }
    }

    fn devices(&mut self) {
        for (name, number) in DEVICES {
            let found = self.facts.device(name);
            self.same(&format!("/dev/{name}"), format!("c {number}"), kind_and_number(&found));
            if name != "tty" {
                self.same(
                    &format!("use of /dev/{name}"),
                    "writable",
                    self.facts.of(&format!("use {name}")),
                );
            }
        }
        for (name, target) in LINKS {
            let found = self.facts.device(name);
            self.same(&format!("/dev/{name}"), target, found.last().unwrap());
        }
        let target = self.facts.device("ptmx").last().copied().unwrap_or("");
        let is_own = matches!(target, "pts/ptmx" | "/dev/pts/ptmx");
        self.expect("/dev/ptmx", is_own, &format!("{:?}", self.facts.device("ptmx")));
        self.same("use of /dev/ptmx", "writable", self.facts.of("use ptmx"));
        for (name, bytes) in [("null", 0), ("zero", 1), ("full", 1), ("urandom", 1)] {
            self.same(
                &format!("first byte of /dev/{name}"),
                bytes,
                self.facts.of(&format!("read {name}")),
            );
        }
        self.same("a byte for /dev/full", NO_SPACE, self.facts.of("full"));
        for device in self.config["linux"]["devices"].as_array().into_iter().flatten() {
            let path = device["path"].as_str().unwrap();
            let found = self.facts.device(path.strip_prefix("/dev/").unwrap()).join(" ");
            let mode = device["fileMode"].as_u64().unwrap_or(0o666) & 0o7777;
            let id = |name: &str| device[name].as_u64().unwrap_or(0);
            let expected = format!(
                "{} {mode:o} {} {} {}:{}",
                device["type"].as_str().unwrap(),
                id("uid"),
                id("gid"),
                id("major"),
                id("minor"),
            );
            self.same(path, expected, found);
        }
    }

    fn groups(&mut self) {
        let read = |pid| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        if let Some(path) =
            self.config["linux"]["cgroupsPath"].as_str().filter(|_| !self.outside.ordinary)
        {
            for line in read(self.outside.pid).lines().filter(|line| line.contains(path)) {
                let (_, found) = line.rsplit_once(':').unwrap();
                self.expect("group", found.ends_with(path), line);
            }
            let lines = read(self.outside.pid);
            self.expect("group", lines.lines().any(|line| line.ends_with(path)), &lines);
        }
        if !self.outside.ordinary {
            self.resources(&read(self.outside.pid));
        }
        let listed = self.config["linux"]["namespaces"].as_array().unwrap();
        if listed.iter().any(|one| one["type"] == "cgroup") {
            let lines = self.facts.of("proc cgroup");
            self.expect(
                "group as seen inside",
                lines.lines().all(|line| line.ends_with(":/")),
                lines,
            );
        }
    }
}

/// Limits: the controller of version 1, its file, and where the config has it.
const RESOURCES: [(&str, &str, &str); 4] = [
    ("memory", "memory.limit_in_bytes", "/memory/limit"),
    ("pids", "pids.max", "/pids/limit"),
    ("cpu", "cpu.cfs_quota_us", "/cpu/quota"),
    ("cpu", "cpu.shares", "/cpu/shares"),
];

impl Checks<'_> {
    fn resources(&mut self, groups: &str) {
        for (controller, file, pointer) in RESOURCES {
            let wanted = self.config["linux"]["resources"].pointer(pointer);
            let lines = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
            let line = lines.clone().find(|line| line[1].split(',').any(|one| one == controller));
            let (Some(wanted), Some(line)) = (wanted.and_then(Value::as_i64), line) else {
                continue;
            };
            let place = format!("/sys/fs/cgroup/{controller}{}/{file}", line[2]);
            let found = std::fs::read_to_string(&place).unwrap_or_default();
            self.same(&place, wanted, found.trim());
        }
    }
}

fn kind_and_number(found: &[&str]) -> String {
    format!("{} {}", found.first().unwrap_or(&""), found.get(4).unwrap_or(&""))
}
