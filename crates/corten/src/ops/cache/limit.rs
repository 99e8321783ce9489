//! What goes when the cache is to become smaller, and the limit that holds after every build.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use corten_build::{kept_memo, kept_mounts, kept_steps};
use corten_spec::Digest;

use super::super::build::kept_sources;
use super::super::layers::on_thread;
use super::kept::{Kept, What, total};
use super::{CacheFilter, CacheGcRequest, Look, wrong};
use crate::{Context, Failure};

/// The limit that held after the last build that did something, below the builder's place.
const HELD: &str = "limit";
/// Most bytes of that file.
const MAX_HELD: u64 = 64;

/// Which of all go, by their numbers: what was not used for longest first, and nothing that is in use.
pub(super) fn choose(all: &[Kept], request: &CacheGcRequest, now: SystemTime) -> Vec<usize> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|number| all.get(*number).map(|kept| kept.used));
    let mut holders: BTreeMap<&Digest, usize> = BTreeMap::new();
    for kept in all {
        if let What::Step(layer, _) = &kept.what {
            *holders.entry(layer).or_default() += 1;
        }
    }
    let meant = all.iter().filter(|kept| request.filter.takes(kept.entry.kind, &kept.entry.id));
    let mut left = total(meant);
    let mut chosen = Vec::new();
    for number in order {
        let Some(kept) = all.get(number) else { continue };
        let is_kept = kept.entry.in_use
            || !request.filter.takes(kept.entry.kind, &kept.entry.id)
            || request
                .keep
                .is_some_and(|keep| now.duration_since(kept.used).is_ok_and(|age| age < keep));
        if is_kept {
            continue;
        }
        match request.max {
            Some(max) if left <= max => break,
            // To forget what images need frees nothing.
            Some(_) if kept.is_needed => continue,
            _ => {}
        }
        let frees = match &kept.what {
            What::Step(layer, _) => match holders.get_mut(layer) {
                Some(count) => {
                    *count -= 1;
                    *count == 0 && !kept.is_needed
                }
                None => false,
            },
            _ => true,
        };
        left = left.saturating_sub(if frees { kept.entry.size } else { 0 });
        chosen.push(number);
    }
    chosen
}

/// Brings the cache under its limit after a build: that of the command line, else that of the configuration. A build
/// that did nothing added nothing, and is not held up by a look at everything.
pub(in crate::ops) async fn hold_limit(
    context: &Context,
    limit: Option<u64>,
    did_something: bool,
) -> Result<(), Failure> {
    let Some(limit) = limit.or_else(|| context.cache_max()) else { return Ok(()) };
    let held = context.store()?.path().join(super::BUILD).join(HELD);
    let text = limit.to_string();
    if !did_something && noted(&held).as_deref() == Some(text.as_str()) {
        return Ok(());
    }
    let look = Look::new(context)?;
    on_thread("the cache", move || {
        if look.at_most()? > limit {
            let filter = CacheFilter::default();
            let request = CacheGcRequest { max: Some(limit), filter, ..CacheGcRequest::default() };
            look.collect(&request)?;
        }
        note(&held, &text).map_err(wrong(&held))
    })
    .await
}

impl Look {
    /// What the cache has at most, known without a look at what images need.
    fn at_most(&self) -> Result<u64, Failure> {
        let place = &self.place;
        let steps = kept_steps(place).map_err(wrong(place))?;
        let layers: BTreeMap<_, _> = steps
            .into_iter()
            .map(|step| (step.layer.descriptor.digest, step.layer.descriptor.size))
            .collect();
        let mounts = kept_mounts(place).map_err(wrong(place))?;
        let sources = kept_sources(place)?;
        let sizes = layers.into_values();
        let sizes = sizes.chain(mounts.iter().map(|mount| mount.size(place)));
        let sizes = sizes.chain(kept_memo(place).map(|memo| memo.size));
        Ok(sizes.chain(sources.iter().map(|source| source.size)).fold(0, u64::saturating_add))
    }
}

fn noted(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(MAX_HELD).read_to_string(&mut text).ok()?;
    Some(text)
}

fn note(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path))?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
