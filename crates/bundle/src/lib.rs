//! From an image to a runtime bundle (runtime-spec `bundle.md`): the layers as snapshots, the stack
//! of them as a root filesystem, the image's config as a runtime config. It starts nothing.

pub mod config;
pub mod erofs;
mod snapshot;
pub mod users;

pub use snapshot::{
    Above, Additions, Damage, Form, Lease, MountPoint, Mounted, OpenPacked, Powers, Purpose,
    RootMount, SnapshotError, Snapshots, Stacked, Swept, Verified, Writable, guards_files,
};
