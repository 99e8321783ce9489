//! `build` step by step: an image made of one word after the other. Between words it is a draft that lies still: a word
//! is one change of it, whole or not at all.

mod acts;
mod config;
mod draft;
mod finish;
mod start;

pub(super) use acts::literal;
pub use acts::{CopyStep, FileStep, RunStep, StepChoices, change_files};
pub use config::{DraftEdit, change_config, replace_config};
pub(super) use draft::drafted_layers;
pub use draft::{Layering, WorkWord};
pub use finish::{DraftDocument, WriteReport, close_layer, draft_document, write_draft};
pub use start::{BeginFrom, BeginRequest, add_layers, begin, end};

use draft::{Draft, DraftRow};

use super::import::Time;
use crate::{Context, Failure};

/// What the history tells of a word.
#[derive(Clone, Debug)]
pub struct Note {
    /// The word with its arguments, as it could be typed again.
    pub word: String,
    /// Whether the history tells it; that there is a layer, it tells always.
    pub is_told: bool,
}

/// Notes a word in the draft's history.
fn noted(context: &Context, draft: &mut Draft, note: &Note, layer: bool) -> Result<(), Failure> {
    if note.is_told || layer {
        let created = Time::of(context, None)?.created;
        let command = note.is_told.then(|| format!("corten build {}", note.word));
        draft.rows.push(DraftRow { created, command, layer });
    }
    Ok(())
}
