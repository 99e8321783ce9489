//! Changes of `index.json`: made on the JSON as it stands, so that what others wrote survives.

use std::os::unix::fs::MetadataExt as _;

use corten_spec::{AnyDocument, Descriptor, Digest, RefName, annotation};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::lease::{Held, Lock};
use super::{LayoutStore, STAGED};
use crate::StoreError;
use crate::beneath::io_error;
use crate::catalog::{self, INDEX_FILE, MAX_LAYOUT_INDEX};

/// `index.json` of an empty layout.
pub(super) const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
/// How often an edit starts again because a tool that does not lock changed the file meanwhile.
const EDIT_TRIES: usize = 16;

type Index = Map<String, Value>;

/// What an edit did: its answer, and whether the file must be written.
pub(super) struct Edited<T> {
    answer: T,
    changed: bool,
}

/// A state of the file, by which a change from outside is noticed.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// What `index.json` may have.
pub(super) const INDEX_LIMIT: (&str, u64) = ("index.json", MAX_LAYOUT_INDEX);

impl LayoutStore {
    /// The JSON of `index.json` now.
    pub(super) fn index(&self) -> Result<Index, StoreError> {
        self.settled(INDEX_FILE, INDEX_LIMIT, catalog::parse_index)
    }

    fn stamp(&self) -> Result<Option<Stamp>, StoreError> {
        let Some(file) = self.inner.root.read(INDEX_FILE)? else {
            return Ok(None);
        };
        let full = self.inner.root.full(INDEX_FILE);
        let meta = file.metadata().map_err(|e| io_error(&full, "stat", e))?;
        let modified = (meta.mtime(), meta.mtime_nsec());
        Ok(Some(Stamp { inode: meta.ino(), size: meta.size(), modified }))
    }

    /// Reads, changes and replaces `index.json`, alone among corten's processes.
    pub(super) fn edit<T>(
        &self,
        change: impl Fn(&mut Index) -> Result<Edited<T>, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.root.make_dir(STAGED)?;
        let lock = self.lock(Lock::Exclusive)?;
        self.edit_under(&lock, change)
    }

    /// The same for who holds the exclusive lock already.
    pub(super) fn edit_under<T>(
        &self,
        _lock: &Held,
        change: impl Fn(&mut Index) -> Result<Edited<T>, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..EDIT_TRIES {
            let stamp = self.stamp()?;
            let mut index = self.index()?;
            let edited = change(&mut index)?;
            if !edited.changed {
                return Ok(edited.answer);
            }
            let bytes = serde_json::to_vec(&index).map_err(|e| self.malformed(INDEX_FILE, e))?;
            if bytes.len() as u64 > MAX_LAYOUT_INDEX {
                return Err(StoreError::TooLarge {
                    object: INDEX_FILE.to_owned(),
                    place: crate::Store::describe(self),
                    what: "index.json",
                    limit: MAX_LAYOUT_INDEX,
                });
            }
            let unchanged = || Ok(self.stamp()? == stamp);
            let scratch = format!("{STAGED}/new");
            if self.inner.root.write_if(&scratch, INDEX_FILE, &bytes, unchanged)? {
                return Ok(edited.answer);
            }
        }
        Err(self.malformed(INDEX_FILE, "another program keeps changing it"))
    }
}

fn list<'a>(store: &LayoutStore, index: &'a mut Index) -> Result<&'a mut Vec<Value>, StoreError> {
    index.entry("schemaVersion").or_insert(Value::from(2));
    let list = index.entry("manifests").or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut().ok_or_else(|| store.malformed(INDEX_FILE, "'manifests' is not a list"))
}

fn name_of(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(annotation::REF_NAME)?.as_str()
}

fn points_at(entry: &Value, digest: &Digest) -> bool {
    entry.get("digest").and_then(Value::as_str) == Some(digest.as_str())
}

/// A new entry: the pointer itself, its platform and artifact type, and the name.
fn new_entry(
    store: &LayoutStore,
    document: &AnyDocument,
    name: Option<&RefName>,
) -> Result<Value, StoreError> {
    let mut descriptor = catalog::entry_of(document);
    if let Some(name) = name {
        let name = name.as_str().to_owned();
        descriptor.annotations.insert(annotation::REF_NAME.to_owned(), name);
    }
    serde_json::to_value(&descriptor).map_err(|error| store.malformed(INDEX_FILE, error))
}

fn annotate(entry: &mut Value, name: &RefName) {
    let Some(entry) = entry.as_object_mut() else {
        return;
    };
    let annotations = entry.entry("annotations").or_insert(Value::Null);
    if !annotations.is_object() {
        *annotations = Value::Object(Map::new());
    }
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(annotation::REF_NAME.to_owned(), Value::from(name.as_str()));
    }
}

/// Points `name` at `document`: an unnamed entry of it gets the name, else there is a new entry.
/// What the name stood for before loses its entry, unless it is a referrer.
pub(super) fn set_name(
    store: &LayoutStore,
    index: &mut Index,
    name: &RefName,
    document: &AnyDocument,
) -> Result<Edited<()>, StoreError> {
    let digest = &document.descriptor().digest;
    let entries = list(store, index)?;
    let named: Vec<&Value> =
        entries.iter().filter(|entry| name_of(entry) == Some(name.as_str())).collect();
    if let [only] = named.as_slice()
        && points_at(only, digest)
    {
        return Ok(Edited { answer: (), changed: false });
    }
    take_out(store, entries, |entry| name_of(entry) == Some(name.as_str()));
    let unnamed = |entry: &&mut Value| points_at(entry, digest) && name_of(entry).is_none();
    match entries.iter_mut().find(unnamed) {
        Some(entry) => annotate(entry, name),
        None => entries.push(new_entry(store, document, Some(name))?),
    }
    Ok(Edited { answer: (), changed: true })
}

/// Lists `document` without a name, unless it is listed.
pub(super) fn add_unnamed(
    store: &LayoutStore,
    index: &mut Index,
    document: &AnyDocument,
) -> Result<Edited<()>, StoreError> {
    let entries = list(store, index)?;
    let listed = entries.iter().any(|entry| points_at(entry, &document.descriptor().digest));
    if !listed {
        entries.push(new_entry(store, document, None)?);
    }
    Ok(Edited { answer: (), changed: !listed })
}

/// Whether there was an entry of that name; it is gone now.
pub(super) fn remove_name(
    store: &LayoutStore,
    index: &mut Index,
    name: &RefName,
) -> Result<Edited<bool>, StoreError> {
    let entries = list(store, index)?;
    let changed = take_out(store, entries, |entry| name_of(entry) == Some(name.as_str()));
    Ok(Edited { answer: changed, changed })
}

/// The names that pointed at `digest`, and `None` when nothing did; all entries of it are gone.
pub(super) fn remove_digest(
    store: &LayoutStore,
    index: &mut Index,
    digest: &Digest,
) -> Result<Edited<Option<Vec<RefName>>>, StoreError> {
    let entries = list(store, index)?;
    let before = entries.len();
    let mut names = Vec::new();
    entries.retain(|entry| {
        let gone = points_at(entry, digest);
        if gone {
            names.extend(name_of(entry).and_then(|name| RefName::parse(name).ok()));
        }
        !gone
    });
    let changed = entries.len() != before;
    Ok(Edited { answer: changed.then_some(names), changed })
}

/// Takes out the entries that `which` picks; those of referrers stay, without their name.
fn take_out(store: &LayoutStore, entries: &mut Vec<Value>, which: impl Fn(&Value) -> bool) -> bool {
    let mut changed = false;
    let mut kept: Vec<Value> = Vec::with_capacity(entries.len());
    for mut entry in entries.drain(..) {
        if !which(&entry) {
            kept.push(entry);
            continue;
        }
        changed = true;
        let descriptor = Descriptor::deserialize(&entry).ok();
        let referrer = descriptor.filter(|found| store.inner.facts.has_subject(store, found));
        let listed = |found: &Descriptor| kept.iter().any(|other| points_at(other, &found.digest));
        if referrer.is_some_and(|found| !listed(&found)) {
            strip_name(&mut entry);
            kept.push(entry);
        }
    }
    *entries = kept;
    changed
}

fn strip_name(entry: &mut Value) {
    let Some(entry) = entry.as_object_mut() else {
        return;
    };
    if let Some(Value::Object(annotations)) = entry.get_mut("annotations") {
        annotations.remove(annotation::REF_NAME);
        if annotations.is_empty() {
            entry.remove("annotations");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_made_from_outside_during_an_edit_survives() {
        let directory = tempfile::tempdir().unwrap();
        let store = LayoutStore::create(directory.path()).unwrap();
        let path = directory.path().join(INDEX_FILE);
        let rounds = Cell::new(0);
        let result = store.edit(|index| {
            rounds.set(rounds.get() + 1);
            if rounds.get() == 1 {
                // A tool that knows no lock writes between our reading and our writing.
                std::fs::write(&path, json!({ "theirs": true, "manifests": [] }).to_string())
                    .unwrap();
            }
            index.insert("ours".to_owned(), Value::from(true));
            Ok(Edited { answer: "done", changed: true })
        });
        assert_eq!((result.unwrap(), rounds.get()), ("done", 2));
        let index = store.index().unwrap();
        assert_eq!(
            (index.get("ours"), index.get("theirs")),
            (Some(&json!(true)), Some(&json!(true)))
        );
    }

    #[test]
    fn an_edit_that_is_always_overtaken_gives_up() {
        let directory = tempfile::tempdir().unwrap();
        let store = LayoutStore::create(directory.path()).unwrap();
        let path = directory.path().join(INDEX_FILE);
        let rounds = Cell::new(0);
        let result = store.edit(|_| {
            rounds.set(rounds.get() + 1);
            std::fs::write(
                &path,
                json!({ "round": rounds.get(), "pad": "x".repeat(rounds.get()) }).to_string(),
            )
            .unwrap();
            Ok(Edited { answer: (), changed: true })
        });
        assert!(matches!(result, Err(StoreError::Malformed { .. })), "{result:?}");
        assert_eq!(rounds.get(), EDIT_TRIES);
    }
}
