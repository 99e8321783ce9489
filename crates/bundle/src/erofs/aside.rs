//! Contents that no chunks can map: they are copied, holes and all, into a file of their own.

use std::io::{self, Read, Seek, SeekFrom, Write};

use corten_layer::TreePath;

use crate::erofs::ErofsError;

/// A run of bytes of a content and where it lies in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the file it begins, in bytes.
    pub file: u64,
    /// Where in the archive it begins, in bytes.
    pub archive: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// A content that the index expects in the aside file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// A name of the file.
    pub path: TreePath,
    /// The layer it comes from, 0 being the base.
    pub layer: usize,
    /// Where in the aside file it begins, in bytes: a multiple of 4096.
    pub offset: u64,
    /// Its size, holes included.
    pub size: u64,
    /// What is to be copied; the rest reads as zeros.
    pub pieces: Vec<Piece>,
}

/// Contents begin at multiples of this, so that holes stay holes on disk.
pub(crate) const ASIDE_UNIT: u64 = 4096;

/// Copies the pieces of `contents` from the archives of the layers into `out`, an empty file. Holes
/// are jumped over; the caller sets the length of the file to [`super::Indexed::aside_bytes`].
pub fn write_aside<R: Read + Seek>(
    contents: &[Aside],
    archives: &mut [R],
    out: &mut (impl Write + Seek),
) -> Result<(), ErofsError> {
    for content in contents {
        let layer = content.layer;
        let archive = archives.get_mut(layer).ok_or_else(|| ErofsError::Tree {
            path: content.path.clone(),
            what: "it is of no layer",
        })?;
        let failed = |source| ErofsError::Archive { layer, source };
        for piece in &content.pieces {
            archive.seek(SeekFrom::Start(piece.archive)).map_err(failed)?;
            let target = content.offset.saturating_add(piece.file);
            out.seek(SeekFrom::Start(target)).map_err(ErofsError::Write)?;
            let mut part = archive.by_ref().take(piece.length);
            // The two sides of a copy cannot be told apart; its source is the likelier to fail.
            let copied = io::copy(&mut part, out).map_err(failed)?;
            if copied != piece.length {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
    out.flush().map_err(ErofsError::Write)
}
