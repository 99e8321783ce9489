//! Finding single files in a stack of layers without reading all of it: from the top down, and each
//! layer only when nothing above it answers.

use std::collections::{BTreeMap, BTreeSet};

use crate::layer_changes::{Contents, Held, LayerChanges};
use crate::merged::{Also, LayerSource, Merged, Node};
use crate::resolve::{Seen, resolve};
use crate::{EntryKind, LayerError, LayerRule, Limits, TreePath};

/// A stack of layers that are read when they are needed. What it finds is what [`Merged`] would
/// hold, for well-formed layers; a layer that is not read is not checked either.
pub struct Stack<'a> {
    source: &'a mut dyn LayerSource,
    layers: Vec<Option<Layer>>,
    held: Held,
    limits: Limits,
}

/// What must be known of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What it is: enough to go on through it.
    Kind,
    /// Its entry, wherever that is.
    Metadata,
}

/// One layer, read.
struct Layer {
    /// Its entries as if nothing were below; directories without an entry are implied.
    tree: Merged,
    /// Hard links whose targets are in lower layers.
    links_down: BTreeMap<TreePath, TreePath>,
    hidden: BTreeSet<TreePath>,
    opaque: BTreeSet<TreePath>,
}

impl<'a> Stack<'a> {
    /// The layers `0..count` of `source`, none of them read yet.
    pub fn new(source: &'a mut dyn LayerSource, count: usize, limits: Limits) -> Self {
        let layers = std::iter::repeat_with(|| None).take(count).collect();
        Self { source, layers, held: Held::root(), limits }
    }

    /// Follows `path` and the symbolic links on it, all of them inside the root. The content is had
    /// by [`crate::copy_content`].
    pub fn find(&mut self, path: &[u8]) -> Result<(TreePath, Node), LayerError> {
        let found = resolve(path, |path| {
            let node = self.search(path, Wanted::Kind)?;
            Ok(node.map(|node| Seen { kind: node.entry.kind, link: node.entry.link }))
        })?;
        let node = self.at(&found)?;
        let node = node.ok_or_else(|| LayerError::NotFound { path: path.to_vec() })?;
        Ok((found, node))
    }

    /// What stands at exactly this path; symbolic links are not followed.
    pub fn at(&mut self, path: &TreePath) -> Result<Option<Node>, LayerError> {
        self.search(path, Wanted::Metadata)
    }

    fn search(&mut self, path: &TreePath, what: Wanted) -> Result<Option<Node>, LayerError> {
        let mut wanted = path.clone();
        let mut implied: Option<Node> = None;
        let mut layer = self.layers.len();
        while layer > 0 {
            layer -= 1;
            let this = self.layer(layer)?;
            let mut hidden = this.hides(&wanted);
            match this.tree.at(&wanted) {
                Some(node) if !node.implied => {
                    let replaced = implied.is_some() && node.entry.kind != EntryKind::Directory;
                    return Ok(if replaced { implied } else { Some(node.clone()) });
                }
                Some(node) if !wanted.is_root() => implied = implied.or_else(|| Some(node.clone())),
                _ => {}
            }
            // Whatever stands below, a directory that an upper layer implies is one.
            if implied.is_some() && what == Wanted::Kind {
                return Ok(implied);
            }
            if let Some(target) = this.links_down.get(&wanted) {
                if implied.is_some() {
                    return Ok(implied);
                }
                hidden = this.hides(target);
                wanted = target.clone();
                if hidden || layer == 0 {
                    return Err(lost_link(path));
                }
            }
            if hidden || this.blocks(&wanted) {
                return Ok(implied);
            }
        }
        if wanted.is_root() {
            let root = Merged::new(self.limits);
            return Ok(root.at(&wanted).cloned());
        }
        if implied.is_none() && wanted != *path {
            return Err(lost_link(path));
        }
        Ok(implied)
    }

    /// Number of layers that had to be read so far.
    pub fn read(&self) -> usize {
        self.layers.iter().flatten().count()
    }

    fn layer(&mut self, number: usize) -> Result<&Layer, LayerError> {
        let missing = || LayerError::NotFound { path: Vec::new() };
        let slot = self.layers.get_mut(number).ok_or_else(missing)?;
        if slot.is_none() {
            let packed = self.source.open(number).map_err(LayerError::from_io)?;
            let (changes, _) = LayerChanges::read(packed, number, Contents::Skip, self.limits)?;
            self.held.add(&changes, &self.limits)?;
            let layer = Layer::of(changes, number, self.held, self.limits)?;
            self.held = layer.tree.held();
            *slot = Some(layer);
        }
        slot.as_ref().ok_or_else(missing)
    }
}

fn lost_link(path: &TreePath) -> LayerError {
    let entry = crate::EntryPosition { name: path.as_bytes().to_vec(), offset: 0 };
    LayerError::Refused { entry, rule: LayerRule::HardlinkTarget }
}

impl Layer {
    fn of(
        changes: LayerChanges,
        number: usize,
        held: Held,
        limits: Limits,
    ) -> Result<Self, LayerError> {
        let mut layer = Self {
            tree: Merged::of_layer(number, held, limits),
            links_down: BTreeMap::new(),
            hidden: changes.hidden.into_iter().collect(),
            opaque: changes.opaque.into_iter().collect(),
        };
        for (path, node) in changes.entries {
            let entry = node.entry.place();
            layer.put(path, node).map_err(|rule| LayerError::Refused { entry, rule })?;
        }
        Ok(layer)
    }

    fn put(&mut self, path: TreePath, node: Node) -> Result<(), LayerRule> {
        if !self.links_down.is_empty() {
            self.links_down.remove(&path);
            if path.ancestors().any(|above| self.links_down.contains_key(&above)) {
                return Err(LayerRule::BelowNonDirectory);
            }
        }
        if node.entry.kind != EntryKind::HardLink {
            return self.tree.put(path, node);
        }
        let target = node.entry.link_path()?;
        let further = self.links_down.get(&target).cloned();
        if further.is_none() && self.tree.at(&target).is_some_and(|node| !node.implied) {
            return self.tree.put(path, node);
        }
        self.tree.make_parents(&path, node.layer)?;
        self.tree.remove(&path, Also::ThePath);
        self.links_down.insert(path, further.unwrap_or(target));
        Ok(())
    }

    /// Whether what lower layers have at `path` is hidden by whiteouts of this one.
    fn hides(&self, path: &TreePath) -> bool {
        let whiteouts = self.hidden.contains(path);
        let above = |above| self.hidden.contains(&above) || self.opaque.contains(&above);
        whiteouts || path.ancestors().any(above)
    }

    /// Whether this layer has something other than a directory above `path` or at it.
    fn blocks(&self, path: &TreePath) -> bool {
        let is_leaf = |node: &Node| node.entry.kind != EntryKind::Directory;
        path.ancestors().any(|above| {
            self.links_down.contains_key(&above) || self.tree.at(&above).is_some_and(is_leaf)
        })
    }
}
