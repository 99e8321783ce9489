//! Which ids an ordinary user may use in a user namespace: one's own, and the ranges of `/etc/subuid` and
//! `/etc/subgid`.

use crate::error::{Doing, Result};
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The most bytes read of a table of ranges.
const TABLE_LIMIT: u64 = 4 << 20;
/// The most ranges of one user that are used.
const RANGES: usize = 64;
/// Where the programs are that may map ranges for an ordinary user.
const MAPPERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];

/// The ids of a user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Users.
    pub uids: Vec<LinuxIdMapping>,
    /// Groups.
    pub gids: Vec<LinuxIdMapping>,
    /// Whether there is more than the one id.
    pub subordinate: Subordinate,
}

/// Whether a user has ids beside the own one, or why not. For a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subordinate {
    /// Ranges are mapped.
    Ranges,
    /// `/etc/subuid` or `/etc/subgid` gives this user none.
    NoRanges,
    /// `newuidmap` or `newgidmap` is not installed.
    NoMapper,
}

impl Mapping {
    /// The own ids alone, as the root of the namespace.
    pub fn single(uid: u32, gid: u32, why: Subordinate) -> Mapping {
        Mapping { uids: vec![range(0, uid, 1)], gids: vec![range(0, gid, 1)], subordinate: why }
    }

    /// The own ids as root, and above them the ranges of the user `name` or `uid`.
    pub fn of_user(uid: u32, gid: u32, name: Option<&str>) -> Result<Mapping> {
        let has =
            |program: &str| MAPPERS.iter().any(|place| Path::new(place).join(program).exists());
        if !(has("newuidmap") && has("newgidmap")) {
            return Ok(Mapping::single(uid, gid, Subordinate::NoMapper));
        }
        let (uids, gids) = (read_table("/etc/subuid")?, read_table("/etc/subgid")?);
        Ok(Mapping::from_tables(uid, gid, name, (&uids, &gids)))
    }

    fn from_tables(uid: u32, gid: u32, name: Option<&str>, (uids, gids): (&str, &str)) -> Mapping {
        let (uids, gids) = (ranges(uids, uid, name), ranges(gids, uid, name));
        if uids.is_empty() || gids.is_empty() {
            return Mapping::single(uid, gid, Subordinate::NoRanges);
        }
        Mapping {
            uids: stacked(uid, &uids),
            gids: stacked(gid, &gids),
            subordinate: Subordinate::Ranges,
        }
    }
}

fn range(container: u32, host: u32, size: u32) -> LinuxIdMapping {
    let builder = LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size);
    // Every field is given, so it cannot be refused.
    builder.build().unwrap_or_default()
}

fn read_table(path: &str) -> Result<String> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        other => other
            .and_then(|file| file.take(TABLE_LIMIT).read_to_end(&mut bytes))
            .doing(|| format!("read {path}"))?,
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The ranges (first id, size) of one user; lines that are none are left out.
fn ranges(table: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    let mut found: Vec<(u32, u32)> = Vec::new();
    for line in table.lines() {
        let mut fields = line.trim().split(':');
        let (Some(owner), Some(first), Some(size)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Ok(first), Ok(size)) = (first.parse::<u32>(), size.parse::<u32>()) else { continue };
        let fits = size > 0 && first.checked_add(size).is_some();
        let again =
            found.iter().any(|(start, length)| first < start + length && *start < first + size);
        if (owner == number || Some(owner) == name) && fits && !again && found.len() < RANGES {
            found.push((first, size));
        }
    }
    found
}

/// The own id as 0, and the ranges one above the other from 1 on.
fn stacked(own: u32, ranges: &[(u32, u32)]) -> Vec<LinuxIdMapping> {
    let mut mappings = vec![range(0, own, 1)];
    let mut next = 1_u32;
    for (first, size) in ranges {
        let Some(after) = next.checked_add(*size) else { break };
        mappings.push(range(next, *first, *size));
        next = after;
    }
    mappings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_stacked_above_the_own_id() {
        let table = "# comment\nanna:100000:65536\n1000:300000:10\nbert:500000:1\nanna:x:1\nanna:4294967295:9\n";
        let mapping = Mapping::from_tables(1000, 1000, Some("anna"), (table, "anna:7:1\n"));
        assert_eq!(
            mapping.uids,
            [range(0, 1000, 1), range(1, 100_000, 65536), range(65537, 300_000, 10)]
        );
        assert_eq!(mapping.gids, [range(0, 1000, 1), range(1, 7, 1)]);
        assert_eq!(mapping.subordinate, Subordinate::Ranges);
    }

    #[test]
    fn a_user_without_ranges_has_one_id() {
        let mapping = Mapping::from_tables(1000, 100, None, ("anna:1:1", "anna:1:1"));
        assert_eq!(mapping, Mapping::single(1000, 100, Subordinate::NoRanges));
    }
}
