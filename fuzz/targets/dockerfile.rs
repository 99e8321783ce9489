//! Dockerfiles: whatever the bytes are, reading, checking and outlining them ends, and what they
//! keep for later builds reads again.

#![no_main]

use corten_dockerfile::{
    Action, BuildInputs, CheckRequest, Dockerfile, Glob, IgnoreFile, NoBases, ParentMatches, check,
    detect_syntax, outline, targets,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let inputs = BuildInputs::default();
    let ignore = IgnoreFile::parse(bytes).ok();
    let request = CheckRequest {
        inputs: &inputs,
        target: None,
        contexts: &["a"],
        ignore: ignore.as_ref(),
        bases: &NoBases,
        options: None,
    };
    check(bytes, &request);
    let text = String::from_utf8_lossy(bytes);
    detect_syntax(&text);
    if let Some((pattern, path)) = text.split_once('\n') {
        let _ = Glob::parse(pattern).map(|glob| glob.matches(path));
        if let Some(ignore) = &ignore {
            walk(ignore, path);
        }
    }
    let Ok(file) = Dockerfile::parse(bytes) else { return };
    targets(&file);
    let _ = outline(&file, &request);
    for command in file.stages.iter().flat_map(|stage| &stage.commands) {
        assert!(file.line(command.span.start.line).is_some());
        if let Action::Onbuild(trigger) = &command.action {
            let _ = trigger.command(command.span);
        }
    }
});

/// A walk from the root down says what a look at one path says.
fn walk(ignore: &IgnoreFile, path: &str) {
    let mut known = ParentMatches::default();
    for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
        known = ignore.excludes_below(&path[..at], &known).1;
    }
    ignore.excludes_below(path, &known);
}
