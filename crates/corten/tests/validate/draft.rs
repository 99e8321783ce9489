//! A good layout, and the places where a test may break it.

use std::fs;
use std::path::Path;

use corten_spec::Digest;
use serde_json::{Value, json};

pub(crate) type Edit = fn(&mut Value);

/// One image in a layout, before it is written.
pub(crate) struct Draft {
    /// The unpacked layer.
    pub(crate) tar: Vec<u8>,
    /// The layer as it is stored, where that is not the tar itself.
    pub(crate) packed: Option<Vec<u8>>,
    pub(crate) layer_type: &'static str,
    pub(crate) config: Edit,
    pub(crate) manifest: Edit,
    /// Changes the text of the manifest.
    pub(crate) manifest_text: fn(String) -> String,
    pub(crate) index: Edit,
    pub(crate) header: &'static str,
    /// Changes the files after they are written.
    pub(crate) files: fn(&Written<'_>),
}

/// What was written where.
pub(crate) struct Written<'a> {
    pub(crate) root: &'a Path,
    pub(crate) layer: Digest,
    pub(crate) config: Digest,
    pub(crate) manifest: Digest,
}

impl Written<'_> {
    pub(crate) fn blob(&self, digest: &Digest) -> std::path::PathBuf {
        self.root.join("blobs").join(digest.algorithm_name()).join(digest.encoded())
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            tar: tar(&[dir("etc/"), file("etc/motd", b"hello")]),
            packed: None,
            layer_type: "application/vnd.oci.image.layer.v1.tar",
            config: |_| {},
            manifest: |_| {},
            manifest_text: |text| text,
            index: |_| {},
            header: r#"{"imageLayoutVersion":"1.0.0"}"#,
            files: |_| {},
        }
    }
}

impl Draft {
    /// Writes the layout.
    pub(crate) fn write<'a>(&self, root: &'a Path) -> Written<'a> {
        fs::create_dir_all(root.join("blobs/sha256")).unwrap();
        let put = |bytes: &[u8]| {
            let digest = Digest::sha256(bytes);
            fs::write(root.join("blobs/sha256").join(digest.encoded()), bytes).unwrap();
            digest
        };
        let diff_id = Digest::sha256(&self.tar);
        let packed = self.packed.as_ref().unwrap_or(&self.tar);
        let layer = put(packed);
        let mut config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]}, "history": [{"created_by": "test"}],
        });
        (self.config)(&mut config);
        let text = config.to_string();
        let config = put(text.as_bytes());
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config,
                "size": text.len()},
            "layers": [{"mediaType": self.layer_type, "digest": layer, "size": packed.len()}],
        });
        (self.manifest)(&mut manifest);
        let text = (self.manifest_text)(manifest.to_string());
        let manifest = put(text.as_bytes());
        let mut index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": manifest, "size": text.len(),
                "platform": {"os": "linux", "architecture": "amd64"},
                "annotations": {"org.opencontainers.image.ref.name": "v1"}}],
        });
        (self.index)(&mut index);
        fs::write(root.join("index.json"), index.to_string()).unwrap();
        fs::write(root.join("oci-layout"), self.header).unwrap();
        let written = Written { root, layer, config, manifest };
        (self.files)(&written);
        written
    }
}

/// One entry of an archive, as raw as tests need it.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) name: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) link: &'static str,
    pub(crate) content: &'static [u8],
    pub(crate) mtime: i64,
}

pub(crate) fn entry(name: impl AsRef<[u8]>, flag: u8) -> Raw {
    Raw { name: name.as_ref().to_vec(), flag, link: "", content: b"", mtime: 1 }
}

pub(crate) fn file(name: impl AsRef<[u8]>, content: &'static [u8]) -> Raw {
    Raw { content, ..entry(name, b'0') }
}

pub(crate) fn dir(name: &str) -> Raw {
    entry(name, b'5')
}

pub(crate) fn link(name: &str, flag: u8, link: &'static str) -> Raw {
    Raw { link, ..entry(name, flag) }
}

/// An archive of ustar headers with their content, and its end.
pub(crate) fn tar(entries: &[Raw]) -> Vec<u8> {
    let mut tar = open_tar(entries);
    tar.extend([0; 1024]);
    tar
}

/// The same without an end.
pub(crate) fn open_tar(entries: &[Raw]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &entry.name);
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", entry.content.len()).as_bytes());
        if entry.mtime < 0 {
            // Base 256, as GNU writes what octal cannot say.
            put(136, &[0xff; 4]);
            put(140, &entry.mtime.to_be_bytes());
        } else {
            put(136, format!("{:011o}\0", entry.mtime).as_bytes());
        }
        put(156, &[entry.flag]);
        put(157, entry.link.as_bytes());
        put(257, if entry.mtime < 0 { b"ustar  \0" } else { b"ustar\x0000" });
        put(148, b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(block);
        tar.extend(entry.content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar
}
