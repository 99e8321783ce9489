//! Another user of the machine walks over everything that verbs leave on a disk, or have there while they run.
//!
//! Two things are looked at, after every verb of a table and under a umask that takes nothing away: what another
//! user may read, write or search, by the system's own word; and the modes, which must not lean on one closed
//! directory at the top. What is inside a tree of a container has the modes of its image: there its parent counts.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use corten_spec::ContainerConfig;
use corten_testkit::tar::TarMaker;

use crate::image::{busybox, image};
use crate::machine::{Machine, USER};
use crate::matrix::{Case, root, user};

/// Another user, and the same in the owner's group.
const OTHER: u32 = 54_322;

/// Where corten leaves things; `$S` is the scratch.
const ROOTS: [&str; 6] =
    ["$S/home/.local", "$S/home/.cache", "/run/corten", "/run/user", "/dev/shm", "/var/tmp"];

/// Trees with the modes of images and containers, below the store; a star is one name.
const TREES: [&str; 12] = [
    "volumes/*/data",
    "volumes/*/*/data",
    "containers/*/*/upper",
    "containers/*/*/work",
    "containers/*/*/bundle/rootfs",
    "containers/*/*/volumes/*/data",
    "containers/*/*/etc/*",
    "containers/pods/*/volumes/*",
    "build/caches/*/*",
    "build/rooms/*/*/*",
    "rendered/directories/*",
    "rendered/staged/*",
];

/// Files of ours among what the patterns above name, which have private modes all the same.
const NO_TREES: [&str; 3] = ["about", "lock", "note"];

/// A verb, or what belongs together.
struct Verb {
    name: &'static str,
    script: &'static str,
    /// Whether an ordinary user can do it.
    ordinary: bool,
}

const fn verb(name: &'static str, script: &'static str) -> Verb {
    Verb { name, script, ordinary: true }
}

const fn of_root(name: &'static str, script: &'static str) -> Verb {
    Verb { name, script, ordinary: false }
}

/// What stands before each script.
const HEAD: &str = r#"
umask 000
export TMPDIR=/var/tmp
quiet() { corten --quiet "$@"; }
build() { quiet build --network none "$@" ctx >$S/home/said; }
until_there() { n=0; until $*; do n=$((n+1)); test $n -lt 400 || exit 99; sleep 0.05; done; }
set -e
"#;

/// Later ones rely on what earlier ones left.
const VERBS: &[Verb] = &[
    verb("import", "mkdir -p tree/d; echo x >tree/d/f; chmod 600 tree/d/f; quiet import tree files"),
    verb("pull", "quiet pull $IMAGE app"),
    verb(
        "build",
        "mkdir -p ctx; echo secret >ctx/key; chmod 600 ctx/key
         printf 'FROM app\nCOPY key /key\nRUN --mount=type=cache,target=/cache mkdir -m 777 -p /cache/d; echo x >/cache/f; touch /made\n' >ctx/Dockerfile
         build -t built",
    ),
    verb(
        "build, while a step runs",
        "printf 'FROM app\nRUN --mount=type=cache,target=/cache mkdir -p -m 777 /cache/d /w/d; cp /bin/busybox /w/su; chmod 4755 /w/su; touch /cache/up; n=0; while [ ! -e /cache/go ] && [ $n -lt 600 ]; do n=$((n+1)); sleep 0.05; done; rm /cache/up /cache/go\n' >ctx/Dockerfile
         build -t slow & echo $! >pid
         until_there eval 'ls $STORE/.corten/build/caches/*/*/up >up 2>&1'",
    ),
    verb(
        "build, its end",
        "for up in $STORE/.corten/build/caches/*/*/up; do touch ${up%up}go; done
         until_there eval '! kill -0 $(cat pid) 2>/dev/null'",
    ),
    verb("run with volumes", "quiet run --rm --network none -v data:/data -v /own $IMAGE touch /data/made /own/made"),
    verb("run --explain", "quiet run --explain $IMAGE true >said"),
    verb(
        "run -d, while it runs",
        "quiet run -d --name long -v data:/data $IMAGE sh -c 'mkdir -m 777 /w; cp /bin/busybox /w/su; chmod 4755 /w/su; touch /w/up; sleep 600' >id
         until_there quiet exec long test -e /w/up",
    ),
    verb("exec", "quiet exec long sh -c 'echo x >/w/exec'"),
    verb("cp", "quiet cp long:/w/exec got; quiet cp got long:/w/back"),
    verb("commit", "quiet commit long kept >said"),
    verb("stop", "quiet stop --time 0 long >said || quiet kill long >said; quiet rm --force long >said"),
    verb("create", "quiet create --name later --network none -v /own $IMAGE true >id"),
    verb("start", "quiet start later >id; quiet wait later >said; quiet rm later >id"),
    verb(
        "pod",
        "quiet pod create pair --network none -v shared:/shared $IMAGE sleep 600 --- -v shared:/shared $IMAGE sleep 600 >id
         quiet pod start pair >id",
    ),
    verb("pod rm", "quiet pod rm --force pair >id"),
    verb("volume create", "quiet volume create empty >id"),
    verb(
        "steps",
        "quiet build begin --work w app >id; quiet build run --work w --network none -- /bin/sh -c 'touch /stepped' >id
         quiet build copy --work w tree/d/f /f >id",
    ),
    verb("steps, written", "quiet build write --work w -t stepped >id; quiet build end --work w >id"),
    verb("cache export", "printf 'FROM app\nRUN touch /exported\n' >ctx/Dockerfile; build -t exported --cache-to type=local,dest=$S/home/exported"),
    verb("cache import", "quiet cache gc --max 0 >id; build -t exported --cache-from type=local,src=$S/home/exported"),
    verb("export", "quiet export app -o $S/home/app.tar"),
    verb("copy out and in", "quiet copy store:app oci:$S/home/layout:app; quiet copy store:app oci-archive:$S/home/archive.tar; quiet pull oci-archive:- again <$S/home/archive.tar"),
    verb("validate", "quiet validate app >said || true; quiet ls app >said; quiet diff app built >said || true"),
    verb("unpack", "quiet unpack app $S/home/unpacked >said"),
    verb("bundle", "quiet bundle app $S/home/bundle -- true >said"),
    of_root("mount", "mkdir -p mounted; quiet mount app mounted >said"),
    of_root("unmount", "quiet unmount mounted >said"),
    verb("store check", "quiet store check >said"),
    verb("gc", "quiet gc --grace 0s >said"),
];

/// A path that was found.
#[derive(Debug)]
struct Found {
    path: String,
    kind: char,
    mode: u32,
}

/// Runs a program among the machine's mounts, with the words of `input`.
fn among(machine: &Machine, words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount=/proc/{}/ns/mnt", machine.pid())).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let out = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    out
}

/// All that is below the roots.
fn found(machine: &Machine) -> Vec<Found> {
    let scratch = machine.scratch.path().to_str().unwrap();
    let roots: Vec<String> = ROOTS.iter().map(|root| root.replace("$S", scratch)).collect();
    let words = ["find"].into_iter().chain(roots.iter().map(String::as_str));
    let words: Vec<&str> = words.chain(["-printf", "%y %m %p\\0"]).collect();
    let listed = among(machine, &words, b"");
    let entry = |text: &str| {
        let (kind, rest) = text.split_once(' ')?;
        let (mode, path) = rest.split_once(' ')?;
        let mode = u32::from_str_radix(mode, 8).ok()?;
        Some(Found { path: path.to_owned(), kind: kind.chars().next()?, mode })
    };
    let all = String::from_utf8_lossy(&listed).into_owned();
    // What everybody shares is not corten's; a user's runtime directory is the machine's gift.
    let ours = |found: &Found| {
        found.path.matches('/').count() > 2 && found.path != format!("/run/user/{USER}")
            || found.path == "/run/corten"
    };
    all.split('\0').filter_map(entry).filter(ours).collect()
}

/// Whether a path is, or is in, a tree of a container.
fn is_of_a_tree(path: &str) -> bool {
    let Some((_, below)) = path.split_once("/.corten/") else {
        // Rooms of builds in memory: roots that steps are mounted on.
        return path.starts_with("/dev/shm/corten-") && path.matches('/').count() > 5;
    };
    let names: Vec<&str> = below.split('/').collect();
    let meets = |pattern: &&str| {
        let parts: Vec<&str> = pattern.split('/').collect();
        parts.len() <= names.len()
            && parts.iter().zip(&names).all(|(part, name)| {
                let ours = NO_TREES.iter().any(|word| name.ends_with(word));
                *part == *name || *part == "*" && !ours
            })
    };
    TREES.iter().any(meets)
}

/// What is wrong now.
fn open_paths(machine: &Machine, group: u32) -> Vec<String> {
    let all = found(machine);
    let mut wrong: Vec<String> = all
        .iter()
        .filter(|found| found.kind != 'l' && found.mode & 0o77 != 0 && !is_of_a_tree(&found.path))
        .map(|found| format!("{} {:o} {}", found.kind, found.mode, found.path))
        .collect();
    let list: Vec<u8> = all
        .iter()
        .filter(|found| found.kind != 'l')
        .flat_map(|found| found.path.bytes().chain([0]))
        .collect();
    for group in [OTHER, group] {
        let ids = [format!("--reuid={OTHER}"), format!("--regid={group}")];
        let words = ["setpriv", &ids[0], &ids[1], "--clear-groups", "find", "-files0-from", "-"];
        let may = ["-maxdepth", "0", "(", "-readable", "-o", "-writable", "-o", "-executable", ")"];
        let reached = among(machine, &[&words[..], &may].concat(), &list);
        let reached = String::from_utf8_lossy(&reached).into_owned();
        wrong.extend(reached.lines().map(|path| format!("{OTHER}:{group} reaches {path}")));
    }
    wrong
}

/// Runs the table and walks after each of its verbs.
fn keeps_to_itself(case: &Case) {
    let Some(busybox) = busybox() else { return };
    let Some(machine) = Machine::new(&case.setup()) else { return };
    let config = ContainerConfig {
        env: vec!["PATH=/bin".to_owned()],
        volumes: BTreeMap::from([("/seeded".to_owned(), serde_json::Map::new())]),
        ..ContainerConfig::default()
    };
    let more = TarMaker::new()
        .directory("data", 0o777)
        .file("data/seed", 0o4755, "of the image\n")
        .directory("seeded", 0o777)
        .file("seeded/su", 0o6777, "of the image\n");
    machine.layout.add("app", &image(&busybox, more, config));
    let group = if case.ordinary { USER } else { 0 };
    let (mut failures, mut seen) = (Vec::new(), 0);
    for verb in VERBS.iter().filter(|verb| verb.ordinary || !case.ordinary) {
        let head = format!("STORE=$S/home/.local/share/corten/store FLAGS='{}'{HEAD}", case.flags);
        let answer = machine.sh(&format!("{head}{}", verb.script));
        if answer.code != 0 {
            failures.push(format!("{}: it failed: {answer:?}", verb.name));
        }
        let wrong = open_paths(&machine, group);
        seen += 1;
        if !wrong.is_empty() {
            let shown = wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n  ");
            failures.push(format!("{}: {} paths are open:\n  {shown}", verb.name, wrong.len()));
        }
    }
    println!("walked after {seen} verbs");
    assert!(failures.is_empty(), "{} of {seen}\n{}", failures.len(), failures.join("\n"));
}

/// A machine whose temporary folders are its own, and hold what the roots of the walk name.
fn with_rooms(case: Case) -> Case {
    let rooms =
        "mount -t tmpfs -o mode=1777 tmp /var/tmp; mount -t tmpfs -o mode=1777 shm /dev/shm";
    Case { prepare: format!("{}\n{rooms}", case.prepare), ..case }
}

#[test]
fn nobody_else_reaches_what_root_leaves() {
    keeps_to_itself(&with_rooms(root()));
}

#[test]
fn nobody_else_reaches_what_root_leaves_in_directories() {
    keeps_to_itself(&with_rooms(Case { config: "[run]\nform = \"directories\"\n", ..root() }));
}

#[test]
fn nobody_else_reaches_what_an_ordinary_user_leaves() {
    keeps_to_itself(&with_rooms(user()));
}

#[test]
fn nobody_else_reaches_what_a_user_of_one_id_leaves() {
    keeps_to_itself(&with_rooms(user().without_ids().after(": > /run/etc/sub")));
}
