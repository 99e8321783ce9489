//! Users and groups, found and refused.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::*;

#[derive(Default)]
struct Files(BTreeMap<&'static str, Vec<u8>>);

impl RootFiles for Files {
    fn read(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        match self.0.get(path) {
            Some(bytes) if bytes.len() as u64 > limit => Err(io::ErrorKind::FileTooLarge.into()),
            found => Ok(found.cloned()),
        }
    }
}

fn files(passwd: &str, group: &str) -> Files {
    Files([(PASSWD, passwd.into()), (GROUP, group.into())].into())
}

const PASSWD_TEXT: &str = "\
root:x:0:0:root:/root:/bin/sh
# web:x:33:33::/:
web:x:33:34:Web,,,:/var/www:/usr/sbin/nologin
web:x:99:99:a later one:/late:/bin/sh
odd:x:abc:5::/odd:/bin/sh
signed:x:+7:7::/:/bin/sh
short:x:8
huge:x:2147483648:0::/:/bin/sh
1000:x:44:44::/named-1000:/bin/sh
people:x:1000:1001::relative:/bin/sh
+::::::
";
const GROUP_TEXT: &str = "\
root:x:0:root
daemon:x:1:root,web
www:x:34:
twice:x:50:web
again:x:50:web,web
www:x:77:other
huge:x:4294967296:web
staff:x:51:webmaster, web
logs:x:52:other,web
";

fn found(text: &str) -> Result<Identity, String> {
    find_user(text, &files(PASSWD_TEXT, GROUP_TEXT)).map_err(|error| error.to_string())
}

fn ids(text: &str) -> Result<(u32, u32, Vec<u32>), String> {
    found(text).map(|identity| (identity.uid, identity.gid, identity.groups))
}

#[test]
fn a_name_takes_the_first_account_and_its_groups_each_once() {
    assert_eq!(ids("web"), Ok((33, 34, vec![1, 50, 52])));
    assert_eq!(found("web").unwrap().home.as_deref(), Some("/var/www"));
    assert_eq!(ids("root"), Ok((0, 0, vec![0, 1])));
}

#[test]
fn a_given_group_is_the_only_one() {
    assert_eq!(ids("web:logs"), Ok((33, 52, vec![])));
    assert_eq!(ids("web:7"), Ok((33, 7, vec![])));
    assert_eq!(ids("1000:www"), Ok((1000, 34, vec![])));
    assert_eq!(ids("5:6"), Ok((5, 6, vec![])));
    assert_eq!(ids(":www"), Ok((0, 34, vec![])));
}

#[test]
fn a_number_is_a_number_even_where_an_account_has_it_as_its_name() {
    assert_eq!(ids("1000"), Ok((1000, 1001, vec![])));
    assert_eq!(found("1000").unwrap().home, None, "a relative home is none");
    assert_eq!(ids("12345"), Ok((12345, 0, vec![])));
    assert_eq!(ids("0"), Ok((0, 0, vec![])));
    assert_eq!(ids("0033"), Ok((33, 34, vec![])));
    assert_eq!(ids("2147483647"), Ok((2_147_483_647, 0, vec![])));
}

#[test]
fn no_text_and_an_empty_group_are_as_the_field_reads_them() {
    assert_eq!(ids(""), Ok((0, 0, vec![0, 1])));
    assert_eq!(ids("web:"), ids("web"));
    let nothing = find_user("", &Files::default()).unwrap();
    assert_eq!(nothing, Identity::default());
}

#[test]
fn nothing_that_is_not_found_becomes_another_user() {
    for (text, why) in [
        ("nobody", "the image's /etc/passwd has no user 'nobody'"),
        ("-1", "the image's /etc/passwd has no user '-1'"),
        ("+1", "the image's /etc/passwd has no user '+1'"),
        (" 1", "the image's /etc/passwd has no user ' 1'"),
        ("1 ", "the image's /etc/passwd has no user '1 '"),
        ("0x10", "the image's /etc/passwd has no user '0x10'"),
        ("\u{0661}", "the image's /etc/passwd has no user '\u{0661}'"),
        ("odd", "the image's /etc/passwd has no user 'odd'"),
        ("signed", "the image's /etc/passwd has no user 'signed'"),
        ("short", "the image's /etc/passwd has no user 'short'"),
        ("huge", "the image's /etc/passwd has no user 'huge'"),
        ("+", "the image's /etc/passwd has no user '+'"),
        ("# web", "the image's /etc/passwd has no user '# web'"),
        ("web:nogroup", "the image's /etc/group has no group 'nogroup'"),
        ("web:huge", "the image's /etc/group has no group 'huge'"),
        ("web:+5", "the image's /etc/group has no group '+5'"),
        ("2147483648", "user 2147483648 is above 2147483647"),
        ("4294967296", "user 4294967296 is above 2147483647"),
        ("99999999999999999999", "user 99999999999999999999 is above 2147483647"),
        ("0:4294967296", "group 4294967296 is above 2147483647"),
        ("a:b:c", "user 'a:b:c' is none of USER, USER:GROUP, with names or decimal numbers"),
        ("a\n", "user 'a\n' is none of USER, USER:GROUP, with names or decimal numbers"),
    ] {
        assert_eq!(ids(text), Err(why.to_owned()), "{text:?}");
    }
}

#[test]
fn lines_of_another_system_are_read_too() {
    let dos = files("app:x:7:8::/app:/bin/sh\r\n", "one:x:8:\r\ntwo:x:9:app\r\n");
    let identity = find_user("app", &dos).unwrap();
    assert_eq!((identity.uid, identity.gid, identity.groups), (7, 8, vec![9]));
    let bytes = b"\xff\xfe:x:3:3::/:\n\xe4pp:x:7:8::/\xff:/bin/sh\napp:x:9:9::/app:".to_vec();
    let latin = Files([(PASSWD, bytes)].into());
    assert_eq!(find_user("app", &latin).unwrap().home.as_deref(), Some("/app"));
    let unreadable_home = find_user("7", &latin).unwrap();
    assert_eq!((unreadable_home.gid, unreadable_home.home, unreadable_home.name), (8, None, None));
}

#[test]
fn a_file_is_read_up_to_its_limit_and_not_beyond() {
    let limit = usize::try_from(MAX_ACCOUNTS).unwrap();
    let mut passwd = b"app:x:7:8::/app:\n".to_vec();
    passwd.resize(limit, b'#');
    let full = Files([(PASSWD, passwd.clone())].into());
    assert_eq!(find_user("app", &full).unwrap().uid, 7);
    passwd.push(b'#');
    let over = Files([(PASSWD, passwd)].into());
    let told = "the image's /etc/passwd is larger than 4194304 bytes";
    for text in ["app", "7", ""] {
        assert_eq!(find_user(text, &over).unwrap_err().to_string(), told, "{text:?}");
    }
    let numbers = find_user("7:8", &over).unwrap();
    assert_eq!((numbers.uid, numbers.gid, numbers.home), (7, 8, None));
    assert_eq!(numbers.notice.unwrap(), format!("{told}: its home directory is not known"));
}

#[test]
fn a_process_has_so_many_groups_and_no_more() {
    let lines = |count: usize| (1..=count).map(|id| format!("g:x:{id}:a\n")).collect::<String>();
    let passwd = "a:x:1:1::/:";
    let most = find_user("a", &files(passwd, &lines(MAX_GROUPS))).unwrap();
    assert_eq!(most.groups.len(), MAX_GROUPS);
    let error = find_user("a", &files(passwd, &lines(MAX_GROUPS + 1))).unwrap_err();
    assert_eq!(error.to_string(), "user 'a' is in more than 65536 groups");
}

#[test]
fn files_are_found_inside_the_root_and_nowhere_else() {
    let scratch = corten_testkit::scratch();
    scratch.write("outside/passwd", "escaped:x:1:1::/:\n");
    scratch.write("root/lib/passwd", "inside:x:2:2::/:\n");
    std::fs::create_dir(scratch.join("root/etc")).unwrap();
    let passwd = scratch.join("root/etc/passwd");
    let root = RootDirectory::open(&scratch.join("root")).unwrap();
    found_inside(&root, &scratch, &passwd);
    found_inside(&root.without_openat2(), &scratch, &passwd);
}

fn found_inside(root: &RootDirectory, scratch: &corten_testkit::Scratch, passwd: &Path) {
    use std::os::unix::fs::symlink;
    let uid = |name| find_user(name, root).map(|identity| identity.uid);
    assert!(matches!(uid("inside"), Err(UserError::NotFound { .. })), "no file is no user");
    for target in ["/lib/passwd", "../../../../lib/passwd", "../lib/passwd"] {
        symlink(target, passwd).unwrap();
        assert_eq!(uid("inside").unwrap(), 2, "{target}");
        std::fs::remove_file(passwd).unwrap();
    }
    let outside = scratch.join("outside/passwd");
    for target in [outside.as_path(), "../../outside/passwd".as_ref(), "/nowhere".as_ref()] {
        symlink(target, passwd).unwrap();
        assert!(matches!(uid("escaped"), Err(UserError::NotFound { .. })), "{}", target.display());
        std::fs::remove_file(passwd).unwrap();
    }
    symlink("passwd", passwd).unwrap();
    assert!(matches!(uid("inside"), Err(UserError::Unreadable { file: PASSWD, .. })), "a loop");
    std::fs::remove_file(passwd).unwrap();
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
    let scratch = corten_testkit::scratch();
    let place = scratch.write("root/etc/passwd", "");
    let root = RootDirectory::open(&scratch.join("root")).unwrap();
    refused_at_once(&root, &scratch, &place);
    let place = scratch.write("again/etc/passwd", "");
    let root = RootDirectory::open(&scratch.join("again")).unwrap().without_openat2();
    refused_at_once(&root, &scratch, &place);
}

fn refused_at_once(root: &RootDirectory, scratch: &corten_testkit::Scratch, place: &Path) {
    let refusal = || match find_user("app", root) {
        Err(UserError::Unreadable { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    };
    std::fs::remove_file(place).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, place, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(refusal(), "it is not a regular file");
    std::fs::remove_file(place).unwrap();
    std::fs::create_dir(place).unwrap();
    assert_eq!(refusal(), "it is not a regular file");
    std::fs::remove_dir(place).unwrap();
    std::os::unix::fs::symlink("/proc/self/fd/0", place).unwrap();
    let absent = find_user("app", root);
    assert!(matches!(absent, Err(UserError::NotFound { .. })), "the root has no /proc: {absent:?}");
    let parent = place.parent().unwrap();
    std::fs::remove_dir_all(parent).unwrap();
    scratch.write(parent, "a file where a directory is expected");
    assert!(matches!(find_user("app", root), Err(UserError::NotFound { .. })));
}

#[test]
fn a_large_file_is_not_read_whole() {
    let scratch = corten_testkit::scratch();
    let path = scratch.write("root/etc/group", "");
    std::fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
    let root = RootDirectory::open(&scratch.join("root")).unwrap();
    let error = find_user("0:staff", &root).unwrap_err();
    assert_eq!(error.to_string(), "the image's /etc/group is larger than 4194304 bytes");
}
