//! Rule: libraries do not print, read the environment or ask the time of day, and reach sockets,
//! files and processes only on the level that has them.

use super::paths::mentions;
use super::{Offence, Rule, Workspace};

/// Something a library may touch only where it is named.
struct Effect {
    /// Paths, written out; one ending in `::` stands for everything below it.
    paths: &'static [&'static str],
    /// Library crates that may.
    allowed: &'static [&'static str],
    /// What to do instead.
    advice: &'static str,
}

/// Packages that may touch anything: the binary, what tests share, the chores.
const FREE: [&str; 4] = ["corten", "corten-testkit", "xtask", ""];

const EFFECTS: [Effect; 9] = [
    Effect {
        paths: &[
            "println!",
            "eprintln!",
            "print!",
            "eprint!",
            "dbg!",
            "std::io::stdout",
            "std::io::stderr",
            "std::io::stdin",
        ],
        allowed: &[],
        advice: "a library never prints; return it, or tell it through Progress",
    },
    Effect {
        paths: &["std::env", "std::env::"],
        allowed: &[],
        advice: "a library never reads the environment; take it as an argument",
    },
    Effect {
        paths: &[
            "std::time::SystemTime::now",
            "jiff::Timestamp::now",
            "jiff::Zoned::now",
            "jiff::tz::TimeZone::system",
        ],
        allowed: &[],
        advice: "a library never asks the time of day; take it as an argument",
    },
    Effect {
        paths: &["std::time::Instant::now", "tokio::time::Instant::now"],
        allowed: &["corten-registry", "corten-serve", "corten-run", "corten-engine"],
        advice: "only crates with sockets or processes measure time; take it as an argument",
    },
    Effect {
        paths: &[
            "reqwest",
            "reqwest::",
            "hyper",
            "hyper::",
            "hyper_util",
            "hyper_util::",
            "tokio::net",
            "tokio::net::",
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
            "std::net::ToSocketAddrs",
        ],
        allowed: &["corten-registry", "corten-serve"],
        advice: "sockets live in corten-registry and corten-serve; take a port",
    },
    Effect {
        paths: &["std::os::unix::net", "std::os::unix::net::"],
        allowed: &["corten-registry", "corten-serve", "corten-engine", "corten-run"],
        advice: "sockets of this machine live where processes do; take a port",
    },
    Effect {
        paths: &["libc", "libc::"],
        allowed: &["corten-engine", "corten-run"],
        advice: "bare system calls live in corten-engine and corten-run; rustix has the rest",
    },
    Effect {
        paths: &[
            "std::process::Command",
            "std::process::Command::",
            "tokio::process",
            "tokio::process::",
        ],
        allowed: &["corten-run", "corten-engine", "corten-registry"],
        advice: "processes live in corten-run, credential helpers in corten-registry; take a port",
    },
    Effect {
        paths: &[
            "std::fs",
            "std::fs::",
            "tokio",
            "tokio::",
            "http",
            "http::",
            "rustix",
            "rustix::",
            "tempfile",
            "tempfile::",
        ],
        allowed: &[
            "corten-store",
            "corten-layer",
            "corten-engine",
            "corten-bundle",
            "corten-run",
            "corten-registry",
            "corten-trust",
            "corten-build",
            "corten-scan",
            "corten-serve",
        ],
        advice: "this crate is pure: bytes and ports in, values out",
    },
];

pub(super) fn check(workspace: &Workspace) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in workspace.product(|owner| !FREE.contains(&owner)) {
        for mention in mentions(&source.syntax) {
            let broken = EFFECTS.iter().find(|effect| {
                !effect.allowed.contains(&source.owner.as_str()) && effect.covers(&mention.path)
            });
            if let Some(effect) = broken {
                offences.push(Offence {
                    path: source.path.clone(),
                    line: mention.line,
                    rule: Rule::Effect,
                    advice: format!("`{}`: {}", mention.path, effect.advice),
                });
            }
        }
    }
    offences
}

impl Effect {
    fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|known| match known.strip_suffix("::") {
            Some(_) => path.starts_with(known),
            None => path == *known || path.strip_prefix("std::") == Some(known),
        })
    }
}
