//! All that the builder keeps, of every kind.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use corten_build::{KeptMemo, KeptMount, kept_memo, kept_mounts, kept_steps, step_origin};
use corten_spec::Digest;

use super::super::build::{KeptSource, kept_sources};
use super::{CacheEntry, CacheKind, Look, wrong};
use crate::Failure;

/// One thing, and how it is removed.
pub(super) struct Kept {
    pub(super) entry: CacheEntry,
    pub(super) used: SystemTime,
    pub(super) what: What,
    /// Whether an image needs its bytes.
    pub(super) is_needed: bool,
}

/// What it is.
pub(super) enum What {
    /// Its layer, and all keys under which it is kept.
    Step(Digest, Vec<String>),
    Mount(KeptMount),
    Memo(KeptMemo),
    Source(KeptSource),
}

/// Makes one of the entries of a step that is kept under more than one key: a copy from a stage, by its layers and by
/// what it takes. Then says which of the others have a layer that another step gave, too.
fn merged(all: Vec<Kept>) -> Vec<Kept> {
    let mut one: BTreeMap<_, Kept> = BTreeMap::new();
    for kept in all {
        let entry = &kept.entry;
        // Without an instruction it is not known whose it is.
        let id = if entry.about.is_some() { String::new() } else { entry.id.clone() };
        let name = (entry.layer.clone(), entry.stage.clone(), entry.line, entry.about.clone(), id);
        match one.remove(&name) {
            None => drop(one.insert(name, kept)),
            Some(other) => {
                let (mut newer, older) =
                    if kept.used >= other.used { (kept, other) } else { (other, kept) };
                newer.entry.in_use |= older.entry.in_use;
                if let (What::Step(_, keys), What::Step(_, more)) = (&mut newer.what, older.what) {
                    keys.extend(more);
                }
                one.insert(name, newer);
            }
        }
    }
    let mut all: Vec<Kept> = one.into_values().collect();
    let mut counts: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for kept in &all {
        *counts.entry(kept.entry.layer.clone()).or_default() += 1;
    }
    for kept in &mut all {
        kept.entry.shared |= counts.get(&kept.entry.layer).is_some_and(|count| *count > 1);
    }
    all
}

/// Bytes that nothing but the cache needs, those of one layer once.
pub(super) fn total<K: Borrow<Kept>>(all: impl IntoIterator<Item = K>) -> u64 {
    let (mut seen, mut bytes) = (BTreeSet::new(), 0_u64);
    for kept in all {
        let kept = kept.borrow();
        let counts = match &kept.what {
            What::Step(layer, _) => !kept.is_needed && seen.insert(layer.clone()),
            _ => true,
        };
        bytes = bytes.saturating_add(if counts { kept.entry.size } else { 0 });
    }
    bytes
}

impl Look {
    /// All that is kept.
    pub(super) fn all(&self) -> Result<Vec<Kept>, Failure> {
        let since = self.since()?;
        let mut all = self.steps(since)?;
        for mount in kept_mounts(&self.place).map_err(wrong(&self.place))? {
            let id = format!("{}-{}", mount.name, mount.number);
            let mut entry = self.entry(CacheKind::Mount, id, mount.used);
            entry.size = mount.size(&self.place);
            (entry.about, entry.in_use) = (mount.id.clone(), mount.in_use);
            all.push(Kept { entry, used: mount.used, what: What::Mount(mount), is_needed: false });
        }
        if let Some(memo) = kept_memo(&self.place) {
            let mut entry = self.entry(CacheKind::Memo, "files".to_owned(), memo.used);
            entry.size = memo.size;
            entry.about = Some(format!("digests of {} files", memo.files));
            all.push(Kept { entry, used: memo.used, what: What::Memo(memo), is_needed: false });
        }
        for source in kept_sources(&self.place)? {
            let mut entry = self.entry(CacheKind::Source, source.id.clone(), source.used);
            entry.size = source.size;
            let about = source.about.clone();
            entry.about = Some(format!("{} {}", source.how, about.unwrap_or_default()));
            entry.in_use = source.in_use || source.used >= since;
            let used = source.used;
            all.push(Kept { entry, used, what: What::Source(source), is_needed: false });
        }
        Ok(all)
    }

    fn steps(&self, since: SystemTime) -> Result<Vec<Kept>, Failure> {
        let steps = kept_steps(&self.place).map_err(wrong(&self.place))?;
        let needed = match steps.is_empty() {
            true => Default::default(),
            false => self.store.needed()?,
        };
        let mut all = Vec::with_capacity(steps.len());
        for step in steps {
            let layer = step.layer.descriptor;
            // What was lost is forgotten by the next collection.
            if self.store.blob_file(&layer.digest).is_err() {
                continue;
            }
            let mut entry = self.entry(CacheKind::Step, step.key.clone(), step.used);
            let is_needed = needed.contains(&layer.digest) || self.drafted.contains(&layer.digest);
            entry.size = layer.size;
            entry.shared = is_needed;
            entry.in_use = step.used >= since;
            entry.layer = Some(layer.digest.to_string());
            if let Some(origin) = step_origin(&self.place, &step.key) {
                (entry.about, entry.stage) = (Some(origin.text), Some(origin.stage));
                (entry.line, entry.made) = (Some(origin.line), Some(origin.made));
            }
            let what = What::Step(layer.digest, vec![step.key]);
            all.push(Kept { entry, used: step.used, what, is_needed });
        }
        Ok(merged(all))
    }

    fn entry(&self, kind: CacheKind, id: String, used: SystemTime) -> CacheEntry {
        let seconds = used.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        CacheEntry {
            kind,
            id,
            about: None,
            stage: None,
            line: None,
            layer: None,
            size: 0,
            shared: false,
            made: None,
            used: seconds,
            age_seconds: self.now.duration_since(used).unwrap_or_default().as_secs(),
            in_use: false,
        }
    }
}
