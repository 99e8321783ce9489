//! Sparse files of archives, read whole: between the pieces that an archive has of them are zeros.

use std::io::{self, Read};

use corten_layer::Extent;

/// Most bytes of a sparse file, its holes filled: what an archive of a few bytes may become.
pub(crate) const MAX_SPARSE: u64 = 64 << 30;

/// Reads a file of `size` bytes, of which `pieces` has the extents, one behind the other.
pub(crate) struct Filled<'a, R> {
    pieces: R,
    extents: &'a [Extent],
    at: u64,
    size: u64,
}

impl<'a, R: Read> Filled<'a, R> {
    /// The extents are in ascending order and within the size, as the reader of archives makes sure.
    pub(crate) fn new(pieces: R, extents: &'a [Extent], size: u64) -> Self {
        Self { pieces, extents, at: 0, size }
    }
}

impl<R: Read> Read for Filled<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((extent, rest)) = self.extents.split_first()
            && extent.offset.saturating_add(extent.length) <= self.at
        {
            self.extents = rest;
        }
        let extent = self.extents.first();
        let is_piece = extent.is_some_and(|extent| extent.offset <= self.at);
        let end = match extent {
            Some(extent) if is_piece => extent.offset.saturating_add(extent.length),
            Some(extent) => extent.offset,
            None => self.size,
        };
        let left = usize::try_from(end.min(self.size) - self.at.min(end).min(self.size));
        let length = left.unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..length).unwrap_or_default();
        let taken = match is_piece {
            true => self.pieces.read(part)?,
            false => {
                part.fill(0);
                length
            }
        };
        if taken == 0 && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += taken as u64;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pieces: &[u8], extents: &[(u64, u64)], size: u64) -> io::Result<Vec<u8>> {
        let extents: Vec<Extent> = extents
            .iter()
            .map(|(offset, length)| Extent { offset: *offset, length: *length })
            .collect();
        let mut out = Vec::new();
        Filled::new(pieces, &extents, size).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn holes_are_zeros() {
        assert_eq!(filled(b"abcd", &[(1, 2), (4, 2)], 8).unwrap(), b"\0ab\0cd\0\0");
        assert_eq!(filled(b"ab", &[(0, 2), (5, 0)], 5).unwrap(), b"ab\0\0\0");
        assert_eq!(filled(b"", &[], 3).unwrap(), b"\0\0\0");
        assert_eq!(filled(b"ab", &[(0, 1), (1, 1)], 2).unwrap(), b"ab");
        assert_eq!(filled(b"", &[], 0).unwrap(), b"");
        assert!(filled(b"a", &[(0, 2)], 4).is_err(), "a piece that is missing");
    }
}
