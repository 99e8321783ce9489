//! Looking a layer through for everything that is wrong with it, without stopping at the first.

use std::collections::BTreeSet;
use std::io::{self, Read};

use crate::error::EntryPosition;
use crate::{
    Compression, Entry, EntryKind, LayerError, LayerReader, LayerRule, Limits, TreePath, Unpacked,
    Whiteout,
};

/// Most problems that are kept; more are counted.
pub const MAX_PROBLEMS: usize = 1000;

/// One rule broken at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The entry, where the problem belongs to one; its name is empty otherwise.
    pub place: EntryPosition,
    /// The rule.
    pub rule: LayerRule,
}

/// What a layer is and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Digests and sizes; `None` when the compressed stream is damaged or a limit was passed, so
    /// that the end was not reached.
    pub unpacked: Option<Unpacked>,
    /// Entries that were read.
    pub entries: u64,
    /// What is wrong, in the order of the archive; at the most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub omitted: u64,
}

/// Reads a whole layer. Problems are values; an error is only what keeps the layer from being read
/// at all: a source that fails ([`LayerError::Read`]).
///
/// When the archive is broken so that no further entry can be found, the rest is still read for its
/// digests. `announced` is what the media type says; another compression is a problem and the found
/// one is used.
///
/// ```
/// # use corten_layer::{Entry, EntryKind, LayerRule, Limits, TarWriter, audit};
/// let mut writer = TarWriter::new(Vec::new());
/// writer.entry(&Entry::new(EntryKind::File, "etc/.wh."))?;
/// let audit = audit(writer.finish()?.as_slice(), None, Limits::default())?;
/// assert_eq!(audit.problems[0].rule, LayerRule::BareWhiteout);
/// assert!(audit.unpacked.is_some());
/// # Ok::<(), corten_layer::LayerError>(())
/// ```
pub fn audit(
    packed: impl Read,
    announced: Option<Compression>,
    limits: Limits,
) -> Result<Audit, LayerError> {
    audit_each(packed, announced, limits, &mut |_| {})
}

/// The same, and shows every entry that could be read to `each`.
pub fn audit_each(
    packed: impl Read,
    announced: Option<Compression>,
    limits: Limits,
    each: &mut dyn FnMut(&Entry),
) -> Result<Audit, LayerError> {
    let mut auditor = Auditor::new();
    let mut reader = LayerReader::tolerant(packed, limits)?;
    if announced.is_some_and(|announced| announced != reader.compression()) {
        auditor.note(nowhere(0), LayerRule::CompressionMismatch);
    }
    let ended = auditor.entries(&mut reader, each);
    let position = reader.position();
    let unpacked = match ended {
        Ok(()) => reader.finish().map(Some),
        Err(error) => {
            let readable = !matches!(error, LayerError::Corrupt { .. } | LayerError::Limit { .. });
            auditor.note_error(error, position)?;
            if readable { reader.finish().map(Some) } else { Ok(None) }
        }
    };
    let unpacked = match unpacked {
        Ok(unpacked) => unpacked,
        Err(error) => {
            auditor.note_error(error, position)?;
            None
        }
    };
    let Auditor { entries, problems, omitted, .. } = auditor;
    Ok(Audit { unpacked, entries, problems, omitted })
}

/// What has been seen so far.
struct Auditor {
    entries: u64,
    problems: Vec<Problem>,
    omitted: u64,
    paths: BTreeSet<TreePath>,
    /// Paths that are no directories.
    leaves: BTreeSet<TreePath>,
    directories: BTreeSet<TreePath>,
}

impl Auditor {
    fn new() -> Self {
        Self {
            entries: 0,
            problems: Vec::new(),
            omitted: 0,
            paths: BTreeSet::new(),
            leaves: BTreeSet::new(),
            directories: BTreeSet::new(),
        }
    }

    fn note(&mut self, place: EntryPosition, rule: LayerRule) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { place, rule });
        } else {
            self.omitted += 1;
        }
    }

    /// Turns an error about the layer into a problem; an error of the source stays one.
    fn note_error(&mut self, error: LayerError, position: u64) -> Result<(), LayerError> {
        match error {
            LayerError::Refused { entry, rule } => self.note(entry, rule),
            LayerError::Limit { entry, .. } => self.note(entry, LayerRule::LimitExceeded),
            LayerError::Truncated { entry } => self.note(entry, LayerRule::Truncated),
            LayerError::Corrupt { .. } => self.note(nowhere(position), LayerRule::CompressedStream),
            other => return Err(other),
        }
        Ok(())
    }

    fn entries(
        &mut self,
        reader: &mut LayerReader<impl Read>,
        each: &mut dyn FnMut(&Entry),
    ) -> Result<(), LayerError> {
        loop {
            let next = reader.next_entry();
            for (place, rule) in reader.drain_faults() {
                self.note(place, rule);
            }
            let Some(entry) = next? else {
                return Ok(());
            };
            self.entries += 1;
            each(&entry);
            for rule in self.judge(&entry) {
                self.note(entry.place(), rule);
            }
        }
    }

    /// The rules of a layer that the entry breaks.
    fn judge(&mut self, entry: &Entry) -> Vec<LayerRule> {
        let mut broken = Vec::new();
        if entry.name.starts_with(b"/") {
            broken.push(LayerRule::AbsolutePath);
        }
        if entry.sparse.is_some() {
            broken.push(LayerRule::SparseEntry);
        }
        if entry.xattrs.keys().any(|name| is_overlay_xattr(name)) {
            broken.push(LayerRule::OverlayXattr);
        }
        let path = match entry.path() {
            Ok(path) => path,
            Err(rule) => {
                broken.push(rule);
                return broken;
            }
        };
        if entry.kind == EntryKind::HardLink {
            broken.extend(self.judge_link(entry));
        }
        match Whiteout::of(&path) {
            Ok(None) => {
                broken.extend(entry.check_device().err());
                broken.extend(self.judge_place(entry, &path));
            }
            Ok(Some(whiteout)) => broken.extend(judge_whiteout(entry, &whiteout)),
            Err(rule) => broken.push(rule),
        }
        if !self.paths.insert(path) {
            broken.push(LayerRule::DuplicatePath);
        }
        broken
    }

    /// Whether the entry can stand where it stands.
    fn judge_place(&mut self, entry: &Entry, path: &TreePath) -> Option<LayerRule> {
        let is_directory = entry.kind == EntryKind::Directory;
        if path.is_root() {
            return (!is_directory).then_some(LayerRule::RootNotDirectory);
        }
        let blocked = path.ancestors().any(|above| self.leaves.contains(&above));
        if is_directory {
            self.leaves.remove(path);
            self.directories.insert(path.clone());
        } else {
            self.directories.remove(path);
            self.leaves.insert(path.clone());
        }
        blocked.then_some(LayerRule::BelowNonDirectory)
    }

    /// A hard link must name a file of the same archive that came before; whether lower layers have
    /// one cannot be seen here, and engines differ in whether they would find it.
    fn judge_link(&self, entry: &Entry) -> Option<LayerRule> {
        match entry.link_path() {
            Err(rule) => Some(rule),
            Ok(target) if self.leaves.contains(&target) => None,
            Ok(target) if target.is_root() || self.directories.contains(&target) => {
                Some(LayerRule::HardlinkToDirectory)
            }
            Ok(_) => Some(LayerRule::HardlinkTarget),
        }
    }
}

fn judge_whiteout(entry: &Entry, whiteout: &Whiteout) -> Option<LayerRule> {
    match whiteout {
        Whiteout::Reserved => Some(LayerRule::ReservedWhiteout),
        _ if entry.kind != EntryKind::File => Some(LayerRule::WhiteoutNotRegular),
        _ if entry.size > 0 => Some(LayerRule::WhiteoutNotEmpty),
        _ => None,
    }
}

/// Whether overlay filesystems give the attribute a meaning of their own.
pub(crate) fn is_overlay_xattr(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

fn nowhere(offset: u64) -> EntryPosition {
    EntryPosition { name: Vec::new(), offset }
}

/// Lists the entries of one layer, checked to its end: a convenience over
/// [`LayerReader`]. `each` may stop the listing with an error of its own.
pub fn list(
    packed: impl Read,
    announced: Option<Compression>,
    limits: Limits,
    mut each: impl FnMut(Entry) -> io::Result<()>,
) -> Result<Unpacked, LayerError> {
    let mut reader = LayerReader::open(packed, announced, limits)?;
    while let Some(entry) = reader.next_entry()? {
        each(entry).map_err(LayerError::from_write)?;
    }
    reader.finish()
}
