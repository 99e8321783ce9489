//! `WWW-Authenticate` headers, one a line, and the scopes they ask for.

#![no_main]

use corten_registry::wire::{Challenge, MAX_CHALLENGE, Scope};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for challenge in Challenge::parse(text.lines()) {
        if let Challenge::Bearer(bearer) = challenge {
            assert!(!bearer.realm.is_empty() && bearer.realm.len() <= MAX_CHALLENGE);
            for scope in Scope::parse_list(bearer.scope.as_deref().unwrap_or_default()) {
                assert!(scope.covers(&scope), "{scope:?}");
            }
        }
    }
});
