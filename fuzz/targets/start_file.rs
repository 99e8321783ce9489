//! What an image keeps for the start of its containers: whatever it is, it is rendered within bounds or refused.

#![no_main]

use corten_project::{MAX_RENDERED, ProjectValues, StartFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(start) = StartFile::parse(text) else { return };
    assert_eq!(StartFile::parse(&start.text().unwrap()).unwrap(), start);
    let mut values = ProjectValues::default();
    values.set("a.b=1").unwrap();
    let Ok(files) = start.render(&values) else { return };
    assert!(files.iter().all(|(path, text)| start.files.contains_key(path) && text.len() <= MAX_RENDERED));
});
