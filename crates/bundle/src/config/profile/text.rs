//! The text form of a profile; `default.txt` describes it.

use oci_spec::runtime::{
    Capability, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator,
    LinuxSyscall,
};

use crate::config::capabilities::ALL;

/// A profile as written.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// The error number of what no rule names.
    pub(super) default: Option<u32>,
    /// Architectures whose programs one machine runs, its own first.
    pub(super) architectures: Vec<Vec<String>>,
    pub(super) rules: Vec<Rule>,
}

/// A block: some calls and what becomes of them.
#[derive(Debug)]
pub(super) struct Rule {
    /// The error number; `None` allows.
    pub(super) errno: Option<u32>,
    pub(super) with: Vec<Capability>,
    pub(super) without: Vec<Capability>,
    pub(super) on: Vec<String>,
    pub(super) condition: Option<Condition>,
    pub(super) names: Vec<String>,
}

/// What an argument has to be: one of the values, of the bits in the mask if there is one.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) argument: usize,
    pub(super) mask: Option<u64>,
    pub(super) values: Vec<u64>,
}

impl Rule {
    /// Whether it is one for a container with these capabilities on this machine.
    pub(super) fn holds(&self, capabilities: &[Capability], architecture: &str) -> bool {
        let held = |one: &Capability| capabilities.contains(one);
        (self.with.is_empty() || self.with.iter().any(held))
            && !self.without.iter().any(held)
            && (self.on.is_empty() || self.on.iter().any(|one| one == architecture))
    }

    /// The same in a runtime config: one entry for each value of the condition.
    pub(super) fn calls(&self) -> Vec<LinuxSyscall> {
        let mut call = LinuxSyscall::default();
        call.set_names(self.names.clone()).set_errno_ret(self.errno).set_args(None).set_action(
            match self.errno {
                Some(_) => LinuxSeccompAction::ScmpActErrno,
                None => LinuxSeccompAction::ScmpActAllow,
            },
        );
        let Some(condition) = &self.condition else { return vec![call] };
        let arguments = condition.values.iter().filter_map(|value| condition.argument(*value));
        let conditioned = |argument| {
            let mut call = call.clone();
            call.set_args(Some(vec![argument]));
            call
        };
        arguments.map(conditioned).collect()
    }
}

impl Condition {
    /// The condition for one of its values.
    fn argument(&self, value: u64) -> Option<LinuxSeccompArg> {
        let argument = LinuxSeccompArgBuilder::default().index(self.argument);
        let argument = match self.mask {
            Some(mask) => {
                argument.op(LinuxSeccompOperator::ScmpCmpMaskedEq).value(mask).value_two(value)
            }
            None => argument.op(LinuxSeccompOperator::ScmpCmpEq).value(value),
        };
        argument.build().ok()
    }
}

/// A line that says nothing known, by its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OddLine(pub(super) usize);

/// Reads a profile; one odd line, and there is none.
pub(super) fn parse(text: &str) -> Result<Profile, OddLine> {
    let mut profile = Profile::default();
    for (number, line) in text.lines().enumerate() {
        let odd = || OddLine(number + 1);
        let words = line.split_whitespace().map(str::to_owned);
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            let rule = profile.rules.last_mut().ok_or_else(odd)?;
            rule.names.extend(words);
            continue;
        }
        match line.split_once(' ').unwrap_or((line, "")) {
            ("default", rest) => {
                let errno = rest.strip_prefix("errno ").ok_or_else(odd)?;
                profile.default = Some(errno.parse().map_err(|_| odd())?);
            }
            ("architectures", _) => profile.architectures.push(words.skip(1).collect()),
            _ => profile.rules.push(head(line).ok_or_else(odd)?),
        }
    }
    Ok(profile)
}

/// The head of a block.
fn head(line: &str) -> Option<Rule> {
    let mut words = line.split_whitespace().peekable();
    let errno = match words.next()? {
        "allow" => None,
        "errno" => Some(words.next()?.parse().ok()?),
        _ => return None,
    };
    let mut rule = Rule {
        errno,
        with: Vec::new(),
        without: Vec::new(),
        on: Vec::new(),
        condition: None,
        names: Vec::new(),
    };
    let is_clause = |word: &str| matches!(word, "with" | "without" | "on" | "if");
    while let Some(clause) = words.next() {
        let mut list = Vec::new();
        while let Some(word) = words.next_if(|word| !is_clause(word)) {
            list.push(word);
        }
        if list.is_empty() {
            return None;
        }
        match clause {
            "with" => rule.with = list.into_iter().map(capability).collect::<Option<_>>()?,
            "without" => rule.without = list.into_iter().map(capability).collect::<Option<_>>()?,
            "on" => rule.on = list.into_iter().map(str::to_owned).collect(),
            "if" => rule.condition = Some(condition(&list)?),
            _ => return None,
        }
    }
    Some(rule)
}

fn capability(name: &str) -> Option<Capability> {
    ALL.into_iter().find(|one| one.to_string() == name)
}

fn condition(words: &[&str]) -> Option<Condition> {
    let (argument, mask, values) = match words {
        [argument, "==", values] => (argument, None, values),
        [argument, "&", mask, "==", values] => (argument, Some(number(mask)?), values),
        _ => return None,
    };
    let argument: usize = argument.strip_prefix("arg")?.parse().ok().filter(|index| *index < 6)?;
    let values = values.split(',').map(number).collect::<Option<_>>()?;
    Some(Condition { argument, mask, values })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
