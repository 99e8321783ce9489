//! How a container tells the service manager of its runtime that it is ready (sd_notify(3)).
//!
//! ```text
//! program ── READY=1 ──► /run/notify/notify.sock = ROOT/ID/notify/notify.sock ──► who started it ──► $NOTIFY_SOCKET
//! ```
//!
//! The container has a directory of its own for the socket and never the manager's: what it says is read here, and only
//! that it is ready is passed on.

use crate::Engine;
use crate::error::{Doing, Result};
use crate::life;
use crate::record::{Access, Room};
use oci_spec::runtime::{Mount, Spec};
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The directory in that of the state.
const DIRECTORY: &str = "notify";
/// Where the container sees it.
const INSIDE: &str = "/run/notify";
/// The socket in it.
const SOCKET: &str = "notify.sock";
/// The most bytes of one message.
const MESSAGE: usize = 4096;

/// Makes the directory, and gives the container a mount of it and the variable that names the socket.
pub(crate) fn prepare(room: &Room, spec: &mut Spec) -> Result<()> {
    let making = || "make the directory of the socket for readiness".to_owned();
    let directory = room.path.join(DIRECTORY);
    // Closed for others by the directory above it; inside, any user of the container may speak.
    std::fs::DirBuilder::new().mode(0o700).create(&directory).doing(making)?;
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&directory, everybody).doing(making)?;
    let source = std::fs::canonicalize(&directory).doing(making)?;
    let mut mount = Mount::default();
    // Who may write to a socket needs no place to write to: it is the machine's.
    let options =
        ["bind", "private", "ro", "nosuid", "nodev", "noexec"].map(str::to_owned).to_vec();
    mount
        .set_destination(INSIDE.into())
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(source))
        .set_options(Some(options));
    spec.mounts_mut().get_or_insert_default().push(mount);
    if let Some(process) = spec.process_mut() {
        let env = process.env_mut().get_or_insert_default();
        env.retain(|pair| !pair.starts_with("NOTIFY_SOCKET="));
        env.push(format!("NOTIFY_SOCKET={INSIDE}/{SOCKET}"));
    }
    Ok(())
}

/// Hears whether a container that was started is ready.
#[derive(Debug)]
pub struct Readiness {
    socket: UnixDatagram,
    process: OwnedFd,
}

/// Lets the first process of a created container become its program, as [`crate::start`] does. A container that was
/// created to tell when it is ready is heard from then on.
pub fn start_listening(engine: &Engine, id: &str) -> Result<Option<Readiness>> {
    let readiness = listen(engine, id)?;
    life::start(engine, id)?;
    Ok(readiness)
}

fn listen(engine: &Engine, id: &str) -> Result<Option<Readiness>> {
    let room = Room::open(&engine.root, id, Access::Look)?;
    if !room.path.join(DIRECTORY).is_dir() {
        return Ok(None);
    }
    let Some(process) = room.hold(&room.load()?)? else { return Ok(None) };
    let making = || format!("make the socket for the readiness of container {id}");
    let path = room.short_path(DIRECTORY).join(SOCKET);
    let socket = UnixDatagram::bind(&path).doing(making)?;
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(Path::new(&path), everybody).doing(making)?;
    Ok(Some(Readiness { socket, process }))
}

impl Readiness {
    /// Waits until the container says that it is ready, or ends; `false` then.
    pub fn wait(&self) -> Result<bool> {
        let hearing = || "hear whether the container is ready".to_owned();
        loop {
            let mut both = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::new(&self.process, PollFlags::IN),
            ];
            rustix::io::retry_on_intr(|| poll(&mut both, None)).doing(hearing)?;
            let [said, ended] = both.map(|one| !one.revents().is_empty());
            if said {
                let mut message = [0; MESSAGE];
                let length = self.socket.recv(&mut message).doing(hearing)?;
                let text =
                    String::from_utf8_lossy(message.get(..length).unwrap_or_default()).into_owned();
                if text.lines().any(|line| line == "READY=1") {
                    return Ok(true);
                }
            } else if ended {
                return Ok(false);
            }
        }
    }
}
