//! One blob on its way from source to target, taken up again where it was cut.

use corten_spec::{Descriptor, Mismatch};
use futures_util::StreamExt as _;

use super::{Foreign, Request};
use crate::retry::{Attempts, retry};
use crate::{Begun, Event, Ingest, Kind, Outcome, StoreError};

/// Brings `blob` into the target; `None` when it is left out.
pub(super) async fn send(
    request: &Request,
    blob: &Descriptor,
) -> Result<Option<Outcome>, StoreError> {
    if is_left_out(request, blob).await? {
        return Ok(None);
    }
    let mut transfer = Transfer { request, blob, ingest: None, moved: 0, started: false };
    let mut attempts = Attempts::default();
    loop {
        transfer.moved = 0;
        match transfer.attempt().await {
            Ok(outcome) => {
                let descriptor = blob.clone();
                request.progress.event(Event::Finished { descriptor, outcome });
                return Ok(Some(outcome));
            }
            Err(error) => attempts.go_on(error, transfer.moved >= MIN_PROGRESS).await?,
        }
    }
}

async fn is_left_out(request: &Request, blob: &Descriptor) -> Result<bool, StoreError> {
    if !blob.media_type.is_non_distributable() || blob.urls.is_empty() {
        return Ok(false);
    }
    match request.foreign {
        Foreign::Require => Ok(false),
        Foreign::Skip => Ok(true),
        Foreign::IfPresent => {
            let there = retry(|| request.from.exists(Kind::Blob, blob)).await?;
            Ok(!there)
        }
    }
}

/// Least bytes that an attempt moves to count as progress: else a source that gives a byte and hangs up would be
/// asked for ever.
const MIN_PROGRESS: u64 = 16 * 1024;

struct Transfer<'a> {
    request: &'a Request,
    blob: &'a Descriptor,
    ingest: Option<Box<dyn Ingest>>,
    /// Bytes that the current attempt moved.
    moved: u64,
    started: bool,
}

impl Transfer<'_> {
    async fn attempt(&mut self) -> Result<Outcome, StoreError> {
        let mut ingest = match self.ingest.take() {
            Some(ingest) => ingest,
            None => {
                let origin = self.request.from.location();
                match self.request.to.begin(self.blob, origin.as_ref()).await? {
                    Begun::Present => return Ok(Outcome::Present),
                    Begun::Mounted => return Ok(Outcome::Mounted),
                    Begun::Ingest(ingest) => ingest,
                }
            }
        };
        let sent = self.pour(ingest.as_mut()).await;
        if sent.is_err() {
            self.ingest = Some(ingest);
        }
        sent.map(|()| Outcome::Copied)
    }

    /// Moves what is missing, and commits.
    async fn pour(&mut self, ingest: &mut dyn Ingest) -> Result<(), StoreError> {
        let from = ingest.resume().await?;
        self.tell_start(from);
        let size = self.blob.size;
        let mut at = from;
        if at < size {
            let mut stream = self.request.from.fetch(Kind::Blob, self.blob, at).await?;
            while let Some(chunk) = stream.next().await {
                let chunk = chunk?;
                let bytes = chunk.len() as u64;
                at = at.saturating_add(bytes);
                if at > size {
                    let digest = self.blob.digest.clone();
                    return Err(self.source_lied(Mismatch::TooLong { digest, size }.into()));
                }
                ingest.append(chunk).await.map_err(|error| self.blame(error))?;
                self.moved += bytes;
                let digest = self.blob.digest.clone();
                self.request.progress.event(Event::Advanced { digest, bytes });
            }
        }
        if at < size {
            let digest = self.blob.digest.clone();
            return Err(StoreError::Interrupted {
                object: digest.to_string(),
                place: self.request.from.describe(),
                source: Mismatch::TooShort { digest, size, got: at }.into(),
            });
        }
        ingest.commit().await.map_err(|error| self.blame(error))
    }

    fn tell_start(&mut self, from: u64) {
        let event = if self.started {
            Event::Resumed { digest: self.blob.digest.clone(), from }
        } else {
            Event::Started { descriptor: self.blob.clone(), from }
        };
        self.started = true;
        self.request.progress.event(event);
    }

    /// The target found out, but it is the source that sent wrong bytes.
    fn blame(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Corrupt { source, .. } => self.source_lied(source),
            other => other,
        }
    }

    fn source_lied(&self, source: crate::Cause) -> StoreError {
        StoreError::Corrupt {
            object: self.blob.digest.to_string(),
            place: self.request.from.describe(),
            source,
        }
    }
}
