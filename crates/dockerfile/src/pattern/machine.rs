//! The machine that matches: it keeps all places in the pattern at which a path can be, so that no
//! pattern takes more than its length times the path's.

/// One step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// One character.
    Exactly(char),
    /// Any character but `/`.
    One,
    /// Any number of characters but `/`.
    Many,
    /// Any number of characters.
    Deep,
    /// Nothing, or what the token behind it takes.
    Perhaps,
    /// Any number of characters up to a `/`, which is the last of them.
    Directories,
    /// A character of some, or of all others.
    Class { negated: bool, ranges: Vec<(char, char)> },
    /// Nothing, at the beginning alone.
    Start,
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Exactly(own) => *own == c,
            Self::One | Self::Many => c != '/',
            Self::Deep | Self::Directories => c != '\n',
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated
            }
            Self::Perhaps | Self::Start => false,
        }
    }
}

/// Whether all of `text` matches.
pub(super) fn matches(tokens: &[Token], text: &str) -> bool {
    let mut now = vec![false; tokens.len() + 1];
    if let Some(first) = now.first_mut() {
        *first = true;
    }
    skip(tokens, &mut now, true);
    for c in text.chars() {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate() {
            if now.get(at) != Some(&true) || !token.takes(c) {
                continue;
            }
            match token {
                Token::Many | Token::Deep => reach(&mut next, at),
                Token::Directories => {
                    reach(&mut next, at);
                    if c == '/' {
                        reach(&mut next, at + 1);
                    }
                }
                _ => reach(&mut next, at + 1),
            }
        }
        skip(tokens, &mut next, false);
        if !next.contains(&true) {
            return false;
        }
        now = next;
    }
    now.last() == Some(&true)
}

fn reach(places: &mut [bool], at: usize) {
    if let Some(place) = places.get_mut(at) {
        *place = true;
    }
}

/// Goes on over tokens that may take nothing.
fn skip(tokens: &[Token], places: &mut [bool], at_start: bool) {
    for (at, token) in tokens.iter().enumerate() {
        if places.get(at) != Some(&true) {
            continue;
        }
        match token {
            Token::Many | Token::Deep => reach(places, at + 1),
            Token::Perhaps => {
                reach(places, at + 1);
                reach(places, at + 2);
            }
            Token::Start if at_start => reach(places, at + 1),
            _ => {}
        }
    }
}
