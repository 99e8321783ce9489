//! Sizes, numbers and records of the format on disk, as far as our indexes use it. All numbers are
//! little-endian.

use corten_layer::{Device, EntryKind, Mtime};

/// Bytes of a block: that of a tar, and the smallest the kernel takes.
pub(crate) const BLOCK: u64 = 512;
/// The same, as a length in memory.
pub(crate) const BLOCK_LEN: usize = 512;
const _: () = assert!(BLOCK == 512);
/// log2 of [`BLOCK`].
pub(crate) const BLOCK_BITS: u32 = 9;
/// The same, as the superblock has it.
pub(crate) const BLOCK_SHIFT: u8 = 9;
/// Where the superblock begins.
pub(crate) const SUPER: u64 = 1024;
/// The first word of the superblock.
pub(crate) const MAGIC: u32 = 0xe0f5_e1e2;
/// Where the device slots begin: behind the block of the superblock, which the checksum covers.
pub(crate) const SLOTS: u64 = SUPER + BLOCK;
/// Bytes of a device slot.
pub(crate) const SLOT: u64 = 128;
/// The same, as a length in memory.
pub(crate) const SLOT_LEN: usize = 128;
/// Where the slots begin, counted in slots.
pub(crate) const SLOTS_AT: u16 = 12;
const _: () = assert!(SLOT == 128 && SLOTS == 12 * SLOT && BLOCK_BITS == 9);
/// Bytes of the tag of a device slot.
pub(crate) const TAG: usize = 64;
/// Inodes are numbered by this many bytes.
pub(crate) const NID_UNIT: u64 = 32;
/// The number of the root's inode. Some programs take 0 for a name that is gone.
pub(crate) const ROOT_NID: u16 = 2;
/// Bytes of an extended inode.
pub(crate) const INODE: u64 = 64;
/// Bytes of the index of one chunk.
pub(crate) const CHUNK_INDEX: u64 = 8;
/// The block of a chunk that is a hole.
pub(crate) const HOLE: u32 = u32::MAX;
/// Bytes of a directory entry without the name.
pub(crate) const DIRENT: usize = 12;
/// Longest name.
pub(crate) const NAME: usize = 255;
/// Longest target of a symbolic link that the kernel follows.
pub(crate) const LINK: u64 = 4095;
/// Bytes of the largest device: block numbers have 32 bits, and the last means a hole.
pub(crate) const MAX_DEVICE: u64 = (u32::MAX as u64 - 1) * BLOCK;
/// Bytes of the largest index: far above what the limits of a tree let come.
pub(crate) const MAX_INDEX: u64 = 16 << 30;
/// Most devices, the index not counted.
pub(crate) const MAX_DEVICES: usize = 1024;

/// The checksum of the superblock is there; times of inodes are those of the last change.
pub(crate) const COMPATIBLE: u32 = 0x1 | 0x2;
/// Files in chunks; a table of devices.
pub(crate) const INCOMPATIBLE: u32 = 0x4 | 0x8;

/// Format of an inode: extended, its data in blocks.
pub(crate) const FLAT: u16 = 1;
/// Format of an inode: extended, the end of its data behind it.
pub(crate) const INLINE: u16 = 1 | 2 << 1;
/// Format of an inode: extended, its data in chunks.
pub(crate) const CHUNKS: u16 = 1 | 4 << 1;
/// Format of chunks: eight bytes each, with a device.
pub(crate) const CHUNK_INDEXES: u32 = 0x20;
/// The bits of the format of chunks that say how large they are.
pub(crate) const CHUNK_BITS: u32 = 0x1f;

/// Type bits of a mode, and the type of a directory entry.
pub(crate) fn types(kind: EntryKind) -> (u16, u8) {
    match kind {
        EntryKind::File | EntryKind::HardLink => (0o100_000, 1),
        EntryKind::Directory => (0o040_000, 2),
        EntryKind::CharDevice => (0o020_000, 3),
        EntryKind::BlockDevice => (0o060_000, 4),
        EntryKind::Fifo => (0o010_000, 5),
        EntryKind::Symlink => (0o120_000, 7),
    }
}

/// What a mode's type bits stand for.
pub(crate) fn kind(mode: u16) -> Option<EntryKind> {
    let kinds = [
        EntryKind::File,
        EntryKind::Directory,
        EntryKind::CharDevice,
        EntryKind::BlockDevice,
        EntryKind::Fifo,
        EntryKind::Symlink,
    ];
    kinds.into_iter().find(|kind| types(*kind).0 == mode & 0o170_000)
}

/// The kernel's word for device numbers; `None` when they are too large for it.
pub(crate) fn pack_device(device: Device) -> Option<u32> {
    let fits = device.major < 1 << 12 && device.minor < 1 << 20;
    fits.then_some(device.minor & 0xff | device.major << 8 | (device.minor & !0xff) << 12)
}

/// The inverse of [`pack_device`].
pub(crate) fn unpack_device(word: u32) -> Device {
    Device { major: word >> 8 & 0xfff, minor: word & 0xff | word >> 12 & 0xf_ff00 }
}

/// An extended inode.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InodeRecord {
    pub(crate) format: u16,
    pub(crate) xattr_count: u16,
    pub(crate) mode: u16,
    pub(crate) size: u64,
    /// First block, device numbers, or format of chunks.
    pub(crate) word: u32,
    pub(crate) number: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Mtime,
    pub(crate) links: u32,
}

impl InodeRecord {
    /// The bytes on disk.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&self.xattr_count.to_le_bytes());
        bytes.extend_from_slice(&self.mode.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.size.to_le_bytes());
        for word in [self.word, self.number, self.uid, self.gid] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.mtime.seconds.to_le_bytes());
        bytes.extend_from_slice(&self.mtime.nanos.to_le_bytes());
        bytes.extend_from_slice(&self.links.to_le_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes
    }
}

/// The next multiple of `unit`, a power of two; saturates.
pub(crate) fn align(offset: u64, unit: u64) -> u64 {
    offset.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}

/// Where the inodes begin behind `devices` slots.
pub(crate) fn meta(devices: usize) -> u64 {
    align(SLOTS.saturating_add((devices as u64).saturating_mul(SLOT)), BLOCK)
}
