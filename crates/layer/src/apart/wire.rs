//! What the process apart is asked, and the frames of its answer: a kind, a length, a payload.

use std::io;

use serde::{Deserialize, Serialize};

use crate::error::EntryPosition;
use crate::foreign::ForeignPacking;
use crate::{Compression, Entry, LayerError, LayerRule, Limits};

/// How the bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Codec {
    /// As a layer is.
    Layer(Compression),
    /// As archives elsewhere are.
    Foreign(ForeignPacking),
}

/// What is to be done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// The unpacked bytes.
    Unpack,
    /// The unpacked bytes and, where the content of each begins, the entries.
    Read {
        /// Faults after which the archive can be read on are told, and no end.
        tolerant: bool,
    },
    /// The entries alone, of the plain archive that was given as a file.
    List,
}

/// The first words on the line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) what: What,
    pub(super) codec: Codec,
    pub(super) limits: Limits,
}

/// Most bytes of a task: some twenty numbers.
pub(super) const MAX_TASK: usize = 512;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes of the unpacked archive.
    Raw = 0,
    /// An entry: the raw bytes after it are its content.
    Entry = 1,
    /// A fault after which reading goes on.
    Fault = 2,
    /// Why no further entry, or no further byte, can be had.
    Failed = 3,
    /// Nothing: all was said.
    Done = 4,
}

/// Bytes before a payload.
pub(super) const HEAD: usize = 5;
/// Most bytes of a payload that is parsed: far above what [`Limits`] let one entry have.
pub(super) const MAX_PAYLOAD: usize = 16 << 20;

pub(super) fn head(kind: Kind, length: usize) -> [u8; HEAD] {
    // Payloads are bounded on both sides.
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [kind as u8, a, b, c, d]
}

pub(super) fn of_head([kind, a, b, c, d]: [u8; HEAD]) -> Option<(Kind, usize)> {
    let all = [Kind::Raw, Kind::Entry, Kind::Fault, Kind::Failed, Kind::Done];
    let kind = all.into_iter().find(|known| *known as u8 == kind)?;
    Some((kind, usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?))
}

/// A fault, as it travels.
pub(super) type Fault = (EntryPosition, LayerRule);

/// An error, as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    Refused(EntryPosition, LayerRule),
    Limit(EntryPosition, String, u64),
    Truncated(EntryPosition),
    Damaged(Ending, String),
    Other(Ending, String),
}

/// The kinds of I/O errors on which something depends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Ending {
    Early,
    Invalid,
    Memory,
    Other,
}

impl Ending {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Early,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Invalid,
            io::ErrorKind::OutOfMemory => Self::Memory,
            _ => Self::Other,
        }
    }

    fn error(self, text: String) -> io::Error {
        let kind = match self {
            Self::Early => io::ErrorKind::UnexpectedEof,
            Self::Invalid => io::ErrorKind::InvalidData,
            Self::Memory => io::ErrorKind::OutOfMemory,
            Self::Other => io::ErrorKind::Other,
        };
        io::Error::new(kind, text)
    }
}

impl Said {
    pub(super) fn of(error: &LayerError) -> Self {
        match error {
            LayerError::Refused { entry, rule } => Self::Refused(entry.clone(), *rule),
            LayerError::Limit { entry, what, limit } => {
                Self::Limit(entry.clone(), (*what).to_owned(), *limit)
            }
            LayerError::Truncated { entry } => Self::Truncated(entry.clone()),
            LayerError::Corrupt { source, .. } => {
                Self::Damaged(Ending::of(source), source.to_string())
            }
            LayerError::Read(source) | LayerError::Write(source) => {
                Self::Other(Ending::of(source), source.to_string())
            }
            other => Self::Other(Ending::Other, other.to_string()),
        }
    }

    pub(super) fn into_error(self, codec: Codec) -> LayerError {
        match (self, codec) {
            (Self::Refused(entry, rule), _) => LayerError::Refused { entry, rule },
            (Self::Limit(entry, what, limit), _) => match Limits::named_as(&what) {
                Some(what) => LayerError::Limit { entry, what, limit },
                None => LayerError::Read(super::ring::nonsense()),
            },
            (Self::Truncated(entry), _) => LayerError::Truncated { entry },
            (Self::Damaged(ending, text), Codec::Layer(compression)) => {
                LayerError::Corrupt { compression, source: ending.error(text) }
            }
            (Self::Damaged(ending, text) | Self::Other(ending, text), _) => {
                LayerError::Read(ending.error(text))
            }
        }
    }
}

pub(super) fn write<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    postcard::to_allocvec(value).map_err(io::Error::other)
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> io::Result<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(super::ring::nonsense()),
    }
}

/// An entry as nothing but an archive can give it.
pub(super) fn read_entry(bytes: &[u8], limits: &Limits) -> io::Result<Entry> {
    let entry: Entry = read(bytes)?;
    let is_possible = entry.mode <= 0o7777
        && entry.mtime.nanos < 1_000_000_000
        && entry.content >= entry.offset
        && !entry.name.is_empty()
        && crate::tar::fits(&entry, limits);
    if is_possible { Ok(entry) } else { Err(super::ring::nonsense()) }
}
