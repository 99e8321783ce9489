//! Which hierarchies of control groups there are, where they are mounted, and where in them this process is.

use super::directory::Directory;
use crate::error::Result;
use crate::procfs::Procfs;
use std::path::{Component, Path, PathBuf};

/// Where the field mounts control groups; a mount there is preferred to one elsewhere.
const USUAL: &str = "/sys/fs/cgroup";

/// The two interfaces of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Version {
    /// One hierarchy for each controller or few of them.
    One,
    /// The unified hierarchy.
    Two,
}

/// A hierarchy that is mounted here.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    pub(crate) version: Version,
    /// Version 1: what it is for, `name=...` for one without controllers. Version 2: empty.
    pub(crate) controllers: Vec<String>,
    /// The directory at the mount point.
    pub(crate) top: Directory,
    /// This process's own group, below the mount point; `None` when the mount does not show it.
    pub(crate) own: Option<PathBuf>,
}

/// A mount as the table tells it.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    controllers: Vec<String>,
    place: PathBuf,
    device: u64,
    own: Option<PathBuf>,
}

/// Finds the hierarchies. A mount that another one hides is none.
pub(crate) fn find() -> Result<Vec<Hierarchy>> {
    find_of("self")
}

/// Whether a hierarchy of version 1 is mounted that has a controller.
pub(crate) fn is_mounted(controller: &str) -> bool {
    let mounts = Procfs::of_machine().and_then(|procfs| {
        Ok(parse(&procfs.read("self/mountinfo")?, &procfs.read("self/cgroup")?))
    });
    let has = |mount: &Mount| mount.controllers.iter().any(|name| name == controller);
    mounts.is_ok_and(|mounts| mounts.iter().any(has))
}

/// The same, with the group of another process in place of this one's own: a number, or `self`.
pub(crate) fn find_of(process: &str) -> Result<Vec<Hierarchy>> {
    let procfs = Procfs::of_machine()?;
    let own = procfs.read(&format!("{process}/cgroup"))?;
    let mounts = parse(&procfs.read("self/mountinfo")?, &own);
    let mut found: Vec<Hierarchy> = Vec::new();
    for mount in mounts {
        let known = found
            .iter()
            .any(|other| other.version == mount.version && other.controllers == mount.controllers);
        if known {
            continue;
        }
        let Ok(top) = Directory::open(&mount.place) else { continue };
        if top.device().is_ok_and(|device| device == mount.device) {
            let Mount { version, controllers, own, .. } = mount;
            found.push(Hierarchy { version, controllers, top, own });
        }
    }
    Ok(found)
}

/// All mounts of hierarchies, those one would rather use first.
fn parse(mountinfo: &str, cgroup: &str) -> Vec<Mount> {
    let mut mounts: Vec<Mount> =
        mountinfo.lines().filter_map(|line| parse_mount(line, cgroup)).collect();
    mounts.sort_by_key(|mount| (mount.own.is_none(), !mount.place.starts_with(USUAL)));
    mounts
}

fn parse_mount(line: &str, cgroup: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let (device, root, place) = (left.next()?, left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, superblock) = (right.next()?, right.nth(1)?);
    let (major, minor) = device.split_once(':')?;
    let device = rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?);
    let version = match kind {
        "cgroup" => Version::One,
        "cgroup2" => Version::Two,
        _ => return None,
    };
    let words: Vec<&str> = superblock.split(',').collect();
    let (controllers, path) = cgroup.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (list, path) = rest.split_once(':')?;
        let fits = match version {
            Version::Two => list.is_empty(),
            Version::One => !list.is_empty() && list.split(',').all(|word| words.contains(&word)),
        };
        fits.then_some((list, path))
    })?;
    let controllers = controllers.split(',').filter(|word| !word.is_empty());
    Some(Mount {
        version,
        controllers: controllers.map(str::to_owned).collect(),
        place: PathBuf::from(unescaped(place)),
        device,
        own: below(Path::new(&unescaped(root)), Path::new(path)),
    })
}

/// Where a group of the hierarchy stands below the mount that shows the hierarchy from `root` on.
pub(crate) fn below(root: &Path, group: &Path) -> Option<PathBuf> {
    let rest = group.strip_prefix(root).ok()?;
    let plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| rest.to_owned())
}

/// The table writes spaces and such as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let sign = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match sign.filter(u8::is_ascii) {
            Some(sign) => {
                plain.push(char::from(sign));
                plain.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mountinfo: &str, cgroup: &str) -> Vec<(Version, String, String, Option<String>)> {
        let show = |path: PathBuf| path.display().to_string();
        parse(mountinfo, cgroup)
            .into_iter()
            .map(|mount| {
                let list = mount.controllers.join(",");
                (mount.version, list, show(mount.place), mount.own.map(show))
            })
            .collect()
    }

    #[test]
    fn a_hybrid_machine_has_hierarchies_of_both_versions() {
        let mountinfo = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            50 31 0:38 / /else\\040where rw - cgroup2 cgroup2 rw\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let cgroup = "3:cpu,cpuacct:/a/b\n2:name=systemd:/\n1:memory:/x\n0::/u:v\n";
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(
            told(mountinfo, cgroup),
            [
                (
                    Version::One,
                    "cpu,cpuacct".into(),
                    "/sys/fs/cgroup/cpu,cpuacct".into(),
                    own("a/b")
                ),
                (Version::One, "name=systemd".into(), "/sys/fs/cgroup/systemd".into(), own("")),
                (Version::Two, String::new(), "/sys/fs/cgroup/unified".into(), own("u:v")),
                (Version::Two, String::new(), "/else where".into(), own("u:v")),
            ]
        );
    }

    #[test]
    fn the_own_group_is_found_below_what_the_mount_shows() {
        let line = |root: &str| format!("1 2 0:5 {root} /sys/fs/cgroup ro - cgroup2 none rw");
        let own = |root: &str, path: &str| told(&line(root), &format!("0::{path}"))[0].3.clone();
        assert_eq!(own("/docker/abc", "/docker/abc/x").as_deref(), Some("x"));
        assert_eq!(own("/docker/abc", "/docker/abc").as_deref(), Some(""));
        assert_eq!(own("/docker/abc", "/elsewhere"), None);
        assert_eq!(own("/", "/../outside"), None);
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        for line in ["", "1 2 3", "1 2 a:b / / rw - cgroup2 n rw", "1 2 0:1 / /x rw - cgroup n"] {
            assert_eq!(told(line, "0::/\n1:cpu:/"), []);
        }
        assert_eq!(unescaped("a\\040b\\x\\0"), "a b\\x\\0");
    }
}
