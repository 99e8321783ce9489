//! One entry out of its header block and the extension headers before it.

use crate::entry::{Device, Entry, EntryKind, Extent, Mtime};
use crate::tar::block::{Block, Dialect};
use crate::tar::pax::Pax;
use crate::tar::sparse;
use crate::{LayerRule, Limits};

/// The extension headers that precede one entry.
#[derive(Default)]
pub(super) struct Extensions {
    pub(super) long_name: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
    pub(super) pax: Option<Pax>,
}

impl Extensions {
    pub(super) fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && self.pax.is_none()
    }
}

/// Where the map of the content comes from.
pub(super) enum Map {
    /// No map: all of the content is stored.
    Plain,
    /// The headers had all of it.
    Known(Vec<Extent>),
    /// A GNU header had the first pieces; extension blocks may follow.
    Gnu { first: Vec<Extent>, more: bool },
    /// It stands before the content (PAX form 1.0).
    Before,
}

/// An entry whose content is still to be found.
pub(super) struct Assembled {
    /// The metadata, complete but for the sparse map and the offset of the content.
    pub(super) entry: Entry,
    /// Bytes that follow in the archive, without padding.
    pub(super) stored: u64,
    pub(super) map: Map,
    /// A rule that is broken without hurting how the archive is read.
    pub(super) fault: Option<LayerRule>,
}

/// Reads the header with its extensions.
pub(super) fn assemble(
    block: &Block<'_>,
    extensions: Extensions,
    offset: u64,
) -> Result<Assembled, LayerRule> {
    let dialect = block.dialect()?;
    let pax = extensions.pax.unwrap_or_default();
    let extended = pax.path.is_some() || extensions.long_name.is_some();
    let name = match (pax.sparse.name.clone(), pax.path.clone(), extensions.long_name) {
        (Some(name), ..) | (None, Some(name), _) | (None, None, Some(name)) => name,
        (None, None, None) => block.name(dialect)?,
    };
    let (kind, mut fault) = kind(block.flag(), &name, extended);
    if name.is_empty() {
        fault = fault.or(Some(LayerRule::EmptyName));
    }
    let stored = stored_size(block, &pax)?;
    if !matches!(kind, EntryKind::File) && stored != 0 {
        return Err(LayerRule::SizeOnLink);
    }
    let (map, size) = content_map(block, dialect, &pax, stored)?;
    let mut entry = Entry::new(kind, name);
    entry.size = size;
    entry.offset = offset;
    entry.mode = block.mode()?;
    entry.uid = pax.uid.map_or_else(|| block.uid(), Ok)?;
    entry.gid = pax.gid.map_or_else(|| block.gid(), Ok)?;
    entry.mtime = match pax.mtime {
        Some(mtime) => mtime,
        None => Mtime { seconds: block.mtime()?, nanos: 0 },
    };
    if matches!(kind, EntryKind::HardLink | EntryKind::Symlink) {
        entry.link = pax.link.or(extensions.long_link).unwrap_or_else(|| block.link());
        if entry.link.is_empty() {
            fault = fault.or(Some(LayerRule::EmptyName));
        }
    }
    if matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
        let (major, minor) = block.device()?;
        entry.device = Device { major, minor };
    }
    entry.xattrs = pax.xattrs;
    entry.records = pax.others;
    Ok(Assembled { entry, stored, map, fault })
}

/// What the type flag says. An unknown type is read as a file, so that its content is skipped as
/// every reader skips it, and named as a fault.
fn kind(flag: u8, name: &[u8], extended: bool) -> (EntryKind, Option<LayerRule>) {
    let slash = name.ends_with(b"/");
    match flag {
        // Before POSIX a trailing slash made a directory; where an extension gave the name,
        // readers differ in which name they look at.
        0 if slash && extended => (EntryKind::File, Some(LayerRule::SlashOnFile)),
        0 if slash => (EntryKind::Directory, None),
        b'0' | b'7' | b'S' if slash => (EntryKind::File, Some(LayerRule::SlashOnFile)),
        0 | b'0' | b'7' | b'S' => (EntryKind::File, None),
        b'1' => (EntryKind::HardLink, None),
        b'2' => (EntryKind::Symlink, None),
        b'3' => (EntryKind::CharDevice, None),
        b'4' => (EntryKind::BlockDevice, None),
        b'5' => (EntryKind::Directory, None),
        b'6' => (EntryKind::Fifo, None),
        _ => (EntryKind::File, Some(LayerRule::UnknownType)),
    }
}

/// Largest size that eleven octal digits express, in bytes.
const MAX_OCTAL_SIZE: u64 = 0o777_7777_7777;

/// The bytes that follow. A PAX size beside another one in the header moves the readers that look
/// at only one of them to another place in the stream; the one honest reason for a difference is a
/// size that the header cannot express, which writers leave at zero there.
fn stored_size(block: &Block<'_>, pax: &Pax) -> Result<u64, LayerRule> {
    let size = block.size()?;
    match pax.size {
        None => Ok(size),
        Some(stated) if stated == size => Ok(size),
        Some(stated) if size == 0 && stated > MAX_OCTAL_SIZE => Ok(stated),
        Some(_) => Err(LayerRule::SizeMismatch),
    }
}

/// The map, and the size with holes.
fn content_map(
    block: &Block<'_>,
    dialect: Dialect,
    pax: &Pax,
    stored: u64,
) -> Result<(Map, u64), LayerRule> {
    const BROKEN: LayerRule = LayerRule::SparseMap;
    let keys = &pax.sparse;
    if block.flag() == b'S' {
        if dialect != Dialect::Gnu || keys.is_present() || pax.size.is_some() {
            return Err(BROKEN);
        }
        let (pieces, more) = block.sparse();
        let mut first = Vec::new();
        sparse::put_pieces(&mut first, pieces)?;
        return Ok((Map::Gnu { first, more }, block.real_size()?));
    }
    if !keys.is_present() {
        return Ok((Map::Plain, stored));
    }
    if !matches!(block.flag(), 0 | b'0') {
        return Err(BROKEN);
    }
    match (keys.major, keys.minor) {
        (Some(1), Some(0)) if keys.map.is_empty() && keys.size.is_none() => {
            Ok((Map::Before, keys.real_size.ok_or(BROKEN)?))
        }
        (None, None) | (Some(0), Some(0 | 1)) if keys.real_size.is_none() => {
            if keys.pieces.is_some_and(|pieces| pieces != keys.map.len() as u64) {
                return Err(BROKEN);
            }
            Ok((Map::Known(keys.map.clone()), keys.size.ok_or(BROKEN)?))
        }
        _ => Err(BROKEN),
    }
}

/// The first limit that the metadata passes.
pub(super) fn over_limit(entry: &Entry, limits: &Limits) -> Option<(&'static str, u64)> {
    let depth = entry.name.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).count();
    let checks = [
        ("path", entry.name.len() as u64, limits.path),
        ("link", entry.link.len() as u64, limits.link),
        ("depth", depth as u64, limits.depth),
    ];
    checks.into_iter().find(|(_, value, limit)| value > limit).map(|(what, _, limit)| (what, limit))
}

/// What one pair of byte strings in a map takes beyond the strings: their headers, their places in
/// the allocator, and their share of a node. Without it a name of one byte would count as one.
const PAIR: usize = 128;

/// What keeping the entry takes in memory, beyond its fixed size.
pub(crate) fn metadata_bytes(entry: &Entry) -> u64 {
    let pairs = entry.xattrs.iter().chain(&entry.records);
    let attributes: usize = pairs.map(|(key, value)| key.len() + value.len() + PAIR).sum();
    let extents = entry.sparse.as_ref().map_or(0, |map| map.len() * size_of::<Extent>());
    (entry.name.len() + entry.link.len() + attributes + extents) as u64
}
