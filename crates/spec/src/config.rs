//! Image configs (image-spec `config.md`): how an image runs and what its layers are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::null_as_default;
use crate::{ChainId, DiffId, Platform};

/// The set of keys whose values are the empty object, as `Volumes` and `ExposedPorts` are written.
pub type KeySet = BTreeMap<String, serde_json::Map<String, serde_json::Value>>;

/// The config of an image. Fields that the specification does not know are in the bytes of the
/// document it was parsed from, and here in `extra`, so that a config made from another keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Name and address of the maker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What the image runs on.
    #[serde(flatten)]
    pub platform: Platform,
    /// How it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ContainerConfig>,
    /// Its layers, unpacked.
    pub rootfs: RootFs,
    /// How each layer came to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub history: Vec<History>,
    /// Everything else, kept.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl ImageConfig {
    /// The ChainID of the whole stack; `None` without layers.
    pub fn chain_id(&self) -> Option<ChainId> {
        ChainId::of(&self.rootfs.diff_ids)
    }
}

/// How a container of the image runs (`config.md`, property `config`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// `user`, `uid`, `user:group`, `uid:gid`, `uid:group` or `user:gid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Ports as `port/tcp`, `port/udp` or `port`.
    #[serde(
        default,
        skip_serializing_if = "KeySet::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub exposed_ports: KeySet,
    /// `NAME=value` entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// Arguments that always start the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments after the entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Directories that hold data of the container.
    #[serde(
        default,
        skip_serializing_if = "KeySet::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub volumes: KeySet,
    /// The directory the process starts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Labels.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the container to stop, by name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Everything else, kept: reserved and Docker fields among it.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// The unpacked layers of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// DiffIds from the base up.
    #[serde(deserialize_with = "null_as_default")]
    pub diff_ids: Vec<DiffId>,
}

impl RootFs {
    /// A stack of layers.
    pub fn layers(diff_ids: Vec<DiffId>) -> Self {
        Self { kind: "layers".to_owned(), diff_ids }
    }
}

/// How one layer, or one change of the config, came to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// No layer belongs to this entry.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_as_default"
    )]
    pub empty_layer: bool,
    /// Everything else, kept.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}
