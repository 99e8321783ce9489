//! What a build takes from elsewhere: files over http, repositories over git.
//!
//! ```text
//! <place>/files-of/<address>   one file per address: validators and digest of the version that is here
//! <place>/fetched/<digest>     what they hold
//! <place>/git/<remote>/        one bare repository per remote, shallow; a lock beside it
//! ```

mod context;
mod files;
mod forget;
mod git;
mod kept;
mod repository;
mod room;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use corten_build::{GitPlace, RemoteFile, Remotes};
use corten_spec::Digest;
use tokio::runtime::Handle;

use crate::reach::Reach;
use crate::{Context, Failure};

pub use context::{FetchedContext, fetch_context};
use files::{Fetched, Files};
pub(in crate::ops) use forget::forget_fetched;
use git::{Git, Local};
pub(in crate::ops) use kept::{KeptSource, kept_sources};
use repository::Resolved;

type Problem = Box<dyn std::error::Error + Send + Sync>;
/// A thing that is asked for once, by whoever comes first.
type Once<T> = Arc<Mutex<Option<T>>>;

/// Fetches for one build: what it got once it does not ask for again.
pub(super) struct Elsewhere {
    runtime: Handle,
    reach: Reach,
    files: Files,
    git: Git,
    fetched: Mutex<BTreeMap<String, Once<Fetched>>>,
    resolved: Mutex<BTreeMap<String, Once<Resolved>>>,
}

impl Elsewhere {
    /// `place` is the builder's.
    pub(super) fn new(context: &Context, place: &Path) -> Result<Self, Failure> {
        Ok(Self {
            runtime: Handle::current(),
            reach: context.reach(),
            files: Files::new(place),
            git: Git::new(context, place.join("git")),
            fetched: Mutex::default(),
            resolved: Mutex::default(),
        })
    }

    /// A file, on a thread that may wait.
    fn file(&self, url: &str, checksum: Option<&Digest>) -> Result<Fetched, Failure> {
        let key = format!("{url} {}", checksum.map(ToString::to_string).unwrap_or_default());
        once(&self.fetched, key, || {
            let host = host_of(url);
            let transport = self.reach.transport(&host)?;
            let fetching = self.files.fetch(&transport, url, checksum);
            self.runtime.block_on(fetching)
        })
    }

    /// A commit. Repositories that are directories are for who types the command alone.
    fn resolve(&self, place: &GitPlace, local: Local) -> Result<Resolved, Failure> {
        let key = format!("{} {:?} {:?}", place.remote, place.reference, place.checksum);
        once(&self.resolved, key, || repository::resolve(&self.git, place, local))
    }

    fn write(
        &self,
        place: &GitPlace,
        commit: &str,
        directory: &Path,
        local: Local,
    ) -> Result<i64, Failure> {
        let resolved = self.resolve(place, local)?;
        let wanted = Resolved { commit: commit.to_owned(), ..resolved };
        repository::checkout(&self.git, place, &wanted, directory, local)
    }
}

impl Remotes for Elsewhere {
    fn fetch(&self, url: &str, checksum: Option<&Digest>) -> Result<RemoteFile, Problem> {
        Ok(self.file(url, checksum)?.open()?)
    }

    fn commit(&self, place: &GitPlace) -> Result<String, Problem> {
        Ok(self.resolve(place, Local::Refused)?.commit)
    }

    fn checkout(&self, place: &GitPlace, commit: &str, into: &Path) -> Result<(), Problem> {
        self.write(place, commit, into, Local::Refused)?;
        Ok(())
    }
}

/// Asks once for each key; who comes while somebody asks waits.
fn once<T: Clone>(
    all: &Mutex<BTreeMap<String, Once<T>>>,
    key: String,
    ask: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let cell = all.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
    let mut cell = cell.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*cell {
        return Ok(known.clone());
    }
    let asked = ask()?;
    *cell = Some(asked.clone());
    Ok(asked)
}

/// The host of an address, with its port: the name of its settings.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default().to_owned()
}

/// Runs work that waits for networks and programs on a thread of its own.
async fn waiting<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::interrupted(what))?
}

fn failed(
    object: impl std::fmt::Display,
    action: &'static str,
) -> impl FnOnce(std::io::Error) -> Failure {
    let object = object.to_string();
    move |source| Failure::Io { object, action, source }
}

/// The name of a file or directory for a text of any length.
fn name_of(text: &str) -> String {
    Digest::sha256(text.as_bytes()).encoded().to_owned()
}

/// Where the builder keeps one kind of thing, made where it is missing.
fn kept(place: PathBuf) -> Result<PathBuf, Failure> {
    corten_store::private::make_directories(&place).map_err(failed(place.display(), "creation"))?;
    Ok(place)
}
