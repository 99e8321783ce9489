//! Why layers cannot be read.

use corten_layer::LayerError;
use corten_spec::Digest;

/// Why a layer cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// It cannot be opened or read.
    #[error("layer {digest}")]
    Layer {
        /// Which.
        digest: Digest,
        /// Why.
        source: LayerError,
    },
    /// It is another one than was announced.
    #[error("layer {digest} is not what it is called: {text}")]
    Mismatch {
        /// Which.
        digest: Digest,
        /// What differs.
        text: String,
    },
}
