//! `doctor` tells how the machine stands, and changes nothing.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value;

use crate::User;

fn found<'a>(report: &'a Value, about: &str) -> &'a Value {
    let all = report["findings"].as_array().unwrap().iter();
    all.clone().find(|one| one["about"] == about).unwrap_or_else(|| panic!("{about}: {report}"))
}

#[test]
fn every_finding_says_what_to_do_or_that_all_is_well() {
    let user = User::new();
    let text = user.ok("doctor");
    for about in ["store", "seccomp", "AppArmor", "SELinux", "user namespace", "loopback", "kernel"]
    {
        assert!(text.lines().any(|line| line.contains(about)), "{about}: {text}");
    }
    let report: Value = serde_json::from_str(&user.ok("doctor --security --json")).unwrap();
    let all = report["findings"].as_array().unwrap();
    assert!(all.iter().all(|one| one["security"] == true), "{report}");
    assert!(all.iter().all(|one| one["state"] != "wrong"), "{report}");
    assert_eq!(found(&report, "store")["state"], "well");
}

#[test]
fn a_store_that_others_reach_is_wrong_and_is_left_as_it_is() {
    let user = User::new();
    user.ok("images");
    let store = user.path(".local/share/corten/store");
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = user.run(["doctor", "--security", "--json"]);
    assert_eq!(ran.code, 9, "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let told = found(&report, "store");
    assert_eq!(told["state"], "wrong");
    assert!(told["cure"].as_str().unwrap().contains("corten images"), "{told}");
    assert_eq!(std::fs::metadata(&store).unwrap().mode() & 0o777, 0o755);
    // What it names as the cure is one.
    user.run(["images"]);
    assert_eq!(user.run(["doctor", "--security"]).code, 0);
}
