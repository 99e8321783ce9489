//! Real images: Debian, Python and compilers, as other tools made them.

use corten_testkit::Peer;

use crate::User;

#[test]
fn the_real_images_break_no_rule() {
    let Some(images) = Peer::real_images() else { return };
    let report = User::new().json(&format!("validate oci:{}", images.display()));
    assert_eq!((&report["errors"], &report["warnings"]), (&0.into(), &0.into()), "{report}");
    assert_eq!((&report["documents"], &report["layers"]), (&6.into(), &3.into()));
    let codes = report["findings"].as_array().unwrap().iter().map(|finding| &finding["code"]);
    let known = ["layout-blob-orphan", "index-platform-absent"];
    assert!(codes.clone().all(|code| known.iter().any(|known| code == known)), "{report}");
}

#[test]
fn a_real_image_taken_out_and_brought_in_again_has_the_same_tree() {
    let Some(images) = Peer::real_images() else { return };
    let user = User::new();
    let debian = format!("oci:{}:debian", images.display());
    let tar = user.path("debian.tar");
    user.ok(&format!("export {debian} -o {}", tar.display()));
    user.json(&format!("import {} again", tar.display()));
    let ran = user.run(["diff", &debian, "again", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["files"], serde_json::json!([]), "{}", ran.err);
}
