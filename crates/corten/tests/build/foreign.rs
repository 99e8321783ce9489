//! RUN for another machine, played by what the kernel was told of (`binfmt_misc`).

use std::os::unix::fs::PermissionsExt as _;

use crate::bench::Bench;

/// A program for arm64 that writes `text` to `path`: three calls of the kernel.
fn program(path: &str, text: &str) -> Vec<u8> {
    const AT: u32 = 64 + 56;
    const CALL: u32 = 0xd400_0001;
    let set = |register: u32, value: u32| 0xd280_0000 | value << 5 | register;
    let words = 13;
    let data = words * 4;
    // `adr register, target`, for the word at `place`.
    let address = |register: u32, place: u32, target: u32| {
        let distance = target - place * 4;
        0x1000_0000 | (distance & 3) << 29 | (distance >> 2) << 5 | register
    };
    let message = data + u32::try_from(path.len()).unwrap() + 1;
    let code = [
        0x9280_0000 | 99 << 5, // x0 = -100, the working directory
        address(1, 1, data),
        set(2, 0o101), // for writing, made where it is missing
        set(3, 0o644),
        set(8, 56), // openat
        CALL,
        address(1, 6, message),
        set(2, u32::try_from(text.len()).unwrap()),
        set(8, 64), // write
        CALL,
        set(0, 0),
        set(8, 93), // exit
        CALL,
    ];
    assert_eq!(u32::try_from(code.len()), Ok(words));
    let mut body: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend_from_slice(path.as_bytes());
    body.push(0);
    body.extend_from_slice(text.as_bytes());
    let (base, size) = (0x40_0000_u64, u64::from(AT) + body.len() as u64);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, 0xb7] {
        file.extend_from_slice(&half.to_le_bytes()); // executable, AArch64
    }
    file.extend_from_slice(&1_u32.to_le_bytes());
    for word in [base + u64::from(AT), 64, 0] {
        file.extend_from_slice(&word.to_le_bytes()); // entry, program headers, sections
    }
    file.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    for half in [1_u32, 5] {
        file.extend_from_slice(&half.to_le_bytes()); // loaded, to be read and run
    }
    for word in [0, base, base, size, size, 0x1000] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&body);
    file
}

#[test]
fn processes_for_another_machine_run_where_the_kernel_has_it_played() {
    let Some(bench) = Bench::new() else { return };
    let entry = std::fs::read_to_string("/proc/sys/fs/binfmt_misc/qemu-aarch64");
    let is_fixed =
        |entry: String| entry.lines().any(|line| line.starts_with("flags:") && line.contains('F'));
    if !entry.is_ok_and(is_fixed) {
        eprintln!("skipped: nothing plays an arm64 here (qemu-user-static with binfmt_misc)");
        return;
    }
    let path = bench.write("ctx/say", "");
    std::fs::write(&path, program("/out", "from afar\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = "FROM scratch\nCOPY say /say\nRUN [\"/say\"]\n";
    let report = bench.built(file, &["--platform", "linux/arm64"]);
    assert_eq!(bench.blob(&report["config"])["architecture"], "arm64");
    let answer = bench.corten("store", &["cat", "--platform", "linux/arm64", "store:t", "/out"]);
    assert_eq!(answer.out, "from afar\n", "{}", answer.err);
}
