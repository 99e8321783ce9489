//! Writing a layout into an archive as it comes: one blob behind the other, then the documents by
//! digest, `index.json` and `oci-layout`. The same images always give the same bytes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, IoSlice, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use corten_spec::{AnyDocument, Descriptor, Digest, Document, Index, MediaType, RefName};
use tokio::sync::OwnedMutexGuard;

use super::header::{self, BLOCK, Member, padding};
use super::listing::Listing;
use crate::StoreError;
use crate::beneath::{Beneath, io_error};
use crate::catalog::{INDEX_FILE, IndexEntry, LAYOUT_FILE, LAYOUT_HEADER};
use crate::intake::Sink;
use crate::region::Region;

/// Zeros that pad members and end the archive.
const ZEROS: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// An archive that is being written.
pub(super) struct WriteSide {
    pub(super) place: String,
    pub(super) output: Arc<tokio::sync::Mutex<Output>>,
    listing: Arc<Mutex<Listing>>,
    /// The file, to read from what was written.
    file: Option<(Arc<File>, PathBuf)>,
}

/// Where the bytes go.
pub(super) struct Output {
    to: To,
    /// Bytes written so far: where the next header goes.
    position: u64,
    directories: BTreeSet<String>,
    state: State,
}

enum To {
    /// A new file, renamed to its name at the end; what went wrong can be cut off again.
    File { file: Arc<File>, parent: Beneath, temporary: String, name: String },
    /// A pipe, or a device.
    Pipe(Box<dyn Write + Send>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Bytes went down a pipe that cannot be taken back.
    Broken,
    Finished,
}

impl WriteSide {
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let place = format!("oci-archive:{}", path.display());
        let special = std::fs::metadata(path).is_ok_and(|meta| !meta.is_file());
        if special {
            let file = File::options().write(true).open(path);
            let file = file.map_err(|e| io_error(path, "open", e))?;
            return Ok(Self::of(place, To::Pipe(Box::new(file))));
        }
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            io_error(path, "creation", io::Error::from(io::ErrorKind::InvalidFilename))
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = Beneath::open_common(parent.unwrap_or(Path::new(".")))?;
        let (file, temporary) = parent.create_scratch(&format!(".{name}"))?;
        let (file, name) = (Arc::new(file), name.to_owned());
        Ok(Self::of(place, To::File { file, parent, temporary, name }))
    }

    pub(super) fn write(to: Box<dyn Write + Send>) -> Self {
        Self::of("oci-archive:-".to_owned(), To::Pipe(to))
    }

    fn of(place: String, to: To) -> Self {
        let file = match &to {
            To::File { file, parent, temporary, .. } => {
                Some((file.clone(), parent.full(temporary)))
            }
            To::Pipe(_) => None,
        };
        let directories = BTreeSet::new();
        let output = Output { to, position: 0, directories, state: State::Open };
        let output = Arc::new(tokio::sync::Mutex::new(output));
        Self { place, output, listing: Arc::default(), file }
    }

    fn listing(&self) -> MutexGuard<'_, Listing> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        let listing = self.listing();
        listing.blobs.contains_key(digest) || listing.documents.contains_key(digest)
    }

    pub(super) fn document(&self, digest: &Digest) -> Option<AnyDocument> {
        self.listing().documents.get(digest).cloned()
    }

    pub(super) fn named(&self, name: &RefName) -> Option<AnyDocument> {
        let listing = self.listing();
        listing.documents.get(listing.names.get(name)?).cloned()
    }

    pub(super) fn names(&self) -> Vec<RefName> {
        self.listing().names.keys().cloned().collect()
    }

    pub(super) fn push(&self, document: &AnyDocument) -> Result<(), StoreError> {
        self.listing().add(&self.place, document)
    }

    pub(super) fn enter(
        &self,
        name: Option<&RefName>,
        document: &AnyDocument,
    ) -> Result<(), StoreError> {
        self.listing().enter(&self.place, name, document)
    }

    pub(super) fn untag(&self, name: &RefName) -> bool {
        self.listing().names.remove(name).is_some()
    }

    pub(super) fn referrers(&self, subject: &Digest) -> Vec<Descriptor> {
        self.listing().referrers(subject)
    }

    pub(super) fn entries(&self) -> Vec<IndexEntry> {
        self.listing().entries()
    }

    /// Where a blob lies, when it was written to a file.
    pub(super) fn region(&self, digest: &Digest) -> Result<Option<Region>, StoreError> {
        let Some((start, len)) = self.listing().blobs.get(digest).copied() else {
            return Ok(None);
        };
        let (file, path) = self.file.clone().ok_or_else(|| StoreError::Unsupported {
            place: self.place.clone(),
            action: "reading of what was written".to_owned(),
        })?;
        Ok(Some(Region { file, start, len, path }))
    }

    /// A blob's place in the output, which it holds until it is whole or given up.
    pub(super) fn part(&self, output: OwnedMutexGuard<Output>, blob: &Descriptor) -> ArchivePart {
        let (digest, size) = (blob.digest.clone(), blob.size);
        let start = output.position;
        let place = self.place.clone();
        let listing = self.listing.clone();
        let directories = output.directories.clone();
        let (output, opened) = (Some(output), None);
        ArchivePart { output, listing, place, digest, size, start, directories, opened }
    }

    /// Writes what waits for the end and makes the file appear under its name.
    pub(super) fn finish(&self, output: &mut Output) -> Result<(), StoreError> {
        if output.state == State::Finished {
            return Ok(());
        }
        output.check(&self.place)?;
        let listing = self.listing();
        let entries = listing.entries().into_iter().map(|entry| entry.descriptor).collect();
        let index = Document::write(MediaType::OCI_INDEX, Index::new(entries));
        let index = index.map_err(|error| StoreError::Malformed {
            object: INDEX_FILE.to_owned(),
            place: self.place.clone(),
            source: error.into(),
        })?;
        for (digest, document) in &listing.documents {
            if !listing.blobs.contains_key(digest) {
                output.member(&super::blob_path(digest), document.bytes())?;
            }
        }
        output.member(INDEX_FILE, index.bytes())?;
        output.member(LAYOUT_FILE, LAYOUT_HEADER)?;
        output.put(&ZEROS)?;
        output.close()
    }
}

impl Output {
    fn check(&self, place: &str) -> Result<(), StoreError> {
        let why = match self.state {
            State::Open => return Ok(()),
            State::Broken => "it ends inside a blob that did not come through whole",
            State::Finished => "it is finished",
        };
        Err(StoreError::Refused {
            object: "more content".to_owned(),
            place: place.to_owned(),
            source: why.into(),
        })
    }

    fn path(&self) -> PathBuf {
        match &self.to {
            To::File { parent, name, .. } => parent.full(name),
            To::Pipe(_) => PathBuf::from("-"),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = match &mut self.to {
            To::File { file, .. } => (&**file).write_all(bytes),
            To::Pipe(pipe) => pipe.write_all(bytes),
        };
        self.position += bytes.len() as u64;
        written.map_err(|e| io_error(&self.path(), "write", e))
    }

    fn put_all(&mut self, pieces: &[Bytes]) -> Result<(), StoreError> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let written = match &mut self.to {
                To::File { file, .. } => (&**file).write_vectored(rest),
                To::Pipe(pipe) => pipe.write_vectored(rest),
            };
            match written {
                Ok(0) => {
                    let error = io::ErrorKind::WriteZero.into();
                    return Err(io_error(&self.path(), "write", error));
                }
                Ok(count) => {
                    self.position += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error(&self.path(), "write", error)),
            }
        }
        Ok(())
    }

    /// Writes the header of a file, after those of the directories that are new.
    fn open(&mut self, path: &str, size: u64) -> Result<(), StoreError> {
        for (slash, _) in path.match_indices('/') {
            let directory = path.get(..=slash).unwrap_or_default();
            if !self.directories.contains(directory) {
                self.put(&header::write(Member::Directory, directory, 0))?;
                self.directories.insert(directory.to_owned());
            }
        }
        self.put(&header::write(Member::File, path, size))
    }

    fn pad(&mut self, size: u64) -> Result<(), StoreError> {
        self.put(ZEROS.get(..padding(size)).unwrap_or_default())
    }

    fn member(&mut self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let size = bytes.len() as u64;
        self.open(path, size)?;
        self.put(bytes)?;
        self.pad(size)
    }

    /// Takes back everything from `start` on; down a pipe nothing can be.
    fn cut(&mut self, start: u64) -> Result<(), StoreError> {
        if self.position == start {
            return Ok(());
        }
        match &mut self.to {
            To::File { file, .. } => {
                let mut file = &**file;
                let cut = file.set_len(start).and_then(|()| file.seek(SeekFrom::Start(start)));
                cut.map_err(|e| io_error(&self.path(), "truncation", e))?;
                self.position = start;
                Ok(())
            }
            To::Pipe(_) => {
                self.state = State::Broken;
                Ok(())
            }
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        let path = self.path();
        match &mut self.to {
            To::File { file, parent, temporary, name } => {
                file.sync_data().map_err(|e| io_error(&path, "sync", e))?;
                parent.rename(temporary, name)?;
            }
            To::Pipe(pipe) => pipe.flush().map_err(|e| io_error(&path, "write", e))?,
        }
        self.state = State::Finished;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let To::File { parent, temporary, .. } = &self.to
            && self.state != State::Finished
        {
            // Nobody is left to tell; the name says what the file is.
            let _ = parent.remove(temporary);
        }
    }
}

/// A blob on its way into an archive.
pub(super) struct ArchivePart {
    /// Held until the blob is whole, so that no other one comes between.
    output: Option<OwnedMutexGuard<Output>>,
    listing: Arc<Mutex<Listing>>,
    place: String,
    digest: Digest,
    size: u64,
    /// The output before this blob, to go back to.
    start: u64,
    directories: BTreeSet<String>,
    /// Offset of the first byte of content, once the header is written.
    opened: Option<u64>,
}

impl ArchivePart {
    /// The output with the header written, and where the content begins.
    fn open(&mut self) -> Result<(&mut Output, u64), StoreError> {
        let Some(output) = self.output.as_deref_mut() else {
            return Err(StoreError::Refused {
                object: self.digest.to_string(),
                place: self.place.clone(),
                source: "the blob is whole already".into(),
            });
        };
        let content = match self.opened {
            Some(content) => content,
            None => {
                output.check(&self.place)?;
                output.open(&super::blob_path(&self.digest), self.size)?;
                output.position
            }
        };
        self.opened = Some(content);
        Ok((output, content))
    }
}

impl Sink for ArchivePart {
    fn replay(
        &mut self,
        _: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // Nothing is kept from one ingest to the next; after a failed write it starts again.
        self.discard()
    }

    fn write(&mut self, pieces: &[Bytes]) -> Result<(), StoreError> {
        self.open()?.0.put_all(pieces)
    }

    fn discard(&mut self) -> Result<(), StoreError> {
        self.opened = None;
        let Some(output) = self.output.as_deref_mut() else {
            return Ok(());
        };
        output.directories.clone_from(&self.directories);
        output.cut(self.start)
    }

    fn publish(&mut self) -> Result<(), StoreError> {
        let size = self.size;
        let (output, content) = self.open()?;
        output.pad(size)?;
        let mut listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        listing.blobs.insert(self.digest.clone(), (content, size));
        self.output = None;
        Ok(())
    }
}

impl Drop for ArchivePart {
    fn drop(&mut self) {
        // What is not whole is cut off; a file that cannot be is found broken by the next write.
        let _ = self.discard();
    }
}
