//! Making an image of any root filesystem.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use corten_layer::{
    Compression, LayerError, MAGIC_BYTES, Marks, Owner, PackOptions, PackedTree, TreePath,
    pack_directory, pack_tar, spool_tar,
};
use corten_spec::{AnyDocument, Document, ImageConfig, Manifest, MediaType, Platform, RefName};
use corten_store::{LayoutStore, Pusher, Tagger};
use schemars::JsonSchema;
use serde::Serialize;

use super::edit::{empty_config, lay_on};
use super::inspect::{BlobReport, blob, image_of, read_config};
use super::layers::{layer_failure, on_thread};
use crate::{Context, Failure, Place};

pub use super::edit::ConfigEdit;

/// Where the files of an image come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportSource {
    /// A directory, or a tar: plain, gzip or zstd.
    Path(PathBuf),
    /// A tar on standard input.
    Stdin,
    /// What a container wrote: the upper directory of its overlay.
    Written {
        /// The directory.
        upper: PathBuf,
        /// Paths inside that are left out, with all below them.
        exclude: Vec<TreePath>,
    },
}

impl ImportSource {
    /// The verb that an image of it is made by, for its history.
    fn made_by(&self) -> &'static str {
        match self {
            Self::Path(_) | Self::Stdin => "corten import",
            Self::Written { .. } => "corten commit",
        }
    }
}

/// What to make an image of.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The files.
    pub source: ImportSource,
    /// The image's name in the local store.
    pub name: RefName,
    /// What its config says beyond the base.
    pub edit: ConfigEdit,
    /// What it runs on: the base's platform if absent, or this machine's.
    pub platform: Option<Platform>,
    /// An image to lay the files on.
    pub base: Option<Place>,
    /// When it was made, RFC 3339; `SOURCE_DATE_EPOCH`, or the epoch itself, if absent.
    pub created: Option<String>,
    /// Compression of the layer.
    pub compression: Compression,
    /// Owner of every file, instead of what the files say.
    pub owner: Option<(u32, u32)>,
}

/// What was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ImportReport {
    /// The image's name in the local store.
    pub name: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Digest of its config: the image's ID.
    pub config: String,
    /// The layer that holds the files.
    pub layer: BlobReport,
    /// Bytes of the layer, unpacked.
    pub unpacked_size: u64,
    /// Entries of the layer.
    pub entries: u64,
    /// Files that a layer cannot hold (sockets), as paths.
    pub skipped: Vec<String>,
}

/// Makes an image and names it. The same files and the same request give the same digest, whether
/// the files come as a directory or as a tar, on any number of cores, at any time.
pub async fn import(context: &Context, request: ImportRequest) -> Result<ImportReport, Failure> {
    let time = Time::of(context, request.created.as_deref())?;
    let store = context.store()?;
    let base = match &request.base {
        Some(place) => Some(bring_base(context, place, request.platform.as_ref(), &store).await?),
        None => None,
    };
    let mut options = PackOptions::new(request.compression);
    options.owner = request.owner.map(|(uid, gid)| Owner { uid, gid });
    options.latest_mtime = time.latest_mtime;
    if let ImportSource::Written { exclude, .. } = &request.source {
        options.marks = Marks::Whiteouts;
        options.exclude.clone_from(exclude);
    }
    let (source, target) = (request.source.clone(), store.clone());
    let tree = on_thread("import", move || pack(&source, &options, &target)).await?;
    let (mut config, mut manifest) = match base {
        Some((config, manifest)) => (config, manifest),
        None => {
            let platform = request.platform.clone().unwrap_or_else(|| context.platform());
            let nothing = empty_config(platform.clone());
            let place = corten_spec::empty_descriptor();
            (nothing, Manifest::image(place, Vec::new()))
        }
    };
    let made = (time.created.as_str(), request.source.made_by());
    lay_on(&mut config, tree.diff_id().clone(), made, &request.edit);
    let config = write(&request.name, MediaType::OCI_CONFIG, config)?;
    put_config(&store, &config).await?;
    manifest.config = config.descriptor().clone();
    manifest.layers.push(tree.packed.descriptor.clone());
    manifest.annotations.extend(request.edit.annotations.clone());
    let manifest = write(&request.name, MediaType::OCI_MANIFEST, manifest)?;
    let digest = manifest.digest().to_string();
    let document = AnyDocument::Manifest(manifest);
    store.push(&document).await?;
    store.tag(&request.name, &document).await?;
    Ok(ImportReport {
        name: request.name.to_string(),
        digest,
        config: config.digest().to_string(),
        layer: blob(&tree.packed.descriptor, Some(tree.diff_id().to_string())),
        unpacked_size: tree.packed.unpacked_size,
        entries: tree.entries,
        skipped: tree.skipped.iter().map(ToString::to_string).collect(),
    })
}

pub(super) fn write<T: corten_spec::ImageDocument>(
    name: impl std::fmt::Display,
    media_type: MediaType,
    value: T,
) -> Result<Document<T>, Failure> {
    Document::write(media_type, value).map_err(|source| Failure::Io {
        object: name.to_string(),
        action: "writing its documents",
        source: source.into(),
    })
}

pub(super) async fn put_config(
    store: &LayoutStore,
    config: &Document<ImageConfig>,
) -> Result<(), Failure> {
    let (store, bytes) = (store.clone(), config.bytes().clone());
    let descriptor = config.descriptor().clone();
    on_thread("import", move || {
        // What is there already needs no waiting for the disk.
        if store.blob_file(&descriptor.digest).is_ok_and(|file| is_same(file, &bytes)) {
            return Ok(());
        }
        let mut staged = store.stage()?;
        std::io::Write::write_all(&mut staged, &bytes).map_err(|source| Failure::Io {
            object: descriptor.digest.to_string(),
            action: "writing",
            source,
        })?;
        Ok(staged.publish(&descriptor)?)
    })
    .await
}

/// Whether a file has these bytes; then it counts as new, which keeps it from collection for a while.
fn is_same(file: File, bytes: &[u8]) -> bool {
    let mut found = Vec::with_capacity(bytes.len());
    let read = (&file).take(bytes.len() as u64 + 1).read_to_end(&mut found);
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    read.is_ok() && found == bytes && rustix::fs::futimens(&file, &times).is_ok()
}

/// The times of an image: its `created`, and the latest time a file may have.
pub(super) struct Time {
    pub(super) created: String,
    pub(super) latest_mtime: Option<i64>,
}

impl Time {
    /// `--created` wins over `SOURCE_DATE_EPOCH`, which also bounds the times of files
    /// (reproducible-builds.org, SOURCE_DATE_EPOCH).
    pub(super) fn of(context: &Context, created: Option<&str>) -> Result<Self, Failure> {
        let epoch = context.environment().variable("SOURCE_DATE_EPOCH");
        let latest_mtime = epoch
            .map(|text| {
                let usage = || Failure::Usage(format!("SOURCE_DATE_EPOCH '{text}' is no number"));
                text.parse::<i64>().map_err(|_| usage())
            })
            .transpose()?;
        let created = match created {
            Some(text) => {
                let usage = || Failure::Usage(format!("'{text}' is no time as RFC 3339 writes it"));
                text.parse::<jiff::Timestamp>().map_err(|_| usage())?;
                text.to_owned()
            }
            None => jiff::Timestamp::from_second(latest_mtime.unwrap_or(0))
                .map_err(|_| Failure::Usage("SOURCE_DATE_EPOCH is out of range".to_owned()))?
                .to_string(),
        };
        Ok(Self { created, latest_mtime })
    }
}

/// Copies the base's image into the local store; returns its config and its manifest, which the
/// new image starts from. A Docker manifest becomes an OCI one: its layers are carried as they are.
async fn bring_base(
    context: &Context,
    place: &Place,
    platform: Option<&Platform>,
    store: &LayoutStore,
) -> Result<(ImageConfig, Manifest), Failure> {
    let source = context.source(place).await?;
    let root = source.root().await?;
    let refuse = || Failure::Usage(format!("{} is no image to build on", source.shown));
    let manifest = image_of(context, source.store.as_ref(), &root, platform).await?;
    let manifest = manifest.ok_or_else(refuse)?;
    if !manifest.value().config.media_type.is_config() {
        return Err(refuse());
    }
    let config = read_config(source.store.as_ref(), &manifest.value().config).await?;
    let blobs = manifest.value().layers.clone();
    let (from, to) = (source.store.clone(), std::sync::Arc::new(store.clone()));
    corten_store::copy_blobs(from, to, blobs, context.jobs(), context.progress()).await?;
    let mut value = manifest.value().clone();
    value.media_type = Some(MediaType::OCI_MANIFEST);
    for layer in &mut value.layers {
        layer.media_type = oci_twin(&layer.media_type);
    }
    value.annotations.clear();
    value.subject = None;
    value
        .annotations
        .insert(corten_spec::annotation::BASE_DIGEST.to_owned(), manifest.digest().to_string());
    Ok((config.value().clone(), value))
}

/// The OCI type of a layer with the same bytes (image-spec `media-types.md`, compatibility matrix).
pub(super) fn oci_twin(media_type: &MediaType) -> MediaType {
    match media_type {
        kind if *kind == MediaType::DOCKER_LAYER_GZIP => MediaType::OCI_LAYER_GZIP,
        kind if *kind == MediaType::DOCKER_LAYER => MediaType::OCI_LAYER,
        kind if *kind == MediaType::DOCKER_LAYER_ZSTD => MediaType::OCI_LAYER_ZSTD,
        kind if *kind == MediaType::DOCKER_FOREIGN_GZIP => MediaType::OCI_FOREIGN_GZIP,
        other => other.clone(),
    }
}

/// Packs the files into a blob of `store`.
pub(super) fn pack(
    source: &ImportSource,
    options: &PackOptions,
    store: &LayoutStore,
) -> Result<PackedTree, Failure> {
    let staged = store.stage()?;
    let shown = match source {
        ImportSource::Path(path) => path.display().to_string(),
        ImportSource::Stdin => "standard input".to_owned(),
        ImportSource::Written { upper, .. } => upper.display().to_string(),
    };
    let failed = |error| layer_failure(shown.clone(), error);
    let (tree, staged) = match source {
        ImportSource::Path(path) if is_directory(path)? => {
            pack_directory(path, options, staged).map_err(failed)?
        }
        ImportSource::Written { upper, .. } => {
            pack_directory(upper, options, staged).map_err(failed)?
        }
        ImportSource::Path(path) => {
            let file = File::open(path).map_err(|source| unread(path, source))?;
            let archive = seekable(file, path, store, options).map_err(|e| e.or(&failed))?;
            pack_tar(archive, options, staged).map_err(failed)?
        }
        ImportSource::Stdin => {
            let spooled = spool(std::io::stdin().lock(), store, options);
            let archive = spooled.map_err(|error| error.or(&failed))?;
            pack_tar(archive, options, staged).map_err(failed)?
        }
    };
    staged.publish(&tree.packed.descriptor)?;
    Ok(tree)
}

fn is_directory(path: &Path) -> Result<bool, Failure> {
    std::fs::metadata(path).map(|meta| meta.is_dir()).map_err(|source| unread(path, source))
}

fn unread(path: &Path, source: std::io::Error) -> Failure {
    Failure::Io { object: path.display().to_string(), action: "reading", source }
}

/// A failure of the place, or of the archive in it.
enum Spoiled {
    Place(Failure),
    Archive(LayerError),
}

impl Spoiled {
    fn or(self, archive: &dyn Fn(LayerError) -> Failure) -> Failure {
        match self {
            Self::Place(failure) => failure,
            Self::Archive(error) => archive(error),
        }
    }
}

/// The plain tar of `file`: itself, or unpacked beside the store where it is compressed or a pipe.
fn seekable(
    mut file: File,
    path: &Path,
    store: &LayoutStore,
    options: &PackOptions,
) -> Result<File, Spoiled> {
    let place = |source| Spoiled::Place(unread(path, source));
    let kind = file.metadata().map_err(place)?.file_type();
    if kind.is_fifo() {
        return spool(file, store, options);
    }
    if !kind.is_file() {
        // A device may have no end.
        let text = format!("{} is neither a directory nor a file nor a pipe", path.display());
        return Err(Spoiled::Place(Failure::Usage(text)));
    }
    let mut first = Vec::new();
    file.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut first).map_err(place)?;
    if first.is_empty() {
        return Err(place(empty()));
    }
    file.seek(SeekFrom::Start(0)).map_err(place)?;
    if Compression::detect(&first) == Compression::None {
        Ok(file)
    } else {
        spool(file, store, options)
    }
}

/// Unpacks a stream into a file without a name in the store's directory, which has the room that
/// the layer needs anyway.
fn spool(packed: impl Read, store: &LayoutStore, options: &PackOptions) -> Result<File, Spoiled> {
    let place = |source| Spoiled::Place(unread(store.path(), source));
    let mut spool = tempfile::tempfile_in(store.path()).map_err(place)?;
    spool_tar(packed, options.limits, &mut spool).map_err(Spoiled::Archive)?;
    if spool.stream_position().map_err(place)? == 0 {
        return Err(Spoiled::Archive(LayerError::Read(empty())));
    }
    spool.seek(SeekFrom::Start(0)).map_err(place)?;
    Ok(spool)
}

/// Nothing at all is no tar: whoever should have written it failed.
fn empty() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "there is not a single byte in it")
}
