//! What a cache is when it travels: an OCI manifest whose layers are those of steps and mounts, and whose config says
//! which is which.
//!
//! ```text
//! manifest   artifactType: application/vnd.corten.cache.v1
//!            config:       application/vnd.corten.cache.v1+json   the entries, each with the number of its layer
//!            layers:       as they are in images; those of mounts in zstd
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use corten_build::{BuiltLayer, StepResult};
use corten_layer::Compression;
use corten_spec::{Descriptor, DiffId, Digest, Manifest, MediaType};
use serde::{Deserialize, Serialize};

/// What makes a manifest a cache.
const ARTIFACT: &str = "application/vnd.corten.cache.v1";
/// The type of its config.
const CONFIG: &str = "application/vnd.corten.cache.v1+json";
/// Most bytes of a config.
pub(super) const MAX_CONFIG: u64 = 16 * 1024 * 1024;
/// Most entries.
const MAX_ENTRIES: usize = 50_000;
/// Most bytes of a layer.
const MAX_LAYER: u64 = 64 << 30;
/// How many digits a key has.
const KEY: usize = 64;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    version: u32,
    #[serde(default)]
    steps: Vec<WrittenStep>,
    #[serde(default)]
    mounts: Vec<WrittenMount>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenStep {
    key: String,
    layer: usize,
    diff_id: DiffId,
    stage: String,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMount {
    name: String,
    id: String,
    layer: usize,
    diff_id: DiffId,
}

/// A cache that was read: layers by keys of steps and by names of mounts.
#[derive(Debug, Default)]
pub(super) struct ReadCache {
    pub(super) steps: BTreeMap<String, BuiltLayer>,
    pub(super) mounts: BTreeMap<String, BuiltLayer>,
}

/// A mount that travels.
pub(super) struct SentMount {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) layer: BuiltLayer,
}

/// The manifest and the config of a cache. The same steps and mounts give the same bytes.
pub(super) fn written(
    steps: &[StepResult],
    mounts: &[SentMount],
) -> Result<(Manifest, Descriptor, Bytes), serde_json::Error> {
    let (mut layers, mut numbers) = (Vec::new(), BTreeMap::<Digest, usize>::new());
    let mut number = |layer: &BuiltLayer| {
        *numbers.entry(layer.descriptor.digest.clone()).or_insert_with(|| {
            layers.push(layer.descriptor.bare());
            layers.len() - 1
        })
    };
    let mut written = Written { version: 1, ..Written::default() };
    for step in steps {
        written.steps.push(WrittenStep {
            key: step.key.as_str().to_owned(),
            layer: number(&step.layer),
            diff_id: step.layer.diff_id.clone(),
            stage: step.stage.clone(),
            text: step.text.clone(),
        });
    }
    for mount in mounts {
        written.mounts.push(WrittenMount {
            name: mount.name.clone(),
            id: mount.id.clone(),
            layer: number(&mount.layer),
            diff_id: mount.layer.diff_id.clone(),
        });
    }
    let bytes = Bytes::from(serde_json::to_vec(&written)?);
    let config = Descriptor::of(MediaType::new(CONFIG), &bytes);
    let mut manifest = Manifest::image(config.clone(), layers);
    manifest.artifact_type = Some(MediaType::new(ARTIFACT));
    Ok((manifest, config, bytes))
}

/// Whether a manifest is that of a cache.
pub(super) fn is_cache(manifest: &Manifest) -> bool {
    manifest.artifact_kind().as_str() == ARTIFACT && manifest.config.media_type.as_str() == CONFIG
}

/// Reads a config against its manifest; says what is wrong with it.
pub(super) fn read(manifest: &Manifest, config: &[u8]) -> Result<ReadCache, String> {
    let written: Written = serde_json::from_slice(config).map_err(|error| error.to_string())?;
    if written.version != 1 {
        return Err(format!("it is of version {}, and 1 is known here", written.version));
    }
    if written.steps.len() + written.mounts.len() > MAX_ENTRIES {
        return Err(format!("it has more than {MAX_ENTRIES} entries"));
    }
    let layer = |number: usize, diff_id: DiffId| -> Result<BuiltLayer, String> {
        let layer = manifest.layers.get(number).ok_or("it names a layer that it does not have")?;
        if Compression::of_media_type(&layer.media_type).is_none() {
            return Err(format!("{}: its type is that of no layer", layer.digest));
        }
        if layer.size > MAX_LAYER {
            return Err(format!("{}: it is larger than {MAX_LAYER} bytes", layer.digest));
        }
        Ok(BuiltLayer { descriptor: layer.bare(), diff_id })
    };
    let is_key = |text: &str| text.len() == KEY && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut cache = ReadCache::default();
    for step in written.steps.into_iter().filter(|step| is_key(&step.key)) {
        cache.steps.insert(step.key, layer(step.layer, step.diff_id)?);
    }
    for mount in written.mounts.into_iter().filter(|mount| is_key(&mount.name)) {
        cache.mounts.insert(mount.name, layer(mount.layer, mount.diff_id)?);
    }
    Ok(cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let layer = Descriptor::of(MediaType::OCI_LAYER, b"layer");
        let text = Descriptor::of(MediaType::new("text/plain"), b"text");
        Manifest::image(Descriptor::of(MediaType::new(CONFIG), b"{}"), vec![layer, text])
    }

    fn config(key: &str, layer: usize) -> String {
        let diff_id = Digest::sha256(b"layer");
        format!(
            r#"{{"version":1,"steps":[{{"key":"{key}","layer":{layer},"diffId":"{diff_id}","stage":"s","text":"t"}}]}}"#
        )
    }

    #[test]
    fn a_cache_is_held_against_its_manifest() {
        let key = "a".repeat(KEY);
        let read = |text: &str| read(&manifest(), text.as_bytes());
        assert_eq!(read(&config(&key, 0)).unwrap().steps.len(), 1);
        assert_eq!(read(&config("../../steps/x", 0)).unwrap().steps.len(), 0);
        assert!(read(&config(&key, 1)).unwrap_err().contains("no layer"));
        assert!(read(&config(&key, 2)).unwrap_err().contains("does not have"));
        assert!(read(r#"{"version":2}"#).unwrap_err().contains("version 2"));
        assert!(read("{").is_err());
    }
}
