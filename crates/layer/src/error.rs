//! Why a layer could not be read or written.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::path::Shown;
use crate::{Compression, LayerRule};

/// What went wrong with a layer. Offsets count bytes of the unpacked archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The source of the bytes failed.
    #[error("reading the layer failed")]
    Read(#[source] io::Error),
    /// The target of the bytes failed.
    #[error("writing the layer failed")]
    Write(#[source] io::Error),
    /// The archive breaks a rule on which readers rely.
    #[error("{entry}: {rule}")]
    Refused {
        /// The entry and where its headers begin.
        entry: EntryPosition,
        /// The rule it breaks.
        rule: LayerRule,
    },
    /// Something is larger than its named limit.
    #[error("{entry}: {what} exceeds the limit of {limit}")]
    Limit {
        /// The entry and where its headers begin.
        entry: EntryPosition,
        /// Name of the limit: a field of [`crate::Limits`].
        what: &'static str,
        /// The limit itself.
        limit: u64,
    },
    /// The archive ends in the middle of an entry.
    #[error("{entry}: the archive ends before the entry does")]
    Truncated {
        /// The entry and where its headers begin.
        entry: EntryPosition,
    },
    /// The compressed stream is damaged.
    #[error("the {compression} stream is damaged")]
    Corrupt {
        /// The compression that was read.
        compression: Compression,
        /// In what way.
        source: io::Error,
    },
    /// The content is compressed in another way than was announced.
    #[error("announced as {announced} and found to be {found}")]
    Compression {
        /// What the media type said.
        announced: Compression,
        /// What the first bytes say.
        found: Compression,
    },
    /// A file or directory of the tree being packed, or of the one that layers are applied to.
    #[error("{}: {action} failed", Shown(path.as_os_str().as_bytes()))]
    File {
        /// Which, relative to the root of the tree.
        path: PathBuf,
        /// What was tried, as a noun.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file or a source changed between two looks at it.
    #[error("{entry}: changed while it was read")]
    Changed {
        /// Which, and where it was first seen.
        entry: EntryPosition,
    },
    /// A path names nothing in the merged tree.
    #[error("{}: no such file in the image", Shown(path))]
    NotFound {
        /// The path as asked for.
        path: Vec<u8>,
    },
    /// An owner has no place in the ranges of ids that layers are applied with.
    #[error("{entry}: {what} {id} is in no range of ids")]
    Unmapped {
        /// The entry and where its headers begin.
        entry: EntryPosition,
        /// Which id: user, group or owner.
        what: &'static str,
        /// The id in the archive.
        id: u32,
    },
    /// A path leads through more symbolic links than the kernel follows.
    #[error("{}: too many symbolic links", Shown(path))]
    SymlinkLoop {
        /// The path as asked for.
        path: Vec<u8>,
    },
}

/// Where in an archive: the name of the entry, as far as it is known, and the offset in bytes at
/// which its first header begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPosition {
    /// The entry's name as in the archive; empty when no name could be read.
    pub name: Vec<u8>,
    /// Offset of the first header of the entry, in bytes of the unpacked archive.
    pub offset: u64,
}

impl fmt::Display for EntryPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "entry at byte {}", self.offset)
        } else {
            write!(f, "entry '{}' at byte {}", Shown(&self.name), self.offset)
        }
    }
}

impl LayerError {
    /// The layer error that travelled inside an [`io::Error`] through a [`std::io::Read`], or a
    /// read error where there is none inside.
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inside) => inside,
            Err(error) => Self::Read(error),
        }
    }

    /// The same, for an error met while writing.
    pub(crate) fn from_write(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inside) => inside,
            Err(error) => Self::Write(error),
        }
    }

    /// The error dressed so that it travels through a [`std::io::Read`] or [`std::io::Write`].
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Self::Read(error) | Self::Write(error) => error.kind(),
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }

    /// The rule that was broken, where the error is a refusal.
    pub fn rule(&self) -> Option<LayerRule> {
        match self {
            Self::Refused { rule, .. } => Some(*rule),
            _ => None,
        }
    }
}
