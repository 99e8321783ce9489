//! The control groups of a container: one group of its own in every hierarchy that this process may write.
//!
//! ```text
//! find the hierarchies ─ make the groups ─ set limits ─ the inner stage enters ─ ... ─ empty and remove
//! ```
//!
//! The groups are made by the caller of `create`. The inner stage is in them before it does anything for the
//! container, and makes the namespace of control groups then, so that its root is the container's own group.

mod block;
mod delegation;
mod directory;
mod doors;
mod figures;
mod kept;
mod members;
mod memory;
mod ooms;
mod place;
pub(crate) mod plan;
pub(crate) mod program;
mod rules;
mod settings;
mod table;

use crate::error::{Error, Result};
use crate::systemd::{Property, Unit, Whose, properties};
use crate::{Groups, Unenforced};
use directory::Directory;
pub(crate) use doors::Doors;
pub use figures::Stats;
pub(crate) use kept::Kept;
pub(crate) use members::Motion;
use oci_spec::runtime::LinuxResources;
pub use ooms::OomWatch;
use rustix::io::Errno;
use settings::{Absent, Setting};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
pub(crate) use table::{Hierarchy, Version, find};

/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const MAGIC: [i64; 2] = [0x0027_e0eb, 0x6367_7270];
/// The file that tells, and takes, the processes of a group.
pub(crate) const PROCESSES: &str = "cgroup.procs";
/// Controllers of version 2 that are wanted for the figures they keep.
const FIGURES: [&str; 4] = ["cpu", "io", "memory", "pids"];
/// Controllers that version 2 has under no or another name.
const OLD: [&str; 6] = ["blkio", "cpuacct", "devices", "freezer", "net_cls", "net_prio"];

/// A container's groups.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) members: Vec<Member>,
    refused: Vec<Refused>,
    /// What was about to be made when its maker was broken off.
    leftover: Vec<PathBuf>,
    /// The same of systemd.
    leftover_units: Vec<Unit>,
    /// Groups that were kept and are not to be seen.
    missing: Vec<PathBuf>,
    /// Whether systemd is to make it around the first process, once there is one.
    awaited: bool,
}

/// The group in one hierarchy.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) version: Version,
    /// Version 1: what the hierarchy is for.
    pub(crate) controllers: Vec<String>,
    pub(crate) directory: Directory,
    /// How many directories from the group's own upwards were made for it.
    made: usize,
    /// The scope whose group it is, where systemd made it.
    pub(crate) unit: Option<Unit>,
}

/// A hierarchy, or a controller of version 2, that could not be had.
#[derive(Debug)]
struct Refused {
    version: Version,
    controllers: Vec<String>,
    path: PathBuf,
    error: io::Error,
}

/// What a configuration asks of its groups.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    settings: Vec<Setting>,
}

/// Whether a container with such groups can have its processes counted, and so limited, on this machine. Without a
/// way to know, it cannot.
pub fn counts_processes(groups: &Groups) -> bool {
    // Version 1 tells by its mounts, which costs least.
    if *groups == Groups::Auto && table::is_mounted("pids") {
        return true;
    }
    let Ok(hierarchies) = find() else { return false };
    let counts = |hierarchy: &Hierarchy| match groups {
        Groups::Off => false,
        Groups::Auto => hierarchy.version == Version::Two && place::hands_down(hierarchy, "pids"),
        Groups::Systemd(systemd) => {
            let top = match systemd.whose {
                Whose::Machine => Some(PathBuf::new()),
                Whose::User => place::of_user(hierarchy),
            };
            top.is_some_and(|top| place::has(hierarchy, &top, "pids"))
        }
    };
    hierarchies.iter().any(counts)
}

impl Asked {
    /// Reads the resources, device rules apart.
    pub(crate) fn of(
        resources: &LinuxResources,
        hierarchies: &[Hierarchy],
        leniency: Unenforced,
    ) -> Result<Asked> {
        let version = |controller: &str| {
            let listed =
                |hierarchy: &Hierarchy| hierarchy.controllers.iter().any(|name| name == controller);
            if hierarchies.iter().any(listed) {
                return Some(Version::One);
            }
            let unified = hierarchies.iter().any(|hierarchy| hierarchy.version == Version::Two);
            (unified && !OLD.contains(&controller)).then_some(Version::Two)
        };
        Ok(Asked { settings: settings::settings(resources, &version, leniency)? })
    }

    /// What systemd manages of it, in version 2.
    pub(crate) fn properties(&self) -> Vec<Property> {
        let files = self.settings.iter().filter_map(|setting| setting.files.first());
        properties(files.map(|(file, value)| (file.as_str(), value.as_str())))
    }

    fn controllers(&self) -> BTreeSet<&str> {
        self.settings.iter().map(|setting| setting.controller.as_str()).collect()
    }
}

impl Group {
    /// One that systemd makes around the first process.
    fn awaited() -> Group {
        Group { awaited: true, ..Group::default() }
    }

    /// Makes the groups at one place. What cannot be had is kept in mind, and is an error only when something
    /// is asked of it; that the place is taken is an error at once.
    fn make(hierarchies: &[Hierarchy], wanted: &place::Wanted, asked: &Asked) -> Result<Group> {
        let mut controllers = asked.controllers();
        controllers.extend(FIGURES);
        let mut group = Group::default();
        for hierarchy in hierarchies {
            match place::make(hierarchy, wanted, &controllers) {
                Ok((member, closed)) => {
                    group.members.push(member);
                    group.refused.extend(closed);
                }
                Err(refused) if refused.is_taken() => {
                    // The first error is the one to tell.
                    let _ = group.remove();
                    return Err(refused.into_error());
                }
                Err(refused) => group.refused.push(refused),
            }
        }
        Ok(group)
    }

    /// Refuses when not all groups are to be seen: who is put into a part of them escapes the rest.
    pub(crate) fn expect_whole(&self) -> Result<()> {
        match self.missing.first() {
            Some(path) => Err(Error::Group {
                action: "join the container's groups".to_owned(),
                path: path.clone(),
                source: io::Error::from(io::ErrorKind::NotFound),
            }),
            None => Ok(()),
        }
    }

    /// The member that has a controller; for no controller at all the one of version 2.
    pub(crate) fn member(&self, controller: &str) -> Option<&Member> {
        let old = |member: &&Member| member.controllers.iter().any(|name| name == controller);
        let new = |member: &&Member| member.version == Version::Two && !OLD.contains(&controller);
        self.members.iter().find(old).or_else(|| self.members.iter().find(new))
    }

    /// Takes the group that systemd has made.
    fn settle(&mut self, member: Member, asked: &Asked) {
        if asked.settings.iter().any(|setting| setting.controller == "pids") {
            // Set again right before the start: the making of the container takes processes, too.
            let _ = member.directory.write("pids.max", "max");
        }
        self.members.push(member);
        self.awaited = false;
    }

    /// Puts a process into every group. A group that does not take it and of which nothing is asked is given
    /// up; `denies` tells that devices are denied, which is asked of the group that has the rules.
    fn enter(&mut self, pid: i32, asked: &Asked, denies: bool) -> Result<()> {
        let controllers = asked.controllers();
        let rules = self.rules_of_devices().filter(|_| denies).map(std::ptr::from_ref);
        let mut given_up = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            let Err(error) = member.directory.write(PROCESSES, &pid.to_string()) else { continue };
            let needed = match member.version {
                Version::One => member.controllers.iter().any(|name| controllers.contains(&**name)),
                Version::Two => controllers.iter().any(|name| self.is_member(name, member)),
            };
            if rules == Some(std::ptr::from_ref(member)) {
                // Without it the container would have the machine's devices.
                let path = member.directory.path.join(PROCESSES);
                let action = "deny devices: the group that does takes no process".to_owned();
                return Err(Error::Group { action, path, source: error });
            }
            if needed {
                return Err(member.fault(PROCESSES, error));
            }
            given_up.push(index);
        }
        for index in given_up.into_iter().rev() {
            let member = self.members.remove(index);
            place::remove(&member)?;
        }
        Ok(())
    }

    /// The group that keeps the container from devices: by a controller, or by a program of version 2.
    fn rules_of_devices(&self) -> Option<&Member> {
        let program = || self.members.iter().find(|member| member.version == Version::Two);
        self.member("devices").or_else(program)
    }

    fn is_member(&self, controller: &str, member: &Member) -> bool {
        self.member(controller).is_some_and(|found| std::ptr::eq(found, member))
    }

    /// Sets limits. `late` tells which half: see [`Setting::is_late`].
    pub(crate) fn apply(&self, asked: &Asked, late: bool, leniency: Unenforced) -> Result<()> {
        let mut again = Vec::new();
        for setting in asked.settings.iter().filter(|setting| setting.is_late() == late) {
            match self.set(setting) {
                // Some limits have an order among them which depends on what was there before.
                Err(Error::Group { source, .. })
                    if matches!(
                        Errno::from_io_error(&source),
                        Some(Errno::INVAL | Errno::BUSY)
                    ) =>
                {
                    again.push(setting);
                }
                other => leniency.pardon(other)?,
            }
        }
        again.into_iter().try_for_each(|setting| leniency.pardon(self.set(setting)))
    }

    fn set(&self, setting: &Setting) -> Result<()> {
        let controller = &setting.controller;
        let held = |refused: &&Refused| refused.controllers.contains(controller);
        let Some(member) = self.member(controller) else {
            let refused = self.refused.iter().find(held);
            return Err(
                match refused.or(self.refused.iter().find(|one| one.version == Version::Two)) {
                    Some(refused) => refused.error(controller),
                    None => Error::Unsupported {
                        what: format!("a limit of {controller}: it has no control group here"),
                    },
                },
            );
        };
        let known = setting.files.iter().find(|(file, _)| member.directory.has(file));
        match known.or(setting.files.first()) {
            None => Ok(()),
            Some(_) if known.is_none() && setting.absent == Absent::Fine => Ok(()),
            Some((file, value)) => {
                member.directory.write(file, value).map_err(|error| {
                    match self.refused.iter().find(held) {
                        Some(refused) if error.kind() == io::ErrorKind::NotFound => {
                            refused.error(controller)
                        }
                        _ => Error::Group {
                            action: format!("controller {controller}: write {value:?}"),
                            path: member.directory.path.join(file),
                            source: error,
                        },
                    }
                })
            }
        }
    }

    /// Removes the groups, which must be empty of processes. All are tried.
    pub(crate) fn remove(&self) -> Result<()> {
        self.leftover.iter().for_each(|path| place::remove_leftover(path));
        self.leftover_units.iter().for_each(Unit::stop);
        let removed: Vec<_> = self.members.iter().map(place::remove).collect();
        removed.into_iter().collect()
    }
}

impl Member {
    /// Whether processes can be in it: below a group of threads there is none of version 2 for them.
    fn takes_processes(&self) -> bool {
        self.version == Version::One
            || self.directory.read("cgroup.type").is_ok_and(|kind| kind.trim() != "domain invalid")
    }

    /// The error of an act on a file of this member.
    pub(crate) fn fault(&self, file: &str, source: io::Error) -> Error {
        let controllers = self.controllers.join(",");
        let name = if controllers.is_empty() { "unified" } else { &controllers };
        let path = self.directory.path.join(file);
        Error::Group { action: format!("controller {name}"), path, source }
    }
}

impl Refused {
    /// Whether the group is in use already.
    fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AlreadyExists
    }

    fn error(&self, controller: &str) -> Error {
        let source = match Errno::from_io_error(&self.error) {
            Some(errno) => io::Error::from(errno),
            None => io::Error::other(self.error.to_string()),
        };
        let action = format!("controller {controller}");
        Error::Group { action, path: self.path.clone(), source }
    }

    fn into_error(self) -> Error {
        let Refused { path, error: source, .. } = self;
        Error::Group { action: "make a group".to_owned(), path, source }
    }
}
