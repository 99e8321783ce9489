//! Device rules as a program for the kernel: version 2 has no file for them, but asks a program at every
//! opening and making of a device.
//!
//! The program keeps the bits of access that no rule has allowed yet, and goes through the rules from the
//! last to the first: a rule that denies one of these bits ends with no, and when none is left it ends with
//! yes. So each bit is decided by the last rule that speaks of it.

use super::rules::{ALL, Effect, Kind, Rule};
use crate::error::{Error, Result};
use crate::sys;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The most programs on one group that are looked at.
const PROGRAMS: usize = 64;

/// One instruction: the kernel's `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    code: u8,
    /// The target register in the low half, the source register in the high one.
    registers: u8,
    offset: i16,
    immediate: i32,
}

// Opcodes of linux/bpf.h and bpf_common.h, made of class, operation and source.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const JUMP: u8 = 0x05;
const JUMP_UNEQUAL_32: u8 = 0x56;
const JUMP_ANY_BIT_32: u8 = 0x46;
const EXIT: u8 = 0x95;

// Registers: what is answered, the question, and its parts.
const ANSWER: u8 = 0;
const QUESTION: u8 = 1;
const KIND: u8 = 2;
const LEFT: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

fn plain(code: u8, to: u8, immediate: i32) -> Instruction {
    Instruction { code, registers: to, offset: 0, immediate }
}

fn jump(code: u8, on: u8, immediate: i32, offset: i16) -> Instruction {
    Instruction { code, registers: on, offset, immediate }
}

fn load(to: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD_WORD, registers: to | QUESTION << 4, offset, immediate: 0 }
}

fn answer(yes: bool) -> [Instruction; 2] {
    [plain(MOVE, ANSWER, i32::from(yes)), plain(EXIT, 0, 0)]
}

/// The program of the rules. Where no rule speaks the group above decides: the answer is yes.
pub(crate) fn compile(rules: &[Rule]) -> Vec<Instruction> {
    // The question is three words: access in the high half and kind in the low one, major, minor.
    let mut program = vec![
        load(KIND, 0),
        Instruction { code: MOVE_REGISTER, registers: LEFT | KIND << 4, offset: 0, immediate: 0 },
        plain(SHIFT_RIGHT_32, LEFT, 16),
        plain(AND_32, KIND, 0xffff),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        append(&mut program, rule);
    }
    program.extend(answer(true));
    program
}

fn append(program: &mut Vec<Instruction>, rule: &Rule) {
    let bits = rule.access.cast_signed();
    let act = match rule.effect {
        Effect::Deny => {
            let mut act = vec![jump(JUMP_ANY_BIT_32, LEFT, bits, 1), jump(JUMP, 0, 0, 2)];
            act.extend(answer(false));
            act
        }
        Effect::Allow => {
            let mut act = vec![plain(AND_32, LEFT, !bits), jump(JUMP_UNEQUAL_32, LEFT, 0, 2)];
            act.extend(answer(true));
            act
        }
    };
    let kind = rule.devices.kind.map(|kind| match kind {
        Kind::Block => BLOCK,
        Kind::Character => CHARACTER,
    });
    let tests = [
        (KIND, kind),
        (MAJOR, rule.devices.major.map(u32::cast_signed)),
        (MINOR, rule.devices.minor.map(u32::cast_signed)),
    ];
    let tests: Vec<(u8, i32)> =
        tests.into_iter().filter_map(|(register, value)| Some((register, value?))).collect();
    // Over the tests that follow and the act: seven at the most, so it always fits.
    let mut distance = i16::try_from(tests.len() + act.len()).unwrap_or(i16::MAX);
    for (register, value) in tests {
        distance -= 1;
        program.push(jump(JUMP_UNEQUAL_32, register, value, distance));
    }
    program.extend(act);
}

/// Loads the program of the rules and attaches it to a group of version 2. One that was attached before in
/// place of which it comes, by an update, is replaced.
pub(crate) fn attach(group: impl AsFd, path: &Path, rules: &[Rule]) -> Result<()> {
    let fault = |action: &str, source: io::Error| Error::Group {
        action: format!("device rules: {action}"),
        path: path.to_owned(),
        source,
    };
    debug_assert!(rules.iter().all(|rule| rule.access & !ALL == 0));
    let program = sys::load_device_program(&compile(rules))
        .map_err(|error| fault("load a program", error))?;
    let before = attached(&group).map_err(|error| fault("ask for programs", error))?;
    sys::attach_device_program(&group, &program, before.first())
        .map_err(|error| fault("attach a program", error))
}

fn attached(group: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let ids = sys::device_programs(group, PROGRAMS)?;
    ids.into_iter().map(sys::open_program).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rules::tests::rules;
    use super::super::rules::{MAKE, READ, WRITE, always};
    use super::*;
    use serde_json::json;

    /// What the kernel does with the program.
    fn run(program: &[Instruction], (kind, major, minor): (u32, u32, u32), access: u32) -> bool {
        let question = [access << 16 | kind, major, minor];
        let mut registers = [0_u32; 6];
        let mut at = 0;
        loop {
            let Instruction { code, registers: pair, offset, immediate } = program[at];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            let value = registers[to];
            let immediate = immediate.cast_unsigned();
            let offset = usize::try_from(offset).unwrap();
            let mut jumps = false;
            match code {
                LOAD_WORD => registers[to] = question[offset / 4],
                MOVE => registers[to] = immediate,
                MOVE_REGISTER => registers[to] = registers[from],
                AND_32 => registers[to] = value & immediate,
                SHIFT_RIGHT_32 => registers[to] = value >> immediate,
                JUMP => jumps = true,
                JUMP_UNEQUAL_32 => jumps = value != immediate,
                JUMP_ANY_BIT_32 => jumps = value & immediate != 0,
                EXIT => return registers[0] == 1,
                other => panic!("opcode {other:#x}"),
            }
            at += 1 + if jumps { offset } else { 0 };
        }
    }

    /// What the rules mean: each bit by the last rule that speaks of it.
    fn meant(rules: &[Rule], (kind, major, minor): (u32, u32, u32), access: u32) -> bool {
        [MAKE, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let speaks = |rule: &&Rule| {
                let number = match rule.devices.kind {
                    Some(Kind::Block) => Some(1),
                    Some(Kind::Character) => Some(2),
                    None => None,
                };
                number.is_none_or(|number| number == kind)
                    && rule.devices.major.is_none_or(|number| number == major)
                    && rule.devices.minor.is_none_or(|number| number == minor)
                    && rule.access & bit != 0
            };
            rules.iter().rev().find(speaks).is_none_or(|rule| rule.effect == Effect::Allow)
        })
    }

    #[test]
    fn the_program_answers_as_the_rules_mean() {
        let mut all = rules(json!([
            { "allow": true, "type": "c", "major": 9 },
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 1, "access": "rw" },
            { "allow": false, "type": "c", "major": 1, "minor": 5, "access": "w" },
            { "allow": true, "type": "b", "major": 4_294_967_295_u32, "minor": 2_147_483_648_u32 },
            { "allow": true, "type": "a", "minor": 7, "access": "m" },
            { "allow": false, "type": "b", "major": 8, "minor": 7, "access": "mr" }
        ]));
        for many in [all.clone(), Vec::new(), {
            all.extend(always());
            all
        }] {
            let program = compile(&many);
            let numbers = [0, 1, 3, 5, 7, 8, 9, 136, 2_147_483_648, u32::MAX];
            for (kind, major) in [1, 2].into_iter().flat_map(|kind| numbers.map(|one| (kind, one)))
            {
                for (minor, access) in
                    numbers.into_iter().flat_map(|one| (1..=7).map(move |bits| (one, bits)))
                {
                    let device = (kind, major, minor);
                    assert_eq!(
                        run(&program, device, access),
                        meant(&many, device, access),
                        "{device:?} {access}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_kernel_takes_the_program() {
        let mut many = rules(
            json!([{ "allow": false }, { "allow": true, "type": "b", "major": 3_000_000_000_u32 }]),
        );
        many.extend(always());
        let longest: Vec<Rule> = many.iter().copied().cycle().take(4096).collect();
        for rules in [Vec::new(), many, longest] {
            match sys::load_device_program(&compile(&rules)) {
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                    eprintln!("skipped: this process may load no programs");
                    return;
                }
                other => drop(other.unwrap()),
            }
        }
    }
}
