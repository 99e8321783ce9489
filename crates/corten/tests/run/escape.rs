//! Hostile images under `corten run`: as root with both forms of layers, and as an ordinary user. A canary
//! outside stays as it was, and where a run fails the error names the thing.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::attack::{Attack, Fate};
use crate::attacks::attacks;
use crate::checks::HEAD;
use crate::image::{busybox, image_of};
use crate::machine::{Answer, Machine, Setup};
use crate::matrix::{Case, root, user};

/// What a file is, to the last change of what the machine keeps of it.
type Seen = BTreeMap<PathBuf, (u32, u64, u64, u64, i64, i64, Vec<u8>)>;

/// Files that an attack would like to read, write, take away or run.
fn plant(canary: &Path) {
    std::fs::create_dir(canary).unwrap();
    for (name, content, mode) in [
        ("secret", "outside", 0o666),
        ("passwd", "app:x:77:77::/:/bin/sh\nmore:x:2000:app\n", 0o644),
        ("script", "#!/bin/sh\necho ran\n", 0o755),
    ] {
        std::fs::write(canary.join(name), content).unwrap();
        std::fs::set_permissions(canary.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    std::fs::create_dir(canary.join("directory")).unwrap();
    for name in ["null", "zero", "ptmx", "stdin"] {
        std::fs::write(canary.join("directory").join(name), name).unwrap();
    }
    symlink("secret", canary.join("link")).unwrap();
    for directory in [canary, &canary.join("directory")] {
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o777)).unwrap();
    }
}

fn seen(canary: &Path) -> Seen {
    let mut found = Seen::new();
    let mut queue = vec![canary.to_owned()];
    while let Some(path) = queue.pop() {
        let meta = path.symlink_metadata().unwrap();
        let mut content = Vec::new();
        if meta.is_dir() {
            queue.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.is_file() {
            content = std::fs::read(&path).unwrap();
        }
        let (mode, inode, links) = (meta.mode(), meta.ino(), meta.nlink());
        let facts = (mode, inode, links, meta.size(), meta.ctime(), meta.ctime_nsec(), content);
        found.insert(path, facts);
    }
    found
}

/// What else of the machine must not change.
const MACHINE: &str = "hostname; cat /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe
grep -v corten-peers /proc/self/mountinfo | sed 's/^[0-9]* [0-9]* //'; ls -d /dev/* /etc/* /bin/* /lib/*; ls -A $S $S/home; stat -c '%n %a %u %s %Y' /etc/passwd /etc/hosts /dev/null /dev/console /etc/hostname";

fn told(attack: &Attack, answer: &Answer) -> Result<(), String> {
    let fate = &attack.fate;
    let (out, code) = answer.out.trim_end().rsplit_once("= ").unwrap_or((&answer.out, "0"));
    let (out, code) = (out.trim_end(), code.parse::<i32>().unwrap_or(-1));
    let right = match fate {
        Fate::Runs(wanted) => code == 0 && out == wanted,
        Fate::Fails(wanted, part) => code == *wanted && answer.err.contains(part.as_str()),
    };
    // An error is of a screen at the most, whatever an image says.
    let short = answer.err.len() < 8192;
    match right && short {
        true => Ok(()),
        false => {
            let err: String = answer.err.chars().take(600).collect();
            Err(format!("{}: wanted {fate:?}, got {code}, {out:?} and {err:?}", attack.name))
        }
    }
}

/// Runs attacks on a machine.
fn withstands(case: &Case, chosen: impl Fn(&Attack) -> bool) {
    let Some(busybox) = busybox() else { return };
    let mut setup: Setup = case.setup();
    setup.env.push(("SECRET".to_owned(), "of the machine".to_owned()));
    let Some(machine) = Machine::new(&setup) else { return };
    std::fs::create_dir(machine.path("home/mine")).unwrap();
    let canary = machine.path("canary");
    plant(&canary);
    let mut list = attacks(canary.to_str().unwrap());
    list.retain(chosen);
    for (number, attack) in list.iter().enumerate() {
        let image = image_of(&busybox, &attack.layers, attack.config.clone());
        machine.layout.add(&format!("n{number}"), &image);
    }
    let binary = std::fs::read(machine.path("bin/corten")).unwrap();
    machine.sh("corten --quiet ps; touch id");
    let (before, about) = (seen(&canary), machine.sh(MACHINE).out);
    let mut failures = Vec::new();
    for (number, attack) in list.iter().enumerate() {
        let head =
            format!("FLAGS='{}' NAME=n{number} IMAGE=oci:$S/images:n{number}{HEAD}", case.flags);
        let run = || format!("run {} $IMAGE {}", attack.flags, attack.words);
        let answer = machine.sh(&format!("{head}{}", attack.script.clone().unwrap_or_else(run)));
        failures.extend(told(attack, &answer).err());
        assert!(seen(&canary) == before, "{}: the canary was touched\n{answer:?}", attack.name);
    }
    let after = machine.sh(MACHINE).out;
    let others = |one: &str, other: &str| -> Vec<String> {
        one.lines().filter(|line| !other.lines().any(|l| l == *line)).map(str::to_owned).collect()
    };
    let (new, lost) = (others(&after, &about), others(&about, &after));
    if !new.is_empty() || !lost.is_empty() {
        failures.push(format!("the machine was changed: {new:#?} for {lost:#?}"));
    }
    assert!(std::fs::read(machine.path("bin/corten")).unwrap() == binary, "the binary was changed");
    println!("{} images withstood", list.len() - failures.len());
    assert!(failures.is_empty(), "{} of {}\n{}", failures.len(), list.len(), failures.join("\n"));
}

#[test]
fn root_with_indexes_withstands() {
    withstands(&root(), |_| true);
}

#[test]
fn root_with_directories_withstands() {
    // What its config alone says does not depend on the form of the layers.
    let case = Case { config: "[run]\nform = \"directories\"\n", ..root() };
    withstands(&case, |attack| !attack.layers.is_empty());
}

#[test]
fn an_ordinary_user_withstands() {
    withstands(&user(), |_| true);
}
