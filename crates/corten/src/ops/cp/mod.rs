//! Files into containers and out of them.

mod side;
mod tree;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use corten_bundle::Powers;
use corten_layer::{
    Compression, Entry, EntryKind, Limits, Mtime, PackOptions, Root, TarWriter, Whiteouts, apply,
    pack_directory,
};
use rustix::fs::{Mode, OFlags};
use schemars::JsonSchema;
use serde::Serialize;

use side::{Found, Tree};
use tree::{At, Copier, Tally};

use super::containers::found;
use super::layers::on_thread;
use super::run::{Recipe, told};
use crate::{Context, Failure};

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpEnd {
    /// A path of this machine.
    Machine(PathBuf),
    /// A path in a container: its name, and the path from its root.
    Container(String, PathBuf),
    /// A tar on a standard stream.
    Stream,
}

impl CpEnd {
    /// `CONTAINER:PATH`, `-`, or a path; one with a colon in it has a slash before that.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            _ if text == "-" => Self::Stream,
            Some((name, path))
                if !name.is_empty() && !name.contains('/') && !name.starts_with('.') =>
            {
                Self::Container(name.to_owned(), PathBuf::from(path))
            }
            _ => Self::Machine(PathBuf::from(text)),
        }
    }
}

/// What was copied.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct CpReport {
    /// Files and links; `null` of a stream out of a container.
    pub files: Option<u64>,
    /// Bytes of files; `null` of a stream out of a container.
    pub bytes: Option<u64>,
    /// Names of what is neither file nor directory nor link, and was left out.
    pub skipped: Vec<String>,
}

impl From<Tally> for CpReport {
    fn from(tally: Tally) -> Self {
        Self { files: Some(tally.files), bytes: Some(tally.bytes), skipped: tally.skipped }
    }
}

/// What to do at the root of a container.
enum Way {
    Out(PathBuf, CpEnd),
    In(CpEnd, PathBuf),
}

/// Copies into a container or out of it, whether it runs or not. Owners are not kept: what arrives in a
/// container belongs to its root, and what leaves it to the caller. Paths in a container lead nowhere but
/// into its own root filesystem, with what is mounted there while it runs.
pub async fn cp(context: &Context, from: CpEnd, to: CpEnd) -> Result<CpReport, Failure> {
    let (name, way) = match (from, to) {
        (CpEnd::Container(name, path), to @ (CpEnd::Machine(_) | CpEnd::Stream)) => {
            (name, Way::Out(path, to))
        }
        (from @ (CpEnd::Machine(_) | CpEnd::Stream), CpEnd::Container(name, path)) => {
            (name, Way::In(from, path))
        }
        _ => {
            let text =
                "one of the two is CONTAINER:PATH, the other one a path here, or - for a tar";
            return Err(Failure::Usage(text.to_owned()));
        }
    };
    let (containers, id) = found(context, &name)?;
    let listed = corten_run::inspect(&containers, &id)?;
    let (here, powers, directory) = (context.here(), context.powers(), containers.directory(&id));
    let object = format!("container {id}");
    let shown = object.clone();
    let work = move || -> io::Result<CpReport> {
        let root = match listed.status.pid {
            Some(pid) => PathBuf::from(format!("/proc/{pid}/root")),
            None => {
                corten_engine::private_mounts().map_err(told)?;
                Recipe::of(&listed.container)?.mount(&directory, powers)?
            }
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&root, flags, Mode::empty())?;
        at_root(&root, &way, &here, powers)
    };
    on_thread("the copy", move || {
        // A thread of its own has mounts of its own, which end with it.
        let done = std::thread::spawn(work).join().map_err(|_| Failure::interrupted(&shown))?;
        done.map_err(|source| match source.kind() {
            // A reader that went away has what it wanted.
            io::ErrorKind::BrokenPipe => {
                Failure::Io { object: "the output".to_owned(), action: "writing", source }
            }
            _ => Failure::Io { object, action: "copying", source },
        })
    })
    .await
}

fn at_root(root: &OwnedFd, way: &Way, here: &Path, powers: Powers) -> io::Result<CpReport> {
    let inside = Tree::Inside(root.as_fd());
    let here = side::opened(here)?;
    let machine = Tree::Machine(here.as_fd());
    match way {
        Way::Out(path, CpEnd::Machine(to)) => {
            let from = inside.source(path)?;
            let to = machine.target(to, from.name())?;
            // Whoever made the image gives nobody here the rights of another user.
            copied(&from, &to, Copier::new(false))
        }
        Way::Out(path, _) => packed(&inside.source(path)?),
        Way::In(CpEnd::Machine(from), path) => {
            let from = machine.source(from)?;
            let to = inside.target(path, from.name())?;
            copied(&from, &to, Copier::new(true))
        }
        Way::In(_, path) => unpacked(&inside.target(path, None)?, powers),
    }
}

fn copied(from: &Found, to: &Found, mut copier: Copier) -> io::Result<CpReport> {
    match (from, to) {
        (Found::Name(from, name), Found::Name(to, target)) => {
            let from = At { directory: from.as_fd(), name };
            copier.copy(from, At { directory: to.as_fd(), name: target }, 0)?;
        }
        (Found::Content(from), Found::Content(to)) => {
            copier.content(from.as_fd(), to.as_fd(), 0)?;
        }
        (Found::Content(from), Found::Name(to, name)) => {
            let mode = Mode::from_raw_mode(0o755);
            rustix::fs::mkdirat(to, name, mode)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let to = rustix::fs::openat(to, name, flags, Mode::empty())?;
            copier.content(from.as_fd(), to.as_fd(), 0)?;
        }
        (Found::Name(..), Found::Content(_)) => {
            return Err(io::Error::other("the target has no name"));
        }
    }
    Ok(copier.done().into())
}

/// Writes a tar of a directory's content, or of one file, to standard output.
fn packed(from: &Found) -> io::Result<CpReport> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match from {
        Found::Content(directory) => directory.try_clone()?,
        Found::Name(directory, name) => rustix::fs::openat(directory, name, flags, Mode::empty())?,
    };
    let stat = rustix::fs::fstat(&opened)?;
    let mut report = CpReport::default();
    match (rustix::fs::FileType::from_raw_mode(stat.st_mode), from.name()) {
        (rustix::fs::FileType::Directory, _) => {
            let path = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
            let options = PackOptions::new(Compression::None);
            let (tree, _) = pack_directory(&path, &options, &mut out).map_err(told)?;
            report.skipped = tree.skipped.iter().map(ToString::to_string).collect();
        }
        (rustix::fs::FileType::RegularFile, Some(name)) => {
            let mut entry = Entry::new(EntryKind::File, name.to_bytes());
            entry.mode = stat.st_mode & 0o7777;
            (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
            entry.mtime = Mtime { seconds: stat.st_mtime, nanos: 0 };
            entry.size = u64::try_from(stat.st_size).unwrap_or_default();
            let mut writer = TarWriter::new(&mut out);
            writer.file(&entry, File::from(opened)).map_err(told)?;
            writer.finish().map_err(told)?;
        }
        _ => return Err(io::Error::other("a tar is made of a directory or of a file")),
    }
    out.flush()?;
    Ok(report)
}

/// Unpacks a tar of standard input into a directory that is there.
fn unpacked(to: &Found, powers: Powers) -> io::Result<CpReport> {
    let Found::Content(directory) = to else {
        return Err(io::Error::other("a tar is unpacked into a directory that is there"));
    };
    let root = Root::from_fd(directory.try_clone()?);
    let limits = Limits::default();
    let done = apply(io::stdin().lock(), &root, &powers.apply(Whiteouts::Remove), limits);
    done.map(|_| CpReport::default()).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_after_a_name_means_a_container() {
        let inside = |name: &str, path: &str| CpEnd::Container(name.to_owned(), path.into());
        assert_eq!(CpEnd::parse("web:/etc/motd"), inside("web", "/etc/motd"));
        assert_eq!(CpEnd::parse("web:etc:motd"), inside("web", "etc:motd"));
        assert_eq!(CpEnd::parse("-"), CpEnd::Stream);
        for path in ["./a:b", "/a:b", "a/b:c", "file", ":x"] {
            assert_eq!(CpEnd::parse(path), CpEnd::Machine(path.into()), "{path}");
        }
    }
}
