//! Bytes and numbers that look random and are the same for the same seed.

use bytes::{Bytes, BytesMut};

/// A small deterministic generator (splitmix64). Good for tests, for nothing secret.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which must not be zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }
}

/// A blob of incompressible bytes, made as it is read: no size is too large for memory.
#[derive(Clone, Debug)]
pub struct Noise {
    dice: Dice,
    left: u64,
}

/// Bytes of one piece.
const PIECE: u64 = 64 * 1024;

impl Noise {
    /// `size` bytes that follow from `seed`.
    pub fn new(seed: u64, size: u64) -> Self {
        Self { dice: Dice::new(seed), left: size }
    }

    /// All of it at once.
    pub fn whole(self) -> Bytes {
        let mut whole = BytesMut::new();
        self.for_each(|piece| whole.extend_from_slice(&piece));
        whole.freeze()
    }
}

impl Iterator for Noise {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let length = usize::try_from(self.left.min(PIECE)).unwrap();
        let mut piece = BytesMut::with_capacity(length + 8);
        while piece.len() < length {
            piece.extend_from_slice(&self.dice.roll().to_le_bytes());
        }
        piece.truncate(length);
        self.left -= length as u64;
        Some(piece.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let size = 200_001;
        let first = Noise::new(7, size).whole();
        assert_eq!(first.len(), 200_001);
        assert_eq!(first, Noise::new(7, size).whole());
        assert_ne!(first, Noise::new(8, size).whole());
        assert_eq!(first.slice(..100), Noise::new(7, 100).whole());
    }

    #[test]
    fn noise_does_not_compress() {
        let bytes = Noise::new(1, 100_000).whole();
        assert!(zstd::encode_all(bytes.as_ref(), 3).unwrap().len() > 99_000);
    }
}
