//! Comparing two images: how they run, and their files.

use std::collections::BTreeSet;

use corten_layer::{Aspect, ChangeKind, Contents, changes};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::layers::on_thread;
use super::look::{LookRequest, open, shown_path};
use crate::{Context, Failure};

/// How two images differ.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DiffReport {
    /// The first image.
    pub before: String,
    /// The second image.
    pub after: String,
    /// Whether nothing differs.
    pub same: bool,
    /// Values of the config that differ, without those that follow from the layers.
    pub config: Vec<ConfigChange>,
    /// Files that differ, in the order of a walk.
    pub files: Vec<FileChange>,
}

/// A value of the config that differs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConfigChange {
    /// Where it stands, as a JSON pointer.
    pub pointer: String,
    /// Its value in the first image; absent where the first has none.
    pub before: Option<Value>,
    /// Its value in the second image; absent where the second has none.
    pub after: Option<Value>,
}

/// A file that differs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FileChange {
    /// Path from the root.
    pub path: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// What of it changed: `kind`, `mode`, `owner`, `mtime`, `size`, `content`, `link`, `device`,
    /// `xattrs`.
    pub what: Vec<String>,
}

/// Compares two images. Layers are compared by the tree they make, not by how they are packed.
pub async fn diff(
    context: &Context,
    before: LookRequest,
    after: LookRequest,
    ignore_times: bool,
) -> Result<DiffReport, Failure> {
    let (old, new) = (open(context, &before).await?, open(context, &after).await?);
    let mut config = Vec::new();
    compare(&run_part(old.config.bytes()), &run_part(new.config.bytes()), "", &mut config);
    let files = if old.config.value().rootfs == new.config.value().rootfs {
        Vec::new()
    } else {
        let (old, _) = old.merge(Contents::Digest).await?;
        let (new, _) = new.merge(Contents::Digest).await?;
        on_thread("diff", move || {
            Ok(changes(&old, &new)
                .into_iter()
                .filter_map(|change| file_change(&change, ignore_times))
                .collect())
        })
        .await?
    };
    let same = config.is_empty() && files.is_empty();
    Ok(DiffReport { before: old.shown, after: new.shown, same, config, files })
}

/// The config without what follows from the layers. The bytes were parsed once already.
fn run_part(bytes: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.remove("rootfs");
        object.remove("history");
    }
    value
}

/// Adds every value below `pointer` that differs; objects are entered, arrays compared whole.
fn compare(before: &Value, after: &Value, pointer: &str, changes: &mut Vec<ConfigChange>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            let pointer = format!("{pointer}/{escaped}");
            match (old.get(key), new.get(key)) {
                (Some(old), Some(new)) => compare(old, new, &pointer, changes),
                (old, new) => changes.push(ConfigChange {
                    pointer,
                    before: old.cloned(),
                    after: new.cloned(),
                }),
            }
        }
    } else if before != after {
        changes.push(ConfigChange {
            pointer: pointer.to_owned(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        });
    }
}

fn file_change(change: &corten_layer::Change, ignore_times: bool) -> Option<FileChange> {
    let (word, what) = match &change.kind {
        ChangeKind::Added => ("added", Vec::new()),
        ChangeKind::Removed => ("removed", Vec::new()),
        ChangeKind::Changed(aspects) => {
            let kept = aspects.iter().filter(|aspect| !ignore_times || **aspect != Aspect::Mtime);
            let what: Vec<String> = kept.map(|aspect| aspect_word(*aspect).to_owned()).collect();
            if what.is_empty() {
                return None;
            }
            ("changed", what)
        }
    };
    Some(FileChange { path: shown_path(&change.path), change: word.to_owned(), what })
}

fn aspect_word(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Kind => "kind",
        Aspect::Mode => "mode",
        Aspect::Owner => "owner",
        Aspect::Mtime => "mtime",
        Aspect::Size => "size",
        Aspect::Content => "content",
        Aspect::Link => "link",
        Aspect::Device => "device",
        Aspect::Xattrs => "xattrs",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn configs_are_compared_value_by_value() {
        let before = json!({"os": "linux", "config": {"Env": ["A=1"], "Labels": {"a/b": "1"}}});
        let after = json!({"os": "linux", "config": {"Env": ["A=2"], "Labels": {}}});
        let mut changes = Vec::new();
        compare(&before, &after, "", &mut changes);
        let pointers: Vec<&str> = changes.iter().map(|change| change.pointer.as_str()).collect();
        assert_eq!(pointers, ["/config/Env", "/config/Labels/a~1b"]);
        assert_eq!(changes[1].after, None);
    }
}
