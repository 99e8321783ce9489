//! Lists of processors and memory nodes, as the kernel writes them (cpuset(7), "List format").

/// The greatest number that a list may name.
const GREATEST: usize = 8191;

/// A list such as `0-3,7` as bits, the lowest first; `None` where it is none.
pub(crate) fn bits(list: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > GREATEST {
            return None;
        }
        for number in first..=last {
            if bits.len() <= number / 8 {
                bits.resize(number / 8 + 1, 0);
            }
            *bits.get_mut(number / 8)? |= 1_u8 << (number % 8);
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bits_and_what_is_none_is_refused() {
        assert_eq!(bits("0-3,9"), Some(vec![0b1111, 0b10]));
        for bad in ["", "a", "3-1", "0-99999", "1,,2", "-1"] {
            assert_eq!(bits(bad), None, "{bad}");
        }
    }
}
