//! The volumes of an image: places that hold data of a container.

use std::collections::BTreeSet;
use std::path::Path;

use corten_spec::ContainerConfig;

use super::error::{Result, RuntimeConfigError, without_nul};

/// What the kernel and the runtime say of themselves; data of a container has no place in it, and an
/// image that had its own files there would speak for them.
const OURS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The volumes of an image that have a place in its root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageVolumes {
    /// Clean absolute paths, sorted, each once.
    pub paths: Vec<String>,
    /// What was left out or taken otherwise, in sentences.
    pub notices: Vec<String>,
}

/// Reads the volumes of an image: before its mounts are made, as some of them may be for these.
///
/// # Errors
/// [`RuntimeConfigError::Volume`] for one that leads up or is the root.
pub fn image_volumes(image: &ContainerConfig) -> Result<ImageVolumes> {
    let (mut found, mut notices) = (BTreeSet::new(), Vec::new());
    for path in image.volumes.keys() {
        let error = || RuntimeConfigError::Volume { path: path.chars().take(200).collect() };
        without_nul("volumes", path)?;
        let clean = clean(path).ok_or_else(error)?;
        if !path.starts_with('/') {
            notices
                .push(format!("the image's volume '{path}' is relative: it is taken as {clean}"));
        }
        if let Some(ours) = OURS.iter().find(|ours| Path::new(&clean).starts_with(ours)) {
            notices.push(format!(
                "the image's volume '{path}' is left out: {ours} is not the image's"
            ));
            continue;
        }
        found.insert(clean);
    }
    Ok(ImageVolumes { paths: found.into_iter().collect(), notices })
}

/// The path from the root, without empty and `.` parts; `None` where it leads up or is the root.
fn clean(path: &str) -> Option<String> {
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() || parts.contains(&"..") {
        return None;
    }
    Some(format!("/{}", parts.join("/")))
}
