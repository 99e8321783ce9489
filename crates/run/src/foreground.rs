//! A container under the eyes of its caller.

use crate::error::Result;
use crate::front::{Front, Interaction};
use crate::supervise::{Side, Supervisor};
use crate::{ContainerId, Containers, ExitStatus, Prepare, State};
use std::sync::Mutex;

/// Starts a container and watches it in this process until it has ended for good.
///
/// Without a terminal, its process gets this one's standard streams themselves: no byte is copied, nobody
/// can attach, and there is no log. With one, keys and sizes are carried to it. The signals HUP, INT, QUIT,
/// TERM, USR1, USR2 and ALRM go to its first process as long as this call lasts; a HUP, INT or TERM ends its
/// restarts, too, and the third of them kills it. A container that is to be removed at its end is. When this process is killed, the
/// container goes on, watched by nobody, as [`crate::status`] then says.
pub fn foreground(
    containers: &Containers,
    id: &ContainerId,
    prepare: &dyn Prepare,
    interaction: Interaction,
) -> Result<ExitStatus> {
    crate::control::allowed(containers, id, &[State::Created, State::Exited], "start")?;
    containers.place(id).clear("stopped")?;
    let supervisor = Supervisor::new(containers, id, prepare, |_, _| {
        Ok(Side::Caller(Mutex::new(Front::open(interaction)?), interaction))
    })?;
    let ended = supervisor.watch(&mut |_| {});
    supervisor.leave()?;
    ended
}
