//! Lines of `passwd` and `group` (`passwd(5)`, `group(5)`), read as bytes: names need not be UTF-8.

use std::collections::BTreeSet;

use super::MAX_ID;

/// A `passwd` file.
pub(super) struct Passwd<'a>(pub(super) &'a [u8]);

/// A `group` file.
pub(super) struct Groups<'a>(pub(super) &'a [u8]);

/// An entry of `passwd`.
pub(super) struct Account<'a> {
    pub(super) name: &'a [u8],
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// `None` where it is empty, not absolute, or no text.
    pub(super) home: Option<String>,
}

impl<'a> Passwd<'a> {
    /// The first account of this name.
    pub(super) fn by_name(&self, name: &str) -> Option<Account<'a>> {
        self.accounts().find(|account| account.name == name.as_bytes())
    }

    /// The first account of this number.
    pub(super) fn by_uid(&self, uid: u32) -> Option<Account<'a>> {
        self.accounts().find(|account| account.uid == uid)
    }

    fn accounts(&self) -> impl Iterator<Item = Account<'a>> {
        lines(self.0).filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let mut rest = fields.skip(1);
            let (uid, gid) = (id(rest.next()?)?, id(rest.next()?)?);
            let home = rest.nth(1).and_then(|home| std::str::from_utf8(home).ok());
            let home = home.filter(|home| home.starts_with('/') && !home.contains('\0'));
            Some(Account { name, uid, gid, home: home.map(str::to_owned) })
        })
    }
}

impl Groups<'_> {
    /// The first group of this name.
    pub(super) fn by_name(&self, name: &str) -> Option<u32> {
        self.entries().find(|(found, ..)| *found == name.as_bytes()).map(|(_, gid, _)| gid)
    }

    /// The groups that list `member`, in the order of the file, each once; `None` when there are more
    /// than `most`.
    pub(super) fn of_member(&self, member: &[u8], most: usize) -> Option<Vec<u32>> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for (_, gid, members) in self.entries() {
            let listed = members.split(|byte| *byte == b',').any(|name| name == member);
            if listed && seen.insert(gid) {
                if found.len() == most {
                    return None;
                }
                found.push(gid);
            }
        }
        Some(found)
    }

    fn entries(&self) -> impl Iterator<Item = (&[u8], u32, &[u8])> {
        lines(self.0).filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let gid = id(fields.nth(1)?)?;
            Some((name, gid, fields.next().unwrap_or_default()))
        })
    }
}

/// Lines that may be entries: without blanks around them (a carriage return is one) and comments.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// A number up to [`MAX_ID`] of decimal digits, without a sign.
pub(super) fn id(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|id| *id <= MAX_ID)
}
