//! A blob that is made here: its digest is known only when its last byte is written.

use std::fs::File;
use std::io::{self, Write};

use corten_spec::Descriptor;
use rustix::fs::FlockOperation;

use super::{LayoutStore, STAGED, blob_path};
use crate::StoreError;
use crate::beneath::{io_error, touch};
use crate::layout::lease::Lock;

/// A file in the staging directory of a layout, locked by this process; gone when dropped
/// unpublished.
pub struct Staged {
    store: LayoutStore,
    path: String,
    file: File,
    written: u64,
    published: bool,
}

impl LayoutStore {
    /// Starts a blob whose digest is not known yet. Unlike an [`crate::Ingest`] it is not hashed
    /// on its way: whoever makes the bytes hashes them as they are made.
    pub fn stage(&self) -> Result<Staged, StoreError> {
        let root = &self.inner.root;
        root.make_dir(STAGED)?;
        self.take_lease()?;
        // A new file: one of that name may be of a dead process, or of one of the same number in
        // another container, or something planted.
        let (file, path) = root.create_scratch(&format!("{STAGED}/made"))?;
        let fault = |action| {
            let full = root.full(&path);
            move |source: io::Error| io_error(&full, action, source)
        };
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| fault("lock")(errno.into()))?;
        Ok(Staged { store: self.clone(), path, file, written: 0, published: false })
    }
}

impl LayoutStore {
    /// Makes blobs visible, each as the descriptor of exactly the bytes that were written: the size is checked,
    /// the digest is the maker's word. All of them are on disk when this returns, at the cost of one wait for
    /// the disk where the file system allows it.
    pub fn publish(
        &self,
        made: impl IntoIterator<Item = (Staged, Descriptor)>,
    ) -> Result<(), StoreError> {
        let mut made: Vec<(Staged, Descriptor)> = made.into_iter().collect();
        for (staged, blob) in &made {
            staged.check(blob)?;
            self.ready_to_write(&blob.digest)?;
            let fault = |action| staged.fault(action);
            self.inner.root.close(&staged.file).map_err(fault("change of mode"))?;
            touch(&staged.file).map_err(fault("change of times"))?;
        }
        // The first wait brings most of the others along.
        for (staged, _) in &made {
            staged.file.sync_data().map_err(staged.fault("sync"))?;
        }
        let _lock = self.lock(Lock::Shared)?;
        let root = &self.inner.root;
        let pairs: Vec<(String, String)> = made
            .iter()
            .map(|(staged, blob)| (staged.path.clone(), blob_path(&blob.digest)))
            .collect();
        root.rename_all(&pairs)?;
        made.iter_mut().for_each(|(staged, _)| staged.published = true);
        Ok(())
    }
}

impl Staged {
    /// Makes the bytes visible as `blob`, alone: see [`LayoutStore::publish`].
    pub fn publish(self, blob: &Descriptor) -> Result<(), StoreError> {
        let store = self.store.clone();
        store.publish([(self, blob.clone())])
    }

    /// What was written so far, from its beginning.
    pub fn read(&self) -> Result<File, StoreError> {
        let file = self.store.inner.root.read(&self.path)?;
        file.ok_or_else(|| self.fault("reading")(io::ErrorKind::NotFound.into()))
    }

    fn check(&self, blob: &Descriptor) -> Result<(), StoreError> {
        if self.written == blob.size {
            return Ok(());
        }
        let source = format!("{} bytes were written, not {}", self.written, blob.size);
        Err(StoreError::Corrupt {
            object: blob.digest.to_string(),
            place: crate::Store::describe(&self.store),
            source: source.into(),
        })
    }

    fn fault(&self, action: &'static str) -> impl FnOnce(io::Error) -> StoreError + use<> {
        let full = self.store.inner.root.full(&self.path);
        move |source| io_error(&full, action, source)
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.written = self.written.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now, the next collection removes.
            let _ = self.store.inner.root.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use corten_spec::MediaType;

    use super::*;

    #[test]
    fn what_was_made_here_is_a_blob_once_it_is_published() {
        let directory = tempfile::tempdir().unwrap();
        let store = LayoutStore::create(directory.path()).unwrap();
        let blob = Descriptor::of(MediaType::OCI_LAYER, b"made here");
        let mut staged = store.stage().unwrap();
        staged.write_all(b"made here").unwrap();
        assert!(store.blob_file(&blob.digest).is_err());
        staged.publish(&blob).unwrap();
        let text = io::read_to_string(store.blob_file(&blob.digest).unwrap()).unwrap();
        assert_eq!(text, "made here");
    }

    #[test]
    fn blobs_are_published_together_and_can_be_read_before() {
        let directory = tempfile::tempdir().unwrap();
        let store = LayoutStore::create(directory.path()).unwrap();
        let made = ["one", "two", "two"].map(|text| {
            let mut staged = store.stage().unwrap();
            staged.write_all(text.as_bytes()).unwrap();
            assert_eq!(io::read_to_string(staged.read().unwrap()).unwrap(), text);
            (staged, Descriptor::of(MediaType::OCI_LAYER, text.as_bytes()))
        });
        store.publish(made).unwrap();
        for text in ["one", "two"] {
            let blob = Descriptor::of(MediaType::OCI_LAYER, text.as_bytes());
            let file = store.blob_file(&blob.digest).unwrap();
            assert_eq!(io::read_to_string(file).unwrap(), text);
        }
    }

    #[test]
    fn what_another_process_of_the_same_number_stages_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = LayoutStore::create(directory.path()).unwrap();
        let mut theirs = Vec::new();
        for (form, number) in
            [("-", 0), (".", 0)].into_iter().flat_map(|(f, n)| [(f, n), (f, n + 1)])
        {
            let name = format!("made{form}{}-{number}", std::process::id());
            let path = directory.path().join(STAGED).join(name);
            std::fs::write(&path, "theirs").unwrap();
            let file = File::open(&path).unwrap();
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
            theirs.push((path, file));
        }
        let blob = Descriptor::of(MediaType::OCI_LAYER, b"ours");
        let mut staged = store.stage().unwrap();
        staged.write_all(b"ours").unwrap();
        staged.publish(&blob).unwrap();
        for (path, _) in theirs {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "theirs");
        }
    }

    #[test]
    fn what_was_not_published_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = LayoutStore::create(directory.path()).unwrap();
        let mut staged = store.stage().unwrap();
        staged.write_all(b"half").unwrap();
        let blob = Descriptor::of(MediaType::OCI_LAYER, b"another");
        let error = staged.publish(&blob).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        let left = std::fs::read_dir(directory.path().join(STAGED)).unwrap().count();
        assert_eq!(left, 0);
    }
}
