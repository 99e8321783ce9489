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
            "x86_64" | "x86-64" | "x64" => ("amd64".to_owned(), None),
            "aarch64" => ("arm64".to_owned(), None),
            "i386" | "i486" | "i586" | "i686" | "x86" => ("386".to_owned(), None),
            "armhf" | "armv7l" => ("arm".to_owned(), Some("v7")),
            "armel" | "armv6l" => ("arm".to_owned(), Some("v6")),
            "powerpc64le" => ("ppc64le".to_owned(), None),
            "powerpc64" => ("ppc64".to_owned(), None),
            "loongarch64" => ("loong64".to_owned(), None),
            "mipsel" => ("mipsle".to_owned(), None),
            "mips64el" => ("mips64le".to_owned(), None),
            other => (other.to_owned(), None),
        };
        let variant = self.variant.as_deref().or(implied).map(str::to_ascii_lowercase);
        let variant = match (architecture.as_str(), variant) {
            (_, Some(v)) if v.is_empty() => None,
            ("arm64", Some(v)) if matches!(v.as_str(), "v8" | "8" | "v8.0" | "8.0") => None,
            ("arm64", Some(v)) if matches!(v.as_str(), "9" | "v9.0" | "9.0") => {
                Some("v9".to_owned())
            }
            ("amd64", Some(v)) if v == "v1" || v == "1" => None,
            ("arm" | "arm64" | "amd64", Some(v)) if v.starts_with(|c: char| c.is_ascii_digit()) => {
                Some(format!("v{v}"))
            }
            (_, other) => other,
        };
        Self { architecture, os, variant, ..self.clone() }
    }

    /// How well an image for `self` serves someone who wants `wanted`: `None` when it cannot run
    /// there, otherwise larger is better.
    ///
    /// A processor runs the images of its lower variants (`arm` v7 runs v6, `amd64` v3 runs v2 and
    /// plain, `arm64` v9 runs v8.5), and the highest of them fits best. Other architectures that a
    /// processor may run (`386` on `amd64`) do not match. On Windows the versions have to agree up
    /// to the build number, `10.0.17763`. Every feature in `os.features` has to be wanted, except
    /// `win32k`, which hosts seldom name.
    pub fn fitness(&self, wanted: &Platform) -> Option<u32> {
        let (have, want) = (self.normalized(), wanted.normalized());
        if have.os != want.os || have.architecture != want.architecture {
            return None;
        }
        let variant = have.variant_fitness(&want)?;
        let version = have.version_fitness(&want)?;
        let assumed = |feature: &str| have.os == "windows" && feature == "win32k";
        if !have.os_features.iter().all(|f| want.os_features.contains(f) || assumed(f)) {
            return None;
        }
        let features = have.os_features.iter().filter(|f| want.os_features.contains(f)).count();
        let features = u32::try_from(features).unwrap_or(u32::MAX).min(MAX_FEATURES);
        Some((variant * VERSIONS + version) * (MAX_FEATURES + 1) + features)
    }

    /// At most [`EXACT`]; larger is better.
    fn variant_fitness(&self, want: &Platform) -> Option<u32> {
        if self.variant == want.variant {
            return Some(EXACT);
        }
        let (have, wanted) = (self.variant_rank()?, want.variant_rank()?);
        if have == wanted {
            return Some(EXACT);
        }
        // Armv9.n has what Armv8.(n+5) has, not every later revision of Armv8.
        let reachable = match (self.architecture.as_str(), wanted) {
            ("arm64", 90..) if have < 90 => have <= (wanted - 90) + 85,
            _ => have <= wanted,
        };
        (reachable && have < EXACT).then_some(have)
    }

    /// 2 for the same version, 1 for one that runs, 0 where the image does not say.
    fn version_fitness(&self, want: &Platform) -> Option<u32> {
        let (Some(have), Some(wanted)) = (&self.os_version, &want.os_version) else {
            return Some(0);
        };
        if have == wanted {
            return Some(2);
        }
        let build = |version: &'_ str| -> Vec<String> {
            version.split('.').take(BUILD_COMPONENTS).map(str::to_owned).collect()
        };
        let agree = build(have).iter().zip(&build(wanted)).all(|(have, wanted)| have == wanted);
        (self.os == "windows" && agree).then_some(1)
    }

    /// The place of the variant in its family's order; an absent variant is the family's default.
    fn variant_rank(&self) -> Option<u32> {
        let Some(variant) = self.variant.as_deref() else {
            return Some(match self.architecture.as_str() {
                "arm" => 7,
                "arm64" => 80,
                "amd64" => 1,
                "ppc64le" | "ppc64" => 8,
                "riscv64" => 20,
                _ => return None,
            });
        };
        match self.architecture.as_str() {
            "arm" | "amd64" => variant.strip_prefix('v')?.parse().ok(),
            "arm64" => {
                let version = variant.strip_prefix('v')?;
                let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
                let minor: u32 = minor.parse().ok().filter(|minor| *minor < 10)?;
                Some(major.parse::<u32>().ok()?.checked_mul(10)?.checked_add(minor)?)
            }
            "ppc64le" | "ppc64" => variant.strip_prefix("power")?.parse().ok(),
            "riscv64" => variant.strip_prefix("rva")?.strip_suffix("u64")?.parse().ok(),
            _ => None,
        }
    }
}

/// Fitness of a variant that is the wanted one; above the rank of every known variant.
const EXACT: u32 = 1000;
/// Number of values of `version_fitness`.
const VERSIONS: u32 = 3;
/// Most features that count.
const MAX_FEATURES: u32 = 99;
/// Components of a Windows version up to the build number.
const BUILD_COMPONENTS: usize = 3;

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.os)?;
        let features: String = self.os_features.iter().map(|f| format!("+{f}")).collect();
        let version = self.os_version.as_deref().unwrap_or_default();
        if !version.is_empty() || !features.is_empty() {
            write!(f, "({version}{features})")?;
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

    /// Reads `os/architecture[/variant]` and normalises it. After the system may stand its version
    /// and needed features in brackets, as `windows(10.0.17763+win32k)/amd64`.
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
        let (os, options) = match os.split_once('(') {
            Some((os, rest)) => (os, rest.strip_suffix(')').ok_or_else(error)?),
            None => (os, ""),
        };
        let (version, features) = options.split_once('+').unwrap_or((options, ""));
        let version = Some(version).filter(|version| !version.is_empty());
        let features: Vec<&str> = features.split('+').filter(|f| !f.is_empty()).collect();
        let words = [Some(os), Some(architecture), variant, version];
        let words = words.into_iter().flatten().chain(features.iter().copied());
        if parts.next().is_some() || !words.into_iter().all(word) {
            return Err(error());
        }
        let mut platform = Platform::new(os, architecture);
        platform.variant = variant.map(str::to_owned);
        platform.os_version = version.map(str::to_owned);
        platform.os_features = features.into_iter().map(str::to_owned).collect();
        Ok(platform.normalized())
    }
}

#[cfg(test)]
mod tests;
