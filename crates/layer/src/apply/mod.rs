//! Layers applied to a directory: what an archive says becomes files, and nothing outside the
//! directory is reached.
//!
//! ```text
//! Tar --Entry--> Applying --parent descriptor + one name--> the kernel
//! ```
//!
//! No path of an archive reaches the kernel whole where a symbolic link could be on it: the parent
//! is opened below the [`Root`] without following links, and every file is made by its name in that
//! parent. Modes and times of directories are set when everything else is there, the deepest first.

mod complete;
mod directories;
mod entries;
mod finish;
mod hide;
mod metadata;
mod objects;
mod root;

use std::io::Read;

use corten_spec::Algorithm;

pub use complete::complete;
pub use root::Root;

use crate::apply::entries::Applying;
use crate::{Entry, LayerError, LayerReader, LayerSource, Limits, Unpacked};

/// How whiteouts are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whiteouts {
    /// What they hide is removed from the directory, which holds the lower layers.
    Remove,
    /// They become whiteouts of an overlay filesystem, of which the directory is one layer: an
    /// attribute on an opaque directory, and a character device 0:0, which [`complete`] makes.
    Overlay {
        /// Whether the overlay is mounted with `userxattr`: the attribute is then
        /// `user.overlay.opaque` instead of `trusted.overlay.opaque`.
        user_xattr: bool,
    },
}

/// A row of ids that become others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdRange {
    /// The first id in the archive.
    pub inside: u32,
    /// The first id on disk.
    pub outside: u32,
    /// How many there are.
    pub length: u32,
}

/// Whom the files belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// The owners that the archive names.
    Keep,
    /// The owners that the archive names, moved; an id in no range is [`LayerError::Unmapped`].
    Map {
        /// Ranges of users.
        users: Vec<IdRange>,
        /// Ranges of groups.
        groups: Vec<IdRange>,
    },
    /// The caller; [`Applied::foreign_owners`] counts what should belong to someone else than 0:0.
    Caller,
}

/// What becomes of character and block devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Devices {
    /// They are made, for which the kernel demands a privilege.
    Keep,
    /// They are left out and counted.
    Skip,
}

/// How a layer is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apply {
    /// How whiteouts are carried out.
    pub whiteouts: Whiteouts,
    /// Whom the files belong to.
    pub owners: Owners,
    /// What becomes of devices.
    pub devices: Devices,
    /// The algorithms of the DiffIds that are computed, the base first; sha256 where none is named.
    pub algorithms: Vec<Algorithm>,
}

impl Apply {
    /// Everything as the archive says: what root does.
    pub fn faithful(whiteouts: Whiteouts) -> Self {
        Self { whiteouts, owners: Owners::Keep, devices: Devices::Keep, algorithms: Vec::new() }
    }

    /// What an ordinary user can do: everything belongs to the caller, devices are left out.
    pub fn ordinary(whiteouts: Whiteouts) -> Self {
        Self { whiteouts, owners: Owners::Caller, devices: Devices::Skip, algorithms: Vec::new() }
    }
}

/// What was applied, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The layers as they were read. Until their digests are compared with what was announced, the
    /// tree is nothing but staged.
    pub layers: Vec<Unpacked>,
    /// Number of entries, whiteouts included.
    pub entries: u64,
    /// Number of whiteouts and opaque markers.
    pub whiteouts: u64,
    /// Bytes of content written, holes not counted.
    pub written: u64,
    /// With [`Whiteouts::Overlay`]: what only the layers below can decide, for [`complete`]. Hard
    /// links to files that this layer does not have, whiteouts, and the directories that no entry
    /// stands for, the root among them.
    pub later: Vec<Entry>,
    /// With [`Owners::Caller`]: entries of another owner than 0:0.
    pub foreign_owners: u64,
    /// Devices left out, and further names of them.
    pub skipped_devices: u64,
    /// Attributes left out: those that overlay filesystems use internally, and those that the
    /// kernel or the filesystem would not take.
    pub dropped_xattrs: u64,
    /// Entries of a path that the layer had already; the last one counts.
    pub duplicates: u64,
}

/// Applies one layer, packed in any way, to the directory. The layer is read to its end.
///
/// The directory becomes what [`crate::Merged::add`] says of the layer: whiteouts hide only what was
/// there before, wherever in the archive they stand. With [`Whiteouts::Overlay`] the directory holds
/// this layer alone, and [`Applied::later`] says what is still to be made above it.
/// After an error the directory holds some part of the layer and is of no use.
///
/// ```
/// # use corten_layer::{Apply, Entry, EntryKind, Limits, Root, TarWriter, Whiteouts, apply};
/// let mut writer = TarWriter::new(Vec::new());
/// let entry = Entry { size: 2, ..Entry::new(EntryKind::File, "etc/hello") };
/// writer.file(&entry, b"hi".as_slice())?;
/// let layer = writer.finish()?;
///
/// let directory = tempfile::tempdir()?;
/// let root = Root::open(directory.path())?;
/// let how = Apply::ordinary(Whiteouts::Remove);
/// apply(layer.as_slice(), &root, &how, Limits::default())?;
/// assert_eq!(std::fs::read(directory.path().join("etc/hello"))?, b"hi");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn apply(
    packed: impl Read,
    root: &Root,
    how: &Apply,
    limits: Limits,
) -> Result<Applied, LayerError> {
    let mut applying = Applying::new(root, how, limits);
    layer(&mut applying, packed, limits)?;
    applying.finish()
}

/// Applies the layers `0..count` of `source` over each other to an empty directory: the plain tree
/// that [`crate::Merged`] describes. [`Limits::entries`] and
/// [`Limits::image`] bound what they bring together.
///
/// [`Whiteouts::Overlay`] makes no sense for a stack; whiteouts are always carried out.
pub fn unpack(
    source: &mut dyn LayerSource,
    count: usize,
    root: &Root,
    how: &Apply,
    limits: Limits,
) -> Result<Applied, LayerError> {
    let how = Apply { whiteouts: Whiteouts::Remove, ..how.clone() };
    let mut applying = Applying::new(root, &how, limits);
    for number in 0..count {
        let packed = source.open(number).map_err(LayerError::from_io)?;
        let before = applying.report.layers.iter();
        let before = before.fold(0_u64, |sum, layer| sum.saturating_add(layer.unpacked_size));
        let done = layer(&mut applying, packed, limits.after(before));
        done.map_err(|error| limits.named(error))?;
    }
    applying.finish()
}

fn layer(applying: &mut Applying<'_>, packed: impl Read, limits: Limits) -> Result<(), LayerError> {
    let number = applying.report.layers.len();
    let diff_id = applying.how.algorithms.get(number).copied().unwrap_or(Algorithm::Sha256);
    let mut reader = LayerReader::with_algorithm(packed, limits, diff_id)?;
    while let Some(entry) = reader.next_entry()? {
        applying.entry(&entry, &mut reader)?;
    }
    let unpacked = reader.finish()?;
    applying.end_layer(unpacked)
}
