//! `run`: from a name to a running process. The image is found, admitted, fetched, verified and unpacked
//! in one pass; the container is made, and started in front of the caller or with a monitor behind it.

mod etc;
mod explained;
mod grants;
mod groups;
mod health;
mod options;
mod overrides;
mod own;
mod recipe;
mod seed;
pub(super) mod templates;
mod volumes;

use std::path::PathBuf;
use std::time::Duration;

use corten_bundle::Powers;
use corten_run::{
    Ask, ContainerId, Containers, Enforcement, ExitStatus, HealthCheck, Interaction, Origin,
    RestartPolicy, RunError, RuntimeChoice,
};
use corten_spec::DiffId;
use schemars::JsonSchema;
use serde::Serialize;

pub use explained::{ExplainReport, ExplainedField, explain};
pub use grants::{DeviceWord, parse_ulimit};
pub(crate) use groups::systemd;
pub use options::{AppArmorWord, GroupsWord, Network, RunOptions, SeccompWord, Shared};
pub use overrides::APPARMOR_PROFILE;
pub(super) use overrides::{host, overrides, user_in};
pub(super) use own::{PART, VOLUMES, locked, make_volume};
pub(super) use recipe::{NetworkRecipe, told};
pub(crate) use recipe::{Recipe, Recipes};
pub(super) use volumes::inside;
pub use volumes::{VolumeMount, VolumeSource};

use super::layers::{Blobs, on_thread};
use super::look::LookRequest;
use super::ready::{Pull, Ready, ready};
use crate::{Context, Failure, signal};

/// What is asked of `run`.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The image.
    pub look: LookRequest,
    /// When the registry is asked.
    pub pull: Pull,
    /// How it runs.
    pub options: RunOptions,
    /// Its name; `None` for the beginning of its id.
    pub name: Option<String>,
    /// Labels of the container, for its user.
    pub labels: Vec<(String, String)>,
    /// Whether it is removed at its end.
    pub remove: bool,
    /// The signal of `stop`; `None` for the image's.
    pub stop_signal: Option<i32>,
    /// How long `stop` waits.
    pub stop_timeout: Option<Duration>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// A check that takes the place of the image's; an empty command for none at all.
    pub health: Option<HealthCheck>,
    /// The runtime: a name or a path; `None` for our own engine.
    pub runtime: Option<String>,
    /// What happens where no control groups can be had.
    pub enforcement: Enforcement,
    /// How much of what is kept ready is compared with what it must be.
    pub verify: Verify,
}

/// How much of the layers that are kept ready is compared with what they must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// What costs one look at each start.
    #[default]
    Seals,
    /// Every byte, once, before the container is made.
    Bytes,
}

/// A container that was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CreatedReport {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image.
    pub image: String,
    /// Digest of the image's manifest.
    pub digest: String,
}

/// Makes the image ready and a container of it, which is not started.
pub async fn create(context: &Context, request: &RunRequest) -> Result<CreatedReport, Failure> {
    tell_of_one_id(context);
    let image = ready(context, &request.look, request.pull).await?;
    verified(context, request.verify, &image).await?;
    let containers = context.containers()?;
    let wanted = asked(context, request, &image)?;
    let report = CreatedReport {
        id: String::new(),
        name: request.name.clone().unwrap_or_default(),
        image: image.shown.clone(),
        digest: image.admitted.evidence().manifest.to_string(),
    };
    on_thread("the container", move || {
        let id = corten_run::create(&containers, wanted, &mut |_| Ok(()))?;
        // From here on the container's own record keeps the layers.
        drop(image.lease);
        let name = if report.name.is_empty() { id.short().to_owned() } else { report.name };
        Ok(CreatedReport { id: id.to_string(), name, ..report })
    })
    .await
}

/// Compares every byte that a container of the image would start from, where that is wanted.
pub(super) async fn verified(
    context: &Context,
    wanted: Verify,
    image: &Ready,
) -> Result<(), Failure> {
    if wanted != Verify::Bytes && !context.verifies() {
        return Ok(());
    }
    let store = context.store()?;
    let layers = super::stacks::layers(&store).await?;
    let blobs = Blobs::of(std::sync::Arc::new(store));
    let (snapshots, stack) = (image.snapshots.clone(), image.stack.clone());
    on_thread("the comparison", move || {
        let packed = |diff_id: &DiffId| {
            let packed: Box<dyn std::io::Read> = Box::new(blobs.open(layers.get(diff_id)?));
            Some(packed)
        };
        Ok(snapshots.verify_stack(stack.form(), stack.diff_ids(), &packed)?)
    })
    .await
}

/// Tells an ordinary user without ranges of ids what that means for the files of an image.
pub(super) fn tell_of_one_id(context: &Context) {
    if context.powers() == Powers::OneId {
        let why = context.environment().why_one_id();
        let why = why.unwrap_or("this user namespace has one id");
        context.tell()(&format!("every file of the image belongs to you: {why}"));
        let kept = kept_groups();
        if kept > 0 {
            let groups = if kept == 1 { "one more group" } else { "more groups" };
            context.tell()(&format!(
                "{groups} of yours ({kept}) can be used in the container: with one id the kernel lets nobody drop them"
            ));
        }
    }
}

/// How many groups this process has beside its own, which it cannot drop.
pub(crate) fn kept_groups() -> usize {
    let own = rustix::process::getegid();
    let groups = rustix::process::getgroups().unwrap_or_default();
    groups.into_iter().filter(|group| *group != own).count()
}

/// Runs a container to its end, with the caller's streams and signals.
pub async fn run(context: &Context, request: &RunRequest) -> Result<ExitStatus, Failure> {
    let report = create(context, request).await?;
    let containers = context.containers()?;
    let id = known(&containers, &report.id)?;
    let interaction =
        if request.options.interactive { Interaction::Talk } else { Interaction::Watch };
    let recipes = Recipes { tell: context.tell() };
    on_thread("the container", move || {
        Ok(corten_run::foreground(&containers, &id, &recipes, interaction)?)
    })
    .await
}

/// Makes a container and leaves it running, watched by a monitor.
pub async fn run_detached(
    context: &Context,
    request: &RunRequest,
) -> Result<CreatedReport, Failure> {
    let report = create(context, request).await?;
    let containers = context.containers()?;
    let id = known(&containers, &report.id)?;
    let remove = request.remove;
    on_thread("the container", move || {
        let started = corten_run::start(&containers, &id);
        if started.is_err() && remove {
            // The error of the start is the one to tell.
            let _ = corten_run::remove(&containers, &id, corten_run::IfRunning::Kill);
        }
        started?;
        Ok(report)
    })
    .await
}

fn known(containers: &Containers, id: &str) -> Result<ContainerId, Failure> {
    Ok(containers.find(id)?)
}

/// What is asked of a container of an image that is ready.
pub(super) fn asked(
    context: &Context,
    request: &RunRequest,
    image: &Ready,
) -> Result<Ask, Failure> {
    let config = image.config.value().config.as_ref();
    let stop_signal = match (request.stop_signal, config.and_then(|c| c.stop_signal.as_deref())) {
        (Some(signal), _) => Some(signal),
        (None, Some(word)) => Some(signal::number(word).ok_or_else(|| {
            Failure::Usage(format!("the image's stop signal {word} does not exist: --stop-signal"))
        })?),
        (None, None) => None,
    };
    let recipe = recipe(context, request, image)?;
    let groups = recipe.groups.clone();
    let runtime = runtime(context, request.runtime.as_deref())?;
    if request.options.init && runtime != RuntimeChoice::Engine {
        let text = "--init is of corten's own runtime: leave --init or --runtime away";
        return Err(Failure::Usage(text.to_owned()));
    }
    let mut wanted = Ask::new(runtime);
    wanted.name = request.name.clone();
    wanted.origin = Origin {
        reference: image.shown.clone(),
        digest: image.admitted.evidence().manifest.to_string(),
    };
    wanted.labels = request.labels.iter().cloned().collect();
    wanted.recipe = serde_json::to_value(recipe).map_err(|error| Failure::Io {
        object: "the recipe of the container".to_owned(),
        action: "writing",
        source: error.into(),
    })?;
    wanted.terminal = request.options.terminal;
    wanted.open_stdin = request.options.interactive;
    wanted.restart = request.restart;
    wanted.stop_signal = stop_signal.unwrap_or(wanted.stop_signal);
    wanted.stop_timeout = request.stop_timeout.unwrap_or(wanted.stop_timeout);
    let check = request.health.clone().or_else(|| health::of_image(config?));
    wanted.health = check.filter(|check| !check.command.is_empty());
    wanted.remove_at_end = request.remove;
    wanted.enforcement = request.enforcement;
    wanted.groups = groups;
    Ok(wanted)
}

fn recipe(context: &Context, request: &RunRequest, image: &Ready) -> Result<Recipe, Failure> {
    let groups = match request.runtime {
        None => groups::groups(context.environment(), &request.options)?,
        Some(_) => groups::of_another_runtime(&request.options)?,
    };
    Ok(Recipe {
        store: context.store()?.path().to_owned(),
        form: image.stack.form().into(),
        layers: image.stack.diff_ids().to_vec(),
        config: String::from_utf8_lossy(image.config.bytes()).into_owned(),
        options: request.options.clone(),
        groups,
        leases: context.leases(),
        programs: context.programs(),
    })
}

fn runtime(context: &Context, word: Option<&str>) -> Result<RuntimeChoice, Failure> {
    let Some(word) = word.filter(|word| *word != "corten") else {
        return Ok(RuntimeChoice::Engine);
    };
    let path = if word.contains('/') {
        Some(PathBuf::from(word)).filter(|path| path.exists())
    } else {
        context.programs().iter().map(|place| place.join(word)).find(|path| path.exists())
    };
    let path = path.ok_or_else(|| Failure::Usage(format!("there is no runtime {word}")))?;
    let path = path.canonicalize().map_err(|source| Failure::Io {
        object: path.display().to_string(),
        action: "opening",
        source,
    })?;
    Ok(RuntimeChoice::Binary { path })
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Container(error.into())
    }
}
