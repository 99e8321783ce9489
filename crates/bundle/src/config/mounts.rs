//! The mounts of a container: those that every program expects, and the caller's.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{LinuxDeviceType, Mount};
use serde_json::json;

use super::error::{Result, RuntimeConfigError};
use super::explain::{Said, Trace};
use super::overrides::{Host, Identities, Overrides, Space};

/// Size of `/dev/shm` in bytes.
const SHM_SIZE: u64 = 64 << 20;

/// Every mount, parents before what is in them. One of the caller's at the place of a default one stands
/// in for it; one at `/dev` for all default ones below it too.
pub(super) fn mounts(overrides: &Overrides, host: &Host, trace: &mut Trace) -> Result<Vec<Mount>> {
    let mut all: Vec<(Mount, Said)> = Vec::new();
    let places: Vec<PathBuf> = overrides.mounts.iter().map(destination).collect::<Result<_>>()?;
    let taken = |place: &Path| {
        places
            .iter()
            .any(|own| own == place || (own == Path::new("/dev") && place.starts_with(own)))
    };
    for mount in defaults(overrides, host)? {
        if !taken(mount.destination()) {
            all.push((mount, Said::Default));
        }
    }
    for (mount, place) in overrides.mounts.iter().zip(&places) {
        if places.iter().filter(|other| *other == place).count() > 1 {
            return Err(refused(mount, "something else is mounted there"));
        }
        let mut mount = mount.clone();
        mount.set_destination(place.clone());
        all.push((mount, Said::Flag));
    }
    if host.identities == Identities::Namespace {
        all.extend(device_mounts(overrides).map(|mount| (mount, Said::Flag)));
    }
    all.sort_by_key(|(mount, _)| mount.destination().components().count());
    for (mount, source) in &all {
        let field = format!("mounts[{}]", mount.destination().display());
        let source_path = mount.source().as_deref().map(Path::display).map(|path| path.to_string());
        let value = json!({"type": mount.typ(), "source": source_path, "options": mount.options()});
        trace.tell(&field, value, *source);
    }
    Ok(all.into_iter().map(|(mount, _)| mount).collect())
}

fn destination(mount: &Mount) -> Result<PathBuf> {
    let given = mount.destination();
    if !given.is_absolute() {
        return Err(refused(mount, "the place is not absolute"));
    }
    let mut clean = PathBuf::from("/");
    for part in given.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => return Err(refused(mount, "the place leads up with '..'")),
            _ => {}
        }
    }
    if clean == Path::new("/") {
        return Err(refused(mount, "the root is the image"));
    }
    Ok(clean)
}

fn refused(mount: &Mount, reason: &'static str) -> RuntimeConfigError {
    let destination = mount.destination().display().to_string();
    RuntimeConfigError::Mount { destination, reason }
}

fn defaults(overrides: &Overrides, host: &Host) -> Result<Vec<Mount>> {
    let nested = host.identities == Identities::Namespace;
    let access = if overrides.privileged { "rw" } else { "ro" };
    let shm = overrides.shm_size.unwrap_or(SHM_SIZE);
    if shm == 0 {
        return Err(RuntimeConfigError::Limit {
            field: "mounts[/dev/shm]",
            value: "0".to_owned(),
            reason: "a size of 0 would be no limit at all",
        });
    }
    let shm = format!("size={shm}");
    let plain = ["nosuid", "noexec", "nodev"];
    // For what is bound with all that is mounted there.
    let below = ["rnosuid", "rnoexec", "rnodev"];
    let mut mounts = vec![
        match overrides.pid {
            // The kernel shows the processes of a namespace only to who owns it.
            Space::Host if nested => bound("/proc", &[&plain[..], &["rbind"], &below].concat()),
            _ => fresh("/proc", "proc", "proc", &plain),
        },
        fresh("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        fresh("/dev/pts", "devpts", "devpts", &terminals(nested)),
    ];
    mounts.push(match overrides.network {
        // So it is with devices of a network.
        Space::Host if nested => {
            let mut options = [&plain[..], &["rbind", "rprivate", access], &below].concat();
            options.extend((access == "ro").then_some("rro"));
            bound("/sys", &options)
        }
        _ => fresh("/sys", "sysfs", "sysfs", &[&plain[..], &[access]].concat()),
    });
    if !nested || host.cgroup_namespace {
        let options = [&plain[..], &["relatime", access]].concat();
        mounts.push(fresh("/sys/fs/cgroup", "cgroup", "cgroup", &options));
    }
    if overrides.ipc == Space::Host {
        // Names in shared memory mean what they mean to the others that use it.
        mounts.push(bound("/dev/mqueue", &[&plain[..], &["rbind"], &below].concat()));
        mounts.push(bound("/dev/shm", &[&plain[..], &["rbind"], &below].concat()));
    } else {
        mounts.push(fresh("/dev/mqueue", "mqueue", "mqueue", &plain));
        let options = [&plain[..], &["mode=1777", &shm]].concat();
        mounts.push(fresh("/dev/shm", "tmpfs", "shm", &options));
    }
    Ok(mounts)
}

fn terminals(nested: bool) -> Vec<&'static str> {
    let mut options = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if !nested {
        // The group of terminals in the distributions; it need not be mapped in a user namespace.
        options.push("gid=5");
    }
    options
}

fn fresh(place: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    mount(place, kind, Path::new(source), options)
}

fn bound(place: &str, options: &[&str]) -> Mount {
    mount(place, "bind", Path::new(place), options)
}

fn mount(place: &str, kind: &str, source: &Path, options: &[&str]) -> Mount {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(place))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.to_owned()))
        .set_options(Some(options));
    mount
}

/// Devices as mounts, where they cannot be made.
fn device_mounts(overrides: &Overrides) -> impl Iterator<Item = Mount> {
    let nodes = overrides.devices.iter().filter(|grant| grant.node.typ() != LinuxDeviceType::P);
    nodes.map(|grant| {
        let access = if grant.access.contains('w') { "rw" } else { "ro" };
        let options = ["bind", "nosuid", "noexec", access];
        let mut bind = mount("/", "bind", &grant.source, &options);
        bind.set_destination(grant.node.path().clone());
        bind
    })
}
