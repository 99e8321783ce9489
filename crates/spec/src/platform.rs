//! Platforms: what an image runs on (image-spec `image-index.md`, platform), and how a wanted
//! platform is matched.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::descriptor::null_as_default;

/// Operating system and processor, in the words of Go's `GOOS` and `GOARCH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Processor architecture, as in `GOARCH`.
    pub architecture: String,
    /// Operating system, as in `GOOS`.
    pub os: String,
    /// Version of the operating system.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system that are needed.
    #[serde(
        rename = "os.features",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub os_features: Vec<String>,
    /// Variant of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// A platform without variant, version or features.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self {
            architecture: architecture.into(),
            os: os.into(),
            os_version: None,
            os_features: Vec::new(),
            variant: None,
        }
    }

    /// The same platform with the names people use brought to the names Go uses: `x86_64` is
    /// `amd64`, `aarch64` is `arm64`, `armhf` is `arm` `v7`; a variant that is the default
    /// (`arm64` `v8`, `amd64` `v1`) is left out.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let (architecture, implied) = match self.architecture.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" => ("amd64".to_owned(), None),
            "aarch64" => ("arm64".to_owned(), None),
            "i386" | "i486" | "i586" | "i686" | "x86" => ("386".to_owned(), None),
            "armhf" => ("arm".to_owned(), Some("v7")),
            "armel" => ("arm".to_owned(), Some("v6")),
            "powerpc64le" => ("ppc64le".to_owned(), None),
            other => (other.to_owned(), None),
        };
        let variant = self.variant.as_deref().or(implied).map(str::to_ascii_lowercase);
        let variant = match (architecture.as_str(), variant) {
            ("arm64", Some(v)) if v == "v8" || v == "8" => None,
            ("amd64", Some(v)) if v == "v1" => None,
            ("arm", Some(v)) if !v.is_empty() && !v.starts_with('v') => Some(format!("v{v}")),
            (_, Some(v)) if v.is_empty() => None,
            (_, other) => other,
        };
        Self { architecture, os, variant, ..self.clone() }
    }

    /// How well an image for `self` serves someone who wants `wanted`: `None` when it cannot run
    /// there, otherwise larger is better. A processor runs the images of its lower variants
    /// (`arm` v7 runs v6, `amd64` v3 runs v2 and plain), and the highest of them fits best.
    pub fn fitness(&self, wanted: &Platform) -> Option<u32> {
        let (have, want) = (self.normalized(), wanted.normalized());
        if have.os != want.os || have.architecture != want.architecture {
            return None;
        }
        if let Some(version) = &want.os_version
            && have.os_version.as_ref() != Some(version)
        {
            return None;
        }
        if !have.os_features.iter().all(|f| want.os_features.contains(f) || have.os != "windows") {
            return None;
        }
        if have.variant == want.variant {
            return Some(1000);
        }
        let (have, want) = (have.variant_rank()?, want.variant_rank()?);
        (have <= want).then_some(have)
    }

    /// The place of the variant in its family's order; an absent variant is the family's default.
    fn variant_rank(&self) -> Option<u32> {
        let default = match self.architecture.as_str() {
            "arm" => 7,
            "arm64" => 80,
            "amd64" => 1,
            "ppc64le" | "ppc64" => 8,
            "riscv64" => 20,
            _ => 0,
        };
        let Some(variant) = self.variant.as_deref() else {
            return Some(default);
        };
        match self.architecture.as_str() {
            "arm" | "amd64" => variant.strip_prefix('v')?.parse().ok(),
            "arm64" => {
                let (major, minor) = variant
                    .strip_prefix('v')?
                    .split_once('.')
                    .unwrap_or((variant.strip_prefix('v')?, "0"));
                Some(major.parse::<u32>().ok()?.checked_mul(10)?.checked_add(minor.parse().ok()?)?)
            }
            "ppc64le" | "ppc64" => variant.strip_prefix("power")?.parse().ok(),
            "riscv64" => variant.strip_prefix("rva")?.strip_suffix("u64")?.parse().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.os)?;
        if let Some(version) = &self.os_version {
            write!(f, "({version})")?;
        }
        write!(f, "/{}", self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a platform: write os/architecture or os/architecture/variant, as linux/arm64"
)]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `os/architecture[/variant]`, with `os(version)` for a version, and normalises it.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError(text.chars().take(80).collect());
        let word = |w: &str| {
            !w.is_empty()
                && w.len() <= 64
                && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let mut parts = text.split('/');
        let (os, architecture) = (parts.next().ok_or_else(error)?, parts.next().ok_or_else(error)?);
        let variant = parts.next();
        let (os, version) = match os.split_once('(') {
            Some((os, rest)) => (os, Some(rest.strip_suffix(')').ok_or_else(error)?)),
            None => (os, None),
        };
        let words = [Some(os), Some(architecture), variant, version];
        if parts.next().is_some() || !words.into_iter().flatten().all(word) {
            return Err(error());
        }
        let mut platform = Platform::new(os, architecture);
        platform.variant = variant.map(str::to_owned);
        platform.os_version = version.map(str::to_owned);
        Ok(platform.normalized())
    }
}
