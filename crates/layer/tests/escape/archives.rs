//! Archives that try to get out of the directory they are unpacked into, to write through what is
//! there, to change what hides what, or to exhaust the machine.

use corten_layer::Limits;

use crate::bombs;
use crate::raw::{Header, archive, file, long, pax};

/// What must become of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is applied, inside.
    Inside,
    /// It is refused with this rule, limit or action, and the message has this name in it.
    Refused(&'static str, &'static str),
    /// The same where a layer of its own is completed by who may not look into the lower ones.
    NeedsRights(&'static str, &'static str),
}

/// One attack: a stack of layers, mostly one.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) limits: Limits,
    pub(crate) fate: Fate,
}

use Fate::{Inside, NeedsRights, Refused};

fn link(flag: u8, name: &str, target: &str) -> Vec<u8> {
    Header::new(flag, name, 0).set(157, target.as_bytes()).block()
}

pub(crate) fn symlink(name: &str, target: &str) -> Vec<u8> {
    link(b'2', name, target)
}

fn hard(name: &str, target: &str) -> Vec<u8> {
    link(b'1', name, target)
}

fn dir(name: &str) -> Vec<u8> {
    Header::new(b'5', name, 0).set(100, b"0000755\0").block()
}

fn mode(flag: u8, name: &str, mode: &str) -> Vec<u8> {
    Header::new(flag, name, 0).set(100, mode.as_bytes()).block()
}

fn device(flag: u8, name: &str, major: u32, minor: u32) -> Vec<u8> {
    let (major, minor) = (format!("{major:07o}\0"), format!("{minor:07o}\0"));
    Header::new(flag, name, 0).set(329, major.as_bytes()).set(337, minor.as_bytes()).block()
}

fn white(name: &str) -> Vec<u8> {
    file(name, b"")
}

pub(crate) fn with(records: &[&str], entry: Vec<u8>) -> Vec<u8> {
    [pax(b'x', records), entry].concat()
}

fn attack(name: &'static str, parts: &[Vec<u8>], fate: Fate) -> Attack {
    Attack { name, layers: vec![archive(parts)], limits: Limits::default(), fate }
}

fn stack(name: &'static str, layers: &[&[Vec<u8>]], fate: Fate) -> Attack {
    let layers = layers.iter().map(|parts| archive(parts)).collect();
    Attack { name, layers, limits: Limits::default(), fate }
}

/// The corpus.
pub(crate) fn all() -> Vec<Attack> {
    let mut all = traversals();
    all.extend(links());
    all.extend(replaced_links());
    all.extend(hard_links());
    all.extend(whiteouts());
    all.extend(overlays());
    all.extend(special());
    all.extend(readers());
    all.extend(names());
    all.extend(bombs::sizes());
    all.extend(bombs::shapes());
    all
}

/// `..`, absolute names, and names that a careless join would leave the root with.
fn traversals() -> Vec<Attack> {
    const UP: &str = "parent-path";
    vec![
        attack("up one", &[file("../canary/secret", b"x")], Refused(UP, "../canary/secret")),
        attack("up from below", &[file("a/../../canary/secret", b"x")], Refused(UP, "a/../..")),
        attack("up at the end", &[dir("a/..")], Refused(UP, "a/..")),
        attack("only up", &[mode(b'5', "..", "0000777\0")], Refused(UP, "'..'")),
        attack("up with a dot", &[file("./../canary/secret", b"x")], Refused(UP, "./../canary")),
        attack("up by a symlink", &[symlink("../canary/new", "x")], Refused(UP, "../canary/new")),
        attack("up by a hard link", &[hard("../canary/new", "x")], Refused(UP, "../canary/new")),
        attack("up by a device", &[device(b'3', "../dev", 1, 3)], Refused(UP, "../dev")),
        attack(
            "up by PAX",
            &[with(&["path=../canary/secret"], file("a", b"x"))],
            Refused(UP, ".."),
        ),
        attack(
            "up by a long name",
            &[long(b'L', b"../canary/secret\0"), file("a", b"x")],
            Refused(UP, "../canary/secret"),
        ),
        attack("absolute", &[file("/canary/secret", b"x")], Inside),
        attack("absolute twice", &[file("//canary/secret", b"x")], Inside),
        attack("absolute by PAX", &[with(&["path=/tmp/pwned"], file("a", b"x"))], Inside),
        attack("dots between", &[file("a/./b/./c", b"x")], Inside),
        attack("three dots are a name", &[file(".../secret", b"x")], Inside),
        attack("a backslash is a letter", &[file("..\\canary\\secret", b"x")], Inside),
        attack("a name of the root", &[file("./", b"")], Refused("slash-on-file", "./")),
        attack(
            "the root as a link",
            &[symlink(".", "../canary")],
            Refused("root-not-directory", "."),
        ),
        attack("the root as a hard link", &[hard(".", "a")], Refused("hardlink-to-directory", ".")),
    ]
}

/// Symbolic links that later entries go through.
fn links() -> Vec<Attack> {
    const BELOW: &str = "below-non-directory";
    vec![
        attack(
            "a file through a link",
            &[symlink("a", "../canary"), file("a/secret", b"x")],
            Refused(BELOW, "a/secret"),
        ),
        attack(
            "a file through an absolute link",
            &[symlink("a", "/"), file("a/tmp/pwned", b"x")],
            Refused(BELOW, "a/tmp/pwned"),
        ),
        attack(
            "a directory through a link",
            &[symlink("a", "../canary"), dir("a/new")],
            Refused(BELOW, "a/new"),
        ),
        attack(
            "a link through a link",
            &[symlink("a", ".."), symlink("a/canary/new", "x")],
            Refused(BELOW, "a/canary/new"),
        ),
        attack(
            "a hard link through a link",
            &[file("f", b"x"), symlink("a", "../canary"), hard("a/new", "f")],
            Refused(BELOW, "a/new"),
        ),
        attack(
            "through a chain of links",
            &[symlink("a", "b"), symlink("b", "../canary"), file("a/secret", b"x")],
            Refused(BELOW, "a/secret"),
        ),
        attack(
            "through /proc",
            &[symlink("a", "/proc/self/root"), file("a/tmp/pwned", b"x")],
            Refused(BELOW, "a/tmp/pwned"),
        ),
    ]
}

/// Symbolic links that later entries replace, or that lower layers left.
fn replaced_links() -> Vec<Attack> {
    vec![
        attack(
            "a file over a link does not follow it",
            &[symlink("a", "../canary/secret"), file("a", b"overwritten")],
            Inside,
        ),
        attack(
            "a directory over a link does not follow it",
            &[symlink("a", "../canary"), mode(b'5', "a", "0000777\0"), file("a/secret", b"x")],
            Inside,
        ),
        attack(
            "a link named like its parent with a dot",
            &[symlink("a/.", "../../canary"), file("a/secret", b"x")],
            Refused("below-non-directory", "a/secret"),
        ),
        attack(
            "modes and owners of a link stay on the link",
            &[Header::new(b'2', "a", 0)
                .set(100, b"0006777\0")
                .set(108, b"0001750\0")
                .set(157, b"../canary/secret")
                .block()],
            Inside,
        ),
        attack(
            "attributes of a link stay on the link",
            &[with(&["SCHILY.xattr.trusted.mark=1"], symlink("a", "../canary/secret"))],
            Inside,
        ),
        stack(
            "a link of a lower layer gives way",
            &[&[symlink("a", "../canary")], &[file("a/secret", b"x")]],
            Inside,
        ),
        stack(
            "a link deep in a lower layer gives way",
            &[&[dir("a"), symlink("a/b", "../../canary")], &[file("a/b/c/secret", b"x")]],
            Inside,
        ),
        stack(
            "a directory over a link of a lower layer",
            &[
                &[symlink("a", "../canary")],
                &[mode(b'5', "a", "0000777\0"), file("a/secret", b"x")],
            ],
            Inside,
        ),
        attack("a link with an empty target", &[symlink("a", "")], Refused("empty-name", "a")),
    ]
}

fn hard_links() -> Vec<Attack> {
    const TARGET: &str = "hardlink-target";
    vec![
        attack("to the outside", &[hard("a", "../canary/secret")], Refused("parent-path", "a")),
        attack("to an absolute path", &[hard("a", "/etc/passwd")], Refused(TARGET, "a")),
        attack("to nothing", &[hard("a", "missing")], Refused(TARGET, "a")),
        attack("to what comes later", &[hard("a", "b"), file("b", b"x")], Refused(TARGET, "a")),
        attack(
            "through a link",
            &[symlink("s", "../canary"), hard("a", "s/secret")],
            Refused(TARGET, "a"),
        ),
        attack(
            "to a link, then written",
            &[symlink("s", "../canary/secret"), hard("a", "s"), file("a", b"overwritten")],
            Inside,
        ),
        attack(
            "to a link, with a mode",
            &[
                symlink("s", "../canary/secret"),
                Header::new(b'1', "a", 0).set(100, b"0006777\0").set(157, b"s").block(),
            ],
            Inside,
        ),
        attack(
            "to a directory",
            &[dir("d"), hard("a", "d")],
            Refused("hardlink-to-directory", "a"),
        ),
        attack("to the root", &[hard("a", ".")], Refused("hardlink-to-directory", "a")),
        attack("to itself", &[file("a", b"x"), hard("a", "a")], Inside),
        attack(
            "over a directory that holds its target",
            &[dir("d"), file("d/f", b"x"), hard("d", "d/f")],
            Refused(TARGET, "d"),
        ),
        attack("to a whiteout", &[white(".wh.x"), hard("a", ".wh.x")], Refused(TARGET, "a")),
        stack("to a file of a lower layer", &[&[file("f", b"x")], &[hard("a", "f")]], Inside),
        stack(
            "to a file that the same layer hides later",
            &[&[file("f", b"x")], &[hard("a", "f"), white(".wh.f")]],
            Refused(TARGET, "a"),
        ),
    ]
}

fn whiteouts() -> Vec<Attack> {
    vec![
        attack("of nothing", &[white("a/.wh.")], Refused("bare-whiteout", "a/.wh.")),
        attack("of a dot", &[white("a/.wh..")], Refused("whiteout-of-dot", "a/.wh..")),
        attack("of the parent", &[white("a/.wh...")], Refused("whiteout-of-dot", "a/.wh...")),
        attack(
            "of the parent of the root",
            &[white(".wh...")],
            Refused("whiteout-of-dot", ".wh..."),
        ),
        attack("up to a whiteout", &[white("../canary/.wh.secret")], Refused("parent-path", "..")),
        attack(
            "below a whiteout",
            &[file(".wh.a/b", b"x")],
            Refused("whiteout-not-regular", ".wh.a/b"),
        ),
        attack(
            "opaque through a link of the layer",
            &[symlink("a", "../canary"), white("a/.wh..wh..opq")],
            Inside,
        ),
        attack(
            "through a link of the layer",
            &[symlink("a", "../canary"), white("a/.wh.secret")],
            Inside,
        ),
        stack(
            "through a link of a lower layer",
            &[&[symlink("a", "../canary")], &[white("a/.wh.secret"), white("a/.wh..wh..opq")]],
            Inside,
        ),
        stack(
            "opaque placed late",
            &[&[file("d/low", b"x")], &[file("d/high", b"y"), white("d/.wh..wh..opq")]],
            Inside,
        ),
        stack(
            "a whiteout and its entry in one layer",
            &[&[file("f", b"low")], &[file("f", b"high"), white(".wh.f")]],
            Inside,
        ),
        stack(
            "a whiteout of a parent after the entry",
            &[&[file("d/low", b"x")], &[file("d/high", b"y"), white(".wh.d")]],
            Inside,
        ),
        stack("the root made opaque", &[&[file("f", b"x")], &[white(".wh..wh..opq")]], Inside),
        attack("a name that AUFS reserved", &[file(".wh..wh.plnk/1.2", b"x")], Inside),
    ]
}

/// Attributes and devices that an overlay would take for its own.
fn overlays() -> Vec<Attack> {
    let smuggle = |record: &str| [with(&[record], dir("d")), with(&[record], file("f", b"x"))];
    vec![
        attack("overlay: opaque", &smuggle("SCHILY.xattr.trusted.overlay.opaque=y"), Inside),
        attack("overlay: opaque of users", &smuggle("SCHILY.xattr.user.overlay.opaque=y"), Inside),
        attack(
            "overlay: redirect",
            &smuggle("SCHILY.xattr.trusted.overlay.redirect=/../../etc"),
            Inside,
        ),
        attack("overlay: metacopy", &smuggle("SCHILY.xattr.user.overlay.metacopy=1"), Inside),
        attack(
            "overlay: whiteout by attribute",
            &smuggle("SCHILY.xattr.user.overlay.whiteout=y"),
            Inside,
        ),
        attack(
            "overlay: escaped",
            &smuggle("SCHILY.xattr.trusted.overlay.overlay.opaque=y"),
            Inside,
        ),
        stack(
            "a whiteout as a device",
            &[&[file("f", b"x")], &[device(b'3', "f", 0, 0), hard("g", "f")]],
            Refused("whiteout-device", "f"),
        ),
        attack(
            "a whiteout as a device, of nothing",
            &[dir("d"), device(b'3', "d/f", 0, 0)],
            Refused("whiteout-device", "d/f"),
        ),
        attack("a block device 0:0 is but a device", &[device(b'4', "f", 0, 0)], Inside),
    ]
}

/// Devices, set-user-id files, modes that lock out, owners.
fn special() -> Vec<Attack> {
    let id = |number: &[u8]| Header::new(b'0', "f", 0).set(108, number).block();
    vec![
        attack(
            "memory of the machine",
            &[device(b'3', "mem", 1, 1), device(b'4', "disk", 8, 0)],
            Inside,
        ),
        attack("a link to a device", &[device(b'4', "disk", 8, 0), hard("again", "disk")], Inside),
        attack(
            "a file below a device",
            &[device(b'3', "d", 1, 3), file("d/f", b"x")],
            Refused("below-non-directory", "d/f"),
        ),
        attack("a pipe, then a file", &[mode(b'6', "p", "0000666\0"), file("p", b"x")], Inside),
        attack("set-user-id", &[mode(b'0', "su", "0006755\0")], Inside),
        attack(
            "capabilities",
            &[with(&["SCHILY.xattr.security.capability=broken"], file("ping", b"x"))],
            Inside,
        ),
        attack(
            "a directory that nobody may enter",
            &[mode(b'5', "d", "0000000\0"), file("d/f", b"x"), dir("d/e"), file("d/e/f", b"x")],
            Inside,
        ),
        attack(
            "a root that nobody may enter",
            &[mode(b'5', "./", "0000000\0"), file("f", b"x")],
            Inside,
        ),
        stack(
            "a closed directory of a lower layer",
            &[
                &[mode(b'5', "d", "0000000\0"), file("d/f", b"x")],
                &[file("d/g", b"x"), white("d/.wh.f")],
            ],
            NeedsRights("lookup", "d"),
        ),
        attack(
            "a negative owner",
            &[id(b"\xff\xff\xff\xff\xff\xff\xff\xff")],
            Refused("number", "f"),
        ),
        attack("an owner with a sign", &[id(b"-000001\0")], Refused("number", "f")),
        attack(
            "an owner beyond all",
            &[with(&["uid=4294967296"], file("f", b""))],
            Refused("number", ""),
        ),
    ]
}

/// Archives of which two readers see two trees.
fn readers() -> Vec<Attack> {
    let hidden = archive(&[file("smuggled", b"evil")]);
    let size = format!("size={}", hidden.len());
    vec![
        attack(
            "hidden behind a PAX size",
            &[pax(b'x', &[&size]), Header::new(b'0', "outer", 0).with(&hidden)],
            Refused("size-mismatch", "outer"),
        ),
        attack(
            "revealed by a PAX size",
            &[
                pax(b'x', &["size=0"]),
                Header::new(b'0', "outer", hidden.len() as u64).with(&hidden),
            ],
            Refused("size-mismatch", "outer"),
        ),
        attack(
            "a size on a link",
            &[Header::new(b'2', "a", 512).set(157, b"b").with(&[0; 512])],
            Refused("size-on-link", "a"),
        ),
        attack(
            "a global path",
            &[pax(b'g', &["path=../canary/secret"]), file("a", b"x")],
            Refused("global-record", ""),
        ),
        attack(
            "a broken record",
            &[Header::new(b'x', "p", 9).with(b"99 path=x"), file("a", b"x")],
            Refused("pax-record", ""),
        ),
        attack(
            "two names",
            &[pax(b'x', &["path=a", "path=b"]), file("c", b"x")],
            Refused("pax-contradiction", ""),
        ),
        attack(
            "two extensions",
            &[pax(b'x', &["path=a"]), pax(b'x', &["path=b"]), file("c", b"x")],
            Refused("repeated-extension", ""),
        ),
        attack(
            "a NUL in a PAX name",
            &[pax(b'x', &["path=a\0/../../canary"]), file("c", b"x")],
            Refused("nul-in-name", ""),
        ),
        attack(
            "an unknown type",
            &[Header::new(b'Z', "a", 0).block()],
            Refused("unknown-type", "a"),
        ),
        Attack {
            name: "a second archive behind the end",
            layers: vec![[archive(&[file("a", b"x")]), hidden.clone()].concat()],
            limits: Limits::default(),
            fate: Refused("trailing-garbage", ""),
        },
        Attack {
            name: "cut inside a file",
            layers: vec![archive(&[file("a", &[1; 4000])])[..2000].to_vec()],
            limits: Limits::default(),
            fate: Refused("truncated", "a"),
        },
    ]
}

fn names() -> Vec<Attack> {
    let bytes = |name: &[u8]| Header::new(b'0', "", 1).set(0, name).with(b"x");
    vec![
        attack("twice, the last counts", &[file("a", b"1"), file("a", b"2")], Inside),
        attack("a file, then a directory", &[file("a", b"1"), dir("a"), file("a/b", b"x")], Inside),
        attack("a directory, then a file", &[dir("a"), file("a/b", b"x"), file("a", b"1")], Inside),
        attack("differing in case", &[file("A", b"1"), file("a", b"2")], Inside),
        attack("composed and decomposed", &[file("\u{e9}", b"1"), file("e\u{301}", b"2")], Inside),
        attack("no UTF-8", &[bytes(b"a\xff\xfe/b")], Inside),
        attack("control characters", &[bytes(b"a\x1b[2J\nb")], Inside),
        attack(
            "a component too long",
            &[with(&[&format!("path=d/{}", "n".repeat(300))], file("a", b"x"))],
            Refused("creation", "nnn"),
        ),
        attack("an empty name", &[file("", b"x")], Refused("empty-name", "")),
    ]
}
