//! The files of `/etc` that tell a container its names: hosts, hostname, resolv.conf. They are
//! files of the container's own, bound over those of the image.

use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use corten_run::network::{self, Way};
use corten_store::private;
use oci_spec::runtime::Mount;

use super::options::{Network, RunOptions};

/// Most bytes that are taken over of a file of this machine.
const MAX_FILE: u64 = 1024 * 1024;

/// What every container's hosts file begins with.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Writes the files that are not there yet and gives their mounts.
pub(super) fn mounts(options: &RunOptions, id: &str, directory: &Path) -> io::Result<Vec<Mount>> {
    let etc = directory.join("etc");
    private::make_directories(&etc)?;
    let name = options.hostname.clone().unwrap_or_else(|| default_hostname(id));
    let hosts = match options.network {
        Network::Host => machines(Path::new("/etc/hosts"))?,
        Network::None | Network::Private { .. } => {
            format!("{HOSTS}127.0.1.1\t{name}\n").into_bytes()
        }
    };
    let resolv = match options.network {
        Network::None => Vec::new(),
        Network::Host => machines(Path::new("/etc/resolv.conf"))?,
        Network::Private { .. } => network::resolv_conf(Way::Auto).into_bytes(),
    };
    let files =
        [("hostname", format!("{name}\n").into_bytes()), ("hosts", hosts), ("resolv.conf", resolv)];
    let mut mounts = Vec::new();
    for (file, content) in files {
        let (path, target) = (etc.join(file), format!("/etc/{file}"));
        if options.mounts.iter().any(|mount| mount.target == target) {
            continue;
        }
        // What the container wrote there stays over its restarts.
        if !path.exists() {
            private::write(&path, &content)?;
            // The container's users read it; the directory above keeps those of the machine away.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        }
        let mut mount = Mount::default();
        mount.set_destination(PathBuf::from(target)).set_typ(Some("bind".to_owned()));
        mount.set_source(Some(path));
        let access = if options.read_only { "ro" } else { "rw" };
        let words = ["bind", "rprivate", "nosuid", "nodev", "noexec", access];
        mount.set_options(Some(words.map(str::to_owned).to_vec()));
        mounts.push(mount);
    }
    Ok(mounts)
}

/// The host name where none is asked for: the beginning of the id.
pub(super) fn default_hostname(id: &str) -> String {
    id.chars().take(12).collect()
}

/// A file of this machine; nothing, where it has none.
fn machines(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => {
            opened?.take(MAX_FILE).read_to_end(&mut bytes)?;
        }
    }
    Ok(bytes)
}
