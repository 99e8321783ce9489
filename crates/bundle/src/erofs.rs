//! The index of a stack: an EROFS image that holds only metadata and says, for every file, where in
//! the plain archive of its layer the content lies. The kernel serves the merged tree from it, and
//! no file is ever copied out of an archive.
//!
//! ```text
//! byte 0      1024         1536            meta          meta+64
//! +-----------+------------+---------------+-------------+----------------------------------+
//! | zeros     | superblock | device slots, | zeros       | the root's inode; all the others |
//! |           | (checksum) | 128 each      |             | and the blocks of directories    |
//! +-----------+------------+---------------+-------------+----------------------------------+
//!   inode, at a multiple of 32 from `meta`:
//!   64 bytes | attributes | for a file:            one 8 byte index for each chunk
//!                         | for a link, directory: its bytes, or the end of them
//! ```
//!
//! Blocks have 512 bytes, as those of an archive, so each content begins with a block. Device 0 is
//! the index, device n the archive of layer n - 1, and the one after the last layer the *aside*
//! file: contents of sparse files whose pieces do not stand on block borders.
//!
//! Only what [`write`] made is ever mounted.

mod aside;
mod checksum;
mod content;
mod dirents;
mod error;
mod layout;
mod mount;
mod plan;
mod reader;
mod visit;
mod walk;
mod writer;
mod xattr;

pub use aside::{Aside, Piece, write_aside};
pub use error::ErofsError;
pub use mount::{Support, mount, probe};
pub use reader::{Dirent, Inode, Mapped, Reader};
pub use visit::visit;
pub use writer::{DeviceInfo, Indexed, write};
