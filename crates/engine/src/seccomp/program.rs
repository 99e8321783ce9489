//! From a checked profile to a program: which ranges of numbers share a fate, and the code of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::assemble::{AND, Assembler, Instruction, JUMP_EQ, JUMP_GE, JUMP_GT, LOAD, Target};
use super::profile::{Condition, Profile, Test};
use super::syscalls::{Convention, Machine, X32_BIT};
use super::{MAX_INSTRUCTIONS, SeccompError};

/// `SECCOMP_RET_KILL_PROCESS`, for what the profile does not speak of at all.
pub(super) const KILL_PROCESS: u32 = 0x8000_0000;
/// The number of a call that a tracer has taken out; no call, so it has the default fate.
pub(super) const NO_CALL: u32 = u32::MAX;

/// Offsets in `seccomp_data`: number, architecture, then after the instruction pointer six arguments
/// of 64 bits.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// What happens to one system call: the first rule whose conditions hold, else `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fate {
    pub(super) rules: Vec<(Vec<Check>, u32)>,
    pub(super) otherwise: u32,
}

/// A condition as this convention sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Check {
    pub(super) condition: Condition,
    /// Only the lower half of the argument counts.
    pub(super) narrow: bool,
}

impl Fate {
    fn only(verdict: u32) -> Self {
        Self { rules: Vec::new(), otherwise: verdict }
    }
}

/// The program for `machine`, and the names that it could not use.
pub(super) fn assemble(
    machine: Machine,
    profile: &Profile,
) -> Result<(Vec<Instruction>, Vec<String>), SeccompError> {
    let mut assembler = Assembler::default();
    let mut entries = Vec::new();
    for (audit, fates) in fates(machine, profile) {
        let search = search(&mut assembler, &ranges(fates))?;
        assembler.fall_to(search);
        entries.push((audit, assembler.plain(LOAD, NUMBER)));
    }
    let mut next = Target::Return(KILL_PROCESS);
    for (audit, entry) in entries {
        next = assembler.branch(JUMP_EQ, audit, entry, next);
    }
    assembler.fall_to(next);
    assembler.plain(LOAD, ARCHITECTURE);
    check_length(&assembler)?;
    Ok((assembler.finish(), unknown(machine, profile)))
}

fn conventions(machine: Machine, profile: &Profile) -> BTreeSet<Convention> {
    profile
        .architectures
        .iter()
        .filter_map(|architecture| machine.convention(*architecture))
        .chain([machine.own()])
        .collect()
}

/// For each architecture the kernel may tell, the fate of each number from its key on, the native one
/// last (so that it is asked for first).
pub(super) fn fates(machine: Machine, profile: &Profile) -> Vec<(u32, BTreeMap<u32, Fate>)> {
    let used = conventions(machine, profile);
    let mut all: BTreeMap<u32, BTreeMap<u32, Fate>> = BTreeMap::new();
    for convention in &used {
        let known = of_convention(*convention, profile);
        all.entry(convention.audit()).or_default().extend(known);
    }
    let mut compat: Vec<_> = all
        .into_iter()
        .map(|(audit, known)| {
            let marks = audit == Convention::X32.audit();
            let x32 = (marks, used.contains(&Convention::X32));
            (audit, fill(known, profile.default, x32))
        })
        .collect();
    compat.sort_by_key(|(audit, _)| *audit == machine.own().audit());
    compat
}

/// Puts the default between the known numbers. `x32`: whether the upper numbers are those of x32, and
/// whether the profile speaks of them.
fn fill(known: BTreeMap<u32, Fate>, default: u32, x32: (bool, bool)) -> BTreeMap<u32, Fate> {
    let upper = match x32 {
        (true, false) => KILL_PROCESS,
        _ => default,
    };
    let mut filled = BTreeMap::from([(0, Fate::only(default))]);
    if upper != default {
        filled.insert(X32_BIT, Fate::only(upper));
        filled.insert(NO_CALL, Fate::only(default));
    }
    for number in known.keys().filter_map(|number| number.checked_add(1)) {
        if !known.contains_key(&number) {
            filled.entry(number).or_insert_with(|| Fate::only(default));
        }
    }
    filled.extend(known);
    filled
}

fn of_convention(convention: Convention, profile: &Profile) -> BTreeMap<u32, Fate> {
    let mut calls: BTreeMap<u32, Fate> = BTreeMap::new();
    let mut settled = BTreeSet::new();
    for rule in &profile.rules {
        let name = rule.syscall.as_str();
        if let Some(number) = convention.number(name) {
            let checks: Vec<Check> = rule
                .conditions
                .iter()
                .map(|condition| Check {
                    condition: *condition,
                    narrow: convention.is_narrow(name, usize::from(condition.index)),
                })
                .collect();
            add(&mut calls, &mut settled, number, (checks, rule.verdict), profile.default);
        }
        // A condition cannot look behind the pointer that such a call passes, so only rules without
        // conditions are carried over.
        if let (Some((outer, call)), []) =
            (convention.multiplexed(name), rule.conditions.as_slice())
            && let Some(number) = convention.number(outer)
        {
            let condition = Condition { index: 0, test: Test::Equal(call) };
            let checks = vec![Check { condition, narrow: true }];
            add(&mut calls, &mut settled, number, (checks, rule.verdict), profile.default);
        }
    }
    calls
}

/// Adds a rule: the first one without conditions settles the call for good.
fn add(
    calls: &mut BTreeMap<u32, Fate>,
    settled: &mut BTreeSet<u32>,
    number: u32,
    (checks, verdict): (Vec<Check>, u32),
    default: u32,
) {
    if settled.contains(&number) {
        return;
    }
    if checks.is_empty() {
        settled.insert(number);
        calls.insert(number, Fate::only(verdict));
        return;
    }
    let fate = calls.entry(number).or_insert_with(|| Fate::only(default));
    fate.rules.push((checks, verdict));
}

/// Joins neighbours that share a fate.
fn ranges(fates: BTreeMap<u32, Fate>) -> Vec<(u32, Fate)> {
    let mut ranges: Vec<(u32, Fate)> = Vec::new();
    for (start, fate) in fates {
        if ranges.last().is_none_or(|(_, last)| *last != fate) {
            ranges.push((start, fate));
        }
    }
    ranges
}

/// Writes the fates and a balanced search before them; the number is in the accumulator.
fn search(assembler: &mut Assembler, ranges: &[(u32, Fate)]) -> Result<Target, SeccompError> {
    let mut written: HashMap<&Fate, Target> = HashMap::new();
    let mut leaves = Vec::with_capacity(ranges.len());
    for (start, fate) in ranges {
        let target = match written.get(fate) {
            Some(target) => *target,
            None => write_fate(assembler, fate),
        };
        written.insert(fate, target);
        leaves.push((*start, target));
        check_length(assembler)?;
    }
    Ok(write_search(assembler, &leaves))
}

fn write_search(assembler: &mut Assembler, leaves: &[(u32, Target)]) -> Target {
    let (low, high) = leaves.split_at(leaves.len() / 2);
    match (low, high) {
        ([], [(_, only), ..]) => *only,
        (_, [(start, _), ..]) => {
            let high = write_search(assembler, high);
            let low = write_search(assembler, low);
            assembler.branch(JUMP_GE, *start, high, low)
        }
        // No ranges: there is always the one that starts at zero.
        (_, []) => Target::Return(KILL_PROCESS),
    }
}

fn write_fate(assembler: &mut Assembler, fate: &Fate) -> Target {
    let mut next = Target::Return(fate.otherwise);
    for (checks, verdict) in fate.rules.iter().rev() {
        let mut holds = Target::Return(*verdict);
        for check in checks.iter().rev() {
            holds = write_check(assembler, check, holds, next);
        }
        next = holds;
    }
    next
}

fn write_check(assembler: &mut Assembler, check: &Check, holds: Target, fails: Target) -> Target {
    let write = if check.narrow { narrow } else { wide };
    let low = ARGUMENTS + 8 * u32::from(check.condition.index);
    match check.condition.test {
        Test::Equal(value) => write(assembler, low, (JUMP_EQ, u64::MAX, value), (holds, fails)),
        Test::NotEqual(value) => write(assembler, low, (JUMP_EQ, u64::MAX, value), (fails, holds)),
        Test::MaskedEqual { mask, value } => {
            write(assembler, low, (JUMP_EQ, mask, value), (holds, fails))
        }
        Test::Greater(value) => write(assembler, low, (JUMP_GT, u64::MAX, value), (holds, fails)),
        Test::LessOrEqual(value) => {
            write(assembler, low, (JUMP_GT, u64::MAX, value), (fails, holds))
        }
        Test::GreaterOrEqual(value) => {
            write(assembler, low, (JUMP_GE, u64::MAX, value), (holds, fails))
        }
        Test::Less(value) => write(assembler, low, (JUMP_GE, u64::MAX, value), (fails, holds)),
    }
}

type Compare = (u16, u64, u64);

/// Compares the lower half, which stands first on all machines in question (little endian).
fn narrow(
    assembler: &mut Assembler,
    low: u32,
    (code, mask, value): Compare,
    (holds, fails): (Target, Target),
) -> Target {
    let [_, mask] = halves(mask);
    let [_, value] = halves(value);
    assembler.branch(code, value, holds, fails);
    if mask != u32::MAX {
        assembler.plain(AND, mask);
    }
    assembler.plain(LOAD, low)
}

/// Compares the upper half, and the lower one where the upper ones are equal.
fn wide(
    assembler: &mut Assembler,
    low: u32,
    (code, mask, value): Compare,
    (holds, fails): (Target, Target),
) -> Target {
    let [high_mask, _] = halves(mask);
    let [high_value, _] = halves(value);
    let lower = narrow(assembler, low, (code, mask, value), (holds, fails));
    let equal = assembler.branch(JUMP_EQ, high_value, lower, fails);
    if code != JUMP_EQ {
        assembler.branch(JUMP_GT, high_value, holds, equal);
    }
    if high_mask != u32::MAX {
        assembler.plain(AND, high_mask);
    }
    assembler.plain(LOAD, low + 4)
}

fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

fn check_length(assembler: &Assembler) -> Result<(), SeccompError> {
    let instructions = assembler.len();
    if instructions > MAX_INSTRUCTIONS {
        return Err(SeccompError::TooLong { instructions });
    }
    Ok(())
}

fn unknown(machine: Machine, profile: &Profile) -> Vec<String> {
    let used = conventions(machine, profile);
    let mut unknown: Vec<String> = profile
        .rules
        .iter()
        .map(|rule| rule.syscall.as_str())
        .filter(|name| used.iter().all(|one| one.number(name).is_none()))
        .map(str::to_owned)
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    unknown
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
