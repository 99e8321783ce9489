//! The one tar parser: a stream of blocks in, entries and their content out.
//!
//! ```text
//! archive  = { entry } zero-block zero-block { zero }
//! entry    = { extension } header content padding-to-512
//! extension = 'L' long name | 'K' long link | 'x' PAX records | 'g' global PAX records
//! ```

mod assemble;
mod block;
mod content;
mod pax;
mod reader;
mod source;
mod sparse;

pub(crate) use assemble::metadata_bytes;
pub(crate) use block::BLOCK;
pub(crate) use content::{Content, Counts, fits, stored_of};
pub use reader::Tar;
pub(crate) use source::Echo;
