//! The mounts of a container, its root, and the paths that it may not read or write.

use super::checks::{Checks, texts};
use super::facts::Mounted;

/// Numbers of `errno`.
const ACCESS: &str = "13";
const READ_ONLY: &str = "30";
/// Files that tests put where only a mount that stands as it should shows them: the mount, the file, its text.
const NOTES: [(&str, &str, &str); 2] =
    [("/order/below", "/order/below/note", "above"), ("/follows", "/follows/later/note", "later")];

impl Checks<'_> {
    pub(super) fn mounts(&mut self) {
        for mount in self.config["mounts"].as_array().unwrap() {
            let path = mount["destination"].as_str().unwrap();
            let Some(found) = self.facts.mounted(path) else {
                self.expect(path, false, "not mounted");
                continue;
            };
            if let Some((_, note, text)) = NOTES.iter().find(|one| one.0 == path) {
                self.same(note, text, self.facts.of(&format!("slurp {note}")));
            }
            let options = texts(&mount["options"]);
            let kind = mount["type"].as_str().unwrap_or("bind");
            let binds = options.iter().any(|one| matches!(*one, "bind" | "rbind"));
            // Where there are several hierarchies, a small tmpfs holds their mounts.
            let groups = kind == "cgroup" && matches!(found.kind, "tmpfs" | "cgroup2");
            if !binds && kind != "bind" && !groups {
                self.same(path, kind, found.kind);
            }
            for option in &options {
                let (as_wished, shown) = (obeyed(option, &found), format!("{found:?}"));
                self.expect(&format!("{path}, {option}"), as_wished, &shown);
            }
            if options.contains(&"ro") {
                let written = self.facts.of(&format!("writes {path}"));
                let refused = matches!(written, READ_ONLY | ACCESS);
                self.expect(&format!("{path}, read-only"), refused, written);
            }
        }
    }

    pub(super) fn paths(&mut self) {
        for path in texts(&self.config["linux"]["maskedPaths"]) {
            let found = self.facts.of(&format!("reads {path}"));
            let hidden = matches!(found, "0" | "absent" | "error 13");
            self.expect(&format!("{path}, masked"), hidden, found);
            let covered = found == "absent" || self.facts.mounted(path).is_some();
            self.expect(&format!("{path}, masked"), covered, "nothing is mounted over it");
        }
        for path in texts(&self.config["linux"]["readonlyPaths"]) {
            let found = self.facts.of(&format!("writes {path}"));
            // proc says in its own ways that nothing can be made there.
            self.expect(&format!("{path}, read-only"), found != "writable", found);
            let sealed = self.facts.mounted(path).is_some_and(|mounted| mounted.is_read_only());
            self.expect(&format!("{path}, read-only"), found == "absent" || sealed, "not sealed");
        }
    }

    pub(super) fn root(&mut self) {
        let (sealed, root) =
            (self.config["root"]["readonly"] == true, self.config["process"]["user"]["uid"] == 0);
        let mounted = self.facts.mounted("/").unwrap();
        for path in ["/", "/usr"] {
            let found = self.facts.of(&format!("writes {path}"));
            match (sealed, root) {
                (true, _) => self.same(&format!("{path}, read-only"), READ_ONLY, found),
                (false, true) => self.same(path, "writable", found),
                (false, false) => self.same(path, ACCESS, found),
            }
        }
        self.same("root, read-only", sealed, mounted.has("ro"));
        let word = self.config["linux"]["rootfsPropagation"].as_str().unwrap_or("private");
        let expected = if word.ends_with("unbindable") { vec!["unbindable"] } else { Vec::new() };
        if !word.ends_with("shared") {
            self.same("propagation of the root", expected.join(" "), mounted.propagation.join(" "));
        } else {
            let shared = mounted.propagation.iter().any(|one| one.starts_with("shared:"));
            self.expect("propagation of the root", shared, &mounted.propagation.join(" "));
        }
    }
}

/// Whether a mount obeys an option; of those that leave no trace in the kernel's table nothing is said.
fn obeyed(option: &str, found: &Mounted<'_>) -> bool {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let propagates = |start: &str| found.propagation.iter().any(|one| one.starts_with(start));
    match name {
        "ro" | "nosuid" | "nodev" | "noexec" | "noatime" | "nodiratime" | "relatime" => {
            found.has(name)
        }
        "rw" => !found.has("ro"),
        "suid" | "dev" | "exec" => !found.has(&format!("no{name}")),
        "strictatime" => !found.has("relatime") && !found.has("noatime"),
        "private" | "rprivate" => found.propagation.is_empty(),
        "slave" | "rslave" => propagates("master:") && !propagates("shared:"),
        "shared" | "rshared" => propagates("shared:"),
        "size" => found.value("size").map(bytes) == Some(bytes(value)),
        // The kernel does not tell the mode that is usual.
        "mode" | "ptmxmode" => {
            let number = |text: &str| u32::from_str_radix(text, 8).unwrap();
            found.value(name).map_or(0o1777, number) == number(value)
        }
        "gid" | "uid" => found.value(name) == Some(value),
        _ => true,
    }
}

fn bytes(text: &str) -> u64 {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match text[digits.len()..].to_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        other => panic!("{text}: unknown unit {other}"),
    };
    digits.parse::<u64>().unwrap() * unit
}
