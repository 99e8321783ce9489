//! Directories that go away with the test.

use std::path::{Path, PathBuf};

/// A directory of its own below the temporary directory, removed when dropped.
#[derive(Debug)]
pub struct Scratch(tempfile::TempDir);

/// A new scratch directory. It stands where the peers see it too.
pub fn scratch() -> Scratch {
    let made = tempfile::Builder::new().prefix("corten-test-").tempdir();
    Scratch(made.expect("the temporary directory can be written"))
}

impl Scratch {
    /// The directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path inside, whether something is there or not.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(path)
    }

    /// Writes a file inside, with its parent directories.
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_goes_away_with_what_is_in_it() {
        let scratch = scratch();
        let file = scratch.write("a/b", "x");
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }
}
