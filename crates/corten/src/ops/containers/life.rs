//! What becomes of containers: started, stopped, frozen, renamed, removed, waited for.

use std::time::Duration;

use corten_run::{Condition, ContainerId, Containers, ExitStatus, Freeze, IfRunning, Interaction};
use schemars::JsonSchema;
use serde::Serialize;

use super::found;
use crate::ops::Recipes;
use crate::ops::layers::on_thread;
use crate::{Context, Failure};

/// Containers that something was done to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ActedReport {
    /// Their ids.
    pub containers: Vec<String>,
}

/// Does one thing to each of several containers, all at once; the first failure is the one to tell, when
/// all have been tried.
async fn each(
    context: &Context,
    names: &[String],
    act: impl Fn(&Containers, &ContainerId) -> Result<(), Failure> + Send + Sync + Clone + 'static,
) -> Result<ActedReport, Failure> {
    let mut running = Vec::new();
    for name in names {
        let (containers, id) = found(context, name)?;
        let act = act.clone();
        running.push(on_thread("the container", move || {
            act(&containers, &id)?;
            Ok(id.to_string())
        }));
    }
    let ended = futures_util::future::join_all(running).await;
    Ok(ActedReport { containers: ended.into_iter().collect::<Result<_, _>>()? })
}

/// Starts containers that were made and do not run, each with a monitor.
pub async fn start(context: &Context, names: &[String]) -> Result<ActedReport, Failure> {
    each(context, names, |containers, id| Ok(corten_run::start(containers, id).map(drop)?)).await
}

/// Starts a container in front of the caller; gives how it ended.
pub async fn start_in_front(context: &Context, name: &str) -> Result<ExitStatus, Failure> {
    let (containers, id) = found(context, name)?;
    let open = corten_run::inspect(&containers, &id)?.container.asked.open_stdin;
    let interaction = if open { Interaction::Talk } else { Interaction::Watch };
    let recipes = Recipes { tell: context.tell() };
    on_thread("the container", move || {
        Ok(corten_run::foreground(&containers, &id, &recipes, interaction)?)
    })
    .await
}

/// Asks containers to stop, and ends them when they do not in time.
pub async fn stop(
    context: &Context,
    names: &[String],
    timeout: Option<Duration>,
) -> Result<ActedReport, Failure> {
    each(context, names, move |containers, id| Ok(corten_run::stop(containers, id, timeout)?)).await
}

/// Sends a signal to the first process of each.
pub async fn kill(
    context: &Context,
    names: &[String],
    signal: i32,
) -> Result<ActedReport, Failure> {
    each(context, names, move |containers, id| Ok(corten_run::kill(containers, id, signal)?)).await
}

/// Freezes or thaws containers.
pub async fn freeze(
    context: &Context,
    names: &[String],
    freeze: Freeze,
) -> Result<ActedReport, Failure> {
    each(context, names, move |containers, id| Ok(corten_run::freeze(containers, id, freeze)?))
        .await
}

/// Removes containers, and what they wrote with them.
pub async fn rm(context: &Context, names: &[String], force: bool) -> Result<ActedReport, Failure> {
    let running = if force { IfRunning::Kill } else { IfRunning::Refuse };
    let leases = context.leases();
    each(context, names, move |containers, id| {
        corten_run::remove(containers, id, running)?;
        // Its monitor does this, unless it was killed; what stays is found by gc.
        let _ = corten_run::network::disconnect(&leases, id.as_str());
        Ok(())
    })
    .await
}

/// Gives a container another name.
pub async fn rename(context: &Context, name: &str, new: &str) -> Result<ActedReport, Failure> {
    let (containers, id) = found(context, name)?;
    corten_run::rename(&containers, &id, new)?;
    Ok(ActedReport { containers: vec![id.to_string()] })
}

/// What was waited for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WaitReport {
    /// Exit codes in the order of the names; `null` where nobody knows, or the container goes on.
    pub codes: Vec<Option<i32>>,
}

/// Waits until a condition holds for each of the containers.
pub async fn wait(
    context: &Context,
    names: &[String],
    condition: Condition,
    within: Option<Duration>,
) -> Result<WaitReport, Failure> {
    let mut codes = Vec::new();
    for name in names {
        let (containers, id) = found(context, name)?;
        let waited = move || Ok(corten_run::wait(&containers, &id, condition, within)?);
        codes.push(on_thread("the wait", waited).await?.map(ExitStatus::code));
    }
    Ok(WaitReport { codes })
}
