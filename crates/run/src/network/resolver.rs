//! Which resolvers a container can reach: a loopback address of the machine is its own loopback there.

use super::Way;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// The machine's resolvers, and where systemd-resolved keeps the true ones behind its own on loopback.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// The most that is read of such a file.
const MAX_FILE: u64 = 64 << 10;
/// Where pasta answers for a resolver on the machine's loopback; an address no network has.
pub(super) const FORWARDED: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The text of `/etc/resolv.conf` for a container: the machine's own, with the resolvers that it can
/// reach. [`Way::Auto`] is taken for a bridge. Without a line `nameserver` the machine has none to give.
pub fn resolv_conf(way: Way) -> String {
    let texts: Vec<String> = FILES.iter().map(|path| read(Path::new(path))).collect();
    choose(&texts, way)
}

/// The addresses that [`resolv_conf`] names.
pub(super) fn resolvers(way: Way) -> Vec<IpAddr> {
    resolv_conf(way).lines().filter_map(nameserver).collect()
}

fn choose(texts: &[String], way: Way) -> String {
    let usable = |text: &&String| text.lines().filter_map(nameserver).any(|at| reachable(at, way));
    let text = texts.iter().find(usable);
    let from = text.or(texts.first()).map_or("", String::as_str);
    let mut lines: Vec<&str> = from
        .lines()
        .filter(|line| match nameserver(line) {
            Some(address) => reachable(address, way),
            // A server that cannot be read, or is of a link of the machine, leads nowhere.
            None => ["search", "domain", "options"].iter().any(|word| line.starts_with(word)),
        })
        .collect();
    let forwarded = format!("nameserver {FORWARDED}");
    let some = texts.iter().any(|text| text.lines().any(|line| nameserver(line).is_some()));
    if text.is_none() && way == Way::Pasta && some {
        lines.insert(0, &forwarded);
    }
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn nameserver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    (words.next()? == "nameserver").then(|| words.next()?.parse().ok()).flatten()
}

fn reachable(address: IpAddr, way: Way) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_unspecified(),
        IpAddr::V6(address) => {
            way == Way::Pasta && !address.is_loopback() && !address.is_unspecified()
        }
    }
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What cannot be read names no resolver.
        let _ = file.take(MAX_FILE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(etc: &str, resolved: &str, way: Way) -> String {
        choose(&[etc.to_owned(), resolved.to_owned()], way)
    }

    #[test]
    fn resolvers_of_the_loopback_are_replaced_by_those_behind_them() {
        let stub = "# stub\nnameserver 127.0.0.53\noptions edns0\nsearch a.example\n";
        let behind = "nameserver 192.0.2.7\nnameserver 2001:db8::7\nsearch b.example\n";
        assert_eq!(chosen(stub, behind, Way::Bridge), "nameserver 192.0.2.7\nsearch b.example\n");
        assert_eq!(
            chosen(stub, behind, Way::Pasta),
            "nameserver 192.0.2.7\nnameserver 2001:db8::7\nsearch b.example\n"
        );
    }

    #[test]
    fn with_loopback_alone_pasta_forwards_and_the_bridge_has_none() {
        let stub = "nameserver ::1\nnameserver 127.0.0.1\noptions ndots:2\n";
        assert_eq!(chosen(stub, "", Way::Bridge), "options ndots:2\n");
        let forwarded = "nameserver 169.254.1.1\noptions ndots:2\n";
        assert_eq!(chosen(stub, "", Way::Pasta), forwarded);
        assert_eq!(chosen("", "", Way::Pasta), "");
    }

    #[test]
    fn what_is_reachable_stays_and_the_rest_goes() {
        let mixed = "nameserver 127.0.0.1\nnameserver 198.51.100.1\nnameserver fe80::1%eth0\nx y\n";
        assert_eq!(chosen(mixed, "", Way::Bridge), "nameserver 198.51.100.1\n");
    }
}
