//! What a container sees of the control groups: version 2, or a directory of the hierarchies of version 1.

use crate::error::{Doing, Result};
use crate::groups;
use crate::options::Options;
use crate::sys::Reach;
use crate::tree;
use rustix::fs::{Mode, OFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where the field mounts control groups.
const MOUNT_POINT: &str = "/sys/fs/cgroup";
/// The most bytes read of the kernel's own tables.
const TABLE_LIMIT: u64 = 1 << 20;
/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// One mounted hierarchy of version 1 (or the unified one beside them).
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    /// The name of its directory.
    name: String,
    mount_point: PathBuf,
    unified: bool,
    /// The options that name it: controllers or `name=...`.
    words: Vec<String>,
}

/// Whether the container has a namespace of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It has: what is mounted shows its own groups alone.
    Namespace,
    /// It has not, and its own groups are taken out of what the machine shows.
    Machine,
}

/// The detached mount that goes to the place of a `cgroup` entry: the groups of this process, and what is below
/// them. Looks at the machine's own mounts, so it is called before the root changes.
pub(crate) fn make(options: &Options, sight: Sight) -> Result<OwnedFd> {
    let unified = rustix::fs::statfs(MOUNT_POINT).is_ok_and(|found| found.f_type == CGROUP2_MAGIC);
    let table = read_table("/proc/self/mountinfo")?;
    let hierarchies = parse(&table);
    let own = if sight == Sight::Machine { groups::find()? } else { Vec::new() };
    if unified || hierarchies.is_empty() {
        return match cut(&own, Path::new(MOUNT_POINT)) {
            Some(view) => Ok(view),
            None => version2(options),
        };
    }
    version1(&hierarchies, &own)
}

/// The own group in the hierarchy that is mounted at `place`.
fn cut(own: &[groups::Hierarchy], place: &Path) -> Option<OwnedFd> {
    let hierarchy = own.iter().find(|hierarchy| hierarchy.top.path == place)?;
    let group = hierarchy.top.child(hierarchy.own.as_ref()?).ok()?;
    tree::copy(group, Reach::One).ok()
}

fn version2(options: &Options) -> Result<OwnedFd> {
    tree::new_filesystem(
        "cgroup2",
        Some("cgroup"),
        &[],
        options.attributes.set & !libc::MOUNT_ATTR_RDONLY,
    )
    .or_else(|_| tree::copy_path(Path::new(MOUNT_POINT), Reach::Tree))
    .doing(|| "make a view of the control groups")
}

fn version1(hierarchies: &[Hierarchy], own: &[groups::Hierarchy]) -> Result<OwnedFd> {
    let data = [("mode".to_owned(), Some("755".to_owned()))];
    let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    let made = tree::new_filesystem("tmpfs", Some("tmpfs"), &data, attributes)
        .doing(|| "make a directory of control groups")?;
    let mut places = Vec::new();
    for hierarchy in hierarchies {
        let name = hierarchy.name.as_str();
        rustix::fs::mkdirat(&made, name, Mode::from_raw_mode(0o755))
            .doing(|| format!("make {name}"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::openat(&made, name, flags, Mode::empty())
            .doing(|| format!("open {name}"))?;
        let (kind, words) =
            if hierarchy.unified { ("cgroup2", &[][..]) } else { ("cgroup", &*hierarchy.words) };
        let data: Vec<_> = words.iter().map(|word| word_pair(word)).collect();
        let view = match cut(own, &hierarchy.mount_point) {
            Some(view) => view,
            None => tree::new_filesystem(kind, Some("cgroup"), &data, attributes)
                .or_else(|_| tree::copy_path(&hierarchy.mount_point, Reach::One))
                .doing(|| format!("make a view of the control groups of {name}"))?,
        };
        places.push((view, place));
    }
    for (view, place) in places {
        tree::attach(&view, &place).doing(|| "mount a view of control groups")?;
    }
    Ok(made)
}

fn word_pair(word: &str) -> (String, Option<String>) {
    match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (word.to_owned(), None),
    }
}

fn read_table(path: &str) -> Result<String> {
    use std::io::Read;
    let mut table = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(TABLE_LIMIT).read_to_string(&mut table))
        .doing(|| format!("read {path}"))?;
    Ok(table)
}

/// The hierarchies right below the usual mount point.
fn parse(table: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in table.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(place), mut right) = (left.split(' ').nth(4), right.split(' ')) else { continue };
        let (kind, superblock) = (right.next().unwrap_or(""), right.nth(1).unwrap_or(""));
        let Some(name) = place.strip_prefix(MOUNT_POINT).and_then(|rest| rest.strip_prefix('/'))
        else {
            continue;
        };
        if !matches!(kind, "cgroup" | "cgroup2") || name.is_empty() || name.contains(['/', '\\']) {
            continue;
        }
        let words = superblock.split(',').filter(|word| !matches!(*word, "rw" | "ro" | ""));
        found.retain(|other| other.name != name);
        found.push(Hierarchy {
            name: name.to_owned(),
            mount_point: PathBuf::from(place),
            unified: kind == "cgroup2",
            words: words.map(str::to_owned).collect(),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_from_the_table_of_mounts() {
        let table = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                     32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:3 - cgroup cgroup rw,cpu\n\
                     40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                     41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                     42 31 0:38 / /somewhere/cpu rw - cgroup cgroup rw,cpu\n";
        let found = parse(table);
        let names: Vec<_> = found.iter().map(|each| (each.name.as_str(), each.unified)).collect();
        assert_eq!(names, [("cpu", false), ("systemd", false), ("unified", true)]);
        assert_eq!(found[1].words, ["name=systemd"]);
    }
}
