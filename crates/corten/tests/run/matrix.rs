//! One table of machines, one list of checks.

use std::path::Path;

use corten_spec::ContainerConfig;
use corten_testkit::tar::TarMaker;

use crate::checks::{CHECKS, Check, HEAD, Needs};
use crate::image::{busybox, image, libraries};
use crate::machine::{Machine, Setup, USER};

/// A kind of machine.
pub(crate) struct Case {
    pub(crate) ordinary: bool,
    pub(crate) prepare: String,
    pub(crate) inside: &'static [&'static str],
    pub(crate) config: &'static str,
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// Flags that `run` needs there.
    pub(crate) flags: &'static str,
    pub(crate) has: &'static [Needs],
}

/// Root of a machine, with all that it has.
pub(crate) fn root() -> Case {
    Case {
        ordinary: false,
        prepare: "mount -t tmpfs run /run".to_owned(),
        inside: &[],
        config: "",
        env: &[],
        flags: "",
        has: &[Needs::Ids, Needs::Groups, Needs::Limits],
    }
}

/// An ordinary user of it, for whom no control group is to be had.
pub(crate) fn user() -> Case {
    Case {
        ordinary: true,
        env: &[("XDG_RUNTIME_DIR", "/run/user/54321")],
        has: &[Needs::Ids, Needs::NoGroups],
        ..root()
    }
    .after(&format!("mkdir -p -m 700 /run/user/{USER}; chown {USER}:{USER} /run/user/{USER}"))
    .after(&known("someone:200000:65536"))
}

/// Gives the user a name, and ranges of ids.
fn known(ranges: &str) -> String {
    format!(
        "mkdir /run/etc; cp /etc/passwd /run/etc/passwd; echo 'someone:x:{USER}:{USER}::/:/bin/sh' >> /run/etc/passwd
         mount --bind /run/etc/passwd /etc/passwd
         echo '{ranges}' > /run/etc/sub; mount --bind /run/etc/sub /etc/subuid; mount --bind /run/etc/sub /etc/subgid"
    )
}

impl Case {
    /// The machine.
    pub(crate) fn setup(&self) -> Setup {
        Setup {
            ordinary: self.ordinary,
            prepare: self.prepare.clone(),
            inside: self.inside.iter().map(|word| (*word).to_owned()).collect(),
            images: Vec::new(),
            config: self.config.to_owned(),
            env: self.env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    pub(crate) fn after(mut self, script: &str) -> Self {
        self.prepare = format!("{}\n{script}", self.prepare);
        self
    }

    pub(crate) fn without_ids(mut self) -> Self {
        self.has = &[Needs::OneId, Needs::NoGroups];
        self
    }

    fn has(&self, needs: Needs) -> bool {
        needs == Needs::Nothing || self.has.contains(&needs)
    }
}

fn shown(check: &Check, answer: &crate::machine::Answer) -> Result<(), String> {
    let err_is_right = match check.err {
        "" => answer.err.is_empty(),
        part => answer.err.contains(part),
    };
    if answer.out.trim_end() == check.out && err_is_right {
        return Ok(());
    }
    Err(format!(
        "{}:\n  wanted {:?} and {:?}\n  got    {:?} and {:?}",
        check.name,
        check.out,
        check.err,
        answer.out.trim_end(),
        answer.err
    ))
}

/// Runs every check that the machine can meet.
fn meets(case: &Case) {
    let Some(busybox) = busybox() else { return };
    let mut setup = case.setup();
    if case.inside.contains(&OUTER) {
        let Some(more) = libraries(Path::new(env!("CARGO_BIN_EXE_corten"))) else { return };
        setup.images =
            vec![("outer".to_owned(), image(&busybox, more, ContainerConfig::default()))];
    }
    let Some(machine) = Machine::new(&setup) else { return };
    let config = ContainerConfig {
        env: vec!["KEPT=kept".to_owned(), "GONE=here".to_owned(), "PATH=/bin".to_owned()],
        cmd: Some(["cat", "/data/seed"].map(str::to_owned).to_vec()),
        ..ContainerConfig::default()
    };
    let more = TarMaker::new().directory("data", 0o755).file("data/seed", 0o644, "of the image\n");
    machine.layout.add("app", &image(&busybox, more, config));
    let head = format!("FLAGS='{}'{HEAD}", case.flags);
    let (mut failures, mut met) = (Vec::new(), 0);
    for check in CHECKS.iter().filter(|check| case.has(check.needs)) {
        let answer = machine.sh(&format!("{head}{}", check.script));
        match shown(check, &answer) {
            Ok(()) => met += 1,
            Err(failure) => failures.push(failure),
        }
    }
    println!("{met} checks met, {} skipped", CHECKS.len() - met - failures.len());
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n"));
}

/// The table: each machine is a test of its own.
macro_rules! machines {
    ($($name:ident: $case:expr;)*) => { $(#[test] fn $name() { meets(&$case); })* };
}

/// The image of a container in which corten itself runs.
const OUTER: &str = "oci:$S/images:outer";

/// The container: it may mount, and has what the tests have.
const CONTAINER: &[&str] = &[
    "corten",
    "--quiet",
    "--store",
    "$S/home/outer",
    "run",
    "-i",
    "--rm",
    "--network",
    "none",
    "--cap-add",
    "SYS_ADMIN",
    "--cap-add",
    "NET_ADMIN",
    "--security-opt",
    "seccomp=unconfined",
    "-v",
    "$S:$S",
    "-e",
    "HOME",
    "-e",
    "PATH",
    OUTER,
];

/// Takes every control group of the machine away.
const NO_GROUPS: &str = "
while grep -q -E ' - cgroup2? ' /proc/self/mountinfo; do
    umount -l $(grep -E ' - cgroup2? ' /proc/self/mountinfo | tail -n 1 | cut -d ' ' -f 5)
done";

/// Programs that are not there, not even as files that cannot be run.
const NO_MAPPERS: &str = "
for place in /usr/bin /bin /usr/local/bin; do
    test -e $place/newuidmap || continue
    mkdir -p /run/hidden$place/upper /run/hidden$place/work
    mount -t overlay overlay -o lowerdir=$place,upperdir=/run/hidden$place/upper,workdir=/run/hidden$place/work $place
    rm -f $place/newuidmap $place/newgidmap
done";

machines! {
    as_this_one_is: root();
    only_the_second_version_of_groups:
        Case { has: &[Needs::Ids, Needs::Groups], ..root() }
            .after(NO_GROUPS).after("mount -t cgroup2 cgroup2 /sys/fs/cgroup");
    no_groups_at_all:
        Case { flags: "--no-groups", has: &[Needs::Ids, Needs::NoGroups, Needs::Unbound], ..root() }.after(NO_GROUPS);
    groups_that_cannot_be_written:
        Case { flags: "--no-groups", has: &[Needs::Ids, Needs::NoGroups, Needs::Unbound], ..root() }
            .after("for m in $(grep -E ' - (cgroup2?|sysfs) ' /proc/self/mountinfo | cut -d ' ' -f 5); do mount -o remount,bind,ro $m; done");
    sys_that_cannot_be_written: root().after("mount -o remount,bind,ro /sys");
    layers_as_directories: Case { config: "[run]\nform = \"directories\"\n", ..root() };
    a_user_with_ranges: user();
    a_user_without_ranges: user().without_ids().after(": > /run/etc/sub");
    a_user_without_the_mappers: user().without_ids().after(NO_MAPPERS);
    a_user_without_a_runtime_directory: Case { env: &[], ..user() };
    a_user_whose_runtime_directory_is_missing: user().after("rm -r /run/user");
    a_user_without_groups_mounted: user().after(NO_GROUPS);
    root_of_a_user_namespace_of_one_id:
        Case { inside: &["unshare", "-Ur", "--mount"], has: &[Needs::OneId, Needs::Groups, Needs::Limits], ..root() };
    root_of_a_user_namespace_of_a_user:
        Case { inside: &["unshare", "-Ur", "--mount"], ..user() }.without_ids();
    root_of_a_user_namespace_with_ranges:
        Case {
            inside: &["unshare", "--user", "--mount", "--map-users=100000,0,65536", "--map-groups=100000,0,65536", "--setuid=0", "--setgid=0"],
            has: &[Needs::Ids, Needs::NoGroups], ..root()
        }.after(&known("root:100000:65536")).after("chown -R 100000:100000 $0");
    in_a_container_of_corten:
        Case { inside: CONTAINER, flags: "--no-groups", has: &[Needs::Ids, Needs::NoGroups, Needs::Unbound], ..root() };
    in_a_container_of_a_user: Case { inside: CONTAINER, ..user() };
}
