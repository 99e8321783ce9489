//! Images and configurations that reach for the machine: a canary outside stays as it was.

use crate::machine::{Answer, Machine, engine_binary};
use serde_json::json;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

fn canary(machine: &Machine) -> PathBuf {
    let canary = machine.scratch.path().join("canary");
    std::fs::create_dir(&canary).unwrap();
    canary
}

fn untouched(canary: &std::path::Path) {
    assert_eq!(std::fs::read_dir(canary).unwrap().count(), 0, "the canary was touched");
}

#[test]
fn links_in_place_of_kernel_directories_do_not_lead_out() {
    for name in ["dev", "proc", "sys"] {
        let Some(machine) = Machine::new("exit 0") else { return };
        let canary = canary(&machine);
        std::fs::remove_dir(machine.rootfs().join(name)).unwrap();
        symlink(&canary, machine.rootfs().join(name)).unwrap();
        let answer = machine.run();
        assert_eq!(answer.code, Some(125), "{name}: {}", answer.error);
        untouched(&canary);
        // The same, with the target there inside the root.
        let inside = machine.rootfs().join(canary.strip_prefix("/").unwrap());
        std::fs::create_dir_all(inside).unwrap();
        let answer = machine.run();
        assert_eq!(
            answer.code,
            Some(if name == "dev" { 0 } else { 125 }),
            "{name}: {}",
            answer.error
        );
        untouched(&canary);
    }
}

#[test]
fn mounts_files_and_working_directories_stay_inside() {
    let Some(mut machine) = Machine::new("exit 0") else { return };
    let canary = canary(&machine);
    symlink(&canary, machine.rootfs().join("link")).unwrap();
    machine.config["process"]["cwd"] = json!("/link/work");
    assert_eq!(machine.run().code, Some(125));
    untouched(&canary);
    machine.config["process"]["cwd"] = json!("/");
    symlink("../../../../../../../../../..", machine.rootfs().join("up")).unwrap();
    let target = canary.join("made");
    let shown = format!("/up{}", target.display());
    for destination in ["/link/a", "/link/../link/b/c", &shown] {
        let mut changed = machine.config.clone();
        changed["mounts"].as_array_mut().unwrap().extend([
            json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs" }),
            json!({ "destination": format!("{destination}/file"), "type": "bind", "source": "/etc/passwd", "options": ["bind"] }),
        ]);
        let plain = std::mem::replace(&mut machine.config, changed);
        machine.run();
        untouched(&canary);
        machine.config = plain;
    }
}

#[test]
fn a_working_directory_through_a_leaked_descriptor_is_refused() {
    for number in 0..16 {
        let Some(mut machine) = Machine::new("pwd; ls") else { return };
        machine.config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        let answer = machine.run();
        assert_eq!(answer.code, Some(125), "{number}: {} {}", answer.output, answer.error);
    }
}

#[test]
fn the_binary_cannot_be_opened_for_writing_from_inside() {
    let script = "cat /engine > /dev/null; sleep 100";
    let Some(mut machine) = Machine::new(script) else { return };
    // A script whose interpreter is the running binary itself: what was once used to overwrite a runtime.
    let attack = machine.rootfs().join("bin/attack");
    std::fs::write(&attack, "#!/proc/self/exe\n").unwrap();
    std::fs::set_permissions(&attack, std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.config["process"]["args"] = json!(["attack"]);
    let before = std::fs::read(engine_binary()).unwrap();
    machine.run();
    assert!(before == std::fs::read(engine_binary()).unwrap());
}

#[test]
fn wishes_that_cannot_be_met_are_errors() {
    let Some(mut machine) = Machine::new("exit 0") else { return };
    for (pointer, value) in [
        ("apparmorProfile", json!("strict")),
        ("selinuxLabel", json!("system_u:system_r:container_t:s0")),
        ("ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 })),
        ("scheduler", json!({ "policy": "SCHED_OTHER", "nice": 40 })),
    ] {
        let plain = machine.config.clone();
        machine.config["process"][pointer] = value;
        let answer = machine.run();
        assert_eq!(answer.code, Some(125), "{pointer}");
        assert!(answer.error.contains(pointer), "{}", answer.error);
        machine.config = plain;
    }
}

#[test]
fn an_ordinary_user_runs_a_container_with_the_one_id() {
    let Some(mut machine) = Machine::new("id; cat /proc/self/uid_map; echo x > /dev/null") else {
        return;
    };
    const USER: u32 = 54_321;
    let scratch = machine.scratch.path().to_owned();
    machine.engine(&["delete", "--force", "one"]);
    let own =
        |path: &std::path::Path| std::os::unix::fs::lchown(path, Some(USER), Some(USER)).unwrap();
    let binary = scratch.join("engine");
    std::fs::copy(engine_binary(), &binary).unwrap();
    let mut all = vec![scratch.clone()];
    while let Some(path) = all.pop() {
        own(&path);
        if path.is_dir() && !path.is_symlink() {
            all.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let user = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "54321", "--regid", "54321", "--clear-groups"]).arg(&binary);
        Answer::from(command.args(words).output().unwrap())
    };
    let (state, bundle) = (scratch.join("user"), machine.bundle());
    let (state, bundle) = (state.to_str().unwrap(), bundle.to_str().unwrap());
    let again = user(&["as-root", "--", "--root", state, "run", "one", "--bundle", bundle]);
    assert_eq!(again.code, Some(0), "{}", again.error);
    assert!(again.output.starts_with("uid=0 gid=0"), "{}", again.output);
    let mapping = json!([{ "containerID": 0, "hostID": USER, "size": 1 }]);
    machine.config["linux"]["uidMappings"] = mapping.clone();
    machine.config["linux"]["gidMappings"] = mapping;
    machine.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    std::fs::write(machine.bundle().join("config.json"), machine.config.to_string()).unwrap();
    let direct = user(&["--root", state, "run", "one", "--bundle", bundle]);
    assert_eq!(direct.code, Some(0), "{}", direct.error);
    assert!(direct.output.contains("54321          1"), "{}", direct.output);
}
