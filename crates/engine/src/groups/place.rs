//! Where in a hierarchy the group of a container stands, its making and its removal.

use super::directory::Directory;
use super::table::{Hierarchy, Version};
use super::{Member, Refused, delegation};
use crate::error::{Error, Result};
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
            return Err(refused("the form of systemd, slice:prefix:name"));
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

    /// Below the mount point of a hierarchy: where the group is made, and for a relative place where instead,
    /// see [`make`].
    pub(crate) fn paths(&self, hierarchy: &Hierarchy) -> Vec<PathBuf> {
        match (self, &hierarchy.own) {
            (Wanted::Absolute(path), _) => vec![path.clone()],
            (Wanted::Below(_) | Wanted::Named(_), None) => Vec::new(),
            (Wanted::Below(path) | Wanted::Named(path), Some(own)) => {
                let beside = own.parent().filter(|_| hierarchy.version == Version::Two);
                std::iter::once(own.as_path()).chain(beside).map(|group| group.join(path)).collect()
            }
        }
    }
}

/// Makes the group in one hierarchy. In version 2 `controllers` are enabled for it where that is possible;
/// those that could not be are told. Those of them that are `asked` for matter for the place, too: a group
/// with processes cannot have controllers below it, so when that is this process's own group, the new one
/// stands beside it.
pub(crate) fn make(
    hierarchy: &Hierarchy,
    wanted: &Wanted,
    controllers: &BTreeSet<&str>,
    asked: &BTreeSet<&str>,
) -> std::result::Result<(Member, Vec<Refused>), Refused> {
    let paths = wanted.paths(hierarchy);
    let Some(path) = paths.first() else {
        let error = io::Error::other("this process's own group is not below the mount");
        return Err(refusal(hierarchy, hierarchy.top.path.clone(), error));
    };
    // What is left of a creation that was broken off is taken away, unless somebody may just be making it.
    let stale = !matches!(wanted, Wanted::Named(_));
    let done = make_at(hierarchy, path, controllers, stale);
    if let (Ok((member, closed)), Some(beside)) = (&done, paths.get(1))
        && closed.iter().any(|closed| {
            Errno::from_io_error(&closed.error) == Some(Errno::BUSY)
                && closed.controllers.iter().any(|name| asked.contains(&**name))
        })
    {
        // It was made a moment ago, and nobody is in it.
        let _ = remove(member);
        return make_at(hierarchy, beside, controllers, stale);
    }
    done
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
    let member =
        Member { version: *version, controllers: controllers.clone(), directory: above, made };
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
    for name in directory.children()? {
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
