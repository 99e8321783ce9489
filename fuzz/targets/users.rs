//! Users: whatever stands in `passwd` and `group`, a user is found as written there or refused, never
//! another one.

#![no_main]

use std::io;

use corten_bundle::users::{MAX_GROUPS, MAX_ID, RootFiles, UserError, find_group, find_user};
use libfuzzer_sys::fuzz_target;

struct Files<'a> {
    passwd: &'a [u8],
    group: &'a [u8],
}

impl RootFiles for Files<'_> {
    fn read(&self, path: &str, _: u64) -> io::Result<Option<Vec<u8>>> {
        Ok(match path {
            "/etc/passwd" => Some(self.passwd.to_vec()),
            "/etc/group" => Some(self.group.to_vec()),
            _ => None,
        })
    }
}

// The user stands on the first line, then `passwd`, then, after a line `%`, `group`.
fuzz_target!(|bytes: &[u8]| {
    let mut halves = bytes.splitn(2, |byte| *byte == b'\n');
    let Ok(text) = std::str::from_utf8(halves.next().unwrap_or_default()) else { return };
    let rest = halves.next().unwrap_or_default();
    let cut = rest.windows(3).position(|three| three == b"\n%\n").unwrap_or(rest.len());
    let (passwd, group) = (&rest[..cut], rest.get(cut + 3..).unwrap_or_default());
    let files = Files { passwd, group };

    let found = find_user(text, &files);
    let (user, wanted) = text.split_once(':').unwrap_or((text, ""));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok().filter(|id| *id <= MAX_ID))
    };
    match &found {
        Ok(identity) => {
            assert!(identity.uid <= MAX_ID && identity.gid <= MAX_ID);
            assert!(identity.groups.len() <= MAX_GROUPS);
            match number(user) {
                Some(uid) => assert_eq!(Some(identity.uid), uid),
                None if user.is_empty() => assert_eq!(identity.uid, 0),
                None => {
                    let line = format!("{user}:");
                    let named = |place: &[u8]| place.trim_ascii().starts_with(line.as_bytes());
                    assert!(passwd.split(|byte| *byte == b'\n').any(named), "{text:?}");
                }
            }
            if !wanted.is_empty() || number(user).is_some() {
                assert!(identity.groups.is_empty(), "{text:?}");
            }
            if !wanted.is_empty() {
                assert_eq!(find_group(wanted, &files).ok(), Some(identity.gid));
            }
            let mut once = identity.groups.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), identity.groups.len());
        }
        Err(UserError::Range { .. }) => {
            assert!(number(user) == Some(None) || number(wanted) == Some(None));
        }
        Err(_) => {}
    }
});
