//! The stream of entries.

use std::io::{self, Read, Seek};

use crate::entry::Entry;
use crate::error::EntryPosition;
use crate::tar::assemble::{self, Assembled, Extensions, Map};
use crate::tar::block::{BLOCK, Block};
use crate::tar::content::{Content, Counts};
use crate::tar::pax::{self, PaxFault};
use crate::tar::source::{Echo, Source, over, padding, refused};
use crate::tar::sparse::{self, MapParser};
use crate::{LayerError, LayerRule, Limits};

/// Reads a tar archive from a stream: entry by entry, and the content of each through
/// [`std::io::Read`]. What is not read of a content is skipped.
///
/// Strict: an archive that two honest readers could understand differently is refused with a
/// [`LayerRule`]. After an error the reader is at an end.
///
/// ```
/// # use corten_layer::{EntryKind, Entry, Limits, Tar, TarWriter};
/// # use std::io::Read as _;
/// let mut writer = TarWriter::new(Vec::new());
/// let entry = Entry { size: 2, ..Entry::new(EntryKind::File, "hello") };
/// writer.file(&entry, b"hi".as_slice())?;
/// let archive = writer.finish()?;
///
/// let mut tar = Tar::new(archive.as_slice(), Limits::default());
/// let entry = tar.next_entry()?.expect("one entry");
/// let mut content = String::new();
/// tar.read_to_string(&mut content)?;
/// assert_eq!((entry.name.as_slice(), content.as_str()), (b"hello".as_slice(), "hi"));
/// assert!(tar.next_entry()?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tar<R> {
    source: Source<R>,
    limits: Limits,
    entries: u64,
    counts: Counts,
    current: Current,
    ended: bool,
    /// Set when faults that leave the stream readable are collected instead of refused.
    faults: Option<Vec<(EntryPosition, LayerRule)>>,
}

/// The content that is being read.
#[derive(Default)]
struct Current {
    place: Option<EntryPosition>,
    content: Content,
    padding: u64,
}

enum Step {
    Entry(Box<Entry>),
    Extension,
    End,
}

impl<R: Read + Seek> Tar<R> {
    /// Reads a plain archive from its first byte and jumps over the contents that nobody reads: to
    /// list the entries of an archive on disk takes a few bytes of each.
    pub fn seekable(source: R, limits: Limits) -> Result<Self, LayerError> {
        Ok(Self::over(Source::seekable(source)?, limits))
    }
}

impl<R: Read> Tar<R> {
    /// Reads from `source`, which must not be compressed (see [`crate::DiffReader`]).
    pub fn new(source: R, limits: Limits) -> Self {
        Self::over(Source::new(source), limits)
    }

    fn over(source: Source<R>, limits: Limits) -> Self {
        Self {
            source,
            limits,
            entries: 0,
            counts: Counts::default(),
            current: Current::default(),
            ended: false,
            faults: None,
        }
    }

    /// Like [`Tar::new`], and collects the faults after which the stream can be read on; see
    /// [`Tar::drain_faults`]. Entries of unknown type are then passed over.
    pub fn tolerant(source: R, limits: Limits) -> Self {
        Self { faults: Some(Vec::new()), ..Self::new(source, limits) }
    }

    /// The same in one, with every byte that is taken shown to `echo`.
    pub(crate) fn echoing(source: R, limits: Limits, tolerant: bool, echo: Echo) -> Self {
        let faults = tolerant.then(Vec::new);
        Self { faults, ..Self::over(Source::echoing(source, echo), limits) }
    }

    /// The faults met since the last call; always empty for a strict reader.
    pub fn drain_faults(&mut self) -> Vec<(EntryPosition, LayerRule)> {
        self.faults.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Bytes of the archive taken so far.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// The source.
    pub(crate) fn inner(&self) -> &R {
        self.source.inner()
    }

    /// The source; what was read ahead is lost.
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    /// What was not taken, with what was read ahead.
    pub(crate) fn into_rest(self) -> impl Read {
        self.source.into_rest()
    }

    /// The next entry; `None` after the end of the archive, when the source is read to its end and
    /// nothing but zeros followed.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, LayerError> {
        if self.ended {
            return Ok(None);
        }
        let result = self.advance();
        self.ended = !matches!(result, Ok(Some(_)));
        result
    }

    fn advance(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut extensions = Extensions::default();
        let mut offset = 0;
        loop {
            if extensions.is_empty() {
                // A new entry begins, perhaps after a global header or one that is passed over.
                self.skip_content()?;
                offset = self.source.position();
            }
            match self.step(&mut extensions, offset)? {
                Step::Entry(entry) => return Ok(Some(*entry)),
                Step::Extension => {}
                Step::End => return Ok(None),
            }
        }
    }

    /// Reads one header and what belongs to it.
    fn step(&mut self, extensions: &mut Extensions, offset: u64) -> Result<Step, LayerError> {
        let mut bytes = [0; BLOCK];
        let mut place = EntryPosition { name: Vec::new(), offset };
        if !self.source.block_or_end(&mut bytes, &place)? {
            self.end_of_extensions(extensions, &place)?;
            self.fault(&place, LayerRule::MissingEnd, Tolerated::Always)?;
            return Ok(Step::End);
        }
        if bytes.iter().all(|byte| *byte == 0) {
            self.end_of_extensions(extensions, &place)?;
            return self.end_of_archive(&place).map(|()| Step::End);
        }
        let block = Block::verified(&bytes).map_err(|rule| refused(&place, rule))?;
        place.name = block.dialect().and_then(|dialect| block.name(dialect)).unwrap_or_default();
        self.count_entry(&place)?;
        match block.flag() {
            b'x' | b'g' | b'L' | b'K' => {
                self.extension(&block, extensions, &place)?;
                Ok(Step::Extension)
            }
            _ => self.entry(&block, std::mem::take(extensions), &place),
        }
    }

    fn count_entry(&mut self, place: &EntryPosition) -> Result<(), LayerError> {
        self.entries += 1;
        let limit = self.limits.entries;
        if self.entries > limit { Err(over(place, "entries", limit)) } else { Ok(()) }
    }

    /// Takes in an extension header.
    fn extension(
        &mut self,
        block: &Block<'_>,
        extensions: &mut Extensions,
        place: &EntryPosition,
    ) -> Result<(), LayerError> {
        let flag = block.flag();
        let rule = |rule| refused(place, rule);
        block.dialect().map_err(rule)?;
        let (what, limit) = match flag {
            b'L' => ("path", self.limits.path.saturating_add(1)),
            b'K' => ("link", self.limits.link.saturating_add(1)),
            _ => ("pax", self.limits.pax),
        };
        let size = block.size().map_err(rule)?;
        if size > limit {
            return Err(over(place, what, limit));
        }
        // Whether PAX records reach a GNU header, and which of two names wins, differs.
        let gnu = extensions.long_name.is_some() || extensions.long_link.is_some();
        let mixed = match flag {
            b'L' | b'K' => extensions.pax.is_some(),
            b'x' => gnu,
            _ => !extensions.is_empty(),
        };
        if mixed {
            return Err(rule(LayerRule::MixedExtensions));
        }
        let bytes = self.source.payload(size, place)?;
        let repeated = match flag {
            b'L' => extensions.long_name.replace(long_name(&bytes).map_err(rule)?).is_some(),
            b'K' => extensions.long_link.replace(long_name(&bytes).map_err(rule)?).is_some(),
            b'x' => {
                let pax = pax::parse(&bytes, &self.limits).map_err(|fault| match fault {
                    PaxFault::Rule(broken) => rule(broken),
                    PaxFault::Limit(what, limit) => over(place, what, limit),
                })?;
                extensions.pax.replace(pax).is_some()
            }
            _ => {
                let harmless = pax::is_harmless_global(&bytes).map_err(rule)?;
                return if harmless { Ok(()) } else { Err(rule(LayerRule::GlobalRecord)) };
            }
        };
        if repeated { Err(rule(LayerRule::RepeatedExtension)) } else { Ok(()) }
    }

    /// Takes in an ordinary header and finds the content.
    fn entry(
        &mut self,
        block: &Block<'_>,
        extensions: Extensions,
        place: &EntryPosition,
    ) -> Result<Step, LayerError> {
        let Assembled { mut entry, mut stored, map, fault } =
            assemble::assemble(block, extensions, place.offset)
                .map_err(|rule| refused(place, rule))?;
        let place = entry.place();
        if let Some((what, limit)) = assemble::over_limit(&entry, &self.limits) {
            return Err(over(&place, what, limit));
        }
        let before = stored;
        entry.sparse = self.sparse_map(map, &mut stored, &place)?;
        if let Some(map) = &entry.sparse {
            sparse::check(map, entry.size, stored).map_err(|rule| refused(&place, rule))?;
        }
        entry.content = self.source.position();
        self.counts.add(&entry, stored, &self.limits)?;
        let content = Content::of(&entry, stored);
        self.current = Current { place: Some(place), content, padding: padding(before) };
        match fault {
            Some(rule) => {
                self.fault(&entry.place(), rule, Tolerated::WhenAsked)?;
                // Nobody could say what the entry is: its content is passed over.
                Ok(if rule == LayerRule::SlashOnFile {
                    Step::Entry(Box::new(entry))
                } else {
                    Step::Extension
                })
            }
            None => Ok(Step::Entry(Box::new(entry))),
        }
    }

    /// The map of a sparse file; what it takes of the stored bytes is subtracted from them.
    fn sparse_map(
        &mut self,
        map: Map,
        stored: &mut u64,
        place: &EntryPosition,
    ) -> Result<Option<Vec<crate::Extent>>, LayerError> {
        let rule = |rule| refused(place, rule);
        match map {
            Map::Plain => Ok(None),
            Map::Known(map) => Ok(Some(map)),
            Map::Gnu { first: mut map, mut more } => {
                while more {
                    let block = self.source.block(place)?;
                    let (pieces, again) = sparse::extension(&block);
                    sparse::put_pieces(&mut map, pieces).map_err(rule)?;
                    if map.len() as u64 > self.limits.extents {
                        return Err(over(place, "extents", self.limits.extents));
                    }
                    more = again;
                }
                Ok(Some(map))
            }
            Map::Before => {
                let mut parser = MapParser::new(&self.limits);
                loop {
                    *stored = stored
                        .checked_sub(BLOCK as u64)
                        .ok_or_else(|| rule(LayerRule::SparseMap))?;
                    let block = self.source.block(place)?;
                    if parser.take(&block).map_err(rule)? {
                        return Ok(Some(parser.into_map()));
                    }
                }
            }
        }
    }

    fn end_of_extensions(
        &self,
        extensions: &Extensions,
        place: &EntryPosition,
    ) -> Result<(), LayerError> {
        if extensions.is_empty() {
            return Ok(());
        }
        Err(refused(place, LayerRule::DanglingExtension))
    }

    /// After one zero block: another one, or the end of the source, and then only zeros.
    fn end_of_archive(&mut self, place: &EntryPosition) -> Result<(), LayerError> {
        let mut bytes = [0; BLOCK];
        if !self.source.block_or_end(&mut bytes, place)? {
            return self.fault(place, LayerRule::MissingEnd, Tolerated::Always);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            let entry = Block::verified(&bytes).is_ok();
            let rule = if entry { LayerRule::LoneZeroBlock } else { LayerRule::TrailingGarbage };
            return Err(refused(place, rule));
        }
        self.source.only_zeros(self.limits.unpacked)
    }

    /// Notes a fault, or refuses.
    fn fault(
        &mut self,
        place: &EntryPosition,
        rule: LayerRule,
        tolerated: Tolerated,
    ) -> Result<(), LayerError> {
        match (&mut self.faults, tolerated) {
            (Some(faults), _) => faults.push((place.clone(), rule)),
            (None, Tolerated::Always) => {}
            (None, Tolerated::WhenAsked) => return Err(refused(place, rule)),
        }
        Ok(())
    }

    /// Passes over a hole that comes next in the content, and returns its length.
    pub(crate) fn pass_hole(&mut self) -> u64 {
        self.current.content.pass_hole()
    }

    /// Passes over what is left of the current content.
    fn skip_content(&mut self) -> Result<(), LayerError> {
        let Current { place, content, padding } = std::mem::take(&mut self.current);
        let Some(place) = place else {
            return Ok(());
        };
        self.source.skip(content.stored().saturating_add(padding), &place)
    }
}

impl<R: Read> Read for Tar<R> {
    /// The content of the entry that [`Tar::next_entry`] returned last, with holes filled.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let source = &mut self.source;
        let taken = self.current.content.read(buffer, |part| source.read(part))?;
        taken.ok_or_else(|| {
            let entry = self.current.place.clone();
            let entry = entry.unwrap_or_else(|| self.source.here());
            LayerError::Truncated { entry }.into_io()
        })
    }
}

/// Which readers let a fault pass.
enum Tolerated {
    Always,
    WhenAsked,
}

/// The name in a GNU long-name header: NULs may stand at its end only.
fn long_name(bytes: &[u8]) -> Result<Vec<u8>, LayerRule> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let name = bytes.get(..end).unwrap_or_default();
    if name.contains(&0) {
        return Err(LayerRule::NulInName);
    }
    if name.is_empty() { Err(LayerRule::EmptyName) } else { Ok(name.to_vec()) }
}
