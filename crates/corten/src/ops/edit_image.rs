//! `edit`: another config for an image, on every platform of an index, without a context and without a
//! layer. What the documents have beyond the specification stays.

use std::collections::BTreeSet;
use std::sync::Arc;

use corten_build::BuiltLayer;
use corten_spec::{
    AnyDocument, Descriptor, Document, History, ImageConfig, Index, Manifest, MediaType, RefName,
};
use corten_store::{
    Foreign, LayoutStore, Platforms, Pusher, Request, Selector, Tagger, WithReferrers,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::append::twins;
use super::edit::{ConfigEdit, edit_run, take_from};
use super::import::{Time, put_config, write};
use super::inspect::read_config;
use crate::opened::OpenSource;
use crate::{Context, Failure, Place};

/// How deep indexes are followed: what [`corten_store::walk`] carries.
pub(super) const MAX_DEPTH: usize = corten_store::MAX_DEPTH;

/// What is taken out of a config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigCut {
    /// Environment variables.
    pub env: BTreeSet<String>,
    /// Labels.
    pub labels: BTreeSet<String>,
    /// Annotations of the manifests.
    pub annotations: BTreeSet<String>,
    /// Ports.
    pub exposed_ports: BTreeSet<String>,
    /// Data directories.
    pub volumes: BTreeSet<String>,
}

/// Which image shall become which.
#[derive(Clone, Debug)]
pub struct EditRequest {
    /// The image.
    pub image: Place,
    /// The name of the new one in the local store.
    pub name: RefName,
    /// What is set.
    pub edit: ConfigEdit,
    /// What is taken away, first.
    pub cut: ConfigCut,
    /// When it was made, RFC 3339; `SOURCE_DATE_EPOCH`, or the epoch itself, if absent.
    pub created: Option<String>,
}

/// What was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EditReport {
    /// The image's name in the local store.
    pub name: String,
    /// Digest of its manifest or index.
    pub digest: String,
    /// The images of an index that were changed, by platform; the one image otherwise.
    pub edited: Vec<String>,
    /// Digests of manifests of an index that are no images to run, and that a changed image leaves behind.
    pub left_out: Vec<String>,
}

/// Makes the new image and names it. The layers are those of the old one, byte for byte; a signature or an
/// attestation of the old one says nothing of the new one, and is left behind.
pub async fn edit(context: &Context, request: EditRequest) -> Result<EditReport, Failure> {
    let time = Time::of(context, request.created.as_deref())?;
    let (source, store) = (context.source(&request.image).await?, context.store()?);
    let root = source.root().await?;
    bring(context, &source, root.descriptor()).await?;
    let mut editor = Editor::new(&store, &request, &time.created);
    let document = Box::pin(editor.edited(&root, MAX_DEPTH)).await?;
    let document = document.ok_or_else(|| {
        Failure::Usage(format!("{} is no image: there is no config to change", source.shown))
    })?;
    store.tag(&request.name, &document).await?;
    Ok(EditReport {
        name: request.name.to_string(),
        digest: document.descriptor().digest.to_string(),
        edited: editor.edited,
        left_out: editor.left_out,
    })
}

/// Brings everything below a document of `source` into the local store.
pub(super) async fn bring(
    context: &Context,
    source: &OpenSource,
    root: &Descriptor,
) -> Result<(), Failure> {
    let copied = corten_store::copy(Request {
        from: source.store.clone(),
        to: Arc::new(context.store()?),
        root: Selector::Digest(root.digest.clone()),
        names: Vec::new(),
        platforms: Platforms::All,
        referrers: WithReferrers::No,
        foreign: Foreign::IfPresent,
        ambiguity: context.ambiguity(),
        jobs: context.jobs(),
        progress: context.progress(),
    });
    copied.await?;
    Ok(())
}

/// What makes other documents of those of an image.
pub(super) struct Editor<'a> {
    store: &'a LayoutStore,
    request: &'a EditRequest,
    created: &'a str,
    /// The verb, for the history.
    pub(super) made_by: &'a str,
    /// Layers that come on top.
    pub(super) layers: &'a [BuiltLayer],
    pub(super) edited: Vec<String>,
    pub(super) left_out: Vec<String>,
}

impl<'a> Editor<'a> {
    pub(super) fn new(store: &'a LayoutStore, request: &'a EditRequest, created: &'a str) -> Self {
        Self {
            store,
            request,
            created,
            made_by: "corten edit",
            layers: &[],
            edited: Vec::new(),
            left_out: Vec::new(),
        }
    }
}

impl Editor<'_> {
    /// What becomes of a document: written and pushed; `None` for one that holds no image.
    pub(super) async fn edited(
        &mut self,
        document: &AnyDocument,
        depth: usize,
    ) -> Result<Option<AnyDocument>, Failure> {
        let made = match document {
            AnyDocument::Manifest(manifest) => self.manifest(manifest).await?,
            AnyDocument::Index(index) if depth > 0 => self.index(index, depth).await?,
            _ => None,
        };
        if let Some(made) = &made {
            self.store.push(made).await?;
        }
        Ok(made)
    }

    async fn manifest(
        &mut self,
        manifest: &Document<Manifest>,
    ) -> Result<Option<AnyDocument>, Failure> {
        let old = &manifest.value().config;
        if !old.media_type.is_config() {
            return Ok(None);
        }
        let config = read_config(self.store, old).await?;
        // Of an index, the entries for no platform are about others: attestations of the field.
        if config.value().platform.os == "unknown" {
            return Ok(None);
        }
        self.edited.push(config.value().platform.to_string());
        let config = self.config(config.value().clone());
        let config = write(self.shown(), old.media_type.clone(), config)?;
        put_config(self.store, &config).await?;
        let mut value = self.value(manifest.bytes())?;
        set(&mut value, "config", config.descriptor())?;
        if !self.layers.is_empty() {
            let is_docker = manifest.descriptor().media_type == MediaType::DOCKER_MANIFEST;
            let mut layers = manifest.value().layers.clone();
            layers.extend(twins(self.layers, is_docker));
            set(&mut value, "layers", &layers)?;
        }
        self.annotate(&mut value);
        self.parse(&manifest.descriptor().media_type, &value)
    }

    async fn index(
        &mut self,
        index: &Document<Index>,
        depth: usize,
    ) -> Result<Option<AnyDocument>, Failure> {
        let mut children = Vec::new();
        for child in &index.value().manifests {
            let document = corten_store::read_document(self.store, child).await?;
            match Box::pin(self.edited(&document, depth - 1)).await? {
                Some(made) => children.push(like(child, made.descriptor())),
                None => self.left_out.push(child.digest.to_string()),
            }
        }
        if children.is_empty() {
            return Ok(None);
        }
        let mut value = self.value(index.bytes())?;
        set(&mut value, "manifests", &children)?;
        self.annotate(&mut value);
        self.parse(&index.descriptor().media_type, &value)
    }

    fn config(&self, mut config: ImageConfig) -> ImageConfig {
        config.created = Some(self.created.to_owned());
        let row = History {
            created: Some(self.created.to_owned()),
            created_by: Some(self.made_by.to_owned()),
            empty_layer: self.layers.is_empty(),
            ..History::default()
        };
        config.history.extend(std::iter::repeat_n(row, self.layers.len().max(1)));
        config.rootfs.diff_ids.extend(self.layers.iter().map(|layer| layer.diff_id.clone()));
        take_from(&mut config, &self.request.cut);
        edit_run(&mut config, &self.request.edit);
        config
    }

    /// The annotations of a manifest or of an index; what refers to another subject does no longer.
    fn annotate(&self, value: &mut Value) {
        let Some(object) = value.as_object_mut() else { return };
        object.remove("subject");
        let (edit, cut) = (&self.request.edit.annotations, &self.request.cut.annotations);
        let there =
            object.entry("annotations").or_insert_with(|| Value::Object(Default::default()));
        if let Some(annotations) = there.as_object_mut() {
            annotations.retain(|key, _| !cut.contains(key));
            annotations.extend(edit.iter().map(|(key, text)| (key.clone(), text.clone().into())));
        }
        if there.as_object().is_none_or(serde_json::Map::is_empty) {
            object.remove("annotations");
        }
    }

    fn shown(&self) -> String {
        self.request.name.to_string()
    }

    fn failed(&self, source: impl Into<std::io::Error>) -> Failure {
        Failure::Io { object: self.shown(), action: "writing its documents", source: source.into() }
    }

    fn value(&self, bytes: &[u8]) -> Result<Value, Failure> {
        serde_json::from_slice(bytes).map_err(|error| self.failed(error))
    }

    /// The document of a changed value.
    fn parse(&self, media_type: &MediaType, value: &Value) -> Result<Option<AnyDocument>, Failure> {
        let bytes = serde_json::to_vec(value).map_err(|error| self.failed(error))?;
        let descriptor = Descriptor::of(media_type.clone(), &bytes);
        let document = AnyDocument::parse(&descriptor, bytes.into());
        Ok(Some(document.map_err(|error| self.failed(std::io::Error::other(error)))?))
    }
}

fn set(value: &mut Value, name: &str, to: impl Serialize) -> Result<(), Failure> {
    let to = serde_json::to_value(to).map_err(|error| Failure::Io {
        object: name.to_owned(),
        action: "writing",
        source: error.into(),
    })?;
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), to);
    }
    Ok(())
}

/// The entry of an index for what its content became.
fn like(child: &Descriptor, made: &Descriptor) -> Descriptor {
    Descriptor {
        digest: made.digest.clone(),
        size: made.size,
        // The content itself may stand in it.
        data: None,
        urls: Vec::new(),
        ..child.clone()
    }
}
