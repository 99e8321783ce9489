//! What `--chown` and `--chmod` say of files that are copied.

use corten_bundle::users::{RootDirectory, find_group, find_user};
use corten_dockerfile::{FileMode, parse_chmod};
use corten_layer::{Entry, EntryKind, Mtime};
use corten_spec::parse_owner_id;

use crate::error::{Result, StepError};
use crate::rootfs::{Ground, Laid};

/// An owner and a mode for everything that is copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) mode: Option<FileMode>,
    /// The time of what is made and was not there before.
    pub(crate) made: Mtime,
}

impl Changes {
    /// Of a stage's layers, in which names are looked up.
    pub(crate) fn read(
        chown: Option<&str>,
        chmod: Option<&str>,
        made: Mtime,
        ground: &Ground<'_>,
        layers: &[Laid],
    ) -> Result<Self> {
        let owner = chown.filter(|text| !text.is_empty());
        let owner = owner.map(|text| owner_of(text, ground, layers)).transpose()?;
        let mode = chmod.filter(|text| !text.is_empty()).map(parse_chmod).transpose();
        let mode = mode.map_err(|error| StepError::Refused(error.to_string()))?;
        Ok(Self { owner, mode, made })
    }

    /// Changes an entry.
    pub(crate) fn apply(&self, entry: &mut Entry) {
        if let Some((uid, gid)) = self.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if entry.kind == EntryKind::Symlink {
            return;
        }
        match &self.mode {
            Some(FileMode::Octal(bits)) => entry.mode = *bits,
            Some(FileMode::Symbolic(text)) => {
                let is_directory = entry.kind == EntryKind::Directory;
                entry.mode = symbolic(entry.mode, text, is_directory);
            }
            None => {}
        }
    }

    /// A directory that is made on the way, or for the contents of another one. A mode in octal digits is its
    /// mode too, but for the special bits; one in letters changes what is there, and this is not.
    pub(crate) fn directory(&self) -> Entry {
        let mut entry = Entry::new(EntryKind::Directory, "");
        entry.mtime = self.made;
        if let Some(FileMode::Octal(bits)) = self.mode {
            entry.mode = bits & 0o777;
        }
        if let Some((uid, gid)) = self.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        entry
    }

    /// The same for what an archive brings, which keeps its modes.
    pub(crate) fn of_archive(&self) -> Self {
        Self { mode: None, ..self.clone() }
    }

    /// How keys have it.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", (self.owner, &self.mode))
    }
}

/// `user[:group]`, each a name or a number. A user alone brings its group: that of the account for a name, the
/// same number for a number.
pub(crate) fn owner_of(text: &str, ground: &Ground<'_>, layers: &[Laid]) -> Result<(u32, u32)> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    for word in [user, group] {
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        if digits && parse_owner_id(word).is_none() {
            return Err(StepError::Refused(format!(
                "the owner {text}: {word} is no user or group"
            )));
        }
    }
    let number = parse_owner_id;
    if let Some(uid) = number(user)
        && let Some(gid) = if group.is_empty() { Some(uid) } else { number(group) }
    {
        return Ok((uid, gid));
    }
    let look = ground.look(layers)?;
    let files = RootDirectory::open(&look.path)
        .map_err(crate::error::failed("the root filesystem", "opening"))?;
    let (uid, mut gid) = match number(user) {
        Some(uid) => (uid, uid),
        None if user.is_empty() => (0, 0),
        None => {
            let found = find_user(user, &files)?;
            (found.uid, found.gid)
        }
    };
    if !group.is_empty() {
        gid = find_group(group, &files)?;
    }
    Ok((uid, gid))
}

/// Carries out `u+x,go=rX` as chmod does; the text was checked.
fn symbolic(mode: u32, text: &str, is_directory: bool) -> u32 {
    let mut mode = mode;
    for change in text.split(',') {
        let who = change.chars().take_while(|c| "ugoa".contains(*c)).collect::<String>();
        let mut rest = change.trim_start_matches(['u', 'g', 'o', 'a']);
        while let Some(operator) = rest.chars().next() {
            let tail = rest.get(1..).unwrap_or_default();
            let what: String = tail.chars().take_while(|c| !"+-=".contains(*c)).collect();
            rest = tail.get(what.len()..).unwrap_or_default();
            for (letter, shift) in [('u', 6), ('g', 3), ('o', 0)] {
                if !(who.contains(letter) || who.contains('a') || who.is_empty()) {
                    continue;
                }
                let bits = bits_of(&what, mode, is_directory, (letter, shift));
                let all = 0o7 << shift | special(letter, is_directory);
                match operator {
                    '+' => mode |= bits,
                    '-' => mode &= !bits,
                    _ => mode = mode & !all | bits,
                }
            }
        }
    }
    mode & 0o7777
}

fn special(letter: char, is_directory: bool) -> u32 {
    match letter {
        // `=` leaves these two of a directory alone.
        'u' if !is_directory => 0o4000,
        'g' if !is_directory => 0o2000,
        _ => 0,
    }
}

fn bits_of(what: &str, mode: u32, is_directory: bool, (letter, shift): (char, u32)) -> u32 {
    what.chars().fold(0, |bits, c| {
        bits | match c {
            'r' => 4 << shift,
            'w' => 2 << shift,
            'x' => 1 << shift,
            'X' if is_directory || mode & 0o111 != 0 => 1 << shift,
            's' if letter == 'u' => 0o4000,
            's' if letter == 'g' => 0o2000,
            't' => 0o1000,
            'u' => (mode >> 6 & 7) << shift,
            'g' => (mode >> 3 & 7) << shift,
            'o' => (mode & 7) << shift,
            _ => 0,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_modes_are_those_of_chmod() {
        for (mode, text, is_directory, expected) in [
            (0o644, "u+x", false, 0o744),
            (0o755, "go=r", false, 0o744),
            (0o644, "a+X", false, 0o644),
            (0o744, "a+X", false, 0o755),
            (0o644, "a+X", true, 0o755),
            (0o777, "go-w,u=rw", false, 0o655),
            (0o600, "g=u", false, 0o660),
            (0o755, "u+s", false, 0o4755),
            (0o755, "+t", true, 0o1755),
            (0o4755, "u=rwx", false, 0o755),
        ] {
            assert_eq!(symbolic(mode, text, is_directory), expected, "{mode:o} {text}");
        }
    }
}
