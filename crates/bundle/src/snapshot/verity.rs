//! fs-verity: a file whose content the kernel holds against a tree of hashes at every read, and lets nobody change
//! (kernel documentation, filesystems/fsverity.rst). ext4 made with `-O verity`, btrfs and f2fs have it.

use std::fs::File;
use std::io;
use std::path::Path;

use composefs_ioctls::fsverity::{MeasureVerityError, fs_ioc_enable_verity, fs_ioc_measure_verity};
use rustix::io::Errno;

/// `FS_VERITY_HASH_ALG_SHA256` of linux/fsverity.h.
const SHA256: u8 = 1;
/// Bytes under one hash.
const BLOCK: u32 = 4096;

/// Has the kernel guard the content of a file from now on, where it and the file system can: it reads the file once.
/// Where it cannot, as with a full disk or while somebody has the file open for writing, the file stays as it is.
pub(super) fn guard(path: &Path) {
    if let Ok(file) = File::open(path) {
        // What guards a file is asked of the file.
        let _ = fs_ioc_enable_verity(file, SHA256, BLOCK);
    }
}

/// Tries whether the kernel guards files in a directory.
pub fn guards_files(directory: &Path) -> bool {
    // The file is open for writing no longer when it is guarded.
    let path =
        tempfile::NamedTempFile::new_in(directory).map(tempfile::NamedTempFile::into_temp_path);
    path.is_ok_and(|path| {
        guard(&path);
        measure(&path).is_ok_and(|root| root.is_some())
    })
}

/// The root of the hashes of a guarded file, as `verity sha256:HEX`.
pub(super) fn measure(path: &Path) -> io::Result<Option<String>> {
    match fs_ioc_measure_verity::<32>(File::open(path)?, SHA256) {
        Ok(root) => {
            let hex: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(Some(format!("verity sha256:{hex}")))
        }
        Err(MeasureVerityError::VerityMissing | MeasureVerityError::FilesystemNotSupported) => {
            Ok(None)
        }
        Err(MeasureVerityError::Io(error)) => match Errno::from_io_error(&error) {
            Some(Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
            _ => Err(error),
        },
        Err(error) => Err(io::Error::other(error)),
    }
}
