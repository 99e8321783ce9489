//! What reads foreign bytes is a process that has nothing else.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::User;

/// A tar in gzip that takes a while to give: half of it was given.
fn halfway(user: &User) -> (Child, Vec<u8>) {
    let tree = user.path("tree");
    fs::create_dir(&tree).unwrap();
    let noise: Vec<u8> =
        (0..4_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    fs::write(tree.join("noise"), &noise).unwrap();
    let packed = user.path("tree.tgz");
    let done = Command::new("tar").arg("-czf").arg(&packed).arg("-C").arg(&tree).arg(".").status();
    assert!(done.unwrap().success());
    let mut bytes = fs::read(&packed).unwrap();
    let rest = bytes.split_off(bytes.len() / 2);
    let mut command = user.command(["import", "-", "app"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut import = command.spawn().unwrap();
    import.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
    (import, rest)
}

/// The process that reads for `parent`, once it is confined.
fn reader(parent: u32) -> PathBuf {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let is_reader = line.ends_with(b"\0corten-read\0");
            if is_reader
                && field(&path, "PPid") == parent.to_string()
                && field(&path, "Seccomp") == "2"
            {
                return path;
            }
        }
        assert!(Instant::now() < limit, "nothing reads apart");
        thread::sleep(Duration::from_millis(10));
    }
}

fn field(process: &Path, name: &str) -> String {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let found = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    found.unwrap_or_default().trim().to_owned()
}

fn is_over(process: &Path) -> bool {
    match fs::read_to_string(process.join("status")) {
        Ok(status) => status.contains("\nState:\tZ"),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

#[test]
fn a_reader_has_no_right_no_file_and_no_network() {
    let user = User::new();
    let (mut import, rest) = halfway(&user);
    let reader = reader(import.id());
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&reader, name), "0000000000000000", "{name}");
    }
    assert_eq!(field(&reader, "NoNewPrivs"), "1");
    assert_eq!(field(&reader, "Threads"), "1");
    if rustix::process::geteuid().is_root() {
        for name in ["Uid", "Gid"] {
            assert_eq!(field(&reader, name), ["65534"; 4].join("\t"), "{name}");
        }
        assert_eq!(field(&reader, "Groups"), "");
    }
    assert!(fs::read(reader.join("environ")).unwrap_or_default().is_empty());
    let mut seen = 0;
    for entry in fs::read_dir(reader.join("fd")).unwrap().flatten() {
        let target = fs::read_link(entry.path()).unwrap().display().to_string();
        let known = ["socket:", "/memfd:corten-reader", "/dev/null"];
        assert!(known.iter().any(|known| target.starts_with(known)), "{target}");
        seen += 1;
    }
    assert!(seen >= 3);
    import.stdin.take().unwrap().write_all(&rest).unwrap();
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(is_over(&reader));
}

#[test]
fn a_reader_that_is_ended_is_told_and_nothing_is_named() {
    let user = User::new();
    let (import, rest) = halfway(&user);
    let reader = reader(import.id());
    let pid = reader.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    let mut import = import;
    let _ = import.stdin.take().unwrap().write_all(&rest);
    let output = import.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the process that unpacks it apart was ended by signal 6"), "{said}");
    assert_ne!(user.run(["inspect", "app"]).code, 0);
}

#[test]
fn a_reader_does_not_outlive_who_asked() {
    let user = User::new();
    let (mut import, _) = halfway(&user);
    let reader = reader(import.id());
    import.kill().unwrap();
    import.wait().unwrap();
    let limit = Instant::now() + Duration::from_secs(10);
    while !is_over(&reader) {
        assert!(Instant::now() < limit, "it reads on");
        thread::sleep(Duration::from_millis(10));
    }
}
