//! Looking into an image: listing, printing, exporting its files, without unpacking it.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_layer::{Contents, EntryKind, LayerError, Limits, Merged, Mtime, Node, TreePath};
use corten_spec::{
    AnyDocument, Descriptor, DiffId, Digest, Document, ImageConfig, Platform, validate,
};
use corten_store::{Ambiguity, LayoutStore, Progress, StoreError};
use schemars::JsonSchema;
use serde::Serialize;

use super::inspect::{image_of, read_config};
use super::layers::{Blobs, layer_failure, on_thread};
use crate::{Context, Failure, OpenSource, Place};

/// Which image to look into.
#[derive(Clone, Debug)]
pub struct LookRequest {
    /// The image.
    pub place: Place,
    /// Which image of an index; this machine's if absent.
    pub platform: Option<Platform>,
}

/// An image whose layers can be read.
pub(super) struct OpenImage {
    /// The image as the user would write it.
    pub(super) shown: String,
    /// Digest that its name leads to: of an index, or of the manifest.
    pub(super) root: Digest,
    /// Digest of its manifest.
    pub(super) digest: Digest,
    /// Its config, as received.
    pub(super) config: corten_spec::Document<ImageConfig>,
    /// Its layers from the base up.
    pub(super) layers: Vec<Descriptor>,
    source: OpenSource,
    /// The local store, where layers from elsewhere are kept; none is needed for local ones.
    cache: Option<LayoutStore>,
    progress: Arc<dyn Progress>,
    jobs: usize,
}

/// Finds the image and reads its documents, no layer yet.
pub(super) async fn open(context: &Context, request: &LookRequest) -> Result<OpenImage, Failure> {
    let source = context.source(&request.place).await?;
    let root = source.root().await?;
    let refuse = || Failure::Usage(format!("{} is no image with layers", source.shown));
    let store = source.store.as_ref();
    let manifest = image_of(context, store, &root, request.platform.as_ref()).await?;
    let manifest = manifest.ok_or_else(refuse)?;
    if !manifest.value().config.media_type.is_config() {
        return Err(refuse());
    }
    let config = read_config(store, &manifest.value().config).await?;
    if context.ambiguity() == Ambiguity::Refuse {
        unambiguous(&source, &[&root, &AnyDocument::Manifest(manifest.clone())], &config)?;
    }
    if config.value().rootfs.diff_ids.len() != manifest.value().layers.len() {
        return Err(Failure::Inconsistent {
            image: source.shown.clone(),
            why: "its config lists another number of layers than its manifest",
        });
    }
    let remote = source.store.location().is_some();
    Ok(OpenImage {
        shown: source.shown.clone(),
        root: root.descriptor().digest.clone(),
        digest: manifest.digest().clone(),
        layers: manifest.value().layers.clone(),
        config,
        source,
        cache: remote.then(|| context.store()).transpose()?,
        progress: context.progress(),
        jobs: context.jobs(),
    })
}

/// Refuses an image that another reader would take for another one.
fn unambiguous(
    source: &OpenSource,
    documents: &[&AnyDocument],
    config: &Document<ImageConfig>,
) -> Result<(), Failure> {
    let documents = documents.iter().map(|document| (document.descriptor(), document.bytes()));
    for (descriptor, bytes) in documents.chain([(config.descriptor(), config.bytes())]) {
        let object = descriptor.digest.to_string();
        let checked = validate::unambiguous(&descriptor.media_type, &object, bytes);
        let place = || source.store.describe();
        checked.map_err(|source| StoreError::Malformed { object, place: place(), source })?;
    }
    Ok(())
}

impl OpenImage {
    /// Where it is read from.
    pub(super) fn source(&self) -> &OpenSource {
        &self.source
    }

    /// The layers of a registry are brought here first: read once over the network, however often
    /// they are read here. They stay in the local store for the grace of `gc`.
    fn lazy(&self) -> Stack {
        let from = self.source.store.clone();
        Stack {
            blobs: match self.cache.clone() {
                Some(cache) => Blobs::through(from, cache, self.progress.clone()),
                None => Blobs::of(from),
            },
            layers: self.layers.clone(),
            diff_ids: self.config.value().rootfs.diff_ids.clone(),
            shown: self.shown.clone(),
        }
    }

    /// Its layers, each of them on this machine.
    pub(super) async fn brought(&self) -> Result<Stack, Failure> {
        let stack = self.lazy();
        stack.blobs.bring(&stack.layers, self.jobs).await?;
        Ok(stack)
    }

    /// The merged tree of all layers, every byte of them verified, and where to read them again.
    pub(super) async fn merge(&self, contents: Contents) -> Result<(Merged, Stack), Failure> {
        let stack = self.brought().await?;
        on_thread("reading layers", move || {
            let mut merged = Merged::new(Limits::default());
            for number in 0..stack.layers.len() {
                stack.add_to(&mut merged, number, contents)?;
            }
            Ok((merged, stack))
        })
        .await
    }
}

/// The layers of an image, to be read on a plain thread.
pub(super) struct Stack {
    blobs: Blobs,
    layers: Vec<Descriptor>,
    diff_ids: Vec<DiffId>,
    shown: String,
}

impl Stack {
    pub(super) fn open(&self, number: usize) -> std::io::Result<Box<dyn Read>> {
        let layer = self.layers.get(number);
        let layer = layer.ok_or_else(|| std::io::Error::other("no such layer"))?;
        Ok(Box::new(self.blobs.open(layer)))
    }

    fn add_to(
        &self,
        merged: &mut Merged,
        number: usize,
        contents: Contents,
    ) -> Result<(), Failure> {
        let failed = |error| self.failure(number, error);
        let packed = self.open(number).map_err(|error| failed(LayerError::from_io(error)))?;
        let unpacked = merged.add(packed, contents).map_err(failed)?;
        match self.diff_ids.get(number) {
            Some(announced) if *announced != unpacked.diff_id => Err(Failure::Inconsistent {
                image: self.shown.clone(),
                why: "a layer is not the one that its config announces",
            }),
            _ => Ok(()),
        }
    }

    fn failure(&self, number: usize, error: LayerError) -> Failure {
        let digest = self.layers.get(number).map(|layer| layer.digest.to_string());
        let object = format!("layer {} of {}", digest.unwrap_or_default(), self.shown);
        layer_failure(object, error)
    }

    /// A failure of the tree as a whole.
    fn tree_failure(&self, error: LayerError) -> Failure {
        match error {
            LayerError::Write(source) => {
                Failure::Io { object: "the output".to_owned(), action: "writing", source }
            }
            LayerError::NotFound { path } => Failure::NoPath {
                path: String::from_utf8_lossy(&path).into_owned(),
                image: self.shown.clone(),
            },
            other => layer_failure(format!("the tree of {}", self.shown), other),
        }
    }
}

/// Files of an image.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LsReport {
    /// The image.
    pub image: String,
    /// Digest of its manifest.
    pub digest: String,
    /// The files, in the order of a walk.
    pub entries: Vec<FileEntry>,
}

/// One file of an image.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FileEntry {
    /// Path from the root, with a leading slash. Bytes that are no UTF-8 are shown as U+FFFD.
    pub path: String,
    /// `file`, `directory`, `symlink`, `character`, `block` or `fifo`.
    pub kind: String,
    /// Permission bits, with those for set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes; 0 for all but files.
    pub size: u64,
    /// Time of the last change, RFC 3339.
    pub modified: String,
    /// Target of a symbolic link.
    pub link: Option<String>,
    /// Number of the layer it comes from, 0 being the base.
    pub layer: u64,
}

/// Lists `path`: itself when it is a file, what is in it when it is a directory, all below it when
/// `recursive`. Symbolic links on the way are followed inside the image.
pub async fn ls(
    context: &Context,
    request: LookRequest,
    path: &str,
    recursive: bool,
) -> Result<LsReport, Failure> {
    let image = open(context, &request).await?;
    let (merged, stack) = image.merge(Contents::Skip).await?;
    let found = merged.find(path.as_bytes()).map_err(|error| stack.tree_failure(error))?;
    let (root, node) = found;
    let listed = |entry: &TreePath| match entry.split() {
        _ if node.entry.kind != EntryKind::Directory => *entry == root,
        _ if recursive => entry.is_below(&root),
        Some((parent, _)) => parent == root,
        None => false,
    };
    let entries = merged.iter().filter(|(entry, _)| listed(entry));
    Ok(LsReport {
        image: image.shown.clone(),
        digest: image.digest.to_string(),
        entries: entries.map(|(path, node)| file_entry(path, node)).collect(),
    })
}

fn file_entry(path: &TreePath, node: &Node) -> FileEntry {
    let entry = &node.entry;
    let link = (entry.kind == EntryKind::Symlink)
        .then(|| String::from_utf8_lossy(&entry.link).into_owned());
    FileEntry {
        path: shown_path(path),
        kind: kind_word(entry.kind).to_owned(),
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size: entry.size,
        modified: time_text(entry.mtime),
        link,
        layer: node.layer as u64,
    }
}

/// A path as people write it, from the root.
pub(super) fn shown_path(path: &TreePath) -> String {
    format!("/{}", String::from_utf8_lossy(path.as_bytes()))
}

fn kind_word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File | EntryKind::HardLink => "file",
        EntryKind::Symlink => "symlink",
        EntryKind::CharDevice => "character",
        EntryKind::BlockDevice => "block",
        EntryKind::Directory => "directory",
        EntryKind::Fifo => "fifo",
    }
}

fn time_text(mtime: Mtime) -> String {
    let nanos = i32::try_from(mtime.nanos).unwrap_or_default();
    jiff::Timestamp::new(mtime.seconds, nanos)
        .map_or_else(|_| format!("{} s", mtime.seconds), |time| time.to_string())
}

/// An image's tree as a tar.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExportReport {
    /// The image.
    pub image: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Entries of the tar.
    pub entries: u64,
    /// Bytes of the tar.
    pub bytes: u64,
}

/// Writes the merged tree as one tar to `output`, or to standard output. A file appears under its
/// name only when it is whole; a pipe or device of that name is written to.
pub async fn export(
    context: &Context,
    request: LookRequest,
    output: Option<PathBuf>,
) -> Result<ExportReport, Failure> {
    let image = open(context, &request).await?;
    let (merged, stack) = image.merge(Contents::Skip).await?;
    let (entries, bytes) = on_thread("export", move || match output {
        Some(path) => export_file(&merged, &stack, &path),
        None => export_to(&merged, &stack, std::io::stdout().lock()),
    })
    .await?;
    let (digest, image) = (image.digest.to_string(), image.shown);
    Ok(ExportReport { image, digest, entries, bytes })
}

fn export_file(merged: &Merged, stack: &Stack, path: &Path) -> Result<(u64, u64), Failure> {
    let failed =
        |source| Failure::Io { object: path.display().to_string(), action: "writing", source };
    // Renaming a new file to the name of a device would replace the device.
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        let file = std::fs::File::options().write(true).open(path).map_err(failed)?;
        return export_to(merged, stack, file);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // As any new file: the umask narrows it.
    let builder = builder.permissions(std::fs::Permissions::from_mode(0o666));
    let mut file = builder.tempfile_in(directory).map_err(failed)?;
    let written = export_to(merged, stack, &mut file)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(written)
}

fn export_to(merged: &Merged, stack: &Stack, out: impl Write) -> Result<(u64, u64), Failure> {
    let mut out = Counted { out: std::io::BufWriter::with_capacity(256 * 1024, out), count: 0 };
    let mut source = |number| stack.open(number);
    let entries = corten_layer::export(merged, &mut source, Limits::default(), &mut out)
        .map_err(|error| stack.tree_failure(error))?;
    Ok((entries, out.count))
}

/// Counts what is written.
struct Counted<W: Write> {
    out: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.count = self.count.saturating_add(taken as u64);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Prints the file at `path` to standard output. Of a registry's image only the layers that must
/// be known to find it are fetched, from the top down.
pub async fn cat(context: &Context, request: LookRequest, path: &str) -> Result<(), Failure> {
    let image = open(context, &request).await?;
    let stack = image.lazy();
    let path = path.to_owned();
    on_thread("cat", move || {
        let mut source = |number| stack.open(number);
        let count = stack.layers.len();
        let mut layers = corten_layer::Stack::new(&mut source, count, Limits::default());
        let (_, node) = layers.find(path.as_bytes()).map_err(|error| stack.tree_failure(error))?;
        if node.entry.kind != EntryKind::File {
            let kind = kind_word(node.entry.kind);
            return Err(Failure::Usage(format!("{path} is a {kind}, not a regular file")));
        }
        let mut out = std::io::stdout().lock();
        corten_layer::copy_content(&mut source, &node, Limits::default(), &mut out)
            .map_err(|error| stack.tree_failure(error))?;
        out.flush().map_err(|source| Failure::Io {
            object: "standard output".to_owned(),
            action: "writing",
            source,
        })
    })
    .await
}
