//! Garbage: what no entry of `index.json` leads to, and what transfers left behind.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use corten_spec::{AnyDocument, Descriptor, Digest};
use rustix::fs::FlockOperation;

use super::lease::{Held, LEASE_LIMIT, Lock, Whose};
use super::{BLOBS, LayoutStore, STAGED, TYPES, blob_path, edit};
use crate::beneath::io_error;
use crate::walk::{MAX_DEPTH, children};
use crate::{Kind, Store as _, StoreError, catalog};

/// What a collection deleted and what it left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs that were deleted.
    pub deleted: Vec<Digest>,
    /// Bytes that were freed, staged files included.
    pub freed: u64,
    /// Staged files that were deleted.
    pub staged: usize,
    /// Number of blobs that something leads to.
    pub reachable: usize,
    /// Number of blobs that nothing leads to, too young to delete.
    pub young: usize,
}

impl LayoutStore {
    /// Deletes the blobs that no entry of `index.json` leads to and the staged files that nobody
    /// writes, when they are older than `grace` at the time `now`; see the module for what keeps
    /// this safe beside running copies. Referrers are kept as long as their subject is: one whose
    /// subject is gone loses its entry. Fails, and deletes no blob, when a document that it must
    /// read is corrupt.
    pub fn collect(&self, grace: Duration, now: SystemTime) -> Result<Collected, StoreError> {
        self.collect_beside(grace, now, &[])
    }

    /// The same; `more` is needed too, by something that no entry tells of.
    pub fn collect_beside(
        &self,
        grace: Duration,
        now: SystemTime,
        more: &[Digest],
    ) -> Result<Collected, StoreError> {
        self.inner.root.make_dir(STAGED)?;
        let lock = self.lock(Lock::Exclusive)?;
        let cutoff = now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let cutoff = self.leased(cutoff, now, Whose::All)?;
        let awaited = self.drop_orphans(&lock, cutoff)?;
        let mut collected = Collected::default();
        let mut reachable = self.reach(self.roots()?)?;
        reachable.extend(self.reach(awaited)?);
        reachable.extend(more.iter().cloned());
        self.sweep_blobs(&reachable, cutoff, &mut collected)?;
        self.sweep_types()?;
        self.sweep_staged(cutoff, &mut collected)?;
        Ok(collected)
    }

    /// Deletes those of `blobs` that no entry of `index.json` leads to, that are not among `more`, and that nobody
    /// else can be about to name: what this handle itself wrote or found here is deleted, too.
    pub fn discard(
        &self,
        blobs: &[Digest],
        now: SystemTime,
        more: &[Digest],
    ) -> Result<Collected, StoreError> {
        let _lock = self.lock(Lock::Exclusive)?;
        let cutoff = self.leased(now, now, Whose::Others)?;
        let mut needed = self.needed()?;
        needed.extend(more.iter().cloned());
        let mut collected = Collected::default();
        self.sweep(blobs.iter().cloned(), &needed, cutoff, &mut collected)?;
        Ok(collected)
    }

    /// Everything that entries of `index.json` lead to, whether it is here or not.
    pub fn needed(&self) -> Result<HashSet<Digest>, StoreError> {
        self.reach(self.roots()?)
    }

    /// The time before which a blob is older than every lease.
    fn leased(
        &self,
        cutoff: SystemTime,
        now: SystemTime,
        whose: Whose,
    ) -> Result<SystemTime, StoreError> {
        let Some(lease) = self.oldest_lease(whose)? else { return Ok(cutoff) };
        let limit = now.checked_sub(LEASE_LIMIT).unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(cutoff.min(lease.max(limit)))
    }

    /// Takes out the unnamed entries older than `cutoff` whose subject is here and is garbage.
    /// Returns the subjects of the younger ones: they stay as long as those do, so that a later
    /// collection can still tell that both are garbage.
    fn drop_orphans(&self, lock: &Held, cutoff: SystemTime) -> Result<Vec<Descriptor>, StoreError> {
        let mut kept = Vec::new();
        let mut referrers = Vec::new();
        for entry in self.entries()? {
            let document = catalog::document(self, &entry.descriptor)?;
            let subject = document.as_ref().and_then(AnyDocument::subject).cloned();
            match (subject, &entry.name) {
                (Some(subject), None) => referrers.push((entry.descriptor, subject)),
                _ => kept.push(entry.descriptor),
            }
        }
        let mut reached = self.reach(kept)?;
        // A referrer of what is kept is kept, and so are its own referrers.
        loop {
            let is_held =
                |(_, subject): &(Descriptor, Descriptor)| reached.contains(&subject.digest);
            let (held, rest): (Vec<_>, Vec<_>) = referrers.into_iter().partition(is_held);
            referrers = rest;
            if held.is_empty() {
                break;
            }
            reached.extend(self.reach(held.into_iter().map(|(held, _)| held).collect())?);
        }
        let mut awaited = Vec::new();
        for (referrer, subject) in referrers {
            // Where the subject was never here, the referrer was copied for itself.
            let subject_here = self.inner.root.read(&blob_path(&subject.digest))?.is_some();
            let old = self.size_if_older(&blob_path(&referrer.digest), cutoff)?.is_some();
            if subject_here && old {
                self.edit_under(lock, |index| edit::remove_digest(self, index, &referrer.digest))?;
            } else if subject_here {
                awaited.push(subject.bare());
            }
        }
        Ok(awaited)
    }

    fn roots(&self) -> Result<Vec<Descriptor>, StoreError> {
        Ok(self.entries()?.into_iter().map(|entry| entry.descriptor).collect())
    }

    /// Everything that the entries lead to, without reading what is known to be corrupt.
    pub(crate) fn reach_except(
        &self,
        corrupt: &HashSet<Digest>,
    ) -> Result<HashSet<Digest>, StoreError> {
        self.reach_from(self.roots()?, corrupt)
    }

    fn reach(&self, roots: Vec<Descriptor>) -> Result<HashSet<Digest>, StoreError> {
        self.reach_from(roots, &HashSet::new())
    }

    /// Everything below `roots`; what is missing is legal and leads nowhere.
    fn reach_from(
        &self,
        roots: Vec<Descriptor>,
        corrupt: &HashSet<Digest>,
    ) -> Result<HashSet<Digest>, StoreError> {
        let mut seen = HashSet::new();
        let mut queue: Vec<(Descriptor, usize)> = roots.into_iter().map(|root| (root, 1)).collect();
        while let Some((descriptor, depth)) = queue.pop() {
            if !seen.insert(descriptor.digest.clone()) {
                continue;
            }
            if depth > MAX_DEPTH {
                return Err(crate::walk::too_deep(&self.describe(), &descriptor.digest));
            }
            if corrupt.contains(&descriptor.digest) {
                continue;
            }
            let Some(document) = catalog::document(self, &descriptor)? else {
                continue;
            };
            for child in children(&document) {
                match child.kind {
                    Kind::Blob => drop(seen.insert(child.descriptor.digest.clone())),
                    Kind::Manifest => queue.push((child.descriptor.bare(), depth + 1)),
                }
            }
        }
        Ok(seen)
    }

    fn sweep_blobs(
        &self,
        reachable: &HashSet<Digest>,
        cutoff: SystemTime,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        self.sweep(self.blobs()?, reachable, cutoff, collected)
    }

    fn sweep(
        &self,
        blobs: impl IntoIterator<Item = Digest>,
        reachable: &HashSet<Digest>,
        cutoff: SystemTime,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        for digest in blobs {
            if reachable.contains(&digest) {
                collected.reachable += 1;
                continue;
            }
            let path = blob_path(&digest);
            let Some(size) = self.size_if_older(&path, cutoff)? else {
                collected.young += 1;
                continue;
            };
            if self.inner.root.remove(&path)? {
                collected.freed += size;
                collected.deleted.push(digest);
            }
        }
        Ok(())
    }

    /// Deletes the types noted for blobs that are not here, whoever deleted those. A type is noted
    /// after its blob is written, so none of them is about to be needed.
    fn sweep_types(&self) -> Result<(), StoreError> {
        let root = &self.inner.root;
        for name in root.list(TYPES)? {
            let digest =
                name.split_once('-').map(|(algorithm, rest)| format!("{algorithm}:{rest}"));
            let digest = digest.and_then(|text| Digest::parse(&text).ok());
            let here =
                |digest: &Digest| Ok::<_, StoreError>(root.read(&blob_path(digest))?.is_some());
            if let Some(digest) = digest
                && !here(&digest)?
            {
                root.remove_below(TYPES, &name)?;
            }
        }
        Ok(())
    }

    fn sweep_staged(
        &self,
        cutoff: SystemTime,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        let root = &self.inner.root;
        for name in root.list(STAGED)? {
            let path = format!("{STAGED}/{name}");
            let Some(size) = self.size_if_older(&path, cutoff)? else {
                continue;
            };
            let Some(file) = root.read(&path)? else {
                continue;
            };
            // Its writer holds the lock while it lives.
            let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if free && root.is_same(&path, &file)? && root.remove(&path)? {
                collected.freed += size;
                collected.staged += 1;
            }
        }
        Ok(())
    }

    /// Every file in `blobs/` whose name is a digest.
    pub(crate) fn blobs(&self) -> Result<Vec<Digest>, StoreError> {
        let root = &self.inner.root;
        let mut digests = Vec::new();
        for algorithm in root.list(BLOBS)? {
            let directory = format!("{BLOBS}/{algorithm}");
            if !root.is_directory(&directory)? {
                continue;
            }
            for encoded in root.list(&directory)? {
                digests.extend(Digest::parse(&format!("{algorithm}:{encoded}")).ok());
            }
        }
        Ok(digests)
    }

    fn size_if_older(&self, path: &str, cutoff: SystemTime) -> Result<Option<u64>, StoreError> {
        let root = &self.inner.root;
        let Some(file) = root.read(path)? else {
            return Ok(None);
        };
        let meta = file.metadata().map_err(|e| io_error(&root.full(path), "stat", e))?;
        let modified = meta.modified().map_err(|e| io_error(&root.full(path), "stat", e))?;
        Ok((modified < cutoff).then_some(meta.len()))
    }
}
