//! What the specification advises on the entries of a layer, beyond what makes one wrong.

use std::collections::HashSet;

use corten_layer::{Entry, TreePath, Whiteout};
use corten_spec::Descriptor;
use corten_spec::validate::{Code, Finding, Findings, Profile};

use crate::plain::plain_bytes;

/// Looks at the entries of one layer in their order.
pub(super) struct Style {
    found: Findings,
    paths: HashSet<TreePath>,
    /// Directories of which an entry that is no whiteout has been seen.
    begun: HashSet<TreePath>,
    /// What explicit whiteouts hide, with the name each has in the archive.
    hidden: Vec<(TreePath, Vec<u8>)>,
}

impl Style {
    pub(super) fn new(layer: &Descriptor, profile: Profile) -> Self {
        Self {
            found: Findings::new(layer.digest.as_str(), profile),
            paths: HashSet::new(),
            begun: HashSet::new(),
            hidden: Vec::new(),
        }
    }

    /// Looks at the next entry.
    pub(super) fn see(&mut self, entry: &Entry) {
        let pointer = plain_bytes(&entry.name);
        if std::str::from_utf8(&entry.name).is_err() {
            self.found.add(Code::LayerNameEncoding, &pointer, "");
        }
        if entry.mtime.seconds < 0 {
            let message = format!("{} seconds", entry.mtime.seconds);
            self.found.add(Code::LayerTime, &pointer, message);
        }
        // A path or whiteout that breaks a rule is reported where rules are.
        let Ok(path) = entry.path() else {
            return;
        };
        let Some((parent, _)) = path.split() else {
            return;
        };
        match Whiteout::of(&path) {
            Ok(Some(whiteout)) => self.whiteout(entry, &parent, whiteout),
            Ok(None) => {
                self.begun.insert(parent);
                self.paths.insert(path);
            }
            Err(_) => {}
        }
    }

    fn whiteout(&mut self, entry: &Entry, parent: &TreePath, whiteout: Whiteout) {
        let pointer = plain_bytes(&entry.name);
        match whiteout {
            Whiteout::Below(_) => self.found.add(Code::LayerWhiteoutOpaque, &pointer, ""),
            Whiteout::Path(path) => self.hidden.push((path, entry.name.clone())),
            Whiteout::Reserved => return,
        }
        if self.begun.contains(parent) {
            self.found.add(Code::LayerWhiteoutOrder, &pointer, "");
        }
    }

    /// What was found.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        for (path, name) in &self.hidden {
            if self.paths.contains(path) {
                self.found.add(Code::LayerWhiteoutSame, &plain_bytes(name), "");
            }
        }
        self.found.into_vec()
    }
}
