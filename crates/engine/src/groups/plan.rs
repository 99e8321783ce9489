//! From a configuration to what its container's groups shall be, and who answers for what they cannot be.

use super::place::{self, Wanted};
use super::rules::{self, Effect, Rule};
use super::table::{Hierarchy, Version, find};
use super::{Asked, Group, program};
use crate::error::{Error, Result};
use crate::namespaces;
use crate::procfs::Procfs;
use crate::record::Room;
use crate::systemd::{Scope, Systemd};
use crate::{Engine, Groups, Unenforced};
use oci_spec::runtime::{Linux, LinuxNamespaceType, LinuxResources};
use std::path::PathBuf;

/// What the kernel writes for the ids of a namespace that no other one is above.
const ALL_IDS: [&str; 3] = ["0", "0", "4294967295"];

/// A container's groups before they are made.
#[derive(Debug)]
pub(crate) struct Plan {
    hierarchies: Vec<Hierarchy>,
    path: Option<PathBuf>,
    asked: Asked,
    rules: Vec<Rule>,
    /// The scope, where systemd makes the group.
    scope: Option<(Systemd, Scope)>,
    /// Whether the container is made without what its groups cannot enforce.
    leniency: Unenforced,
    /// Whether the kernel keeps the container from devices anyway: in a user namespace nodes cannot be made,
    /// and those of the images' are none.
    pub(crate) in_user_namespace: bool,
}

impl Plan {
    /// Reads what the configuration asks for, and refuses what can be seen to be impossible.
    pub(crate) fn of(engine: &Engine, linux: &Linux, id: &str) -> Result<Plan> {
        let nothing = LinuxResources::default();
        let resources = linux.resources().as_ref().unwrap_or(&nothing);
        let rules = rules::parse(resources.devices().as_deref().unwrap_or_default())?;
        let mut plan = Plan {
            hierarchies: Vec::new(),
            path: linux.cgroups_path().clone(),
            asked: Asked::default(),
            rules,
            scope: None,
            leniency: engine.unenforced,
            in_user_namespace: is_in_user_namespace(linux)?,
        };
        match &engine.groups {
            Groups::Off => plan.refuse_all(resources)?,
            Groups::Auto | Groups::Systemd(_) => {
                plan.hierarchies = find()?;
                plan.asked = Asked::of(resources, &plan.hierarchies, plan.leniency)?;
            }
        }
        if let Groups::Systemd(systemd) = &engine.groups {
            if !plan.hierarchies.iter().all(|one| one.version == Version::Two) {
                let what = "groups of systemd beside control groups of version 1".to_owned();
                return Err(Error::Unsupported { what });
            }
            let scope = Scope::of(plan.path.as_deref(), id, systemd.whose)?;
            plan.scope = Some((systemd.clone(), scope));
        }
        Ok(plan)
    }

    /// Without groups nothing is enforced.
    fn refuse_all(&self, resources: &LinuxResources) -> Result<()> {
        if self.leniency == Unenforced::Ignore {
            return Ok(());
        }
        let asked = [
            ("memory", resources.memory().is_some()),
            ("cpu", resources.cpu().is_some()),
            ("pids", resources.pids().is_some()),
            ("blockIO", resources.block_io().is_some()),
            ("hugepageLimits", resources.hugepage_limits().is_some()),
            ("network", resources.network().is_some()),
            ("rdma", resources.rdma().is_some()),
            ("unified", resources.unified().is_some()),
            ("devices", self.denies()),
        ];
        match asked.iter().find(|(_, asked)| *asked) {
            Some((name, _)) => Err(Error::Unsupported {
                what: format!("linux.resources.{name} without control groups"),
            }),
            None => Ok(()),
        }
    }

    /// Whether devices are denied that only groups would keep from the container.
    fn denies(&self) -> bool {
        !self.in_user_namespace && self.rules.iter().any(|rule| rule.effect == Effect::Deny)
    }

    /// Makes the groups, and writes down where they are before and after, so that who comes after a broken
    /// creation finds them.
    pub(crate) fn make(&self, room: &Room) -> Result<Group> {
        if let Some((systemd, scope)) = &self.scope {
            room.keep_groups(&Group::intended_unit(&systemd.unit(scope)))?;
            return Ok(Group::awaited());
        }
        if self.hierarchies.is_empty() {
            return Ok(Group::default());
        }
        let places = Wanted::all(self.path.as_deref(), &room.id, room.number()?)?;
        let mut taken = None;
        for wanted in places {
            room.keep_groups(&Group::intended(&self.hierarchies, &wanted))?;
            match Group::make(&self.hierarchies, &wanted, &self.asked) {
                Ok(group) => {
                    let kept = group.kept().and_then(|kept| room.keep_groups(&kept));
                    if kept.is_err() {
                        // The first error is the one to tell.
                        let _ = group.remove();
                    }
                    return kept.map(|()| group);
                }
                Err(error) => taken = Some(error),
            }
        }
        // It has a place to try at least, and nothing but an error came of it.
        Err(taken
            .unwrap_or_else(|| Error::Stage { text: "no place for control groups".to_owned() }))
    }

    /// Puts the first process in, when it could not go by itself.
    pub(crate) fn enter(&self, group: &mut Group, pid: i32) -> Result<()> {
        if let Some((systemd, scope)) = &self.scope {
            systemd.start(scope, pid, self.asked.properties())?;
            group.settle(place::of_unit(systemd.unit(scope), pid)?, &self.asked);
            return self.limit(group);
        }
        group.enter(pid, &self.asked, self.denies() && self.leniency == Unenforced::Refuse)
    }

    /// Sets limits and device rules, but for what would hinder the making of the container.
    pub(crate) fn limit(&self, group: &Group) -> Result<()> {
        if group.awaited {
            return Ok(());
        }
        group.apply(&self.asked, false, self.leniency)?;
        match self.limit_devices(group) {
            Err(_) if self.in_user_namespace => Ok(()),
            other => self.leniency.pardon(other),
        }
    }

    /// Tells systemd what it manages of limits that were changed.
    pub(crate) fn tell(&self, group: &Group) -> Result<()> {
        let units = group.members.iter().filter_map(|member| member.unit.as_ref());
        units.into_iter().try_for_each(|unit| unit.set(&self.asked.properties()))
    }

    /// Sets the rest of the limits.
    pub(crate) fn finish(&self, group: &Group) -> Result<()> {
        group.apply(&self.asked, true, self.leniency)
    }

    fn limit_devices(&self, group: &Group) -> Result<()> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let always = rules::always();
        let all: Vec<Rule> = self.rules.iter().chain(&always).copied().collect();
        if let Some(member) = group.member("devices") {
            let exceptions = rules::exceptions(&all)?;
            return exceptions
                .write(&member.directory, &always)
                .map_err(|error| member.fault("devices.allow", error));
        }
        match group.members.iter().find(|member| member.version == Version::Two) {
            Some(member) => program::attach(&member.directory, &member.directory.path, &all),
            None if self.denies() => Err(Error::Unsupported {
                what: "linux.resources.devices: no control group that can be written denies them"
                    .to_owned(),
            }),
            None => Ok(()),
        }
    }
}

impl Unenforced {
    /// Forgives what cannot be enforced, where that is wanted.
    pub(super) fn pardon(self, result: Result<()>) -> Result<()> {
        match result {
            Err(Error::Group { .. } | Error::Unsupported { .. }) if self == Unenforced::Ignore => {
                Ok(())
            }
            other => other,
        }
    }
}

/// Whether the container is in a user namespace, its own or that of this process.
pub(crate) fn is_in_user_namespace(linux: &Linux) -> Result<bool> {
    Ok(namespaces::has(linux, LinuxNamespaceType::User) || is_mapped()?)
}

/// Whether this process is in a user namespace of less than all ids.
fn is_mapped() -> Result<bool> {
    let map = Procfs::of_machine()?.read("self/uid_map")?;
    Ok(!map.split_ascii_whitespace().eq(ALL_IDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn planned(resources: serde_json::Value, unenforced: Unenforced) -> Result<Plan> {
        let linux: Linux = serde_json::from_value(json!({ "resources": resources })).unwrap();
        let (root, program) = ("/none".into(), "/none".into());
        let tell: fn(&str) = |_| ();
        let engine = Engine { root, program, groups: Groups::Off, unenforced, tell };
        Plan::of(&engine, &linux, "one")
    }

    #[test]
    fn without_groups_what_nothing_would_enforce_is_refused_by_its_name_unless_it_is_not_wanted() {
        let deny = json!([{ "allow": false, "access": "rwm" }]);
        for (name, value) in [
            ("memory", json!({ "limit": 1 })),
            ("pids", json!({ "limit": 1 })),
            ("devices", deny),
            ("network", json!({ "classID": 1 })),
        ] {
            if name == "devices" && is_mapped().unwrap() {
                eprintln!("skipped: a user namespace needs no device rules");
                continue;
            }
            let told = planned(json!({ name: value }), Unenforced::Refuse).unwrap_err().to_string();
            assert_eq!(
                told,
                format!("not supported: linux.resources.{name} without control groups")
            );
            planned(json!({ name: value }), Unenforced::Ignore).unwrap();
        }
        let allow =
            json!([{ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" }]);
        planned(json!({ "devices": allow }), Unenforced::Refuse).unwrap();
        planned(json!({}), Unenforced::Refuse).unwrap();
    }
}
