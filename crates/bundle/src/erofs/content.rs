//! Where the content of a file lies: in its archive, whole or in chunks of one size between holes,
//! or aside.

use corten_layer::Extent;

use crate::erofs::aside::Piece;
use crate::erofs::layout::{BLOCK, BLOCK_BITS, CHUNK_BITS, HOLE};
use crate::erofs::walk::Named;
use crate::erofs::{DeviceInfo, ErofsError};

/// How a content is mapped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing is to be mapped.
    Empty,
    /// `count` chunks of 512 << `bits` bytes, in the archive or holes.
    Chunks { bits: u32, count: u64, pieces: Vec<Piece> },
    /// No size of chunks fits.
    Aside(Vec<Piece>),
}

/// Chunks that a sparse file may have beside those its pieces account for. Without a bound a few
/// bytes of archive could ask for gigabytes of index.
const FREE_CHUNKS: u64 = 64;

/// Chunks that a sparse file may have for each piece.
const CHUNKS_OF_PIECE: u64 = 16;

/// Finds how the content of a regular file is mapped, and that it lies within its archive.
pub(crate) fn map(named: Named<'_>, devices: &[DeviceInfo]) -> Result<Content, ErofsError> {
    let entry = &named.node.entry;
    if entry.size == 0 {
        return Ok(Content::Empty);
    }
    let device = devices.get(named.node.layer).ok_or_else(|| named.wrong("it is of no layer"))?;
    let whole = [Extent { offset: 0, length: entry.size }];
    let pieces = pieces(entry.sparse.as_deref().unwrap_or(&whole), entry.content, entry.size)
        .filter(|pieces| pieces.iter().all(|p| p.archive.saturating_add(p.length) <= device.size))
        .ok_or_else(|| named.wrong("its content is not inside the archive"))?;
    if !entry.content.is_multiple_of(BLOCK) {
        return Err(named.wrong("its content does not begin with a block of the archive"));
    }
    let Some(bits) = chunk_bits(&pieces, entry.size) else {
        return Ok(Content::Aside(pieces));
    };
    let count = entry.size.div_ceil(BLOCK << bits);
    let allowed = (pieces.len() as u64).saturating_mul(CHUNKS_OF_PIECE).saturating_add(FREE_CHUNKS);
    if count > allowed {
        return Ok(Content::Aside(pieces));
    }
    Ok(Content::Chunks { bits, count, pieces })
}

/// The pieces that have bytes, with their places in the archive; `None` when they are not in
/// ascending order within the file.
fn pieces(map: &[Extent], content: u64, size: u64) -> Option<Vec<Piece>> {
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut archive, mut reached) = (content, 0);
    for Extent { offset, length } in map.iter().copied().filter(|extent| extent.length > 0) {
        let end = offset.checked_add(length)?;
        if offset < reached || end > size {
            return None;
        }
        match pieces.last_mut() {
            Some(last) if offset == reached => last.length += length,
            _ => pieces.push(Piece { file: offset, archive, length }),
        }
        archive = archive.checked_add(length)?;
        reached = end;
    }
    Some(pieces)
}

/// The largest chunks of which each lies in one piece or in a hole.
fn chunk_bits(pieces: &[Piece], size: u64) -> Option<u32> {
    let borders = pieces.iter().fold(0, |borders, piece| {
        let end = piece.file + piece.length;
        borders | piece.file | if end == size { 0 } else { end }
    });
    whole_bits(size).min(borders.trailing_zeros()).checked_sub(BLOCK_BITS)
}

/// log2 of the chunk that takes in `size` bytes, as far as chunks go.
fn whole_bits(size: u64) -> u32 {
    let bits = size.checked_next_power_of_two().map_or(u64::BITS, u64::trailing_zeros);
    bits.clamp(BLOCK_BITS, BLOCK_BITS + CHUNK_BITS)
}

/// The bits of one chunk of `size` bytes at a place of its own.
pub(crate) fn aside_bits(size: u64) -> u32 {
    whole_bits(size) - BLOCK_BITS
}

/// The blocks of the chunks, one by one.
pub(crate) fn chunk_blocks(bits: u32, count: u64, pieces: &[Piece]) -> impl Iterator<Item = u32> {
    let mut pieces = pieces.iter().peekable();
    (0..count).map(move |chunk| {
        let start = chunk.saturating_mul(BLOCK << bits);
        while pieces.next_if(|piece| piece.file + piece.length <= start).is_some() {}
        let here = pieces.peek().filter(|piece| piece.file <= start);
        // Archives end below the largest block number.
        here.and_then(|piece| u32::try_from((piece.archive + (start - piece.file)) / BLOCK).ok())
            .unwrap_or(HOLE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(map: &[(u64, u64)], size: u64) -> Option<u32> {
        let map: Vec<_> = map
            .iter()
            .map(|(offset, length)| Extent { offset: *offset, length: *length })
            .collect();
        chunk_bits(&pieces(&map, 0, size).unwrap(), size)
    }

    #[test]
    fn chunks_are_as_large_as_the_borders_of_pieces_let_them_be() {
        assert_eq!(bits(&[(0, 1)], 1), Some(0));
        assert_eq!(bits(&[(0, 513)], 513), Some(1));
        assert_eq!(bits(&[], 1 << 40), Some(31));
        assert_eq!(bits(&[(4096, 4096)], 65536), Some(3));
        assert_eq!(bits(&[(4096, 512), (4608, 3584)], 65536), Some(3));
        assert_eq!(bits(&[(4096, 904)], 5000), Some(3));
        assert_eq!(bits(&[(4096, 904)], 5001), None);
        assert_eq!(bits(&[(1, 511)], 512), None);
    }

    #[test]
    fn chunks_are_blocks_of_the_archive_or_holes() {
        let map = [Extent { offset: 1024, length: 1024 }, Extent { offset: 3072, length: 512 }];
        let pieces = pieces(&map, 5120, 5000).unwrap();
        let blocks: Vec<_> = chunk_blocks(0, 10, &pieces).collect();
        let hole = HOLE;
        assert_eq!(blocks, [hole, hole, 10, 11, hole, hole, 12, hole, hole, hole]);
    }
}
