//! What the rules look at: the manifests and sources of the workspace, read and parsed once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use syn::spanned::Spanned;

/// Folders of the root that hold what we wrote.
const FOLDERS: [&str; 6] = ["crates", "xtask", "tests", "fuzz", "benches", "examples"];

/// Folders below them that do not.
const FOREIGN: [&str; 4] = ["target", "corpus", "artifacts", "seeds"];

/// The whole of what is checked.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Packages with a manifest of their own.
    pub(super) packages: Vec<Package>,
    /// Every `.rs` file.
    pub(super) sources: Vec<Source>,
}

/// One package.
#[derive(Debug)]
pub(super) struct Package {
    /// Its name in its manifest.
    pub(super) name: String,
    /// Path of the manifest, from the root.
    pub(super) path: PathBuf,
    /// The manifest as written.
    pub(super) text: String,
    /// The manifest, parsed.
    pub(super) manifest: toml::Table,
}

impl Package {
    /// The folder that holds the package.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// One `.rs` file.
pub(crate) struct Source {
    /// Path, from the root.
    pub(crate) path: PathBuf,
    /// Name of the package it belongs to; empty for none.
    pub(crate) owner: String,
    /// Part of the product, or only of its tests.
    pub(crate) role: Role,
    /// The text.
    pub(crate) text: String,
    /// The text, parsed.
    pub(crate) syntax: syn::File,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.owner)
    }
}

/// What a source is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is compiled into the product.
    Product,
    /// It is compiled for tests, measurements or examples alone.
    Test,
}

/// Why the workspace could not be looked at.
#[derive(Debug)]
#[non_exhaustive]
pub enum HouseError {
    /// A file or folder could not be read.
    Read(PathBuf, io::Error),
    /// A source is no Rust.
    Source(PathBuf, syn::Error),
    /// A manifest is no TOML.
    Manifest(PathBuf, toml::de::Error),
}

impl fmt::Display for HouseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, cause) => write!(f, "{}: {cause}", path.display()),
            Self::Source(path, cause) => {
                let line = cause.span().start().line;
                write!(f, "{}:{line}: not Rust: {cause}", path.display())
            }
            Self::Manifest(path, cause) => write!(f, "{}: not TOML: {cause}", path.display()),
        }
    }
}

impl std::error::Error for HouseError {}

/// Reads the workspace whose root is `root`.
pub fn read(root: &Path) -> Result<Workspace, HouseError> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        walk(root, Path::new(folder), &mut files)?;
    }
    Workspace::of(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, String)>) -> Result<(), HouseError> {
    let place = root.join(folder);
    if !place.is_dir() {
        return Ok(());
    }
    let unread = |cause| HouseError::Read(place.clone(), cause);
    for entry in fs::read_dir(&place).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(&name);
        let kind = entry.file_type().map_err(unread)?;
        if kind.is_dir() && !FOREIGN.contains(&name.as_str()) && !name.starts_with('.') {
            walk(root, &path, files)?;
        } else if kind.is_file() && (name == "Cargo.toml" || name.ends_with(".rs")) {
            let text = fs::read_to_string(root.join(&path));
            files.push((path.clone(), text.map_err(|cause| HouseError::Read(path, cause))?));
        }
    }
    Ok(())
}

impl Workspace {
    /// A workspace of texts; paths are from its root, `crates/spec/src/lib.rs`.
    pub fn of(mut files: Vec<(PathBuf, String)>) -> Result<Self, HouseError> {
        files.sort();
        let mut workspace = Self::default();
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
            workspace.packages.push(package(path, text)?);
        }
        for (path, text) in files.into_iter().filter(|(path, _)| is_rust(path)) {
            let syntax =
                syn::parse_file(&text).map_err(|cause| HouseError::Source(path.clone(), cause))?;
            let owner = workspace.owner(&path);
            workspace.sources.push(Source { path, owner, role: Role::Product, text, syntax });
        }
        workspace.tell_tests();
        Ok(workspace)
    }

    /// Product sources of every package that `wanted` takes, by name.
    pub(crate) fn product(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &Source> {
        let product = |source: &&Source| source.role == Role::Product;
        self.sources.iter().filter(product).filter(move |source| wanted(&source.owner))
    }

    fn owner(&self, path: &Path) -> String {
        let holds = |package: &&Package| path.starts_with(package.folder());
        let nearest =
            self.packages.iter().filter(holds).max_by_key(|p| p.folder().as_os_str().len());
        nearest.map(|package| package.name.clone()).unwrap_or_default()
    }

    /// Test code is what stands in a package's `tests`, `benches` or `examples`, in one of the
    /// root's folders of that kind, or in a file that a `#[cfg(test)] mod name;` brings in.
    fn tell_tests(&mut self) {
        let mut roots: BTreeSet<PathBuf> =
            ["tests", "fuzz", "benches", "examples"].iter().map(PathBuf::from).collect();
        for package in &self.packages {
            for folder in ["tests", "benches", "examples"] {
                roots.insert(package.folder().join(folder));
            }
        }
        roots.extend(self.sources.iter().flat_map(test_modules));
        for source in &mut self.sources {
            if roots.iter().any(|root| source.path.starts_with(root)) {
                source.role = Role::Test;
            }
        }
    }
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn package(path: &Path, text: &str) -> Result<Package, HouseError> {
    let manifest: toml::Table =
        text.parse().map_err(|cause| HouseError::Manifest(path.to_owned(), cause))?;
    let name = manifest.get("package").and_then(|package| package.get("name"));
    let name = name.and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    Ok(Package { name, path: path.to_owned(), text: text.to_owned(), manifest })
}

/// The files and folders of the modules that `source` declares for tests alone.
fn test_modules(source: &Source) -> Vec<PathBuf> {
    let folder = module_folder(&source.path);
    let mut places = Vec::new();
    for item in &source.syntax.items {
        if let syn::Item::Mod(module) = item
            && module.content.is_none()
            && is_for_tests(&module.attrs)
        {
            let place = folder.join(module.ident.to_string());
            places.push(place.with_extension("rs"));
            places.push(place);
        }
    }
    places
}

/// Where the children of the module in `path` stand.
fn module_folder(path: &Path) -> PathBuf {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("lib.rs" | "main.rs" | "mod.rs") => path.parent().unwrap_or(path).to_owned(),
        _ => path.with_extension(""),
    }
}

/// Whether an item exists in tests alone: `#[cfg(test)]`, `#[test]`, `#[tokio::test]`.
pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        if path.is_ident("cfg") {
            return attribute
                .parse_args::<syn::Meta>()
                .is_ok_and(|condition| condition.path().is_ident("test"));
        }
        path.segments.last().is_some_and(|segment| segment.ident == "test")
    })
}

/// The line on which `node` begins.
pub(super) fn line_of(node: &impl Spanned) -> usize {
    node.span().start().line
}
