//! The trees of the real images: the same from umoci, podman and corten, in both forms of its store.

use std::path::PathBuf;

use corten_testkit::Peer;

use crate::bench::Bench;
use crate::bundles;
use crate::podman::Podman;
use crate::tree::Tree;

/// Whether podman's tree differs so for a reason. Its storage makes two kinds of directories itself, at the time
/// of the pull: the root of an image, with a mode of its own; and, in each layer, those which that layer has no
/// entry for but only something below.
fn is_of_podman(line: &str, expected: &Tree, layers: usize) -> bool {
    let (path, property) = line.split_once(": ").unwrap().0.rsplit_once(' ').unwrap();
    let passed_through = layers > 1 && expected.has_directory(path.strip_prefix('/').unwrap());
    (path == "/" && property == "mode") || (property == "mtime" && (path == "/" || passed_through))
}

#[test]
fn the_tree_of_debian_is_the_same_everywhere() {
    same_everywhere("debian", 1);
}

#[test]
#[ignore = "a minute; set CORTEN_LONG"]
fn the_tree_of_python_is_the_same_everywhere() {
    if std::env::var_os("CORTEN_LONG").is_some() {
        same_everywhere("python", 2);
    }
}

#[test]
#[ignore = "minutes and gigabytes; set CORTEN_LONG"]
fn the_tree_of_build_is_the_same_everywhere() {
    if std::env::var_os("CORTEN_LONG").is_some() {
        same_everywhere("build", 3);
    }
}

fn same_everywhere(name: &str, layers: usize) {
    let (Some(umoci), Some(real)) = (Peer::find("umoci"), Peer::real_images()) else { return };
    let bench = Bench::new();
    let image = format!("oci:{}:{name}", real.display());
    let (expected, unpacked, index, directories, podman) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| {
            let from = format!("{}:{name}", real.display());
            umoci.succeed(["unpack", "--image", &from, &bench.at("bundle")]);
            Tree::read(bench.path("bundle/rootfs"))
        });
        let podman = scope.spawn(|| of_podman(&bench, &image));
        let unpacked = unpacked(&bench, &image);
        let index = mounted(&bench, &image, "index");
        let directories = mounted(&bench, &image, "directories");
        (theirs.join().unwrap(), unpacked, index, directories, podman.join().unwrap())
    });
    assert!(expected.len() > 5000 && expected.has("names"), "{name}: no real image");
    let none = Vec::<String>::new();
    assert_eq!(expected.differences(&unpacked), none, "{name}: umoci and corten unpack");
    if let Some(index) = index {
        assert_eq!(expected.differences(&index), none, "{name}: umoci and corten mount, index");
    }
    let differences = expected.differences(&directories.unwrap());
    assert_eq!(differences, none, "{name}: umoci and corten mount, directories");
    if name != "debian" {
        let [ours, theirs] =
            ["unpacked", "bundle"].map(|place| bundles::read_config(bench.path(place)));
        bundles::assert_agree(&ours, &theirs, name);
    }
    if let Some(podman) = podman {
        let mut differences = expected.differences(&podman);
        differences.retain(|line| !is_of_podman(line, &expected, layers));
        assert_eq!(differences, none, "{name}: umoci and podman");
    }
}

/// The tree as `unpack` makes it, or `bundle`: one for the small image, both for the others would be long.
fn unpacked(bench: &Bench, image: &str) -> Tree {
    let place = bench.path("unpacked");
    let (verb, root) = if image.ends_with(":debian") {
        ("unpack", place.clone())
    } else {
        ("bundle", place.join("rootfs"))
    };
    bench.corten(&[verb, image, &bench.at("unpacked")]);
    Tree::read(root)
}

/// The tree as `mount` shows it in this form; `None`, told on stderr, where the kernel cannot do it.
#[allow(clippy::print_stderr)]
fn mounted(bench: &Bench, image: &str, form: &str) -> Option<Tree> {
    let target = bench.at(&format!("mounted-{form}"));
    std::fs::create_dir(&target).unwrap();
    bench.write("home/.config/corten/config.toml", format!("[run]\nform = \"{form}\"\n"));
    let ran = bench.run(&["mount", image, &target, "--json"]);
    if form == "index" && ran.code != Some(0) && ran.stderr.contains("kernel") {
        eprintln!("skipped: no index form here: {}", ran.stderr);
        return None;
    }
    assert_eq!(ran.code, Some(0), "{form}: {ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["form"], form);
    let tree = Tree::read(&target);
    bench.corten(&["unmount", &target]);
    Some(tree)
}

/// The tree as podman mounts it, in the mount namespace of the peers.
fn of_podman(bench: &Bench, image: &str) -> Option<Tree> {
    let podman = Podman::at(bench)?;
    let id = podman.succeed(&["pull", "--quiet", image]);
    let mounted = podman.succeed(&["image", "mount", &id]);
    let place = podman.root().join(PathBuf::from(&mounted).strip_prefix("/").unwrap());
    let tree = Tree::read(place);
    podman.succeed(&["image", "unmount", &id]);
    Some(tree)
}
