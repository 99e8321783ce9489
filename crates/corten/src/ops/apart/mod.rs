//! What foreign bytes are given to in this program run again: processes that have one task and nothing else. What gets
//! the better of one has its inputs, and its own answer.

mod confine;
mod read;
mod render;

use std::ffi::OsString;
use std::process::ExitCode;

pub(super) use read::probe;
pub(super) use render::render;

/// Does the task of such a process where `words` say that this is one. Called before any thread starts; `None` means
/// that it is an ordinary start, and that layers are read apart from now on.
pub(crate) fn apart(words: &[OsString]) -> Option<ExitCode> {
    let task = match words {
        [_, word] if word == render::RENDERER => render::answer,
        [_, word] if word == read::READER => read::answer,
        _ => {
            corten_layer::read_apart(read::start);
            return None;
        }
    };
    // Who asked is told by the end of a process that cannot even be held within its limits.
    let done = corten_engine::close_inherited().and_then(|()| task());
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
