//! Small images for tests, each different from every other seed's.

use bytes::Bytes;
use corten_spec::{
    AnyDocument, Descriptor, DiffId, Digest, Document, EMPTY_JSON, ImageConfig, Index, Manifest,
    MediaType, Platform, RootFs,
};

/// A manifest and its blobs.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: AnyDocument,
    /// Config and layers with their bytes.
    pub blobs: Vec<(Descriptor, Bytes)>,
}

/// `len` bytes that look random and depend on `seed` alone.
pub fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    Bytes::from(bytes)
}

/// A blob of `len` bytes with its descriptor.
pub fn blob(seed: u64, len: usize) -> (Descriptor, Bytes) {
    let bytes = noise(seed, len);
    (Descriptor::of(MediaType::OCI_LAYER, &bytes), bytes)
}

/// An image for `linux/amd64` with one layer of about 5 kB and one of about 300 kB.
pub fn image(seed: u64) -> Image {
    image_for(seed, &Platform::new("linux", "amd64"))
}

/// The same for another platform; layers depend on `seed`, the config on both.
pub fn image_for(seed: u64, platform: &Platform) -> Image {
    let layers =
        vec![blob(seed.wrapping_mul(2) + 1, 5_003), blob(seed.wrapping_mul(2) + 2, 300_007)];
    let diff_ids = layers.iter().map(|(layer, _)| DiffId(layer.digest.clone())).collect();
    let config = ImageConfig {
        created: None,
        author: None,
        platform: platform.clone(),
        config: None,
        rootfs: RootFs::layers(diff_ids),
        history: Vec::new(),
        extra: std::collections::BTreeMap::new(),
    };
    let config = Document::write(MediaType::OCI_CONFIG, config).unwrap();
    let mut blobs = vec![(config.descriptor().clone(), config.bytes().clone())];
    blobs.extend(layers);
    let layers = blobs[1..].iter().map(|(layer, _)| layer.clone()).collect();
    let manifest = Manifest::image(blobs[0].0.clone(), layers);
    let manifest = Document::write(MediaType::OCI_MANIFEST, manifest).unwrap();
    Image { manifest: AnyDocument::Manifest(manifest), blobs }
}

/// An index of images, each entry with the platform that goes with it.
pub fn index(entries: &[(&AnyDocument, Option<Platform>)]) -> AnyDocument {
    let entry = |(document, platform): &(&AnyDocument, Option<Platform>)| {
        let mut descriptor = document.descriptor().bare();
        descriptor.platform = platform.clone();
        descriptor
    };
    let index = Index::new(entries.iter().map(entry).collect());
    AnyDocument::Index(Document::write(MediaType::OCI_INDEX, index).unwrap())
}

/// An artifact with one small blob, of type `artifact_type`, that refers to `subject`.
pub fn artifact(seed: u64, artifact_type: &str, subject: &AnyDocument) -> Image {
    let empty = (Descriptor::of(MediaType::OCI_EMPTY, EMPTY_JSON), Bytes::from_static(EMPTY_JSON));
    let content = noise(seed, 321);
    let content = (Descriptor::of(MediaType::new("application/x-content"), &content), content);
    let mut manifest = Manifest::image(empty.0.clone(), vec![content.0.clone()]);
    manifest.artifact_type = Some(MediaType::new(artifact_type));
    manifest.subject = Some(subject.descriptor().bare());
    manifest.annotations.insert("org.example.seed".to_owned(), seed.to_string());
    let manifest = Document::write(MediaType::OCI_MANIFEST, manifest).unwrap();
    Image { manifest: AnyDocument::Manifest(manifest), blobs: vec![empty, content] }
}

/// A document of a type that corten does not know and that does not tell its type.
pub fn opaque(seed: u64) -> AnyDocument {
    let bytes = Bytes::from(format!(r#"{{"seed":{seed}}}"#));
    let media_type = MediaType::new("application/vnd.example.unknown.v1+json");
    let descriptor = Descriptor::new(media_type, Digest::sha256(&bytes), bytes.len() as u64);
    AnyDocument::parse(&descriptor, bytes).unwrap()
}
