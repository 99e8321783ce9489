//! The same configs under the runtimes of the field: a bundle for any of them starts, filter and all.

use corten_bundle::config::{Host, Identities, Overrides, runtime_config};
use corten_bundle::users::RootDirectory;
use corten_testkit::{Peer, scratch};
use oci_spec::runtime::Mount;
use serde_json::json;

use crate::image;

/// Runs a program that tells of itself, in a root filesystem that borrows the programs of this machine.
fn told(runtime: &Peer, flags: &[&str], user: &str, mut overrides: Overrides) -> Vec<String> {
    let bundle = scratch();
    for directory in ["usr", "proc", "sys", "dev", "tmp"] {
        std::fs::create_dir_all(bundle.join("rootfs").join(directory)).unwrap();
    }
    for link in ["bin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), bundle.join("rootfs").join(link))
            .unwrap();
    }
    bundle.write("rootfs/etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/tmp:/bin/sh\n");
    bundle.write("rootfs/etc/group", "logs:x:40:web\n");
    let mut programs = Mount::default();
    programs
        .set_destination("/usr".into())
        .set_source(Some("/usr".into()))
        .set_typ(Some("bind".to_owned()))
        .set_options(Some(vec!["rbind".to_owned(), "ro".to_owned()]));
    overrides.mounts.push(programs);
    let script = "id -u; id -g; id -G; pwd; echo $HOME; echo $A; hostname 2>/dev/null; \
                  grep -E '^(CapInh|CapEff|CapBnd|Seccomp):' /proc/self/status";
    let image = image(Some(json!({"Entrypoint": ["/bin/sh", "-c"], "Cmd": [script], "User": user,
        "WorkingDir": "/tmp", "Env": ["A=b c"]})));
    let root = RootDirectory::open(&bundle.join("rootfs")).unwrap();
    let mut host = Host::new(architecture(), Identities::Machine);
    host.cgroup_namespace = false;
    let converted = runtime_config(&image, &overrides, &host, &root).unwrap();
    bundle.write("config.json", converted.bytes());
    let id = bundle.path().file_name().unwrap().to_str().unwrap().to_owned();
    let (state, place) = (bundle.join("state"), bundle.path());
    let mut arguments: Vec<&str> = flags.to_vec();
    arguments.extend(["--root", state.to_str().unwrap(), "run", "--bundle"]);
    arguments.extend([place.to_str().unwrap(), &id]);
    runtime.succeed(arguments).lines().map(|line| line.replace('\t', " ")).collect()
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn check(runtime: &Peer, flags: &[&str]) {
    let lines = told(runtime, flags, "web", Overrides::default());
    assert_eq!(lines[..6], ["33", "34", "34 40", "/tmp", "/tmp", "b c"], "{lines:?}");
    let ends = |lines: &[String]| lines[lines.len() - 4..].to_vec();
    let none = "0000000000000000";
    let status = |inherited: &str, effective: &str, bounding: &str, filter: u8| {
        [
            format!("CapInh: {inherited}"),
            format!("CapEff: {effective}"),
            format!("CapBnd: {bounding}"),
            format!("Seccomp: {filter}"),
        ]
    };
    let default = "00000000800405fb";
    assert_eq!(ends(&lines), status(none, none, default, 2));
    let lines = told(runtime, flags, "", Overrides::default());
    assert_eq!(ends(&lines), status(none, default, default, 2));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let drop = Overrides { cap_drop: words(&["ALL"]), ..Overrides::default() };
    assert_eq!(ends(&told(runtime, flags, "", drop)), status(none, none, none, 2));
    let add = Overrides {
        cap_add: words(&["SYS_ADMIN", "SYS_PTRACE", "SYS_TIME", "BPF"]),
        ..Overrides::default()
    };
    let held = "00000080822c05fb";
    assert_eq!(ends(&told(runtime, flags, "", add)), status(none, held, held, 2));
    let ambient = Overrides { cap_add: words(&["NET_RAW"]), ..Overrides::default() };
    let (raw, bounding) = ("0000000000002000", "00000000800425fb");
    assert_eq!(ends(&told(runtime, flags, "33:34", ambient)), status(raw, raw, bounding, 2));
}

#[test]
fn runtimes_of_the_field_start_what_is_made() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: runtimes need root here");
        return;
    }
    if let Some(runc) = Peer::find("runc") {
        check(&runc, &[]);
    }
    if let Some(crun) = Peer::find("crun") {
        check(&crun, &["--cgroup-manager=disabled"]);
    }
}
