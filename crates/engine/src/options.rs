//! The words of fstab in a mount's options, sorted into what the kernel takes them for.

use crate::sys::{MountAttributes, Reach};

/// The options of one mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Attributes of the mount itself.
    pub(crate) attributes: MountAttributes,
    /// Attributes of everything below it too.
    pub(crate) recursive: MountAttributes,
    /// `bind` or `rbind` stands there.
    pub(crate) bind: Option<Bind>,
    /// Changes of propagation, in order.
    pub(crate) propagation: Vec<(u64, Reach)>,
    /// What is for the file system: names, some with a value.
    pub(crate) data: Vec<(String, Option<String>)>,
    /// `idmap` or `ridmap` stands there.
    pub(crate) idmap: Option<Reach>,
}

/// Whether a bind mount takes what is mounted below along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// The one mount.
    One,
    /// The tree of mounts.
    Tree,
}

const ATIME: u64 = libc::MOUNT_ATTR__ATIME;

/// An option's word, the bits it sets and the bits it clears.
type Word = (&'static str, u64, u64);

const ATTRIBUTES: &[Word] = &[
    ("ro", libc::MOUNT_ATTR_RDONLY, 0),
    ("rw", 0, libc::MOUNT_ATTR_RDONLY),
    ("nosuid", libc::MOUNT_ATTR_NOSUID, 0),
    ("suid", 0, libc::MOUNT_ATTR_NOSUID),
    ("nodev", libc::MOUNT_ATTR_NODEV, 0),
    ("dev", 0, libc::MOUNT_ATTR_NODEV),
    ("noexec", libc::MOUNT_ATTR_NOEXEC, 0),
    ("exec", 0, libc::MOUNT_ATTR_NOEXEC),
    ("nodiratime", libc::MOUNT_ATTR_NODIRATIME, 0),
    ("diratime", 0, libc::MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", libc::MOUNT_ATTR_NOSYMFOLLOW, 0),
    ("symfollow", 0, libc::MOUNT_ATTR_NOSYMFOLLOW),
    ("noatime", libc::MOUNT_ATTR_NOATIME, ATIME),
    ("atime", libc::MOUNT_ATTR_RELATIME, ATIME),
    ("relatime", libc::MOUNT_ATTR_RELATIME, ATIME),
    ("norelatime", libc::MOUNT_ATTR_STRICTATIME, ATIME),
    ("strictatime", libc::MOUNT_ATTR_STRICTATIME, ATIME),
    ("nostrictatime", libc::MOUNT_ATTR_RELATIME, ATIME),
];

const PROPAGATION: &[(&str, u64)] = &[
    ("private", libc::MS_PRIVATE),
    ("shared", libc::MS_SHARED),
    ("slave", libc::MS_SLAVE),
    ("unbindable", libc::MS_UNBINDABLE),
];

/// Sorts the words. A later word wins over an earlier one.
pub(crate) fn parse(words: &[String]) -> Options {
    let mut options = Options::default();
    for word in words {
        let bare = word.strip_prefix('r').unwrap_or("");
        if let Some(found) = attribute(word) {
            apply(&mut options.attributes, found);
        } else if let Some(found) = attribute(bare) {
            apply(&mut options.recursive, found);
        } else if let Some(kind) = propagation(word) {
            options.propagation.push((kind, Reach::One));
        } else if let Some(kind) = propagation(bare) {
            options.propagation.push((kind, Reach::Tree));
        } else {
            parse_rest(word, &mut options);
        }
    }
    options
}

fn parse_rest(word: &str, options: &mut Options) {
    match word {
        "bind" => options.bind = Some(options.bind.unwrap_or(Bind::One)),
        "rbind" => options.bind = Some(Bind::Tree),
        "idmap" => options.idmap = Some(Reach::One),
        "ridmap" => options.idmap = Some(Reach::Tree),
        // Words for tools at boot, and the name of the default.
        "" | "defaults" | "auto" | "noauto" | "user" | "nouser" | "async" | "loud" => {}
        other => match other.split_once('=') {
            Some((name, value)) => options.data.push((name.to_owned(), Some(value.to_owned()))),
            None => options.data.push((other.to_owned(), None)),
        },
    }
}

fn attribute(word: &str) -> Option<(u64, u64)> {
    ATTRIBUTES.iter().find(|(name, _, _)| *name == word).map(|(_, set, clear)| (*set, *clear))
}

/// The kind of propagation that a word names.
pub(crate) fn propagation(word: &str) -> Option<u64> {
    PROPAGATION.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
}

fn apply(attributes: &mut MountAttributes, (set, clear): (u64, u64)) {
    attributes.set = attributes.set & !clear | set;
    attributes.clear = attributes.clear & !set | clear;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Options {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_find_their_place_and_the_last_one_wins() {
        let options = parsed(&[
            "rbind",
            "ro",
            "rw",
            "nosuid",
            "rro",
            "rslave",
            "private",
            "size=64k",
            "newinstance",
        ]);
        assert_eq!(options.bind, Some(Bind::Tree));
        assert_eq!(options.attributes.set, libc::MOUNT_ATTR_NOSUID);
        assert_eq!(options.attributes.clear, libc::MOUNT_ATTR_RDONLY);
        assert_eq!(options.recursive.set, libc::MOUNT_ATTR_RDONLY);
        assert_eq!(
            options.propagation,
            [(libc::MS_SLAVE, Reach::Tree), (libc::MS_PRIVATE, Reach::One)]
        );
        assert_eq!(
            options.data,
            [("size".into(), Some("64k".into())), ("newinstance".into(), None)]
        );
    }

    #[test]
    fn a_kind_of_access_time_replaces_another() {
        let options = parsed(&["noatime", "strictatime"]);
        assert_eq!(options.attributes.set, libc::MOUNT_ATTR_STRICTATIME);
        assert_eq!(options.attributes.clear & ATIME, ATIME);
    }
}
