//! The first pass: how much room each inode takes, where it comes to stand, how many names it has.

use corten_layer::{EntryKind, Merged};

use crate::erofs::aside::{ASIDE_UNIT, Aside};
use crate::erofs::content::{self, Content};
use crate::erofs::dirents::Dirents;
use crate::erofs::layout::{
    BLOCK, CHUNK_INDEX, INODE, LINK, MAX_DEVICE, MAX_INDEX, NID_UNIT, ROOT_NID, align, meta,
};
use crate::erofs::walk::{Named, Pass, walk};
use crate::erofs::xattr::{self, Encoded};
use crate::erofs::{DeviceInfo, ErofsError};

/// What is kept of each inode between the passes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    /// The number of the inode; 0 until it has one.
    pub(crate) nid: u32,
    /// Its names, or the links to a directory.
    pub(crate) links: u32,
}

/// What the first pass finds.
pub(crate) struct Plan<'a> {
    devices: &'a [DeviceInfo],
    /// Where the inodes begin.
    pub(crate) meta: u64,
    slots: Vec<Slot>,
    first: u64,
    cursor: u64,
    pub(crate) inodes: u64,
    pub(crate) asides: Vec<Aside>,
    pub(crate) aside_bytes: u64,
    pub(crate) escaped: u64,
    pub(crate) dropped: u64,
}

/// Where the parts of one inode stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Where its blocks begin, if it has some.
    pub(crate) data: u64,
    /// Where the inode begins.
    pub(crate) inode: u64,
    /// Where the next one may begin.
    pub(crate) end: u64,
}

/// The room that an inode takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Blocks of data of its own.
    pub(crate) blocks: u64,
    /// Bytes of the inode and what stands behind it.
    pub(crate) length: u64,
    /// Whether all of `length` has to lie in one block.
    pub(crate) inline: bool,
}

impl Shape {
    /// `length` bytes of inode and attributes, nothing else.
    pub(crate) fn bare(length: u64) -> Self {
        Self { blocks: 0, length, inline: false }
    }

    /// Data of `bytes` bytes: what does not fill a block stands behind the inode if it can. The
    /// kernel wants such an end to lie in the block of its inode.
    pub(crate) fn of_data(length: u64, bytes: u64) -> Self {
        let tail = bytes % BLOCK;
        if tail > 0 && length + tail <= BLOCK {
            return Self { blocks: bytes / BLOCK, length: length + tail, inline: true };
        }
        Self::in_blocks(length, bytes)
    }

    /// All data in blocks.
    pub(crate) fn in_blocks(length: u64, bytes: u64) -> Self {
        Self { blocks: bytes.div_ceil(BLOCK), length, inline: false }
    }

    /// Data in `count` chunks.
    pub(crate) fn of_chunks(length: u64, count: u64) -> Self {
        let indexes = count.saturating_mul(CHUNK_INDEX);
        Self::bare(align(length, CHUNK_INDEX).saturating_add(indexes))
    }

    /// The place from `cursor` on.
    pub(crate) fn place(self, cursor: u64) -> Placement {
        let mut data = 0;
        let mut inode = align(cursor, NID_UNIT);
        if self.blocks > 0 {
            data = align(cursor, BLOCK);
            inode = data.saturating_add(self.blocks.saturating_mul(BLOCK));
        }
        if self.inline && inode % BLOCK + self.length > BLOCK {
            inode = align(inode, BLOCK);
        }
        Placement { data, inode, end: inode.saturating_add(self.length) }
    }
}

/// Attributes of a file, laid out.
pub(crate) fn attributes(named: Named<'_>) -> Result<Encoded, ErofsError> {
    let entry = &named.node.entry;
    let kept = if matches!(entry.kind, EntryKind::File | EntryKind::Directory) {
        xattr::encode(&entry.xattrs)
    } else {
        xattr::encode_unowned(&entry.xattrs)
    };
    kept.map_err(|(what, limit)| named.limit(what, limit))
}

/// Bytes of an inode with these attributes.
pub(crate) fn head(attributes: &Encoded) -> u64 {
    INODE + attributes.bytes.len() as u64
}

impl<'a> Plan<'a> {
    /// Goes over `tree`.
    pub(crate) fn of(tree: &Merged, devices: &'a [DeviceInfo]) -> Result<Self, ErofsError> {
        let mut plan = Self {
            devices,
            meta: 0,
            slots: Vec::new(),
            first: 0,
            cursor: 0,
            inodes: 0,
            asides: Vec::new(),
            aside_bytes: 0,
            escaped: 0,
            dropped: 0,
        };
        // The root stands first, where 16 bits reach it; its length is known before the walk.
        let root = tree.numbered().next();
        let root = root.map(|(path, number, node)| Named { path, number, node });
        let head = root.map_or(Ok(INODE), |root| attributes(root).map(|it| head(&it)))?;
        plan.first = root_offset() + head;
        plan.cursor = plan.first;
        walk(tree, &mut plan)?;
        plan.settle(devices.len());
        Ok(plan)
    }

    /// Now that it is known whether there is an aside file, it is known where inodes begin.
    fn settle(&mut self, devices: usize) {
        self.meta = meta(devices + usize::from(self.aside_bytes > 0));
    }

    /// What was found of the file with this number.
    pub(crate) fn slot(&self, number: usize) -> Slot {
        self.slots.get(number).copied().unwrap_or_default()
    }

    /// Where the first inode but the root's may begin.
    pub(crate) fn first(&self) -> u64 {
        self.meta + self.first
    }

    /// Gives the file a place and counts it.
    fn put(&mut self, named: Named<'_>, shape: Shape, links: u32) -> Result<(), ErofsError> {
        let placement = shape.place(self.cursor);
        if placement.end > MAX_INDEX {
            return Err(named.limit("the index", MAX_INDEX));
        }
        self.cursor = placement.end;
        let nid = u32::try_from(placement.inode / NID_UNIT);
        let nid = nid.map_err(|_| named.limit("the index", MAX_INDEX))?;
        self.set(named.number, Slot { nid, links });
        Ok(())
    }

    fn set(&mut self, number: usize, slot: Slot) {
        self.inodes += 1;
        if self.slots.len() <= number {
            self.slots.resize(number + 1, Slot::default());
        }
        if let Some(place) = self.slots.get_mut(number) {
            *place = slot;
        }
    }

    fn count(&mut self, attributes: &Encoded) {
        self.escaped += attributes.escaped;
        self.dropped += attributes.dropped;
    }

    /// The room of anything but a directory; a content that goes aside gets its place there.
    fn shape(&mut self, named: Named<'_>, head: u64) -> Result<Shape, ErofsError> {
        let entry = &named.node.entry;
        match entry.kind {
            EntryKind::File => match content::map(named, self.devices)? {
                Content::Empty => Ok(Shape::bare(head)),
                Content::Chunks { count, .. } => Ok(Shape::of_chunks(head, count)),
                Content::Aside(pieces) => {
                    let offset = self.aside_bytes;
                    // The kernel reads whole blocks, and fails where the file ends within one.
                    let end = align(offset.saturating_add(entry.size), ASIDE_UNIT);
                    if end > MAX_DEVICE {
                        return Err(named.limit("the aside file", MAX_DEVICE));
                    }
                    self.aside_bytes = end;
                    let (path, layer) = (named.path.clone(), named.node.layer);
                    self.asides.push(Aside { path, layer, offset, size: entry.size, pieces });
                    Ok(aside_shape(head, entry.size))
                }
            },
            EntryKind::Symlink => {
                let length = entry.link.len() as u64;
                if length == 0 || entry.link.contains(&0) {
                    return Err(named.wrong("its target is empty or has a NUL"));
                }
                if length > LINK {
                    return Err(named.limit("the target", LINK));
                }
                Ok(Shape::of_data(head, length))
            }
            _ => Ok(Shape::bare(head)),
        }
    }
}

/// The room of a file whose content stands aside.
pub(crate) fn aside_shape(head: u64, size: u64) -> Shape {
    Shape::of_chunks(head, size.div_ceil(BLOCK << content::aside_bits(size)))
}

/// The room of a directory.
pub(crate) fn directory_shape(named: Named<'_>, head: u64, bytes: u64) -> Shape {
    if named.path.is_root() { Shape::in_blocks(0, bytes) } else { Shape::of_data(head, bytes) }
}

/// Where the root's inode begins, counted from the first.
pub(crate) fn root_offset() -> u64 {
    u64::from(ROOT_NID) * NID_UNIT
}

impl Pass for Plan<'_> {
    fn nid(&self, _number: usize) -> u64 {
        0
    }

    fn file(&mut self, named: Named<'_>) -> Result<(), ErofsError> {
        let known = self.slot(named.number);
        if known.nid != 0 {
            let links = known.links.saturating_add(1);
            if let Some(slot) = self.slots.get_mut(named.number) {
                slot.links = links;
            }
            return Ok(());
        }
        let attributes = attributes(named)?;
        self.count(&attributes);
        let shape = self.shape(named, head(&attributes))?;
        self.put(named, shape, 1)
    }

    fn directory(&mut self, named: Named<'_>, mut entries: Dirents) -> Result<(), ErofsError> {
        let attributes = attributes(named)?;
        self.count(&attributes);
        let bytes = entries.finish().len() as u64;
        let shape = directory_shape(named, head(&attributes), bytes);
        self.put(named, shape, entries.links())?;
        if named.path.is_root() {
            let links = entries.links();
            self.inodes -= 1;
            self.set(named.number, Slot { nid: u32::from(ROOT_NID), links });
        }
        Ok(())
    }
}
