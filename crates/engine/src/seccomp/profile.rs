//! A profile as read and checked: actions as the kernel's verdicts, conditions with their numbers.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use super::{MAX_RULES, SeccompError};

/// The largest error number that a system call may return.
const MAX_ERRNO: u32 = 4095;
/// `SECCOMP_RET_USER_NOTIF`.
const NOTIFY: u32 = 0x7fc0_0000;
/// What an action that returns a number returns if none is given: `EPERM`.
const DEFAULT_ERRNO: u32 = 1;

/// A checked profile.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) default: u32,
    pub(super) architectures: Vec<Arch>,
    pub(super) rules: Vec<Rule>,
}

/// One system call with its conditions, all of which must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) syscall: String,
    pub(super) conditions: Vec<Condition>,
    pub(super) verdict: u32,
}

/// A comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) index: u8,
    pub(super) test: Test,
}

/// What an argument is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    GreaterOrEqual(u64),
    Greater(u64),
    MaskedEqual { mask: u64, value: u64 },
}

impl Profile {
    /// Checks `profile`.
    pub(super) fn parse(profile: &LinuxSeccomp) -> Result<Self, SeccompError> {
        let action = profile.default_action();
        if action == LinuxSeccompAction::ScmpActNotify {
            // Nobody would be there to pass the listener on: sending it needs system calls.
            return Err(impossible("the default", action));
        }
        // Beside an action that returns nothing a default number means nothing, and profiles carry it.
        let errno = profile.default_errno_ret().filter(|_| returns_number(action));
        let default = verdict("the default", action, errno)?;
        let mut rules = Vec::new();
        for entry in profile.syscalls().iter().flatten() {
            read_entry(entry, default, &mut rules)?;
        }
        Ok(Self {
            default,
            architectures: profile.architectures().clone().unwrap_or_default(),
            rules,
        })
    }

    /// Whether a rule asks a listener.
    pub(super) fn notifies(&self) -> bool {
        self.rules.iter().any(|rule| rule.verdict == NOTIFY)
    }
}

fn read_entry(
    entry: &LinuxSyscall,
    default: u32,
    rules: &mut Vec<Rule>,
) -> Result<(), SeccompError> {
    for name in entry.names() {
        let verdict = verdict(name, entry.action(), entry.errno_ret())?;
        if verdict == NOTIFY && name == "write" {
            // The listener itself is sent with it, or with what stands beside it.
            return Err(impossible(name, entry.action()));
        }
        let mut conditions = Vec::new();
        for argument in entry.args().iter().flatten() {
            conditions.push(read_condition(name, argument)?);
        }
        if verdict == default {
            continue;
        }
        let sets = if repeats(&conditions) {
            conditions.into_iter().map(|one| vec![one]).collect()
        } else {
            vec![conditions]
        };
        for conditions in sets {
            if rules.len() >= MAX_RULES {
                return Err(SeccompError::TooManyRules { limit: MAX_RULES });
            }
            rules.push(Rule { syscall: name.clone(), conditions, verdict });
        }
    }
    Ok(())
}

fn read_condition(syscall: &str, argument: &LinuxSeccompArg) -> Result<Condition, SeccompError> {
    let index =
        u8::try_from(argument.index()).ok().filter(|index| *index < 6).ok_or_else(|| {
            SeccompError::Argument { syscall: syscall.to_owned(), index: argument.index() }
        })?;
    let value = argument.value();
    let test = match argument.op() {
        LinuxSeccompOperator::ScmpCmpEq => Test::Equal(value),
        LinuxSeccompOperator::ScmpCmpNe => Test::NotEqual(value),
        LinuxSeccompOperator::ScmpCmpLt => Test::Less(value),
        LinuxSeccompOperator::ScmpCmpLe => Test::LessOrEqual(value),
        LinuxSeccompOperator::ScmpCmpGe => Test::GreaterOrEqual(value),
        LinuxSeccompOperator::ScmpCmpGt => Test::Greater(value),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            Test::MaskedEqual { mask: value, value: argument.value_two().unwrap_or(0) }
        }
    };
    Ok(Condition { index, test })
}

fn repeats(conditions: &[Condition]) -> bool {
    let mut seen = 0_u8;
    conditions.iter().any(|condition| {
        let bit = 1 << condition.index;
        let again = seen & bit != 0;
        seen |= bit;
        again
    })
}

fn returns_number(action: LinuxSeccompAction) -> bool {
    matches!(action, LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace)
}

/// The kernel's verdict for an action. A number beside an action that returns none is an error
/// (runtime-spec, config-linux, "Seccomp").
fn verdict(
    place: &str,
    action: LinuxSeccompAction,
    errno: Option<u32>,
) -> Result<u32, SeccompError> {
    let bad =
        |errno| SeccompError::Errno { place: place.to_owned(), errno, action: action.to_string() };
    if !returns_number(action) {
        return match errno {
            Some(errno) => Err(bad(errno)),
            None => Ok(action.as_u32(None)),
        };
    }
    let errno = errno.unwrap_or(DEFAULT_ERRNO);
    if errno > MAX_ERRNO {
        return Err(bad(errno));
    }
    Ok(action.as_u32(Some(errno)))
}

fn impossible(place: &str, action: LinuxSeccompAction) -> SeccompError {
    SeccompError::Action { place: place.to_owned(), action: action.to_string() }
}
