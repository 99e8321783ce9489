//! The tree that a stack of layers makes, as an index in memory: which path comes from which layer
//! (image-spec `layer.md`, Applying Changesets).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as BTreeEntry;
use std::io::{self, Read};

use corten_spec::{Algorithm, Digest};

use crate::layer_changes::{Contents, Held, LayerChanges};
use crate::resolve::{Seen, resolve};
use crate::{
    Entry, EntryKind, LayerError, LayerReader, LayerRule, Limits, PlainArchive, PlainReader,
    TreePath, Unpacked, Whiteout,
};

/// Where the layers of a stack are read from, as often as needed.
pub trait LayerSource {
    /// The bytes of layer `layer`, 0 being the base, from their start, packed in any way.
    fn open(&mut self, layer: usize) -> io::Result<Box<dyn Read + '_>>;
}

impl<F: FnMut(usize) -> io::Result<Box<dyn Read>>> LayerSource for F {
    fn open(&mut self, layer: usize) -> io::Result<Box<dyn Read + '_>> {
        self(layer)
    }
}

/// A file of the merged tree, whatever its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The layer it comes from, 0 being the base.
    pub layer: usize,
    /// The number of its entry in that layer, 0 being the first.
    pub ordinal: u64,
    /// Its metadata. A hard link stands for the file it names, so no node is one.
    pub entry: Entry,
    /// Digest of the content of a regular file, when it was asked for.
    pub content: Option<Digest>,
    /// Whether no layer has an entry for it: a directory that exists because something is in it.
    pub implied: bool,
}

/// The merged tree of a stack of layers.
///
/// Each layer counts on its own: its whiteouts hide what is below it, wherever in the archive they
/// stand, and never its own entries. A symbolic link of a lower layer where an upper one has
/// entries below that name gives way to a directory, as in engines that unpack layers apart and
/// lay them over each other.
///
/// ```
/// # use corten_layer::{Contents, Entry, EntryKind, LayerError, Limits, Merged, TarWriter};
/// fn layer(name: &str) -> Result<Vec<u8>, LayerError> {
///     let mut writer = TarWriter::new(Vec::new());
///     writer.entry(&Entry::new(EntryKind::File, name))?;
///     writer.finish()
/// }
/// let mut merged = Merged::new(Limits::default());
/// merged.add(layer("etc/passwd")?.as_slice(), Contents::Skip)?;
/// merged.add(layer("etc/.wh.passwd")?.as_slice(), Contents::Skip)?;
/// assert!(merged.find(b"/etc").is_ok());
/// assert!(matches!(merged.find(b"/etc/passwd"), Err(LayerError::NotFound { .. })));
/// # Ok::<(), LayerError>(())
/// ```
pub struct Merged {
    names: BTreeMap<TreePath, usize>,
    files: Vec<Node>,
    /// A path at which a directory is known to be.
    open: Option<TreePath>,
    layers: usize,
    /// Bytes of the archives so far.
    unpacked: u64,
    held: Held,
    limits: Limits,
}

impl Merged {
    /// An empty tree; layers are added from the base up. [`Limits::entries`],
    /// [`Limits::metadata`] and [`Limits::image`] bound what all layers bring together.
    pub fn new(limits: Limits) -> Self {
        let root = implied(&TreePath::root(), 0);
        let names = BTreeMap::from([(TreePath::root(), 0)]);
        Self {
            names,
            files: vec![root],
            open: None,
            layers: 0,
            unpacked: 0,
            held: Held::root(),
            limits,
        }
    }

    /// The tree of the layers `0..count` of `source`.
    pub fn read(
        source: &mut dyn LayerSource,
        count: usize,
        contents: Contents,
        limits: Limits,
    ) -> Result<Self, LayerError> {
        let mut merged = Self::new(limits);
        for layer in 0..count {
            let packed = source.open(layer).map_err(LayerError::from_io)?;
            merged.add(packed, contents)?;
        }
        Ok(merged)
    }

    /// Adds the next layer. It is read to its end, so that its digests can be compared with what
    /// was announced; after an error the tree is of no use.
    pub fn add(&mut self, packed: impl Read, contents: Contents) -> Result<Unpacked, LayerError> {
        let limits = self.limits.after(self.unpacked);
        let read = LayerChanges::read(packed, self.layers, contents, limits);
        let (changes, unpacked) = read.map_err(|error| self.limits.named(error))?;
        self.unpacked = self.unpacked.saturating_add(unpacked.unpacked_size);
        self.held.add(&changes, &self.limits)?;
        self.apply(changes)?;
        self.layers += 1;
        Ok(unpacked)
    }

    /// Adds the next layer from its plain archive on disk, contents jumped over and nothing hashed:
    /// for archives whose digest is known to be right. Returns the number of entries, whiteouts
    /// included; after an error the tree is of no use.
    ///
    /// The tree is the one that [`Merged::add`] makes of the same bytes. The archive is read once:
    /// beside its files, which the tree keeps anyway, their paths wait for the last whiteout.
    pub fn add_plain(&mut self, tar: impl PlainArchive) -> Result<u64, LayerError> {
        let first = self.files.len();
        let mut paths = Vec::new();
        let mut whiteouts = Vec::new();
        let mut tar = PlainReader::open(tar, self.limits)?;
        let mut ordinal = 0;
        while let Some(entry) = tar.next_entry()? {
            let refused = |rule| LayerError::Refused { entry: entry.place(), rule };
            let path = entry.path().map_err(refused)?;
            match Whiteout::of(&path).map_err(refused)? {
                Some(whiteout) => whiteouts.push(whiteout),
                None => {
                    self.held.add_entry(&entry);
                    paths.push(path);
                    self.files.push(Node::of(self.layers, ordinal, entry));
                }
            }
            ordinal += 1;
        }
        self.held.check(&self.limits)?;
        for whiteout in whiteouts {
            match whiteout {
                Whiteout::Path(hidden) => self.remove(&hidden, Also::ThePath),
                Whiteout::Below(directory) => self.remove(&directory, Also::Nothing),
                Whiteout::Reserved => {}
            }
        }
        for (file, path) in (first..).zip(paths) {
            self.place(path, file).map_err(|rule| self.refused(file, rule))?;
        }
        self.layers += 1;
        Ok(ordinal)
    }

    /// Number of layers added.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// All paths with their files, in canonical order, the root first.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Node)> {
        self.names.iter().filter_map(|(path, file)| Some((path, self.files.get(*file)?)))
    }

    /// The same with a number for each file: paths with the same number are hard links. Numbers
    /// are unique within the tree, and not dense: what later layers hid had some too.
    pub fn numbered(&self) -> impl Iterator<Item = (&TreePath, usize, &Node)> {
        self.names.iter().filter_map(|(path, file)| Some((path, *file, self.files.get(*file)?)))
    }

    /// What stands at exactly this path; symbolic links are not followed.
    pub fn at(&self, path: &TreePath) -> Option<&Node> {
        self.files.get(*self.names.get(path)?)
    }

    /// Follows `path` and the symbolic links on it, all of them inside the root.
    pub fn find(&self, path: &[u8]) -> Result<(TreePath, &Node), LayerError> {
        let found = resolve(path, |path| {
            let seen = |node: &Node| Seen { kind: node.entry.kind, link: node.entry.link.clone() };
            Ok(self.at(path).map(seen))
        })?;
        match self.at(&found) {
            Some(node) => Ok((found, node)),
            None => Err(LayerError::NotFound { path: path.to_vec() }),
        }
    }

    fn apply(&mut self, changes: LayerChanges) -> Result<(), LayerError> {
        for path in &changes.hidden {
            self.remove(path, Also::ThePath);
        }
        for directory in &changes.opaque {
            self.remove(directory, Also::Nothing);
        }
        for (path, node) in changes.entries {
            let entry = node.entry.place();
            self.put(path, node).map_err(|rule| LayerError::Refused { entry, rule })?;
        }
        Ok(())
    }

    /// The tree of one layer of a stack on its own, still empty; `held` is what the stack holds.
    pub(crate) fn of_layer(layer: usize, held: Held, limits: Limits) -> Self {
        Self { layers: layer, held, ..Self::new(limits) }
    }

    /// What the tree, and the stack it belongs to, hold.
    pub(crate) fn held(&self) -> Held {
        self.held
    }

    /// Puts an entry where it belongs.
    pub(crate) fn put(&mut self, path: TreePath, node: Node) -> Result<(), LayerRule> {
        self.files.push(node);
        self.place(path, self.files.len() - 1)
    }

    /// The same for an entry that is among the files already. One that makes no file of its own, a
    /// hard link, leaves a number unused.
    fn place(&mut self, path: TreePath, file: usize) -> Result<(), LayerRule> {
        let Some(node) = self.files.get(file) else {
            return Ok(());
        };
        node.entry.check_device()?;
        let (kind, layer) = (node.entry.kind, node.layer);
        self.make_parents(&path, layer)?;
        if kind == EntryKind::HardLink {
            return self.link(path, file);
        }
        // The root is always there. What is not there has nothing below it.
        let mut there = match self.names.entry(path) {
            BTreeEntry::Vacant(free) => {
                free.insert(file);
                return Ok(());
            }
            BTreeEntry::Occupied(there) => there,
        };
        let before = self.files.get(*there.get()).map(|before| before.entry.kind);
        if kind == EntryKind::Directory && before == Some(EntryKind::Directory) {
            there.insert(file);
            return Ok(());
        }
        let path = there.key().clone();
        if path.is_root() {
            return Err(LayerRule::RootNotDirectory);
        }
        self.remove(&path, Also::ThePath);
        self.names.insert(path, file);
        Ok(())
    }

    fn refused(&self, file: usize, rule: LayerRule) -> LayerError {
        let entry = self.files.get(file).map(|node| node.entry.place());
        let entry = entry.unwrap_or_else(|| crate::EntryPosition { name: Vec::new(), offset: 0 });
        LayerError::Refused { entry, rule }
    }

    fn link(&mut self, path: TreePath, link: usize) -> Result<(), LayerRule> {
        let Some(node) = self.files.get(link) else {
            return Ok(());
        };
        let target = node.entry.link_path()?;
        let file = *self.names.get(&target).ok_or(LayerRule::HardlinkTarget)?;
        if self.files.get(file).is_none_or(|file| file.entry.kind == EntryKind::Directory) {
            return Err(LayerRule::HardlinkToDirectory);
        }
        // A directory that gives way takes what is below it along, the target perhaps.
        if target.is_below(&path) {
            return Err(LayerRule::HardlinkTarget);
        }
        if target != path {
            self.remove(&path, Also::ThePath);
            self.names.insert(path, file);
        }
        Ok(())
    }

    /// Directories above `path` that no layer has an entry for.
    pub(crate) fn make_parents(&mut self, path: &TreePath, layer: usize) -> Result<(), LayerRule> {
        let is_directory = |node: &Node| node.entry.kind == EntryKind::Directory;
        // Entries of one directory mostly follow each other.
        let known = |open: &TreePath| path.parent_bytes() == Some(open.as_bytes());
        if self.open.as_ref().is_some_and(known) {
            return Ok(());
        }
        let Some((parent, _)) = path.split() else {
            return Ok(());
        };
        // What is above a directory of the tree is one too.
        if self.at(&parent).is_some_and(is_directory) {
            self.open = Some(parent);
            return Ok(());
        }
        for above in path.ancestors() {
            match self.at(&above) {
                Some(node) if is_directory(node) => {}
                Some(node) if node.layer == layer => return Err(LayerRule::BelowNonDirectory),
                _ => {
                    self.held.imply(&above, &self.limits)?;
                    let node = implied(&above, layer);
                    self.insert(above, node);
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: TreePath, node: Node) {
        self.names.insert(path, self.files.len());
        self.files.push(node);
    }

    /// Takes away what is below a path.
    pub(crate) fn remove(&mut self, path: &TreePath, also: Also) {
        let inside = self.names.range(path..).map(|(name, _)| name);
        let inside = inside.take_while(|name| *name == path || name.is_below(path));
        let gone: Vec<TreePath> = match also {
            Also::ThePath => inside.cloned().collect(),
            Also::Nothing => inside.filter(|name| *name != path).cloned().collect(),
        };
        if !gone.is_empty() {
            self.open = None;
        }
        for name in gone {
            self.names.remove(&name);
        }
    }
}

/// What is removed with everything below a path.
pub(crate) enum Also {
    /// The path itself.
    ThePath,
    /// Nothing more.
    Nothing,
}

impl Node {
    /// The file that an entry makes, without what a tree has no use for.
    pub(crate) fn of(layer: usize, ordinal: u64, mut entry: Entry) -> Self {
        entry.records.clear();
        entry.name.shrink_to_fit();
        entry.link.shrink_to_fit();
        Self { layer, ordinal, entry, content: None, implied: false }
    }
}

fn implied(path: &TreePath, layer: usize) -> Node {
    let entry = Entry::new(EntryKind::Directory, path.as_bytes());
    Node { layer, ordinal: 0, entry, content: None, implied: true }
}

/// Copies the content of a regular file of the tree to `out`. Of the layer only what stands before
/// the file, and the file, is read; the caller's source answers for the bytes.
pub fn copy_content(
    source: &mut dyn LayerSource,
    node: &Node,
    limits: Limits,
    out: &mut dyn io::Write,
) -> Result<u64, LayerError> {
    let changed = || LayerError::Changed { entry: node.entry.place() };
    let packed = source.open(node.layer).map_err(LayerError::from_io)?;
    let mut tar = LayerReader::open(packed, None, limits)?;
    for _ in 0..node.ordinal {
        tar.next_entry()?.ok_or_else(changed)?;
    }
    let entry = tar.next_entry()?.ok_or_else(changed)?;
    if (&entry.name, entry.size) != (&node.entry.name, node.entry.size) {
        return Err(changed());
    }
    copy(&mut tar, out)
}

/// Copies a content, telling a source that fails from a target that does.
pub(crate) fn copy(content: &mut impl Read, out: &mut dyn io::Write) -> Result<u64, LayerError> {
    let mut buffer = vec![0; 64 * 1024];
    let mut copied = 0_u64;
    loop {
        let taken = match content.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(LayerError::from_io(error)),
        };
        let bytes = buffer.get(..taken).unwrap_or_default();
        out.write_all(bytes).map_err(LayerError::from_write)?;
        copied = copied.saturating_add(taken as u64);
    }
}

/// The sha256 of a content.
pub(crate) fn digest(content: &mut impl Read) -> Result<Digest, LayerError> {
    struct Sink(corten_spec::Hasher);
    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(corten_spec::Hasher::new(Algorithm::Sha256));
    copy(content, &mut sink)?;
    Ok(sink.0.finish())
}
