//! The binary of the stages, sealed: nothing that runs in a container can change it by way of `/proc`.

use crate::error::{Doing, Result};
use crate::sys::Reach;
use crate::tree;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// How many bytes of the binary are copied at once.
const COPY_BUFFER: usize = 1 << 20;

/// The binary at `path` in a way that `/proc/PID/exe` of its process cannot be opened for writing
/// (CVE-2019-5736). `name` is where a link such as `/proc/self/exe` leads.
pub(crate) fn sealed(path: &Path, name: Option<&Path>) -> Result<OwnedFd> {
    if let Some(mount) = own_mount(name.unwrap_or(path), path)
        && tree::read_only(&mount, Reach::One, "the binary of the stages").is_ok()
    {
        return Ok(mount);
    }
    memory_copy(path)
}

/// A copy of a file in memory that nobody can change: slower, and always possible.
fn memory_copy(path: &Path) -> Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file =
        File::from(rustix::fs::memfd_create("engine", flags).doing(|| "make a memory file")?);
    let mut source = File::open(path).doing(|| format!("open {}", path.display()))?;
    // By hand: pages that the kernel moved over would still be held when the copy is sealed.
    let mut buffer = vec![0_u8; COPY_BUFFER];
    loop {
        let length = source.read(&mut buffer).doing(|| format!("read {}", path.display()))?;
        match buffer.get(..length) {
            None | Some([]) => break,
            Some(bytes) => file.write_all(bytes).doing(|| format!("copy {}", path.display()))?,
        }
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)
        .doing(|| format!("seal the copy of {}", path.display()))?;
    Ok(file.into())
}

/// A detached mount of the binary. It may run from a mount of the namespace that this process came from, so it
/// is looked for once more by its name, and must be the same file.
fn own_mount(name: &Path, own: &Path) -> Option<OwnedFd> {
    let mount = tree::copy_path(name, Reach::One).ok()?;
    let (found, wanted) = (rustix::fs::fstat(&mount).ok()?, rustix::fs::stat(own).ok()?);
    (found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino).then_some(mount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_copy_in_memory_is_whole_and_cannot_be_changed() {
        let copy = memory_copy(Path::new("/proc/self/exe")).unwrap();
        let mut file =
            File::options().read(true).open(format!("/proc/self/fd/{}", copy.as_raw_fd())).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(bytes == std::fs::read("/proc/self/exe").unwrap());
        assert!(File::from(copy).write_all(b"x").is_err());
    }
}
