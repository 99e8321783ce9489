//! Request lines as a server reads them, and the bodies of refusals as a client does.

#![no_main]

use corten_registry::wire::{Refused, Route};
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];

fuzz_target!(|bytes: &[u8]| {
    let refused = Refused::parse(bytes);
    let again = Refused::parse(&refused.write());
    assert_eq!(again.code(), refused.code());

    let Ok(text) = str::from_utf8(bytes) else { return };
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    for method in METHODS {
        if let Ok(route) = Route::parse(method, path, query)
            && let Some(repository) = route.repository()
        {
            // What is a repository in a path is one anywhere.
            let again = corten_registry::wire::Repository::parse(repository.as_str());
            assert_eq!(again.as_ref(), Ok(repository));
        }
    }
});
