//! Asks a container now and then whether it is well.

use crate::model::{Health, HealthCheck};
use crate::runtime::Execution;
use crate::supervise::Supervisor;
use crate::{ExitStatus, event, front};
use oci_spec::runtime::Spec;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tells the watcher that the run is over.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_all();
    }

    /// Waits for a time; whether the bell rang.
    fn rings_within(&self, time: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.heard.wait_timeout_while(rung, time, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Checks, again and again, until the bell rings.
pub(crate) fn watch(supervisor: &Supervisor<'_>, check: &HealthCheck, spec: &Spec, bell: &Bell) {
    let begun = Instant::now();
    let mut failures = 0;
    while !bell.rings_within(check.interval) {
        let well = ask(supervisor, check, spec);
        if bell.rings_within(Duration::ZERO) {
            return;
        }
        failures = match well {
            true => 0,
            false if begun.elapsed() < check.start_period => failures,
            false => failures + 1,
        };
        if well {
            tell(supervisor, Health::Healthy);
        } else if failures >= check.retries.max(1) {
            tell(supervisor, Health::Unhealthy);
        }
    }
}

fn ask(supervisor: &Supervisor<'_>, check: &HealthCheck, spec: &Spec) -> bool {
    let Some(mut process) = spec.process().clone() else { return false };
    process.set_args(Some(check.command.clone())).set_terminal(Some(false));
    let Ok(streams) = front::no_streams() else { return false };
    let how =
        Execution { streams: Some(streams), limit: Some(check.timeout), ..Execution::default() };
    let ended = supervisor.machine.exec(&supervisor.container.id, &process, how);
    ended.is_ok_and(|status| status == ExitStatus::Code(0))
}

fn tell(supervisor: &Supervisor<'_>, health: Health) {
    let mut new = false;
    let _ = supervisor.change(|written| {
        new = written.health != Some(health);
        written.health = Some(health);
    });
    if new {
        event::note(supervisor.containers, &supervisor.container.id, "health", None);
    }
}
