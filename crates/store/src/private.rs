//! Files and directories that nobody but their owner reads, writes or enters, whatever the umask; and what was
//! left open, closed.
//!
//! A mode is given when a thing is made: there is no moment in which it is open. A umask only takes bits away.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

use crate::beneath::OTHERS;

/// Mode of a directory that is its owner's alone.
const DIRECTORY: u32 = 0o700;
/// Mode of a file that is.
const FILE: u32 = 0o600;
/// The bit by which what is made in a directory gets the directory's group.
const OF_GROUP: u32 = 0o2000;
/// How deep directories are closed; the store's own are less deep.
const MAX_DEPTH: usize = 16;

/// Makes a directory; its parent must be there.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY).create(path)
}

/// Makes a directory and the parents that are missing, which are private, too. One that is there stays as it is.
pub fn make_directories(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY).create(path)
}

/// The mode of such a directory, for whoever makes one with a name of its own.
pub fn of_directories() -> Permissions {
    Permissions::from_mode(DIRECTORY)
}

/// Opens a file for writing that is made where it is missing and is no link; its bytes stay.
pub fn open(path: &Path) -> io::Result<File> {
    opened(path, OpenOptions::new().create(true))
}

/// Makes a file that must not be there.
pub fn create_new(path: &Path) -> io::Result<File> {
    opened(path, OpenOptions::new().create_new(true))
}

/// Writes a file in place of what it held.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    opened(path, OpenOptions::new().create(true).truncate(true))?.write_all(bytes.as_ref())
}

fn opened(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.write(true).mode(FILE).custom_flags(no_follow).open(path)
}

/// How a directory stands to other users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// There is none yet, or it is closed.
    Closed,
    /// Others may do what its mode says.
    Open {
        /// The mode.
        mode: u32,
    },
    /// It is shared with a group on purpose: the group may write, and what is made in it gets that group.
    Shared {
        /// The group.
        group: u32,
    },
    /// It is another user's.
    Foreign {
        /// Whose.
        owner: u32,
    },
}

/// How the directory at `path` stands to everybody who is not the user of this process.
///
/// # Errors
/// Where it cannot be looked at.
pub fn standing(path: &Path) -> io::Result<Standing> {
    let stat = match rustix::fs::stat(path) {
        Err(rustix::io::Errno::NOENT) => return Ok(Standing::Closed),
        found => found?,
    };
    let mode = stat.st_mode & 0o7777;
    Ok(if stat.st_uid != rustix::process::geteuid().as_raw() {
        Standing::Foreign { owner: stat.st_uid }
    } else if mode & OF_GROUP != 0 && mode & 0o020 != 0 {
        Standing::Shared { group: stat.st_gid }
    } else if mode & OTHERS != 0 {
        Standing::Open { mode }
    } else {
        Standing::Closed
    })
}

/// Closes a directory of this user's and what is below it: the directory first, so that nobody comes in
/// meanwhile. What `keeps` names, by its path below the directory, keeps its mode and what is in it. How many
/// were open. What is not this user's is left as it is; links are never followed.
///
/// # Errors
/// Where the directory itself cannot be closed.
pub fn close(path: &Path, keeps: &dyn Fn(&Path) -> bool) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::fchmod(&root, Mode::from_raw_mode(DIRECTORY))?;
    Ok(1 + closed_below(root.as_fd(), PathBuf::new(), keeps, MAX_DEPTH))
}

/// Below a closed directory everything is out of reach already: what cannot be closed is left.
fn closed_below(
    at: BorrowedFd<'_>,
    below: PathBuf,
    keeps: &dyn Fn(&Path) -> bool,
    depth: usize,
) -> u64 {
    let mut count = 0;
    let Ok(entries) = Dir::read_from(at) else { return count };
    for entry in entries.map_while(Result::ok) {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let text = std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes());
        let path = below.join::<&std::ffi::OsStr>(text);
        if keeps(&path) {
            continue;
        }
        // Only named: opening a pipe or a device that somebody planted has effects.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(handle) = rustix::fs::openat(at, name, flags, Mode::empty()) else { continue };
        let Ok(stat) = rustix::fs::fstat(&handle) else { continue };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Symlink || stat.st_uid != rustix::process::geteuid().as_raw() {
            continue;
        }
        if stat.st_mode & OTHERS != 0 {
            let named = format!("/proc/self/fd/{}", handle.as_raw_fd());
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777 & !OTHERS);
            count += u64::from(rustix::fs::chmodat(CWD, named, mode, AtFlags::empty()).is_ok());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if kind == FileType::Directory
            && depth > 0
            && let Ok(inner) = rustix::fs::openat(at, name, flags, Mode::empty())
        {
            count += closed_below(inner.as_fd(), path, keeps, depth - 1);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_made_is_the_owners_alone_from_the_first_moment() {
        let scratch = tempfile::tempdir().unwrap();
        let place = scratch.path();
        make_directories(&place.join("a/b")).unwrap();
        make_directory(&place.join("a/c")).unwrap();
        write(&place.join("a/f"), b"text").unwrap();
        drop((open(&place.join("a/g")).unwrap(), create_new(&place.join("a/h")).unwrap()));
        let mut builder = tempfile::Builder::new();
        let made = builder.permissions(of_directories()).tempdir_in(place).unwrap();
        for directory in ["a", "a/b", "a/c"].map(|name| place.join(name)) {
            assert_eq!(mode(&directory), 0o700, "{directory:?}");
        }
        assert_eq!(mode(made.path()), 0o700);
        for name in ["f", "g", "h"] {
            assert_eq!(mode(&place.join("a").join(name)), 0o600, "{name}");
        }
        symlink("f", place.join("a/link")).unwrap();
        write(&place.join("a/link"), b"through").unwrap_err();
        create_new(&place.join("a/f")).unwrap_err();
    }

    #[test]
    fn a_directory_stands_to_others_as_its_owner_and_mode_say() {
        let scratch = tempfile::tempdir().unwrap();
        let place = scratch.path();
        let group = rustix::process::getegid().as_raw();
        let said = |mode: u32| {
            set(place, mode);
            standing(place).unwrap()
        };
        assert_eq!(said(0o700), Standing::Closed);
        assert_eq!(said(0o2700), Standing::Closed);
        assert_eq!(said(0o711), Standing::Open { mode: 0o711 });
        assert_eq!(said(0o2755), Standing::Open { mode: 0o2755 });
        assert_eq!(said(0o2770), Standing::Shared { group });
        assert_eq!(standing(&place.join("none")).unwrap(), Standing::Closed);
    }

    #[test]
    fn what_was_open_is_closed_but_for_the_trees_of_containers() {
        let scratch = tempfile::tempdir().unwrap();
        let (place, outside) = (scratch.path().join("store"), scratch.path().join("outside"));
        std::fs::create_dir_all(place.join("tree/data")).unwrap();
        std::fs::create_dir_all(place.join("blobs")).unwrap();
        for file in ["blobs/one", "tree/data/su", "tree/note"] {
            std::fs::write(place.join(file), "x").unwrap();
            set(&place.join(file), 0o666);
        }
        std::fs::write(&outside, "x").unwrap();
        set(&outside, 0o666);
        symlink(&outside, place.join("blobs/link")).unwrap();
        for directory in ["", "blobs", "tree", "tree/data"] {
            set(&place.join(directory), 0o777);
        }
        let closed = close(&place, &|path| path.ends_with("data")).unwrap();
        assert_eq!(closed, 5);
        for (name, wanted) in [
            ("", 0o700),
            ("blobs", 0o700),
            ("blobs/one", 0o600),
            ("tree", 0o700),
            ("tree/note", 0o600),
            ("tree/data", 0o777),
            ("tree/data/su", 0o666),
            ("../outside", 0o666),
        ] {
            assert_eq!(mode(&place.join(name)), wanted, "{name}");
        }
    }
}
