//! An image as files of this machine: unpacked, and mounted.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use corten_testkit::TestRegistry;
use corten_testkit::images::ImageMaker;
use corten_testkit::tar::TarMaker;

use crate::User;

fn image() -> ImageMaker {
    ImageMaker::new()
        .layer(
            TarMaker::new()
                .file("etc/gone", 0o644, "gone")
                .file("bin/tool", 0o4750, "tool")
                .hard_link("bin/again", "bin/tool"),
        )
        .layer(TarMaker::new().whiteout("etc", "gone").file("etc/kept", 0o600, "kept"))
}

/// An image in a registry, and a directory to mount it on; `None` where nothing can be mounted.
fn ready_to_mount() -> Option<(User, TestRegistry, String, PathBuf)> {
    if !may_mount() {
        return None;
    }
    let (user, registry) = (User::new(), TestRegistry::start());
    registry.seed("app", Some("1"), &image().build());
    let (reference, target) = (registry.reference("app:1"), user.path("mnt"));
    fs::create_dir(&target).unwrap();
    Some((user, registry, reference, target))
}

#[test]
fn an_image_is_unpacked_whole_or_not_at_all() {
    let (user, registry) = (User::new(), TestRegistry::start());
    registry.seed("app", Some("1"), &image().build());
    let (reference, target) = (registry.reference("app:1"), user.path("out"));
    let report = user.json(&format!("unpack --rootless {reference} {}", target.display()));
    assert_eq!((report["entries"].as_u64(), report["bytes"].as_u64()), (Some(5), Some(12)));
    assert_eq!(fs::read_to_string(target.join("etc/kept")).unwrap(), "kept");
    assert!(!target.join("etc/gone").exists());
    let (tool, again) = (target.join("bin/tool"), target.join("bin/again"));
    let (tool, again) = (fs::metadata(tool).unwrap(), fs::metadata(again).unwrap());
    assert_eq!((tool.ino(), tool.mode() & 0o7777), (again.ino(), 0o4750));
    let ran = user.run(["unpack", "--rootless", &reference, target.to_str().unwrap()]);
    assert!(ran.code == 2 && ran.err.contains("is not empty"), "{}", ran.err);
}

#[test]
fn a_layer_that_wants_out_leaves_nothing() {
    let (user, registry) = (User::new(), TestRegistry::start());
    let hostile = TarMaker::new().file("good", 0o644, "good").file("../bad", 0o644, "bad");
    registry.seed("app", Some("1"), &ImageMaker::new().layer(hostile).build());
    let target = user.path("place/out");
    fs::create_dir(user.path("place")).unwrap();
    let arguments = ["unpack", "--rootless", &registry.reference("app:1")];
    let ran = user.run(arguments.into_iter().chain(target.to_str()));
    assert!(ran.code == 7 && ran.err.contains("../bad"), "{} {}", ran.code, ran.err);
    assert_eq!(fs::read_dir(user.path("place")).unwrap().count(), 0);
}

#[test]
fn an_image_is_mounted_straight_from_its_registry_and_kept_until_it_is_not() {
    let Some((user, _registry, reference, target)) = ready_to_mount() else { return };
    let report = user.json(&format!("mount {reference} {}", target.display()));
    assert_eq!(report["target"].as_str(), target.to_str());
    // Two layers, and the index over them where this machine mounts one.
    let forms = if report["form"] == "index" { 3 } else { 2 };
    assert_eq!(fs::read_to_string(target.join("etc/kept")).unwrap(), "kept");
    assert!(!target.join("etc/gone").exists());
    assert!(fs::write(target.join("new"), "").is_err(), "it is read-only");
    let tool = fs::metadata(target.join("bin/tool")).unwrap();
    assert_eq!((tool.nlink(), tool.mode() & 0o7777), (2, 0o4750));
    // The name is gone, and what is mounted stays ready.
    user.ok(&format!("remove {reference}"));
    let report = user.json("gc --grace 0");
    assert_eq!(report["unpacked"].as_u64(), Some(0));
    assert_eq!(fs::read_to_string(target.join("etc/kept")).unwrap(), "kept");
    let report = user.json(&format!("unmount {}", target.display()));
    assert_eq!(report["target"].as_str(), target.to_str());
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    let report = user.json("gc --grace 0");
    assert_eq!(report["unpacked"].as_u64(), Some(forms));
    let ran = user.run(["unmount", target.to_str().unwrap()]);
    assert!(ran.code == 2 && ran.err.contains("mounted nothing there"), "{}", ran.err);
}

#[test]
fn a_layer_whose_bytes_changed_is_found_and_made_again() {
    let Some((user, _registry, reference, target)) = ready_to_mount() else { return };
    let mount = format!("mount {reference} {}", target.display());
    let form = user.json(&mount)["form"].clone();
    user.ok(&format!("unmount {}", target.display()));
    let sound = user.json("store check");
    assert_eq!((&sound["damaged"], &sound["corrupt"]), (&serde_json::json!([]), &sound["damaged"]));
    if form != "index" {
        return;
    }
    assert_eq!((sound["tars"].as_u64(), sound["indexes"].as_u64()), (Some(2), Some(1)));
    let tars = fs::read_dir(user.path(".local/share/corten/store/.corten/rendered/tars")).unwrap();
    let tar = tars.map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = fs::read(&tar).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&tar, bytes).unwrap();
    let ran = user.run(["store", "check"]);
    assert!(ran.code == 9 && ran.out.contains(tar.to_str().unwrap()), "{}", ran.out);
    assert_eq!(user.run(["store", "check", "--repair"]).code, 9);
    assert!(!tar.exists());
    user.ok(&mount);
    user.ok(&format!("unmount {}", target.display()));
    assert_eq!(user.json("store check")["damaged"], serde_json::json!([]));
}

#[test]
fn a_layer_kept_as_a_directory_is_compared_with_its_blob() {
    let Some((user, _registry, reference, target)) = ready_to_mount() else { return };
    let config = user.path("config.toml");
    fs::write(&config, "[run]\nform = \"directories\"\n").unwrap();
    let options = format!("--config {}", config.display());
    let mount = format!("mount {options} {reference} {}", target.display());
    assert_eq!(user.json(&mount)["form"], "directories");
    user.ok(&format!("unmount {}", target.display()));
    let sound = user.json("store check");
    assert_eq!((sound["directories"].as_u64(), sound["unread"].as_u64()), (Some(2), Some(0)));
    assert_eq!(sound["damaged"], serde_json::json!([]));
    let forms = user.path(".local/share/corten/store/.corten/rendered/directories");
    let kept = fs::read_dir(&forms).unwrap().map(|entry| entry.unwrap().path().join("etc/kept"));
    let kept = kept.filter(|path| path.exists()).min().unwrap();
    let meta = fs::metadata(&kept).unwrap();
    fs::write(&kept, "kepT").unwrap();
    let file = fs::File::options().write(true).open(&kept).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    let ran = user.run(["store", "check", "--repair"]);
    let told = "etc/kept: another content";
    assert!(ran.code == 9 && ran.out.contains(told), "{} {}", ran.out, ran.err);
    assert!(!kept.exists());
    user.ok(&mount);
    assert_eq!(fs::read_to_string(target.join("etc/kept")).unwrap(), "kept");
    user.ok(&format!("unmount {}", target.display()));
    assert_eq!(user.json("store check")["damaged"], serde_json::json!([]));
}

#[test]
fn an_image_that_the_configuration_denies_is_not_fetched() {
    let (user, registry) = (User::new(), TestRegistry::start());
    registry.seed("app", Some("1"), &image().build());
    let reference = registry.reference("app:1");
    let config = user.path("config.toml");
    let name = reference.split(':').take(2).collect::<Vec<_>>().join(":");
    fs::write(&config, format!("[admission]\ndeny = [\"{name}\"]\n")).unwrap();
    fs::create_dir(user.path("mnt")).unwrap();
    let (mnt, config) = (user.path("mnt"), config.display().to_string());
    let ran = user.run(["mount", &reference, mnt.to_str().unwrap(), "--config", &config]);
    assert!(ran.code == 4 && ran.err.contains("may not run"), "{} {}", ran.code, ran.err);
    let blobs = user.path(".local/share/corten/store/blobs/sha256");
    assert_eq!(fs::read_dir(blobs).map_or(0, Iterator::count), 0);
}

/// Whether this test may mount; told where not.
#[allow(clippy::print_stderr)] // A test that was skipped must not look like one that passed.
fn may_mount() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if !root {
        eprintln!("skipped: mounting needs root");
    }
    root
}
