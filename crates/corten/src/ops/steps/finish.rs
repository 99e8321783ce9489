//! What a draft becomes: changes joined into a layer, documents, an image with a name.

use std::io::{BufReader, Seek as _, SeekFrom};
use std::num::NonZeroUsize;

use corten_build::BuiltLayer;
use corten_layer::{Compression, Limits, Packing, join, spool_tar};
use corten_spec::{AnyDocument, Document, History, ImageConfig, Manifest, MediaType, RefName};
use corten_store::{LayoutStore, Pusher as _, Tagger as _};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::import::{Time, put_config, write};
use super::super::layers::{layer_failure, on_thread};
use super::draft::{Draft, WorkWord, hold, name_of};
use super::{Note, noted};
use crate::{Context, Failure};

/// Which document of a draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DraftDocument {
    /// The config.
    #[default]
    Config,
    /// The manifest.
    Manifest,
}

/// What was written.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WriteReport {
    /// Names that it has in the local store.
    pub names: Vec<String>,
    /// Digest of its manifest.
    pub digest: String,
    /// Digest of its config: the image's ID.
    pub config: String,
    /// How many layers it has.
    pub layers: usize,
}

/// Closes the layer: what changes from now on is another one.
pub async fn close_layer(context: &Context, work: &WorkWord, note: Note) -> Result<(), Failure> {
    let held = hold(context, work).await?;
    let mut draft = held.draft()?;
    noted(context, &mut draft, &note, false)?;
    held.keep(&closed(context, draft).await?)
}

/// A draft without open changes.
pub(super) async fn closed(context: &Context, draft: Draft) -> Result<Draft, Failure> {
    let mut draft = joined(context, draft).await?;
    let layer = draft.joined.take();
    draft.open.clear();
    let rows = std::mem::take(&mut draft.rows);
    // The last word that changed files has the layer that all of them made.
    let last = rows.iter().rposition(|row| row.layer).filter(|_| layer.is_some());
    let rows = rows.into_iter().enumerate();
    draft.config.history.extend(rows.filter_map(|(number, row)| {
        let has_layer = last == Some(number);
        (has_layer || row.command.is_some()).then(|| History {
            created: Some(row.created),
            created_by: row.command,
            empty_layer: !has_layer,
            ..History::default()
        })
    }));
    draft.layers.extend(layer);
    Ok(draft)
}

/// The same draft with its open changes as one layer beside them.
async fn joined(context: &Context, mut draft: Draft) -> Result<Draft, Failure> {
    if draft.joined.is_some() {
        return Ok(draft);
    }
    draft.joined = match draft.open.as_slice() {
        [] => None,
        [layer] => Some(layer.clone()),
        layers => {
            let (layers, store) = (layers.to_vec(), context.store()?);
            Some(on_thread("the layer", move || join_layers(&layers, &store)).await?)
        }
    };
    Ok(draft)
}

fn join_layers(layers: &[BuiltLayer], store: &LayoutStore) -> Result<BuiltLayer, Failure> {
    let limits = Limits::default();
    let mut archives = Vec::new();
    for layer in layers {
        let failed = |error| layer_failure(layer.descriptor.digest.to_string(), error);
        let place = |source| Failure::Io {
            object: store.path().display().to_string(),
            action: "unpacking a layer beside it",
            source,
        };
        let blob = BufReader::with_capacity(256 * 1024, store.blob_file(&layer.descriptor.digest)?);
        let mut spool = tempfile::tempfile_in(store.path()).map_err(place)?;
        spool_tar(blob, limits, &mut spool).map_err(failed)?;
        spool.seek(SeekFrom::Start(0)).map_err(place)?;
        archives.push(BufReader::new(spool));
    }
    let media_type = layers.last().map(|layer| &layer.descriptor.media_type);
    let compression = media_type.and_then(Compression::of_media_type).unwrap_or(Compression::Gzip);
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let packing = Packing { compression, level: None, threads };
    let (packed, staged) = join(&mut archives, packing, limits, store.stage()?)
        .map_err(|error| layer_failure("the layer of all changes", error))?;
    staged.publish(&packed.descriptor)?;
    Ok(BuiltLayer { descriptor: packed.descriptor, diff_id: packed.diff_id })
}

/// The documents of a draft as it is.
async fn documents(
    context: &Context,
    draft: &Draft,
    shown: &str,
) -> Result<(Document<ImageConfig>, Document<Manifest>), Failure> {
    let draft = closed(context, draft.clone()).await?;
    let mut config = draft.config;
    config.rootfs.diff_ids = draft.layers.iter().map(|layer| layer.diff_id.clone()).collect();
    config.created = Some(match config.history.last().and_then(|row| row.created.clone()) {
        Some(created) => created,
        None => Time::of(context, None)?.created,
    });
    let config = write(shown, MediaType::OCI_CONFIG, config)?;
    let layers = draft.layers.iter().map(|layer| layer.descriptor.clone()).collect();
    let mut manifest = Manifest::image(config.descriptor().clone(), layers);
    manifest.annotations = draft.annotations;
    let manifest = write(shown, MediaType::OCI_MANIFEST, manifest)?;
    Ok((config, manifest))
}

/// A document of the draft, as [`write_draft`] would write it now.
pub async fn draft_document(
    context: &Context,
    work: &WorkWord,
    which: DraftDocument,
) -> Result<Vec<u8>, Failure> {
    let held = hold(context, work).await?;
    let draft = joined(context, held.draft()?).await?;
    // What was joined is not joined again.
    held.keep(&draft)?;
    let (config, manifest) = documents(context, &draft, held.shown()).await?;
    Ok(match which {
        DraftDocument::Config => config.bytes().to_vec(),
        DraftDocument::Manifest => manifest.bytes().to_vec(),
    })
}

/// Makes an image of the draft as it is, and names it: by `names`, else as the draft is named. The draft can
/// be changed further, and written again.
pub async fn write_draft(
    context: &Context,
    work: &WorkWord,
    names: Vec<RefName>,
) -> Result<WriteReport, Failure> {
    let held = hold(context, work).await?;
    let draft = joined(context, held.draft()?).await?;
    held.keep(&draft)?;
    let mut names = names;
    if names.is_empty() {
        let nameless = || {
            let text = "the image has no name: write -t NAME, or set-name NAME before";
            Failure::Usage(text.to_owned())
        };
        names.push(name_of(&draft)?.ok_or_else(nameless)?);
    }
    let (config, manifest) = documents(context, &draft, held.shown()).await?;
    let store = context.store()?;
    put_config(&store, &config).await?;
    let layers = manifest.value().layers.len();
    let digest = manifest.digest().to_string();
    let document = AnyDocument::Manifest(manifest);
    store.push(&document).await?;
    for name in &names {
        store.tag(name, &document).await?;
    }
    Ok(WriteReport {
        names: names.iter().map(ToString::to_string).collect(),
        digest,
        config: config.digest().to_string(),
        layers,
    })
}
