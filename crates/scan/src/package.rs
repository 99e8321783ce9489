//! The words of an inventory.

use std::fmt::Write as _;

/// Who installed a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageKind {
    /// dpkg, of Debian and its kin.
    Dpkg,
    /// apk, of Alpine and its kin.
    Apk,
    /// pip and its kin.
    Python,
    /// npm and its kin.
    Npm,
}

impl PackageKind {
    /// The type in a package URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dpkg => "deb",
            Self::Apk => "apk",
            Self::Python => "pypi",
            Self::Npm => "npm",
        }
    }
}

/// A package that is installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// By whom.
    pub kind: PackageKind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is built for, where it says so.
    pub architecture: Option<String>,
    /// The source that it was built of, where that has another name.
    pub source: Option<String>,
    /// Its licence, in its own words.
    pub licence: Option<String>,
    /// The file that says so.
    pub path: String,
}

/// The distribution of an image, as its `os-release` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `debian`.
    pub id: String,
    /// `13`; empty where there is none.
    pub version: String,
}

impl Package {
    /// Its package URL (purl).
    ///
    /// ```
    /// use corten_scan::{Distribution, Package, PackageKind};
    ///
    /// let package = Package {
    ///     kind: PackageKind::Dpkg,
    ///     name: "libstdc++6".into(),
    ///     version: "1:14.2-1".into(),
    ///     architecture: Some("amd64".into()),
    ///     source: None,
    ///     licence: None,
    ///     path: "var/lib/dpkg/status".into(),
    /// };
    /// let debian = Distribution { id: "debian".into(), version: "13".into() };
    /// let purl = "pkg:deb/debian/libstdc%2B%2B6@1%3A14.2-1?arch=amd64&distro=debian-13";
    /// assert_eq!(package.purl(Some(&debian)), purl);
    /// ```
    pub fn purl(&self, distribution: Option<&Distribution>) -> String {
        let mut purl = format!("pkg:{}/", self.kind.as_str());
        let is_of_system = matches!(self.kind, PackageKind::Dpkg | PackageKind::Apk);
        let distribution = distribution.filter(|_| is_of_system);
        match (self.kind, distribution, self.name.split_once('/')) {
            (PackageKind::Npm, _, Some((scope, name))) => {
                // Writing to a String cannot fail.
                let _ = write!(purl, "{}/{}", encoded(scope), encoded(name));
            }
            (PackageKind::Python, ..) => purl.push_str(&encoded(&python_name(&self.name))),
            (_, Some(distribution), _) => {
                let _ = write!(purl, "{}/{}", encoded(&distribution.id), encoded(&self.name));
            }
            _ => purl.push_str(&encoded(&self.name)),
        }
        let _ = write!(purl, "@{}", encoded(&self.version));
        let mut mark = '?';
        let mut qualified = |key: &str, value: &str| {
            let _ = write!(purl, "{mark}{key}={}", encoded(value));
            mark = '&';
        };
        if let Some(architecture) = self.architecture.as_ref().filter(|_| is_of_system) {
            qualified("arch", architecture);
        }
        if let Some(distribution) = distribution {
            let dash = if distribution.version.is_empty() { "" } else { "-" };
            qualified("distro", &format!("{}{dash}{}", distribution.id, distribution.version));
        }
        purl
    }
}

/// A name as the index of Python compares it.
fn python_name(name: &str) -> String {
    let mut normal = String::new();
    for letter in name.to_lowercase().chars() {
        match letter {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            _ => normal.push(letter),
        }
    }
    normal
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_of_libraries_know_no_distribution() {
        let package = |kind, name: &str| Package {
            kind,
            name: name.to_owned(),
            version: "1.0".to_owned(),
            architecture: None,
            source: None,
            licence: None,
            path: String::new(),
        };
        let debian = Distribution { id: "debian".to_owned(), version: String::new() };
        let rows = [
            (package(PackageKind::Npm, "@types/node"), "pkg:npm/%40types/node@1.0"),
            (package(PackageKind::Python, "Ruamel.yaml__x"), "pkg:pypi/ruamel-yaml-x@1.0"),
            (package(PackageKind::Dpkg, "bash"), "pkg:deb/debian/bash@1.0?distro=debian"),
        ];
        for (package, purl) in rows {
            assert_eq!(package.purl(Some(&debian)), purl);
        }
        assert_eq!(package(PackageKind::Apk, "musl").purl(None), "pkg:apk/musl@1.0");
    }
}
