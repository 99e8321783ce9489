//! Contexts and Dockerfiles that are no paths of this machine: standard input, archives, repositories. They
//! become directories before the build begins.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use corten_build::{Address, BuildOrigin, ContextKind, GitPlace, OriginKind, plain_tar, redacted};
use corten_bundle::Powers;
use corten_dockerfile::MAX_DOCKERFILE;
use corten_layer::{Apply, Devices, EntryKind, Limits, PlainReader, Root, Whiteouts, apply};
use corten_store::private;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::git::Local;
use super::room::Room;
use super::{Elsewhere, failed, name_of, waiting};
use crate::ops::{BuildWanted, ContextWord};
use crate::{Context, Failure};

/// Most bytes of a context on standard input.
const MAX_CONTEXT: u64 = 64 << 30;

/// What a context was made of.
#[derive(Clone)]
pub struct FetchedContext {
    /// Whose the files are.
    pub(in crate::ops::build) kind: ContextKind,
    /// How the Dockerfile is called, where it is no file of this machine.
    pub(in crate::ops::build) shown: Option<String>,
    /// What times are at most, where nobody says: those of a repository.
    pub(in crate::ops::build) epoch: Option<i64>,
    /// The time of the context, for who asks for that.
    pub(in crate::ops::build) time: Option<i64>,
    /// What of elsewhere it is made of.
    pub(in crate::ops::build) origins: Vec<BuildOrigin>,
    /// Keeps it.
    _room: Arc<Room>,
}

impl std::fmt::Debug for FetchedContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchedContext").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Where a context is.
enum Origin {
    Input,
    Address(Address),
    Local(GitPlace),
}

/// Brings what is asked of a build to this machine, so that all of it is files and directories here. Nothing
/// happens where that is so already.
///
/// # Errors
/// Where something cannot be had, or is neither an archive nor a Dockerfile.
pub async fn fetch_context(context: &Context, wanted: &mut BuildWanted) -> Result<(), Failure> {
    let main = from(&wanted.context)?;
    let file = wanted.file.as_deref().and_then(Path::to_str);
    let file = file.and_then(|text| Address::parse(text).ok().flatten());
    let is_named = |word: &ContextWord| matches!(word, ContextWord::Address(_));
    if main.is_none() && file.is_none() && !wanted.contexts.values().any(is_named) {
        return Ok(());
    }
    let place = context.store()?.path().join(super::super::BUILD);
    let elsewhere = Elsewhere::new(context, &place)?;
    let wants_time = super::super::given::epoch_word(context, wanted) == Some("context");
    let (powers, asked) = (context.powers(), wanted.clone());
    *wanted = waiting("the context", move || {
        let room = Arc::new(Room::new(place.join("contexts"))?);
        let fetching = Fetching { elsewhere, room, powers, wants_time, origins: Mutex::default() };
        fetching.all(asked, main, file)
    })
    .await?;
    Ok(())
}

fn from(path: &Path) -> Result<Option<Origin>, Failure> {
    let Some(text) = path.to_str() else { return Ok(None) };
    if text == "-" {
        return Ok(Some(Origin::Input));
    }
    if let Some(place) = local(text)? {
        return Ok(Some(Origin::Local(place)));
    }
    let address = Address::parse(text).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(address.map(Origin::Address))
}

/// A repository that is a directory of this machine.
fn local(text: &str) -> Result<Option<GitPlace>, Failure> {
    let Some(rest) = text.strip_prefix("file://") else { return Ok(None) };
    let address = Address::parse(&format!("git://{rest}"));
    match address.map_err(|error| Failure::Usage(error.to_string()))? {
        Some(Address::Git(place)) => {
            let remote = place.remote.replacen("git://", "file://", 1);
            Ok(Some(GitPlace { remote, ..place }))
        }
        _ => Ok(None),
    }
}

struct Fetching {
    elsewhere: Elsewhere,
    room: Arc<Room>,
    powers: Powers,
    wants_time: bool,
    origins: Mutex<Vec<BuildOrigin>>,
}

/// A directory that was made, and what is known of it.
#[derive(Default)]
struct Tree {
    epoch: Option<i64>,
    time: Option<i64>,
    /// What is no archive.
    text: Option<Vec<u8>>,
}

impl Fetching {
    fn all(
        &self,
        mut wanted: BuildWanted,
        main: Option<Origin>,
        file: Option<Address>,
    ) -> Result<BuildWanted, Failure> {
        for word in wanted.contexts.values_mut() {
            if let ContextWord::Address(text) = word {
                *word = ContextWord::Fetched(self.named(text)?);
            }
        }
        let mut fetched = FetchedContext {
            kind: ContextKind::Local,
            shown: None,
            epoch: None,
            time: None,
            origins: Vec::new(),
            _room: self.room.clone(),
        };
        let mut dockerfile = None;
        if let Some(main) = main {
            let directory = self.room.directory("tree")?;
            let is_input = matches!(main, Origin::Input);
            let shown = redacted(&wanted.context.display().to_string());
            let shown = if is_input { "standard input".to_owned() } else { shown };
            if is_input && wanted.file.as_deref() == Some(Path::new("-")) {
                let text = "standard input is the context or the Dockerfile, not both";
                return Err(Failure::Usage(text.to_owned()));
            }
            let tree = self.main(&main, &shown, &directory)?;
            (fetched.kind, fetched.epoch) = (ContextKind::Fetched, tree.epoch);
            fetched.time = tree.time;
            let is_stdin = wanted.file.as_deref() == Some(Path::new("-"));
            (dockerfile, fetched.shown) = match (tree.text, &wanted.file) {
                (Some(text), None) => (Some(text), Some(shown)),
                (Some(_), Some(_)) => {
                    let text = format!("{shown}: it is no archive, and a Dockerfile is given too");
                    return Err(Failure::Usage(text));
                }
                (None, _) if is_stdin || file.is_some() => (None, None),
                (None, file) => {
                    let name = file.clone().unwrap_or_else(|| PathBuf::from("Dockerfile"));
                    let told = format!("{shown}: {}", name.display());
                    (Some(inside(&directory, &name, &told)?), Some(told))
                }
            };
            wanted.context = directory;
        }
        if let (Some(address), Some(path)) = (file, &wanted.file) {
            let shown = redacted(&path.display().to_string());
            dockerfile = Some(self.dockerfile(&address, &shown)?);
            fetched.shown = Some(shown);
        }
        if let Some(bytes) = dockerfile {
            let path = self.room.path().join("Dockerfile");
            private::write(&path, &bytes).map_err(failed(path.display(), "writing"))?;
            wanted.file = Some(path);
        }
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.origins = std::mem::take(&mut *origins);
        wanted.fetched = Some(fetched);
        Ok(wanted)
    }

    fn main(&self, from: &Origin, shown: &str, directory: &Path) -> Result<Tree, Failure> {
        match from {
            Origin::Input => {
                let spool = self.spooled()?;
                self.archive(spool, shown, directory)
            }
            Origin::Local(place) => self.repository(place, directory, Local::Allowed),
            Origin::Address(Address::Git(place)) => {
                self.repository(place, directory, Local::Refused)
            }
            Origin::Address(Address::File(url)) => {
                let fetched = self.elsewhere.file(url, None)?;
                let digest = fetched.open()?.digest;
                self.took(OriginKind::File, url, digest.to_string());
                let mut tree = self.archive(fetched.open()?.file, shown, directory)?;
                tree.time = fetched.modified.or(tree.time);
                Ok(tree)
            }
        }
    }

    /// A named context: what is no archive is a file in it, called `context`.
    fn named(&self, text: &str) -> Result<PathBuf, Failure> {
        let directory = self.room.directory(&format!("named-{}", name_of(text)))?;
        let Some(from) = from(Path::new(text))? else {
            return Err(Failure::Usage(format!("--build-context {}: no address", redacted(text))));
        };
        if let Origin::Address(Address::File(url)) = &from {
            let mut file = self.elsewhere.file(url, None)?.open()?.file;
            let spool = self.room.path();
            let copy = file.try_clone().map_err(failed(redacted(url), "opening"))?;
            let plain = plain_tar(copy, spool).map_err(|error| of_archive(text, error))?;
            match plain {
                Some(tar) => self.unpack(&tar, &redacted(text), &directory)?,
                None => {
                    let path = directory.join("context");
                    let copied = file.seek(SeekFrom::Start(0)).and_then(|_| {
                        let mut out = File::create(&path)?;
                        // It comes to be a file of an image, which no umask has a say in.
                        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                        out.set_permissions(mode)?;
                        std::io::copy(&mut file, &mut out)
                    });
                    copied.map_err(failed(path.display(), "writing"))?;
                }
            }
            return Ok(directory);
        }
        self.main(&from, &redacted(text), &directory)?;
        Ok(directory)
    }

    fn took(&self, kind: OriginKind, place: &str, identity: String) {
        let origin = BuildOrigin { kind, place: redacted(place), identity, platform: None };
        self.origins.lock().unwrap_or_else(PoisonError::into_inner).push(origin);
    }

    fn repository(
        &self,
        place: &GitPlace,
        directory: &Path,
        local: Local,
    ) -> Result<Tree, Failure> {
        let commit = self.elsewhere.resolve(place, local)?.commit;
        self.took(OriginKind::Commit, &place.remote, commit.clone());
        let time = self.elsewhere.write(place, &commit, directory, local)?;
        Ok(Tree { epoch: Some(time), time: Some(time), text: None })
    }

    /// Standard input in a file without a name.
    fn spooled(&self) -> Result<File, Failure> {
        let wrong = |action| failed("standard input", action);
        let mut file = tempfile::tempfile_in(self.room.path()).map_err(wrong("creation"))?;
        let mut input = std::io::stdin().lock().take(MAX_CONTEXT + 1);
        let size = std::io::copy(&mut input, &mut file).map_err(wrong("reading"))?;
        if size > MAX_CONTEXT {
            let text = format!("standard input: a context has at most {MAX_CONTEXT} bytes");
            return Err(Failure::Usage(text));
        }
        file.flush().and_then(|()| file.rewind()).map_err(wrong("reading"))?;
        Ok(file)
    }

    /// An archive becomes a directory; a text is a Dockerfile, and the directory stays empty.
    fn archive(&self, mut file: File, shown: &str, directory: &Path) -> Result<Tree, Failure> {
        let wrong = || failed(shown, "reading");
        let copy = file.try_clone().map_err(wrong())?;
        let plain = plain_tar(copy, self.room.path()).map_err(|error| of_archive(shown, error))?;
        let Some(tar) = plain else {
            file.rewind().map_err(wrong())?;
            let mut text = Vec::new();
            let limit = MAX_DOCKERFILE as u64;
            file.take(limit + 1).read_to_end(&mut text).map_err(wrong())?;
            if text.len() as u64 > limit {
                let text = format!(
                    "{shown}: it is no tar, and too long for a Dockerfile ({limit} bytes at most)"
                );
                return Err(Failure::Usage(text));
            }
            return Ok(Tree { text: Some(text), ..Tree::default() });
        };
        let time = if self.wants_time { latest(&tar, shown)? } else { None };
        self.unpack(&tar, shown, directory)?;
        Ok(Tree { time, ..Tree::default() })
    }

    fn unpack(&self, mut tar: &File, shown: &str, directory: &Path) -> Result<(), Failure> {
        tar.seek(SeekFrom::Start(0)).map_err(failed(shown, "reading"))?;
        let whiteouts = Whiteouts::Remove;
        let how = match self.powers {
            Powers::OneId => Apply::ordinary(whiteouts),
            _ => Apply { devices: Devices::Skip, ..Apply::faithful(whiteouts) },
        };
        let of_layer = |source| Failure::Layer { object: shown.to_owned(), source };
        let root = Root::open(directory).map_err(of_layer)?;
        apply(std::io::BufReader::new(tar), &root, &how, Limits::default()).map_err(of_layer)?;
        // What an archive says of its root is of the directory that it was packed from.
        let wrong = |action| failed(shown, action);
        std::os::unix::fs::chown(directory, Some(0), Some(0)).map_err(wrong("change of owner"))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory, mode).map_err(wrong("change of mode"))
    }

    fn dockerfile(&self, address: &Address, shown: &str) -> Result<Vec<u8>, Failure> {
        let Address::File(url) = address else {
            let text = format!("{shown}: a repository is a context, not a Dockerfile");
            return Err(Failure::Usage(text));
        };
        let file = self.elsewhere.file(url, None)?.open()?.file;
        bounded(file, shown)
    }
}

fn of_archive(text: &str, error: corten_build::StepError) -> Failure {
    let source = std::io::Error::other(error);
    Failure::Io { object: redacted(text), action: "unpacking", source }
}

/// The time of the newest file of an archive.
fn latest(mut tar: &File, shown: &str) -> Result<Option<i64>, Failure> {
    tar.seek(SeekFrom::Start(0)).map_err(failed(shown, "reading"))?;
    let of_layer = |source| Failure::Layer { object: shown.to_owned(), source };
    let mut reader = PlainReader::open(tar, Limits::default()).map_err(of_layer)?;
    let mut latest = None;
    while let Some(entry) = reader.next_entry().map_err(of_layer)? {
        if entry.kind == EntryKind::File {
            latest = latest.max(Some(entry.mtime.seconds));
        }
    }
    Ok(latest)
}

/// A file of a directory that somebody else made: no link of it leads out.
fn inside(directory: &Path, name: &Path, shown: &str) -> Result<Vec<u8>, Failure> {
    let wrong = |errno: rustix::io::Errno| failed(shown, "opening")(errno.into());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags | OFlags::DIRECTORY, Mode::empty());
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat2(&root.map_err(wrong)?, name, flags, Mode::empty(), how).map_err(wrong)?;
    bounded(File::from(file), shown)
}

/// The bytes of a Dockerfile.
fn bounded(file: File, shown: &str) -> Result<Vec<u8>, Failure> {
    if !file.metadata().map_err(failed(shown, "reading"))?.is_file() {
        return Err(Failure::Usage(format!("{shown}: it is no file")));
    }
    let mut bytes = Vec::new();
    // One more than may be, so that who parses it says so.
    let limit = MAX_DOCKERFILE as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(failed(shown, "reading"))?;
    Ok(bytes)
}
