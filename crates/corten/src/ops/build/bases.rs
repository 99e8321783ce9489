//! The images that stages begin with: made ready as for a run, admission and all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corten_build::{Base, Bases, BuiltLayer};
use corten_spec::{Digest, Platform, Reference};
use tokio::sync::{mpsc, oneshot};

use super::super::look::{self, LookRequest};
use super::super::ready::{Pull, ready};
use crate::place::StoreName;
use crate::{Context, Failure, Place};

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// A question for an image, and the way back.
pub(super) struct Question {
    place: Place,
    platform: Platform,
    answer: oneshot::Sender<Result<Base, Failure>>,
}

/// Asks the runtime from the threads of a build.
pub(super) struct Images {
    pub(super) asking: mpsc::Sender<Question>,
    /// What named contexts name: any place. A Dockerfile itself names references alone.
    pub(super) places: BTreeSet<String>,
    /// Those that are here already, by words that no Dockerfile has.
    pub(super) own: BTreeMap<String, Base>,
}

impl Bases for Images {
    fn image(&self, name: &str, platform: &Platform) -> Result<Base, Problem> {
        if let Some(base) = self.own.get(name) {
            return Ok(base.clone());
        }
        let (answer, answered) = oneshot::channel();
        let place = match self.places.contains(name) {
            true => Place::parse_bare(name)?,
            false => Place::Bare(StoreName::Reference(Reference::parse(name)?)),
        };
        let question = Question { place, platform: platform.clone(), answer };
        let gone = || Problem::from("nobody answers any more");
        self.asking.blocking_send(question).map_err(|_| gone())?;
        Ok(answered.blocking_recv().map_err(|_| gone())??)
    }
}

/// Answers a question.
pub(super) async fn answer(context: &Context, question: Question, pull: Pull) {
    // Where this machine's own is meant, the only image of a name will do.
    let is_ours = question.platform.normalized() == context.platform().normalized();
    let platform = (!is_ours).then_some(question.platform);
    let base = base(context, question.place, platform, pull).await;
    // Who asked may be gone, which is its right.
    let _ = question.answer.send(base);
}

/// An image of a place, brought here and made ready.
pub(in crate::ops) async fn base(
    context: &Context,
    place: Place,
    platform: Option<Platform>,
    pull: Pull,
) -> Result<Base, Failure> {
    let request = LookRequest { place, platform };
    let image = ready(context, &request, pull).await?;
    let (digest, layers) = layers(context, &request).await?;
    let diff_ids = image.config.value().rootfs.diff_ids.iter().cloned();
    let layers = layers.into_iter().zip(diff_ids);
    let layers = layers.map(|(descriptor, diff_id)| BuiltLayer { descriptor, diff_id }).collect();
    let (config, held) = (image.config.value().clone(), Arc::new(image.lease));
    Ok(Base { config, layers, digest: Some(digest), held })
}

/// The manifest's digest and the packed layers of an image that is ready: it is in the local store, or in a layout they are copied from.
async fn layers(
    context: &Context,
    request: &LookRequest,
) -> Result<(Digest, Vec<corten_spec::Descriptor>), Failure> {
    let image = look::open(context, request).await?;
    let layers = image.layers.clone();
    let store = Arc::new(context.store()?);
    let from = image.source().store.clone();
    let twin = super::super::import::oci_twin;
    corten_store::copy_blobs(from, store, layers.clone(), context.jobs(), context.progress())
        .await?;
    let layers = layers.into_iter().map(|mut layer| {
        layer.media_type = twin(&layer.media_type);
        layer
    });
    Ok((image.digest.clone(), layers.collect()))
}
