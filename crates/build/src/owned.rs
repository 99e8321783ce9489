//! Whom the files that a step wrote belong to, where one id is all there is.
//!
//! On disk all of them are of that id then. What was there before the step belongs to whom it belonged; what is new,
//! to the user of the step: the layer is what it would be with all ids, as long as the step itself gives nothing away.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use corten_bundle::Powers;
use corten_layer::{Entry, Limits, Owner, Stack, TreePath};

use crate::error::{Result, failed, of_layer};
use crate::lookup::Tree as _;
use crate::rootfs::Laid;
use crate::stage::StageRun;

/// The owners of what a step wrote.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    /// Of what is new; `None` where the disk says.
    pub(crate) new: Option<Owner>,
    /// Of what was there.
    pub(crate) old: BTreeMap<TreePath, Owner>,
}

impl StageRun<'_> {
    /// The owners of what is in `upper`, which a process of `user` wrote over `layers`.
    pub(crate) fn owned(&self, upper: &Path, layers: &[Laid], user: Owner) -> Result<Owned> {
        if self.session.builder.powers != Powers::OneId {
            return Ok(Owned::default());
        }
        let below = self.ground.view(layers)?;
        // On disk they belong to the one id, too: the layers themselves say to whom. They are read as far as needed.
        let mut open = |number: usize| -> std::io::Result<Box<dyn Read>> {
            let laid = layers.get(number).ok_or(std::io::ErrorKind::NotFound)?;
            let packed = self.session.pending.packed(&laid.layer).map_err(std::io::Error::other)?;
            Ok(Box::new(BufReader::new(packed)))
        };
        let mut there = Stack::new(&mut open, layers.len(), Limits::default());
        let mut owned = Owned { new: Some(user), old: BTreeMap::new() };
        let mut coming = vec![TreePath::root()];
        while let Some(directory) = coming.pop() {
            let shown = upper.join(directory.to_path_buf());
            let entries = std::fs::read_dir(&shown).map_err(failed(shown.display(), "listing"))?;
            for entry in entries {
                let entry = entry.map_err(failed(shown.display(), "listing"))?;
                let path = directory.join(entry.file_name().as_bytes());
                // Below what is new, all is.
                if below.at(&path)?.is_none() {
                    continue;
                }
                if let Some(node) = there.at(&path).map_err(of_layer("the layers below"))? {
                    let Entry { uid, gid, .. } = node.entry;
                    owned.old.insert(path.clone(), Owner { uid, gid });
                }
                let kind = entry.file_type().map_err(failed(shown.display(), "listing"))?;
                if kind.is_dir() {
                    coming.push(path);
                }
            }
        }
        Ok(owned)
    }
}
