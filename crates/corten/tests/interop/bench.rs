//! A place to work at: the program with a home, a store and a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corten_spec::RefName;
use corten_store::LayoutStore;
use corten_testkit::images::{TestImage, push};
use corten_testkit::{Ran, Scratch, scratch};
use serde_json::Value;

/// A directory that goes away with the test; the program knows no other home.
pub(crate) struct Bench {
    scratch: Scratch,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self { scratch: scratch() };
        std::fs::create_dir(bench.path("home")).unwrap();
        bench
    }

    /// A path here, as text.
    pub(crate) fn at(&self, path: &str) -> String {
        self.path(path).to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.scratch.join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> String {
        self.scratch.write(path, bytes);
        self.at(path)
    }

    /// The directory of the local store.
    pub(crate) fn store(&self) -> String {
        self.at("store")
    }

    /// Gives all that is here to another user.
    pub(crate) fn give_to(&self, user: u32) {
        let owner = format!("{user}:{user}");
        let status = Command::new("chown").args(["-R", &owner]).arg(self.path("")).status();
        assert!(status.unwrap().success(), "chown {owner}");
    }

    /// Runs the program to its end, whatever that is.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        Ran { code: output.status.code(), stdout, stderr }
    }

    /// Runs the program, which must succeed, and gives its standard output.
    pub(crate) fn corten(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert!(ran.code == Some(0), "corten {arguments:?}: {ran:?}");
        ran.stdout
    }

    /// The same with its report as JSON.
    pub(crate) fn report(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.corten(&[arguments, &["--json"]].concat())).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        command.args(arguments).env_clear().env("HOME", self.path("home"));
        command.env("CORTEN_STORE", self.path("store")).stdin(Stdio::null());
        command
    }

    /// Writes an image, and what belongs with it, into the layout `directory` here: the last of
    /// them under `name`.
    pub(crate) fn layout(&self, directory: &str, name: &str, images: &[&TestImage]) -> String {
        let layout = LayoutStore::create(self.path(directory)).unwrap();
        let name = RefName::parse(name).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (last, others) = images.split_last().unwrap();
        others.iter().for_each(|image| runtime.block_on(push(&layout, None, image)).unwrap());
        runtime.block_on(push(&layout, Some(&name), last)).unwrap();
        self.at(directory)
    }
}

/// Asserts that a layout on disk holds every manifest and blob of `image`, byte for byte.
pub(crate) fn assert_on_disk(layout: impl AsRef<Path>, image: &TestImage, said: &str) {
    let documents = image.documents().iter().map(|one| (one.descriptor(), one.bytes()));
    let blobs = image.distributable().map(|(descriptor, bytes)| (descriptor, bytes));
    for (descriptor, bytes) in documents.chain(blobs) {
        let digest = &descriptor.digest;
        let file = layout.as_ref().join("blobs").join(digest.algorithm_name());
        let found = std::fs::read(file.join(digest.encoded()));
        let found = found.unwrap_or_else(|error| panic!("{said}: {digest}: {error}"));
        assert!(found == **bytes, "{said}: {digest} differs");
    }
}

/// The digest that a layout's `index.json` has for `name`; without a name, for its only entry.
pub(crate) fn listed(layout: impl AsRef<Path>, name: Option<&str>) -> Option<String> {
    let index = std::fs::read(layout.as_ref().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let entries = index["manifests"].as_array().unwrap().clone();
    assert!(name.is_some() || entries.len() == 1, "{entries:?}");
    let is_it = |entry: &&Value| {
        name.is_none() || entry["annotations"]["org.opencontainers.image.ref.name"].as_str() == name
    };
    entries.iter().find(is_it).map(|entry| entry["digest"].as_str().unwrap().to_owned())
}
