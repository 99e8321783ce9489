//! What the program does before each start: mount the root file system, write the config.

use crate::error::{Doing, Result, RunError};
use crate::place::{Place, read_bounded};
use crate::pod::holder;
use crate::{Container, Containers, Pod};
use oci_spec::runtime::Spec;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Makes a container's bundle ready for a start.
///
/// `directory` is the container's own. Before each start, [`Prepare::prepare`] mounts the root file system
/// at `directory/bundle/rootfs` and writes `directory/bundle/config.json`; the upper and the work directory
/// of an overlay stand in `directory/upper` and `directory/work`. It runs in a thread with a mount
/// namespace of its own: what is mounted lives until the container's last process, and no kill leaks it.
pub trait Prepare: Sync {
    /// Mounts and writes. What takes long asks `is_unwanted` again and again, and fails where it says yes: nobody
    /// waits for the container any more.
    fn prepare(
        &self,
        container: &Container,
        directory: &Path,
        is_unwanted: &(dyn Fn() -> bool + Sync),
    ) -> io::Result<()>;

    /// Told between each creation and its start, when the first process `pid` waits in its namespaces: for
    /// a network, say. The descriptors are held until the container ends.
    fn created(
        &self,
        container: &Container,
        directory: &Path,
        pid: u32,
    ) -> io::Result<Vec<OwnedFd>> {
        let _ = (container, directory, pid);
        Ok(Vec::new())
    }

    /// Told after each end that nothing of the container's runs any more, also where it did not start;
    /// nobody tells it when the watching process is killed.
    fn settle(&self, container: &Container, directory: &Path) {
        let _ = (container, directory);
    }
}

/// What the program does for what the members of a pod share.
pub trait Hold: Sync {
    /// Told when the namespaces of the pod are made, of which the process `pid` has one each, and before any
    /// member starts: for a network, say. It runs outside of them. The descriptors are held until the end.
    fn held(&self, pod: &Pod, pid: u32) -> io::Result<Vec<OwnedFd>> {
        let _ = (pod, pid);
        Ok(Vec::new())
    }

    /// Told before the namespaces are let go; nobody tells it when the process that holds them is killed.
    fn released(&self, pod: &Pod) {
        let _ = pod;
    }
}

impl Hold for Prepared {}

/// For bundles that are whole when they are created: their `config.json` and their `rootfs` are plain files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prepared;

impl Prepare for Prepared {
    fn prepare(&self, _: &Container, _: &Path, _: &(dyn Fn() -> bool + Sync)) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `act` in a thread with mounts of its own.
pub(crate) fn apart<T: Send>(act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let apart = || {
        corten_engine::private_mounts()
            .map_err(io::Error::other)
            .doing(|| "keep the mounts of a start apart".to_owned())?;
        act()
    };
    std::thread::scope(|scope| {
        let died = || io::Error::other("the thread that prepares a start died");
        let ended = scope.spawn(apart).join();
        ended.unwrap_or_else(|_| Err(died()).doing(|| "prepare a start".to_owned()))
    })
}

/// Prepares, and reads the config that came of it.
pub(crate) fn prepared(
    prepare: &dyn Prepare,
    container: &Container,
    containers: &Containers,
    is_unwanted: &(dyn Fn() -> bool + Sync),
) -> Result<Spec> {
    let preparing = || format!("prepare container {}", container.id);
    let place = containers.place(&container.id);
    prepare.prepare(container, &place.dir, is_unwanted).doing(preparing)?;
    if let Some(pod) = &container.asked.pod {
        holder::share(containers, pod, &place)?;
    }
    let spec = config(&place)?;
    let terminal = spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false);
    if terminal == container.asked.terminal {
        return Ok(spec);
    }
    let wrong = io::Error::new(
        io::ErrorKind::InvalidData,
        format!("process.terminal of its config is {terminal}, which was not asked for"),
    );
    Err(wrong).doing(preparing)
}

/// The config of the last start.
pub(crate) fn config(place: &Place) -> Result<Spec> {
    let path = place.bundle().join("config.json");
    let bytes = read_bounded(&path).doing(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|source| RunError::Damaged { path, source })
}
