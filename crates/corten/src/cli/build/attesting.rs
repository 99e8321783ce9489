//! What `corten build` says of the image besides: in words of its own and in those of buildx.

use clap::Args;

use super::Failure;
use crate::ops::{AttestWords, ProvenanceMode};

/// What is attested.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct AttestArgs {
    /// Attest the packages that the image holds (SPDX), in a manifest that refers to it.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sbom: Option<String>,
    /// Attest how the image came about (SLSA): min, or max with values of arguments, the Dockerfile and the steps.
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "min")]
    provenance: Option<String>,
    /// The same as buildx writes it: type=sbom, or type=provenance,mode=min|max; may repeat.
    #[arg(long, value_name = "WHAT")]
    attest: Vec<String>,
}

impl AttestArgs {
    pub(super) fn wanted(&self) -> Result<AttestWords, Failure> {
        let mut words = AttestWords::default();
        for text in &self.attest {
            attest(&mut words, text)?;
        }
        match self.sbom.as_deref() {
            None => {}
            Some("true") => words.sbom = true,
            Some("false") => words.sbom = false,
            Some(other) => {
                let text = format!(
                    "--sbom={other}: it is true or false; corten itself reads the packages"
                );
                return Err(Failure::Usage(text));
            }
        }
        if let Some(text) = &self.provenance {
            words.provenance =
                mode(text).map_err(|why| Failure::Usage(format!("--provenance={why}")))?;
        }
        Ok(words)
    }

    /// Refuses what projects do not attest.
    pub(super) fn none(&self) -> Result<(), Failure> {
        if self.wanted()? == AttestWords::default() {
            return Ok(());
        }
        let text = "--sbom and --provenance are for Dockerfiles: a project attests the result of its tests";
        Err(Failure::Usage(text.to_owned()))
    }
}

fn mode(text: &str) -> Result<Option<ProvenanceMode>, String> {
    match text.strip_prefix("mode=").unwrap_or(text) {
        "min" | "true" => Ok(Some(ProvenanceMode::Min)),
        "max" => Ok(Some(ProvenanceMode::Max)),
        "false" => Ok(None),
        _ => Err(format!("{text}: modes are min and max")),
    }
}

fn attest(words: &mut AttestWords, text: &str) -> Result<(), Failure> {
    let wrong = |why: &str| Failure::Usage(format!("--attest {text}: {why}"));
    let (mut kind, mut wanted, mut is_off) = ("", "min", false);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("type", value)) => kind = value,
            Some(("mode", value)) => wanted = value,
            Some(("disabled", value)) => is_off = value == "true",
            _ => return Err(wrong("fields are type, mode and disabled")),
        }
    }
    match kind {
        "sbom" => words.sbom = !is_off,
        "provenance" if is_off => words.provenance = None,
        "provenance" => words.provenance = mode(wanted).map_err(|why| wrong(&why))?,
        _ => return Err(wrong("types are sbom and provenance")),
    }
    Ok(())
}
