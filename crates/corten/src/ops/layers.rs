//! The bridge between the ports, which are async, and layers, which are read on plain threads.
//! This is the only place where the one meets the other.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use corten_layer::LayerError;
use corten_spec::Descriptor;
use corten_store::{BlobReader, Kind, LayoutStore, Progress, Silent, Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::Failure;

/// Chunks on their way from the store to the thread that reads them.
pub(super) const AHEAD: usize = 8;

/// What travels from a task to a thread: bytes, the end, or why there is no end.
pub(super) type Feed = Result<Option<Bytes>, StoreError>;

/// Opens blobs of one store as plain readers, from any thread.
#[derive(Clone)]
pub(super) struct Blobs {
    store: Arc<dyn Store>,
    /// Where blobs are read from before they are in `store`.
    origin: Option<Arc<dyn Store>>,
    progress: Arc<dyn Progress>,
    runtime: Handle,
}

impl Blobs {
    /// To be called on the runtime whose tasks fetch the bytes.
    pub(super) fn of(store: Arc<dyn Store>) -> Self {
        Self { store, origin: None, progress: Arc::new(Silent), runtime: Handle::current() }
    }

    /// Blobs of `origin`, each brought into `cache` when it is first opened.
    pub(super) fn through(
        origin: Arc<dyn Store>,
        cache: LayoutStore,
        progress: Arc<dyn Progress>,
    ) -> Self {
        Self { origin: Some(origin), progress, ..Self::of(Arc::new(cache)) }
    }

    /// Brings blobs into the cache, `jobs` at a time; nothing to do where there is none.
    pub(super) async fn bring(&self, blobs: &[Descriptor], jobs: usize) -> Result<(), Failure> {
        let Some(origin) = self.origin.clone() else { return Ok(()) };
        let (to, progress) = (self.store.clone(), self.progress.clone());
        Ok(corten_store::copy_blobs(origin, to, blobs.to_vec(), jobs, progress).await?)
    }

    /// The bytes of `blob`, verified at their end: the read that would return the end of the blob
    /// fails when size or digest are wrong. Dropping the reader ends the transfer.
    pub(super) fn open(&self, blob: &Descriptor) -> impl Read + Send + use<> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (blobs, blob) = (self.clone(), blob.clone());
        self.runtime.spawn(async move {
            if let Err(error) = blobs.carry(&blob, &sender).await {
                // The reader may be gone, which is its right.
                let _ = sender.send(Err(error)).await;
            }
        });
        Reading::new(receiver)
    }

    async fn carry(
        &self,
        blob: &Descriptor,
        sender: &mpsc::Sender<Feed>,
    ) -> Result<(), StoreError> {
        if let Some(origin) = self.origin.clone() {
            let (to, progress) = (self.store.clone(), self.progress.clone());
            corten_store::copy_blobs(origin, to, vec![blob.clone()], 1, progress).await?;
        }
        let mut reader = BlobReader::open(self.store.as_ref(), Kind::Blob, blob).await?;
        loop {
            let bytes = reader.next().await?;
            let last = bytes.is_none();
            if sender.send(Ok(bytes)).await.is_err() || last {
                return Ok(());
            }
        }
    }
}

/// Reads on a plain thread what a task feeds.
pub(super) struct Reading {
    receiver: mpsc::Receiver<Feed>,
    rest: Bytes,
    ended: bool,
}

impl Reading {
    pub(super) fn new(receiver: mpsc::Receiver<Feed>) -> Self {
        Self { receiver, rest: Bytes::new(), ended: false }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Ok(Some(bytes))) => self.rest = bytes,
                Some(Ok(None)) => self.ended = true,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Err(io::Error::other("the transfer ended without its end")),
            }
        }
        let count = buffer.len().min(self.rest.len());
        let taken = self.rest.split_to(count);
        if let Some(place) = buffer.get_mut(..count) {
            place.copy_from_slice(&taken);
        }
        Ok(count)
    }
}

/// Runs `work`, which reads and computes, on a thread of its own.
pub(crate) async fn on_thread<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::interrupted(what))?
}

/// A layer error as a failure: what the store said, where the store was the cause.
pub(super) fn layer_failure(object: impl Into<String>, error: LayerError) -> Failure {
    let io = match error {
        LayerError::Read(io) => io,
        other => return Failure::Layer { object: object.into(), source: other },
    };
    match io.downcast::<StoreError>() {
        Ok(inside) => Failure::Store(inside),
        Err(io) => Failure::Layer { object: object.into(), source: LayerError::Read(io) },
    }
}
