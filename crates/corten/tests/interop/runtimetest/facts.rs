//! What the program in the container told, and what is seen of it from outside.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The kinds of namespaces, as the runtime config and as the kernel calls them.
pub(crate) const KINDS: [(&str, &str); 8] = [
    ("cgroup", "cgroup"),
    ("ipc", "ipc"),
    ("mount", "mnt"),
    ("network", "net"),
    ("pid", "pid"),
    ("time", "time"),
    ("user", "user"),
    ("uts", "uts"),
];

/// Facts by their names.
pub(crate) struct Facts(BTreeMap<String, String>);

impl Facts {
    /// Tells the program which paths to try, and waits for its answer.
    pub(crate) fn ask(check: &Path, config: &Value) -> Self {
        std::fs::write(check.join("paths.part"), paths(config)).unwrap();
        std::fs::rename(check.join("paths.part"), check.join("paths")).unwrap();
        let begun = Instant::now();
        while !check.join("answer").exists() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the container does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = std::fs::read_to_string(check.join("answer")).unwrap();
        Self(
            text.lines()
                .map(|line| {
                    let (name, value) = line.split_once('\t').unwrap();
                    (name.to_owned(), decoded(value))
                })
                .collect(),
        )
    }

    pub(crate) fn of(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field of the process's status.
    pub(crate) fn status(&self, field: &str) -> String {
        let lines = self.of("proc status").lines();
        let mut found = lines.filter_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
        found.next().unwrap_or("").trim_end().to_owned()
    }

    /// What is mounted at a path, the topmost.
    pub(crate) fn mounted(&self, path: &str) -> Option<Mounted<'_>> {
        let mut lines = self.of("proc mountinfo").lines().map(Mounted::parse);
        lines.rfind(|mounted| mounted.path == path)
    }

    /// Whether a device, or whatever it is, stands in `/dev`.
    pub(crate) fn device(&self, name: &str) -> Vec<&str> {
        self.of(&format!("dev {name}")).split(' ').collect()
    }
}

/// The paths that the config says something of, and what to do with each.
fn paths(config: &Value) -> String {
    let all = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.map(|path| path.as_str().unwrap().to_owned()).collect()
    };
    let masked = all(&config["linux"]["maskedPaths"]);
    let sealed = all(&config["linux"]["readonlyPaths"]);
    let mounts = config["mounts"].as_array().into_iter().flatten();
    let mounts = mounts.map(|mount| mount["destination"].as_str().unwrap().to_owned());
    let parameters = config["linux"]["sysctl"].as_object().into_iter().flatten();
    let parameters = parameters.map(|(name, _)| format!("slurp {}\n", parameter(name)));
    let mut lines: Vec<_> = masked.iter().map(|path| format!("reads {path}\n")).collect();
    lines.extend(sealed.iter().map(|path| format!("writes {path}\n")));
    lines.extend(mounts.map(|path| format!("writes {path}\n")));
    lines.extend(parameters);
    lines.push(
        "writes /\nwrites /usr\nslurp /order/below/note\nslurp /follows/later/note\n".to_owned(),
    );
    lines.concat()
}

/// The file of a kernel parameter.
pub(crate) fn parameter(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

fn decoded(hex: &str) -> String {
    let bytes = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}

/// A line of `mountinfo`.
#[derive(Debug)]
pub(crate) struct Mounted<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) propagation: Vec<&'a str>,
    own: Vec<&'a str>,
    shared: Vec<&'a str>,
}

impl<'a> Mounted<'a> {
    fn parse(line: &'a str) -> Self {
        let (first, last) = line.split_once(" - ").unwrap();
        let first: Vec<_> = first.split(' ').collect();
        let last: Vec<_> = last.split(' ').collect();
        Self {
            path: first[4],
            kind: last[0],
            propagation: first[6..].to_vec(),
            own: first[5].split(',').collect(),
            shared: last.last().unwrap().split(',').collect(),
        }
    }

    /// Whether the mount, or its whole filesystem, has an option.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.own.contains(&option) || self.shared.contains(&option)
    }

    /// The value of an option of the filesystem.
    pub(crate) fn value(&self, option: &str) -> Option<&'a str> {
        let mut all = self.shared.iter();
        all.find_map(|one| one.strip_prefix(option)?.strip_prefix('='))
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.has("ro")
    }
}

/// A container's first process, seen from this machine.
pub(crate) struct Outside {
    /// Its pid here.
    pub(crate) pid: u32,
    /// The namespaces it would have without any of its own.
    pub(crate) around: BTreeMap<&'static str, String>,
    /// Whether an ordinary user runs it.
    pub(crate) ordinary: bool,
}

impl Outside {
    /// The process that has this word on its command line, and is the first of its namespace.
    pub(crate) fn find(word: &str, ordinary: bool) -> Self {
        let begun = Instant::now();
        let pid = loop {
            let found = std::fs::read_dir("/proc").unwrap().flatten();
            let mut found = found.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            if let Some(pid) = found.find(|pid: &u32| is_first(*pid, word)) {
                break pid;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no process of the container");
            std::thread::sleep(Duration::from_millis(20));
        };
        // An ordinary user's command is in a user namespace of its own already.
        let around = if ordinary { parent(pid) } else { std::process::id() };
        let around = KINDS.map(|(_, kernel)| (kernel, namespace(around, kernel)));
        Self { pid, around: around.into(), ordinary }
    }
}

fn is_first(pid: u32, word: &str) -> bool {
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = String::from_utf8_lossy(&read("cmdline")).into_owned();
    let status = String::from_utf8_lossy(&read("status")).into_owned();
    let numbers = status.lines().find(|line| line.starts_with("NSpid:")).unwrap_or("");
    line.starts_with("perl\0") && line.contains(word) && numbers.ends_with("\t1")
}

fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    line.parse().unwrap()
}

pub(crate) fn namespace(pid: u32, kind: &str) -> String {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}"));
    link.map(|path| path.display().to_string()).unwrap_or_default()
}
