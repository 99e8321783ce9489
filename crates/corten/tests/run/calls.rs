//! What a process in a container asks of the kernel itself: programs of one system call each, written by
//! hand, whose exit code is the error.

use corten_spec::ContainerConfig;
use corten_testkit::tar::TarMaker;

use crate::checks::HEAD;
use crate::image::{busybox, image};
use crate::machine::Machine;
use crate::matrix::{Case, root, user};

/// Where the program is in memory.
const BASE: u64 = 0x40_0000;

/// Calls that are refused, with arguments that would not harm if they were not.
const REFUSED: &[(&str, u64, [u64; 6])] = &[
    ("socket-alg", 41, [38, 5, 0, 0, 0, 0]),
    ("socket-vsock", 41, [40, 1, 0, 0, 0, 0]),
    ("unshare-user", 272, [0x1000_0000, 0, 0, 0, 0, 0]),
    ("unshare-mount", 272, [0x2_0000, 0, 0, 0, 0, 0]),
    ("clone-user", 56, [0x1000_0011, 0, 0, 0, 0, 0]),
    ("clone3", 435, [0; 6]),
    ("mount", 165, [0; 6]),
    ("umount2", 166, [0; 6]),
    ("pivot-root", 155, [0; 6]),
    ("setns", 308, [0; 6]),
    ("fsopen", 430, [0; 6]),
    ("open-tree", 428, [0; 6]),
    ("move-mount", 429, [0; 6]),
    ("mount-setattr", 442, [0; 6]),
    ("bpf", 321, [0; 6]),
    ("perf-event-open", 298, [0; 6]),
    ("keyctl", 250, [0; 6]),
    ("add-key", 248, [0; 6]),
    ("request-key", 249, [0; 6]),
    ("init-module", 175, [0; 6]),
    ("finit-module", 313, [0; 6]),
    ("delete-module", 176, [0; 6]),
    ("kexec-load", 246, [0; 6]),
    ("reboot", 169, [0xfee1_dead, 672_274_793, 0x1234, 0, 0, 0]),
    ("open-by-handle-at", 304, [0; 6]),
    ("iopl", 172, [3, 0, 0, 0, 0, 0]),
    ("ioperm", 173, [0, 1, 1, 0, 0, 0]),
    ("swapon", 167, [0; 6]),
    ("acct", 163, [0; 6]),
    ("settimeofday", 164, [0; 6]),
    ("userfaultfd", 323, [0; 6]),
    ("io-uring-setup", 425, [1, 0, 0, 0, 0, 0]),
    ("quotactl", 179, [0; 6]),
    ("syslog", 103, [3, 0, 0, 0, 0, 0]),
    ("vhangup", 153, [0; 6]),
];

/// `EPERM`, `ENOSYS`, `EAFNOSUPPORT`.
const ERRORS: [i32; 3] = [1, 38, 97];

/// An ELF program for x86-64 that makes one call and exits with its error.
fn program(number: u64, arguments: [u64; 6]) -> Vec<u8> {
    let registers: [[u8; 2]; 6] =
        [[0x48, 0xbf], [0x48, 0xbe], [0x48, 0xba], [0x49, 0xba], [0x49, 0xb8], [0x49, 0xb9]];
    let mut code = vec![0x48, 0xb8];
    code.extend(number.to_le_bytes());
    for (register, value) in registers.iter().zip(arguments) {
        code.extend(register);
        code.extend(value.to_le_bytes());
    }
    // syscall; neg eax; mov edi, eax; mov eax, exit; syscall
    code.extend([0x0f, 0x05, 0xf7, 0xd8, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
    let head: u64 = 64 + 56;
    let size = head + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    [BASE + head, 64, 0].iter().for_each(|value| file.extend(value.to_le_bytes()));
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // One segment, to read and to run.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    [0, BASE, BASE, size, size, 0x1000].iter().for_each(|value| file.extend(value.to_le_bytes()));
    file.extend(code);
    file
}

fn refuses(case: &Case) {
    if std::env::consts::ARCH != "x86_64" {
        eprintln!("skipped: the calls are written for x86-64");
        return;
    }
    let Some(busybox) = busybox() else { return };
    let Some(machine) = Machine::new(&case.setup()) else { return };
    // What succeeds must show: getppid of the first process is 0, and a socket is a descriptor.
    let mut calls = vec![("allowed", 110, [0; 6]), ("allowed-socket", 41, [1, 1, 0, 0, 0, 0])];
    calls.extend(REFUSED);
    let add = |tar: TarMaker, (name, number, arguments): &(&str, u64, [u64; 6])| {
        tar.file(&format!("calls/{name}"), 0o755, program(*number, *arguments))
    };
    let tar = calls.iter().fold(TarMaker::new(), add);
    let config =
        ContainerConfig { env: vec!["PATH=/bin".to_owned()], ..ContainerConfig::default() };
    machine.layout.add("app", &image(&busybox, tar, config));
    let script = "run $IMAGE sh -c 'for c in /calls/*; do $c; echo ${c##*/} $?; done'";
    let answer = machine.sh(&format!("FLAGS='{}'{HEAD}{script}", case.flags));
    let mut seen = 0;
    for line in answer.out.lines() {
        let (name, code) = line.rsplit_once(' ').unwrap();
        let code: i32 = code.parse().unwrap();
        if name == "=" {
            assert_eq!(code, 0);
        } else if name.starts_with("allowed") {
            assert!(!ERRORS.contains(&code), "{line}");
        } else {
            assert!(ERRORS.contains(&code), "{line} is not refused");
            seen += 1;
        }
    }
    assert_eq!(seen, REFUSED.len(), "{answer:?}");
}

#[test]
fn calls_of_root_are_refused() {
    refuses(&root());
}

#[test]
fn calls_of_a_user_are_refused() {
    refuses(&user());
}
