//! Sparse files: their maps in the four GNU forms, and reading them with the holes filled.

use crate::entry::Extent;
use crate::tar::block::{BLOCK, MAX_SIZE, unsigned};
use crate::tar::pax::decimal;
use crate::{LayerRule, Limits};

const BROKEN: LayerRule = LayerRule::SparseMap;

/// Bytes of one piece in a GNU header: two numbers of twelve.
const PIECE: usize = 24;

/// Bytes of the pieces in a GNU sparse extension block; a flag follows.
const PIECES_IN_BLOCK: usize = 21 * PIECE;

/// Adds the pieces of a GNU header or extension block; the first blank one ends the list.
pub(super) fn put_pieces(map: &mut Vec<Extent>, bytes: &[u8]) -> Result<(), LayerRule> {
    for piece in bytes.chunks_exact(PIECE) {
        let (offset, length) = piece.split_at_checked(12).unwrap_or_default();
        if offset.first() == Some(&0) {
            break;
        }
        map.push(Extent { offset: unsigned(offset)?, length: unsigned(length)? });
    }
    Ok(())
}

/// The pieces of an extension block, and whether another one follows.
pub(super) fn extension(block: &[u8; BLOCK]) -> (&[u8], bool) {
    let more = block.get(PIECES_IN_BLOCK).is_some_and(|flag| *flag != 0);
    (block.get(..PIECES_IN_BLOCK).unwrap_or_default(), more)
}

/// Checks a map: ascending, not overlapping, inside the file, and as long as what is stored. Some
/// readers look for each piece at the next border of a block and some right behind the one before,
/// so all pieces but the last fill their blocks. Some take the end of the last piece for that of the
/// file, whatever size is stated; writers put an empty piece where a hole ends.
pub(super) fn check(map: &[Extent], real_size: u64, stored: u64) -> Result<(), LayerRule> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    if real_size > MAX_SIZE {
        return Err(BROKEN);
    }
    for extent in map {
        if extent.offset < end {
            return Err(BROKEN);
        }
        if extent.length > 0 && !sum.is_multiple_of(BLOCK as u64) {
            return Err(BROKEN);
        }
        end = extent.offset.checked_add(extent.length).ok_or(BROKEN)?;
        sum = sum.checked_add(extent.length).ok_or(BROKEN)?;
    }
    if end != real_size || sum != stored { Err(BROKEN) } else { Ok(()) }
}

/// Reads the map that form 1.0 puts before the content: decimal lines, the number of pieces first,
/// filled with NULs to whole blocks.
pub(super) struct MapParser {
    wanted: Option<u64>,
    numbers: u64,
    offset: Option<u64>,
    line: Vec<u8>,
    limit: u64,
    map: Vec<Extent>,
}

impl MapParser {
    pub(super) fn new(limits: &Limits) -> Self {
        let limit = limits.extents;
        Self { wanted: None, numbers: 0, offset: None, line: Vec::new(), limit, map: Vec::new() }
    }

    /// Takes one block; true when the map is complete.
    pub(super) fn take(&mut self, block: &[u8; BLOCK]) -> Result<bool, LayerRule> {
        for byte in block {
            if self.is_complete() {
                break;
            }
            if *byte != b'\n' {
                // A number has at most 19 digits.
                if self.line.len() >= 20 {
                    return Err(BROKEN);
                }
                self.line.push(*byte);
                continue;
            }
            let number = decimal(&self.line).map_err(|_| BROKEN)?;
            self.line.clear();
            self.number(number)?;
        }
        Ok(self.is_complete())
    }

    fn number(&mut self, number: u64) -> Result<(), LayerRule> {
        if self.wanted.is_none() {
            if number > self.limit {
                return Err(BROKEN);
            }
            self.wanted = Some(number);
            return Ok(());
        }
        match self.offset.take() {
            None => self.offset = Some(number),
            Some(offset) => {
                self.map.push(Extent { offset, length: number });
                self.numbers += 1;
            }
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.wanted == Some(self.numbers)
    }

    pub(super) fn into_map(self) -> Vec<Extent> {
        self.map
    }
}

/// What of a file comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This many zero bytes.
    Hole(u64),
    /// This many bytes of the archive.
    Stored(u64),
    /// Nothing.
    End,
}

/// Walks through a file, plain or sparse.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    at: u64,
    size: u64,
    map: std::collections::VecDeque<Extent>,
}

impl Cursor {
    /// A plain file of `size` bytes.
    pub(super) fn plain(size: u64) -> Self {
        Self { at: 0, size, map: [Extent { offset: 0, length: size }].into() }
    }

    /// A sparse file whose map passed [`check`].
    pub(super) fn sparse(size: u64, map: &[Extent]) -> Self {
        Self { at: 0, size, map: map.iter().copied().collect() }
    }

    /// What comes next; never an empty hole or piece.
    pub(super) fn next(&mut self) -> Next {
        while let Some(extent) = self.map.front() {
            let end = extent.offset.saturating_add(extent.length);
            if self.at < extent.offset {
                return Next::Hole(extent.offset - self.at);
            }
            if self.at < end {
                return Next::Stored(end - self.at);
            }
            self.map.pop_front();
        }
        if self.at < self.size { Next::Hole(self.size - self.at) } else { Next::End }
    }

    /// Goes on by what was taken of [`Cursor::next`].
    pub(super) fn advance(&mut self, bytes: u64) {
        self.at = self.at.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(offset: u64, length: u64) -> Extent {
        Extent { offset, length }
    }

    #[test]
    fn maps_must_fit_their_sizes() {
        assert_eq!(check(&[extent(0, 512), extent(514, 2), extent(516, 0)], 516, 514), Ok(()));
        assert_eq!(check(&[extent(8, 0)], 8, 0), Ok(()));
        for (map, stored) in [
            (vec![extent(0, 2), extent(4, 4)], 6),
            (vec![extent(0, 4)], 4),
            (vec![extent(4, 2), extent(0, 0)], 2),
            (vec![extent(0, 4), extent(3, 0)], 4),
            (vec![extent(6, 4)], 4),
            (vec![extent(0, 4)], 3),
            (vec![extent(u64::MAX, 2)], 2),
        ] {
            assert_eq!(check(&map, 8, stored), Err(BROKEN), "{map:?}");
        }
    }

    #[test]
    fn a_cursor_alternates_holes_and_pieces() {
        let mut cursor = Cursor::sparse(10, &[extent(2, 3), extent(6, 0)]);
        let mut seen = Vec::new();
        loop {
            let next = cursor.next();
            match next {
                Next::Hole(n) | Next::Stored(n) => cursor.advance(n),
                Next::End => break,
            }
            seen.push(next);
        }
        assert_eq!(seen, [Next::Hole(2), Next::Stored(3), Next::Hole(1), Next::Hole(4)]);
    }

    #[test]
    fn the_map_before_the_content_is_read() {
        let mut block = [0_u8; BLOCK];
        block[..14].copy_from_slice(b"2\n0\n5\n512\n10\n\0");
        let mut parser = MapParser::new(&Limits::default());
        assert_eq!(parser.take(&block), Ok(true));
        assert_eq!(parser.into_map(), [extent(0, 5), extent(512, 10)]);
        block[0] = b'x';
        assert_eq!(MapParser::new(&Limits::default()).take(&block), Err(BROKEN));
    }
}
