//! Files that a process is told things by and that are in no layer: its names, and programs that stand in the Dockerfile.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use corten_run::network::{self, Way};
use oci_spec::runtime::Mount as RuntimeMount;

use crate::error::{Result, failed};
use crate::mounts::bound;
use crate::request::StepNetwork;
use crate::rootfs::make;

/// The host name of every step, as BuildKit has it: files that hold it are the same.
pub(crate) const HOSTNAME: &str = "buildkitsandbox";
/// What every hosts file begins with.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
/// Where here-documents that are programs stand.
pub(crate) const SCRIPTS: &str = "/dev/pipes";

/// The files of `/etc` that tell a process its names: bound over those of the stage, and never in its layer.
pub(crate) fn files(room: &Path, network: StepNetwork) -> Result<Vec<RuntimeMount>> {
    let etc = room.join("etc");
    make(&etc)?;
    let machines = |path: &str| std::fs::read(path).unwrap_or_default();
    let hosts = match network {
        StepNetwork::Host => machines("/etc/hosts"),
        _ => format!("{HOSTS}127.0.1.1\t{HOSTNAME}\n").into_bytes(),
    };
    let resolv = match network {
        StepNetwork::None => Vec::new(),
        StepNetwork::Host => machines("/etc/resolv.conf"),
        StepNetwork::Private => network::resolv_conf(Way::Auto).into_bytes(),
    };
    let mut mounts = Vec::new();
    for (name, content) in [("hosts", hosts), ("resolv.conf", resolv)] {
        let path = etc.join(name);
        write_mode(&path, &content, 0o644)?;
        mounts.push(bound(&path, &format!("/etc/{name}"), false));
    }
    Ok(mounts)
}

/// A here-document that is a program.
pub(crate) fn script(room: &Path, name: &str, data: &str) -> Result<RuntimeMount> {
    let path = room.join("script");
    write_mode(&path, data.as_bytes(), 0o755)?;
    Ok(bound(&path, &format!("{SCRIPTS}/{name}"), true))
}

fn write_mode(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    std::fs::write(path, content).map_err(failed(path.display(), "writing"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(failed(path.display(), "change of mode"))
}
