//! corten's side: a case built four ways, which must give one digest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corten_testkit::{Scratch, scratch};
use serde_json::Value;

use crate::bases::{configs, write_layout};
use crate::corpus::Case;
use crate::making::lay;
use crate::seen::{Ground, Seen};

/// The name that every result has in its store.
const NAME: &str = "t";
/// Seconds by which a context elsewhere is younger.
const YOUNGER: i64 = 86_400;

/// What a case has become: an image, or the reason for none.
pub(crate) type Outcome = Result<Seen, String>;

/// The bases, in a layout and in a store that is copied for each case.
pub(crate) struct Bench {
    pub(crate) scratch: Scratch,
    ground: Ground,
    timed: Ground,
}

impl Bench {
    /// `None`, told on stderr, where this machine cannot build.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root builds here");
            return None;
        }
        let busybox = crate::image::busybox()?;
        let scratch = scratch();
        let layout = scratch.join("bases");
        write_layout(&layout, &busybox);
        for (name, _) in configs() {
            let from = format!("oci:{}:{name}", layout.display());
            let out = corten(&scratch.join("store")).args(["pull", &from, name]).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        let (config, layers) = blobs(&layout, "base");
        let ground = |timed| Ground::new(&config, &layers, timed);
        Some(Self { ground: ground(false), timed: ground(true), scratch })
    }

    pub(crate) fn layout(&self) -> PathBuf {
        self.scratch.join("bases")
    }

    /// The tree that the images of a case are told against.
    pub(crate) fn ground(&self, case: &Case) -> &Ground {
        if is_timed(case) { &self.timed } else { &self.ground }
    }

    /// Lays the contexts of a case below a directory.
    pub(crate) fn contexts(&self, case: &Case, directory: &Path, shift: i64) {
        let context = directory.join("context");
        let file = context.join(case.file());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &case.text).unwrap();
        let shift = (shift, case.fraction());
        lay(&context, &case.things, None, shift);
        for name in case.values("context") {
            lay(&directory.join(name), &case.things, Some(name), shift);
        }
        for secret in case.values("secret") {
            let (id, text) = secret.split_once(' ').unwrap();
            std::fs::write(directory.join(format!("secret-{id}")), text).unwrap();
        }
    }

    /// Builds a case once.
    pub(crate) fn build_once(&self, case: &Case) -> Outcome {
        let own = scratch();
        self.contexts(case, own.path(), 0);
        let store = own.join("store");
        copy_tree(&self.scratch.join("store"), &store);
        let report = one(case, &store, own.path(), &[])?;
        Ok(self.seen(case, &store, report["digest"].as_str().unwrap()))
    }

    fn seen(&self, case: &Case, store: &Path, digest: &str) -> Seen {
        let (config, layers) = blobs_of(store, digest);
        Seen::read(&config, &layers, self.ground(case), is_timed(case))
    }

    /// Builds a case four ways.
    pub(crate) fn build(&self, case: &Case) -> Outcome {
        let own = scratch();
        let (here, elsewhere) = (own.join("here"), own.join("a/longer/way"));
        self.contexts(case, &here, 0);
        // Where times are told they are part of what is built.
        self.contexts(case, &elsewhere, if is_timed(case) { 0 } else { YOUNGER });
        let (first, second) = (own.join("first"), own.join("second"));
        for store in [&first, &second] {
            copy_tree(&self.scratch.join("store"), store);
        }
        let all = [
            ("cold", &first, &here, &[][..]),
            ("warm", &first, &here, &[]),
            ("elsewhere", &second, &elsewhere, &[]),
            ("one thread, no cache", &first, &here, &["taskset", "-c", "0"]),
        ];
        let mut digest: Option<String> = None;
        for (way, store, place, before) in all {
            let report = one(case, store, place, before)?;
            let text = report["digest"].as_str().unwrap().to_owned();
            let first = digest.get_or_insert_with(|| text.clone());
            assert_eq!(*first, text, "{}: {way} gives another digest", case.name);
            if way == "warm" {
                assert_eq!(report["ran"], 0, "{}: the cache has not everything", case.name);
            }
        }
        Ok(self.seen(case, &first, &digest.unwrap()))
    }
}

/// Whether the times of files are told.
pub(crate) fn is_timed(case: &Case) -> bool {
    case.values("arg").any(|value| value.starts_with("SOURCE_DATE_EPOCH="))
}

/// The words that corten and docker buildx have in common.
pub(crate) fn words(case: &Case, place: &Path) -> Vec<String> {
    let mut words = vec!["--network".to_owned(), "none".to_owned()];
    for (word, flag) in [("arg", "--build-arg"), ("target", "--target"), ("label", "--label")] {
        for value in case.values(word) {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    for name in case.values("context") {
        let place = place.join(name);
        words.extend(["--build-context".to_owned(), format!("{name}={}", place.display())]);
    }
    for secret in case.values("secret") {
        let id = secret.split(' ').next().unwrap();
        let path = place.join(format!("secret-{id}"));
        words.extend(["--secret".to_owned(), format!("id={id},src={}", path.display())]);
    }
    let file = place.join("context").join(case.file());
    words.extend(["-f".to_owned(), file.display().to_string()]);
    words
}

fn one(case: &Case, store: &Path, place: &Path, before: &[&str]) -> Result<Value, String> {
    let binary = env!("CARGO_BIN_EXE_corten");
    let mut command = match before {
        [] => corten(store),
        [program, more @ ..] => {
            let mut command = Command::new(program);
            command.args(more).arg(binary).arg("--store").arg(store);
            clean(&mut command, store);
            command
        }
    };
    command.args(["build", "-t", NAME, "--json", "--progress", "quiet"]);
    command.args(words(case, place)).arg(place.join("context"));
    if !before.is_empty() {
        command.arg("--no-cache");
    }
    let out = command.output().unwrap();
    if out.status.success() {
        return Ok(serde_json::from_slice(&out.stdout).unwrap());
    }
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{}: {text}", case.name);
    Err(text)
}

/// The command with a store.
pub(crate) fn corten(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
    command.arg("--store").arg(store);
    clean(&mut command, store);
    command
}

fn clean(command: &mut Command, store: &Path) {
    command.stdin(Stdio::null()).env_remove("SOURCE_DATE_EPOCH").env("HOME", store.join("home"));
}

/// The config and the layers of an image of a layout.
pub(crate) fn blobs(layout: &Path, name: &str) -> (PathBuf, Vec<PathBuf>) {
    let index: Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let named = |one: &&Value| one["annotations"]["org.opencontainers.image.ref.name"] == name;
    let manifest = index["manifests"].as_array().unwrap().iter().find(named).unwrap();
    blobs_of(layout, manifest["digest"].as_str().unwrap())
}

/// The same of a digest.
pub(crate) fn blobs_of(layout: &Path, digest: &str) -> (PathBuf, Vec<PathBuf>) {
    let place = layout.join("blobs/sha256");
    let path = |value: &Value| place.join(value.as_str().unwrap().replace("sha256:", ""));
    let manifest = std::fs::read(path(&Value::from(digest))).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    // One without layers has none, or null.
    let layers = manifest["layers"].as_array().into_iter().flatten();
    (path(&manifest["config"]["digest"]), layers.map(|layer| path(&layer["digest"])).collect())
}

fn copy_tree(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}
