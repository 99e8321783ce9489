//! The first form of a layer: the tar that was packed, as it is.

use std::fs::OpenOptions;
use std::io::Read;
use std::sync::atomic::Ordering;

use corten_layer::{DiffReader, write_sparse};
use corten_spec::{Algorithm, DiffId};

use super::error::{SnapshotError, io_error};
use super::files::{self, TARS};
use super::{Snapshots, name_of};

/// Zeros of this length become a hole; shorter ones are not worth a piece of their own on the disk.
const HOLE: usize = 64 * 1024;

impl Snapshots {
    /// Unpacks a layer into one file, hashed on its way.
    pub(super) fn render_tar(
        &self,
        diff_id: &DiffId,
        packed: impl Read,
    ) -> Result<(), SnapshotError> {
        let staging = self.files.stage()?;
        let file = files::open_private(&staging.path, OpenOptions::new().create_new(true));
        let file = file.map_err(io_error(&staging.path, "creation"))?;
        let fault = |source| {
            let source = self.limits.named(source);
            SnapshotError::Layer { diff_id: diff_id.clone(), source }
        };
        let algorithm = algorithm_of(diff_id);
        let limits = self.limits.after(self.unpacked.load(Ordering::Relaxed));
        let mut reader = DiffReader::of_diff(packed, limits, algorithm).map_err(fault)?;
        let mut at = 0;
        loop {
            let bytes = reader.piece().map_err(fault)?;
            if bytes.is_empty() {
                break;
            }
            // A few bytes that unpack to a terabyte of zeros shall not fill the disk with them.
            write_sparse(&file, at, bytes, HOLE).map_err(io_error(&staging.path, "writing"))?;
            at += bytes.len() as u64;
        }
        file.set_len(at).map_err(io_error(&staging.path, "writing"))?;
        let (found, unpacked) = reader.finish_diff().map_err(fault)?;
        if found != *diff_id {
            return Err(SnapshotError::Mismatch { diff_id: diff_id.clone(), found });
        }
        self.unpacked.fetch_add(unpacked, Ordering::Relaxed);
        self.files.publish(staging, TARS, &name_of(&diff_id.0))?;
        Ok(())
    }
}

/// The algorithm that a DiffId is computed with; one that is not known fails as a mismatch.
pub(super) fn algorithm_of(diff_id: &DiffId) -> Algorithm {
    diff_id.0.algorithm().unwrap_or(Algorithm::Sha256)
}
