//! Taking blocks from the stream, with the position kept.

use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};

use crate::error::EntryPosition;
use crate::tar::block::BLOCK;
use crate::{LayerError, LayerRule};

/// Bytes read at once.
const READ_AHEAD: usize = 128 * 1024;

/// Bytes read at once where contents are jumped over: a few headers.
const READ_BETWEEN_JUMPS: usize = 4 * 1024;

/// Sees every byte that is taken from the stream, in order.
pub(crate) type Echo = Box<dyn FnMut(&[u8]) -> io::Result<()>>;

/// A stream of blocks.
pub(super) struct Source<R> {
    stream: BufReader<R>,
    position: u64,
    jump: Option<Jump<R>>,
    echo: Option<Echo>,
}

/// How a source that can seek passes over bytes.
struct Jump<R> {
    forward: fn(&mut BufReader<R>, i64) -> io::Result<()>,
    /// Where the source ends: a seek beyond it would go unnoticed.
    end: u64,
}

impl<R: Read + Seek> Source<R> {
    /// Reads from the start of `stream`, and jumps over what is skipped.
    pub(super) fn seekable(mut stream: R) -> Result<Self, LayerError> {
        let end = stream.seek(SeekFrom::End(0)).map_err(LayerError::from_io)?;
        stream.rewind().map_err(LayerError::from_io)?;
        let stream = BufReader::with_capacity(READ_BETWEEN_JUMPS, stream);
        let jump = Some(Jump { forward: BufReader::seek_relative, end });
        Ok(Self { stream, position: 0, jump, echo: None })
    }
}

impl<R: Read> Source<R> {
    pub(super) fn new(stream: R) -> Self {
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        Self { stream, position: 0, jump: None, echo: None }
    }

    /// The same, with all that is taken shown to `echo`.
    pub(super) fn echoing(stream: R, echo: Echo) -> Self {
        Self { echo: Some(echo), ..Self::new(stream) }
    }

    /// Bytes taken so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The place that has no name yet.
    pub(super) fn here(&self) -> EntryPosition {
        EntryPosition { name: Vec::new(), offset: self.position }
    }

    pub(super) fn inner(&self) -> &R {
        self.stream.get_ref()
    }

    pub(super) fn into_inner(self) -> R {
        self.stream.into_inner()
    }

    /// What was not taken.
    pub(super) fn into_rest(self) -> impl Read {
        self.stream
    }

    fn echo(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.echo.as_mut().map_or(Ok(()), |echo| echo(bytes))
    }

    /// Reads as [`Read::read`] does.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.stream.read(buffer)?;
        self.position = self.position.saturating_add(taken as u64);
        self.echo(buffer.get(..taken).unwrap_or_default())?;
        Ok(taken)
    }

    /// Passes over `left` bytes without copying them.
    pub(super) fn skip(&mut self, mut left: u64, place: &EntryPosition) -> Result<(), LayerError> {
        if let Some(jump) = &self.jump
            && left > self.stream.buffer().len() as u64
        {
            let target = self.position.saturating_add(left);
            let distance = i64::try_from(left).ok().filter(|_| target <= jump.end);
            let Some(distance) = distance else {
                return Err(LayerError::Truncated { entry: place.clone() });
            };
            (jump.forward)(&mut self.stream, distance).map_err(LayerError::from_io)?;
            self.position = target;
            return Ok(());
        }
        while left > 0 {
            let available = self.available()?.len();
            if available == 0 {
                return Err(LayerError::Truncated { entry: place.clone() });
            }
            let taken = available.min(usize::try_from(left).unwrap_or(available));
            self.consume(taken)?;
            left -= taken as u64;
        }
        Ok(())
    }

    /// Reads to the end of the stream and refuses everything but zeros, and more than `limit` bytes
    /// in all.
    pub(super) fn only_zeros(&mut self, limit: u64) -> Result<(), LayerError> {
        loop {
            let buffer = self.available()?;
            let taken = buffer.len();
            if taken == 0 {
                return Ok(());
            }
            if buffer.iter().any(|byte| *byte != 0) {
                return Err(refused(&self.here(), LayerRule::TrailingGarbage));
            }
            self.consume(taken)?;
            if self.position > limit {
                return Err(over(&self.here(), "unpacked", limit));
            }
        }
    }

    /// The payload of an extension header and its padding; the caller checked `size` against a
    /// limit. Memory grows with what comes, not with what was announced.
    pub(super) fn payload(
        &mut self,
        size: u64,
        place: &EntryPosition,
    ) -> Result<Vec<u8>, LayerError> {
        let mut bytes = Vec::new();
        (&mut self.stream).take(size).read_to_end(&mut bytes).map_err(LayerError::from_io)?;
        self.position = self.position.saturating_add(bytes.len() as u64);
        self.echo(&bytes).map_err(LayerError::from_io)?;
        if (bytes.len() as u64) < size {
            return Err(LayerError::Truncated { entry: place.clone() });
        }
        self.skip(padding(size), place)?;
        Ok(bytes)
    }

    /// One whole block.
    pub(super) fn block(&mut self, place: &EntryPosition) -> Result<[u8; BLOCK], LayerError> {
        let mut bytes = [0; BLOCK];
        if self.fill(&mut bytes)? {
            return Ok(bytes);
        }
        Err(LayerError::Truncated { entry: place.clone() })
    }

    /// A block, or false at the end of the stream. A part of a block is an error, unless it is all
    /// zeros: an end that was cut.
    pub(super) fn block_or_end(
        &mut self,
        bytes: &mut [u8; BLOCK],
        place: &EntryPosition,
    ) -> Result<bool, LayerError> {
        let before = self.position;
        if self.fill(bytes)? {
            return Ok(true);
        }
        if self.position == before || bytes.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        Err(LayerError::Truncated { entry: place.clone() })
    }

    /// Fills `bytes`; false when the stream ended before.
    fn fill(&mut self, mut bytes: &mut [u8]) -> Result<bool, LayerError> {
        while !bytes.is_empty() {
            match self.read(bytes) {
                Ok(0) => return Ok(false),
                Ok(taken) => bytes = bytes.get_mut(taken..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::from_io(error)),
            }
        }
        Ok(true)
    }

    fn available(&mut self) -> Result<&[u8], LayerError> {
        // A buffer cannot be returned out of a loop that fills it again; the second call is free.
        loop {
            match self.stream.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::from_io(error)),
            }
        }
        Ok(self.stream.buffer())
    }

    fn consume(&mut self, taken: usize) -> Result<(), LayerError> {
        if let Some(echo) = &mut self.echo {
            let bytes = self.stream.buffer().get(..taken).unwrap_or_default();
            echo(bytes).map_err(LayerError::from_io)?;
        }
        self.stream.consume(taken);
        self.position = self.position.saturating_add(taken as u64);
        Ok(())
    }
}

/// A refusal at `place`.
pub(super) fn refused(place: &EntryPosition, rule: LayerRule) -> LayerError {
    LayerError::Refused { entry: place.clone(), rule }
}

/// A limit passed at `place`.
pub(super) fn over(place: &EntryPosition, what: &'static str, limit: u64) -> LayerError {
    LayerError::Limit { entry: place.clone(), what, limit }
}

/// Bytes that fill the last block of `size` bytes.
pub(super) fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}
