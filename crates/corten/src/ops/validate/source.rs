//! Where the bytes to be checked come from: any store, or the files of a layout that may be too
//! broken to be opened as one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use corten_spec::Descriptor;
use corten_store::{ByteStream, Kind, Store, StoreError};
use futures_util::StreamExt as _;
use rustix::fs::OFlags;
use tokio::runtime::Handle;

/// Bytes to be checked, as they are: nothing is verified yet.
pub(super) type Bytewise = Box<dyn Read + Send>;

/// Opens blobs, from any thread that is not one of the runtime's.
pub(super) trait Source: Sync {
    /// The blob from its first byte; `None` where it is not there.
    fn open(&self, kind: Kind, blob: &Descriptor) -> Result<Option<Bytewise>, StoreError>;

    /// Whether it is there.
    fn exists(&self, kind: Kind, blob: &Descriptor) -> Result<bool, StoreError>;
}

/// The blobs of a store.
pub(super) struct StoreSource {
    store: Arc<dyn Store>,
    runtime: Handle,
}

impl StoreSource {
    /// To be called on the runtime whose tasks fetch the bytes.
    pub(super) fn of(store: Arc<dyn Store>) -> Self {
        Self { store, runtime: Handle::current() }
    }

    pub(super) fn describe(&self) -> String {
        self.store.describe()
    }
}

impl Source for StoreSource {
    fn open(&self, kind: Kind, blob: &Descriptor) -> Result<Option<Bytewise>, StoreError> {
        match self.runtime.block_on(self.store.fetch(kind, blob, 0)) {
            Ok(stream) => {
                let runtime = self.runtime.clone();
                Ok(Some(Box::new(StreamRead { stream, runtime, rest: Bytes::new() })))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn exists(&self, kind: Kind, blob: &Descriptor) -> Result<bool, StoreError> {
        self.runtime.block_on(self.store.exists(kind, blob))
    }
}

/// A stream of the runtime, read on another thread.
struct StreamRead {
    stream: ByteStream,
    runtime: Handle,
    rest: Bytes,
}

impl Read for StreamRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let taken = self.rest.split_to(buffer.len().min(self.rest.len()));
        if let Some(place) = buffer.get_mut(..taken.len()) {
            place.copy_from_slice(&taken);
        }
        Ok(taken.len())
    }
}

/// The files of a layout.
pub(super) struct FileSource {
    blobs: PathBuf,
}

impl FileSource {
    pub(super) fn of(layout: &Path) -> Self {
        Self { blobs: layout.join("blobs") }
    }

    /// Where a blob lies. A digest's grammar has no slash, and no dot where a name begins.
    fn path(&self, blob: &Descriptor) -> PathBuf {
        self.blobs.join(blob.digest.algorithm_name()).join(blob.digest.encoded())
    }
}

impl Source for FileSource {
    fn open(&self, _: Kind, blob: &Descriptor) -> Result<Option<Bytewise>, StoreError> {
        let path = self.path(blob);
        match open_regular(&path) {
            Ok(file) => Ok(file.map(|file| Box::new(file) as Bytewise)),
            Err(source) => Err(StoreError::Io { path, action: "open", source }),
        }
    }

    fn exists(&self, kind: Kind, blob: &Descriptor) -> Result<bool, StoreError> {
        Ok(self.open(kind, blob)?.is_some())
    }
}

/// Opens a regular file and nothing else: no link is followed, and a pipe that someone planted is
/// not waited for. `None` where there is nothing of that name.
pub(super) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.is_file() {
        Ok(Some(file))
    } else {
        Err(io::Error::other("not a regular file"))
    }
}
