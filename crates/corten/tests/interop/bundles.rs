//! Runtime bundles of the real images: their config beside that of umoci, in all that image-spec's
//! `conversion.md` governs, and the runtimes of the field that run them.

use std::path::Path;

use corten_testkit::Peer;
use serde_json::{Value, json};

use crate::bench::Bench;

/// Where umoci sets what no image asked for: the terminal's type.
const OF_UMOCI: &str = "TERM=xterm";
/// What a bundle's container is asked, and how it answers.
const QUESTION: &str = "echo $LANG; pwd; id -u; grep ^ID= /etc/os-release; exit 9";

/// Asserts that two configs of one image agree in every field that the specification governs.
pub(crate) fn assert_agree(ours: &Value, theirs: &Value, said: &str) {
    for pointer in
        ["/process/args", "/process/cwd", "/process/user/uid", "/process/user/gid", "/annotations"]
    {
        assert_eq!(ours.pointer(pointer), theirs.pointer(pointer), "{said}: {pointer}");
    }
    assert_eq!(groups(ours), groups(theirs), "{said}: additional groups");
    assert_eq!(variables(ours), variables(theirs), "{said}: env");
    assert_eq!(extra_mounts(ours), extra_mounts(theirs), "{said}: mounts of volumes");
}

/// The supplementary groups; the primary one apart, which umoci leaves out.
fn groups(config: &Value) -> Vec<u64> {
    let user = &config["process"]["user"];
    let all = user["additionalGids"].as_array().into_iter().flatten();
    let mut all: Vec<_> =
        all.filter(|gid| **gid != user["gid"]).map(|gid| gid.as_u64().unwrap()).collect();
    all.sort_unstable();
    all
}

/// The variables in the order of their names: the specification gives them none.
fn variables(config: &Value) -> Vec<&str> {
    let all = config["process"]["env"].as_array().unwrap().iter();
    let mut all: Vec<_> =
        all.map(|one| one.as_str().unwrap()).filter(|one| *one != OF_UMOCI).collect();
    all.sort_unstable();
    all
}

/// Where something is mounted that not every container has.
fn extra_mounts(config: &Value) -> Vec<&str> {
    let all = config["mounts"].as_array().unwrap().iter();
    let all = all.map(|mount| mount["destination"].as_str().unwrap());
    let usual =
        |path: &&str| ["/proc", "/dev", "/sys"].iter().any(|one| Path::new(path).starts_with(one));
    let mut all: Vec<_> = all.filter(|path| !usual(path)).collect();
    all.sort_unstable();
    all
}

pub(crate) fn read_config(bundle: impl AsRef<Path>) -> Value {
    let bytes = std::fs::read(bundle.as_ref().join("config.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_bundle_agrees_with_umoci_and_runs_in_the_runtimes_of_the_field() {
    let (Some(umoci), Some(real)) = (Peer::find("umoci"), Peer::real_images()) else { return };
    let bench = Bench::new();
    let layout = bench.at("layout");
    let origin = format!("oci:{}:debian", real.display());
    bench.corten(&["copy", &origin, &format!("oci:{layout}:plain")]);
    // An image that uses every field of its config, on the real root filesystem.
    let mut words = vec!["config", "--image"];
    let image = format!("{layout}:plain");
    words.extend([&image, "--tag", "rich"]);
    words.extend(["--config.user", "www-data:mail", "--config.workingdir", "/srv/made"]);
    words.extend([
        "--config.entrypoint",
        "/bin/sh",
        "--config.entrypoint",
        "-c",
        "--config.cmd",
        QUESTION,
    ]);
    words.extend([
        "--config.env",
        "A=b c",
        "--config.env",
        "HOME=/elsewhere",
        "--config.volume",
        "/data",
    ]);
    words.extend(["--config.exposedports", "80/tcp", "--config.stopsignal", "SIGQUIT"]);
    words.extend(["--config.label", "org.example.team=base", "--author", "somebody"]);
    umoci.succeed(words);
    for name in ["plain", "rich"] {
        let (from, bundle) = (format!("{layout}:{name}"), bench.at(name));
        bench.corten(&["bundle", &format!("oci:{from}"), &bundle]);
        let (rootfs, theirs) = (format!("{bundle}/rootfs"), bench.at(&format!("{name}.json")));
        umoci.succeed(["raw", "runtime-config", "--image", &from, "--rootfs", &rootfs, &theirs]);
        let mut theirs: Value = serde_json::from_slice(&std::fs::read(theirs).unwrap()).unwrap();
        if name == "rich" {
            // umoci puts the account's home over that of the image, which a converter SHOULD NOT.
            let env = theirs["process"]["env"].as_array_mut().unwrap();
            *env.iter_mut().find(|one| *one == "HOME=/var/www").unwrap() = json!("HOME=/elsewhere");
        }
        assert_agree(&read_config(&bundle), &theirs, name);
    }
    let rich = read_config(bench.path("rich"));
    assert_eq!(rich["process"]["user"], json!({ "uid": 33, "gid": 8, "additionalGids": [8] }));
    let said = "C.UTF-8\n/srv/made\n33\nID=debian\n";
    runs(&bench, "runc", &[], said);
    runs(&bench, "crun", &["--cgroup-manager=disabled"], said);
}

fn runs(bench: &Bench, name: &str, options: &[&str], said: &str) {
    let Some(runtime) = Peer::find(name) else { return };
    let (root, bundle) = (bench.at(&format!("state-{name}")), bench.at("rich"));
    let id = format!("corten-test-{}", std::process::id());
    let words = ["--root", &root, "run", "--bundle", &bundle, &id];
    let ran = runtime.run(options.iter().copied().chain(words));
    assert_eq!((ran.code, &*ran.stdout), (Some(9), said), "{name}: {ran:?}");
}
