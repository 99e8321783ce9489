//! The first word and the last: what a draft begins with, and its end.

use corten_build::BuiltLayer;
use corten_layer::{Compression, PackOptions};

use super::super::build::bases;
use super::super::edit::empty_config;
use super::super::import::{ImportSource, Time, pack};
use super::super::layers::on_thread;
use super::super::ready::Pull;
use super::draft::{Draft, Layering, WorkWord, hold};
use super::{Note, noted};
use crate::{Context, Failure, Place};

/// What an image in the making begins with.
#[derive(Clone, Debug)]
pub enum BeginFrom {
    /// Nothing.
    Nothing,
    /// An image.
    Image(Place),
    /// A root filesystem.
    Tree(ImportSource),
}

/// What is asked of `begin`.
#[derive(Clone, Debug)]
pub struct BeginRequest {
    /// What it begins with.
    pub from: BeginFrom,
    /// What becomes of changes.
    pub layering: Layering,
    /// When a registry is asked.
    pub pull: Pull,
    /// How the layer of a root filesystem is packed.
    pub compression: Compression,
}

/// Begins a draft where there is none. Gives the instructions that the image keeps for those who build on it:
/// a draft does not carry them out.
pub async fn begin(
    context: &Context,
    work: &WorkWord,
    request: BeginRequest,
    note: Note,
) -> Result<Vec<String>, Failure> {
    super::super::run::tell_of_one_id(context);
    let held = hold(context, work).await?;
    if held.there()?.is_some() {
        let text = format!(
            "the work {} is begun already: 'corten build end' forgets it, --work NAME is another one",
            held.shown()
        );
        return Err(Failure::Usage(text));
    }
    let mut kept = Vec::new();
    let mut draft = match request.from {
        BeginFrom::Nothing => {
            Draft::new(empty_config(context.platform()), Vec::new(), request.layering)
        }
        BeginFrom::Tree(source) => {
            let layer = tree(context, source, request.compression).await?;
            let config = empty_config(context.platform());
            let mut draft = Draft::new(config, Vec::new(), request.layering);
            draft.open.push(layer);
            draft
        }
        BeginFrom::Image(place) => {
            let base = bases::base(context, place, None, request.pull).await?;
            let mut config = base.config;
            if let Some(own) = config.config.as_mut()
                && let Some(lines) = own.extra.remove("OnBuild")
            {
                kept = serde_json::from_value(lines).unwrap_or_default();
            }
            Draft::new(config, base.layers, request.layering)
        }
    };
    let has_layer = !draft.open.is_empty();
    noted(context, &mut draft, &note, has_layer)?;
    if has_layer {
        // A root filesystem is what the first changes are changes of.
        draft = super::finish::closed(context, draft).await?;
    }
    held.keep(&draft)?;
    Ok(kept)
}

/// Lays the layers of an image on the draft, without those that it has already.
pub async fn add_layers(
    context: &Context,
    work: &WorkWord,
    image: Place,
    note: Note,
) -> Result<(), Failure> {
    let held = hold(context, work).await?;
    let mut draft = super::finish::closed(context, held.draft()?).await?;
    let base = bases::base(context, image, None, Pull::Missing).await?;
    let there = draft.layers.clone();
    let is_new = |layer: &BuiltLayer| there.iter().all(|old| old.diff_id != layer.diff_id);
    for layer in base.layers.into_iter().filter(is_new) {
        draft.open.push(layer);
        noted(context, &mut draft, &note, true)?;
        draft = super::finish::closed(context, draft).await?;
    }
    held.keep(&draft)
}

async fn tree(
    context: &Context,
    source: ImportSource,
    compression: Compression,
) -> Result<BuiltLayer, Failure> {
    let mut options = PackOptions::new(compression);
    options.latest_mtime = Time::of(context, None)?.latest_mtime;
    let store = context.store()?;
    let tree = on_thread("begin", move || pack(&source, &options, &store)).await?;
    Ok(BuiltLayer { descriptor: tree.packed.descriptor, diff_id: tree.packed.diff_id })
}

/// Forgets the draft; whether there was one. What was written of it stays.
pub async fn end(context: &Context, work: &WorkWord) -> Result<bool, Failure> {
    hold(context, work).await?.end()
}
