//! Files behind addresses, kept by what they hold: one that has not changed is not fetched again.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_build::{RemoteFile, redacted};
use corten_registry::{Download, Downloaded, Transport, Validators, download};
use corten_spec::{Algorithm, Digest, Hasher};
use corten_store::StoreError;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use serde::{Deserialize, Serialize};

use super::{failed, kept, name_of};
use crate::Failure;

/// Most bytes of a file that is fetched.
const MAX_REMOTE_FILE: u64 = 64 << 30;
/// Most bytes of what is noted of one.
const MAX_NOTE: u64 = 16 * 1024;

/// Where fetched files are.
pub(super) struct Files {
    place: PathBuf,
}

/// A file that is here, and stays so while this is held, whatever becomes of its name.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    file: Arc<File>,
    size: u64,
    digest: Digest,
    pub(super) modified: Option<i64>,
}

impl Fetched {
    pub(super) fn open(&self) -> Result<RemoteFile, Failure> {
        // With a place in it of its own: stages read beside each other.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = File::open(&path).map_err(failed("a fetched file", "opening"))?;
        let (size, digest) = (self.size, self.digest.clone());
        Ok(RemoteFile { file, size, digest, modified: self.modified })
    }
}

/// What is noted of an address.
#[derive(Serialize, Deserialize)]
pub(super) struct Note {
    /// The address, for people.
    #[serde(default)]
    pub(super) shown: Option<String>,
    etag: Option<String>,
    modified: Option<String>,
    pub(super) digest: Digest,
    size: u64,
}

impl Note {
    fn validators(&self) -> Validators {
        Validators { etag: self.etag.clone(), modified: self.modified.clone() }
    }
}

impl Files {
    pub(super) fn new(place: &Path) -> Self {
        Self { place: place.to_owned() }
    }

    /// The file at an address: the one that is here if its server says that it still is, or if it is what the
    /// checksum says.
    pub(super) async fn fetch(
        &self,
        transport: &Transport,
        url: &str,
        checksum: Option<&Digest>,
    ) -> Result<Fetched, Failure> {
        // An address is noted by its digest: it may hold a password.
        let note = kept(self.place.join("files-of"))?.join(name_of(url));
        let known = read(&note);
        let here = known.as_ref().and_then(|note| self.whole(note));
        if let (Some(here), Some(checksum)) = (&here, checksum)
            && here.digest == *checksum
        {
            return Ok(here.clone());
        }
        let validators = known.as_ref().filter(|_| here.is_some()).map(Note::validators);
        let validators =
            validators.filter(|known| known.etag.is_some() || known.modified.is_some());
        let mut staged = Staged::new(&kept(self.place.join("fetched"))?, checksum)?;
        let wanted = Download {
            url,
            known: validators.as_ref(),
            authorization: None,
            limit: MAX_REMOTE_FILE,
        };
        let came = download(transport, wanted, &mut |piece| staged.take(piece)).await?;
        let fetched = match (came, here) {
            (Downloaded::Unchanged, Some(here)) => here,
            (Downloaded::Unchanged, None) => {
                return Err(Failure::Usage(format!("{}: it did not come", redacted(url))));
            }
            (Downloaded::Whole(validators), _) => staged.keep(url, &validators, &note)?,
        };
        match checksum.filter(|checksum| checksum.algorithm() == Ok(Algorithm::Sha256)) {
            Some(checksum) if fetched.digest != *checksum => {
                Err(mismatch(url, checksum, &fetched.digest))
            }
            _ => Ok(fetched),
        }
    }

    /// The file of a note, if it is here and still holds what it held.
    fn whole(&self, note: &Note) -> Option<Fetched> {
        let path = self.place.join("fetched").join(note.digest.encoded());
        let mut file = File::open(&path).ok()?;
        touch(&file).ok()?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let (mut size, mut buffer) = (0_u64, vec![0_u8; 128 * 1024]);
        loop {
            let taken = file.read(&mut buffer).ok()?;
            if taken == 0 {
                break;
            }
            size += taken as u64;
            hasher.update(buffer.get(..taken)?);
        }
        let is_whole = size == note.size && hasher.finish() == note.digest;
        let modified = note.validators().seconds();
        let (file, digest) = (Arc::new(file), note.digest.clone());
        is_whole.then_some(Fetched { file, size, digest, modified })
    }
}

/// A file on its way in.
struct Staged {
    file: tempfile::NamedTempFile,
    directory: PathBuf,
    hasher: Hasher,
    /// What another algorithm says, and must say.
    other: Option<(Hasher, Digest)>,
    size: u64,
}

impl Staged {
    fn new(directory: &Path, checksum: Option<&Digest>) -> Result<Self, Failure> {
        let file = tempfile::NamedTempFile::new_in(directory);
        let file = file.map_err(failed(directory.display(), "creation"))?;
        let other = match checksum {
            Some(checksum) if checksum.algorithm() != Ok(Algorithm::Sha256) => {
                let algorithm = checksum.algorithm();
                let algorithm = algorithm.map_err(|error| Failure::Usage(error.to_string()))?;
                Some((Hasher::new(algorithm), checksum.clone()))
            }
            _ => None,
        };
        let hasher = Hasher::new(Algorithm::Sha256);
        Ok(Self { file, directory: directory.to_owned(), hasher, other, size: 0 })
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(piece);
        if let Some((hasher, _)) = &mut self.other {
            hasher.update(piece);
        }
        self.size += piece.len() as u64;
        self.file.write_all(piece).map_err(|source| StoreError::Io {
            path: self.directory.clone(),
            action: "write",
            source,
        })
    }

    /// Puts it in its place, whole, and notes what it is.
    fn keep(self, url: &str, validators: &Validators, note: &Path) -> Result<Fetched, Failure> {
        if let Some((hasher, expected)) = self.other {
            let found = hasher.finish();
            if found != expected {
                return Err(mismatch(url, &expected, &found));
            }
        }
        let (digest, size) = (self.hasher.finish(), self.size);
        let path = self.directory.join(digest.encoded());
        let shown = path.display();
        self.file.as_file().sync_all().map_err(failed(&shown, "writing"))?;
        let file = self.file.persist(&path);
        let file = Arc::new(file.map_err(|error| failed(&shown, "writing")(error.error))?);
        let Validators { etag, modified } = validators.clone();
        let shown = Some(redacted(url));
        write(note, &Note { shown, etag, modified, digest: digest.clone(), size })?;
        Ok(Fetched { file, size, digest, modified: validators.seconds() })
    }
}

/// Says that a file was used: what is not is forgotten one day.
fn touch(file: &File) -> std::io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Ok(futimens(file, &Timestamps { last_access: now, last_modification: now })?)
}

fn mismatch(url: &str, expected: &Digest, found: &Digest) -> Failure {
    StoreError::Corrupt {
        object: redacted(url),
        place: "its host".to_owned(),
        source: format!("it is {found}, not {expected}").into(),
    }
    .into()
}

pub(super) fn read(path: &Path) -> Option<Note> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_NOTE).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn write(path: &Path, note: &Note) -> Result<(), Failure> {
    let wrong = || failed(path.display(), "writing");
    let bytes = serde_json::to_vec(note).map_err(|error| wrong()(error.into()))?;
    let directory = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(wrong())?;
    file.write_all(&bytes).map_err(wrong())?;
    file.persist(path).map_err(|error| wrong()(error.error))?;
    Ok(())
}
