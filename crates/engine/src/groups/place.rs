//! Where in a hierarchy the group of a container stands, its making and its removal.

use super::directory::Directory;
use super::table::{self, Hierarchy, Version};
use super::{FIGURES, Member, Refused, delegation, members};
use crate::error::{Error, Result};
use crate::systemd::Unit;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the making begins again when a directory above vanishes meanwhile.
const ATTEMPTS: usize = 4;
/// The most levels of groups below each other.
const LEVELS: usize = 64;
/// How much of an id stands in the name of a group.
const SHORT: usize = 200;
/// The file of version 2 that says which controllers a group has.
const HAS: &str = "cgroup.controllers";
/// How long the removal of a group waits for processes that are ending.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the group is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// From the root of the hierarchy, as it is seen here.
    Absolute(PathBuf),
    /// Below the own group of this process.
    Below(PathBuf),
    /// The same, by the name of the container, which a container in another directory of state may have, too.
    Named(PathBuf),
}

impl Wanted {
    /// Where to try it, one after the other: at `cgroupsPath`, or without one by the name of the container, and
    /// then with a number that no other container has.
    pub(crate) fn all(path: Option<&Path>, id: &str, number: u64) -> Result<Vec<Wanted>> {
        match path.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => Ok(vec![Wanted::at(path)?]),
            None => {
                // An id may be as long as a name of a directory, so that nothing can be added to it.
                let short: String = id.chars().take(SHORT).collect();
                let named = Wanted::Named(PathBuf::from(format!("corten-{short}")));
                let numbered = PathBuf::from(format!("corten-{short}-{number:x}"));
                let named = (short == id).then_some(named);
                Ok(named.into_iter().chain([Wanted::Below(numbered)]).collect())
            }
        }
    }

    /// Reads `cgroupsPath`.
    fn at(path: &Path) -> Result<Wanted> {
        let refused = |why: &str| Error::Unsupported {
            what: format!("linux.cgroupsPath {}: {why}", path.display()),
        };
        let text = path.to_string_lossy();
        if !path.is_absolute() && text.split(':').count() == 3 {
            return Err(refused(
                "the form of systemd, slice:prefix:name, without --systemd-cgroup",
            ));
        }
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => plain.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(refused("a way upwards"));
                }
            }
        }
        match plain.components().count() {
            // Of that group others are members, whom the end of the container would end.
            0 => Err(refused("no group of its own")),
            levels if levels > LEVELS => Err(refused("too deep")),
            _ if text.contains(['\n', '\0']) => Err(refused("not a name")),
            _ if path.is_absolute() => Ok(Wanted::Absolute(plain)),
            _ => Ok(Wanted::Below(plain)),
        }
    }

    /// Below the mount point of a hierarchy: where to make the group, the best place first. In version 2 a relative
    /// place is beside this process's own group where that has controllers: a group with processes has none to
    /// hand down.
    pub(crate) fn paths(&self, hierarchy: &Hierarchy) -> Vec<PathBuf> {
        match (self, &hierarchy.own) {
            (Wanted::Absolute(path), _) => vec![path.clone()],
            (Wanted::Below(_) | Wanted::Named(_), None) => Vec::new(),
            (Wanted::Below(path) | Wanted::Named(path), Some(own)) => {
                let beside = own.parent().filter(|_| {
                    hierarchy.version == Version::Two
                        && hierarchy.top.child(own).and_then(|own| own.read(HAS)).is_ok_and(|has| {
                            has.split_ascii_whitespace().any(|one| FIGURES.contains(&one))
                        })
                });
                beside.into_iter().chain([own.as_path()]).map(|group| group.join(path)).collect()
            }
        }
    }
}

/// Makes the group in one hierarchy. In version 2 `controllers` are enabled for it where that is possible;
/// those that could not be are told.
pub(crate) fn make(
    hierarchy: &Hierarchy,
    wanted: &Wanted,
    controllers: &BTreeSet<&str>,
) -> std::result::Result<(Member, Vec<Refused>), Refused> {
    // What is left of a creation that was broken off is taken away, unless somebody may just be making it.
    let stale = !matches!(wanted, Wanted::Named(_));
    let mut first = None;
    for path in wanted.paths(hierarchy) {
        match make_at(hierarchy, &path, controllers, stale) {
            Ok((member, closed)) if member.takes_processes() => return Ok((member, closed)),
            Ok((member, _)) => {
                // It was made a moment ago, and nobody is in it.
                let _ = remove(&member);
                let error = io::Error::other("groups there are for threads alone");
                first.get_or_insert(refusal(hierarchy, path, error));
            }
            Err(refused) if refused.is_taken() => return Err(refused),
            Err(refused) => {
                first.get_or_insert(refused);
            }
        }
    }
    Err(first.unwrap_or_else(|| {
        let error = io::Error::other("this process's own group is not below the mount");
        refusal(hierarchy, hierarchy.top.path.clone(), error)
    }))
}

/// Whether a group has a controller.
pub(crate) fn has(hierarchy: &Hierarchy, group: &Path, controller: &str) -> bool {
    let has = hierarchy.top.child(group).and_then(|group| group.read(HAS));
    has.is_ok_and(|has| has.split_ascii_whitespace().any(|one| one == controller))
}

/// Whether the best place for a group of version 2 can be given a controller.
pub(crate) fn hands_down(hierarchy: &Hierarchy, controller: &str) -> bool {
    let wanted = Wanted::Below(PathBuf::from("corten"));
    let paths = wanted.paths(hierarchy);
    let above = paths.first().and_then(|path| hierarchy.top.child(path.parent()?).ok());
    above.is_some_and(|above| delegation::can_enable(&above, controller))
}

/// The group of the user's own systemd, which is one of those that this process is in or stands beside them
/// (systemd, "user@.service").
pub(crate) fn of_user(hierarchy: &Hierarchy) -> Option<PathBuf> {
    let own = hierarchy.own.as_ref()?;
    let name =
        |group: &Path| group.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
    let service = |group: &&Path| name(group).starts_with("user@");
    if let Some(found) = own.ancestors().find(service) {
        return Some(found.to_owned());
    }
    let slice = own.ancestors().find(|group| name(group).starts_with("user-"))?;
    let user = name(slice).strip_prefix("user-")?.strip_suffix(".slice")?.to_owned();
    Some(slice.join(format!("user@{user}.service")))
}

/// The group of a scope that systemd has made around a process.
pub(crate) fn of_unit(unit: Unit, pid: i32) -> Result<Member> {
    let path = PathBuf::from(&unit.name);
    let fault = |source| Error::Group { action: "find the scope".to_owned(), path, source };
    let all = table::find_of(&pid.to_string())?;
    let found = all.into_iter().find(|one| one.version == Version::Two).and_then(|one| {
        let own = one.own.filter(|own| own.file_name() == Some(OsStr::new(&unit.name)))?;
        Some(one.top.child(&own))
    });
    let missing = || io::Error::other("systemd left the process where it was");
    let directory = found.unwrap_or_else(|| Err(missing())).map_err(fault)?;
    let controllers = Vec::new();
    Ok(Member { version: Version::Two, controllers, directory, made: 1, unit: Some(unit) })
}

fn refusal(hierarchy: &Hierarchy, path: PathBuf, error: io::Error) -> Refused {
    let Hierarchy { version, controllers, .. } = hierarchy;
    Refused { version: *version, controllers: controllers.clone(), path, error }
}

fn make_at(
    hierarchy: &Hierarchy,
    path: &Path,
    controllers: &BTreeSet<&str>,
    stale: bool,
) -> std::result::Result<(Member, Vec<Refused>), Refused> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match descend(hierarchy, path, controllers, stale) {
            // The last container of a group above may have taken that group away.
            Err((_, error)) if error.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => {}
            Err((path, error)) => return Err(refusal(hierarchy, path, error)),
            Ok(done) => return Ok(done),
        }
    }
}

type Fault = (PathBuf, io::Error);

fn descend(
    hierarchy: &Hierarchy,
    path: &Path,
    controllers: &BTreeSet<&str>,
    stale: bool,
) -> std::result::Result<(Member, Vec<Refused>), Fault> {
    let mut closed = Vec::new();
    let mut made = 0;
    let parts: Vec<&OsStr> = path.iter().collect();
    let mut above =
        hierarchy.top.child(Path::new("")).map_err(|error| (hierarchy.top.path.clone(), error))?;
    for (index, name) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        let fault = |error: io::Error| (above.path.join(name), error);
        if hierarchy.version == Version::Two {
            closed = delegation::enable(&above, controllers);
        }
        let new = match above.make(name) {
            Ok(()) => true,
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fault(error)),
            Err(taken) if last && !stale => return Err(fault(taken)),
            // With somebody in it, it cannot be removed.
            Err(taken) if last => {
                above.remove(name).and_then(|()| above.make(name)).map_err(|_| fault(taken))?;
                true
            }
            Err(_) => false,
        };
        let next = above.child(Path::new(name)).map_err(fault)?;
        if new && hierarchy.controllers.iter().any(|name| name == "cpuset") {
            delegation::inherit_cpuset(&above, &next).map_err(fault)?;
        }
        made = if new { made + 1 } else { 0 };
        above = next;
    }
    let Hierarchy { version, controllers, .. } = hierarchy;
    let member = Member {
        version: *version,
        controllers: controllers.clone(),
        directory: above,
        made,
        unit: None,
    };
    Ok((member, closed))
}

/// Removes what a creation that was broken off may have made, if nobody is in it.
pub(crate) fn remove_leftover(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
    if let Ok(above) = Directory::open(parent)
        && above.kind().is_ok_and(|kind| super::MAGIC.contains(&kind))
    {
        // It need not be there.
        let _ = above.remove(name);
    }
}

/// Removes a group with those below it, and then those above that were made for it and serve nobody else.
pub(crate) fn remove(member: &Member) -> Result<()> {
    let fault = |error| member.fault("", error);
    let path = &member.directory.path;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let above = match Directory::open(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(fault)?,
    };
    remove_patiently(&above, name, &member.directory).map_err(fault)?;
    let mut empty = parent;
    for _ in 1..member.made {
        let (Some(parent), Some(name)) = (empty.parent(), empty.file_name()) else { break };
        // Somebody else's group may stand there by now.
        let removed = Directory::open(parent).and_then(|above| above.remove(name));
        if removed.is_err() {
            break;
        }
        empty = parent;
    }
    Ok(())
}

fn remove_patiently(above: &Directory, name: &OsStr, directory: &Directory) -> io::Result<()> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(50);
    loop {
        match above.remove(name) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Errno::from_io_error(&error) != Some(Errno::BUSY) => return Err(error),
            Err(error) if start.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
        // Groups that the container made, or processes that are still ending.
        remove_below(directory, LEVELS)?;
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn remove_below(directory: &Directory, levels: usize) -> io::Result<()> {
    let children = match directory.children() {
        Err(error) if members::is_gone(&error) => return Ok(()),
        children => children?,
    };
    for name in children {
        if let Some(levels) = levels.checked_sub(1)
            && let Ok(child) = directory.child(&name)
        {
            remove_below(&child, levels)?;
        }
        match directory.remove(name.as_os_str()) {
            // Tried again by the caller.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str) -> std::result::Result<Wanted, String> {
        Wanted::at(Path::new(path)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_is_absolute_or_below_the_own_group() {
        assert_eq!(wanted("/a//b/./c"), Ok(Wanted::Absolute("a/b/c".into())));
        assert_eq!(wanted("a/b"), Ok(Wanted::Below("a/b".into())));
        assert_eq!(wanted("/a:b:c"), Ok(Wanted::Absolute("a:b:c".into())));
        let own = [Wanted::Named("corten-one".into()), Wanted::Below("corten-one-ff".into())];
        assert_eq!(Wanted::all(None, "one", 255).unwrap(), own);
        assert_eq!(Wanted::all(Some(Path::new("")), "one", 255).unwrap(), own);
        let long = Wanted::all(None, &"x".repeat(255), 255).unwrap();
        assert_eq!(long, [Wanted::Below(format!("corten-{}-ff", "x".repeat(SHORT)).into())]);
    }

    #[test]
    fn paths_that_would_reach_other_groups_are_refused() {
        for (path, why) in [
            ("system.slice:corten:one", "the form of systemd"),
            ("a/../../b", "a way upwards"),
            ("/", "no group of its own"),
            (".", "no group of its own"),
            ("/./", "no group of its own"),
            ("a\nb", "not a name"),
            (&"a/".repeat(LEVELS + 1), "too deep"),
        ] {
            let told = wanted(path).unwrap_err();
            assert!(told.contains(why) && told.contains("linux.cgroupsPath"), "{told}");
        }
    }
}
