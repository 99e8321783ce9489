//! The second form of a layer: a directory, with its whiteouts as overlay reads them.

use std::io::Read;
use std::os::unix::fs::DirBuilderExt as _;

use corten_layer::{Apply, Devices, Owners, Root, Whiteouts, apply};
use corten_spec::DiffId;

use super::error::{SnapshotError, io_error};
use super::files::DIRECTORIES;
use super::{Powers, Snapshots, name_of};

impl Snapshots {
    /// Unpacks a layer into a directory of its own.
    pub(super) fn render_directory(
        &self,
        diff_id: &DiffId,
        packed: impl Read,
    ) -> Result<(), SnapshotError> {
        let staging = self.files.stage()?;
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(&staging.path)
            .map_err(io_error(&staging.path, "creation"))?;
        let fault = |source| SnapshotError::Layer { diff_id: diff_id.clone(), source };
        let root = Root::open(&staging.path).map_err(fault)?;
        // Overlay reads `user.` attributes with and without privileges, `trusted.` ones only with.
        let whiteouts = Whiteouts::Overlay { user_xattr: true };
        let applied =
            apply(packed, &root, &self.powers.apply(whiteouts), self.limits).map_err(fault)?;
        match applied.layers.first().map(|layer| &layer.diff_id) {
            Some(found) if found != diff_id => {
                let found = found.clone();
                Err(SnapshotError::Mismatch { diff_id: diff_id.clone(), found })
            }
            _ => self.files.publish(staging, DIRECTORIES, &name_of(&diff_id.0)).map(drop),
        }
    }
}

impl Powers {
    /// How layers are unpacked by a process that has them.
    pub fn apply(self, whiteouts: Whiteouts) -> Apply {
        let (owners, devices) = match self {
            Self::Machine => (Owners::Keep, Devices::Keep),
            Self::Ranges => (Owners::Keep, Devices::Skip),
            Self::OneId => (Owners::Caller, Devices::Skip),
        };
        Apply { whiteouts, owners, devices }
    }
}
