//! `store check`: everything the local store keeps, hashed once more.

use std::io::Read;
use std::sync::Arc;

use corten_store::Store as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::layers::{Blobs, on_thread};
use crate::{Context, Failure};

/// What a check of the local store found.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct StoreCheckReport {
    /// Directory of the store.
    pub store: String,
    /// Blobs whose content is what their digest says.
    pub blobs: u64,
    /// Digests of blobs with another content.
    pub corrupt: Vec<String>,
    /// Digests that an image leads to and that are not here: other platforms of an index, or lost.
    pub missing: Vec<String>,
    /// Digests of an algorithm that cannot be computed here.
    pub unknown: Vec<String>,
    /// Unpacked layers that were hashed.
    pub tars: u64,
    /// Indexes that were made again and compared.
    pub indexes: u64,
    /// Layers kept as directories that were made again and compared.
    pub directories: u64,
    /// Layers kept as directories that cannot be compared, since their blobs are not here.
    pub unread: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Unpacked layers and indexes that are not what they must be.
    pub damaged: Vec<DamagedForm>,
    /// Whether those were taken away, to be made again when they are needed.
    pub repaired: bool,
}

/// An unpacked layer, or an index, that is not what it must be.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DamagedForm {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

impl StoreCheckReport {
    /// Whether everything that is here is what it must be.
    pub fn is_sound(&self) -> bool {
        self.corrupt.is_empty() && self.damaged.is_empty()
    }
}

/// Hashes every blob and every unpacked tar, and makes every index and every layer kept as a directory again to
/// compare them; with `repair`, what is damaged of them is taken away. Succeeds whatever it finds.
pub async fn store_check(context: &Context, repair: bool) -> Result<StoreCheckReport, Failure> {
    let store = context.store()?;
    let checked = corten_store::check(&store).await?;
    let texts = |digests: &[corten_spec::Digest]| digests.iter().map(ToString::to_string).collect();
    let mut report = StoreCheckReport {
        store: store.describe(),
        blobs: checked.ok,
        corrupt: texts(&checked.corrupt),
        missing: texts(&checked.missing),
        unknown: texts(&checked.unknown),
        bytes: checked.bytes,
        repaired: repair,
        ..StoreCheckReport::default()
    };
    let Some(snapshots) = context.snapshots_there()? else { return Ok(report) };
    let layers = super::stacks::layers(&store).await?;
    let mut stacks = super::stacks::stacks(&store).await?;
    stacks.extend(super::mount::mounted_stacks(context)?);
    stacks.extend(super::containers::stacks(context)?);
    stacks.sort_unstable();
    stacks.dedup();
    let blobs = Blobs::of(Arc::new(store.clone()));
    let verified = on_thread("the check", move || {
        let verified = snapshots.verify(&stacks, &|diff_id| {
            let packed: Box<dyn Read> = Box::new(blobs.open(layers.get(diff_id)?));
            Some(packed)
        })?;
        if repair {
            verified.damages.iter().try_for_each(|damage| snapshots.discard(damage))?;
        }
        Ok(verified)
    })
    .await?;
    report.tars = verified.tars;
    report.indexes = verified.indexes;
    report.directories = verified.directories;
    report.unread = verified.unread;
    report.bytes = report.bytes.saturating_add(verified.bytes);
    let damaged = verified.damages.into_iter();
    let told = |damage: corten_bundle::Damage| (damage.path.display().to_string(), damage.what);
    report.damaged = damaged.map(told).map(|(path, what)| DamagedForm { path, what }).collect();
    Ok(report)
}
