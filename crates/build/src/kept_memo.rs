//! The memo of files as people manage it.

use std::path::Path;
use std::time::SystemTime;

/// Its name, below the builder's place.
pub(crate) const FILES: &str = "files";

/// What is remembered of files of contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptMemo {
    /// Its bytes.
    pub size: u64,
    /// How many files it remembers.
    pub files: u64,
    /// When it was written last.
    pub used: SystemTime,
}

/// The memo of the builder's place, where there is one.
pub fn kept_memo(place: &Path) -> Option<KeptMemo> {
    let metadata = place.join(FILES).symlink_metadata().ok()?;
    let (size, used) = (metadata.len(), metadata.modified().ok()?);
    Some(KeptMemo { size, files: crate::memo::count(size), used })
}

impl KeptMemo {
    /// Removes it: the next build reads its context anew.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn remove(&self, place: &Path) -> std::io::Result<()> {
        match std::fs::remove_file(place.join(FILES)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
