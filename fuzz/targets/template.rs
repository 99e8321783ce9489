//! Templates: whatever a text says, it is parsed on a small stack or refused, and becomes a bounded text or an error.

#![no_main]

use corten_project::{MAX_RENDERED, ProjectValues, Templates};
use libfuzzer_sys::fuzz_target;

/// Instrumented calls take several times the stack of others.
const STACK: usize = 8 << 20;

fuzz_target!(|text: &str| {
    let text = text.to_owned();
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        let mut values = ProjectValues::default();
        values.lay("a.json", r#"{"s": "text", "l": [1, [2], {"a": 3}], "m": {"a": {"b": 1}}}"#).unwrap();
        let mut templates = Templates::new(&values);
        if templates.add("t", &text).is_err() {
            return;
        }
        // Lists that are added to each other grow without steps: against that stands the process that renders.
        if !text.contains('+') {
            let rendered = templates.render("t").unwrap_or_default();
            assert!(rendered.len() <= MAX_RENDERED);
        }
    });
    thread.unwrap().join().unwrap();
});
