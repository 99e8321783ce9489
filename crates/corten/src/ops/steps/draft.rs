//! A draft: an image in the making between one word and the next, and the lock that lets one word at a time
//! change it.
//!
//! ```text
//! <store>/.corten/build/works/<id>/lock        held while a word is carried out
//! <store>/.corten/build/works/<id>/work.json   the draft, written whole by rename
//! <store>/.corten/build/works/<id>/at          or where it is, for --work-path; for the collection of garbage
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use corten_build::BuiltLayer;
use corten_spec::{Digest, ImageConfig, RefName};
use corten_store::{LayoutStore, private};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::super::build::BUILD;
use super::super::layers::on_thread;
use crate::{Context, Failure};

/// Where drafts are, below the local store's own directory.
const WORKS: &str = "works";
/// The draft's file.
const DRAFT: &str = "work.json";
/// Most bytes of a draft.
const MAX_DRAFT: u64 = 16 * 1024 * 1024;
/// Most bytes of a path.
const MAX_PATH: u64 = 4096;
/// Longest name of a work.
const MAX_NAME: usize = 64;
/// The form in which drafts are written.
const FORM: u32 = 1;

/// Which work is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkWord {
    /// By name; that of the working directory if absent.
    pub name: Option<String>,
    /// The directory that keeps it, instead of the local store.
    pub path: Option<PathBuf>,
}

/// What becomes of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layering {
    /// Those between two words `layer` become one layer.
    #[default]
    Joined,
    /// Those of each word are a layer.
    Each,
}

/// A row of the history that is not closed yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DraftRow {
    pub(super) created: String,
    /// The word; none where it is not to be told.
    pub(super) command: Option<String>,
    /// Whether files changed.
    pub(super) layer: bool,
}

/// An image in the making.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Draft {
    form: u32,
    pub(super) config: ImageConfig,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) tag: Option<String>,
    #[serde(default)]
    pub(super) layering: Layering,
    /// The layers that are closed, the lowest first.
    pub(super) layers: Vec<BuiltLayer>,
    /// What came since.
    #[serde(default)]
    pub(super) open: Vec<BuiltLayer>,
    /// The one layer that these make, where it was made.
    #[serde(default)]
    pub(super) joined: Option<BuiltLayer>,
    #[serde(default)]
    pub(super) rows: Vec<DraftRow>,
}

impl Draft {
    pub(super) fn new(config: ImageConfig, layers: Vec<BuiltLayer>, layering: Layering) -> Self {
        Self {
            form: FORM,
            config,
            annotations: BTreeMap::new(),
            name: None,
            tag: None,
            layering,
            layers,
            open: Vec::new(),
            joined: None,
            rows: Vec::new(),
        }
    }

    /// All layers as they are now.
    pub(super) fn stack(&self) -> Vec<BuiltLayer> {
        self.layers.iter().chain(&self.open).cloned().collect()
    }

    /// Every layer that is needed.
    fn needs(self) -> Vec<BuiltLayer> {
        let mut layers = self.stack();
        layers.extend(self.joined);
        layers
    }
}

/// A work that nobody else changes while this is held.
pub(super) struct Held {
    id: PathBuf,
    place: PathBuf,
    shown: String,
    is_apart: bool,
    _lock: File,
}

/// Waits for the work and holds it.
pub(super) async fn hold(context: &Context, work: &WorkWord) -> Result<Held, Failure> {
    let store = context.store()?;
    let (word, here) = (work.clone(), context.here());
    on_thread("the work", move || held(&store, &word, &here)).await
}

fn held(store: &LayoutStore, work: &WorkWord, here: &Path) -> Result<Held, Failure> {
    let works = store.path().join(BUILD).join(WORKS);
    let number = |path: &Path| {
        let digest = Digest::sha256(path.as_os_str().as_encoded_bytes());
        digest.encoded().chars().take(24).collect::<String>()
    };
    let (name, shown) = match (&work.name, &work.path) {
        (Some(_), Some(_)) => {
            let text = "--work and --work-path are two ways to say which work: give one";
            return Err(Failure::Usage(text.to_owned()));
        }
        (Some(name), None) => (format!("name-{}", checked(name)?), name.clone()),
        (None, Some(path)) => {
            let path = here.join(path);
            private::make_directories(&path).map_err(failed(&path, "creation"))?;
            let path = path.canonicalize().map_err(failed(&path, "opening"))?;
            (format!("path-{}", number(&path)), path.display().to_string())
        }
        (None, None) => {
            let path = here.canonicalize().map_err(failed(here, "opening"))?;
            (format!("here-{}", number(&path)), format!("of {}", path.display()))
        }
    };
    let id = works.join(name);
    let lock = lock(&id)?;
    let place = match &work.path {
        Some(_) => PathBuf::from(&shown),
        None => id.clone(),
    };
    Ok(Held { id, place, shown, is_apart: work.path.is_some(), _lock: lock })
}

fn checked(name: &str) -> Result<&str, Failure> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_good) {
        let text =
            format!("--work {name}: a name is 1 to {MAX_NAME} letters, digits, '.', '-', '_'");
        return Err(Failure::Usage(text));
    }
    Ok(name)
}

/// The lock of a work's directory, which whoever held it before may have removed meanwhile.
fn lock(id: &Path) -> Result<File, Failure> {
    let path = id.join("lock");
    loop {
        private::make_directories(id).map_err(failed(id, "creation"))?;
        let opened = private::open(&path);
        let file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(failed(&path, "opening"))?,
        };
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| failed(&path, "lock")(errno.into()))?;
        let ours = file.metadata().map_err(failed(&path, "reading"))?.ino();
        if std::fs::metadata(&path).is_ok_and(|there| there.ino() == ours) {
            return Ok(file);
        }
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Failure {
    let object = path.display().to_string();
    move |source| Failure::Io { object, action, source }
}

impl Held {
    /// The work as people know it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The draft, if there is one.
    pub(super) fn there(&self) -> Result<Option<Draft>, Failure> {
        read_draft(&self.place.join(DRAFT))
    }

    /// The draft, which must have been begun.
    pub(super) fn draft(&self) -> Result<Draft, Failure> {
        let begin = || {
            let text = format!("nothing is begun in the work {}: 'corten build begin'", self.shown);
            Failure::Usage(text)
        };
        let draft = self.there()?;
        if draft.is_none() {
            // Asking for a work makes none.
            self.sweep();
        }
        draft.ok_or_else(begin)
    }

    /// Takes away what is beside a draft that is none.
    fn sweep(&self) {
        for name in ["at", "lock"] {
            let _ = std::fs::remove_file(self.id.join(name));
        }
        let _ = std::fs::remove_dir(&self.id);
    }

    /// Keeps a draft in place of the one before, or leaves that.
    pub(super) fn keep(&self, draft: &Draft) -> Result<(), Failure> {
        if self.is_apart {
            write(&self.id.join("at"), self.place.as_os_str().as_encoded_bytes())?;
        }
        let path = self.place.join(DRAFT);
        let bytes =
            serde_json::to_vec(draft).map_err(|error| failed(&path, "writing")(error.into()))?;
        write(&path, &bytes)
    }

    /// Ends the work; whether there was one.
    pub(super) fn end(self) -> Result<bool, Failure> {
        let path = self.place.join(DRAFT);
        let ended = match std::fs::remove_file(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(failed(&path, "removal")(error)),
        };
        // What stays behind is empty, and no draft.
        self.sweep();
        Ok(ended)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = || -> std::io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(directory)?.sync_all()
    };
    written().map_err(failed(path, "writing"))
}

fn read_draft(path: &Path) -> Result<Option<Draft>, Failure> {
    let Some(bytes) = read(path, MAX_DRAFT)? else { return Ok(None) };
    let draft: Draft =
        serde_json::from_slice(&bytes).map_err(|error| failed(path, "reading")(error.into()))?;
    if draft.form != FORM {
        let text = format!("{} is of another version of corten", path.display());
        return Err(Failure::Usage(text));
    }
    Ok(Some(draft))
}

fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed(path, "opening"))?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed(path, "reading"))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::Usage(format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(Some(bytes))
}

/// The layers of every draft: garbage for nobody.
pub(in crate::ops) fn drafted_layers(store: &LayoutStore) -> Result<Vec<Vec<BuiltLayer>>, Failure> {
    let works = store.path().join(BUILD).join(WORKS);
    let entries = match std::fs::read_dir(&works) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(&works, "reading"))?,
    };
    let mut drafts = Vec::new();
    for entry in entries {
        let id = entry.map_err(failed(&works, "reading"))?.path();
        let place = match read(&id.join("at"), MAX_PATH)? {
            Some(path) => {
                use std::os::unix::ffi::OsStringExt as _;
                PathBuf::from(std::ffi::OsString::from_vec(path))
            }
            None => id,
        };
        drafts.extend(read_draft(&place.join(DRAFT))?.map(Draft::needs));
    }
    Ok(drafts)
}

/// The name that words of the work gave the image.
pub(super) fn name_of(draft: &Draft) -> Result<Option<RefName>, Failure> {
    let Some(name) = &draft.name else { return Ok(None) };
    let text = match &draft.tag {
        Some(tag) => format!("{name}:{tag}"),
        None => name.clone(),
    };
    let reference = corten_spec::Reference::parse(&text)?;
    Ok(Some(crate::place::ref_name(&reference).map_err(crate::PlaceError::from)?))
}
