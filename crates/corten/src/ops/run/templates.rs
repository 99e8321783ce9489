//! Files of an image that are rendered again with other values when a container starts. The image is anybody's:
//! paths are followed inside of it alone, and only files that are there are written.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use corten_project::{MAX_START, ProjectValues, START_FILE, StartFile};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use serde_json::{Map, Value};

use super::told;
use crate::ops::apart;

/// Renders what the image in `rootfs` says is rendered at a start.
pub(in crate::ops) fn render(rootfs: &Path, values: &Map<String, Value>) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(rootfs, flags, Mode::empty())?;
    let start = match file(&root, START_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(io::Error::other(
                "--set: the image has no templates that are rendered at its start",
            ));
        }
        found => found?,
    };
    let mut text = String::new();
    let mut start = reopened(&start, OFlags::RDONLY)?.take(MAX_START as u64 + 1);
    start.read_to_string(&mut text)?;
    let start = StartFile::parse(&text).map_err(told)?;
    let rendering = start.rendering(&ProjectValues::of(values.clone()));
    let rendered = apart::render(&rendering).map_err(io::Error::other)?;
    for (path, text) in start.files(&rendered).map_err(told)? {
        let wrong = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
        let target = file(&root, &path).map_err(wrong)?;
        let mut target = reopened(&target, OFlags::WRONLY | OFlags::TRUNC).map_err(wrong)?;
        target.write_all(text.as_bytes()).map_err(wrong)?;
    }
    Ok(())
}

/// A regular file inside the root: what else is there is not even opened.
fn file(root: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(root, path, flags, Mode::empty(), inside)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
    if kind == FileType::RegularFile { Ok(found) } else { Err(io::Error::other("is no file")) }
}

fn reopened(found: &OwnedFd, flags: OFlags) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?.into())
}
