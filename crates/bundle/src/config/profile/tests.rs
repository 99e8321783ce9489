//! The default profile against its text, and profile files of the field.

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::runtime::{
    Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompOperator, LinuxSyscall,
};

use super::*;
use crate::config::capabilities::ALL;

/// What becomes of a call: `None` when it is allowed, else the error number.
type Verdict = Option<u32>;

/// As runtimes take a profile: the first rule without conditions, else the first whose conditions hold,
/// else the default.
fn verdict(profile: &LinuxSeccomp, name: &str, arguments: [u64; 6]) -> Verdict {
    let entries = || profile.syscalls().iter().flatten();
    let named = |call: &&LinuxSyscall| call.names().iter().any(|one| one == name);
    let bare = |call: &&LinuxSyscall| call.args().iter().flatten().count() == 0;
    let holds = |call: &&LinuxSyscall| {
        call.args().iter().flatten().all(|one| {
            let found = arguments[one.index()];
            match one.op() {
                LinuxSeccompOperator::ScmpCmpEq => found == one.value(),
                LinuxSeccompOperator::ScmpCmpNe => found != one.value(),
                LinuxSeccompOperator::ScmpCmpLt => found < one.value(),
                LinuxSeccompOperator::ScmpCmpGt => found > one.value(),
                LinuxSeccompOperator::ScmpCmpMaskedEq => {
                    found & one.value() == one.value_two().unwrap_or(0)
                }
                other => panic!("{other:?}"),
            }
        })
    };
    let first = entries().filter(named).find(bare);
    let (action, errno) = match first.or_else(|| entries().filter(named).find(holds)) {
        Some(call) => (call.action(), call.errno_ret()),
        None => (profile.default_action(), profile.default_errno_ret()),
    };
    match action {
        LinuxSeccompAction::ScmpActAllow => None,
        LinuxSeccompAction::ScmpActErrno => Some(errno.unwrap_or(1)),
        other => panic!("{other:?}"),
    }
}

/// The text read once more, word by word, for one call.
fn by_the_text(name: &str, argument: u64, held: &[Capability], machine: &str) -> Verdict {
    let mut lines = TEXT.lines().filter(|line| !line.starts_with('#')).peekable();
    let (mut bare, mut conditioned) = (Vec::new(), Vec::new());
    while let Some(head) = lines.next() {
        let mut named = false;
        while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
            named |= line.split(' ').any(|word| word == name);
        }
        let after = |word: &str| -> Vec<&str> {
            let words = head.split(' ').skip_while(|one| *one != word).skip(1);
            words.take_while(|one| !["with", "without", "on", "if"].contains(one)).collect()
        };
        let has = |name: &&str| held.iter().any(|one| one.to_string() == **name);
        let (with, without, on) = (after("with"), after("without"), after("on"));
        let applies = (with.is_empty() || with.iter().any(has))
            && !without.iter().any(has)
            && (on.is_empty() || on.contains(&machine));
        if !named || !applies || head.starts_with("default") {
            continue;
        }
        let errno = head.strip_prefix("errno ").map(|rest| rest.split(' ').next().unwrap());
        let errno: Verdict = errno.map(|number| number.parse().unwrap());
        let condition = after("if").join(" ").replace("arg0 ", "");
        if condition.is_empty() {
            bare.push(errno);
            continue;
        }
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
            None => text.parse().unwrap(),
        };
        let (mask, values) = condition.split_once("== ").unwrap();
        let mask = mask.trim().strip_prefix("& ").map_or(u64::MAX, number);
        if values.split(',').any(|value| argument & mask == number(value)) {
            conditioned.push(errno);
        }
    }
    let first = bare.first().or(conditioned.first());
    first.copied().unwrap_or(Some(38))
}

fn names() -> BTreeSet<String> {
    let indented = TEXT.lines().filter(|line| line.starts_with("    "));
    let unnamed = ["io_uring_setup", "afs_syscall", "no_such_call"].map(str::to_owned);
    indented.flat_map(str::split_whitespace).map(str::to_owned).chain(unnamed).collect()
}

fn sets() -> Vec<Vec<Capability>> {
    let mut sets = vec![Vec::new(), ALL.to_vec()];
    sets.extend(ALL.map(|one| vec![one]));
    sets.extend(ALL.map(|one| ALL.into_iter().filter(|other| *other != one).collect()));
    sets
}

#[test]
fn the_profile_allows_exactly_what_its_text_says() {
    const ARGUMENTS: [u64; 22] = [
        0,
        1,
        2,
        8,
        16,
        20,
        21,
        31,
        32,
        36,
        38,
        39,
        40,
        41,
        45,
        46,
        0x2_0000,
        0x2_0008,
        0x1_1200,
        0x1000_0011,
        0xffff_ffff,
        0x1_0000_0026,
    ];
    let conditioned = ["socket", "socketcall", "clone", "personality", "openat"];
    let check = |profile: &LinuxSeccomp, held: &[Capability], machine: &str, name: &str, one| {
        let found = verdict(profile, name, [one, 0, 0, 0, 0, 0]);
        let meant = by_the_text(name, one, held, machine);
        assert_eq!(found, meant, "{name}({one:#x}) on {machine} with {held:?}");
    };
    for machine in ["amd64", "arm64", "riscv64"] {
        for held in [Vec::new(), ALL.to_vec(), vec![Capability::SysAdmin]] {
            let profile = default_profile(&held, machine);
            names().iter().for_each(|name| check(&profile, &held, machine, name, 1));
            for (name, argument) in conditioned.iter().flat_map(|n| ARGUMENTS.map(|a| (n, a))) {
                check(&profile, &held, machine, name, argument);
            }
        }
    }
    // Each capability alone, and all but it: those are the calls that hang on one.
    let hanging = TEXT.lines().skip_while(|line| !line.starts_with("allow with"));
    let hanging = hanging.filter(|line| line.starts_with("    "));
    let hanging: BTreeSet<&str> = hanging.flat_map(str::split_whitespace).collect();
    assert!(hanging.contains("mount") && hanging.contains("reboot"));
    for held in sets() {
        let profile = default_profile(&held, "amd64");
        hanging.iter().for_each(|name| check(&profile, &held, "amd64", name, 0));
    }
}

#[test]
fn no_socket_of_the_two_families_is_made_however_the_argument_is_written() {
    for machine in ["amd64", "arm64"] {
        for held in [vec![], ALL.to_vec()] {
            let profile = default_profile(&held, machine);
            let socket = |family| verdict(&profile, "socket", [family, 1, 0, 0, 0, 0]);
            for family in 0..=64 {
                let refused = matches!(family, 38 | 40 | 46..).then_some(38);
                // The kernel looks at 32 bits of the 64, so the others must not matter.
                for high in [0, 1 << 32, 0xffff_ffff << 32] {
                    assert_eq!(socket(high | family), refused, "{family} {high:#x}");
                }
            }
            let call = |what| verdict(&profile, "socketcall", [what, 0, 0, 0, 0, 0]);
            assert_eq!((call(1), call(1 << 32 | 1), call(2)), (Some(38), Some(38), None));
        }
    }
}

#[test]
fn without_sys_admin_no_process_is_made_in_a_namespace_of_its_own() {
    const NAMESPACES: [u64; 7] =
        [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    let without: Vec<_> = ALL.into_iter().filter(|one| *one != Capability::SysAdmin).collect();
    let (profile, free) = (default_profile(&without, "amd64"), default_profile(&ALL, "amd64"));
    let clone = |profile, flags| verdict(profile, "clone", [flags, 0, 0, 0, 0, 0]);
    assert_eq!(clone(&profile, 0x0120_0011), None, "fork");
    assert_eq!(clone(&profile, 0x003d_0f00), None, "a thread");
    for flag in NAMESPACES {
        assert_eq!(clone(&profile, 0x11 | flag), Some(38), "{flag:#x}");
        assert_eq!(clone(&free, 0x11 | flag), None, "{flag:#x}");
    }
    let bare = |profile, name| verdict(profile, name, [0; 6]);
    assert_eq!((bare(&profile, "clone3"), bare(&free, "clone3")), (Some(38), None));
    for name in ["unshare", "setns", "mount", "fsopen", "open_tree", "pivot_root", "umount2"] {
        assert_eq!((bare(&profile, name), bare(&free, name)), (Some(1), None), "{name}");
    }
}

#[test]
fn no_call_is_both_allowed_and_refused_without_a_condition() {
    for held in sets() {
        let profile = default_profile(&held, "amd64");
        let mut said: BTreeMap<&str, LinuxSeccompAction> = BTreeMap::new();
        for call in profile.syscalls().iter().flatten().filter(|call| call.args().is_none()) {
            for name in call.names() {
                let before = said.insert(name, call.action());
                assert_eq!(before, None, "{name} is named twice with {held:?}");
            }
        }
    }
}

#[test]
fn an_odd_line_is_no_profile() {
    assert!(text::parse(TEXT).is_ok());
    for (odd, line) in [
        ("    openat\n", 1),
        ("allow\n    openat\nerrno\n", 3),
        ("allow with NO_SUCH\n", 1),
        ("allow with\n", 1),
        ("allow if arg6 == 0\n", 1),
        ("allow if arg0 = 0\n", 1),
        ("allow if arg0 & x == 0\n", 1),
        ("allow if arg0 == 0,\n", 1),
        ("allow unless SYS_ADMIN\n", 1),
        ("permit\n", 1),
        ("\tallow\n", 1),
        ("default allow\n", 1),
    ] {
        assert_eq!(text::parse(odd).unwrap_err(), text::OddLine(line), "{odd:?}");
    }
}

#[test]
fn a_file_of_the_field_is_read_with_its_conditions() {
    let path = "/var/lib/corten-peers/tree/usr/share/containers/seccomp.json";
    let Ok(bytes) = std::fs::read(path) else {
        eprintln!("skipped: no profile of the field at {path}");
        return;
    };
    let held: Vec<_> = [Capability::Chown, Capability::SysChroot].into();
    let theirs = read_profile(&bytes, &held, "amd64").unwrap();
    let ours = default_profile(&held, "amd64");
    let call = |profile: &LinuxSeccomp, name: &str| verdict(profile, name, [0; 6]);
    assert_eq!(theirs.architectures(), ours.architectures());
    assert_eq!(call(&theirs, "chroot"), None);
    assert_eq!(call(&theirs, "clock_settime"), Some(1));
    assert_eq!(call(&theirs, "no_such_call"), Some(38));
    let allowed = |profile: &LinuxSeccomp| -> BTreeSet<String> {
        names().into_iter().filter(|name| call(profile, name).is_none()).collect()
    };
    let (ours, theirs) = (allowed(&ours), allowed(&theirs));
    let less: Vec<&str> = theirs.difference(&ours).map(String::as_str).collect();
    let less = less.join(" ");
    assert_eq!(
        less,
        "clone3 fanotify_init fsconfig fsmount fsopen fspick get_mempolicy keyctl mbind mount \
         mount_setattr move_mount open_tree pidfd_getfd pivot_root reboot set_mempolicy \
         setns socketcall syslog umount umount2 unshare"
    );
    let more: Vec<&str> = ours.difference(&theirs).map(String::as_str).collect();
    let more = more.join(" ");
    assert_eq!(
        more,
        "cachestat file_getattr file_setattr futex_requeue futex_wait futex_waitv futex_wake \
         getxattrat io_pgetevents io_pgetevents_time64 listmount listxattrat map_shadow_stack \
         mseal removexattrat setxattrat sigaction sigpending sigsuspend statmount uretprobe \
         vmsplice"
    );
}

#[test]
fn a_file_that_cannot_be_understood_is_no_profile() {
    let read = |text: &str| read_profile(text.as_bytes(), &[], "amd64");
    for text in [
        "",
        "{}",
        r#"{"defaultAction": "ALLOW_ALL"}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["a"]}]}"#,
        // A condition that is not known: the rule could be meant for nobody.
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["mount"],
            "action": "SCMP_ACT_ALLOW", "includes": {"moon": ["full"]}}]}"#,
    ] {
        assert!(matches!(read(text), Err(ProfileError::Malformed(_))), "{text}");
    }
    for (version, holds) in
        [("4.8", true), ("5.12.1", true), ("5.13", false), ("4.x", false), ("", false)]
    {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["mount"],
            "action": "SCMP_ACT_ALLOW", "includes": {{"minKernel": "{version}"}}}}]}}"#
        );
        match read(&text) {
            Ok(_) => assert!(holds, "{version:?}"),
            Err(error) => assert!(!holds && matches!(error, ProfileError::Kernel { .. })),
        }
    }
    let large = " ".repeat(MAX_PROFILE + 1);
    assert!(matches!(read(&large), Err(ProfileError::TooLarge)));
}
