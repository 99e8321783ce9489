//! A shell for whoever builds, in the state that a failed RUN left: its files, mounts, variables, user and network.

use std::path::Path;

use corten_run::{ContainerId, OnceBundle, talk_once};
use oci_spec::runtime::Spec;

use crate::error::{Result, StepError, failed};
use crate::event::BuildEvent;
use crate::request::StepNetwork;
use crate::stage::StageRun;

/// The variable that names a kind of terminal, and what is there where nobody says.
const TERM: (&str, &str) = ("TERM", "xterm");

impl StageRun<'_> {
    /// Gives the shell where one is wanted and the process has failed. The other stages are stopped: the build fails
    /// when it ends.
    pub(crate) fn shell_after(
        &self,
        ended: &Result<()>,
        (network, env): (StepNetwork, &[(String, String)]),
        room: &Path,
    ) {
        let (Err(StepError::Exit { code, output }), Some(shell)) =
            (ended, &self.session.request.grants.shell)
        else {
            return;
        };
        if !self.session.stop() {
            return;
        }
        let step = self.step.label.as_str();
        self.tell(BuildEvent::Failed { step });
        self.tell(BuildEvent::ShellBegins { step, code: *code, output });
        // The build has failed already: that is what is told as its error.
        if let Err(error) = self.shell(shell, (network, env), room) {
            let mut text = format!("the shell {shell}: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            self.tell(BuildEvent::Notice { text: &text });
        }
    }

    fn shell(
        &self,
        shell: &str,
        (network, env): (StepNetwork, &[(String, String)]),
        room: &Path,
    ) -> Result<()> {
        let bundle = room.join("bundle");
        let path = bundle.join("config.json");
        let bytes = std::fs::read(&path).map_err(failed(path.display(), "reading"))?;
        let wrong = |error: serde_json::Error| failed(path.display(), "reading")(error);
        let mut spec: Spec = serde_json::from_slice(&bytes).map_err(wrong)?;
        let mut env = env.to_vec();
        if let Some(process) = spec.process_mut() {
            process.set_args(Some(vec![shell.to_owned()])).set_terminal(Some(true));
            let names_terminal = |one: &String| one.starts_with("TERM=");
            if !process.env().iter().flatten().any(names_terminal) {
                env.push((TERM.0.to_owned(), TERM.1.to_owned()));
            }
        }
        let bytes = serde_json::to_vec(&spec).map_err(wrong)?;
        corten_store::private::write(&path, &bytes).map_err(failed(path.display(), "writing"))?;
        let id = ContainerId::random()?;
        let once = OnceBundle { directory: self.session.work.path(), bundle: &bundle, env: &env };
        let ended = talk_once(once, &id, &mut |pid| self.connect(network, &id, pid));
        self.disconnect(network, &id);
        ended?;
        Ok(())
    }
}
