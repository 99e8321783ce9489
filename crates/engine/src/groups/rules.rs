//! Which devices a container may use (runtime-spec, config-linux, "Allowed Device list").
//!
//! Rules stand in an order, and the last one that speaks of a device and a kind of access decides. Version 2
//! gets them as a program, see [`super::program`]; version 1 has a default and a set of exceptions from it.

use super::directory::Directory;
use super::settings::wrong;
use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use std::io;

/// The most rules of one container.
const RULES: usize = 4096;
/// Access bits as the kernel has them for programs.
pub(crate) const MAKE: u32 = 1;
pub(crate) const READ: u32 = 2;
pub(crate) const WRITE: u32 = 4;
/// All of them.
pub(crate) const ALL: u32 = MAKE | READ | WRITE;

/// Whether what a rule speaks of is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// The two kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Block,
    Character,
}

/// Devices: `None` is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Devices {
    pub(crate) kind: Option<Kind>,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) effect: Effect,
    pub(crate) devices: Devices,
    /// Bits of [`ALL`].
    pub(crate) access: u32,
}

/// What every container may use, whatever its rules say: the nodes that it always has, terminals, and the
/// making of nodes, which without a rule cannot be opened.
pub(crate) fn always() -> Vec<Rule> {
    let node = |major, minor, access| Rule {
        effect: Effect::Allow,
        devices: Devices { kind: Some(Kind::Character), major, minor },
        access,
    };
    let mut rules = vec![node(None, None, MAKE)];
    rules.push(Rule {
        devices: Devices { kind: Some(Kind::Block), major: None, minor: None },
        ..node(None, None, MAKE)
    });
    // null, zero, full, random, urandom; tty, console, ptmx; and all of devpts.
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(node(Some(major), Some(minor), ALL));
    }
    rules.push(node(Some(136), None, ALL));
    rules
}

/// Reads the rules of a configuration.
pub(crate) fn parse(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>> {
    if rules.len() > RULES {
        return Err(wrong("devices", format!("more than {RULES} rules")));
    }
    rules.iter().map(parse_rule).collect()
}

fn parse_rule(rule: &LinuxDeviceCgroup) -> Result<Rule> {
    let refused = || wrong("devices", rule);
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(Kind::Block),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Kind::Character),
        Some(LinuxDeviceType::P) => return Err(refused()),
    };
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number).map(Some).map_err(|_| refused()),
    };
    let mut access = 0;
    for sign in rule.access().iter().flat_map(|word| word.chars()) {
        access |= match sign {
            'm' => MAKE,
            'r' => READ,
            'w' => WRITE,
            _ => return Err(refused()),
        };
    }
    Ok(Rule {
        effect: if rule.allow() { Effect::Allow } else { Effect::Deny },
        devices: Devices { kind, major: number(rule.major())?, minor: number(rule.minor())? },
        access: if access == 0 { ALL } else { access },
    })
}

impl Devices {
    fn meets(self, other: Devices) -> bool {
        fn either<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            }
        }
        either(self.kind, other.kind)
            && either(self.major, other.major)
            && either(self.minor, other.minor)
    }

    /// As version 1 writes them.
    fn line(self, access: u32) -> String {
        let kind = match self.kind {
            None => "a",
            Some(Kind::Block) => "b",
            Some(Kind::Character) => "c",
        };
        let number = |number: Option<u32>| {
            number.map_or_else(|| "*".to_owned(), |number| number.to_string())
        };
        let access: String = [(READ, 'r'), (WRITE, 'w'), (MAKE, 'm')]
            .into_iter()
            .filter_map(|(bit, sign)| (access & bit != 0).then_some(sign))
            .collect();
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

/// The state of version 1: a default, and what is excepted from it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exceptions {
    pub(crate) default: Effect,
    pub(crate) exceptions: Vec<(Devices, u32)>,
}

/// Brings rules into the form of version 1. Not every order of rules has one: a rule that takes back a part
/// of an earlier one is refused.
pub(crate) fn exceptions(rules: &[Rule]) -> Result<Exceptions> {
    let mut state = Exceptions { default: Effect::Allow, exceptions: Vec::new() };
    let any = Devices { kind: None, major: None, minor: None };
    for rule in rules {
        if rule.devices == any && rule.access == ALL {
            state = Exceptions { default: rule.effect, exceptions: Vec::new() };
            continue;
        }
        let kinds = match rule.devices.kind {
            None => vec![Kind::Block, Kind::Character],
            Some(kind) => vec![kind],
        };
        for kind in kinds {
            state.add(Rule { devices: Devices { kind: Some(kind), ..rule.devices }, ..*rule })?;
        }
    }
    Ok(state)
}

impl Exceptions {
    fn add(&mut self, rule: Rule) -> Result<()> {
        if rule.effect != self.default {
            match self.exceptions.iter_mut().find(|(devices, _)| *devices == rule.devices) {
                Some((_, access)) => *access |= rule.access,
                None => self.exceptions.push((rule.devices, rule.access)),
            }
            return Ok(());
        }
        // What would be taken back of an exception for these very devices is taken from it.
        for (devices, access) in &mut self.exceptions {
            if *devices == rule.devices {
                *access &= !rule.access;
            } else if devices.meets(rule.devices) && *access & rule.access != 0 {
                let line = rule.devices.line(rule.access);
                let what = format!(
                    "linux.resources.devices: {line} after a rule that overlaps, with control groups of version 1"
                );
                return Err(Error::Unsupported { what });
            }
        }
        self.exceptions.retain(|(_, access)| *access != 0);
        Ok(())
    }

    /// Writes the state into a group of version 1. Exceptions among `lenient` may fail: a group above may not
    /// have those devices itself.
    pub(crate) fn write(&self, directory: &Directory, lenient: &[Rule]) -> io::Result<()> {
        let (first, then) = match self.default {
            Effect::Deny => ("devices.deny", "devices.allow"),
            Effect::Allow => ("devices.allow", "devices.deny"),
        };
        // Nothing is denied where nothing was denied before, which a group above may not let us say.
        if self.default == Effect::Deny || directory.read("devices.list")?.trim() != "a *:* rwm" {
            directory.write(first, "a")?;
        }
        for (devices, access) in &self.exceptions {
            let lenient = lenient.iter().any(|rule| rule.devices == *devices);
            match directory.write(then, &devices.line(*access)) {
                Err(_) if lenient => {}
                other => other?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    pub(crate) fn rules(value: Value) -> Vec<Rule> {
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_value(value).unwrap();
        parse(&rules).unwrap()
    }

    fn lines(value: Value) -> (Effect, Vec<String>) {
        let state = exceptions(&rules(value)).unwrap();
        (
            state.default,
            state.exceptions.iter().map(|(devices, access)| devices.line(*access)).collect(),
        )
    }

    #[test]
    fn version_one_gets_a_default_and_exceptions() {
        let told = lines(json!([
            { "allow": true, "type": "c", "major": 9, "minor": 9, "access": "rwm" },
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw" },
            { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "m" },
            { "allow": true, "type": "a", "major": 8, "access": "r" },
            { "allow": false, "type": "c", "major": 8, "access": "r" },
            { "allow": false, "type": "c", "major": 7, "access": "r" }
        ]));
        assert_eq!(told, (Effect::Deny, vec!["c 1:3 rwm".to_owned(), "b 8:* r".to_owned()]));
        let told = lines(json!([{ "allow": false, "type": "b", "major": 8, "minor": -1 }]));
        assert_eq!(told, (Effect::Allow, vec!["b 8:* rwm".to_owned()]));
    }

    #[test]
    fn what_version_one_cannot_say_is_refused() {
        let state = exceptions(&rules(json!([
            { "allow": false },
            { "allow": true, "type": "c", "major": 1 },
            { "allow": false, "type": "c", "major": 1, "minor": 3, "access": "w" }
        ])));
        assert!(state.unwrap_err().to_string().contains("c 1:3 w after a rule that overlaps"));
    }

    #[test]
    fn rules_that_are_none_are_refused() {
        for rule in [
            json!({ "allow": true, "type": "p" }),
            json!({ "allow": true, "access": "x" }),
            json!({ "allow": true, "major": -2 }),
            json!({ "allow": true, "minor": 4_294_967_296_i64 }),
        ] {
            let rules: Vec<LinuxDeviceCgroup> = serde_json::from_value(json!([rule])).unwrap();
            let told = parse(&rules).unwrap_err().to_string();
            assert!(told.contains("linux.resources.devices"), "{told}");
        }
    }
}
