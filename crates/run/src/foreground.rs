//! A container under the eyes of its caller.

use crate::error::Result;
use crate::front::{Front, Interaction};
use crate::supervise::{Side, Supervisor};
use crate::{ContainerId, Containers, ExitStatus, Prepare, State};
use std::sync::Mutex;

/// Starts a container and watches it in this process until it has ended for good.
///
/// Without a terminal, its process gets this one's standard streams where they are pipes without a name or sockets,
/// and pipes whose bytes are carried where they are not: nothing of the caller's that has a name is handed over. Nobody
/// can attach, and there is no log. With one, keys and sizes are carried to it. The signals HUP, INT, QUIT,
/// TERM, USR1, USR2 and ALRM go to its first process as long as this call lasts; a HUP, INT or TERM ends its
/// restarts, too, and the third of them kills it. A container that is to be removed at its end is. When this process is killed, the
/// container goes on, watched by nobody, as [`crate::status`] then says; a pipe that was carried is closed then. That not
/// all of the output could be written is an error, however the process ended.
pub fn foreground(
    containers: &Containers,
    id: &ContainerId,
    prepare: &dyn Prepare,
    interaction: Interaction,
) -> Result<ExitStatus> {
    crate::control::allowed(containers, id, &[State::Created, State::Exited], "start")?;
    containers.place(id).clear("stopped")?;
    let supervisor = Supervisor::new(containers, id, prepare, |_, _| {
        Ok(Side::Caller(Box::new(Mutex::new(Front::open(interaction)?))))
    })?;
    let ended = supervisor.watch(&mut |_| {});
    let trouble = supervisor.trouble();
    supervisor.leave()?;
    ended.and_then(|status| trouble.map(|()| status))
}
