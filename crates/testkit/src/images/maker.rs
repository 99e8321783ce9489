//! Making one image, layer by layer.

use std::io::Write as _;

use bytes::Bytes;
use corten_spec::{
    Algorithm, Annotations, AnyDocument, ContainerConfig, Descriptor, DiffId, Digest, Document,
    History, ImageConfig, Manifest, MediaType, Platform, RootFs,
};

use super::TestImage;
use crate::noise::Noise;
use crate::tar::TarMaker;

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerForm {
    /// A plain tar.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// An image in the making. The same calls give the same bytes.
#[derive(Clone, Debug)]
pub struct ImageMaker {
    platform: Platform,
    form: LayerForm,
    docker: bool,
    algorithm: Algorithm,
    annotations: Annotations,
    config: ContainerConfig,
    layers: Vec<Made>,
}

#[derive(Clone, Debug)]
struct Made {
    descriptor: Descriptor,
    diff_id: DiffId,
    bytes: Bytes,
}

impl Default for ImageMaker {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageMaker {
    /// An OCI image for linux/amd64 with gzip layers and sha256 digests, so far without a layer.
    pub fn new() -> Self {
        Self {
            platform: Platform::new("linux", "amd64"),
            form: LayerForm::Gzip,
            docker: false,
            algorithm: Algorithm::Sha256,
            annotations: Annotations::new(),
            config: ContainerConfig::default(),
            layers: Vec::new(),
        }
    }

    /// For another platform, `os/architecture[/variant]`.
    #[must_use]
    pub fn platform(self, platform: &str) -> Self {
        Self { platform: platform.parse().expect("a platform"), ..self }
    }

    /// Layers from here on are packed so.
    #[must_use]
    pub fn form(self, form: LayerForm) -> Self {
        Self { form, ..self }
    }

    /// A Docker v2.2 image. Say so before the first layer.
    #[must_use]
    pub fn docker(self) -> Self {
        assert!(self.layers.is_empty(), "layers have their type already");
        Self { docker: true, ..self }
    }

    /// Digests under another algorithm. Say so before the first layer.
    #[must_use]
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        assert!(self.layers.is_empty(), "layers have their digest already");
        Self { algorithm, ..self }
    }

    /// An annotation of the manifest.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// How it runs.
    #[must_use]
    pub fn config(self, config: ContainerConfig) -> Self {
        Self { config, ..self }
    }

    /// A layer of this tar.
    #[must_use]
    pub fn layer(self, tar: TarMaker) -> Self {
        let media_type = self.layer_type();
        self.add(media_type, &tar.finish(), Vec::new())
    }

    /// A layer with one text file.
    #[must_use]
    pub fn text_layer(self, path: &str, text: &str) -> Self {
        self.layer(TarMaker::new().file(path, 0o644, text))
    }

    /// A layer with one file of `size` incompressible bytes.
    #[must_use]
    pub fn noise_layer(self, seed: u64, size: u64) -> Self {
        let path = format!("noise-{seed}");
        self.layer(TarMaker::new().file(&path, 0o644, Noise::new(seed, size).whole()))
    }

    /// A layer that is not to be distributed (deprecated, still met), with a place to fetch it.
    #[must_use]
    pub fn foreign_layer(self, tar: TarMaker, url: &str) -> Self {
        let media_type = match (self.docker, self.form) {
            (true, _) => MediaType::DOCKER_FOREIGN_GZIP,
            (false, LayerForm::Plain) => MediaType::OCI_FOREIGN,
            (false, LayerForm::Gzip) => MediaType::OCI_FOREIGN_GZIP,
            (false, LayerForm::Zstd) => MediaType::OCI_FOREIGN_ZSTD,
        };
        self.add(media_type, &tar.finish(), vec![url.to_owned()])
    }

    fn layer_type(&self) -> MediaType {
        match (self.docker, self.form) {
            (false, LayerForm::Plain) => MediaType::OCI_LAYER,
            (false, LayerForm::Gzip) => MediaType::OCI_LAYER_GZIP,
            (false, LayerForm::Zstd) => MediaType::OCI_LAYER_ZSTD,
            (true, LayerForm::Plain) => MediaType::DOCKER_LAYER,
            (true, LayerForm::Gzip) => MediaType::DOCKER_LAYER_GZIP,
            (true, LayerForm::Zstd) => MediaType::DOCKER_LAYER_ZSTD,
        }
    }

    fn add(mut self, media_type: MediaType, tar: &[u8], urls: Vec<String>) -> Self {
        let bytes = Bytes::from(match self.form {
            LayerForm::Plain => tar.to_vec(),
            LayerForm::Gzip => gzip(tar),
            LayerForm::Zstd => zstd::encode_all(tar, 3).unwrap(),
        });
        let diff_id = DiffId(Digest::of(self.algorithm, tar));
        let descriptor = Descriptor { urls, ..self.pointer(media_type, &bytes) };
        self.layers.push(Made { descriptor, diff_id, bytes });
        self
    }

    fn pointer(&self, media_type: MediaType, bytes: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::of(self.algorithm, bytes), bytes.len() as u64)
    }

    /// The image.
    pub fn build(self) -> TestImage {
        let config = Bytes::from(serde_json::to_vec(&self.image_config()).unwrap());
        let (config_type, manifest_type) = if self.docker {
            (MediaType::DOCKER_CONFIG, MediaType::DOCKER_MANIFEST)
        } else {
            (MediaType::OCI_CONFIG, MediaType::OCI_MANIFEST)
        };
        let config_pointer = self.pointer(config_type, &config);
        let layers = self.layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let mut manifest = Manifest::image(config_pointer.clone(), layers);
        manifest.media_type = Some(manifest_type.clone());
        manifest.annotations = self.annotations.clone();
        let bytes = Bytes::from(serde_json::to_vec(&manifest).unwrap());
        let pointer = self.pointer(manifest_type, &bytes);
        let document = Document::parse(&pointer, bytes).unwrap();
        let mut blobs = vec![(config_pointer, config)];
        blobs.extend(self.layers.into_iter().map(|layer| (layer.descriptor, layer.bytes)));
        TestImage::of(blobs, vec![AnyDocument::Manifest(document)], Some(self.platform))
    }

    fn image_config(&self) -> ImageConfig {
        let entry = |number: usize| History {
            created_by: Some(format!("layer {number}")),
            ..History::default()
        };
        ImageConfig {
            created: Some("2026-01-02T03:04:05Z".to_owned()),
            author: None,
            platform: self.platform.clone(),
            config: Some(self.config.clone()),
            rootfs: RootFs::layers(self.layers.iter().map(|layer| layer.diff_id.clone()).collect()),
            history: (1..=self.layers.len()).map(entry).collect(),
            extra: std::collections::BTreeMap::new(),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
