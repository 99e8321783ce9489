//! What each package manager writes down.

use serde::Deserialize;
use serde_json::Value;

use crate::fields::{is_plain, paragraphs};
use crate::package::{Distribution, Package, PackageKind};

/// A file that tells of packages, or of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// `var/lib/dpkg/status`, and one file for each package in `status.d`.
    Dpkg,
    /// `lib/apk/db/installed`.
    Apk,
    /// `METADATA` of a distribution.
    Python,
    /// `package.json` of an installed package.
    Npm,
    /// `os-release`.
    Release,
    /// A database of rpm, which is not read.
    Rpm,
}

impl Database {
    /// What a file is, by its path.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "var/lib/dpkg/status" => return Some(Self::Dpkg),
            "lib/apk/db/installed" | "usr/lib/apk/db/installed" => return Some(Self::Apk),
            "etc/os-release" | "usr/lib/os-release" => return Some(Self::Release),
            _ => {}
        }
        if let Some(name) = path.strip_prefix("var/lib/dpkg/status.d/") {
            return (!name.contains('/') && !name.ends_with(".md5sums")).then_some(Self::Dpkg);
        }
        let rpm = ["var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/"];
        if let Some(name) = rpm.iter().find_map(|directory| path.strip_prefix(directory)) {
            return ["Packages", "Packages.db", "rpmdb.sqlite"]
                .contains(&name)
                .then_some(Self::Rpm);
        }
        let python = [".dist-info/METADATA", ".egg-info/PKG-INFO", ".egg-info"];
        if python.iter().any(|end| path.ends_with(end)) {
            return Some(Self::Python);
        }
        let mut names = path.rsplit('/');
        if names.next() != Some("package.json") {
            return None;
        }
        let (_, above) = (names.next()?, names.next()?);
        let is_npm = above == "node_modules"
            || (above.starts_with('@') && names.next() == Some("node_modules"));
        is_npm.then_some(Self::Npm)
    }

    /// Reads the packages of a file.
    pub(crate) fn packages(self, path: &str, bytes: &[u8]) -> Vec<Package> {
        let text = String::from_utf8_lossy(bytes);
        match self {
            Self::Dpkg => dpkg(path, &text),
            Self::Apk => apk(path, &text),
            Self::Python => python(path, &text).into_iter().collect(),
            Self::Npm => npm(path, bytes).into_iter().collect(),
            Self::Release | Self::Rpm => Vec::new(),
        }
    }
}

fn dpkg(path: &str, text: &str) -> Vec<Package> {
    let mut all = Vec::new();
    for fields in paragraphs(text) {
        // `want error status`; images of distroless have none.
        let status = fields.value("Status").and_then(|status| status.split(' ').next_back());
        if !matches!(status, None | Some("installed")) {
            continue;
        }
        let (Some(name), Some(version)) = (fields.value("Package"), fields.value("Version")) else {
            continue;
        };
        // `glibc (2.41-1)`, where the version is another one.
        let source = fields.value("Source").and_then(|source| source.split(' ').next());
        all.push(Package {
            kind: PackageKind::Dpkg,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: fields.value("Architecture").map(str::to_owned),
            source: source.map(str::to_owned),
            licence: None,
            path: path.to_owned(),
        });
    }
    all
}

fn apk(path: &str, text: &str) -> Vec<Package> {
    let of = |fields: crate::fields::Fields<'_>| {
        // Letters in two cases are different fields.
        Some(Package {
            kind: PackageKind::Apk,
            name: fields.exact("P")?.to_owned(),
            version: fields.exact("V")?.to_owned(),
            architecture: fields.exact("A").map(str::to_owned),
            source: fields.exact("o").map(str::to_owned),
            licence: fields.exact("L").map(str::to_owned),
            path: path.to_owned(),
        })
    };
    paragraphs(text).filter_map(of).collect()
}

fn python(path: &str, text: &str) -> Option<Package> {
    let fields = paragraphs(text).next()?;
    let licence = fields.value("License-Expression").or_else(|| fields.value("License"));
    Some(Package {
        kind: PackageKind::Python,
        name: fields.value("Name")?.to_owned(),
        version: fields.value("Version")?.to_owned(),
        architecture: None,
        source: None,
        licence: licence.map(str::to_owned),
        path: path.to_owned(),
    })
}

#[derive(Deserialize)]
struct NpmFile {
    name: Option<String>,
    version: Option<String>,
    license: Option<Value>,
}

fn npm(path: &str, bytes: &[u8]) -> Option<Package> {
    let file: NpmFile = serde_json::from_slice(bytes).ok()?;
    let licence = file.license.and_then(|value| match value {
        Value::String(text) => Some(text),
        Value::Object(fields) => fields.get("type")?.as_str().map(str::to_owned),
        _ => None,
    });
    Some(Package {
        kind: PackageKind::Npm,
        name: file.name.filter(|text| is_plain(text))?,
        version: file.version.filter(|text| is_plain(text))?,
        architecture: None,
        source: None,
        licence: licence.filter(|text| is_plain(text)),
        path: path.to_owned(),
    })
}

/// Reads an `os-release`.
pub(crate) fn distribution(bytes: &[u8]) -> Option<Distribution> {
    let text = String::from_utf8_lossy(bytes);
    let value = |name: &str| {
        let found =
            text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name);
        let value = found.map(|(_, value)| value.trim_matches(['"', '\'']));
        value.filter(|value| is_plain(value)).map(str::to_owned)
    };
    Some(Distribution { id: value("ID")?, version: value("VERSION_ID").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_paths() {
        let rows = [
            ("var/lib/dpkg/status", Some(Database::Dpkg)),
            ("var/lib/dpkg/status.d/base-files", Some(Database::Dpkg)),
            ("var/lib/dpkg/status.d/base-files.md5sums", None),
            ("var/lib/dpkg/status.d/a/b", None),
            ("x/var/lib/dpkg/status", None),
            ("lib/apk/db/installed", Some(Database::Apk)),
            ("usr/lib/python3/dist-packages/six-1.16.dist-info/METADATA", Some(Database::Python)),
            ("usr/lib/python3/six.egg-info", Some(Database::Python)),
            ("app/node_modules/left-pad/package.json", Some(Database::Npm)),
            ("app/node_modules/@a/b/package.json", Some(Database::Npm)),
            ("app/node_modules/left-pad/test/package.json", None),
            ("node_modules/package.json", None),
            ("package.json", None),
            ("var/lib/rpm/rpmdb.sqlite", Some(Database::Rpm)),
        ];
        for (path, expected) in rows {
            assert_eq!(Database::of(path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_removed_or_broken_is_no_package() {
        let text = "Package: a\nStatus: install ok installed\nVersion: 1\nDescription: x\n Package: no\n\n\
                    Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\n\n\
                    Package: c\nVersion: 2\nSource: glibc (2.1)\nArchitecture: all\n\nPackage: d\n\nnonsense\n";
        let found = dpkg("p", text);
        let told = found.iter().map(|one| (&*one.name, &*one.version, one.source.as_deref()));
        let told: Vec<_> = told.collect();
        assert_eq!(told, [("a", "1", None), ("c", "2", Some("glibc"))]);
        let long = format!("Package: {}\nVersion: 1\n", "x".repeat(5000));
        assert!(dpkg("p", &long).is_empty());
        assert!(npm("p", b"{\"name\": 3}").is_none() && npm("p", &b"[".repeat(100_000)).is_none());
        assert!(npm("p", b"{\"name\":\"a\\u001b[2J\",\"version\":\"1\"}").is_none());
    }

    #[test]
    fn each_manager_says_it_in_its_own_words() {
        let apk = apk(
            "p",
            "C:Q1\nP:musl\nV:1.2\nA:x86_64\nL:MIT\no:musl-src\np:so:x\nF:lib\n\nP:x\nV:1\n",
        );
        assert_eq!((apk.len(), &*apk[0].name, apk[0].licence.as_deref()), (2, "musl", Some("MIT")));
        let python = python(
            "p",
            "Metadata-Version: 2.1\nName: six\nVersion: 1.16\nLicense: MIT\n\nName: no\n",
        );
        assert_eq!(python.unwrap().name, "six");
        let npm = npm("p", br#"{"name":"a","version":"1","license":{"type":"ISC"}}"#).unwrap();
        assert_eq!(npm.licence.as_deref(), Some("ISC"));
        let release = distribution(b"NAME=\"x\"\nID=debian\nVERSION_ID=\"13\"\n").unwrap();
        assert_eq!((&*release.id, &*release.version), ("debian", "13"));
    }
}
