//! How much of a foreign archive is taken in before it is refused.

use serde::{Deserialize, Serialize};

use crate::LayerError;

/// Bounds on one archive. The defaults are far above every image met in the field and far below
/// what hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most entries of one archive, and of one merged tree.
    pub entries: u64,
    /// Longest path in bytes; the kernel's `PATH_MAX` is 4096.
    pub path: u64,
    /// Longest link target in bytes.
    pub link: u64,
    /// Most components of one path.
    pub depth: u64,
    /// Most bytes of PAX records of one entry.
    pub pax: u64,
    /// Most bytes of extended attributes of one entry, names and values together.
    pub xattrs: u64,
    /// Most bytes of names, link targets, attributes, records and sparse maps of all entries
    /// together: what a list of the entries takes in memory.
    pub metadata: u64,
    /// Most pieces of one sparse file.
    pub extents: u64,
    /// Most bytes of the unpacked archive, and of the files in it with their holes filled.
    pub unpacked: u64,
    /// Most bytes of the unpacked archives of one image together: many layers must not do what one may not.
    pub image: u64,
    /// Most unpacked bytes for one packed byte, beyond [`Limits::RATIO_FLOOR`].
    pub ratio: u64,
}

impl Limits {
    /// Unpacked bytes below which the compression ratio is not looked at: layers of zeros are
    /// legal, and gzip alone reaches 1030 on them.
    pub const RATIO_FLOOR: u64 = 4 << 30;

    /// The limits of the next layer of an image, where those before it have `before` bytes.
    ///
    /// ```
    /// use corten_layer::Limits;
    ///
    /// let limits = Limits { unpacked: 80, image: 100, ..Limits::default() };
    /// assert_eq!(limits.after(0).unpacked, 80);
    /// assert_eq!(limits.after(70).unpacked, 30);
    /// ```
    #[must_use]
    pub fn after(self, before: u64) -> Self {
        Self { unpacked: self.unpacked.min(self.image.saturating_sub(before)), ..self }
    }

    /// The name of a limit, where `text` is one.
    pub(crate) fn named_as(text: &str) -> Option<&'static str> {
        let all = [
            "entries", "path", "link", "depth", "pax", "xattrs", "metadata", "extents", "unpacked",
            "image", "ratio", "window",
        ];
        all.into_iter().find(|name| *name == text)
    }

    /// `error` by its name: a layer that passed less than a layer may have passed [`Limits::image`].
    #[must_use]
    pub fn named(&self, error: LayerError) -> LayerError {
        match error {
            LayerError::Limit { entry, what: "unpacked", limit } if limit < self.unpacked => {
                LayerError::Limit { entry, what: "image", limit: self.image }
            }
            other => other,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            path: 4096,
            link: 4096,
            depth: 256,
            pax: 1 << 20,
            xattrs: 1 << 20,
            metadata: 1 << 29,
            extents: 65_536,
            unpacked: 1 << 40,
            image: 1 << 40,
            ratio: 1100,
        }
    }
}
