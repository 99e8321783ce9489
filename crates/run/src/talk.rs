//! One process of a bundle with the caller's terminal, run to its end without a record of it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use corten_engine::Unwritten;

use crate::console::Console;
use crate::error::{Doing as _, Result};
use crate::front::{self, Front, Interaction};
use crate::once::RUNTIME;
use crate::runtime::{Runtime as _, Wires};
use crate::{ContainerId, ExitStatus, OnceBundle};

/// Runs the process of a bundle, which has a terminal, to its end: the caller's keys, signals and the size of its
/// terminal go there. `created` is told the pid before the start; what it gives is held until the end.
///
/// # Errors
/// Where it cannot be started. However it ends, everything that it started has ended.
pub fn talk_once(
    wanted: OnceBundle<'_>,
    id: &ContainerId,
    created: &mut dyn FnMut(u32) -> io::Result<Vec<OwnedFd>>,
) -> Result<ExitStatus> {
    let root = wanted.directory.join(RUNTIME);
    let native = crate::runtime::native(root.clone());
    let console = Console::listen(&root, id)?;
    // Before the process is there, so that no signal for it is lost.
    let mut front = Front::open(Interaction::Talk)?;
    let env = Unwritten(wanted.env.to_vec());
    let pid = native.create_with(id, wanted.bundle, Wires::Console(console.path()), &env)?;
    let started = created(pid).doing(|| "prepare the start".to_owned()).and_then(|held| {
        front.connect(Some(console.accept(id)?))?;
        native.start(id)?;
        Ok(held)
    });
    let ended = match started {
        Ok(_held) => front.accompany(pid, &|signal| crate::sys::signal(pid, signal)),
        Err(error) => {
            // The first error is the one to tell.
            let _ = native.delete(id);
            let _ = front::ended_within(pid, Some(Duration::from_secs(2)));
            return Err(error);
        }
    };
    native.delete(id)?;
    ended
}
