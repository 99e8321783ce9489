//! The same life for an ordinary user, as the root of a user namespace.

use crate::machine::{Answer, Machine, binary};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};

/// The id of somebody without any rights.
const SOMEBODY: u32 = 1000;

#[test]
fn an_ordinary_user_has_containers_as_well() {
    let Some(machine) = Machine::new() else { return };
    let scratch = machine.scratch.path();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(scratch, open).unwrap();
    std::fs::copy(binary(), scratch.join("life")).unwrap();
    std::fs::create_dir(scratch.join("home")).unwrap();
    chown(scratch.join("home"), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let script = r#"
        life() { "$0/life" "$0/home/root" "$@"; }
        life run --rm --lower="$0/lower" sh -c 'id; exit 7'; echo "code $?"
        life create --name=one --lower="$0/lower" sh -c 'trap "exit 4" TERM; echo up; while :; do sleep 0.05; done' > "$0/home/id"
        life start one > /dev/null
        life exec one sh -c 'echo in'
        until life logs one | grep -q up; do sleep 0.05; done
        life stop one
        life wait one; echo "code $?"
        life remove one
        life create --name=two --restart=always --lower="$0/lower" sleep 100 > "$0/home/id"
        life start two > /dev/null
        life remove --force two
        ls "$0/home/root/containers" "$0/home/root/garbage" "$0/home/root/runtime" | grep -v :
    "#;
    let ids = [format!("--reuid={SOMEBODY}"), format!("--regid={SOMEBODY}")];
    let output = Command::new("setpriv")
        .args(ids)
        .args(["--clear-groups", "unshare", "--user", "--map-root-user", "sh", "-c", script])
        .arg(scratch)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no setpriv");
        return;
    };
    let answer = Answer::from(output);
    if answer.error.contains("unshare failed") {
        eprintln!("skipped: this machine gives users no namespaces: {}", answer.error);
        return;
    }
    assert_eq!(answer.output.trim(), "uid=0 gid=0\ncode 7\nin\ncode 4", "{answer:?}");
}
