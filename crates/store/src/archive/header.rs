//! The headers of tar members, as far as a layout in an archive needs them (POSIX pax interchange
//! format): regular files and directories, no owners, no times.

/// Headers and contents are padded to this many bytes.
pub(super) const BLOCK: usize = 512;
/// The largest size that the octal field of a header holds.
const MAX_OCTAL_SIZE: u64 = 0o777_7777_7777;
/// The longest name that the name field of a header holds.
const MAX_NAME: usize = 100;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Records that hold for the next member.
    Extension,
    /// Records that hold for all members; nothing in them matters here.
    Global,
    /// The name of the next member, as GNU tar writes long ones.
    LongName,
    /// Anything else: links, devices, sparse files.
    Other(u8),
}

/// A header that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) member: Member,
    pub(super) path: String,
    /// Bytes of content after the header.
    pub(super) size: u64,
}

/// Bytes that fill a content of `size` bytes up to the next block.
pub(super) fn padding(size: u64) -> usize {
    // Below 512 by the remainder.
    usize::try_from((BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64).unwrap_or(0)
}

/// The blocks that go before the content of a member: one, or three with an extension before it
/// when the path or the size is too long for the fields.
pub(super) fn write(member: Member, path: &str, size: u64) -> Vec<u8> {
    let mut records = String::new();
    if path.len() > MAX_NAME {
        records.push_str(&record("path", path));
    }
    if size > MAX_OCTAL_SIZE {
        records.push_str(&record("size", &size.to_string()));
    }
    let mut bytes = Vec::with_capacity(3 * BLOCK);
    if !records.is_empty() {
        let length = records.len() as u64;
        bytes.extend_from_slice(&block(b'x', "pax/header", length));
        bytes.extend_from_slice(records.as_bytes());
        bytes.resize(bytes.len() + padding(length), 0);
    }
    let flag = if member == Member::Directory { b'5' } else { b'0' };
    let short: String = path.chars().take(MAX_NAME).collect();
    bytes.extend_from_slice(&block(flag, &short, if size > MAX_OCTAL_SIZE { 0 } else { size }));
    bytes
}

/// `length key=value\n`, where the length counts its own digits.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn block(flag: u8, name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, name.as_bytes());
    put(100, if flag == b'5' { b"0000755\0" } else { b"0000644\0" });
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[flag]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    for (to, from) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").as_bytes()) {
        *to = *from;
    }
    block
}

/// Reads one header; `None` for a block of zeros, which ends the archive.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Option<Header>, &'static str> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
        .sum();
    if number(field(block, 148, 8)) != Some(sum) {
        return Err("a header has a wrong checksum");
    }
    let size = number(field(block, 124, 12)).ok_or("a header has no readable size")?;
    let name = text(field(block, 0, 100)).ok_or("a path is not UTF-8")?;
    let prefix = text(field(block, 345, 155)).ok_or("a path is not UTF-8")?;
    let is_ustar = field(block, 257, 6) == b"ustar\0";
    let path =
        if is_ustar && !prefix.is_empty() { format!("{prefix}/{name}") } else { name.to_owned() };
    let member = match block.get(156).copied().unwrap_or(0) {
        0 | b'0' if path.ends_with('/') => Member::Directory,
        0 | b'0' => Member::File,
        b'5' => Member::Directory,
        b'x' => Member::Extension,
        b'g' => Member::Global,
        b'L' => Member::LongName,
        other => Member::Other(other),
    };
    Ok(Some(Header { member, path, size }))
}

/// Takes `path` and `size` from the records of an extension.
pub(super) fn parse_records(
    mut bytes: &[u8],
) -> Result<(Option<String>, Option<u64>), &'static str> {
    const BROKEN: &str = "an extended header is broken";
    let (mut path, mut size) = (None, None);
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or(BROKEN)?;
        let length = bytes.get(..space).and_then(|digits| std::str::from_utf8(digits).ok());
        let length: usize = length.and_then(|digits| digits.parse().ok()).ok_or(BROKEN)?;
        let record = bytes.get(space + 1..length).ok_or(BROKEN)?;
        let record = record.strip_suffix(b"\n").ok_or(BROKEN)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(BROKEN)?;
        let (key, value) = (record.get(..equals), record.get(equals + 1..));
        let value = value.and_then(|value| std::str::from_utf8(value).ok());
        match key {
            Some(b"path") => path = Some(value.ok_or(BROKEN)?.to_owned()),
            Some(b"size") => size = Some(value.and_then(|v| v.parse().ok()).ok_or(BROKEN)?),
            Some(key) if key.starts_with(b"GNU.sparse") => return Err("a sparse file"),
            _ => {}
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
    Ok((path, size))
}

fn field(block: &[u8; BLOCK], at: usize, len: usize) -> &[u8] {
    block.get(at..at + len).unwrap_or_default()
}

fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    std::str::from_utf8(field.get(..end)?).ok()
}

/// Octal digits, or GNU's base 256 for what is larger.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, rest)) = field.split_first() {
        return rest
            .iter()
            .try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let digits = text(field)?.trim_matches(' ');
    if digits.is_empty() {
        return Some(0);
    }
    // `from_str_radix` would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    u64::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Header {
        parse(bytes[..BLOCK].try_into().unwrap()).unwrap().unwrap()
    }

    #[test]
    fn a_short_member_takes_one_block() {
        let bytes = write(Member::File, "blobs/sha256/abc", 1234);
        assert_eq!(bytes.len(), BLOCK);
        let expected =
            Header { member: Member::File, path: "blobs/sha256/abc".to_owned(), size: 1234 };
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn long_paths_and_sizes_stand_in_an_extension() {
        let path = format!("blobs/sha512/{}", "a".repeat(128));
        let size = MAX_OCTAL_SIZE + 1;
        let bytes = write(Member::File, &path, size);
        assert_eq!(bytes.len(), 3 * BLOCK);
        let extension = read(&bytes);
        assert_eq!(extension.member, Member::Extension);
        let length = usize::try_from(extension.size).unwrap();
        let records = parse_records(&bytes[BLOCK..BLOCK + length]).unwrap();
        assert_eq!(records, (Some(path), Some(size)));
    }

    #[test]
    fn record_lengths_count_themselves() {
        assert_eq!(record("path", &"x".repeat(89)).len(), 98);
        assert_eq!(record("path", &"x".repeat(90)).len(), 99);
        assert_eq!(record("path", &"x".repeat(91)).len(), 101);
        assert!(record("path", &"x".repeat(91)).starts_with("101 path="));
    }

    #[test]
    fn base_256_sizes_are_read() {
        let mut block = block(b'0', "x", 0);
        block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]);
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(read(&block).size, (2 << 32) + 1);
    }

    #[test]
    fn broken_headers_are_refused() {
        let mut bytes: [u8; BLOCK] = block(b'0', "x", 5);
        bytes[0] = b'y';
        assert!(parse(&bytes).is_err(), "a wrong checksum");
        for records in ["", "5", "8 path=x\n", "99 path=x\n", "9 pathxx\n", "0 a=b\n", "x a=b\n"] {
            let broken = parse_records(records.as_bytes());
            assert_eq!(broken.is_err(), !records.is_empty(), "{records:?}");
        }
    }
}
