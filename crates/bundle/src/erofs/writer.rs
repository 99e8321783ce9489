//! The second pass: the bytes, from the first to the last; only the superblock and the root's inode
//! are put in when all others stand.

use std::io::{BufWriter, Seek, SeekFrom, Write};

use corten_layer::{EntryKind, Merged};
use corten_spec::{Algorithm, Digest, Hasher};

use crate::erofs::ErofsError;
use crate::erofs::aside::Aside;
use crate::erofs::checksum::crc32c;
use crate::erofs::content::{self, Content};
use crate::erofs::dirents::Dirents;
use crate::erofs::layout::{
    BLOCK, BLOCK_LEN, BLOCK_SHIFT, CHUNK_INDEX, CHUNK_INDEXES, CHUNKS, COMPATIBLE, FLAT,
    INCOMPATIBLE, INLINE, InodeRecord, MAGIC, MAX_DEVICE, MAX_DEVICES, NID_UNIT, ROOT_NID,
    SLOT_LEN, SLOTS, SLOTS_AT, SUPER, TAG, align, pack_device, types,
};
use crate::erofs::plan::{
    Placement, Plan, Shape, aside_shape, attributes, directory_shape, head, root_offset,
};
use crate::erofs::walk::{Named, Pass, walk};
use crate::erofs::xattr::Encoded;

/// The plain archive of a layer, of which the index maps the contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, to stand in the index for whoever looks at one alone.
    pub digest: Option<Digest>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// Files of the tree, whatever their names.
    pub inodes: u64,
    /// Bytes of the index.
    pub bytes: u64,
    /// The identity of the volume: the beginning of the sha256 of its content.
    pub uuid: [u8; 16],
    /// Contents that the aside file must hold; see [`super::write_aside`].
    pub aside: Vec<Aside>,
    /// Length of the aside file in bytes, a multiple of 4096; 0 when none is needed.
    pub aside_bytes: u64,
    /// Attributes of overlay that were escaped, so that an overlay on top does not obey them.
    pub escaped: u64,
    /// Attributes left out because no file system of the kernel takes their names.
    pub dropped: u64,
}

/// Writes the index of `tree` to `out` from its start. `devices` are the plain archives of the
/// layers, the base first, as many as the tree has layers. The same tree makes the same bytes.
///
/// Beside the tree about 8 bytes per file are held, and the names of the directories on one path.
pub fn write<W: Write + Seek>(
    tree: &Merged,
    devices: &[DeviceInfo],
    out: &mut W,
) -> Result<Indexed, ErofsError> {
    let counted = ErofsError::Devices { layers: tree.layers(), devices: devices.len() };
    if tree.layers() != devices.len() || devices.len() >= MAX_DEVICES {
        return Err(counted);
    }
    if let Some(root) = tree.iter().next()
        && devices.iter().any(|device| device.size > MAX_DEVICE)
    {
        let (path, what) = (root.0.clone(), "an archive");
        return Err(ErofsError::Limit { path, what, limit: MAX_DEVICE });
    }
    let plan = Plan::of(tree, devices)?;
    let mut all = devices.to_vec();
    if plan.aside_bytes > 0 {
        all.push(DeviceInfo { size: plan.aside_bytes, digest: None });
    }
    let out = Output { out: BufWriter::with_capacity(1 << 17, out), at: 0, hasher: hasher() };
    let mut emit = Emit { plan: &plan, devices, out, number: 0, asides: 0, root: None };
    emit.slots(&all)?;
    emit.out.pad_to(plan.first())?;
    walk(tree, &mut emit)?;
    emit.finish(&all).map(|(bytes, uuid)| Indexed {
        inodes: plan.inodes,
        bytes,
        uuid,
        aside_bytes: plan.aside_bytes,
        escaped: plan.escaped,
        dropped: plan.dropped,
        aside: plan.asides,
    })
}

fn hasher() -> Hasher {
    Hasher::new(Algorithm::Sha256)
}

/// The target, hashed as it is written.
struct Output<W: Write + Seek> {
    out: BufWriter<W>,
    at: u64,
    hasher: Hasher,
}

impl<W: Write + Seek> Output<W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ErofsError> {
        self.hasher.update(bytes);
        self.at += bytes.len() as u64;
        self.out.write_all(bytes).map_err(ErofsError::Write)
    }

    /// Zeros up to `offset`, which lies less than a few blocks ahead.
    fn pad_to(&mut self, offset: u64) -> Result<(), ErofsError> {
        const ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
        while self.at < offset {
            let missing = usize::try_from(offset - self.at).unwrap_or(usize::MAX);
            self.put(ZEROS.get(..missing).unwrap_or(&ZEROS))?;
        }
        Ok(())
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ErofsError> {
        self.out.seek(SeekFrom::Start(offset)).map_err(ErofsError::Write)?;
        self.out.write_all(bytes).map_err(ErofsError::Write)
    }
}

struct Emit<'a, W: Write + Seek> {
    plan: &'a Plan<'a>,
    devices: &'a [DeviceInfo],
    out: Output<W>,
    /// Inodes so far.
    number: u32,
    /// Contents put aside so far.
    asides: usize,
    /// The root's inode with its attributes.
    root: Option<Vec<u8>>,
}

impl<W: Write + Seek> Emit<'_, W> {
    /// The table of devices. The tag of an archive is its sha256 in hexadecimal.
    fn slots(&mut self, devices: &[DeviceInfo]) -> Result<(), ErofsError> {
        self.out.pad_to(SLOTS)?;
        for device in devices {
            let text = device.digest.as_ref().map_or("aside", |digest| digest.encoded());
            let mut slot: Vec<u8> = text.bytes().take(TAG).collect();
            slot.resize(TAG, 0);
            // At most MAX_DEVICE bytes.
            let blocks = u32::try_from(device.size.div_ceil(BLOCK)).unwrap_or(u32::MAX);
            slot.extend_from_slice(&blocks.to_le_bytes());
            slot.resize(SLOT_LEN, 0);
            self.out.put(&slot)?;
        }
        self.out.pad_to(self.plan.meta)
    }

    /// What all inodes have.
    fn record(&mut self, named: Named<'_>, attributes: &Encoded, format: u16) -> InodeRecord {
        let entry = &named.node.entry;
        let number = self.number;
        self.number = number.wrapping_add(1);
        InodeRecord {
            format,
            xattr_count: attributes.count(),
            // Twelve bits by the reader of archives.
            mode: types(entry.kind).0 | u16::try_from(entry.mode & 0o7777).unwrap_or(0),
            size: 0,
            word: 0,
            number,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            links: self.plan.slot(named.number).links,
        }
    }

    /// Places a shape at the end, as the plan did.
    fn place(&mut self, named: Named<'_>, shape: Shape) -> Result<Placement, ErofsError> {
        let placement = shape.place(self.out.at);
        let nid = (placement.inode - self.plan.meta) / NID_UNIT;
        if !named.path.is_root() && nid != self.nid(named.number) {
            return Err(named.wrong("it was planned for another place"));
        }
        Ok(placement)
    }

    fn put(&mut self, at: u64, parts: [&[u8]; 3]) -> Result<(), ErofsError> {
        self.out.pad_to(at)?;
        parts.into_iter().try_for_each(|part| self.out.put(part))
    }

    /// Blocks of `data` first, then the inode, with the end of the data behind it or not.
    fn put_data(
        &mut self,
        named: Named<'_>,
        attributes: &Encoded,
        shape: Shape,
        data: &[u8],
    ) -> Result<(), ErofsError> {
        let placement = self.place(named, shape)?;
        let mut record = self.record(named, attributes, if shape.inline { INLINE } else { FLAT });
        record.size = data.len() as u64;
        // MAX_INDEX / BLOCK fits.
        record.word = u32::try_from(placement.data / BLOCK).unwrap_or(0);
        let split = if shape.inline { data.len() - data.len() % BLOCK_LEN } else { data.len() };
        let (blocks, tail) = data.split_at_checked(split).unwrap_or((data, &[]));
        if !blocks.is_empty() {
            self.put(placement.data, [blocks, &[], &[]])?;
        }
        if named.path.is_root() {
            self.out.pad_to(align(self.out.at, BLOCK))?;
            self.root = Some([record.to_bytes(), attributes.bytes.clone()].concat());
            return Ok(());
        }
        self.put(placement.inode, [&record.to_bytes(), &attributes.bytes, tail])
    }

    fn put_file(&mut self, named: Named<'_>, attributes: &Encoded) -> Result<(), ErofsError> {
        let head = head(attributes);
        let size = named.node.entry.size;
        let layer = named.node.layer;
        match content::map(named, self.devices)? {
            Content::Empty => {
                let record = self.record(named, attributes, FLAT);
                self.put_bare(named, attributes, record)
            }
            Content::Chunks { bits, count, pieces } => {
                let blocks = content::chunk_blocks(bits, count, &pieces);
                let shape = Shape::of_chunks(head, count);
                self.put_chunks(
                    named,
                    attributes,
                    Chunks { shape, bits, device: layer + 1 },
                    blocks,
                )
            }
            Content::Aside(_) => {
                let offset = self.plan.asides.get(self.asides).map_or(0, |aside| aside.offset);
                self.asides += 1;
                let bits = content::aside_bits(size);
                let step = BLOCK << bits;
                let blocks = (0..size.div_ceil(step)).map(|chunk| {
                    // At most MAX_DEVICE bytes.
                    u32::try_from((offset + chunk * step) / BLOCK).unwrap_or(u32::MAX)
                });
                let shape = aside_shape(head, size);
                let device = self.devices.len() + 1;
                self.put_chunks(named, attributes, Chunks { shape, bits, device }, blocks)
            }
        }
    }

    fn put_chunks(
        &mut self,
        named: Named<'_>,
        attributes: &Encoded,
        chunks: Chunks,
        blocks: impl Iterator<Item = u32>,
    ) -> Result<(), ErofsError> {
        let placement = self.place(named, chunks.shape)?;
        let mut record = self.record(named, attributes, CHUNKS);
        record.size = named.node.entry.size;
        record.word = chunks.bits | CHUNK_INDEXES;
        self.put(placement.inode, [&record.to_bytes(), &attributes.bytes, &[]])?;
        self.out.pad_to(align(self.out.at, CHUNK_INDEX))?;
        // At most MAX_DEVICES.
        let device = u16::try_from(chunks.device).unwrap_or(0).to_le_bytes();
        blocks.into_iter().try_for_each(|block| {
            let [a, b, c, d] = block.to_le_bytes();
            self.out.put(&[0, 0, device[0], device[1], a, b, c, d])
        })
    }

    fn put_bare(
        &mut self,
        named: Named<'_>,
        attributes: &Encoded,
        record: InodeRecord,
    ) -> Result<(), ErofsError> {
        let placement = self.place(named, Shape::bare(head(attributes)))?;
        self.put(placement.inode, [&record.to_bytes(), &attributes.bytes, &[]])
    }

    fn finish(mut self, devices: &[DeviceInfo]) -> Result<(u64, [u8; 16]), ErofsError> {
        let bytes = align(self.out.at, BLOCK);
        self.out.pad_to(bytes)?;
        let root = self.root.take().unwrap_or_default();
        let mut hasher = std::mem::replace(&mut self.out.hasher, hasher());
        hasher.update(&root);
        let uuid = uuid(&hasher.finish());
        self.out.overwrite(self.plan.meta + root_offset(), &root)?;
        let block = self.superblock(devices.len(), bytes, uuid);
        self.out.overwrite(SUPER, &block)?;
        self.out.out.flush().map_err(ErofsError::Write)?;
        Ok((bytes, uuid))
    }

    fn superblock(&self, devices: usize, bytes: u64, uuid: [u8; 16]) -> Vec<u8> {
        let block_number = |offset: u64| u32::try_from(offset / BLOCK).unwrap_or(u32::MAX);
        let mut block = Vec::with_capacity(BLOCK_LEN);
        for word in [MAGIC, 0, COMPATIBLE] {
            block.extend_from_slice(&word.to_le_bytes());
        }
        block.extend_from_slice(&[BLOCK_SHIFT, 0]);
        block.extend_from_slice(&ROOT_NID.to_le_bytes());
        block.extend_from_slice(&self.plan.inodes.to_le_bytes());
        // Times of inodes are their own, so the time of the volume is of no use.
        block.extend_from_slice(&[0; 12]);
        block.extend_from_slice(&block_number(bytes).to_le_bytes());
        block.extend_from_slice(&block_number(self.plan.meta).to_le_bytes());
        block.extend_from_slice(&[0; 4]);
        block.extend_from_slice(&uuid);
        block.extend_from_slice(&[0; 16]);
        block.extend_from_slice(&INCOMPATIBLE.to_le_bytes());
        block.extend_from_slice(&[0; 2]);
        block.extend_from_slice(&u16::try_from(devices).unwrap_or(u16::MAX).to_le_bytes());
        block.extend_from_slice(&SLOTS_AT.to_le_bytes());
        block.resize(BLOCK_LEN, 0);
        let sum = crc32c(&block);
        if let Some(place) = block.get_mut(4..8) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        block
    }
}

/// How the chunks of one file are told.
#[derive(Clone, Copy)]
struct Chunks {
    shape: Shape,
    bits: u32,
    device: usize,
}

impl<W: Write + Seek> Pass for Emit<'_, W> {
    fn nid(&self, number: usize) -> u64 {
        u64::from(self.plan.slot(number).nid)
    }

    fn file(&mut self, named: Named<'_>) -> Result<(), ErofsError> {
        // Inodes stand in the order of this walk: what lies behind us was written at another name.
        if self.plan.meta + self.nid(named.number) * NID_UNIT < self.out.at {
            return Ok(());
        }
        let attributes = attributes(named)?;
        let entry = &named.node.entry;
        match entry.kind {
            EntryKind::File => self.put_file(named, &attributes),
            EntryKind::Symlink => {
                let shape = Shape::of_data(head(&attributes), entry.link.len() as u64);
                self.put_data(named, &attributes, shape, &entry.link)
            }
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                let mut record = self.record(named, &attributes, FLAT);
                record.word = pack_device(entry.device)
                    .ok_or_else(|| named.wrong("its device numbers are too large"))?;
                self.put_bare(named, &attributes, record)
            }
            EntryKind::Fifo => {
                let record = self.record(named, &attributes, FLAT);
                self.put_bare(named, &attributes, record)
            }
            EntryKind::HardLink | EntryKind::Directory => Err(named.wrong("it is no file")),
        }
    }

    fn directory(&mut self, named: Named<'_>, mut entries: Dirents) -> Result<(), ErofsError> {
        let attributes = attributes(named)?;
        let bytes = entries.finish();
        let shape = directory_shape(named, head(&attributes), bytes.len() as u64);
        self.put_data(named, &attributes, shape, &bytes)
    }
}

/// A UUID of version 8: made by a rule of our own, which is the digest's first bytes.
fn uuid(digest: &Digest) -> [u8; 16] {
    let mut uuid = [0; 16];
    let digits: Vec<u8> = digest.encoded().chars().filter_map(nibble).collect();
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
    }
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut uuid;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    uuid
}

fn nibble(digit: char) -> Option<u8> {
    digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
