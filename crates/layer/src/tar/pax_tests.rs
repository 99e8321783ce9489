//! What PAX records mean and which of them are refused.

use super::*;

fn read(records: &[u8]) -> Result<Pax, PaxFault> {
    parse(records, &Limits::default())
}

fn refused(records: &[u8]) -> LayerRule {
    match read(records) {
        Err(PaxFault::Rule(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

/// `key=value` pairs as records.
fn records(pairs: &[&str]) -> Vec<u8> {
    let record = |pair: &&str| {
        let lengths = (pair.len()..).map(|length| (length, format!("{length} {pair}\n")));
        lengths.into_iter().find(|(length, record)| record.len() == *length).unwrap().1
    };
    pairs.iter().map(record).collect::<String>().into_bytes()
}

#[test]
fn records_are_read() {
    let pax = read(&records(&[
        "path=a/b=c",
        "size=123",
        "uid=4000",
        "mtime=-1.5000000",
        "SCHILY.xattr.user.k=a=b\n\0",
        "comment=hi",
        "atime=7",
    ]))
    .unwrap();
    assert_eq!(pax.path.unwrap(), b"a/b=c");
    assert_eq!((pax.size, pax.uid), (Some(123), Some(4000)));
    assert_eq!(pax.mtime, Some(Mtime { seconds: -2, nanos: 500_000_000 }));
    assert_eq!(pax.xattrs[b"user.k".as_slice()], b"a=b\n\0");
    assert_eq!(pax.others.len(), 2);
}

#[test]
fn malformed_records_are_refused() {
    let cases: [&[u8]; 11] = [
        b"12 path=ab\n",
        b"10 path=ab\n",
        b"11 path=ab ",
        b"11path=ab\n",
        b"+11 path=a\n",
        b"0 path=ab\n",
        b" 11 path=a\n",
        b"7 path\n",
        b"5 =a\n",
        b"11 path=ab\n\0\0",
        b"99999999999999999999999 path=ab\n",
    ];
    for bytes in cases {
        assert_eq!(refused(bytes), LayerRule::PaxRecord, "{bytes:?}");
    }
    assert!(read(b"11 path=ab\n").is_ok());
}

#[test]
fn records_that_readers_take_differently_are_refused() {
    assert!(read(&records(&["path=a", "path=a"])).is_ok());
    for (pairs, rule) in [
        (["path=a", "path=b"].as_slice(), LayerRule::PaxContradiction),
        (&["size=1", "size=2"], LayerRule::PaxContradiction),
        (&["path="], LayerRule::EmptyName),
        (&["path=a\0b"], LayerRule::NulInName),
        (&["size=-1"], LayerRule::Number),
        (&["size=+1"], LayerRule::Number),
        (&["size="], LayerRule::Number),
        (&["size= 1"], LayerRule::Number),
        (&["size=9223372036854775808"], LayerRule::Number),
        (&["size=18446744073709551617"], LayerRule::Number),
        (&["uid=4294967296"], LayerRule::Number),
        // What `chown` reads as "leave it".
        (&["uid=4294967295"], LayerRule::Number),
        (&["gid=4294967295"], LayerRule::Number),
        (&["mtime=1.x"], LayerRule::Number),
        (&["SCHILY.realsize=1"], LayerRule::SparseMap),
        (&["GNU.sparse.offset=1"], LayerRule::SparseMap),
        (&["GNU.sparse.numbytes=1"], LayerRule::SparseMap),
        (&["GNU.sparse.map=1,2,3"], LayerRule::SparseMap),
        (&["SCHILY.xattr.=1"], LayerRule::PaxRecord),
    ] {
        assert_eq!(refused(&records(pairs)), rule, "{pairs:?}");
    }
}

#[test]
fn global_records_that_change_entries_are_told() {
    assert_eq!(is_harmless_global(&records(&["comment=hi"])), Ok(true));
    for pair in ["path=a", "size=1", "SCHILY.xattr.user.k=a", "GNU.sparse.map=1,2"] {
        assert_eq!(is_harmless_global(&records(&[pair])), Ok(false));
    }
    assert_eq!(is_harmless_global(b"nonsense"), Err(LayerRule::PaxRecord));
}

#[test]
fn attributes_are_bounded() {
    let limits = Limits { xattrs: 8, ..Limits::default() };
    assert!(parse(&records(&["SCHILY.xattr.user.k=ab"]), &limits).is_ok());
    let result = parse(&records(&["SCHILY.xattr.user.k=abc"]), &limits);
    assert_eq!(result, Err(PaxFault::Limit("xattrs", 8)));
    let limits = Limits { extents: 1, ..Limits::default() };
    let result = parse(&records(&["GNU.sparse.map=0,1,2,1"]), &limits);
    assert_eq!(result, Err(PaxFault::Limit("extents", 1)));
}
