//! Extended attributes behind an inode: a header of 12 bytes, then for each one its sizes, an
//! index for the beginning of its name, the rest of the name and the value.

use corten_layer::Attributes;

/// Beginnings of names and their indexes. The two of access lists are whole names.
pub(crate) const PREFIXES: [(&[u8], u8); 5] = [
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// Bytes of the header.
pub(crate) const HEADER: usize = 12;

/// What overlay obeys on a lower layer.
const OVERLAY: &[u8] = b"trusted.overlay.";

/// The same where overlay (kernel 6.7 and later) shows it as [`OVERLAY`] and does not obey it.
const ESCAPED: &[u8] = b"trusted.overlay.overlay.";

/// Longest name, prefix included, and longest list of names that the kernel hands out.
const MAX_NAME: usize = 255;

/// Largest area of attributes: its length is told in words of 16 bits.
const MAX_AREA: usize = HEADER + 4 * (u16::MAX as usize - 1);

/// The attributes of one inode as they stand on disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// Empty without attributes.
    pub(crate) bytes: Vec<u8>,
    /// Those of overlay that were given another name.
    pub(crate) escaped: u64,
    /// Those that no file system of the kernel would take.
    pub(crate) dropped: u64,
}

impl Encoded {
    /// The length as an inode tells it.
    pub(crate) fn count(&self) -> u16 {
        let words = self.bytes.len().saturating_sub(HEADER) / 4;
        if self.bytes.is_empty() { 0 } else { u16::try_from(words + 1).unwrap_or(u16::MAX) }
    }
}

/// Which limit attributes exceed, and the limit.
pub(crate) type Over = (&'static str, u64);

/// Lays out `attributes`, in the order of their names.
pub(crate) fn encode(attributes: &Attributes) -> Result<Encoded, Over> {
    let mut encoded = Encoded::default();
    for (name, value) in attributes {
        let escaped = name.strip_prefix(OVERLAY).map(|rest| [ESCAPED, rest].concat());
        let name = escaped.as_ref().unwrap_or(name);
        let Some((index, rest)) = split(name) else {
            encoded.dropped += 1;
            continue;
        };
        let sizes = (u8::try_from(rest.len()), u16::try_from(value.len()));
        let (Ok(name_length), Ok(value_length)) = sizes else {
            return Err(("the value of an attribute", u64::from(u16::MAX)));
        };
        encoded.escaped += u64::from(escaped.is_some());
        if encoded.bytes.is_empty() {
            encoded.bytes.extend_from_slice(&[0; HEADER]);
        }
        encoded.bytes.extend_from_slice(&[name_length, index]);
        encoded.bytes.extend_from_slice(&value_length.to_le_bytes());
        encoded.bytes.extend_from_slice(rest);
        encoded.bytes.extend_from_slice(value);
        encoded.bytes.resize(encoded.bytes.len().next_multiple_of(4), 0);
        if encoded.bytes.len() > MAX_AREA {
            return Err(("attributes", MAX_AREA as u64));
        }
    }
    Ok(encoded)
}

/// The same for what is neither a file nor a directory: the kernel would list the attributes of users
/// there and let nobody read them.
pub(crate) fn encode_unowned(attributes: &Attributes) -> Result<Encoded, Over> {
    let is_user = |name: &[u8]| name.starts_with(b"user.");
    let kept = attributes.iter().filter(|(name, _)| !is_user(name));
    let mut encoded = encode(&kept.map(|(name, value)| (name.clone(), value.clone())).collect())?;
    encoded.dropped += attributes.keys().filter(|name| is_user(name)).count() as u64;
    Ok(encoded)
}

/// The index of the name's beginning and its rest; `None` for a name no file system takes.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    if name.len() > MAX_NAME || name.contains(&0) {
        return None;
    }
    PREFIXES.iter().find_map(|(prefix, index)| {
        let rest = name.strip_prefix(*prefix)?;
        (prefix.ends_with(b".") != rest.is_empty()).then_some((*index, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(names: &[&str]) -> Encoded {
        let pair = |name: &&str| (name.as_bytes().to_vec(), b"v".to_vec());
        encode(&names.iter().map(pair).collect()).unwrap()
    }

    #[test]
    fn names_are_split_at_known_beginnings() {
        assert_eq!(split(b"user.a"), Some((1, b"a".as_slice())));
        assert_eq!(split(b"system.posix_acl_default"), Some((3, b"".as_slice())));
        for name in ["user.", "system.x", "system.posix_acl_access.x", "plain", "trusted.a\0b"] {
            assert_eq!(split(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn what_overlay_would_obey_is_escaped() {
        let made = encoded(&["trusted.overlay.opaque"]);
        assert_eq!((made.escaped, made.dropped, made.count()), (1, 0, 8));
        let wanted = b"\x16\x04\x01\0overlay.overlay.opaquev\0";
        assert_eq!(made.bytes.get(HEADER..), Some(wanted.as_slice()));
        assert_eq!(encoded(&["other"]), Encoded { dropped: 1, ..Encoded::default() });
    }
}
