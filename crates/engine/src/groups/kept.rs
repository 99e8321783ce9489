//! What is kept on disk of a container's groups, so that whoever comes later finds them.

use super::directory::Directory;
use super::table::{Hierarchy, Version};
use super::{Group, MAGIC, Member, place};
use crate::error::Result;
use crate::systemd::Unit;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The number of a group which is about to be made: no directory has it.
const INTENDED: u64 = 0;

/// What is kept of a member on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    version: Version,
    controllers: Vec<String>,
    path: PathBuf,
    inode: u64,
    made: usize,
    #[serde(default)]
    unit: Option<Unit>,
}

impl Group {
    /// What to keep on disk before systemd makes a scope.
    pub(super) fn intended_unit(unit: &Unit) -> Vec<Kept> {
        let (version, controllers, path) = (Version::Two, Vec::new(), PathBuf::new());
        let unit = Some(unit.clone());
        vec![Kept { version, controllers, path, inode: INTENDED, made: 0, unit }]
    }

    /// What to keep on disk before the groups are made at `wanted`.
    pub(super) fn intended(hierarchies: &[Hierarchy], wanted: &place::Wanted) -> Vec<Kept> {
        let intend = |hierarchy: &Hierarchy, path: PathBuf| Kept {
            version: hierarchy.version,
            controllers: hierarchy.controllers.clone(),
            path: hierarchy.top.path.join(path),
            inode: INTENDED,
            made: 0,
            unit: None,
        };
        let all = hierarchies
            .iter()
            .flat_map(|one| wanted.paths(one).into_iter().map(move |path| intend(one, path)));
        all.collect()
    }

    /// What to keep on disk.
    pub(crate) fn kept(&self) -> Result<Vec<Kept>> {
        let keep = |member: &Member| {
            let path = member.directory.path.clone();
            let inode = member.directory.inode().map_err(|error| member.fault("", error))?;
            let (version, made, unit) = (member.version, member.made, member.unit.clone());
            Ok(Kept { version, controllers: member.controllers.clone(), path, inode, made, unit })
        };
        self.members.iter().map(keep).collect()
    }

    /// Opens the groups again. One that is gone is left out, and so is another one in its place.
    pub(crate) fn open(kept: Vec<Kept>) -> Group {
        let mut group = Group::default();
        for Kept { version, controllers, path, inode, made, unit } in kept {
            if inode == INTENDED {
                match unit {
                    Some(unit) => group.leftover_units.push(unit),
                    None => group.leftover.push(path),
                }
                continue;
            }
            let same = |directory: &Directory| {
                directory.inode().is_ok_and(|found| found == inode)
                    && directory.kind().is_ok_and(|kind| MAGIC.contains(&kind))
            };
            match Directory::open(&path).ok().filter(same) {
                Some(directory) => {
                    group.members.push(Member { version, controllers, directory, made, unit });
                }
                None => group.missing.push(path),
            }
        }
        group
    }
}
