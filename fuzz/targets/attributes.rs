//! Attributes and project files: whatever a text says, it is laid over what is there, or refused.

#![no_main]

use corten_project::{ProjectFile, ProjectValues};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for file in ["a.toml", "a.yaml", "a.json"] {
        let mut values = ProjectValues::default();
        values.set("a.b=1").unwrap();
        if values.lay(file, text).is_err() {
            continue;
        }
        let once = values.clone();
        values.lay(file, text).unwrap();
        assert_eq!(values, once, "laid twice it says nothing new");
    }
    let _ = ProjectValues::default().set(text);
    let _ = ProjectFile::parse(text);
});
