//! Looking at an image: its documents, its config, what hangs together with it.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use corten_spec::{
    AnyDocument, Descriptor, Digest, Document, ImageConfig, Location, MAX_DOCUMENT, Manifest,
    Platform, RefName, Reference,
};
use corten_store::{Kind, Resolver, Store, StoreError, read_document, read_small};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Context, Failure, Place};

/// What to look at.
#[derive(Clone, Debug)]
pub struct InspectRequest {
    /// The image.
    pub place: Place,
    /// Which image of an index; this machine's if absent.
    pub platform: Option<Platform>,
    /// Whether every child and referrer is read, or the root alone.
    pub whole: bool,
}

/// What an image is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ImageReport {
    /// The image as a place.
    pub name: String,
    /// The manifest or index, with what hangs below it.
    pub root: TreeNode,
    /// The platforms an index has images for; the image's own for a manifest.
    pub platforms: Vec<String>,
    /// The image for the platform asked for, where there is one.
    pub image: Option<RunConfig>,
    /// Bytes of everything that `root` shows, each digest once.
    pub size: u64,
}

/// One document or blob.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TreeNode {
    /// `index`, `manifest`, `config`, `layer`, `blob` or `referrer`.
    pub role: String,
    /// Media type.
    pub media_type: String,
    /// Type of the artifact, where there is one.
    pub artifact_type: Option<String>,
    /// Digest.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// Platform, where an index names one.
    pub platform: Option<String>,
    /// Annotations of the descriptor and of the document, the document's winning.
    pub annotations: BTreeMap<String, String>,
    /// Whether the place has it; an index may list images that are elsewhere.
    pub present: bool,
    /// What it points at, then what refers to it; in one tree the first node of a document has them.
    pub children: Vec<TreeNode>,
}

/// How an image runs and what it is made of.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RunConfig {
    /// Digest of the manifest.
    pub digest: String,
    /// Digest of the config: the image's ID.
    pub config: String,
    /// Platform of the config.
    pub platform: String,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// User of the process.
    pub user: Option<String>,
    /// Directory it starts in.
    pub working_dir: Option<String>,
    /// What starts the command line.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// Environment.
    pub env: Vec<String>,
    /// Ports.
    pub exposed_ports: Vec<String>,
    /// Data directories.
    pub volumes: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Layers from the base up.
    pub layers: Vec<BlobReport>,
}

/// A blob and, for a layer, its DiffId.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BlobReport {
    /// Media type.
    pub media_type: String,
    /// Digest.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the unpacked layer.
    pub diff_id: Option<String>,
}

/// Which exact bytes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawPart {
    /// The manifest or index that the name points at.
    Root,
    /// The config of the image for the platform.
    Config,
}

/// Reads an image's documents, verified.
pub async fn inspect(context: &Context, request: InspectRequest) -> Result<ImageReport, Failure> {
    let source = context.source(&request.place).await?;
    let store = source.store.as_ref();
    let root = source.root().await?;
    let platforms = listed_platforms(store, &root).await?;
    let wanted = request.platform.clone();
    let image = match image_of(context, store, &root, wanted.as_ref()).await {
        Ok(image) => image,
        // An index without this machine's platform can still be looked at.
        Err(StoreError::NoPlatform { .. } | StoreError::NotFound { .. }) if wanted.is_none() => {
            None
        }
        Err(error) => return Err(error.into()),
    };
    let image = match image {
        Some(manifest) => run_config(store, &manifest).await?,
        None => None,
    };
    let node = tree(store, &root, request.whole).await?;
    let platforms = match (&image, platforms.is_empty()) {
        (Some(image), true) => vec![image.platform.clone()],
        _ => platforms.iter().map(Platform::to_string).collect(),
    };
    let mut seen = BTreeMap::new();
    sizes(&node, &mut seen);
    // Sizes are the maker's word, and two of them may be more than a number holds.
    let size = seen.values().fold(0, |sum: u64, size| sum.saturating_add(*size));
    Ok(ImageReport { name: source.shown, root: node, platforms, image, size })
}

/// The platforms that an index and the indexes below it name, in their order.
async fn listed_platforms(
    store: &dyn Store,
    root: &AnyDocument,
) -> Result<Vec<Platform>, StoreError> {
    let nobody = Platform::new("none", "none");
    match root {
        AnyDocument::Index(_) => match corten_store::select(store, root, &nobody).await {
            Err(StoreError::NoPlatform { available, .. }) => Ok(available),
            Err(error) => Err(error),
            Ok(_) => Ok(Vec::new()),
        },
        _ => Ok(Vec::new()),
    }
}

fn sizes<'a>(node: &'a TreeNode, seen: &mut BTreeMap<&'a str, u64>) {
    seen.insert(&node.digest, node.size);
    for child in &node.children {
        sizes(child, seen);
    }
}

/// The exact bytes of one document of an image, verified.
pub async fn raw(
    context: &Context,
    place: &Place,
    part: RawPart,
    platform: Option<&Platform>,
) -> Result<Bytes, Failure> {
    let source = context.source(place).await?;
    let store = source.store.as_ref();
    let root = source.root().await?;
    if part == RawPart::Root && platform.is_none() {
        return Ok(root.bytes().clone());
    }
    let manifest = image_of(context, store, &root, platform).await?.ok_or_else(|| {
        Failure::Usage(format!("{} is neither an image nor an index", source.shown))
    })?;
    if part == RawPart::Root {
        return Ok(manifest.bytes().clone());
    }
    let limit = ("a config", MAX_DOCUMENT);
    Ok(read_small(store, Kind::Blob, &manifest.value().config, limit).await?)
}

/// The image of `root` for `platform` (this machine's if absent), through nested indexes.
pub(super) async fn image_of(
    context: &Context,
    store: &dyn Store,
    root: &AnyDocument,
    platform: Option<&Platform>,
) -> Result<Option<Document<Manifest>>, StoreError> {
    let descriptor = match root {
        AnyDocument::Manifest(manifest) => return Ok(Some(manifest.clone())),
        AnyDocument::Other(_) => return Ok(None),
        AnyDocument::Index(_) => {
            let here = context.platform();
            corten_store::select(store, root, platform.unwrap_or(&here)).await?
        }
    };
    match read_document(store, &descriptor).await? {
        AnyDocument::Manifest(manifest) => Ok(Some(manifest.clone())),
        _ => Ok(None),
    }
}

async fn run_config(
    store: &dyn Store,
    manifest: &Document<Manifest>,
) -> Result<Option<RunConfig>, Failure> {
    let value = manifest.value();
    if !value.config.media_type.is_config() {
        return Ok(None);
    }
    let config = read_config(store, &value.config).await?;
    let image = config.value();
    let run = image.config.clone().unwrap_or_default();
    let diff_ids = image.rootfs.diff_ids.iter().map(|id| Some(id.to_string()));
    let diff_ids = diff_ids.chain(std::iter::repeat(None));
    let layers = value.layers.iter().zip(diff_ids).map(|(layer, diff_id)| blob(layer, diff_id));
    Ok(Some(RunConfig {
        digest: manifest.digest().to_string(),
        config: config.digest().to_string(),
        platform: image.platform.to_string(),
        created: image.created.clone(),
        author: image.author.clone(),
        user: run.user,
        working_dir: run.working_dir,
        entrypoint: run.entrypoint,
        cmd: run.cmd,
        env: run.env,
        exposed_ports: run.exposed_ports.into_keys().collect(),
        volumes: run.volumes.into_keys().collect(),
        labels: run.labels,
        layers: layers.collect(),
    }))
}

/// The config a manifest points at, verified and parsed.
pub(super) async fn read_config(
    store: &dyn Store,
    descriptor: &Descriptor,
) -> Result<Document<ImageConfig>, Failure> {
    let bytes = read_small(store, Kind::Blob, descriptor, ("a config", MAX_DOCUMENT)).await?;
    Ok(Document::parse(descriptor, bytes)?)
}

pub(super) fn blob(descriptor: &Descriptor, diff_id: Option<String>) -> BlobReport {
    BlobReport {
        media_type: descriptor.media_type.to_string(),
        digest: descriptor.digest.to_string(),
        size: descriptor.size,
        diff_id,
    }
}

/// Deepest nesting of indexes and referrers that is shown.
const MAX_DEPTH: usize = 16;

/// Most nodes of one tree.
const MAX_NODES: usize = 200_000;

/// `root` as a tree; with `whole`, every child document and referrer is read too.
async fn tree(store: &dyn Store, root: &AnyDocument, whole: bool) -> Result<TreeNode, Failure> {
    let mut tree = Tree { store, whole, nodes: 0, grown: HashSet::new() };
    Box::pin(tree.grow(root, "", MAX_DEPTH)).await
}

/// A tree that grows.
struct Tree<'a> {
    store: &'a dyn Store,
    whole: bool,
    /// Nodes so far.
    nodes: usize,
    /// Documents below which the tree was grown: indexes that list each other twice, a few levels
    /// deep, would have more nodes than any memory holds.
    grown: HashSet<Digest>,
}

impl Tree<'_> {
    async fn grow(
        &mut self,
        document: &AnyDocument,
        role: &str,
        depth: usize,
    ) -> Result<TreeNode, Failure> {
        let mut node = self.bare(document, role)?;
        if !self.grown.insert(document.descriptor().digest.clone()) {
            return Ok(node);
        }
        match document {
            AnyDocument::Manifest(manifest) => {
                let value = manifest.value();
                node.children.push(self.leaf("config", &value.config, true)?);
                for layer in &value.layers {
                    let role = if layer.media_type.is_layer() { "layer" } else { "blob" };
                    node.children.push(self.leaf(role, layer, true)?);
                }
            }
            AnyDocument::Index(index) => {
                for child in &index.value().manifests {
                    node.children.push(self.child(child, depth).await?);
                }
            }
            AnyDocument::Other(_) => {}
        }
        if self.whole && depth > 0 {
            for referrer in self.store.referrers(&document.descriptor().digest, None).await? {
                let document = read_document(self.store, &referrer).await?;
                let grown = self.grow(&document, "referrer", depth - 1);
                node.children.push(Box::pin(grown).await?);
            }
        }
        Ok(node)
    }

    /// The node of a document, without what hangs below it.
    fn bare(&mut self, document: &AnyDocument, role: &str) -> Result<TreeNode, Failure> {
        let descriptor = document.descriptor();
        let (word, annotations, artifact_type) = match document {
            AnyDocument::Manifest(m) => {
                let kind =
                    (!m.value().config.media_type.is_config()).then(|| m.value().artifact_kind());
                ("manifest", &m.value().annotations, kind.cloned())
            }
            AnyDocument::Index(i) => {
                ("index", &i.value().annotations, i.value().artifact_type.clone())
            }
            AnyDocument::Other(_) => ("blob", &descriptor.annotations, None),
        };
        let mut node = self.leaf(if role.is_empty() { word } else { role }, descriptor, true)?;
        node.annotations.extend(annotations.clone());
        node.artifact_type =
            artifact_type.or(descriptor.artifact_type.clone()).map(|t| t.to_string());
        Ok(node)
    }

    async fn child(&mut self, child: &Descriptor, depth: usize) -> Result<TreeNode, Failure> {
        let role = match &child.media_type {
            kind if kind.is_index() => "index",
            kind if kind.is_manifest() => "manifest",
            _ => "blob",
        };
        if !self.whole || depth == 0 || self.grown.contains(&child.digest) {
            return self.leaf(role, child, true);
        }
        match read_document(self.store, child).await {
            Ok(document) => Box::pin(self.grow(&document, "", depth - 1)).await,
            Err(StoreError::NotFound { .. }) => self.leaf(role, child, false),
            Err(error) => Err(error.into()),
        }
    }

    fn leaf(
        &mut self,
        role: &str,
        descriptor: &Descriptor,
        present: bool,
    ) -> Result<TreeNode, Failure> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Failure::Store(StoreError::Malformed {
                object: descriptor.digest.to_string(),
                place: self.store.describe(),
                source: format!("the tree has more than {MAX_NODES} nodes").into(),
            }));
        }
        Ok(leaf(role, descriptor, present))
    }
}

fn leaf(role: &str, descriptor: &Descriptor, present: bool) -> TreeNode {
    TreeNode {
        role: role.to_owned(),
        media_type: descriptor.media_type.to_string(),
        artifact_type: descriptor.artifact_type.as_ref().map(ToString::to_string),
        digest: descriptor.digest.to_string(),
        size: descriptor.size,
        platform: descriptor.platform.as_ref().map(ToString::to_string),
        annotations: descriptor.annotations.clone(),
        present,
        children: Vec::new(),
    }
}

/// The tags of a repository.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TagsReport {
    /// The repository, host and path.
    pub repository: String,
    /// Its tags, sorted.
    pub tags: Vec<String>,
}

/// Lists every tag of the repository that `reference` names, all pages.
pub async fn tags(context: &Context, reference: &Reference) -> Result<TagsReport, Failure> {
    let name = &reference.name;
    let location = Location { host: name.host().to_owned(), repository: name.path().to_owned() };
    let registry = context.registry(location)?;
    let tags = registry.names().await?.iter().map(RefName::to_string).collect();
    Ok(TagsReport { repository: name.to_string(), tags })
}
