//! `Link` headers, one a line: what is read fits its limit, and a link that is written is read as the
//! same link.

#![no_main]

use corten_registry::wire::{Link, MAX_LINK};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // No header holds other control characters than the tab.
    if text.chars().any(|c| c.is_control() && c != '\t' && c != '\n') {
        return;
    }
    for link in Link::parse(text.lines()) {
        assert!(link.target.len() <= MAX_LINK);
        // Writing escapes what a target cannot hold; once escaped it stays as it is.
        let written = link.to_string();
        if written.len() <= MAX_LINK {
            let again = Link::parse([written.as_str()]);
            assert_eq!(again.len(), 1, "{written:?}");
            assert_eq!(again[0].is_next(), link.is_next(), "{written:?}");
            assert_eq!(again[0].to_string(), written);
        }
    }
});
