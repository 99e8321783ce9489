//! Archives in every dialect, and archives on the borders between them. Each entry of a directory
//! that matters is there, for readers differ in the times of directories that they make up.

use crate::raw::{Header, archive, file, long, pax};

/// One archive and its name.
pub(crate) type Case = (String, Vec<u8>);

fn case(name: &str, parts: &[Vec<u8>]) -> Case {
    (name.to_owned(), archive(parts))
}

fn owned(header: Header) -> Header {
    header.set(108, b"0001750\0").set(116, b"0001751\0").set(136, b"14566664353\0")
}

fn f(name: &str) -> Vec<u8> {
    owned(Header::new(b'0', name, 5)).with(b"hello")
}

fn link(flag: u8, name: &str, target: &[u8]) -> Vec<u8> {
    owned(Header::new(flag, name, 0)).set(157, target).block()
}

fn dir(name: &str) -> Vec<u8> {
    owned(Header::new(b'5', name, 0)).set(100, b"0000751\0").block()
}

fn device(flag: u8, name: &str, (major, minor): (u32, u32)) -> Vec<u8> {
    let (major, minor) = (format!("{major:07o}\0"), format!("{minor:07o}\0"));
    owned(Header::new(flag, name, 0)).set(329, major.as_bytes()).set(337, minor.as_bytes()).block()
}

fn px(records: &[&str], entry: Vec<u8>) -> Vec<u8> {
    [pax(b'x', records), entry].concat()
}

fn raw_file(name: &[u8]) -> Vec<u8> {
    owned(Header::new(b'0', "", 5)).set(0, name).with(b"hello")
}

pub(crate) fn all() -> Vec<Case> {
    let mut all = dialects();
    all.extend(names());
    all.extend(numbers());
    all.extend(pax_records());
    all.extend(global_records());
    all.extend(gnu_extensions());
    all.extend(sparse_files());
    all.extend(links());
    all.extend(meetings());
    all.extend(ends());
    all.extend(desyncs());
    all.extend(attributes());
    all
}

fn dialects() -> Vec<Case> {
    let kinds = |make: fn(u8, &str, u64) -> Header| {
        vec![
            owned(make(b'5', "d/", 0)).set(100, b"0000700\0").block(),
            owned(make(b'0', "d/f", 5)).with(b"hello"),
            owned(make(b'2', "d/s", 0)).set(157, b"../x").block(),
            owned(make(b'1', "h", 0)).set(157, b"d/f").block(),
        ]
    };
    let mut cases = vec![
        case("ustar of every kind", &kinds(Header::new)),
        case("gnu of every kind", &kinds(Header::gnu)),
        case("v7 of every kind", &kinds(Header::v7)),
        case("v7 file of type NUL", &[owned(Header::v7(0, "f", 5)).with(b"hello")]),
        case("v7 directory by its slash", &[owned(Header::v7(0, "d/", 0)).block()]),
        case("ustar file of type NUL", &[owned(Header::new(0, "f", 5)).with(b"hello")]),
        case("ustar directory by its slash", &[owned(Header::new(0, "d/", 0)).block()]),
        case("a contiguous file", &[owned(Header::new(b'7', "f", 5)).with(b"hello")]),
        case("a pipe", &[owned(Header::new(b'6', "p", 0)).block()]),
        case("a character device", &[device(b'3', "c", (1, 3))]),
        case("a block device", &[device(b'4', "b", (8, 1))]),
        case("a large minor number", &[device(b'4', "b", (8, 0o777_777))]),
        case("a large major number", &[device(b'3', "c", (0o7777, 1))]),
        case("an unknown type", &[owned(Header::new(b'Z', "z", 5)).with(b"hello"), f("after")]),
        case("a volume label", &[Header::gnu(b'V', "label", 0).block(), f("after")]),
        case("a multi-volume piece", &[Header::gnu(b'M', "m", 5).with(b"hello"), f("after")]),
        case("a dump directory", &[Header::gnu(b'D', "m/", 3).with(b"Yx\0"), f("after")]),
        case("a Solaris header", &[Header::new(b'X', "m", 0).block(), f("after")]),
        case("ustar of another version", &[Header::new(b'0', "f", 0).set(263, b"  ").block()]),
        case("a magic without version", &[Header::new(b'0', "f", 0).set(263, b"\0\0").block()]),
    ];
    for mode in ["0000000", "0000777", "0004755", "0002711", "0001777", "0100644", "0006000"] {
        let mode = format!("{mode}\0");
        cases.push(case(
            &format!("mode {}", mode.trim_end_matches('\0')),
            &[
                owned(Header::new(b'0', "f", 0)).set(100, mode.as_bytes()).block(),
                owned(Header::new(b'5', "d", 0)).set(100, mode.as_bytes()).block(),
            ],
        ));
    }
    cases
}

fn names() -> Vec<Case> {
    let prefixed = |prefix: &str, name: &str| {
        owned(Header::new(b'0', name, 5)).set(345, prefix.as_bytes()).with(b"hello")
    };
    let (n99, n100, p155) = ("n".repeat(99), "n".repeat(100), "p".repeat(155));
    let mut cases = vec![
        case("a dot before", &[dir("./"), dir("./d"), f("./d/f")]),
        case("two slashes within", &[dir("d"), f("d//f")]),
        case("a dot within", &[dir("d"), f("d/./f")]),
        case("a leading slash", &[f("/abs")]),
        case("three leading slashes", &[f("///abs")]),
        case("a slash behind a directory", &[dir("d/"), f("d/f")]),
        case("no slash behind a directory", &[dir("d"), f("d/f")]),
        case("two slashes behind a directory", &[dir("d//"), f("d/f")]),
        case("a slash behind a file", &[f("f/")]),
        case("a slash behind a symlink", &[link(b'2', "s/", b"x")]),
        case("up", &[f("../f")]),
        case("up within", &[dir("d"), f("d/../f")]),
        case("an empty name", &[f("")]),
        case("a dot alone as a file", &[f(".")]),
        case("not UTF-8", &[raw_file(b"\xff\xfe\x80")]),
        case("a newline", &[raw_file(b"a\nb")]),
        case("a backslash", &[raw_file(b"a\\b")]),
        case("a letter of two bytes", &[raw_file("ä".as_bytes())]),
        case("blanks", &[raw_file(b" a ")]),
        case("a colon", &[raw_file(b"host:f")]),
        case("a dash first", &[raw_file(b"-rf")]),
        case("a star", &[raw_file(b"*?[a]")]),
        case("99 bytes", &[f(&n99)]),
        case("100 bytes", &[f(&n100)]),
        case("a prefix", &[dir("p"), prefixed("p", "f")]),
        case("a full prefix and a full name", &[prefixed(&p155, &n100)]),
        case("a prefix that ends with a slash", &[dir("p"), prefixed("p/", "f")]),
        case(
            "a prefix in the GNU dialect",
            &[dir("p"), owned(Header::gnu(b'0', "f", 5)).set(345, b"p").with(b"hello")],
        ),
        case(
            "a prefix before POSIX",
            &[dir("p"), owned(Header::v7(b'0', "f", 5)).set(345, b"p").with(b"hello")],
        ),
        case("a prefix and no name", &[prefixed("p", "")]),
    ];
    for length in [101, 255, 256] {
        let name = "n".repeat(length);
        cases.push(case(
            &format!("PAX name of {length}"),
            &[px(&[&format!("path={name}")], f("x"))],
        ));
        let name = [name.as_bytes(), b"\0"].concat();
        cases.push(case(&format!("GNU name of {length}"), &[long(b'L', &name), f("x")]));
    }
    cases
}

fn numbers() -> Vec<Case> {
    let with = |at: usize, bytes: &[u8]| vec![Header::new(b'0', "f", 0).set(at, bytes).block()];
    let signed = {
        let header = owned(Header::new(b'0', "", 5)).set(0, b"\xe4\xf6\xfc").set(148, b"        ");
        let sum: i64 = header.0.iter().map(|byte| i64::from(byte.cast_signed())).sum();
        header.set(148, format!("{sum:06o}\0 ").as_bytes()).0.to_vec()
    };
    let mut content = b"hello".to_vec();
    content.resize(512, 0);
    let wrong = Header::new(b'0', "f", 0).set(148, b"0000001\0").0.to_vec();
    vec![
        case("a signed checksum", &[signed, content]),
        case("a wrong checksum", &[wrong]),
        case("a number without its NUL", &with(136, b"145666643530")),
        case("a number with blanks", &with(108, b"  1750 \0")),
        case("a number of blanks", &with(108, b"        ")),
        case("a number of NULs", &with(108, &[0; 8])),
        case("a number with a letter", &with(108, b"00017x0\0")),
        case("a number with an eight", &with(108, b"0001780\0")),
        case("a sign", &with(108, b"-000001\0")),
        case("base 256 owner", &with(108, b"\x80\0\0\0\0\x01\x86\xa0")),
        case("base 256 group", &with(116, b"\x80\0\0\0\x00\x03\x0d\x40")),
        case(
            "base 256 size",
            &[owned(Header::gnu(b'0', "f", 0))
                .set(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x05")
                .with(b"hello")],
        ),
        case("base 256 time", &with(136, b"\x80\0\0\0\0\0\0\0\x65\0\0\0")),
        case(
            "base 256 time before 1970",
            &with(136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0"),
        ),
        case("base 256 time beyond 2106", &with(136, b"\x80\0\0\0\0\0\0\x01\x65\0\0\0")),
        case("base 256 negative owner", &with(108, b"\xff\xff\xff\xff\xff\xff\xff\xfe")),
        case("base 256 owner too large", &with(108, b"\x80\0\0\x01\0\0\0\0")),
        case("base 256 with another first bit", &with(108, b"\xc0\0\0\0\0\0\0\x01")),
        case("the highest octal owner", &with(108, b"07777777")),
        case("the highest octal time", &with(136, b"77777777777\0")),
    ]
}

fn pax_records() -> Vec<Case> {
    let one = |name: &str, record: &str| case(&format!("PAX {name}"), &[px(&[record], f("x"))]);
    let mut cases = vec![
        one("path", "path=other"),
        one("path that is absolute", "path=/abs"),
        one("path with a slash behind", "path=f/"),
        one("path of nothing", "path="),
        one("size", "size=5"),
        one("size that differs", "size=512"),
        one("size of zero", "size=0"),
        one("size with a sign", "size=+5"),
        one("uid", "uid=100000"),
        one("uid of zero", "uid=0"),
        one("uid too large", "uid=4294967296"),
        one("uid with a blank", "uid= 5"),
        one("gid", "gid=100001"),
        one("uname", "uname=root"),
        one("gname", "gname=root"),
        one("mtime", "mtime=1700000000"),
        one("mtime with a fraction", "mtime=1700000000.987654321"),
        one("mtime with a long fraction", "mtime=1700000000.98765432199999"),
        one("mtime with a point alone", "mtime=1700000000."),
        one("mtime before 1970", "mtime=-100"),
        one("mtime before 1970 with a fraction", "mtime=-100.25"),
        one("mtime with an exponent", "mtime=1e9"),
        one("atime", "atime=1700000000.5"),
        one("ctime", "ctime=1700000000"),
        one("comment", "comment=nothing"),
        one("charset", "charset=BINARY"),
        one("hdrcharset", "hdrcharset=BINARY"),
        one("key of a vendor", "VENDOR.key=value"),
        case("PAX linkpath of a symlink", &[px(&["linkpath=there"], link(b'2', "s", b"here"))]),
        case("PAX linkpath of a hard link", &[f("f"), px(&["linkpath=f"], link(b'1', "h", b"x"))]),
        case("PAX linkpath of a file", &[px(&["linkpath=there"], f("f"))]),
        case("PAX of a directory", &[px(&["path=dd/", "mtime=1000000001"], dir("d"))]),
        case("PAX twice the same", &[px(&["path=a", "path=a"], f("x"))]),
        case("PAX twice and not the same", &[px(&["path=a", "path=b"], f("x"))]),
        case("two PAX headers", &[pax(b'x', &["uid=7"]), px(&["gid=8"], f("x"))]),
        case("a PAX header alone", &[f("f"), pax(b'x', &["path=a"])]),
        case("an empty PAX header", &[pax(b'x', &[]), f("x")]),
    ];
    let broken: [(&str, &[u8]); 6] = [
        ("no length", b"path=a\n"),
        ("a length too short", b"5 path=a\n"),
        ("a length too long", b"99 path=a\n"),
        ("no newline", b"10 path=ab"),
        ("no equals sign", b"8 path\n "),
        ("NULs behind", b"9 uid=77\n\0\0\0"),
    ];
    for (name, bytes) in broken {
        let header = Header::new(b'x', "PaxHeaders/x", bytes.len() as u64).with(bytes);
        cases.push(case(&format!("PAX with {name}"), &[header, f("x")]));
    }
    cases
}

fn global_records() -> Vec<Case> {
    [
        "comment=x",
        "mtime=1000000000",
        "uid=5",
        "gid=6",
        "path=g",
        "size=0",
        "uname=root",
        "SCHILY.xattr.user.a=b",
        "VENDOR.key=v",
    ]
    .iter()
    .map(|record| case(&format!("global {record}"), &[pax(b'g', &[record]), f("a"), f("b")]))
    .collect()
}

fn gnu_extensions() -> Vec<Case> {
    let (name, target) = (b"long/name\0".as_slice(), b"long/target\0".as_slice());
    vec![
        case("GNU long name", &[dir("long"), long(b'L', name), f("x")]),
        case("GNU long name without NUL", &[dir("long"), long(b'L', b"long/name"), f("x")]),
        case(
            "GNU long name with a NUL within",
            &[dir("long"), long(b'L', b"long\0name\0"), f("x")],
        ),
        case("GNU long link", &[long(b'K', target), link(b'2', "s", b"short")]),
        case("GNU long link of a file", &[long(b'K', target), f("f")]),
        case(
            "GNU long name and link",
            &[dir("long"), long(b'L', name), long(b'K', target), link(b'2', "s", b"short")],
        ),
        case(
            "GNU long link and name",
            &[dir("long"), long(b'K', target), long(b'L', name), link(b'2', "s", b"short")],
        ),
        case("two GNU long names", &[long(b'L', b"a\0"), long(b'L', b"b\0"), f("x")]),
        case("GNU long name, then PAX", &[long(b'L', b"a\0"), px(&["path=b"], f("x"))]),
        case("PAX, then GNU long name", &[pax(b'x', &["path=b"]), long(b'L', b"a\0"), f("x")]),
        case("a GNU long name alone", &[f("f"), long(b'L', b"a\0")]),
        case("an empty GNU long name", &[long(b'L', b"\0"), f("x")]),
        case(
            "times in a GNU header",
            &[owned(Header::gnu(b'0', "f", 5)).set(345, b"14566664353\0").with(b"hello")],
        ),
    ]
}

/// Two pieces: a whole block at 512 and two bytes at 4096.
fn stored() -> Vec<u8> {
    [&[b'a'; 512][..], b"bc"].concat()
}

fn old_sparse(size: &[u8], pieces: &[u8]) -> Vec<u8> {
    let content = stored();
    let header = owned(Header::gnu(b'S', "f", content.len() as u64));
    header.set(386, pieces).set(483, size).with(&content)
}

/// Five pieces of a block each, the last one in a block of its own behind the header.
fn extended_sparse() -> Vec<u8> {
    let piece = |number: u64| format!("{:011o}\0{:011o}\0", number * 1024, 512).into_bytes();
    let first: Vec<u8> = (0..4).flat_map(piece).collect();
    let header = owned(Header::gnu(b'S', "f", 2560)).set(386, &first).set(482, &[1]);
    let mut block = piece(4);
    block.resize(512, 0);
    let content: Vec<u8> = (0..5).flat_map(|number| [b'a' + number; 512]).collect();
    [header.set(483, b"00000011000\0").block(), block, content].concat()
}

fn sparse_files() -> Vec<Case> {
    let old = |size: &[u8]| {
        old_sparse(size, b"00000001000\x0000000001000\x0000000010000\x0000000000002\x0000000023420\x0000000000000\0")
    };
    let plain = || owned(Header::new(b'0', "f", 514)).with(&stored());
    let one = |count: &str| {
        let mut content = format!("{count}\n512\n512\n4096\n2\n10000\n0\n").into_bytes();
        content.resize(512, 0);
        content.extend_from_slice(&stored());
        owned(Header::new(b'0', "x", content.len() as u64)).with(&content)
    };
    let sizes = ["GNU.sparse.size=10000", "GNU.sparse.numblocks=3"];
    let zero_one =
        |map: &str| px(&[&sizes[..], &[&format!("GNU.sparse.map={map}")]].concat(), plain());
    let zero_zero = [
        "GNU.sparse.offset=512",
        "GNU.sparse.numbytes=512",
        "GNU.sparse.offset=4096",
        "GNU.sparse.numbytes=2",
        "GNU.sparse.offset=10000",
        "GNU.sparse.numbytes=0",
    ];
    let keys = ["GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=f"];
    let known = [&keys[..], &["GNU.sparse.realsize=10000"]].concat();
    vec![
        case("sparse of old GNU", &[old(b"00000023420\0"), f("after")]),
        case("sparse of old GNU, too small", &[old(b"00000000001\0")]),
        case("sparse of old GNU, with an extension", &[extended_sparse(), f("after")]),
        case("sparse 0.0", &[px(&[&sizes[..], &zero_zero].concat(), plain()), f("after")]),
        case("sparse 0.1", &[zero_one("512,512,4096,2,10000,0"), f("after")]),
        case("sparse 1.0", &[px(&known, one("3")), f("after")]),
        case("sparse 1.0 without its size", &[px(&keys, one("3"))]),
        case("sparse 1.0 with more pieces than it has", &[px(&known, one("4"))]),
        case("sparse with pieces that end within a block", &[zero_one("512,2,4096,512,10000,0")]),
        case("sparse with its pieces out of order", &[zero_one("4096,512,512,2,10000,0")]),
        case("sparse with pieces over each other", &[zero_one("0,512,511,2,10000,0")]),
        case(
            "sparse without its end",
            &[px(
                &[
                    "GNU.sparse.size=10000",
                    "GNU.sparse.numblocks=2",
                    "GNU.sparse.map=512,512,4096,2",
                ],
                plain(),
            )],
        ),
        case(
            "sparse with another count",
            &[px(
                &[
                    "GNU.sparse.size=10000",
                    "GNU.sparse.numblocks=4",
                    "GNU.sparse.map=512,512,4096,2,10000,0",
                ],
                plain(),
            )],
        ),
        case(
            "sparse and all a hole",
            &[px(
                &["GNU.sparse.size=10000", "GNU.sparse.numblocks=1", "GNU.sparse.map=10000,0"],
                owned(Header::new(b'0', "f", 0)).block(),
            )],
        ),
    ]
}

fn links() -> Vec<Case> {
    vec![
        case("a hard link", &[f("f"), link(b'1', "h", b"f")]),
        case("a chain of hard links", &[f("f"), link(b'1', "g", b"f"), link(b'1', "h", b"g")]),
        case("a hard link to what is absolute", &[f("f"), link(b'1', "h", b"/f")]),
        case("a hard link with a dot", &[f("f"), link(b'1', "h", b"./f")]),
        case("a hard link to nothing", &[link(b'1', "h", b"f")]),
        case("a hard link to what comes later", &[link(b'1', "h", b"f"), f("f")]),
        case("a hard link to itself", &[f("f"), link(b'1', "f", b"f")]),
        case("a hard link to a symlink", &[link(b'2', "s", b"x"), link(b'1', "h", b"s")]),
        case("a hard link to a directory", &[dir("d"), link(b'1', "h", b"d")]),
        case("a hard link up", &[link(b'1', "h", b"../f")]),
        case(
            "a hard link with a size",
            &[f("f"), owned(Header::new(b'1', "h", 5)).set(157, b"f").with(b"hello")],
        ),
        case("a hard link over a file", &[f("f"), file("h", b"other"), link(b'1', "h", b"f")]),
        case(
            "a hard link with another mode",
            &[
                f("f"),
                owned(Header::new(b'1', "h", 0)).set(157, b"f").set(100, b"0000600\0").block(),
            ],
        ),
        case("a symlink to nowhere", &[link(b'2', "s", b"nowhere")]),
        case("an absolute symlink", &[link(b'2', "s", b"/etc/passwd")]),
        case("a symlink to itself", &[link(b'2', "s", b"s")]),
        case("a symlink of 100 bytes", &[link(b'2', "s", &[b't'; 100])]),
        case("a symlink to no name", &[link(b'2', "s", b"")]),
        case("a symlink not in UTF-8", &[link(b'2', "s", b"\xff\xfe")]),
        case(
            "a symlink with a size",
            &[owned(Header::new(b'2', "s", 5)).set(157, b"t").block(), f("after")],
        ),
        case("a directory with a size", &[owned(Header::new(b'5', "d", 512)).block(), f("after")]),
        case("a device with a size", &[owned(Header::new(b'6', "p", 512)).block(), f("after")]),
    ]
}

fn meetings() -> Vec<Case> {
    vec![
        case("a file twice", &[f("f"), file("f", b"second")]),
        case("a directory twice", &[dir("d"), f("d/f"), owned(Header::new(b'5', "d", 0)).block()]),
        case("a file over an empty directory", &[dir("d"), f("d")]),
        case("a file over a directory", &[dir("d"), f("d/f"), f("d")]),
        case("a directory over a file", &[f("d"), dir("d"), f("d/f")]),
        case("a symlink over a file", &[f("f"), link(b'2', "f", b"x")]),
        case("a file over a symlink", &[f("x"), link(b'2', "s", b"x"), file("s", b"second")]),
        case("a file below a symlink", &[dir("d"), link(b'2', "s", b"d"), f("s/f")]),
        case("a directory over a symlink", &[dir("d"), link(b'2', "s", b"d"), dir("s"), f("s/f")]),
        case("a file below a file", &[f("f"), f("f/g")]),
        case("a file below a symlink outside", &[link(b'2', "s", b"/tmp"), f("s/corten-never")]),
        case("a directory after what is in it", &[f("d/f"), dir("d")]),
        case(
            "a closed directory",
            &[owned(Header::new(b'5', "d", 0)).set(100, b"0000000\0").block(), f("d/f")],
        ),
        case("a pipe over a file", &[f("f"), owned(Header::new(b'6', "f", 0)).block()]),
        case("a device over a device", &[device(b'3', "c", (1, 3)), device(b'3', "c", (1, 5))]),
    ]
}

fn ends() -> Vec<Case> {
    let bare = |parts: &[Vec<u8>]| parts.concat();
    let zeros = |count: usize| vec![0; count];
    let name = |text: &str, bytes: Vec<u8>| (text.to_owned(), bytes);
    let mut cut = f("f");
    cut.truncate(515);
    let mut unpadded = f("f");
    unpadded.truncate(517);
    vec![
        name("no end", bare(&[f("f")])),
        name("one zero block", bare(&[f("f"), zeros(512)])),
        name("many zero blocks", bare(&[f("f"), zeros(20480)])),
        name("an end that is cut", bare(&[f("f"), zeros(700)])),
        name("one zero block within", bare(&[f("f"), zeros(512), f("g"), zeros(1024)])),
        name("two archives", bare(&[f("f"), zeros(1024), f("g"), zeros(1024)])),
        name("garbage behind the end", bare(&[f("f"), zeros(1024), vec![b'x'; 512]])),
        name("garbage behind a file", bare(&[f("f"), vec![b'x'; 512], zeros(1024)])),
        name("nothing but the end", zeros(1024)),
        name("a content that is cut", cut),
        name("a padding that is cut", unpadded),
        name("a header that is cut", bare(&[f("f"), f("g").into_iter().take(300).collect()])),
    ]
}

/// An archive inside a file, which appears where a reader takes the wrong size.
fn desyncs() -> Vec<Case> {
    let inner = archive(&[f("smuggled")]);
    let outer = |stated: u64| owned(Header::new(b'0', "outer", stated)).with(&inner);
    let length = inner.len();
    let bare = owned(Header::new(b'0', "outer", 0)).block();
    vec![
        case("an archive in a file", &[outer(length as u64), f("after")]),
        case(
            "PAX size beyond a header of zero",
            &[px(&[&format!("size={length}")], [bare, inner.clone()].concat()), f("after")],
        ),
        case(
            "PAX size of zero beside a header",
            &[px(&["size=0"], outer(length as u64)), f("after")],
        ),
        case(
            "PAX size of a global header",
            &[pax(b'g', &["size=0"]), outer(length as u64), f("after")],
        ),
        case(
            "PAX size before a GNU long name",
            &[pax(b'x', &["size=1024"]), long(b'L', b"renamed\0"), f("after")],
        ),
        case("PAX size for a directory", &[px(&["size=1024"], dir("d")), f("a"), f("after")]),
        case("PAX size for a symlink", &[px(&["size=1024"], link(b'2', "s", b"x")), f("a")]),
    ]
}

fn attributes() -> Vec<Case> {
    let one =
        |name: &str, records: &[&str]| case(name, &[px(records, f("x")), px(records, dir("d"))]);
    vec![
        one("SCHILY attribute", &["SCHILY.xattr.user.a=value"]),
        one("SCHILY attribute without value", &["SCHILY.xattr.user.a="]),
        one("SCHILY attributes", &["SCHILY.xattr.user.a=1", "SCHILY.xattr.user.b=x=y"]),
        one("SCHILY trusted attribute", &["SCHILY.xattr.trusted.a=1"]),
        one(
            "both kinds of attributes",
            &["LIBARCHIVE.xattr.user.a=dmFsdWU", "SCHILY.xattr.user.a=value"],
        ),
        one("LIBARCHIVE attribute alone", &["LIBARCHIVE.xattr.user.a=dmFsdWU"]),
        case(
            "attribute of a symlink",
            &[px(&["SCHILY.xattr.trusted.a=1"], link(b'2', "s", b"nowhere"))],
        ),
        one("attribute without a name", &["SCHILY.xattr.=1"]),
        one("attribute of overlay", &["SCHILY.xattr.trusted.overlay.opaque=y"]),
    ]
}
