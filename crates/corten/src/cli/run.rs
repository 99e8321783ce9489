//! `corten run`: from a name to a running process.

use clap::Args;
use corten_spec::Platform;

use super::members;
use super::pod::{self, Together};
use super::settings::Settings;
use super::words::{health, pairs, restart, span};
use super::{Context, Failure, Outcome};
use crate::ops::{self, ExplainReport, LookRequest, Pull, RunRequest, Verify};
use crate::output::{Table, print, print_json};
use crate::{Exit, Place, signal};

/// The life of the container around its process.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Life")]
pub(super) struct LifeArgs {
    /// Name of the container [default: the beginning of its id].
    #[arg(long)]
    name: Option<String>,
    /// A label of the container: NAME=VALUE; may repeat.
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = pairs)]
    label: Vec<(String, String)>,
    /// Remove the container when it ends.
    #[arg(long)]
    rm: bool,
    /// When it is started again: no, on-failure[:TIMES], always, unless-stopped.
    #[arg(long, value_name = "POLICY", default_value = "no", value_parser = restart)]
    restart: corten_run::RestartPolicy,
    /// A command that tells whether it is well, run by /bin/sh in it; "none" for no check, not even that of
    /// the image.
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between two checks.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    health_interval: std::time::Duration,
    /// Time that one check may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    health_timeout: std::time::Duration,
    /// Checks that fail in a row before it is unhealthy.
    #[arg(long, value_name = "TIMES", default_value_t = 3)]
    health_retries: u32,
    /// Time after the start in which failures do not count.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = span)]
    health_start_period: std::time::Duration,
    /// The runtime: corten's own, runc, crun, or the path of one.
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<String>,
}

/// All that `run` and `create` take.
#[derive(Args)]
pub(super) struct ContainerArgs {
    /// The image: a name of the local store or of a registry, any other place, or a directory to build: ./DIR.
    image: String,
    /// Arguments for the image's program, instead of those it brings along.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) arguments: Vec<String>,
    /// Which image of an index [default: this machine's platform].
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// When the registry is asked.
    #[arg(long, value_enum, default_value_t, hide_possible_values = false)]
    pull: Pull,
    /// Read all that it starts from once more, and compare it with what it must be.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
    #[command(flatten)]
    life: LifeArgs,
}

/// Run an image
#[derive(Args)]
#[command(after_help = "\
A name is the local store's, where it has it, else its registry's: the image is found, admitted, \
downloaded, verified and unpacked in one pass, and started. The exit code is that of the process; \
126 says that it cannot be started, 127 that there is no such program, 125 that corten failed. \
Several images, each with its options before it and '---' after its arguments, run as a pod: \
they share network, host name and volumes with names, and the exit code is the first that is not 0.

Examples:
  corten run debian:13 cat /etc/os-release
  corten run -it --rm debian:13
  corten run --detach --name web -p 8080:80 -v ./site:/srv:ro registry.example.com/web:1
  corten run -v data:/data writer:1 --- -v data:/data reader:1
  corten run --rm ./examples/hello
  corten run --read-only --memory 256m --pids 100 oci:images:app
  corten run --explain debian:13")]
pub(super) struct RunArgs {
    /// Leave it running and print its id.
    #[arg(long, short)]
    detach: bool,
    /// Start nothing: show the runtime config, and where each field of it comes from.
    #[arg(long)]
    explain: bool,
    /// Run the image, and those after each '---', as a pod of this name.
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,
    /// Of a pod: show lines without the name of who says them.
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    container: ContainerArgs,
}

/// Make a container and do not start it yet
#[derive(Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    container: ContainerArgs,
}

impl ContainerArgs {
    /// With the image built, where a directory stands in its place.
    async fn built(mut self, context: &Context) -> Result<Self, Failure> {
        if let Some(image) = super::build::of_directory(context, &self.image).await? {
            self.image = image;
        }
        Ok(self)
    }

    pub(super) fn request(self, context: &Context) -> Result<RunRequest, Failure> {
        let options = self.settings.options(context, &self.arguments)?;
        let stop_signal = self.settings.process.stop_signal.as_deref().map(|word| {
            signal::number(word).ok_or_else(|| Failure::Usage(format!("{word}: no such signal")))
        });
        let life = self.life;
        let check = life.health_cmd.as_deref().map(|command| corten_run::HealthCheck {
            command: health(command),
            interval: life.health_interval,
            timeout: life.health_timeout,
            start_period: life.health_start_period,
            retries: life.health_retries.max(1),
        });
        Ok(RunRequest {
            look: LookRequest { place: Place::parse_bare(&self.image)?, platform: self.platform },
            pull: self.pull,
            options,
            name: life.name,
            labels: life.label,
            remove: life.rm,
            stop_signal: stop_signal.transpose()?,
            stop_timeout: self.settings.process.stop_timeout.map(std::time::Duration::from_secs),
            restart: life.restart,
            health: check,
            runtime: life.runtime,
            enforcement: if self.settings.limits.no_groups {
                corten_run::Enforcement::Waived
            } else {
                corten_run::Enforcement::Required
            },
            verify: if self.verify { Verify::Bytes } else { Verify::Seals },
        })
    }
}

pub(super) async fn run(context: &Context, args: RunArgs, json: bool) -> Result<Outcome, Failure> {
    if args.pod.is_some() || members::is_of_several(&args.container) {
        if args.explain {
            let text = "--explain explains one image: leave --pod and --- away";
            return Err(Failure::Usage(text.to_owned()));
        }
        let how = Together { name: args.pod, detach: args.detach, plain: args.plain };
        return pod::run(context, args.container, how, json).await;
    }
    let request = args.container.built(context).await?.request(context)?;
    if args.explain {
        let report = ops::explain(context, &request).await?;
        if json {
            print_json(&report)?;
        } else {
            print(&explained(&report))?;
        }
        return Ok(Outcome::Verb(Exit::Done));
    }
    if !args.detach {
        let ended = ops::run(context, &request).await?;
        return Ok(Outcome::Process(u8::try_from(ended.code()).unwrap_or(u8::MAX)));
    }
    let report = ops::run_detached(context, &request).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&format!("{}\n", report.id))?;
    }
    Ok(Outcome::Verb(Exit::Done))
}

pub(super) async fn create(
    context: &Context,
    args: CreateArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let container = args.container.built(context).await?;
    let report = ops::create(context, &container.request(context)?).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&format!("{}\n", report.id))?;
    }
    Ok(Exit::Done)
}

fn explained(report: &ExplainReport) -> String {
    let mut table = Table::new(&["FIELD", "SOURCE", "VALUE"]);
    for field in &report.fields {
        let value = match &field.value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        table.row(vec![field.field.clone(), field.source.clone(), value]);
    }
    let mut text = format!("{}\n{}\n\n{}", report.image, report.digest, table.render());
    let elsewhere = report.fields.iter().filter_map(|f| Some((&f.field, f.elsewhere.as_ref()?)));
    for (number, (field, said)) in elsewhere.enumerate() {
        let heading = if number == 0 { "\nElsewhere\n" } else { "" };
        text.push_str(&format!("{heading}  {field}: {said}\n"));
    }
    for notice in &report.notices {
        text.push_str(&format!("note: {notice}\n"));
    }
    text
}
