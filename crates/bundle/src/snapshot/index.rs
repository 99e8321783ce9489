//! The index over the plain tars of one stack, made once.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use corten_layer::Merged;
use corten_spec::DiffId;

use super::error::{SnapshotError, io_error};
use super::files::{self, INDEXES};
use super::{Snapshots, name_of_stack};
use crate::erofs::{self, DeviceInfo};

/// What stands behind the name of a stack whose sparse files lie in a file of their own.
const ASIDE: &str = ".aside";

/// Bytes read and written at once.
const BUFFER: usize = 64 * 1024;

/// The files that make the index of a stack.
#[derive(Clone, Debug)]
pub(super) struct IndexFiles {
    pub(super) image: PathBuf,
    pub(super) aside: Option<PathBuf>,
}

impl IndexFiles {
    /// What the index points into: the tars, the base first, and what lies aside.
    pub(super) fn devices<'a>(&'a self, tars: &'a [PathBuf]) -> Vec<&'a Path> {
        tars.iter().map(PathBuf::as_path).chain(self.aside.as_deref()).collect()
    }

    /// Every file of it.
    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.image.as_path()).chain(self.aside.as_deref())
    }
}

impl Snapshots {
    /// The index over `tars`, made where it is missing.
    pub(super) fn index(
        &self,
        diff_ids: &[DiffId],
        tars: &[PathBuf],
    ) -> Result<IndexFiles, SnapshotError> {
        let name = name_of_stack(diff_ids);
        let aside_name = format!("{name}{ASIDE}");
        if !self.files.is_believed(INDEXES, &name) {
            self.make_index(&name, diff_ids, tars)?;
        }
        self.index_unchanged(diff_ids)?;
        // The index is published last, so that what it needs is there when it is.
        let aside = self.files.is_believed(INDEXES, &aside_name);
        let aside = aside.then(|| self.files.path(INDEXES, &aside_name));
        Ok(IndexFiles { image: self.files.path(INDEXES, &name), aside })
    }

    fn make_index(
        &self,
        name: &str,
        diff_ids: &[DiffId],
        tars: &[PathBuf],
    ) -> Result<(), SnapshotError> {
        let (tree, mut archives, devices) = self.merge(diff_ids, tars)?;
        let staging = self.files.stage()?;
        let file = files::open_private(&staging.path, OpenOptions::new().create_new(true))
            .map_err(io_error(&staging.path, "creation"))?;
        let mut out = BufWriter::with_capacity(BUFFER, file);
        let index = erofs::write(&tree, &devices, &mut out)?;
        out.flush().map_err(io_error(&staging.path, "writing"))?;
        drop(tree);
        if !index.aside.is_empty() {
            let aside = self.files.stage()?;
            let mut file = files::open_private(&aside.path, OpenOptions::new().create_new(true))
                .map_err(io_error(&aside.path, "creation"))?;
            erofs::write_aside(&index.aside, &mut archives, &mut file)?;
            file.set_len(index.aside_bytes).map_err(io_error(&aside.path, "writing"))?;
            self.files.publish(aside, INDEXES, &format!("{name}{ASIDE}"))?;
        }
        self.files.publish(staging, INDEXES, name)?;
        Ok(())
    }

    /// The tree of a stack, the tars it lies in, and what an index must know of them.
    pub(super) fn merge(
        &self,
        diff_ids: &[DiffId],
        tars: &[PathBuf],
    ) -> Result<(Merged, Vec<File>, Vec<DeviceInfo>), SnapshotError> {
        let mut tree = Merged::new(self.limits);
        let (mut archives, mut devices) = (Vec::new(), Vec::new());
        for (diff_id, path) in diff_ids.iter().zip(tars) {
            let file = File::open(path).map_err(io_error(path, "open"))?;
            let size = file.metadata().map_err(io_error(path, "stat"))?.len();
            tree.add_plain(BufReader::with_capacity(BUFFER, &file))
                .map_err(|source| SnapshotError::Layer { diff_id: diff_id.clone(), source })?;
            archives.push(file);
            devices.push(DeviceInfo { size, digest: Some(diff_id.0.clone()) });
        }
        Ok((tree, archives, devices))
    }
}
