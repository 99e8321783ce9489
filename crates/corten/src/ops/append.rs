//! `append`: layers that are there already, on top of an image. A packed one keeps its bytes.

use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use corten_build::BuiltLayer;
use corten_layer::{
    Compression, Contents, LayerError, Limits, Marks, Merged, PackOptions, Packer, Packing,
    Unpacked, pack_directory,
};
use corten_spec::{AnyDocument, Descriptor, Platform, RefName};
use corten_store::{LayoutStore, Tagger as _};
use schemars::JsonSchema;
use serde::Serialize;

use super::edit::ConfigEdit;
use super::edit_image::{ConfigCut, EditRequest, Editor, MAX_DEPTH};
use super::import::Time;
use super::inspect::{BlobReport, blob, image_of};
use super::layers::{layer_failure, on_thread};
use crate::{Context, Failure, Place};

/// Bytes at the beginning of a stream that tell how it is packed.
const MAGIC: u64 = 6;
/// What no layer is packed with.
const FOREIGN: [(&[u8], &str); 2] = [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2")];

/// A layer that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerInput {
    /// A tar, plain or packed, or a directory.
    Path(PathBuf),
    /// A tar on standard input.
    Stdin,
}

/// Which images of an index get the layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendTo {
    /// The one image; an index of several is refused.
    Only,
    /// The one for this platform.
    Platform(Platform),
    /// Each, and the index stays one.
    All,
}

/// What to lay on what.
#[derive(Clone, Debug)]
pub struct AppendRequest {
    /// The image.
    pub image: Place,
    /// The layers, the lowest first.
    pub layers: Vec<LayerInput>,
    /// The name of the new image in the local store.
    pub name: RefName,
    /// Which images of an index.
    pub to: AppendTo,
    /// When it was made, RFC 3339; `SOURCE_DATE_EPOCH`, or the epoch itself, if absent.
    pub created: Option<String>,
    /// How layers that are not packed yet are packed.
    pub compression: Compression,
}

/// What was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AppendReport {
    /// The image's name in the local store.
    pub name: String,
    /// Digest of its manifest or index.
    pub digest: String,
    /// The images that got the layers, by platform.
    pub appended: Vec<String>,
    /// The layers.
    pub layers: Vec<BlobReport>,
    /// Digests of manifests of an index that are no images to run, and that a changed image leaves behind.
    pub left_out: Vec<String>,
}

/// Lays the layers on the image and names the result. Each was read to its end as engines would read it; one
/// that is packed in gzip or zstd stays as it is, byte for byte.
pub async fn append(context: &Context, request: AppendRequest) -> Result<AppendReport, Failure> {
    let time = Time::of(context, request.created.as_deref())?;
    let store = context.store()?;
    let source = context.source(&request.image).await?;
    let mut root = source.root().await?;
    if request.to != AppendTo::All {
        let platform = match &request.to {
            AppendTo::Platform(platform) => Some(platform),
            _ => only(&root, &source.shown)?,
        };
        let image = image_of(context, source.store.as_ref(), &root, platform).await?;
        let none = || Failure::Usage(format!("{} is no image to lay a layer on", source.shown));
        root = AnyDocument::Manifest(image.ok_or_else(none)?);
    }
    super::edit_image::bring(context, &source, root.descriptor()).await?;
    let (inputs, target, compression) = (request.layers, store.clone(), request.compression);
    let latest = time.latest_mtime;
    let taken = on_thread("append", move || {
        let take = |input: &LayerInput| take(input, (compression, latest), &target);
        inputs.iter().map(take).collect::<Result<Vec<_>, Failure>>()
    });
    let layers = taken.await?;
    let wanted = EditRequest {
        image: request.image,
        name: request.name,
        edit: ConfigEdit::default(),
        cut: ConfigCut::default(),
        created: None,
    };
    let mut editor = Editor::new(&store, &wanted, &time.created);
    (editor.made_by, editor.layers) = ("corten append", &layers);
    let document = Box::pin(editor.edited(&root, MAX_DEPTH)).await?;
    let document = document.ok_or_else(|| {
        Failure::Usage(format!("{} is no image: a layer cannot be laid on it", source.shown))
    })?;
    store.tag(&wanted.name, &document).await?;
    Ok(AppendReport {
        name: wanted.name.to_string(),
        digest: document.descriptor().digest.to_string(),
        appended: editor.edited,
        layers: layers
            .iter()
            .map(|layer| blob(&layer.descriptor, Some(layer.diff_id.to_string())))
            .collect(),
        left_out: editor.left_out,
    })
}

/// The platform of the one image of an index; `None` where the root is an image itself.
fn only<'a>(root: &'a AnyDocument, shown: &str) -> Result<Option<&'a Platform>, Failure> {
    let AnyDocument::Index(index) = root else { return Ok(None) };
    let platforms = index.value().manifests.iter().filter_map(|child| child.platform.as_ref());
    // An entry for no platform is about others.
    let platforms: Vec<&Platform> = platforms.filter(|platform| platform.os != "unknown").collect();
    match platforms.as_slice() {
        [] => Ok(None),
        [platform] => Ok(Some(platform)),
        several => {
            let told: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Failure::Usage(format!(
                "{shown} has several images ({}): say --platform PLATFORM for one of them, or --platform all to \
                 lay the layers on each",
                told.join(", ")
            )))
        }
    }
}

/// Brings a layer into the store.
fn take(
    input: &LayerInput,
    (compression, latest): (Compression, Option<i64>),
    store: &LayoutStore,
) -> Result<BuiltLayer, Failure> {
    let path = match input {
        LayerInput::Stdin => {
            return stream(std::io::stdin().lock(), "standard input", compression, store);
        }
        LayerInput::Path(path) => path,
    };
    let shown = path.display().to_string();
    let unread =
        |source| Failure::Io { object: path.display().to_string(), action: "reading", source };
    let kind = std::fs::metadata(path).map_err(unread)?;
    if kind.is_dir() {
        return directory(path, (compression, latest), store);
    }
    let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&kind.file_type());
    if !kind.is_file() && !is_pipe {
        // A device may have no end.
        let text = format!("{shown} is neither a directory nor a file nor a pipe");
        return Err(Failure::Usage(text));
    }
    stream(File::open(path).map_err(unread)?, &shown, compression, store)
}

fn directory(
    path: &Path,
    (compression, latest): (Compression, Option<i64>),
    store: &LayoutStore,
) -> Result<BuiltLayer, Failure> {
    let mut options = PackOptions::new(compression);
    options.latest_mtime = latest;
    options.marks = Marks::Nothing;
    let packed = pack_directory(path, &options, store.stage()?);
    let (tree, staged) =
        packed.map_err(|error| layer_failure(path.display().to_string(), error))?;
    staged.publish(&tree.packed.descriptor)?;
    Ok(BuiltLayer { descriptor: tree.packed.descriptor, diff_id: tree.packed.diff_id })
}

/// A tar: the bytes go into the store while they are read as a layer.
fn stream(
    mut from: impl Read,
    shown: &str,
    compression: Compression,
    store: &LayoutStore,
) -> Result<BuiltLayer, Failure> {
    let unread = |source| Failure::Io { object: shown.to_owned(), action: "reading", source };
    let mut first = Vec::new();
    from.by_ref().take(MAGIC).read_to_end(&mut first).map_err(unread)?;
    if first.is_empty() {
        let text = "there is not a single byte in it";
        return Err(unread(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text)));
    }
    if let Some((_, name)) = FOREIGN.iter().find(|(magic, _)| first.starts_with(magic)) {
        return Err(Failure::Usage(format!(
            "{shown} is packed with {name}, which no layer is: unpack it and give the plain tar, perhaps by a pipe to -"
        )));
    }
    let is_packed = Compression::detect(&first) != Compression::None;
    let from = Cursor::new(first).chain(from);
    let failed = |error: LayerError| layer_failure(shown, error);
    let mut staged = store.stage()?;
    if is_packed {
        let unpacked = read(from, &mut staged).map_err(failed)?;
        let media_type = unpacked.compression.media_type();
        let descriptor = Descriptor::new(media_type, unpacked.digest, unpacked.size);
        staged.publish(&descriptor)?;
        return Ok(BuiltLayer { descriptor, diff_id: unpacked.diff_id });
    }
    let threads = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
    let packing = Packing { compression, level: None, threads };
    let mut packer = Packer::new(staged, packing).map_err(failed)?;
    read(from, &mut packer).map_err(failed)?;
    let (packed, staged) = packer.finish().map_err(failed)?;
    staged.publish(&packed.descriptor)?;
    Ok(BuiltLayer { descriptor: packed.descriptor, diff_id: packed.diff_id })
}

/// Reads a layer as whoever unpacks it does, and writes its bytes as they are.
fn read(from: impl Read, to: &mut impl Write) -> Result<Unpacked, LayerError> {
    Merged::new(Limits::default()).add(Tee { from, to }, Contents::Skip)
}

/// Writes what is read.
struct Tee<'a, R, W> {
    from: R,
    to: &'a mut W,
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let taken = self.from.read(buffer)?;
        self.to.write_all(buffer.get(..taken).unwrap_or_default())?;
        Ok(taken)
    }
}

/// Layers as a manifest of this type has them.
pub(super) fn twins(layers: &[BuiltLayer], is_docker: bool) -> Vec<Descriptor> {
    use corten_spec::MediaType;
    let twin = |layer: &BuiltLayer| {
        let mut descriptor = layer.descriptor.clone();
        if is_docker {
            descriptor.media_type = match Compression::of_media_type(&descriptor.media_type) {
                Some(Compression::None) => MediaType::DOCKER_LAYER,
                Some(Compression::Zstd) => MediaType::DOCKER_LAYER_ZSTD,
                _ => MediaType::DOCKER_LAYER_GZIP,
            };
        }
        descriptor
    };
    layers.iter().map(twin).collect()
}
