//! Reading an index without the kernel: what [`super::write`] makes and nothing else. It says what a
//! mount would show, for tests and for the check of a store; hostile bytes are refused.

use corten_layer::{Attributes, Device, EntryKind, Mtime};

use crate::erofs::ErofsError;
use crate::erofs::checksum::crc32c;
use crate::erofs::layout::{
    BLOCK, BLOCK_BITS, BLOCK_LEN, CHUNK_BITS, CHUNK_INDEX, CHUNK_INDEXES, CHUNKS, COMPATIBLE,
    DIRENT, FLAT, HOLE, INCOMPATIBLE, INLINE, INODE, LINK, MAGIC, MAX_DEVICES, NAME, NID_UNIT,
    SLOT, SLOTS, SUPER, TAG, align, kind, meta, types, unpack_device,
};
use crate::erofs::xattr::{HEADER, PREFIXES};

/// An index in memory.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    meta: u64,
    root: u64,
    inodes: u64,
    uuid: [u8; 16],
    devices: usize,
}

/// A file as the index tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Its number, the same for all its names.
    pub nid: u64,
    /// What it is; never a hard link.
    pub kind: EntryKind,
    /// Twelve bits of mode.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change.
    pub mtime: Mtime,
    /// Bytes of its content, its target or its table of names.
    pub size: u64,
    /// How many links there are to it.
    pub links: u32,
    /// Device numbers; 0,0 for everything but devices.
    pub device: Device,
    format: u16,
    word: u32,
    attributes: u64,
    offset: u64,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirent {
    /// The name.
    pub name: Vec<u8>,
    /// The number of its inode.
    pub nid: u64,
    /// What the directory says it is.
    pub kind: EntryKind,
}

/// A run of a content and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Where in the file it begins, in bytes.
    pub file: u64,
    /// How many bytes it has.
    pub length: u64,
    /// The device, from 1, and the byte there; `None` for a hole.
    pub source: Option<(u16, u64)>,
}

fn corrupt(what: &'static str, offset: u64) -> ErofsError {
    ErofsError::Corrupt { what, offset }
}

impl<'a> Reader<'a> {
    /// Takes in `bytes`, a whole index, and checks its superblock.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ErofsError> {
        let mut reader = Self { bytes, meta: 0, root: 0, inodes: 0, uuid: [0; 16], devices: 0 };
        let mut block = reader.slice(SUPER, BLOCK)?.to_vec();
        let sum = reader.u32(SUPER + 4)?;
        block.get_mut(4..8).unwrap_or_default().fill(0);
        if reader.u32(SUPER)? != MAGIC {
            return Err(corrupt("another magic number", SUPER));
        }
        if crc32c(&block) != sum {
            return Err(corrupt("a wrong checksum", SUPER + 4));
        }
        let features = [(8, COMPATIBLE), (80, INCOMPATIBLE)];
        for (at, wanted) in features {
            if reader.u32(SUPER + at)? != wanted {
                return Err(corrupt("other features", SUPER + at));
            }
        }
        if u32::from(reader.u16(SUPER + 12)?) != BLOCK_BITS {
            return Err(corrupt("another size of blocks", SUPER + 12));
        }
        reader.root = u64::from(reader.u16(SUPER + 14)?);
        reader.inodes = reader.u64(SUPER + 16)?;
        let blocks = u64::from(reader.u32(SUPER + 36)?);
        if blocks * BLOCK != bytes.len() as u64 {
            return Err(corrupt("another length", SUPER + 36));
        }
        reader.meta = u64::from(reader.u32(SUPER + 40)?) * BLOCK;
        reader.uuid = reader.slice(SUPER + 48, 16)?.try_into().unwrap_or_default();
        reader.devices = usize::from(reader.u16(SUPER + 86)?);
        let slots = u64::from(reader.u16(SUPER + 88)?) * SLOT;
        let laid_out = slots == SLOTS && reader.meta == meta(reader.devices);
        if !laid_out || reader.devices > MAX_DEVICES {
            return Err(corrupt("a strange table of devices", SUPER + 86));
        }
        reader.slice(SLOTS, reader.meta.saturating_sub(SLOTS))?;
        Ok(reader)
    }

    /// The identity of the volume.
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// How many inodes it says to have.
    pub fn inodes(&self) -> u64 {
        self.inodes
    }

    /// The devices in their order: the tag, which is the digest of an archive in hexadecimal, and
    /// the size in blocks of 512 bytes.
    pub fn devices(&self) -> Result<Vec<(Vec<u8>, u64)>, ErofsError> {
        let slots = (0..self.devices as u64).map(|slot| SLOTS + slot * SLOT);
        slots
            .map(|at| {
                let tag = self.slice(at, TAG as u64)?;
                let tag = tag.split(|byte| *byte == 0).next().unwrap_or_default();
                Ok((tag.to_vec(), u64::from(self.u32(at + TAG as u64)?)))
            })
            .collect()
    }

    /// The root directory.
    pub fn root(&self) -> Result<Inode, ErofsError> {
        self.inode(self.root)
    }

    /// The inode with this number.
    pub fn inode(&self, nid: u64) -> Result<Inode, ErofsError> {
        let offset = nid.checked_mul(NID_UNIT).and_then(|at| at.checked_add(self.meta));
        let offset = offset.ok_or_else(|| corrupt("a number of an inode outside", nid))?;
        self.slice(offset, INODE)?;
        let mode = self.u16(offset + 4)?;
        let kind = kind(mode).ok_or_else(|| corrupt("an unknown type of file", offset + 4))?;
        let word = self.u32(offset + 16)?;
        let device = match kind {
            EntryKind::CharDevice | EntryKind::BlockDevice => unpack_device(word),
            _ => Device::default(),
        };
        let (seconds, nanos) = (self.u64(offset + 32)?.cast_signed(), self.u32(offset + 40)?);
        if nanos >= 1_000_000_000 {
            return Err(corrupt("a second of too many nanoseconds", offset + 40));
        }
        let count = u64::from(self.u16(offset + 2)?);
        let inode = Inode {
            nid,
            kind,
            mode: u32::from(mode & 0o7777),
            uid: self.u32(offset + 24)?,
            gid: self.u32(offset + 28)?,
            mtime: Mtime { seconds, nanos },
            size: self.u64(offset + 8)?,
            links: self.u32(offset + 44)?,
            device,
            format: self.u16(offset)?,
            word,
            attributes: if count == 0 { 0 } else { HEADER as u64 + 4 * (count - 1) },
            offset,
        };
        self.slice(offset + INODE, inode.attributes)?;
        let formats: &[u16] = match kind {
            EntryKind::File => &[FLAT, CHUNKS],
            EntryKind::Directory | EntryKind::Symlink => &[FLAT, INLINE],
            _ => &[FLAT],
        };
        if !formats.contains(&inode.format) {
            return Err(corrupt("an unknown format of an inode", offset));
        }
        let sized =
            inode.format == CHUNKS || matches!(kind, EntryKind::Directory | EntryKind::Symlink);
        if sized == (inode.size == 0) || i64::try_from(inode.size).is_err() {
            return Err(corrupt("a strange size", offset + 8));
        }
        Ok(inode)
    }

    /// The attributes of a file, by their names.
    pub fn xattrs(&self, inode: &Inode) -> Result<Attributes, ErofsError> {
        let mut attributes = Attributes::new();
        let start = inode.offset + INODE;
        if inode.attributes == 0 {
            return Ok(attributes);
        }
        if self.slice(start, HEADER as u64)?.iter().any(|byte| *byte != 0) {
            return Err(corrupt("a strange header of attributes", start));
        }
        let (mut at, end) = (start + HEADER as u64, start + inode.attributes);
        while at < end {
            let [name_length, index] = self.u16(at)?.to_le_bytes();
            let value_length = u64::from(self.u16(at + 2)?);
            let name_end = at + 4 + u64::from(name_length);
            let next = align(name_end + value_length, 4);
            let prefix = PREFIXES.iter().find(|(_, known)| *known == index);
            let prefix = prefix.ok_or_else(|| corrupt("an unknown kind of attribute", at))?.0;
            if next > end || prefix.ends_with(b".") == (name_length == 0) {
                return Err(corrupt("a strange attribute", at));
            }
            let name = [prefix, self.slice(at + 4, u64::from(name_length))?].concat();
            if attributes.insert(name, self.slice(name_end, value_length)?.to_vec()).is_some() {
                return Err(corrupt("an attribute twice", at));
            }
            at = next;
        }
        Ok(attributes)
    }

    /// The target of a symbolic link.
    pub fn link(&self, inode: &Inode) -> Result<Vec<u8>, ErofsError> {
        if inode.kind != EntryKind::Symlink || inode.size > LINK {
            return Err(corrupt("no symbolic link", inode.offset));
        }
        let (blocks, tail) = self.data(inode)?;
        let target = [blocks, tail].concat();
        if target.contains(&0) {
            Err(corrupt("a NUL in a target", inode.offset))
        } else {
            Ok(target)
        }
    }

    /// The names in a directory, in their order, without `.` and `..`, which must be there and name
    /// the directory itself and `parent`.
    pub fn entries(&self, inode: &Inode, parent: u64) -> Result<Vec<Dirent>, ErofsError> {
        if inode.kind != EntryKind::Directory {
            return Err(corrupt("no directory", inode.offset));
        }
        let (blocks, tail) = self.data(inode)?;
        let mut names = Vec::new();
        for block in blocks.chunks(BLOCK_LEN).chain((!tail.is_empty()).then_some(tail)) {
            dirents(block, &mut names).ok_or_else(|| corrupt("a strange name", inode.offset))?;
        }
        if !names.is_sorted_by(|a, b| a.name < b.name) {
            return Err(corrupt("names out of order", inode.offset));
        }
        for (dots, nid) in [(b"..".as_slice(), parent), (b".", inode.nid)] {
            let found = names.binary_search_by(|entry| entry.name.as_slice().cmp(dots));
            let found = found.ok().map(|at| names.remove(at));
            if found.is_none_or(|it| it.nid != nid || it.kind != EntryKind::Directory) {
                return Err(corrupt("a directory without its dots", inode.offset));
            }
        }
        Ok(names)
    }

    /// Where the content of a regular file comes from; neighbours from one place are joined.
    pub fn extents(&self, inode: &Inode) -> Result<Vec<Mapped>, ErofsError> {
        if inode.kind != EntryKind::File {
            return Err(corrupt("no regular file", inode.offset));
        }
        let mut extents: Vec<Mapped> = Vec::new();
        if inode.format != CHUNKS {
            return Ok(extents);
        }
        if inode.word & !(CHUNK_BITS | CHUNK_INDEXES) != 0 || inode.word & CHUNK_INDEXES == 0 {
            return Err(corrupt("an unknown format of chunks", inode.offset + 16));
        }
        let step = BLOCK << (inode.word & CHUNK_BITS);
        let start = align(inode.offset + INODE + inode.attributes, CHUNK_INDEX);
        let count = inode.size.div_ceil(step);
        self.slice(start, count.saturating_mul(CHUNK_INDEX))?;
        for chunk in 0..count {
            let at = start + chunk * CHUNK_INDEX;
            let file = chunk * step;
            let length = step.min(inode.size - file);
            let source = self.chunk(at, length)?;
            match extents.last_mut() {
                Some(last) if follows(last, source) => last.length += length,
                _ => extents.push(Mapped { file, length, source }),
            }
        }
        Ok(extents)
    }

    /// The place of the chunk whose index stands at `at`.
    fn chunk(&self, at: u64, length: u64) -> Result<Option<(u16, u64)>, ErofsError> {
        let (high, device, block) = (self.u16(at)?, self.u16(at + 2)?, self.u32(at + 4)?);
        let known = (1..=self.devices).contains(&usize::from(device));
        if high != 0 || !known {
            return Err(corrupt("a chunk of no device", at));
        }
        if block == HOLE {
            return Ok(None);
        }
        let blocks = self.u32(SLOTS + (u64::from(device) - 1) * SLOT + TAG as u64)?;
        if u64::from(block) + length.div_ceil(BLOCK) > u64::from(blocks) {
            return Err(corrupt("a chunk outside its device", at));
        }
        Ok(Some((device, u64::from(block) * BLOCK)))
    }

    /// The data of a directory or link: that in blocks, and that behind the inode.
    fn data(&self, inode: &Inode) -> Result<(&'a [u8], &'a [u8]), ErofsError> {
        let inline = inode.format == INLINE;
        let tail = if inline { inode.size % BLOCK } else { 0 };
        let tail_at = inode.offset + INODE + inode.attributes;
        if inline && (tail == 0 || inode.offset / BLOCK != (tail_at + tail - 1) / BLOCK) {
            return Err(corrupt("an inode across blocks", inode.offset));
        }
        let blocks = self.slice(u64::from(inode.word) * BLOCK, inode.size - tail)?;
        Ok((blocks, self.slice(tail_at, tail)?))
    }

    fn slice(&self, at: u64, length: u64) -> Result<&'a [u8], ErofsError> {
        let range = usize::try_from(at).ok().zip(usize::try_from(length).ok());
        range
            .and_then(|(at, length)| self.bytes.get(at..at.checked_add(length)?))
            .ok_or_else(|| corrupt("it ends too early", at))
    }

    fn number<const N: usize>(&self, at: u64) -> Result<[u8; N], ErofsError> {
        let bytes = self.slice(at, N as u64)?;
        bytes.try_into().map_err(|_| corrupt("it ends too early", at))
    }

    fn u16(&self, at: u64) -> Result<u16, ErofsError> {
        self.number(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: u64) -> Result<u32, ErofsError> {
        self.number(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: u64) -> Result<u64, ErofsError> {
        self.number(at).map(u64::from_le_bytes)
    }
}

/// Whether a run from `source` goes on where `last` ends.
fn follows(last: &Mapped, source: Option<(u16, u64)>) -> bool {
    match (last.source, source) {
        (None, None) => true,
        (Some((a, at)), Some((b, next))) => a == b && at + last.length == next,
        _ => false,
    }
}

/// The names of one block of a directory.
fn dirents(block: &[u8], names: &mut Vec<Dirent>) -> Option<()> {
    let offset = |index: usize| {
        let at = index.checked_mul(DIRENT)?.checked_add(8)?;
        let bytes = block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(usize::from(u16::from_le_bytes(bytes)))
    };
    let first = offset(0)?;
    let count = first / DIRENT;
    if count == 0 || first % DIRENT != 0 {
        return None;
    }
    for index in 0..count {
        let start = offset(index)?;
        let last = index + 1 == count;
        let name = block.get(start..if last { block.len() } else { offset(index + 1)? })?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let (name, rest) = name.split_at_checked(end)?;
        let legal = !name.is_empty() && name.len() <= NAME && !name.contains(&b'/');
        if !legal || (!last && !rest.is_empty()) || rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        let record = block.get(index * DIRENT..)?;
        let nid = u64::from_le_bytes(record.get(..8)?.try_into().ok()?);
        let kind = file_type(*record.get(10)?)?;
        names.push(Dirent { name: name.to_vec(), nid, kind });
    }
    Some(())
}

/// What the type of a directory entry stands for.
fn file_type(byte: u8) -> Option<EntryKind> {
    let modes = [0o100_000, 0o040_000, 0o020_000, 0o060_000, 0o010_000, 0o120_000];
    modes.into_iter().filter_map(kind).find(|kind| types(*kind).1 == byte)
}
