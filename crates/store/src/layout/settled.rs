//! Reading the small files of a layout while tools that know no renaming write them in place.

use std::error::Error as _;
use std::time::Duration;

use super::LayoutStore;
use crate::StoreError;

/// How often a file that ends too early is read again.
const READ_TRIES: u32 = 40;
/// How long its writer has before each of them.
const READ_WAIT: Duration = Duration::from_millis(5);

impl LayoutStore {
    /// Reads the small file `file`, `limit` saying what it is and its most bytes. skopeo and crane
    /// empty a file before they write it; so one that ends in the middle of its JSON is read again
    /// until it is whole, or has been given its time.
    pub(super) fn settled<T>(
        &self,
        file: &str,
        limit: (&'static str, u64),
        parse: impl Fn(&str, &[u8]) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = crate::Store::describe(self);
        let read = || {
            let bytes = self.inner.root.read_small(file, limit)?;
            let bytes = bytes.ok_or_else(|| self.malformed(file, "the file is missing"))?;
            parse(&place, &bytes)
        };
        for _ in 0..READ_TRIES {
            match read() {
                Err(error) if ends_early(&error) => std::thread::sleep(READ_WAIT),
                settled => return settled,
            }
        }
        read()
    }
}

fn ends_early(error: &StoreError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<serde_json::Error>());
    cause.is_some_and(serde_json::Error::is_eof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{INDEX_FILE, LAYOUT_FILE, LAYOUT_HEADER};

    #[test]
    fn a_file_that_is_being_written_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        LayoutStore::create(directory.path()).unwrap();
        let whole = std::fs::read(directory.path().join(INDEX_FILE)).unwrap();
        for (file, begun) in
            [(INDEX_FILE, &whole[..0]), (INDEX_FILE, &whole[..9]), (LAYOUT_FILE, b"")]
        {
            let path = directory.path().join(file);
            let whole = if file == INDEX_FILE { &whole[..] } else { LAYOUT_HEADER };
            std::fs::write(&path, begun).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(4 * READ_WAIT);
                    std::fs::write(&path, whole).unwrap();
                });
                LayoutStore::open(directory.path()).unwrap();
            });
        }
    }

    #[test]
    fn a_file_that_stays_cut_off_or_is_wrong_is_told() {
        let directory = tempfile::tempdir().unwrap();
        LayoutStore::create(directory.path()).unwrap();
        for (content, file) in
            [("{\"manifests\":[", INDEX_FILE), ("{]", INDEX_FILE), ("", LAYOUT_FILE)]
        {
            std::fs::write(directory.path().join(file), content).unwrap();
            let opened = LayoutStore::open(directory.path());
            let Err(StoreError::Malformed { object, .. }) = opened else {
                panic!("{opened:?}");
            };
            assert_eq!(object, file);
            std::fs::write(directory.path().join(INDEX_FILE), "{}").unwrap();
        }
    }
}
