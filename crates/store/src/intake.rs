//! The one way a blob comes in: a thread per blob that hashes and writes what arrives, so that the
//! async threads only carry bytes. Every byte is hashed once.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use corten_spec::{Descriptor, Verifier};
use tokio::sync::{mpsc, oneshot};

use crate::{Ingest, StoreError};

/// Bytes gathered before the thread is woken.
const BATCH: usize = 256 * 1024;
/// Pieces gathered at most, below what one vectored write takes.
const PIECES: usize = 256;
/// Batches on their way to the thread.
const QUEUE: usize = 4;

/// Where the bytes of one blob are put. Called on a thread for blocking work.
pub(crate) trait Sink: Send + 'static {
    /// Shows every byte staged by an earlier attempt to `take`, in order.
    fn replay(
        &mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;

    /// Writes after what is there.
    fn write(&mut self, pieces: &[Bytes]) -> Result<(), StoreError>;

    /// Forgets everything staged; the next write is the first one.
    fn discard(&mut self) -> Result<(), StoreError>;

    /// Makes the verified bytes visible under their digest, in one step and for good.
    fn publish(&mut self) -> Result<(), StoreError>;
}

enum Command {
    Write(Vec<Bytes>),
    Offset(oneshot::Sender<Result<u64, StoreError>>),
    Commit(oneshot::Sender<Result<(), StoreError>>),
}

/// The [`Ingest`] of every place that stages bytes on this machine.
pub(crate) struct Intake {
    commands: mpsc::Sender<Command>,
    failed: Arc<AtomicBool>,
    pending: Vec<Bytes>,
    gathered: usize,
    object: String,
    place: String,
}

/// Starts a thread that opens a sink and serves it; `None` when `open` finds the blob there.
pub(crate) async fn start<S: Sink>(
    blob: &Descriptor,
    place: String,
    open: impl FnOnce() -> Result<Option<S>, StoreError> + Send + 'static,
) -> Result<Option<Intake>, StoreError> {
    let object = blob.digest.to_string();
    let verifier = Verifier::new(blob).map_err(|source| StoreError::Unsupported {
        place: place.clone(),
        action: format!("ingest of {object} ({source})"),
    })?;
    let (commands, inbox) = mpsc::channel(QUEUE);
    let (answer, opened) = oneshot::channel();
    let failed = Arc::new(AtomicBool::new(false));
    let desk = Desk {
        empty: verifier.clone(),
        verifier,
        failed: failed.clone(),
        fault: None,
        replayed: false,
        object: object.clone(),
        place: place.clone(),
    };
    tokio::task::spawn_blocking(move || match open() {
        Ok(Some(sink)) => {
            if answer.send(Ok(true)).is_ok() {
                desk.serve(sink, inbox);
            }
        }
        Ok(None) => drop(answer.send(Ok(false))),
        Err(error) => drop(answer.send(Err(error))),
    });
    let intake = Intake { commands, failed, pending: Vec::new(), gathered: 0, object, place };
    let opened = opened.await.map_err(|_| intake.gone())??;
    Ok(opened.then_some(intake))
}

impl Intake {
    fn gone(&self) -> StoreError {
        StoreError::Refused {
            object: self.object.clone(),
            place: self.place.clone(),
            source: "the thread that writes it ended".into(),
        }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.gathered = 0;
        let batch = std::mem::take(&mut self.pending);
        if batch.is_empty() {
            return Ok(());
        }
        self.commands.send(Command::Write(batch)).await.map_err(|_| self.gone())
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (answer, question) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| self.gone())?;
        question.await.map_err(|_| self.gone())?
    }
}

#[async_trait]
impl Ingest for Intake {
    async fn resume(&mut self) -> Result<u64, StoreError> {
        self.flush().await?;
        self.ask(Command::Offset).await
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Relaxed) {
            self.pending.clear();
            // The question takes the error along; whoever resumes after it gets the offset.
            return self.ask(Command::Offset).await.map(drop);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.gathered += bytes.len();
        self.pending.push(bytes);
        if self.gathered >= BATCH || self.pending.len() >= PIECES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.flush().await?;
        self.ask(Command::Commit).await
    }
}

/// The thread's side: what it knows besides its sink.
struct Desk {
    empty: Verifier,
    verifier: Verifier,
    failed: Arc<AtomicBool>,
    fault: Option<StoreError>,
    /// Whether the verifier knows what the sink holds.
    replayed: bool,
    object: String,
    place: String,
}

impl Desk {
    fn serve(mut self, mut sink: impl Sink, mut inbox: mpsc::Receiver<Command>) {
        while let Some(command) = inbox.blocking_recv() {
            match command {
                Command::Offset(answer) => {
                    if !self.replayed && self.fault.is_none() {
                        self.replay(&mut sink);
                    }
                    let offset = self.taken_fault().map_or_else(|| Ok(self.verifier.taken()), Err);
                    // Nobody waits any more: the ingest was dropped.
                    let _ = answer.send(offset);
                }
                Command::Write(pieces) => self.write(&mut sink, &pieces),
                Command::Commit(answer) => {
                    let _ = answer.send(self.commit(&mut sink));
                }
            }
        }
    }

    fn note(&mut self, fault: StoreError) {
        self.failed.store(true, Ordering::Relaxed);
        self.fault = Some(fault);
    }

    fn taken_fault(&mut self) -> Option<StoreError> {
        self.failed.store(false, Ordering::Relaxed);
        self.fault.take()
    }

    fn replay(&mut self, sink: &mut impl Sink) {
        self.verifier = self.empty.clone();
        self.replayed = true;
        let verifier = &mut self.verifier;
        let mut fits = true;
        let result = sink.replay(&mut |bytes| {
            // More staged than announced: nothing of it can be right.
            fits = fits && verifier.update(bytes).is_ok();
            Ok(())
        });
        let result = match result {
            Ok(()) if fits => return,
            Ok(()) => self.discard(sink),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.note(error);
        }
    }

    fn write(&mut self, sink: &mut impl Sink, pieces: &[Bytes]) {
        if let Err(error) = self.start_over_unless_resumed(sink) {
            self.note(error);
        }
        if self.fault.is_some() {
            return;
        }
        for piece in pieces {
            if let Err(mismatch) = self.verifier.update(piece) {
                let fault = self.corrupt(mismatch);
                let fault = self.discard(sink).err().unwrap_or(fault);
                return self.note(fault);
            }
        }
        if let Err(error) = sink.write(pieces) {
            // How much of it was written is for the next replay to find out.
            self.replayed = false;
            self.note(error);
        }
    }

    /// Who does not ask where to go on starts at the first byte.
    fn start_over_unless_resumed(&mut self, sink: &mut impl Sink) -> Result<(), StoreError> {
        if self.replayed || self.fault.is_some() {
            return Ok(());
        }
        self.discard(sink)
    }

    fn commit(&mut self, sink: &mut impl Sink) -> Result<(), StoreError> {
        if let Some(fault) = self.taken_fault() {
            return Err(fault);
        }
        self.start_over_unless_resumed(sink)?;
        match self.verifier.clone().finish() {
            Ok(()) => sink.publish(),
            Err(mismatch) => {
                let fault = self.corrupt(mismatch);
                self.discard(sink)?;
                Err(fault)
            }
        }
    }

    fn discard(&mut self, sink: &mut impl Sink) -> Result<(), StoreError> {
        self.verifier = self.empty.clone();
        self.replayed = true;
        sink.discard()
    }

    fn corrupt(&self, mismatch: corten_spec::Mismatch) -> StoreError {
        StoreError::Corrupt {
            object: self.object.clone(),
            place: self.place.clone(),
            source: mismatch.into(),
        }
    }
}

/// Runs blocking work beside the async threads and hands its answer back.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> impl Future<Output = Result<T, StoreError>> {
    let handle = tokio::task::spawn_blocking(work);
    async move {
        match handle.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(cancelled) => Err(StoreError::Interrupted {
                    object: "work on files".to_owned(),
                    place: "this machine".to_owned(),
                    source: cancelled.into(),
                }),
            },
        }
    }
}
