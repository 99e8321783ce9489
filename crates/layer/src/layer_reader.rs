//! The entries of a layer with their contents, and both digests at the end.

use std::io::{self, Read};

use corten_spec::Algorithm;

use crate::apart::{self, Next, Starter};
use crate::error::EntryPosition;
use crate::tar::{Content, Counts, stored_of};
use crate::{Compression, DiffReader, Entry, LayerError, LayerRule, Limits, Tar, Unpacked};

/// Reads a layer: entry by entry, the content of each through [`std::io::Read`], and at the end what its packed and
/// its unpacked bytes were. What is not read of a content is skipped. It is [`Tar`] over [`DiffReader`], apart where
/// [`crate::read_apart`] was called.
///
/// ```
/// # use corten_layer::{Entry, EntryKind, LayerReader, Limits, TarWriter};
/// let mut writer = TarWriter::new(Vec::new());
/// writer.entry(&Entry::new(EntryKind::File, "etc/hostname"))?;
/// let layer = writer.finish()?;
/// let mut reader = LayerReader::open(layer.as_slice(), None, Limits::default())?;
/// while let Some(entry) = reader.next_entry()? {
///     assert_eq!(entry.name, b"etc/hostname");
/// }
/// assert_eq!(reader.finish()?.unpacked_size, layer.len() as u64);
/// # Ok::<(), corten_layer::LayerError>(())
/// ```
pub struct LayerReader<R>(Form<R>);

enum Form<R> {
    Here(Box<Tar<DiffReader<R>>>),
    Apart(Box<Apart<R>>),
}

struct Apart<R> {
    reader: DiffReader<R>,
    limits: Limits,
    counts: Counts,
    /// How many faults were told, the last one among them.
    told: u64,
    current: Option<(EntryPosition, Content)>,
    faults: Vec<(EntryPosition, LayerRule)>,
    /// The entry whose content was not all there.
    cut: Option<EntryPosition>,
    ended: bool,
}

impl<R: Read> LayerReader<R> {
    /// Opens a layer; `announced` as in [`crate::Decoder::open`]. Both digests are sha256.
    pub fn open(
        packed: R,
        announced: Option<Compression>,
        limits: Limits,
    ) -> Result<Self, LayerError> {
        Self::with(packed, announced, limits, (Algorithm::Sha256, false, apart::starter()))
    }

    /// The same with the algorithm of the unpacked digest.
    pub fn with_algorithm(
        packed: R,
        limits: Limits,
        diff_id: Algorithm,
    ) -> Result<Self, LayerError> {
        Self::with(packed, None, limits, (diff_id, false, apart::starter()))
    }

    /// The same, and collects the faults after which the archive can be read on; see
    /// [`LayerReader::drain_faults`].
    pub fn tolerant(packed: R, limits: Limits) -> Result<Self, LayerError> {
        Self::with(packed, None, limits, (Algorithm::Sha256, true, apart::starter()))
    }

    pub(crate) fn with(
        packed: R,
        announced: Option<Compression>,
        limits: Limits,
        (diff_id, tolerant, starter): (Algorithm, bool, Option<Starter>),
    ) -> Result<Self, LayerError> {
        let algorithms = (Algorithm::Sha256, diff_id);
        let Some(starter) = starter else {
            let reader = DiffReader::with_algorithms(packed, announced, limits, algorithms)?;
            let tar =
                if tolerant { Tar::tolerant(reader, limits) } else { Tar::new(reader, limits) };
            return Ok(Self(Form::Here(Box::new(tar))));
        };
        let how = (starter, tolerant, limits);
        let reader = DiffReader::with_entries(packed, announced, algorithms, how)?;
        Ok(Self(Form::Apart(Box::new(Apart {
            reader,
            limits,
            counts: Counts::default(),
            told: 0,
            current: None,
            faults: Vec::new(),
            cut: None,
            ended: false,
        }))))
    }

    /// The compression that was found.
    pub fn compression(&self) -> Compression {
        match &self.0 {
            Form::Here(tar) => tar.inner().compression(),
            Form::Apart(apart) => apart.reader.compression(),
        }
    }

    /// The next entry; `None` after the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, LayerError> {
        match &mut self.0 {
            Form::Here(tar) => tar.next_entry(),
            Form::Apart(apart) => apart.next_entry(),
        }
    }

    /// The faults met since the last call; always empty for a strict reader.
    pub fn drain_faults(&mut self) -> Vec<(EntryPosition, LayerRule)> {
        match &mut self.0 {
            Form::Here(tar) => tar.drain_faults(),
            Form::Apart(apart) => std::mem::take(&mut apart.faults),
        }
    }

    /// Bytes of the archive taken so far.
    pub fn position(&self) -> u64 {
        match &self.0 {
            Form::Here(tar) => tar.position(),
            Form::Apart(apart) => apart.reader.position(),
        }
    }

    /// Reads what is left, whatever it is, and tells what the layer was.
    pub fn finish(self) -> Result<Unpacked, LayerError> {
        match self.0 {
            Form::Here(tar) => tar.into_inner().finish(),
            Form::Apart(apart) => apart.finish(),
        }
    }

    /// Passes over a hole that comes next in the content, and returns its length.
    pub(crate) fn pass_hole(&mut self) -> u64 {
        match &mut self.0 {
            Form::Here(tar) => tar.pass_hole(),
            Form::Apart(apart) => {
                apart.current.as_mut().map_or(0, |(_, content)| content.pass_hole())
            }
        }
    }
}

impl<R: Read> Read for LayerReader<R> {
    /// The content of the entry that [`LayerReader::next_entry`] returned last, with holes filled.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Form::Here(tar) => tar.read(buffer),
            Form::Apart(apart) => apart.read(buffer),
        }
    }
}

impl<R: Read> Apart<R> {
    fn next_entry(&mut self) -> Result<Option<Entry>, LayerError> {
        if self.ended {
            return Ok(None);
        }
        let result = self.advance();
        self.ended = !matches!(result, Ok(Some(_)));
        result
    }

    fn advance(&mut self) -> Result<Option<Entry>, LayerError> {
        self.current = None;
        if let Some(entry) = self.cut.take() {
            return Err(LayerError::Truncated { entry });
        }
        loop {
            self.reader.drain()?;
            match self.reader.next()? {
                Next::Entry(entry) => return self.take(*entry).map(Some),
                Next::Fault(place, rule) => {
                    self.count_fault(&place)?;
                    self.faults.push((place, rule));
                }
                Next::Failed(error) => return Err(error),
                Next::Done => return Ok(None),
            }
        }
    }

    /// Each entry has one at the most, and so has the end of the archive.
    fn count_fault(&mut self, place: &EntryPosition) -> Result<(), LayerError> {
        self.told += 1;
        let limit = self.limits.entries;
        if self.told > limit.saturating_add(1) {
            return Err(LayerError::Limit { entry: place.clone(), what: "entries", limit });
        }
        Ok(())
    }

    /// Takes an entry, held against what is known here.
    fn take(&mut self, entry: Entry) -> Result<Entry, LayerError> {
        let stored = stored_of(&entry).filter(|_| entry.content == self.reader.position());
        let stored = stored.ok_or_else(apart::nonsense)?;
        self.counts.add(&entry, stored, &self.limits)?;
        self.current = Some((entry.place(), Content::of(&entry, stored)));
        Ok(entry)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((place, content)) = self.current.as_mut().filter(|_| !buffer.is_empty()) else {
            return Ok(0);
        };
        let reader = &mut self.reader;
        if let Some(taken) = content.read(buffer, |part| reader.read(part))? {
            return Ok(taken);
        }
        let error = match self.reader.next() {
            Ok(Next::Failed(error)) | Err(error) => error,
            Ok(_) => LayerError::Truncated { entry: place.clone() },
        };
        // Who goes on all the same is told again.
        self.cut = Some(place.clone());
        Err(error.into_io())
    }

    fn finish(mut self) -> Result<Unpacked, LayerError> {
        loop {
            self.reader.drain()?;
            match self.reader.next()? {
                Next::Done => return self.reader.finish(),
                Next::Failed(error @ (LayerError::Corrupt { .. } | LayerError::Read(_))) => {
                    return Err(error);
                }
                Next::Entry(entry) => self.take(*entry).map(drop)?,
                Next::Fault(place, _) => self.count_fault(&place)?,
                Next::Failed(_) => {}
            }
        }
    }
}
