//! The one tar writer: POSIX headers, PAX records only where a header cannot say it, and nothing
//! that does not come from the entry, so that the same entries always give the same bytes.

use std::io::{self, Read, Write};

use crate::entry::{Entry, EntryKind, Mtime};
use crate::tar::BLOCK;
use crate::{LayerError, LayerRule};

/// Writes a tar archive to a stream, in the order in which entries come.
///
/// Owner names stay empty, PAX headers have fixed metadata, records are in the order of their keys.
/// The archive ends with two zero blocks and no further filling.
pub struct TarWriter<W> {
    out: W,
}

/// Bytes moved at once from a content to the archive.
const PIECE: usize = 128 * 1024;

impl<W: Write> TarWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Adds an entry that has no content: anything but a file, or an empty file.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), LayerError> {
        self.file(entry, io::empty())
    }

    /// Adds an entry with its content, which must have exactly [`Entry::size`] bytes; sparse files
    /// are written with their holes filled. A content of another length is
    /// [`LayerError::Changed`], and the archive is then of no use.
    pub fn file(&mut self, entry: &Entry, mut content: impl Read) -> Result<(), LayerError> {
        let header = header(entry).map_err(|rule| refused(entry, rule))?;
        self.write(&header)?;
        let mut left = entry.size;
        let mut buffer = vec![0; piece_length(left)];
        while left > 0 {
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let part = buffer.get_mut(..part).unwrap_or_default();
            let taken = read_some(&mut content, part)?;
            if taken == 0 {
                return Err(LayerError::Changed { entry: entry.place() });
            }
            self.write(part.get(..taken).unwrap_or_default())?;
            left -= taken as u64;
        }
        if read_some(&mut content, &mut [0])? != 0 {
            return Err(LayerError::Changed { entry: entry.place() });
        }
        self.pad(entry.size)
    }

    /// Ends the archive and gives the target back, not flushed.
    pub fn finish(mut self) -> Result<W, LayerError> {
        self.write(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        self.out.write_all(bytes).map_err(LayerError::from_write)
    }

    fn pad(&mut self, size: u64) -> Result<(), LayerError> {
        self.write([0; BLOCK].get(..padding(size)).unwrap_or_default())
    }
}

fn piece_length(size: u64) -> usize {
    usize::try_from(size).map_or(PIECE, |size| size.min(PIECE))
}

fn read_some(content: &mut impl Read, buffer: &mut [u8]) -> Result<usize, LayerError> {
    loop {
        match content.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(LayerError::from_io),
        }
    }
}

fn refused(entry: &Entry, rule: LayerRule) -> LayerError {
    LayerError::Refused { entry: entry.place(), rule }
}

fn padding(size: u64) -> usize {
    let rest = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - rest) % BLOCK
}

/// What the header cannot say, as `key`, `value`; sorted before it is written.
type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// All header blocks of an entry.
fn header(entry: &Entry) -> Result<Vec<u8>, LayerRule> {
    let name = written_name(entry)?;
    let mut records = Records::new();
    let mut block = Block::new(flag(entry.kind));
    put_name(&mut block, &name, &mut records);
    if matches!(entry.kind, EntryKind::HardLink | EntryKind::Symlink) {
        if entry.link.is_empty() || entry.link.contains(&0) {
            return Err(LayerRule::EmptyName);
        }
        if !block.put(157, 100, &entry.link) {
            records.push((b"linkpath".to_vec(), entry.link.clone()));
        }
    } else if entry.kind != EntryKind::File && entry.size != 0 {
        return Err(LayerRule::SizeOnLink);
    }
    block.octal(100, 8, u64::from(entry.mode & 0o7777));
    for (at, key, id) in [(108, "uid", entry.uid), (116, "gid", entry.gid)] {
        let id = corten_spec::owner_id(id.into()).ok_or(LayerRule::Number)?;
        if !block.octal(at, 8, u64::from(id)) {
            records.push((key.into(), id.to_string().into_bytes()));
        }
    }
    if !block.octal(124, 12, entry.size) {
        records.push((b"size".to_vec(), entry.size.to_string().into_bytes()));
    }
    put_mtime(&mut block, entry.mtime, &mut records);
    if matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
        let major = block.octal(329, 8, u64::from(entry.device.major));
        let minor = block.octal(337, 8, u64::from(entry.device.minor));
        if !(major && minor) {
            return Err(LayerRule::Number);
        }
    }
    for (key, value) in &entry.xattrs {
        if key.is_empty() || key.iter().any(|byte| matches!(byte, b'=' | 0)) {
            return Err(LayerRule::PaxRecord);
        }
        records.push(([b"SCHILY.xattr.", key.as_slice()].concat(), value.clone()));
    }
    let mut blocks = if records.is_empty() { Vec::new() } else { pax(&name, records) };
    blocks.extend_from_slice(&block.finish());
    Ok(blocks)
}

/// The name as it is written: directories end with a slash, nothing else does.
fn written_name(entry: &Entry) -> Result<Vec<u8>, LayerRule> {
    let mut name = entry.name.clone();
    if name.contains(&0) {
        return Err(LayerRule::NulInName);
    }
    if name.is_empty() {
        return Err(LayerRule::EmptyName);
    }
    match (entry.kind, name.ends_with(b"/")) {
        (EntryKind::Directory, false) => name.push(b'/'),
        (EntryKind::Directory, true) | (_, false) => {}
        (_, true) => return Err(LayerRule::SlashOnFile),
    }
    Ok(name)
}

fn flag(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    }
}

/// The name goes into the name field, into prefix and name, or into a record, the first that
/// takes it.
fn put_name(block: &mut Block, name: &[u8], records: &mut Records) {
    if block.put(0, 100, name) {
        return;
    }
    if let Some((prefix, rest)) = split_name(name) {
        block.put(0, 100, rest);
        block.put(345, 155, prefix);
        return;
    }
    records.push((b"path".to_vec(), name.to_vec()));
    block.put(0, 100, name.get(..100).unwrap_or(name));
}

/// The rightmost slash with at most 155 bytes before it and 1 to 100 bytes behind.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = name.strip_suffix(b"/").unwrap_or(name);
    let head = body.get(..body.len().min(156))?;
    let slash = head.iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0)?;
    let (prefix, rest) = (name.get(..slash)?, name.get(slash + 1..)?);
    (1..=100).contains(&rest.len()).then_some((prefix, rest))
}

fn put_mtime(block: &mut Block, mtime: Mtime, records: &mut Records) {
    let fits = u64::try_from(mtime.seconds).is_ok_and(|seconds| block.octal(136, 12, seconds));
    if !fits {
        block.octal(136, 12, 0);
    }
    if !fits || mtime.nanos != 0 {
        records.push((b"mtime".to_vec(), time_text(mtime).into_bytes()));
    }
}

/// `[-]seconds[.fraction]` without trailing zeros.
fn time_text(mtime: Mtime) -> String {
    let Mtime { seconds, nanos } = mtime;
    // Below zero the fraction counts away from zero: -1.5 s is -2 s and 0.5 s.
    let (sign, whole, nanos) = match (seconds < 0, nanos) {
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, _) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000_u32.saturating_sub(nanos)),
        (false, _) => ("", seconds.unsigned_abs(), nanos),
    };
    let text = format!("{sign}{whole}.{nanos:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The extended header of an entry.
fn pax(name: &[u8], mut records: Records) -> Vec<u8> {
    let utf8 = |value: &[u8]| std::str::from_utf8(value).is_ok();
    let names = records.iter().filter(|(key, _)| matches!(key.as_slice(), b"path" | b"linkpath"));
    if !names.into_iter().all(|(_, value)| utf8(value)) {
        // POSIX: values of records are UTF-8 unless this one says otherwise.
        records.push((b"hdrcharset".to_vec(), b"BINARY".to_vec()));
    }
    records.sort();
    let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    let base = name.strip_suffix(b"/").unwrap_or(name);
    let base = base.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let own = [b"PaxHeaders.0/", base].concat();
    let mut block = Block::new(b'x');
    block.put(0, 100, own.get(..100).unwrap_or(&own));
    block.octal(100, 8, 0o644);
    for (at, length) in [(108, 8), (116, 8), (136, 12)] {
        block.octal(at, length, 0);
    }
    block.octal(124, 12, body.len() as u64);
    let mut blocks = block.finish().to_vec();
    blocks.extend_from_slice(&body);
    blocks.resize(blocks.len() + padding(body.len() as u64), 0);
    blocks
}

/// `length key=value\n`, where the length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = rest + digits(rest);
    if rest + digits(length) > length {
        length = rest + digits(length);
    }
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

/// A header block being filled.
struct Block([u8; BLOCK]);

impl Block {
    fn new(flag: u8) -> Self {
        let mut block = Self([0; BLOCK]);
        block.put(156, 1, &[flag]);
        block.put(257, 8, b"ustar\x0000");
        block
    }

    /// Puts `bytes` at `at` if they fit into `length` bytes.
    fn put(&mut self, at: usize, length: usize, bytes: &[u8]) -> bool {
        let field = self.0.get_mut(at..at + length.min(bytes.len())).unwrap_or_default();
        let fits = bytes.len() == field.len();
        if fits {
            field.copy_from_slice(bytes);
        }
        fits
    }

    /// Puts a number with leading zeros and a NUL behind; if it does not fit, zero and false.
    fn octal(&mut self, at: usize, length: usize, number: u64) -> bool {
        let width = length - 1;
        let text = format!("{number:0width$o}");
        let fits = text.len() == width;
        let zero = "0".repeat(width);
        self.put(at, width, if fits { text.as_bytes() } else { zero.as_bytes() });
        fits
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.put(148, 8, b"        ");
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        self.put(148, 8, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for length in 0..2000 {
            let value = vec![b'v'; length];
            let record = record(b"k", &value);
            let space = record.iter().position(|b| *b == b' ').unwrap();
            let stated: usize = std::str::from_utf8(&record[..space]).unwrap().parse().unwrap();
            assert_eq!(stated, record.len());
        }
    }

    #[test]
    fn times_are_written_as_posix_has_them() {
        let text = |seconds, nanos| time_text(Mtime { seconds, nanos });
        assert_eq!(text(0, 0), "0");
        assert_eq!(text(10, 0), "10");
        assert_eq!(text(10, 500_000_000), "10.5");
        assert_eq!(text(-2, 500_000_000), "-1.5");
        assert_eq!(text(-1, 999_999_999), "-0.000000001");
        assert_eq!(text(-100, 0), "-100");
        assert_eq!(text(i64::MIN, 0), "-9223372036854775808");
    }

    #[test]
    fn long_names_are_split_at_a_slash() {
        let name = [vec![b'a'; 150], vec![b'b'; 100]].join(&b'/');
        assert_eq!(split_name(&name).map(|(p, n)| (p.len(), n.len())), Some((150, 100)));
        let name = [vec![b'a'; 156], vec![b'b'; 10]].join(&b'/');
        assert_eq!(split_name(&name), None);
        let name = [vec![b'a'; 50], vec![b'b'; 101]].join(&b'/');
        assert_eq!(split_name(&name), None);
    }
}
