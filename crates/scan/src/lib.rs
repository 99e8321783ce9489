//! What an image holds: its packages, read from the databases that package managers leave in its layers.
//!
//! ```text
//! layers, the lowest first ─ Holdings: the databases, as the upper layers leave them ─ Inventory ─ spdx
//!
//! var/lib/dpkg/status, status.d/*      dpkg            */*.dist-info/METADATA, */*.egg-info     Python
//! lib/apk/db/installed                 apk             */node_modules/*/package.json            npm
//! ```
//!
//! Layers are streamed, and of them the databases alone are held. All of it is foreign: each size has a limit, and what
//! goes over it is told in [`Inventory::notes`] and not read.

mod databases;
mod error;
mod fields;
mod holdings;
mod inventory;

mod package;
mod spdx;

pub use error::ScanError;
pub use holdings::Holdings;
pub use inventory::Inventory;
pub use package::{Distribution, Package, PackageKind};
pub use spdx::{SpdxSubject, spdx};
