//! The nearest of some words, for "did you mean".

/// Words farther away than this many edits are not what was meant.
const MOST_EDITS: usize = 2;

/// Longest word that is compared; what is longer is no misspelling.
const LONGEST_WORD: usize = 64;

/// The first of the nearest `options`; none where `word` is one of them, or all are far away.
pub(crate) fn nearest<'a>(
    word: &str,
    options: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(LONGEST_WORD + 1).collect();
    if word.len() > LONGEST_WORD {
        return None;
    }
    let mut best = None;
    let mut distance = MOST_EDITS + 1;
    for option in options {
        let edits = edits(&word, option);
        if edits == 0 {
            return None;
        }
        if edits < distance {
            (best, distance) = (Some(option), edits);
        }
    }
    best
}

/// How many letters must be added, dropped or exchanged to make `other` of `word`.
fn edits(word: &[char], other: &str) -> usize {
    let other: Vec<char> = other.chars().take(LONGEST_WORD + 1).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in word.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b, above) in other.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_within_two_edits_is_meant() {
        assert_eq!(nearest("PAHT", ["HOME", "PATH"]), Some("PATH"));
        assert_eq!(nearest("MYARCH", ["MY_OS", "MY_ARCH"]), Some("MY_ARCH"));
        assert_eq!(nearest("version", ["tag"]), None);
        assert_eq!(nearest("PATH", ["PATH", "PATHS"]), None);
    }
}
