//! The rules that layers are held to, each a code that validation can report.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! rules {
    ($($(#[doc = $doc:literal])* $name:ident, $code:literal, $text:literal;)*) => {
        /// A rule that an archive, or the layer in it, breaks. `TarReader` refuses on those of the
        /// archive; those of the layer are found by [`crate::audit`] and [`crate::Merged`].
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[non_exhaustive]
        pub enum LayerRule { $($(#[doc = $doc])* $name,)* }

        impl LayerRule {
            /// Every rule.
            pub const ALL: &[LayerRule] = &[$(Self::$name,)*];

            /// A stable code in kebab case.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

rules! {
    /// Neither the unsigned nor the signed sum of the header's bytes is the one it states.
    Checksum, "checksum", "the header checksum is wrong";
    /// The magic is neither of POSIX nor of GNU, and readers differ in what the prefix field is.
    Dialect, "dialect", "the header mixes two tar dialects";
    /// A number is malformed, negative where it may not be, or too large.
    Number, "number", "a number in the header is malformed, negative or too large";
    /// The PAX size and the header size are both given and differ (CVE-2025-62518 and
    /// CVE-2026-33055).
    SizeMismatch, "size-mismatch", "the PAX size contradicts the size in the header";
    /// A link, directory, device or FIFO states a size: readers differ in whether content follows.
    SizeOnLink, "size-on-link", "an entry that has no content states a size";
    /// A GNU long name or link and PAX records describe the same entry.
    MixedExtensions, "mixed-extensions", "GNU long names and PAX records describe the same entry";
    /// Two extension headers of one kind precede one entry.
    RepeatedExtension, "repeated-extension", "an extension header is given twice for one entry";
    /// The archive ends after an extension header.
    DanglingExtension, "dangling-extension", "an extension header is followed by no entry";
    /// A PAX record is not `length key=value` with a newline at its end.
    PaxRecord, "pax-record", "a PAX record is malformed";
    /// One PAX key is given twice with two values.
    PaxContradiction, "pax-contradiction", "two PAX records contradict each other";
    /// A global PAX header sets what some readers apply and some do not.
    GlobalRecord, "global-record", "a global PAX header changes entries";
    /// A name has a NUL byte inside.
    NulInName, "nul-in-name", "a name contains a NUL byte";
    /// An entry or a link target has no name.
    EmptyName, "empty-name", "the entry or its link target has no name";
    /// The type flag is none that every reader knows.
    UnknownType, "unknown-type", "the entry is of an unknown type";
    /// A regular file's name ends with a slash: some readers make it a directory.
    SlashOnFile, "slash-on-file", "the name of a file ends with a slash";
    /// The map of a sparse file is malformed or does not fit its sizes.
    SparseMap, "sparse-map", "the map of a sparse file is malformed";
    /// One zero block stands between entries: some readers stop there.
    LoneZeroBlock, "lone-zero-block", "a single zero block stands between entries";
    /// Something follows the end of the archive.
    TrailingGarbage, "trailing-garbage", "something other than zeros follows the end of the archive";
    /// Two zero blocks are missing at the end (tolerated by readers).
    MissingEnd, "missing-end", "the end-of-archive marker is missing";

    /// The compression is not the announced one (image-spec `media-types.md`).
    CompressionMismatch, "compression-mismatch", "the content is not compressed as announced";
    /// The compressed stream is damaged or cut.
    CompressedStream, "compressed-stream", "the compressed stream is damaged or cut";
    /// The archive ends inside an entry.
    Truncated, "truncated", "the archive ends inside an entry";
    /// A named limit was passed; what lies beyond was not looked at.
    LimitExceeded, "limit-exceeded", "a limit of the reader is exceeded";
    /// The same path twice in one layer (image-spec `layer.md`, Change Types).
    DuplicatePath, "duplicate-path", "the path occurs twice in the layer";
    /// The path begins with a slash.
    AbsolutePath, "absolute-path", "the path is absolute";
    /// The path has a `..` in it.
    ParentPath, "parent-path", "the path contains '..'";
    /// The file name is `.wh.` and nothing more (image-spec `layer.md`, Whiteouts).
    BareWhiteout, "bare-whiteout", "a whiteout names nothing";
    /// The whiteout hides `.` or `..`.
    WhiteoutOfDot, "whiteout-of-dot", "a whiteout names '.' or '..'";
    /// A whiteout has content (image-spec `layer.md`: whiteout files are empty).
    WhiteoutNotEmpty, "whiteout-not-empty", "a whiteout has content";
    /// A whiteout is no regular file.
    WhiteoutNotRegular, "whiteout-not-regular", "a whiteout is not a regular file";
    /// A name begins with `.wh..wh.` and is not the opaque marker: a remnant of AUFS.
    ReservedWhiteout, "reserved-whiteout", "the name is reserved by the whiteout format";
    /// A name begins with `.wh.` where a root filesystem is packed: it would hide another file.
    WhiteoutName, "whiteout-name", "the name of the file would make it a whiteout";
    /// A hard link names a path that no entry before it has.
    HardlinkTarget, "hardlink-target", "a hard link names a file that is not there";
    /// A hard link names a directory.
    HardlinkToDirectory, "hardlink-to-directory", "a hard link names a directory";
    /// A sparse file (image-spec `layer.md`: sparse files SHOULD NOT be used).
    SparseEntry, "sparse-entry", "a sparse file, which few readers support";
    /// An attribute that overlay filesystems use internally.
    OverlayXattr, "overlay-xattr", "an extended attribute is reserved by overlay filesystems";
    /// A character device 0:0. The image-spec knows whiteouts by their names alone (`layer.md`,
    /// Whiteouts), but an overlay filesystem takes this device for one, so that the same layer
    /// would be two trees.
    WhiteoutDevice, "whiteout-device", "a character device 0:0, which overlay filesystems take for a whiteout";
    /// The parent of the entry is a file or a symbolic link of the same layer.
    BelowNonDirectory, "below-non-directory", "the parent of the entry is not a directory";
    /// The entry of the root is no directory.
    RootNotDirectory, "root-not-directory", "the root of the tree is not a directory";
}

impl fmt::Display for LayerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
