//! COPY and ADD: what is taken from a tree, and what becomes of it in a stage. Nothing is written to a root
//! filesystem: the layer is made of the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::{Arc, OnceLock};

use corten_dockerfile::IgnoreFile;
use corten_layer::{Entry, EntryKind, TreePath, WHITEOUT_PREFIX};

use crate::archive::{self, Unpack};
use crate::assemble::{Assembly, Content, Item};
use crate::builder::Session;
use crate::error::{Result, StepError, refused};
use crate::flags::Changes;
use crate::key::{KeyHasher, KeyInput};
use crate::lookup::{LastLink, Tree as _, is_directory, resolve};
use crate::source::{Found, Source, below};

/// What is copied, and how.
pub(crate) struct Copying<'a> {
    /// Where it is taken from; filled once it is looked into.
    pub(crate) source: OnceLock<Arc<Source>>,
    /// Paths and patterns.
    pub(crate) paths: &'a [String],
    /// Files that stand in the Dockerfile: name and content.
    pub(crate) inline: Vec<(String, Vec<u8>)>,
    /// Where it goes, from the root; a slash at its end makes it a directory.
    pub(crate) destination: String,
    /// Owner and mode.
    pub(crate) changes: Changes,
    /// Whether directories of the sources' paths are kept.
    pub(crate) parents: bool,
    /// What is left out.
    pub(crate) exclude: IgnoreFile,
    /// Whether archives are unpacked.
    pub(crate) unpack: Unpack<'a>,
}

/// Digests of the files of picks, each pick's own and those below it.
pub(crate) type Digests = Vec<Vec<[u8; 32]>>;

/// Most files of a step that are told one by one.
const MAX_TOLD: usize = 512;
/// How deep their paths are told.
const MAX_TOLD_DEPTH: usize = 16;

/// One source, looked at.
pub(crate) struct Pick {
    /// Which of the sources it is: names of one file are kept together within one source.
    pub(crate) number: usize,
    /// The last name of its path, as it is written.
    pub(crate) name: Vec<u8>,
    /// With `--parents`: its path below the pivot.
    pub(crate) kept: Option<String>,
    /// What it is.
    pub(crate) found: Found,
    /// What is below it.
    pub(crate) entries: Vec<Found>,
}

impl Copying<'_> {
    pub(crate) fn source(&self) -> Result<&Arc<Source>> {
        self.source.get().ok_or(StepError::Cancelled)
    }

    /// Finds all that is copied.
    pub(crate) fn picks(&self) -> Result<Vec<Pick>> {
        let mut picks = Vec::new();
        for pattern in self.paths {
            let (pivot, rest) = match pattern.split_once("/./").filter(|_| self.parents) {
                Some((pivot, rest)) => (format!("{pivot}/"), rest),
                None => (String::new(), pattern.as_str()),
            };
            let root = corten_dockerfile::clean_path(&format!("/{pivot}"));
            let root = root.trim_start_matches('/');
            for path in self.source()?.matches(&format!("{pivot}{rest}"))? {
                let Some(found) = self.source()?.follow(&path)? else {
                    return refused(format!("{path}: there is no such file in the source"));
                };
                let entries = match is_directory(&found.entry) {
                    true => self.source()?.walk(&found.path, &self.exclude, usize::MAX)?,
                    false => Vec::new(),
                };
                let name = path.rsplit('/').next().unwrap_or_default().as_bytes().to_vec();
                let kept = path.strip_prefix(root).unwrap_or(&path).trim_start_matches('/');
                let kept = self.parents.then(|| kept.to_owned());
                let number = picks.len();
                picks.push(Pick { number, name, kept, found, entries });
            }
        }
        Ok(picks)
    }

    /// Adds what decides the result to a key: the contents of the sources. Also gives the digests of the files, pick
    /// by pick.
    pub(crate) fn key(
        &self,
        mut key: KeyHasher,
        picks: &[Pick],
        session: &Session<'_>,
    ) -> Result<(KeyHasher, Digests)> {
        // Names of one file stay names of one file: which it is says the first of them, so that a copy of the
        // context elsewhere has the same key.
        let mut files: BTreeMap<(u64, u64), usize> = BTreeMap::new();
        let mut told = Vec::new();
        for pick in picks {
            let kept = pick.kept.clone().unwrap_or_default();
            key = key.field("source").field(&pick.name).field(kept);
            let all: Vec<&Found> = std::iter::once(&pick.found).chain(&pick.entries).collect();
            let digests = self.digests(&all, session)?;
            for (found, digest) in all.iter().zip(&digests) {
                let entry = &found.entry;
                let path = below(&found.path, &pick.found.path);
                let metadata = metadata(entry);
                let links = if found.identity.links > 1 && entry.kind == EntryKind::File {
                    let (file, next) = ((found.identity.device, found.identity.inode), files.len());
                    files.entry(file).or_insert(next).to_string()
                } else {
                    String::new()
                };
                key = key.field(path).field(metadata).field(&entry.link).field(links).field(digest);
            }
            told.push(digests);
        }
        Ok((key, told))
    }

    /// What is told of the files of a key: each by its path, or directories of them where there are many.
    pub(crate) fn inputs(picks: &[Pick], digests: &Digests) -> Vec<KeyInput> {
        let all = || {
            picks.iter().zip(digests).flat_map(|(pick, digests)| {
                std::iter::once(&pick.found).chain(&pick.entries).zip(digests)
            })
        };
        let depth = (1..=MAX_TOLD_DEPTH).rev().find(|depth| {
            let folded: BTreeSet<&[u8]> =
                all().map(|(found, _)| folded(found.path.as_bytes(), *depth)).collect();
            folded.len() <= MAX_TOLD
        });
        let mut hashers: BTreeMap<&[u8], blake3::Hasher> = BTreeMap::new();
        for (found, digest) in all() {
            let entry = &found.entry;
            let hasher =
                hashers.entry(folded(found.path.as_bytes(), depth.unwrap_or(0))).or_default();
            for field in [found.path.as_bytes(), metadata(entry).as_bytes(), &entry.link, digest] {
                hasher.update(&(field.len() as u64).to_le_bytes());
                hasher.update(field);
            }
        }
        let input = |(path, hasher): (&[u8], blake3::Hasher)| {
            let path = String::from_utf8_lossy(path);
            let shown = if path.is_empty() { ".".into() } else { path };
            KeyInput::of_bytes(format!("file {shown}"), hasher.finalize().as_bytes())
        };
        hashers.into_iter().map(input).collect()
    }

    /// The digests of files, on all threads.
    fn digests(&self, all: &[&Found], session: &Session<'_>) -> Result<Vec<[u8; 32]>> {
        let one = |found: &&Found| match found.entry.kind {
            EntryKind::File => session
                .memo
                .digest(&found.identity, || self.source()?.read(&found.path, &found.identity)),
            _ => Ok([0; 32]),
        };
        let size = all.len().div_ceil(session.builder.threads.get()).max(64);
        let parts = std::thread::scope(|scope| {
            let parts: Vec<_> = all
                .chunks(size)
                .map(|part| scope.spawn(move || part.iter().map(one).collect::<Result<Vec<_>>>()))
                .collect();
            parts.into_iter().map(|part| part.join()).collect::<Vec<_>>()
        });
        let mut digests = Vec::with_capacity(all.len());
        for part in parts {
            match part {
                Ok(part) => digests.extend(part?),
                Err(_) => return refused("a thread that reads the context died"),
            }
        }
        Ok(digests)
    }

    /// Writes everything into the assembly.
    pub(crate) fn write(&self, assembly: &mut Assembly<'_>, picks: Vec<Pick>) -> Result<()> {
        for (name, data) in &self.inline {
            let mut entry = Entry::new(EntryKind::File, name.as_bytes());
            (entry.size, entry.mtime) = (data.len() as u64, self.changes.made);
            self.changes.apply(&mut entry);
            let content = Content::Bytes(Arc::from(data.as_slice()));
            self.file(assembly, name.as_bytes(), Item { entry, content, file: None })?;
        }
        for pick in picks {
            match &pick.kept {
                Some(kept) => self.kept(assembly, &pick, kept)?,
                None => self.pick(assembly, pick)?,
            }
        }
        Ok(())
    }

    fn put(&self, assembly: &mut Assembly<'_>, path: TreePath, item: Item) -> Result<()> {
        if path.components().any(|name| name.starts_with(WHITEOUT_PREFIX)) {
            return refused(format!(
                "{path}: a name that begins with .wh. would hide another file"
            ));
        }
        let there = assembly.at(&path)?;
        match there {
            Some(there) if is_directory(&there) && !is_directory(&item.entry) => {
                refused(format!("{path}: a directory cannot be replaced by a file"))
            }
            Some(there) if !is_directory(&there) && is_directory(&item.entry) => {
                refused(format!("{path}: a directory cannot be copied over what is none"))
            }
            _ => assembly.put(path, item, &|| self.changes.directory()),
        }
    }

    /// The directory at a path, made where it is missing.
    fn directory(
        &self,
        assembly: &mut Assembly<'_>,
        path: &[u8],
        changes: &Changes,
    ) -> Result<TreePath> {
        let found = resolve(assembly, path, LastLink::Follow)?;
        match found.entry {
            Some(entry) if is_directory(&entry) => {}
            Some(_) => return refused(format!("{}: it is not a directory", found.path)),
            None => {
                self.put(assembly, found.path.clone(), Item::plain(changes.directory()))?;
            }
        }
        Ok(found.path)
    }

    /// Where a file called `name` goes.
    pub(crate) fn file(&self, assembly: &mut Assembly<'_>, name: &[u8], item: Item) -> Result<()> {
        let destination = self.destination.as_bytes();
        if self.destination.ends_with('/') {
            let directory = self.directory(assembly, destination, &self.changes)?;
            return self.put(assembly, directory.join(name), item);
        }
        let found = resolve(assembly, destination, LastLink::Follow)?;
        let path = match found.entry {
            Some(entry) if is_directory(&entry) => found.path.join(name),
            _ => found.path,
        };
        self.put(assembly, path, item)
    }

    fn item(&self, found: &Found, pick: usize) -> Result<Item> {
        let mut entry = found.entry.clone();
        entry.xattrs = self.source()?.kept_attributes(found)?;
        self.changes.apply(&mut entry);
        if entry.kind != EntryKind::File {
            return Ok(Item::plain(entry));
        }
        let identity = found.identity;
        let content = Content::File(self.source()?.clone(), found.path.clone(), identity);
        let is_shared = identity.links > 1;
        let file = is_shared.then_some((pick, identity.device, identity.inode));
        Ok(Item { entry, content, file })
    }

    fn pick(&self, assembly: &mut Assembly<'_>, pick: Pick) -> Result<()> {
        if !is_directory(&pick.found.entry) {
            if let Unpack::Archives { spool } = self.unpack
                && pick.found.entry.kind == EntryKind::File
            {
                let file = self.source()?.read(&pick.found.path, &pick.found.identity)?;
                if let Some(archive) = archive::open(file, spool)? {
                    return self.unpacked(assembly, archive);
                }
            }
            let item = self.item(&pick.found, pick.number)?;
            return self.file(assembly, &pick.name, item);
        }
        let found = resolve(assembly, self.destination.as_bytes(), LastLink::Follow)?;
        match found.entry {
            Some(entry) if is_directory(&entry) => {}
            Some(_) => return refused(format!("{}: it is not a directory", found.path)),
            None => {
                // It is made for the contents: mode, owner and attributes of the source stay behind.
                let mut made = self.changes.directory();
                made.mtime = pick.found.entry.mtime;
                self.put(assembly, found.path.clone(), Item::plain(made))?;
            }
        }
        self.contents(assembly, &pick, &found.path)
    }

    /// The entries of a plain tar go below the destination.
    pub(crate) fn unpacked(&self, assembly: &mut Assembly<'_>, archive: File) -> Result<()> {
        let changes = self.changes.of_archive();
        let directory = self.directory(assembly, self.destination.as_bytes(), &changes)?;
        archive::write(assembly, archive, &directory, &changes)
    }

    fn contents(&self, assembly: &mut Assembly<'_>, pick: &Pick, target: &TreePath) -> Result<()> {
        for entry in &pick.entries {
            let path = join(target, below(&entry.path, &pick.found.path));
            let item = self.item(entry, pick.number)?;
            self.put(assembly, path, item)?;
        }
        Ok(())
    }

    /// With the directories of its path.
    fn kept(&self, assembly: &mut Assembly<'_>, pick: &Pick, kept: &str) -> Result<()> {
        let destination = self.destination.as_bytes();
        let top = self.directory(assembly, destination, &self.changes)?;
        let depth = kept.split('/').filter(|part| !part.is_empty()).count();
        let all: Vec<TreePath> = pick.found.path.ancestors().collect();
        let skipped = (all.len() + 1).saturating_sub(depth + 1);
        let mut path = top;
        let names = kept.split('/').filter(|part| !part.is_empty());
        let last = depth.saturating_sub(1);
        for (number, name) in names.enumerate() {
            path = path.join(name.as_bytes());
            if number == last {
                break;
            }
            let from = all.get(skipped + number + 1);
            let found = from.map(|from| self.source()?.follow(&from.to_string())).transpose()?;
            let item = match found.flatten() {
                Some(found) if is_directory(&found.entry) => self.item(&found, pick.number)?,
                _ => Item::plain(self.changes.directory()),
            };
            if assembly.at(&path)?.is_none() {
                self.put(assembly, path.clone(), item)?;
            }
        }
        if !is_directory(&pick.found.entry) {
            let item = self.item(&pick.found, pick.number)?;
            return self.put(assembly, path, item);
        }
        if depth > 0 {
            let item = self.item(&pick.found, pick.number)?;
            self.put(assembly, path.clone(), item)?;
        }
        self.contents(assembly, pick, &path)
    }
}

/// What a key has of a file beside its content.
pub(crate) fn metadata(entry: &Entry) -> String {
    let Entry { kind, mode, uid, gid, size, device, .. } = entry;
    format!("{kind:?} {mode:o} {uid}:{gid} {size} {device:?}")
}

/// The first names of a path.
fn folded(path: &[u8], depth: usize) -> &[u8] {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let end = match depth.checked_sub(1) {
        None => 0,
        Some(depth) => slashes.map(|(at, _)| at).nth(depth).unwrap_or(path.len()),
    };
    path.get(..end).unwrap_or_default()
}

/// A path of several names below another one.
pub(crate) fn join(directory: &TreePath, names: &[u8]) -> TreePath {
    let names = names.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    names.fold(directory.clone(), |path, name| path.join(name))
}

/// A destination from the root: relative ones are below the working directory; the slash at the end stays.
pub(crate) fn absolute(working_dir: Option<&str>, path: &str) -> String {
    let base = working_dir.filter(|_| !path.starts_with('/')).unwrap_or("/");
    let is_directory =
        path.is_empty() || path == "." || path.ends_with('/') || path.ends_with("/.");
    let mut clean = corten_dockerfile::clean_path(&format!("/{base}/{path}"));
    if is_directory && !clean.ends_with('/') {
        clean.push('/');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_told_from_the_root() {
        for (working_dir, path, expected) in [
            (None, "a", "/a"),
            (Some("/srv"), "a/", "/srv/a/"),
            (Some("/srv"), ".", "/srv/"),
            (Some("/srv"), "/x/../y", "/y"),
            (Some("/srv"), "../../..", "/"),
            (Some("srv"), "a/.", "/srv/a/"),
        ] {
            assert_eq!(absolute(working_dir, path), expected);
        }
    }
}
