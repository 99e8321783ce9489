//! What a copy takes out of layers, by content: a stage that was built anew and gave the same files is no reason to copy
//! them again.
//!
//! The key of such a copy covers the layers whole, which costs nothing. Only where that is not in the cache, the files
//! are read, if they are few: a copy of many files is not read twice.

use std::collections::BTreeMap;
use std::io::Read as _;

use corten_layer::EntryKind;

use crate::copying::{Copying, Digests, Pick, metadata};
use crate::error::{Result, failed};
use crate::key::KeyHasher;
use crate::request::Times;
use crate::source::{Found, below};

/// Most files that are read for it.
const MAX_FILES: usize = 1000;
/// Most bytes of them.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

impl Copying<'_> {
    /// Adds to a key all that the layer has of the files: unlike those of a context, they keep their owners, times
    /// and attributes. `None` where that is too much to read.
    pub(crate) fn content_key(
        &self,
        mut key: KeyHasher,
        picks: &[Pick],
        times: Times,
    ) -> Result<Option<(KeyHasher, Digests)>> {
        let all =
            || picks.iter().flat_map(|pick| std::iter::once(&pick.found).chain(&pick.entries));
        let bytes = all().fold(0_u64, |sum, found| sum.saturating_add(found.entry.size));
        // With the directories of their paths, it is those that decide, too.
        if self.parents || all().count() > MAX_FILES || bytes > MAX_BYTES {
            return Ok(None);
        }
        let mut told = Vec::with_capacity(picks.len());
        for pick in picks {
            key = key.field("source").field(&pick.name);
            let mut digests = Vec::with_capacity(pick.entries.len() + 1);
            let mut files: BTreeMap<(u64, u64), usize> = BTreeMap::new();
            for found in std::iter::once(&pick.found).chain(&pick.entries) {
                let entry = &found.entry;
                let digest = self.digest_of(found)?;
                let file = match entry.kind {
                    EntryKind::File if found.identity.links > 1 => {
                        let next = files.len();
                        let inode = (found.identity.device, found.identity.inode);
                        files.entry(inode).or_insert(next).to_string()
                    }
                    _ => String::new(),
                };
                let attributes = self.source()?.kept_attributes(found)?;
                let attributes = attributes.iter().flat_map(|(name, value)| [name, value]);
                key = key
                    .field(below(&found.path, &pick.found.path))
                    .field(metadata(entry))
                    .field(times.of(entry.mtime).seconds.to_string())
                    .field(&entry.link)
                    .field(file)
                    .list(attributes)
                    .field(digest);
                digests.push(digest);
            }
            told.push(digests);
        }
        Ok(Some((key, told)))
    }

    /// The digest of a file. It is not remembered: what tells files of a mount apart is told anew by the next mount.
    fn digest_of(&self, found: &Found) -> Result<[u8; 32]> {
        if found.entry.kind != EntryKind::File {
            return Ok([0; 32]);
        }
        let mut file = self.source()?.read(&found.path, &found.identity)?;
        let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0_u8; 128 * 1024]);
        loop {
            let taken = file.read(&mut buffer).map_err(failed(&found.path, "reading"))?;
            if taken == 0 {
                return Ok(*hasher.finalize().as_bytes());
            }
            hasher.update(buffer.get(..taken).unwrap_or_default());
        }
    }
}
