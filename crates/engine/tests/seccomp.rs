//! Filters in the kernel: what a thread, or a child, may do once one is loaded.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use corten_engine::seccomp::{Filter, compile};
use oci_spec::runtime::LinuxSeccomp;
use rustix::io::Errno;

fn filter(profile: serde_json::Value) -> Filter {
    let profile: LinuxSeccomp = serde_json::from_value(profile).unwrap();
    compile(&profile).unwrap()
}

/// A filter binds the thread that loads it, so each test has a thread of its own.
fn within<T: Send + 'static>(filter: Filter, act: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        assert!(filter.install().unwrap().is_none());
        act()
    })
    .join()
    .unwrap()
}

fn socket(family: u16) -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketType};
    rustix::net::socket(AddressFamily::from_raw(family), SocketType::DGRAM, None).map(drop)
}

#[test]
fn the_kernel_refuses_what_the_profile_refuses() {
    let filter = filter(serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38,
             "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"}]
    }));
    let (unix, inet, cwd) = within(filter, || {
        let cwd = std::env::current_dir().map_err(|error| error.raw_os_error());
        (socket(1), socket(2), cwd)
    });
    assert_eq!(unix, Err(Errno::NOSYS));
    assert_eq!(inet, Ok(()));
    assert_eq!(cwd, Err(Some(1)));
    assert_eq!(socket(1), Ok(()), "other threads are free");
}

#[test]
fn a_profile_of_the_field_holds() {
    let path = "/var/lib/corten-peers/tree/usr/share/containers/seccomp.json";
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no profile of the field at {path}");
        return;
    };
    // The rules that hold for every machine and set of capabilities.
    let mut profile: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rules = profile["syscalls"].as_array_mut().unwrap();
    let none = serde_json::json!({});
    rules.retain(|rule| rule["includes"] == none && rule["excludes"] == none);
    rules.push(serde_json::json!({"names": ["socket"], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]}));
    let filter = filter(profile);
    let size = filter.instructions().len();
    assert!(size < 1000, "{size}");
    let (unix, vsock, host, file) = within(filter, || {
        let host = rustix::system::sethostname(b"");
        (socket(1), socket(40), host, std::fs::read_to_string("/proc/thread-self/status"))
    });
    assert_eq!(unix, Ok(()));
    assert_eq!(vsock, Err(Errno::PERM));
    // Only rules of CAP_SYS_ADMIN speak of it, so the profile's default answers.
    assert_eq!(host, Err(Errno::NOSYS));
    assert!(file.unwrap().contains("Seccomp:\t2"));
}

#[test]
fn a_killing_rule_kills() {
    const CHILD: &str = "CORTEN_TEST_KILLED";
    if std::env::var_os(CHILD).is_some() {
        let filter = filter(serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getpgid"], "action": "SCMP_ACT_KILL_PROCESS"}]}));
        within(filter, || rustix::process::getpgid(None).map(drop)).unwrap();
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killing_rule_kills", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(31), "{output:?}");
}
