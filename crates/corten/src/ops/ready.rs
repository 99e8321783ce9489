//! From a name to layers that are ready to run: found, admitted, fetched, verified and unpacked,
//! all layers at once and while they are downloaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use corten_bundle::{Form, Lease, Snapshots, Stacked};
use corten_spec::{Descriptor, DiffId, Document, ImageConfig, RefName};
use corten_store::{LayoutStore, Platforms, Request, Store as _};

use super::layers::{Blobs, on_thread};
use super::look::{self, LookRequest, OpenImage};
use super::rendering::{self, Rendering};
use crate::admission::{Admitted, Evidence};
use crate::place::{StoreName, ref_name};
use crate::{Context, Failure, Place};

/// Where an image that the local store may have is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Pull {
    /// The local store, where it has the name; else the registry.
    #[default]
    Missing,
    /// The registry: what the store has is not fetched again.
    Always,
    /// The local store alone.
    Never,
}

/// An image that is ready to run.
pub struct Ready {
    /// The image as the user would write it.
    pub shown: String,
    /// The verdict on it.
    pub admitted: Admitted,
    /// Its config, as received.
    pub config: Document<ImageConfig>,
    /// Its layers.
    pub stack: Stacked,
    /// Where they are.
    pub snapshots: Snapshots,
    /// Keeps them.
    pub lease: Lease,
}

/// Makes the image of `request` ready. Nothing of a layer is fetched before it is admitted.
pub async fn ready(context: &Context, request: &LookRequest, pull: Pull) -> Result<Ready, Failure> {
    let request = LookRequest { place: chosen(&request.place, pull), ..request.clone() };
    let image = look::open(context, &request).await?;
    let admitted = context.policy().decide(Evidence {
        name: image.shown.trim_start_matches("store:").to_owned(),
        root: image.root.clone(),
        manifest: image.digest.clone(),
        config: image.config.digest().clone(),
    })?;
    let snapshots = context.snapshots()?;
    let form = context.form(&snapshots);
    let diff_ids = image.config.value().rootfs.diff_ids.clone();
    let lease = snapshots.lease(&diff_ids)?;
    let layers: Vec<(Descriptor, DiffId)> =
        image.layers.iter().cloned().zip(diff_ids.iter().cloned()).collect();
    let store = context.store()?;
    if !image.is_of(&store) {
        fetch(context, &request.place, (&image, &snapshots), &layers).await?;
    }
    render(context, &store, &snapshots, form, &layers).await?;
    let at = snapshots.clone();
    let stack = on_thread("the index", move || Ok(at.stack(form, &diff_ids)?)).await?;
    Ok(Ready { shown: image.shown, admitted, config: image.config, stack, snapshots, lease })
}

fn chosen(place: &Place, pull: Pull) -> Place {
    match (place, pull) {
        (Place::Bare(StoreName::Reference(reference)), Pull::Always) => {
            Place::Registry(reference.clone())
        }
        (Place::Bare(name), Pull::Never) => Place::Store(name.clone()),
        (other, _) => other.clone(),
    }
}

/// Brings the image into the local store, every layer unpacked on its way.
async fn fetch(
    context: &Context,
    place: &Place,
    (image, snapshots): (&OpenImage, &Snapshots),
    layers: &[(Descriptor, DiffId)],
) -> Result<(), Failure> {
    let names: Vec<RefName> = match place {
        // A name with a digest and no tag is no name of the store.
        Place::Registry(reference) | Place::Bare(StoreName::Reference(reference))
            if reference.tag.is_some() || reference.digest.is_none() =>
        {
            vec![ref_name(reference)?]
        }
        _ => Vec::new(),
    };
    let wanted: BTreeMap<_, _> =
        layers.iter().map(|(blob, diff_id)| (blob.digest.clone(), diff_id.clone())).collect();
    let form = context.form(snapshots);
    let to = Rendering::new(context.store()?, snapshots.clone(), form, wanted);
    let source = image.source();
    let request = Request {
        names,
        platforms: Platforms::Some(vec![image.config.value().platform.clone()]),
        ambiguity: context.ambiguity(),
        jobs: context.jobs(),
        progress: context.progress(),
        ..Request::new(source.store.clone(), Arc::new(to), source.selector.clone())
    };
    corten_store::copy(request).await?;
    Ok(())
}

/// Makes ready what is not: layers that the store had already, and what was cut off on its way.
async fn render(
    context: &Context,
    store: &LayoutStore,
    snapshots: &Snapshots,
    form: Form,
    layers: &[(Descriptor, DiffId)],
) -> Result<(), Failure> {
    let mut waiting = rendering::missing(snapshots, form, layers).into_iter();
    let blobs = Blobs::of(Arc::new(store.clone()));
    let mut running = tokio::task::JoinSet::new();
    loop {
        while running.len() < context.jobs()
            && let Some((blob, diff_id)) = waiting.next()
        {
            let (blobs, snapshots) = (blobs.clone(), snapshots.clone());
            running.spawn_blocking(move || {
                let packed = blobs.open(&blob);
                snapshots.render(form, &diff_id, packed).map_err(Failure::from)
            });
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(ended) => ended.map_err(|_| Failure::interrupted("unpacking a layer"))??,
        }
    }
}

impl OpenImage {
    /// Whether its blobs are in `store` already.
    fn is_of(&self, store: &LayoutStore) -> bool {
        self.source().store.describe() == store.describe()
    }
}
