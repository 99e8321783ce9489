//! The databases of an image, gathered from its layers: what an upper layer hides or replaces is gone.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Bound;

use corten_layer::{Entry, EntryKind, LayerError, LayerReader, Limits, TreePath, Whiteout};
use corten_spec::Descriptor;

use crate::databases::Database;
use crate::error::ScanError;

/// Most bytes of a database of a distribution.
const MAX_DATABASE: u64 = 64 << 20;
/// Most bytes of a file that tells of one package.
const MAX_TEXT: u64 = 1 << 20;
/// Most bytes that are held in all.
const MAX_HELD: u64 = 256 << 20;
/// Most files that are held.
const MAX_FILES: usize = 200_000;
/// Most notes that are kept.
const MAX_NOTES: usize = 100;

/// A file that is held.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) database: Database,
    pub(crate) bytes: Vec<u8>,
}

/// Databases, by their paths.
#[derive(Debug, Default)]
pub struct Holdings {
    pub(crate) files: BTreeMap<Vec<u8>, Held>,
    pub(crate) notes: Vec<String>,
    size: u64,
}

impl Holdings {
    /// Lays a layer over what is there. The layer is read to its end and must be what `descriptor` says.
    ///
    /// # Errors
    /// Where it is no layer, or another one. What it held until then is not taken back.
    pub fn lay(&mut self, descriptor: &Descriptor, packed: impl Read) -> Result<(), ScanError> {
        let digest = || descriptor.digest.clone();
        let of = |source| ScanError::Layer { digest: digest(), source };
        let limits = Limits::default();
        let mut tar = LayerReader::open(packed, None, limits).map_err(of)?;
        // What a layer hides is of the layers below: its own files stay, in whatever order they come.
        let mut fresh = BTreeMap::new();
        while let Some(entry) = tar.next_entry().map_err(of)? {
            self.entry(&entry, &mut tar, &mut fresh).map_err(of)?;
        }
        self.files.append(&mut fresh);
        let unpacked = tar.finish().map_err(of)?;
        unpacked
            .check(descriptor)
            .map_err(|error| ScanError::Mismatch { digest: digest(), text: error.to_string() })
    }

    fn entry(
        &mut self,
        entry: &Entry,
        content: &mut impl Read,
        fresh: &mut BTreeMap<Vec<u8>, Held>,
    ) -> Result<(), LayerError> {
        let broken = |rule| LayerError::Refused { entry: entry.place(), rule };
        let path = entry.path().map_err(broken)?;
        if let Some(whiteout) = Whiteout::of(&path).map_err(broken)? {
            match whiteout {
                Whiteout::Path(hidden) => self.hide(&hidden, true),
                Whiteout::Below(directory) => self.hide(&directory, false),
                Whiteout::Reserved => {}
            }
            return Ok(());
        }
        if entry.kind == EntryKind::Directory {
            return Ok(());
        }
        self.hide(&path, true);
        fresh.remove(path.as_bytes());
        let Some(database) = std::str::from_utf8(path.as_bytes()).ok().and_then(Database::of)
        else {
            return Ok(());
        };
        let bytes = match entry.kind {
            EntryKind::File => self.read(&path, database, (entry.size, content))?,
            EntryKind::HardLink => {
                let target = entry.link_path().map_err(broken)?;
                let held = fresh.get(target.as_bytes()).or(self.files.get(target.as_bytes()));
                held.map(|held| held.bytes.clone())
            }
            _ => None,
        };
        if let Some(bytes) = bytes {
            if fresh.len() + self.files.len() >= MAX_FILES || self.size > MAX_HELD {
                self.note(&path, "there are too many, it is not read");
                return Ok(());
            }
            self.size = self.size.saturating_add(bytes.len() as u64);
            fresh.insert(path.as_bytes().to_vec(), Held { database, bytes });
        }
        Ok(())
    }

    fn read(
        &mut self,
        path: &TreePath,
        database: Database,
        (size, content): (u64, &mut impl Read),
    ) -> Result<Option<Vec<u8>>, LayerError> {
        let most = match database {
            Database::Dpkg | Database::Apk => MAX_DATABASE,
            // That it is there is all that is known of it.
            Database::Rpm => return Ok(Some(Vec::new())),
            Database::Python | Database::Npm | Database::Release => MAX_TEXT,
        };
        if size > most || self.size.saturating_add(size) > MAX_HELD {
            self.note(path, &format!("it has {size} bytes, which is too many: it is not read"));
            return Ok(None);
        }
        let mut bytes = Vec::new();
        content.take(most).read_to_end(&mut bytes).map_err(LayerError::from_io)?;
        Ok(Some(bytes))
    }

    fn hide(&mut self, path: &TreePath, itself: bool) {
        if itself && let Some(held) = self.files.remove(path.as_bytes()) {
            self.size = self.size.saturating_sub(held.bytes.len() as u64);
        }
        let mut below = path.as_bytes().to_vec();
        if !path.is_root() {
            below.push(b'/');
        }
        let range = (Bound::Included(below.clone()), Bound::Unbounded);
        let found = self.files.range(range).take_while(|(path, _)| path.starts_with(&below));
        let found: Vec<_> = found.map(|(path, _)| path.clone()).collect();
        for path in found {
            if let Some(held) = self.files.remove(&path) {
                self.size = self.size.saturating_sub(held.bytes.len() as u64);
            }
        }
    }

    fn note(&mut self, path: &TreePath, text: &str) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(format!("{}: {text}", String::from_utf8_lossy(path.as_bytes())));
        }
    }
}
