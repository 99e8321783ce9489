//! ADD from elsewhere: files behind addresses and the files of repositories, among those of the context.
//!
//! What decides the key is content: the digest of a file, the commit of a repository. A file with a checksum and
//! the files of a commit are fetched only where the layer is not in the cache.

use std::sync::{Arc, OnceLock};

use corten_dockerfile::{Add, IgnoreFile};
use corten_layer::{Entry, EntryKind, Mtime};
use corten_spec::Digest;

use crate::address::{Address, GitPlace, file_name, redacted};
use crate::archive;
use crate::assemble::{Assembly, Content, Item};
use crate::copy::told_inline;
use crate::copying::{Copying, Pick};
use crate::error::{Result, StepError, refused};
use crate::key::{KeyHasher, KeyInput};
use crate::origin::OriginKind;
use crate::remote::RemoteFile;
use crate::source::{Owners, Source};
use crate::stage::StageRun;

/// The mode of a file that was fetched.
const MODE: u32 = 0o600;

/// Where one source of an ADD is.
enum Part<'a> {
    /// In the context.
    Local(Copying<'a>, Vec<Pick>),
    /// Behind an address.
    File(Fetch<'a>),
    /// In a repository.
    Git(GitPlace, String),
}

/// A file behind an address, fetched once it is needed.
struct Fetch<'a> {
    url: &'a str,
    checksum: Option<Digest>,
    file: OnceLock<RemoteFile>,
}

impl Fetch<'_> {
    fn fetched(&self, run: &StageRun<'_>) -> Result<&RemoteFile> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let fetched = run.session.builder.remotes.fetch(self.url, self.checksum.as_ref());
        let fetched =
            fetched.map_err(|source| StepError::Base { name: redacted(self.url), source })?;
        Ok(self.file.get_or_init(|| fetched))
    }

    /// What it holds, or must hold.
    fn digest(&self, run: &StageRun<'_>) -> Result<Digest> {
        match &self.checksum {
            Some(checksum) => Ok(checksum.clone()),
            None => Ok(self.fetched(run)?.digest.clone()),
        }
    }
}

/// The addresses of an ADD: one for each path, `None` for those of the context.
pub(crate) fn addresses(add: &Add) -> Result<Vec<Option<Address>>> {
    let found = add.sources.paths.iter().map(|path| Address::parse(path));
    let found = found.collect::<Result<Vec<_>>>()?;
    if add.checksum.is_some() {
        if found.len() + add.sources.files.len() != 1 {
            return refused("ADD: --checksum is for one source alone");
        }
        if found.iter().all(Option::is_none) {
            return refused("ADD: --checksum is for addresses and repositories");
        }
    }
    Ok(found)
}

impl StageRun<'_> {
    /// Makes the layer of an ADD of which something is from elsewhere. `whole` says how everything is copied.
    pub(crate) fn add_remote(
        &mut self,
        add: &Add,
        whole: &Copying<'_>,
        addresses: Vec<Option<Address>>,
    ) -> Result<()> {
        let mut parts = Vec::new();
        for (path, address) in add.sources.paths.iter().zip(addresses) {
            parts.push(self.part(add, whole, path, address)?);
        }
        let mut key = self
            .key("add")
            .named("destination", &whole.destination)
            .named("owner and mode", whole.changes.text())
            .named("flags", format!("{:?}", add.unpack))
            .list(&add.exclude)
            .list(whole.inline.iter().flat_map(|(name, data)| [name.as_bytes(), data]))
            .telling(told_inline(whole));
        for part in &parts {
            key = self.part_key(key, part)?;
        }
        let unpack = add.unpack == Some(true);
        self.layer(key, |run| {
            let view = run.ground.view(&run.state.layers)?;
            let mut assembly = Assembly::new(&view);
            for part in parts {
                match part {
                    Part::Local(copying, picks) => copying.write(&mut assembly, picks)?,
                    Part::File(fetch) => run.file(&mut assembly, whole, &fetch, unpack)?,
                    Part::Git(place, commit) => {
                        let copying = Copying {
                            source: OnceLock::from(run.checkout(&place, &commit)?),
                            paths: &[String::from("/")],
                            ..whole.alone()
                        };
                        copying.write(&mut assembly, copying.picks()?)?;
                    }
                }
            }
            whole.write(&mut assembly, Vec::new())?;
            let items = assembly.items;
            Ok((run.packed(items)?, Vec::new()))
        })
    }

    fn part<'a>(
        &self,
        add: &Add,
        whole: &Copying<'a>,
        path: &'a String,
        address: Option<Address>,
    ) -> Result<Part<'a>> {
        match address {
            None => {
                let copying = Copying { paths: std::slice::from_ref(path), ..whole.alone() };
                let picks = copying.picks()?;
                Ok(Part::Local(copying, picks))
            }
            Some(Address::File(_)) => {
                let checksum = add.checksum.as_deref().map(Digest::parse).transpose();
                let checksum = checksum
                    .map_err(|error| StepError::Refused(format!("ADD: --checksum: {error}")))?;
                Ok(Part::File(Fetch { url: path, checksum, file: OnceLock::new() }))
            }
            Some(Address::Git(mut place)) => {
                with_flags(&mut place, add)?;
                let named = |source| StepError::Base { name: redacted(path), source };
                let commit = self.session.builder.remotes.commit(&place).map_err(named)?;
                Ok(Part::Git(place, commit))
            }
        }
    }

    fn part_key(&self, key: KeyHasher, part: &Part<'_>) -> Result<KeyHasher> {
        Ok(match part {
            Part::Local(copying, picks) => {
                let (key, digests) = copying.key(key.field("local"), picks, self.session)?;
                key.telling(Copying::inputs(picks, &digests))
            }
            Part::File(fetch) => {
                let digest = fetch.digest(self)?;
                let address = redacted(fetch.url);
                self.session.origins.took(OriginKind::File, &address, digest.as_str());
                let told = KeyInput::of_text(format!("address {address}"), digest.as_str());
                key.field("file").field(file_name(fetch.url)).field(digest.as_str()).telling([told])
            }
            Part::Git(place, commit) => {
                let remote = redacted(&place.remote);
                self.session.origins.took(OriginKind::Commit, &remote, commit);
                // What is kept of git names the repository and what was asked of it.
                let kept = match place.keep_git_dir {
                    Some(true) => {
                        format!("{} {:?}", redacted(&place.remote), place.reference)
                    }
                    _ => String::new(),
                };
                key.field("git")
                    .field(commit)
                    .field(&place.subdir)
                    .field(format!("{} {:?}", place.skip_submodules, place.times))
                    .field(kept)
                    .telling([KeyInput::of_text(
                        format!("repository {}", redacted(&place.remote)),
                        commit,
                    )])
            }
        })
    }

    fn file(
        &self,
        assembly: &mut Assembly<'_>,
        copying: &Copying<'_>,
        fetch: &Fetch<'_>,
        unpack: bool,
    ) -> Result<()> {
        let fetched = fetch.fetched(self)?;
        let copy = || {
            let copy = fetched.file.try_clone();
            copy.map_err(crate::error::failed(redacted(fetch.url), "opening"))
        };
        if unpack && let Some(archive) = archive::open(copy()?, self.session.work.path())? {
            return copying.unpacked(assembly, archive);
        }
        let name = file_name(fetch.url);
        let mut entry = Entry::new(EntryKind::File, name.as_bytes());
        entry.mode = MODE;
        entry.size = fetched.size;
        entry.mtime = Mtime { seconds: fetched.modified.unwrap_or_default(), nanos: 0 };
        copying.changes.apply(&mut entry);
        let content = Content::Archive(Arc::new(copy()?), 0);
        copying.file(assembly, name.as_bytes(), Item { entry, content, file: None })
    }

    /// The files of a commit, as a tree to take from.
    fn checkout(&self, place: &GitPlace, commit: &str) -> Result<Arc<Source>> {
        let room = self.ground.room()?;
        let done = self.session.builder.remotes.checkout(place, commit, &room);
        done.map_err(|source| StepError::Base { name: redacted(&place.remote), source })?;
        Ok(Arc::new(Source::open(&room, IgnoreFile::default(), Owners::Root)?))
    }
}

impl<'a> Copying<'a> {
    /// The same for one source, without the files that stand in the Dockerfile.
    fn alone(&self) -> Copying<'a> {
        Copying {
            source: self.source.clone(),
            paths: &[],
            inline: Vec::new(),
            destination: self.destination.clone(),
            changes: self.changes.clone(),
            parents: false,
            exclude: self.exclude.clone(),
            unpack: self.unpack,
        }
    }
}

/// What the flags of an ADD say of a place, which may say it itself.
fn with_flags(place: &mut GitPlace, add: &Add) -> Result<()> {
    let told = redacted(&place.remote);
    if let (Some(one), Some(other)) = (add.keep_git_dir, place.keep_git_dir)
        && one != other
    {
        return refused(format!("ADD of {told}: the flag and the address differ on keep-git-dir"));
    }
    place.keep_git_dir = place.keep_git_dir.or(add.keep_git_dir);
    let Some(checksum) = add.checksum.as_ref().map(|text| text.to_ascii_lowercase()) else {
        return Ok(());
    };
    if !checksum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return refused(format!("ADD of {told}: --checksum is that of a commit, in hex digits"));
    }
    if place.checksum.as_ref().is_some_and(|other| *other != checksum) {
        return refused(format!("ADD of {told}: the flag and the address differ on the checksum"));
    }
    place.checksum = Some(checksum);
    Ok(())
}
