//! What the tests ask with.

use corten_dockerfile::{BuildInputs, PlatformValues};

/// A build on Linux for amd64, where the answers of `BuildKit` come from.
pub(crate) fn inputs() -> BuildInputs {
    let platform = PlatformValues {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        ..PlatformValues::default()
    };
    BuildInputs { build: platform.clone(), target: platform, ..BuildInputs::default() }
}
