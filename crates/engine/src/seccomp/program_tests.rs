//! Programs against a plain reading of the profile: an interpreter of classic BPF is the oracle.

use super::super::assemble::{Instruction, RETURN};
use super::super::profile::{Condition, Profile, Test};
use super::super::syscalls::{Convention, Machine, X32_BIT};
use super::super::{SeccompError, compile_for};
use super::*;
use oci_spec::runtime::LinuxSeccomp;

struct Call {
    number: u32,
    audit: u32,
    arguments: [u64; 6],
}

fn word(call: &Call, offset: u32) -> u32 {
    let mut data = [0_u8; 64];
    data[0..4].copy_from_slice(&call.number.to_le_bytes());
    data[4..8].copy_from_slice(&call.audit.to_le_bytes());
    for (index, argument) in call.arguments.iter().enumerate() {
        data[16 + 8 * index..24 + 8 * index].copy_from_slice(&argument.to_le_bytes());
    }
    let at = offset as usize;
    u32::from_le_bytes(data[at..at + 4].try_into().unwrap())
}

/// Runs a program as the kernel would, and fails on whatever the kernel's checker would refuse.
fn run(program: &[Instruction], call: &Call) -> u32 {
    let (mut at, mut a) = (0_usize, 0_u32);
    loop {
        let Instruction { code, jump_true, jump_false, k } = program[at];
        at += 1;
        match code {
            LOAD => a = word(call, k),
            AND => a &= k,
            JUMP_EQ | JUMP_GT | JUMP_GE => {
                let holds = match code {
                    JUMP_EQ => a == k,
                    JUMP_GT => a > k,
                    _ => a >= k,
                };
                at += usize::from(if holds { jump_true } else { jump_false });
            }
            RETURN => return k,
            0x05 => at += k as usize,
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn holds(condition: &Condition, narrow: bool, arguments: &[u64; 6]) -> bool {
    let cut = |value: u64| if narrow { value & 0xffff_ffff } else { value };
    let a = cut(arguments[usize::from(condition.index)]);
    match condition.test {
        Test::Equal(v) => a == cut(v),
        Test::NotEqual(v) => a != cut(v),
        Test::Less(v) => a < cut(v),
        Test::LessOrEqual(v) => a <= cut(v),
        Test::Greater(v) => a > cut(v),
        Test::GreaterOrEqual(v) => a >= cut(v),
        Test::MaskedEqual { mask, value } => a & cut(mask) == cut(value),
    }
}

/// The same question answered without tables of fates, ranges or programs.
fn naive(profile: &Profile, used: &[Convention], call: &Call) -> u32 {
    let marked = call.number & X32_BIT != 0 && call.number != NO_CALL;
    let x86_64 = Convention::X86_64.audit();
    let Some(convention) = used.iter().copied().find(|one| {
        one.audit() == call.audit
            && (call.audit != x86_64
                || (*one == Convention::X32) == (call.number >= X32_BIT && call.number != NO_CALL))
    }) else {
        return KILL_PROCESS;
    };
    if call.number == NO_CALL {
        return profile.default;
    }
    assert!(convention != Convention::X32 || marked || call.number >= X32_BIT);
    let mut applying = Vec::new();
    for rule in &profile.rules {
        if convention.number(&rule.syscall) == Some(call.number) {
            applying.push((rule.syscall.as_str(), rule.conditions.clone(), rule.verdict));
        }
        if rule.conditions.is_empty()
            && let Some((outer, value)) = convention.multiplexed(&rule.syscall)
            && convention.number(outer) == Some(call.number)
        {
            let condition = Condition { index: 0, test: Test::Equal(value) };
            applying.push((outer, vec![condition], rule.verdict));
        }
    }
    if let Some((_, _, verdict)) = applying.iter().find(|(_, conditions, _)| conditions.is_empty())
    {
        return *verdict;
    }
    applying
        .iter()
        .find(|(name, conditions, _)| {
            conditions.iter().all(|condition| {
                let narrow = convention.is_narrow(name, usize::from(condition.index));
                holds(condition, narrow, &call.arguments)
            })
        })
        .map_or(profile.default, |(_, _, verdict)| *verdict)
}

/// A small generator, so that a failure can be had again (xorshift64*).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn value(&mut self) -> u64 {
        const EDGES: [u64; 12] = [
            0,
            1,
            9,
            16,
            38,
            40,
            0x7fff_ffff,
            0xffff_ffff,
            0x1_0000_0000,
            0x1_0000_0026,
            0x7e02_0000,
            u64::MAX,
        ];
        match self.below(4) {
            0 => self.next(),
            1 => self.next() & 0xff,
            _ => EDGES[self.below(EDGES.len())],
        }
    }
}

const NAMES: &[&str] = &[
    "read",
    "write",
    "openat",
    "socket",
    "socketcall",
    "bind",
    "clone",
    "clone3",
    "personality",
    "ioctl",
    "mmap",
    "mmap2",
    "keyctl",
    "ipc",
    "shmget",
    "futex",
    "exit_group",
    "listns",
    "arch_prctl",
    "set_tls",
    "no_such_call",
];

fn random_profile(dice: &mut Dice) -> LinuxSeccomp {
    const OPERATORS: [&str; 7] = [
        "SCMP_CMP_EQ",
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_GT",
        "SCMP_CMP_GE",
        "SCMP_CMP_MASKED_EQ",
    ];
    const ACTIONS: [&str; 7] = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_LOG",
    ];
    let mut rules = Vec::new();
    for _ in 0..dice.below(60) {
        let names: Vec<_> = (0..=dice.below(3)).map(|_| NAMES[dice.below(NAMES.len())]).collect();
        let args: Vec<_> = (0..dice.below(4))
            .map(|_| {
                serde_json::json!({"index": dice.below(6), "value": dice.value(),
                    "valueTwo": dice.value(), "op": OPERATORS[dice.below(7)]})
            })
            .collect();
        rules.push(serde_json::json!({"names": names, "args": args,
            "action": ACTIONS[dice.below(7)]}));
    }
    let mut architectures = Vec::new();
    for name in ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X"] {
        if dice.below(2) == 0 {
            architectures.push(name);
        }
    }
    serde_json::from_value(serde_json::json!({
        "defaultAction": ACTIONS[dice.below(2)], "architectures": architectures,
        "defaultErrnoRet": 38, "syscalls": rules,
    }))
    .unwrap()
}

fn audits() -> Vec<u32> {
    [Convention::X86_64, Convention::X86, Convention::Aarch64, Convention::Arm]
        .iter()
        .map(|one| one.audit())
        .chain([0, 0xc000_00f3])
        .collect()
}

fn compare(machine: Machine, profile: &LinuxSeccomp, dice: &mut Dice, rounds: usize) {
    let filter = compile_for(machine, profile).unwrap();
    let parsed = Profile::parse(profile).unwrap();
    let used: Vec<_> = conventions(machine, &parsed).into_iter().collect();
    let numbers: Vec<u32> = (0..600)
        .chain(X32_BIT - 2..X32_BIT + 600)
        .chain([0x0f_0005, 0x7fff_ffff, 0x8000_0000, NO_CALL - 1, NO_CALL])
        .collect();
    for audit in audits() {
        for number in &numbers {
            for _ in 0..rounds {
                let arguments = std::array::from_fn(|_| dice.value());
                let call = Call { number: *number, audit, arguments };
                let want = naive(&parsed, &used, &call);
                let have = run(filter.instructions(), &call);
                assert_eq!(have, want, "{machine:?} {audit:#x} {number:#x} {arguments:#x?}");
            }
        }
    }
}

#[test]
fn a_program_does_what_its_profile_says() {
    let mut dice = Dice(0x5eed_0001);
    for _ in 0..16 {
        let profile = random_profile(&mut dice);
        compare(Machine::X86_64, &profile, &mut dice, 3);
        compare(Machine::Aarch64, &profile, &mut dice, 3);
    }
}

#[test]
fn far_jumps_reach_their_targets() {
    let mut dice = Dice(0x5eed_0002);
    // Each call has a fate of its own, so the code of fates alone is farther than a short jump.
    let rules: Vec<_> = super::super::table_x86_64::X86_64
        .iter()
        .take(300)
        .enumerate()
        .map(|(at, (name, _))| {
            serde_json::json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": at,
                "args": [{"index": at % 6, "value": dice.value(), "op": "SCMP_CMP_GE"}]})
        })
        .collect();
    let profile: LinuxSeccomp = serde_json::from_value(
        serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}),
    )
    .unwrap();
    compare(Machine::X86_64, &profile, &mut dice, 6);
}

#[test]
fn a_program_too_long_for_the_kernel_is_told() {
    let rules: Vec<_> = (0..2000)
        .map(|at| {
            serde_json::json!({"names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 1, "value": at * 7, "op": "SCMP_CMP_EQ"}]})
        })
        .collect();
    let profile: LinuxSeccomp = serde_json::from_value(
        serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}),
    )
    .unwrap();
    let error = compile_for(Machine::X86_64, &profile).unwrap_err();
    assert!(matches!(error, SeccompError::TooLong { instructions } if instructions > 4096));
}

#[test]
fn a_bit_above_an_int_does_not_open_a_rule() {
    let profile: LinuxSeccomp = serde_json::from_value(serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]}]
    }))
    .unwrap();
    let filter = compile_for(Machine::X86_64, &profile).unwrap();
    let ask = |family| {
        let arguments = [family, 0, 0, 0, 0, 0];
        let audit = Convention::X86_64.audit();
        run(filter.instructions(), &Call { number: 41, audit, arguments })
    };
    assert_eq!(ask(2), 0x7fff_0000);
    assert_eq!(ask(40), 0x0005_0001);
    // The kernel cuts this to 40.
    assert_eq!(ask(0x1_0000_0028), 0x0005_0001);
}

#[test]
fn what_cannot_be_kept_is_an_error() {
    let refuse = |value: serde_json::Value| {
        let profile: LinuxSeccomp = serde_json::from_value(value).unwrap();
        compile_for(Machine::X86_64, &profile).unwrap_err().to_string()
    };
    assert_eq!(
        refuse(serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]})),
        "seccomp: system call read: no argument 6, they are 0 to 5"
    );
    assert_eq!(
        refuse(serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}]})),
        "seccomp: read: error number 4096 cannot be returned by SCMP_ACT_ERRNO"
    );
    assert_eq!(
        refuse(serde_json::json!({"defaultAction": "SCMP_ACT_NOTIFY"})),
        "seccomp: the default: action SCMP_ACT_NOTIFY is not possible here"
    );
}

#[test]
fn tables_are_sorted_and_have_each_name_once() {
    for table in [
        super::super::table_x86_64::X86_64,
        super::super::table_x86::X86,
        super::super::table_x32::X32,
        super::super::table_aarch64::AARCH64,
        super::super::table_arm::ARM,
    ] {
        assert!(table.len() > 300);
        assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
    assert_eq!(Convention::X86_64.number("openat"), Some(257));
    assert_eq!(Convention::X86.number("openat"), Some(295));
    assert_eq!(Convention::Aarch64.number("openat"), Some(56));
    assert_eq!(Convention::Arm.number("openat"), Some(322));
    assert_eq!(Convention::X32.number("rt_sigaction"), Some(0x4000_0200));
}
