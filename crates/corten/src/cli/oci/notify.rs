//! Telling the service manager that started this runtime when the container is ready (sd_notify(3)).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use corten_engine::{Engine, Readiness};

use super::{Refused, warn};
use crate::Environment;

/// The socket of the service manager.
pub(super) fn socket(environment: &Environment) -> Option<&str> {
    environment.variable("NOTIFY_SOCKET")
}

/// Starts a container; where it is to tell when it is ready, this waits for its word and passes it on.
pub(super) fn start(engine: &Engine, id: &str, environment: &Environment) -> Result<(), Refused> {
    let readiness = corten_engine::start_listening(engine, id)?;
    let pid = corten_engine::state(engine, id).ok().and_then(|state| *state.pid());
    if let (Some(readiness), Some(socket)) = (readiness, socket(environment)) {
        pass_on(&readiness, socket, pid)?;
    }
    Ok(())
}

/// Waits for the container's word, and passes it on.
pub(super) fn pass_on(
    readiness: &Readiness,
    socket: &str,
    pid: Option<i32>,
) -> Result<(), Refused> {
    if !readiness.wait()? {
        return Ok(());
    }
    let pid = pid.map_or_else(String::new, |pid| format!("MAINPID={pid}\n"));
    if let Err(error) = tell(socket, &format!("{pid}READY=1\n")) {
        // The container runs all the same.
        warn(&format!(
            "the service manager at {socket} does not hear that the container is ready: {error}"
        ));
    }
    Ok(())
}

fn tell(socket: &str, text: &str) -> std::io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address).map(drop)
}
