//! An assembler of classic BPF that writes a program from its end to its start.
//!
//! Jumps only go forward, so every target stands already when a jump is written, its distance is known,
//! and a jump too far for eight bits gets a long one beside it at once; there is no second pass.

use std::collections::HashMap;

/// One instruction, laid out as the kernel's `sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What is done.
    pub code: u16,
    /// Instructions to leave out when the comparison holds.
    pub jump_true: u8,
    /// Instructions to leave out when it does not.
    pub jump_false: u8,
    /// The operand.
    pub k: u32,
}

/// `A = *(u32 *)(data + k)`.
pub(super) const LOAD: u16 = 0x20;
/// `A &= k`.
pub(super) const AND: u16 = 0x54;
/// Forward by `k`.
pub(super) const JUMP: u16 = 0x05;
/// `A == k`.
pub(super) const JUMP_EQ: u16 = 0x15;
/// `A > k`, unsigned.
pub(super) const JUMP_GT: u16 = 0x25;
/// `A >= k`, unsigned.
pub(super) const JUMP_GE: u16 = 0x35;
/// The verdict is `k`.
pub(super) const RETURN: u16 = 0x06;

/// A place to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// An instruction, by its number from the end.
    At(usize),
    /// A return with this verdict, wherever one is near.
    Return(u32),
}

/// The program so far, last instruction first.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    returns: HashMap<u32, usize>,
}

/// Farther than this is not jumped in one step; two instructions are kept for the long jumps that the
/// same comparison may need.
const NEAR: usize = 250;

impl Assembler {
    /// Writes `code` with `k` before all that is written; it falls through to it.
    pub(super) fn plain(&mut self, code: u16, k: u32) -> Target {
        self.push(code, 0, 0, k)
    }

    /// Writes a comparison with its two ways on.
    pub(super) fn branch(&mut self, code: u16, k: u32, holds: Target, fails: Target) -> Target {
        let holds = self.near(holds);
        let fails = self.near(fails);
        let (jump_true, jump_false) = (self.distance(holds), self.distance(fails));
        self.push(code, jump_true, jump_false, k)
    }

    /// Makes `target` what comes next, so that a plain instruction may fall through to it.
    pub(super) fn fall_to(&mut self, target: Target) {
        match target {
            Target::At(at) if at + 1 == self.reversed.len() => {}
            Target::At(at) => {
                let k = self.reversed.len().saturating_sub(at + 1);
                // A program of more than 4096 instructions is refused at the end anyway.
                self.plain(JUMP, u32::try_from(k).unwrap_or(u32::MAX));
            }
            Target::Return(verdict) => {
                self.verdict(verdict);
            }
        }
    }

    /// Instructions so far.
    pub(super) fn len(&self) -> usize {
        self.reversed.len()
    }

    /// The program in its order.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    fn push(&mut self, code: u16, jump_true: u8, jump_false: u8, k: u32) -> Target {
        self.reversed.push(Instruction { code, jump_true, jump_false, k });
        Target::At(self.reversed.len() - 1)
    }

    fn verdict(&mut self, verdict: u32) -> usize {
        self.plain(RETURN, verdict);
        let at = self.reversed.len() - 1;
        self.returns.insert(verdict, at);
        at
    }

    /// An instruction in reach that does what `target` does.
    fn near(&mut self, target: Target) -> usize {
        let known = match target {
            Target::At(at) => Some(at),
            Target::Return(verdict) => self.returns.get(&verdict).copied(),
        };
        match (known, target) {
            (Some(at), _) if self.reversed.len() - at <= NEAR => at,
            // A return is as short as a jump to it.
            (_, Target::Return(verdict)) => self.verdict(verdict),
            (_, Target::At(_)) => {
                self.fall_to_far(target);
                self.reversed.len() - 1
            }
        }
    }

    fn fall_to_far(&mut self, target: Target) {
        if let Target::At(at) = target {
            let k = self.reversed.len().saturating_sub(at + 1);
            self.plain(JUMP, u32::try_from(k).unwrap_or(u32::MAX));
        }
    }

    /// Instructions between the next one written and `at`; `near` keeps it under 256.
    fn distance(&self, at: usize) -> u8 {
        let between = self.reversed.len().saturating_sub(at + 1);
        u8::try_from(between).unwrap_or(u8::MAX)
    }
}
