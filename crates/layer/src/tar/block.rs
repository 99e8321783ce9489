//! The 512-byte header block and the numbers in it.

use std::ops::Range;

use corten_spec::owner_id;

use crate::LayerRule;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 512;

/// Which dialect a header is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Before POSIX: no magic.
    V7,
    /// POSIX 1003.1-1988, and PAX on top of it.
    Ustar,
    /// GNU: what POSIX uses for the prefix holds times and the sparse map.
    Gnu,
}

/// One header block, its checksum verified.
pub(super) struct Block<'a>(&'a [u8; BLOCK]);

const PREFIX: Range<usize> = 345..500;

impl<'a> Block<'a> {
    /// Verifies the checksum: the sum of the bytes with the checksum field read as spaces. Old
    /// writers summed signed bytes, and every reader takes both.
    pub(super) fn verified(bytes: &'a [u8; BLOCK]) -> Result<Self, LayerRule> {
        let block = Self(bytes);
        let stated = unsigned(block.field(148..156)).map_err(|_| LayerRule::Checksum)?;
        // The sums of all bytes, with blanks where the checksum stands.
        let blanks = 8 * u64::from(b' ');
        let plain = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let high = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(byte >> 7)).sum::<u32>();
        let field = block.field(148..156);
        let sum = u64::from(plain(bytes) - plain(field)) + blanks;
        // A signed byte is the unsigned one less 256 where its highest bit is set.
        let less = i64::from(high(bytes) - high(field)) * 256;
        let signed = sum.cast_signed() - less;
        let right = stated == sum || i64::try_from(stated) == Ok(signed);
        if right { Ok(block) } else { Err(LayerRule::Checksum) }
    }

    fn field(&self, range: Range<usize>) -> &'a [u8] {
        self.0.get(range).unwrap_or_default()
    }

    /// The type flag.
    pub(super) fn flag(&self) -> u8 {
        self.0.get(156).copied().unwrap_or_default()
    }

    /// The dialect. A POSIX magic with a foreign version is POSIX as long as it has no prefix.
    pub(super) fn dialect(&self) -> Result<Dialect, LayerRule> {
        match self.field(257..265) {
            b"ustar\x0000" => self.star().map(|()| Dialect::Ustar),
            b"ustar  \0" => Ok(Dialect::Gnu),
            magic if !magic.starts_with(b"ustar") => Ok(Dialect::V7),
            _ if self.prefix_is_empty() => Ok(Dialect::Ustar),
            _ => Err(LayerRule::Dialect),
        }
    }

    /// In the dialect of `star` the prefix is 131 bytes and times follow: readers that know it and
    /// readers that do not see the same name only where the prefix ends before that.
    fn star(&self) -> Result<(), LayerRule> {
        let is_star = self.field(508..512) == b"tar\0";
        if is_star && !self.field(345..476).contains(&0) {
            return Err(LayerRule::Dialect);
        }
        Ok(())
    }

    /// Whether nothing stands where POSIX has the prefix.
    pub(super) fn prefix_is_empty(&self) -> bool {
        self.field(PREFIX).iter().all(|byte| *byte == 0)
    }

    /// The name, with the POSIX prefix where the dialect has one. Outside POSIX the place of the
    /// prefix must be empty, for some readers take it for a prefix whatever the magic says; GNU
    /// sparse headers alone may use it.
    pub(super) fn name(&self, dialect: Dialect) -> Result<Vec<u8>, LayerRule> {
        let name = text(self.field(0..100));
        if dialect != Dialect::Ustar {
            let clear = self.prefix_is_empty() || self.flag() == b'S';
            return if clear { Ok(name.to_vec()) } else { Err(LayerRule::Dialect) };
        }
        let prefix = text(self.field(PREFIX));
        if prefix.is_empty() {
            return Ok(name.to_vec());
        }
        Ok([prefix, b"/", name].concat())
    }

    /// The link target.
    pub(super) fn link(&self) -> Vec<u8> {
        text(self.field(157..257)).to_vec()
    }

    /// Permission bits; the file type that some writers put above them is dropped.
    pub(super) fn mode(&self) -> Result<u32, LayerRule> {
        let mode = unsigned(self.field(100..108))? & 0o7777;
        u32::try_from(mode).map_err(|_| LayerRule::Number)
    }

    pub(super) fn uid(&self) -> Result<u32, LayerRule> {
        owner(self.field(108..116))
    }

    pub(super) fn gid(&self) -> Result<u32, LayerRule> {
        owner(self.field(116..124))
    }

    pub(super) fn size(&self) -> Result<u64, LayerRule> {
        let size = unsigned(self.field(124..136))?;
        // Offsets and paddings are computed from sizes; none may come near the end of u64.
        if size > MAX_SIZE { Err(LayerRule::Number) } else { Ok(size) }
    }

    pub(super) fn mtime(&self) -> Result<i64, LayerRule> {
        i64::try_from(number(self.field(136..148))?).map_err(|_| LayerRule::Number)
    }

    /// Major and minor; only POSIX and GNU headers have them.
    pub(super) fn device(&self) -> Result<(u32, u32), LayerRule> {
        Ok((small(self.field(329..337))?, small(self.field(337..345))?))
    }

    /// The four pieces of a GNU sparse header, and whether more blocks follow.
    pub(super) fn sparse(&self) -> (&'a [u8], bool) {
        (self.field(386..482), self.field(482..483) != [0])
    }

    /// The size of a GNU sparse file with its holes.
    pub(super) fn real_size(&self) -> Result<u64, LayerRule> {
        unsigned(self.field(483..495))
    }
}

/// Largest size of one entry, in bytes: what an offset into a file can express.
pub(super) const MAX_SIZE: u64 = i64::MAX.unsigned_abs();

/// What stands before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn small(field: &[u8]) -> Result<u32, LayerRule> {
    u32::try_from(number(field)?).map_err(|_| LayerRule::Number)
}

/// A user or a group.
fn owner(field: &[u8]) -> Result<u32, LayerRule> {
    owner_id(unsigned(field)?).ok_or(LayerRule::Number)
}

/// A number that may not be negative.
pub(super) fn unsigned(field: &[u8]) -> Result<u64, LayerRule> {
    u64::try_from(number(field)?).map_err(|_| LayerRule::Number)
}

/// A number in octal, or in the base-256 form of GNU: `0x80` and big-endian bytes, or `0xff` and
/// two's complement. Other first bytes with the high bit are read differently by different readers.
fn number(field: &[u8]) -> Result<i128, LayerRule> {
    match field.split_first() {
        Some((0x80, rest)) => Ok(big_endian(rest)),
        Some((0xff, rest)) => {
            // Fields have at most twelve bytes, so the value of eleven fits with room to spare.
            let modulus = 1_i128 << (8 * rest.len().min(15));
            Ok(big_endian(rest) - modulus)
        }
        Some((first, _)) if *first & 0x80 != 0 => Err(LayerRule::Number),
        _ => octal(field),
    }
}

fn big_endian(bytes: &[u8]) -> i128 {
    bytes.iter().take(15).fold(0, |value, byte| (value << 8) | i128::from(*byte))
}

/// Spaces, octal digits, then nothing but spaces and NULs; all blank is zero.
fn octal(field: &[u8]) -> Result<i128, LayerRule> {
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = field.get(start..).unwrap_or_default();
    let end = digits.iter().position(|byte| !matches!(byte, b'0'..=b'7')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end).unwrap_or_default();
    if rest.iter().any(|byte| !matches!(byte, b' ' | 0)) {
        return Err(LayerRule::Number);
    }
    Ok(digits.iter().fold(0, |value, digit| (value << 3) | i128::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_every_reader_does() {
        let cases: [(&[u8], Result<i128, LayerRule>); 12] = [
            (b"0000644\0", Ok(0o644)),
            (b"   644 \0", Ok(0o644)),
            (b"00000000", Ok(0)),
            (b"77777777", Ok(0o7777_7777)),
            (b"        ", Ok(0)),
            (b"\0\0\0\0\0\0\0\0", Ok(0)),
            (b"\x80\0\0\0\0\0\x01\x02", Ok(258)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Ok(-1)),
            (b"\x81\0\0\0\0\0\0\0", Err(LayerRule::Number)),
            (b"-1\0\0\0\0\0\0", Err(LayerRule::Number)),
            (b"0000648\0", Err(LayerRule::Number)),
            (b"12 34\0\0\0", Err(LayerRule::Number)),
        ];
        for (field, wanted) in cases {
            assert_eq!(number(field), wanted, "{field:?}");
        }
        assert_eq!(unsigned(b"\xff\xff\xff\xff\xff\xff\xff\xff"), Err(LayerRule::Number));
        assert_eq!(unsigned(&[0xff; 12]), Err(LayerRule::Number));
        let mut huge = [0xff; 12];
        huge[0] = 0x80;
        assert_eq!(unsigned(&huge), Err(LayerRule::Number));
    }
}
