//! CRC-32C (Castagnoli) as the superblock has it: bits reflected, no inversion at the end.

const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The remainder of `bytes`, started with all bits set.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |state, byte| {
        (0..8).fold(state ^ u32::from(*byte), |state, _| {
            (state >> 1) ^ (POLYNOMIAL & (state & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_published_check_value_is_met() {
        assert_eq!(!super::crc32c(b"123456789"), 0xe306_9283);
    }
}
