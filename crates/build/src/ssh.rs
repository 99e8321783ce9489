//! `RUN --mount=type=ssh`: the socket of an agent of whoever builds, for one step.

use corten_dockerfile::FileAccess;
use corten_run::AgentProxy;

use crate::error::{Result, refused};
use crate::mounts::{Mounted, bound, set_access};
use crate::stage::StageRun;

impl StageRun<'_> {
    /// Whether there is a socket to mount.
    pub(crate) fn agent(
        &self,
        (id, required): (&str, bool),
        access: FileAccess,
        (target, made): (&str, &mut Mounted),
    ) -> Result<bool> {
        let Some(agent) = self.session.request.grants.agents.get(id) else {
            if required {
                let text = format!("the ssh agent {id} is required: --ssh {id}=SOCKET");
                return refused(text);
            }
            return Ok(false);
        };
        // Where nobody else on this machine comes to.
        let path = self.memory_room()?.join("agent");
        made.agents.push(AgentProxy::start(&path, agent.clone())?);
        set_access(&path, access, 0o600)?;
        made.mounts.push(bound(&path, target, false));
        made.agent.get_or_insert_with(|| target.to_owned());
        Ok(true)
    }
}
