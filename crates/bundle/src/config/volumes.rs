//! The volumes of an image: places that hold data of a container.

use std::collections::BTreeSet;
use std::path::Path;

use corten_spec::ContainerConfig;

use super::error::{Result, RuntimeConfigError, without_nul};
use super::explain::Trace;

/// What the kernel and the runtime say of themselves; data of a container has no place in it, and an
/// image that had its own files there would speak for them.
const OURS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The image's volumes as clean absolute paths, sorted, each once.
pub(super) fn volumes(image: &ContainerConfig, trace: &mut Trace) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for path in image.volumes.keys() {
        let error = || RuntimeConfigError::Volume { path: path.chars().take(200).collect() };
        without_nul("volumes", path)?;
        let clean = clean(path).ok_or_else(error)?;
        if !path.starts_with('/') {
            trace
                .notice(format!("the image's volume '{path}' is relative: it is taken as {clean}"));
        }
        if let Some(ours) = OURS.iter().find(|ours| Path::new(&clean).starts_with(ours)) {
            trace.notice(format!(
                "the image's volume '{path}' is left out: {ours} is not the image's"
            ));
            continue;
        }
        found.insert(clean);
    }
    Ok(found.into_iter().collect())
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
