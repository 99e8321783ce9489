//! Images with programs in them: a static busybox of this machine, and whatever a test adds.

use std::path::{Path, PathBuf};

use corten_spec::ContainerConfig;
use corten_spec::annotation::REF_NAME;
use corten_testkit::images::{ImageMaker, LayerForm, TestImage};
use corten_testkit::tar::TarMaker;
use serde_json::json;

/// Where a busybox may be.
const PLACES: [&str; 4] = [
    "/usr/bin/busybox",
    "/bin/busybox",
    "/usr/local/bin/busybox",
    "/var/lib/corten-peers/tree/usr/bin/busybox",
];

/// The programs of busybox that the tests call.
const APPLETS: [&str; 33] = [
    "cmp", "cat", "chmod", "cp", "dd", "echo", "env", "false", "find", "grep", "head", "hostname",
    "id", "kill", "ln", "ls", "mkdir", "mknod", "mount", "nc", "ps", "pwd", "readlink", "rm", "sh",
    "sleep", "stat", "test", "touch", "true", "umount", "wc", "chown",
];

/// The users of the image.
pub(crate) const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n";

/// Its groups.
pub(crate) const GROUP: &str = "root:x:0:\napp:x:1000:\nmore:x:2000:app,root\n";

/// A busybox that needs no library, or `None`, told on stderr.
pub(crate) fn busybox() -> Option<Vec<u8>> {
    let found = PLACES.iter().filter_map(|path| std::fs::read(path).ok()).find(|b| is_static(b));
    if found.is_none() {
        eprintln!("skipped: this machine has no static busybox (package busybox-static)");
    }
    found
}

/// Whether no segment of an ELF file names an interpreter.
fn is_static(bytes: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let word = |at: usize, size: usize| -> usize {
        let slice = bytes.get(at..at + size).unwrap_or_default();
        slice.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    bytes.starts_with(b"\x7fELF\x02\x01")
        && !(0..count).any(|n| word(table + n * size, 4) == INTERPRETER as usize)
}

/// The layer that all images here begin with.
pub(crate) fn base(busybox: &[u8]) -> TarMaker {
    let mut tar = TarMaker::new()
        .directory("bin", 0o755)
        .file("bin/busybox", 0o755, busybox)
        .directory("etc", 0o755)
        .file("etc/passwd", 0o644, PASSWD)
        .file("etc/group", 0o644, GROUP)
        .directory("root", 0o700)
        .directory("tmp", 0o1777);
    for applet in APPLETS {
        tar = tar.symlink(&format!("bin/{applet}"), "busybox");
    }
    tar
}

/// An image of that layer and one more.
pub(crate) fn image(busybox: &[u8], more: TarMaker, config: ContainerConfig) -> TestImage {
    image_of(busybox, &[more], config)
}

/// An image of that layer and more.
pub(crate) fn image_of(busybox: &[u8], more: &[TarMaker], config: ContainerConfig) -> TestImage {
    // Plain: nothing here is about compression, and tests that are not optimised pack slowly.
    let maker = ImageMaker::new().platform(&platform()).form(LayerForm::Plain);
    let maker = more.iter().cloned().fold(maker.layer(base(busybox)), ImageMaker::layer);
    maker.config(config).build()
}

fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

/// The libraries that the binary of corten needs, where it looks for them.
pub(crate) fn libraries(binary: &Path) -> Option<TarMaker> {
    let Ok(told) = std::process::Command::new("ldd").arg(binary).output() else {
        eprintln!("skipped: ldd is missing");
        return None;
    };
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let paths = told.split_whitespace().filter(|word| word.starts_with('/'));
    let add = |tar: TarMaker, path: &str| {
        tar.file(path.trim_start_matches('/'), 0o755, std::fs::read(path).unwrap())
    };
    Some(paths.fold(TarMaker::new(), add))
}

/// A directory that holds images as the specification lays them out.
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// An empty one.
    pub(crate) fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        std::fs::write(path.join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        Self(path)
    }

    /// Adds an image under a name.
    pub(crate) fn add(&self, name: &str, image: &TestImage) {
        let documents = image.documents().iter().map(|one| (&one.descriptor().digest, one.bytes()));
        let blobs = image.blobs().iter().map(|(descriptor, bytes)| (&descriptor.digest, bytes));
        for (digest, bytes) in documents.chain(blobs) {
            std::fs::write(self.0.join("blobs/sha256").join(digest.encoded()), bytes).unwrap();
        }
        let path = self.0.join("index.json");
        let mut index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut pointer = serde_json::to_value(image.pointer()).unwrap();
        pointer["annotations"] = json!({ REF_NAME: name });
        index["manifests"].as_array_mut().unwrap().push(pointer);
        std::fs::write(path, index.to_string()).unwrap();
    }
}
