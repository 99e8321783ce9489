//! Checking any place against the specification.

use super::validate::{Checks, ValidateReport, check_image, check_layout};
use crate::{Context, Failure, Place};

/// Checks the image at `place`; a layout without a name inside is checked as a whole, with the
/// files that belong to no image. What is wrong with the image is in the report, not a failure.
pub async fn validate(
    context: &Context,
    place: &Place,
    checks: Checks,
) -> Result<ValidateReport, Failure> {
    if let Place::Layout(path, None) = place {
        return Ok(check_layout(path, checks).await);
    }
    let source = context.source(place).await?;
    let root = source.store.resolve(&source.selector).await?;
    Ok(check_image(source.store, root.descriptor, checks).await)
}
