//! Asks a container now and then whether it is well.

use crate::model::{Health, HealthCheck};
use crate::runtime::{Execution, Streams};
use crate::supervise::Supervisor;
use crate::{ExitStatus, event};
use std::fs::OpenOptions;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

/// Watches until the sender is dropped.
pub(crate) fn watch(supervisor: &Arc<Supervisor>) -> Option<Sender<()>> {
    let check = supervisor.container.asked.health.clone()?;
    let (over, ended) = channel();
    let supervisor = Arc::clone(supervisor);
    thread::spawn(move || {
        let begun = Instant::now();
        let mut failures = 0;
        while ended.recv_timeout(check.interval) == Err(RecvTimeoutError::Timeout) {
            let well = ask(&supervisor, &check);
            if ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
                return;
            }
            failures = match well {
                true => 0,
                false if begun.elapsed() < check.start_period => failures,
                false => failures + 1,
            };
            if well {
                tell(&supervisor, Health::Healthy);
            } else if failures >= check.retries.max(1) {
                tell(&supervisor, Health::Unhealthy);
            }
        }
    });
    Some(over)
}

fn ask(supervisor: &Supervisor, check: &HealthCheck) -> bool {
    let Some(mut process) = supervisor.spec.process().clone() else { return false };
    process.set_args(Some(check.command.clone())).set_terminal(Some(false));
    let null = || OpenOptions::new().write(true).open("/dev/null");
    let (Ok(stdout), Ok(stderr)) = (null(), null()) else { return false };
    let streams = Some(Streams { stdin: None, stdout: stdout.into(), stderr: stderr.into() });
    let how = Execution { streams, detach: false, limit: Some(check.timeout) };
    let ended = supervisor.machine.exec(&supervisor.container.id, &process, how);
    ended.is_ok_and(|status| status == ExitStatus::Code(0))
}

fn tell(supervisor: &Supervisor, health: Health) {
    let mut new = false;
    let _ = supervisor.change(|written| {
        new = written.health != Some(health);
        written.health = Some(health);
    });
    if new {
        event::note(&supervisor.containers, &supervisor.container.id, "health", None);
    }
}
