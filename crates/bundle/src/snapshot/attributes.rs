//! The extended attributes of a path, links not followed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rustix::io::Errno;

/// Largest value of an attribute, and longest list of their names, that the kernel hands out.
const MAX_XATTR: usize = 64 * 1024;

/// Attributes by name.
pub(super) type Named = BTreeMap<Vec<u8>, Vec<u8>>;

/// All of them; none on a file system without.
pub(super) fn attributes(path: &Path) -> io::Result<Named> {
    let mut list = vec![0; MAX_XATTR];
    let length = match rustix::fs::llistxattr(path, list.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let mut all = Named::new();
    for name in list.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        if name.is_empty() {
            continue;
        }
        let mut value = vec![0; MAX_XATTR];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice())?;
        value.truncate(length);
        all.insert(name.to_vec(), value);
    }
    Ok(all)
}
