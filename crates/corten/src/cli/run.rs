//! `corten run`: from a name to a running process.

use std::path::PathBuf;

use clap::Args;
use corten_spec::Platform;

use super::members;
use super::pod::{self, Together};
use super::words::{health, pairs, port, restart, size, span};
use super::{Context, Failure, Outcome};
use crate::ops::{
    self, ExplainReport, LookRequest, Network, Pull, RunOptions, RunRequest, SeccompWord,
    VolumeMount,
};
use crate::output::{Table, print, print_json};
use crate::{Exit, Place, signal};

/// How the process in the container is started.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Process")]
pub(super) struct ProcessArgs {
    /// Set a variable: NAME=VALUE, or NAME to pass on the one that is set here; may repeat.
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,
    /// Read variables from a file, one NAME=VALUE a line; may repeat.
    #[arg(long, value_name = "FILE")]
    pub(super) env_file: Vec<PathBuf>,
    /// Directory the process starts in.
    #[arg(long, short, value_name = "DIR")]
    pub(super) workdir: Option<String>,
    /// User, and group, by name or number.
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub(super) user: Option<String>,
    /// Take a variable of the image away; may repeat.
    #[arg(long, value_name = "NAME")]
    pub(super) unset_env: Vec<String>,
    /// Program to start instead of the image's, without its arguments; empty for none.
    #[arg(long, value_name = "PROGRAM")]
    pub(super) entrypoint: Option<String>,
    /// One more group, by name or number; may repeat.
    #[arg(long, value_name = "GROUP")]
    pub(super) group_add: Vec<String>,
    /// Keep standard input open.
    #[arg(long, short)]
    pub(super) interactive: bool,
    /// Give the process a terminal.
    #[arg(long, short)]
    pub(super) tty: bool,
    /// Signal that asks the container to stop [default: the image's, else TERM].
    #[arg(long, value_name = "SIGNAL")]
    pub(super) stop_signal: Option<String>,
    /// Seconds between that signal and the last one [default: 10].
    #[arg(long, value_name = "SECONDS")]
    pub(super) stop_timeout: Option<u64>,
}

/// What the container sees of files.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Files")]
pub(super) struct FileArgs {
    /// Mount a directory or file of this machine, or a named volume; may repeat.
    #[arg(long, short, value_name = "SOURCE:TARGET[:ro]")]
    pub(super) volume: Vec<String>,
    /// The same, spelled out: type=bind|volume|tmpfs,source=…,target=…[,readonly]; may repeat.
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub(super) mount: Vec<String>,
    /// Mount an empty filesystem in memory; may repeat.
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub(super) tmpfs: Vec<String>,
    /// Size of /dev/shm, such as 256m [default: 64m].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) shm_size: Option<u64>,
    /// Let the container write nothing outside of its mounts.
    #[arg(long)]
    pub(super) read_only: bool,
}

/// What the container may do and how much it may use.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// Most memory, such as 512m or 2g.
    #[arg(long, short, value_name = "SIZE", value_parser = size)]
    pub(super) memory: Option<u64>,
    /// Most processors, such as 1.5.
    #[arg(long, value_name = "NUMBER")]
    pub(super) cpus: Option<corten_bundle::config::Cpus>,
    /// Most processes.
    #[arg(long, value_name = "NUMBER")]
    pub(super) pids: Option<i64>,
    /// A capability more, or ALL; may repeat.
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_add: Vec<String>,
    /// A capability less, or ALL; may repeat.
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_drop: Vec<String>,
    /// Go without limits and device rules where no control groups can be had: for images that you trust.
    #[arg(long)]
    pub(super) no_groups: bool,
    /// Set a kernel parameter of the container's namespaces: NAME=VALUE; may repeat.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pairs)]
    pub(super) sysctl: Vec<(String, String)>,
    /// no-new-privileges, seccomp=unconfined, or seccomp=FILE; may repeat.
    #[arg(long, value_name = "OPTION")]
    pub(super) security_opt: Vec<String>,
}

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
    /// When it is started again: no, on-failure[:TIMES], always, unless-stopped. Needs --detach.
    #[arg(long, value_name = "POLICY", default_value = "no", value_parser = restart)]
    restart: corten_run::RestartPolicy,
    /// A command that tells whether it is well, run by /bin/sh in it; "none" for that of the image.
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

/// What it reaches, and what reaches it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub(super) struct NetworkArgs {
    /// Host name in the container [default: the beginning of its id].
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// private (its own, with a way out), none (a loopback of its own), or host (that of this machine)
    /// [default: private, and none where there is no way out].
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Lead a port of this machine to one of the container: [ADDRESS:]PORT:PORT[/udp]; may repeat.
    #[arg(long, short, value_name = "PORTS", value_parser = port)]
    publish: Vec<corten_run::network::Publish>,
}

/// All that `run` and `create` take.
#[derive(Args)]
pub(super) struct ContainerArgs {
    /// The image: a name of the local store or of a registry, or any other place.
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
        })
    }
}

/// How a container runs, whatever becomes of it.
#[derive(Args)]
pub(super) struct Settings {
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    /// An annotation of the runtime config: NAME=VALUE; may repeat.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pairs)]
    annotation: Vec<(String, String)>,
}

impl Settings {
    pub(super) fn options(
        &self,
        context: &Context,
        arguments: &[String],
    ) -> Result<RunOptions, Failure> {
        let (process, files, limits) = (&self.process, &self.files, &self.limits);
        let (no_new_privileges, seccomp) = security(&limits.security_opt)?;
        let entrypoint = process.entrypoint.as_ref();
        Ok(RunOptions {
            entrypoint: entrypoint
                .map(|word| if word.is_empty() { Vec::new() } else { vec![word.clone()] }),
            arguments: arguments.to_vec(),
            env: super::words::variables(context, &process.env_file, &process.env)?,
            unset: process.unset_env.clone(),
            workdir: process.workdir.clone(),
            user: process.user.clone(),
            groups: process.group_add.clone(),
            interactive: process.interactive,
            terminal: process.tty,
            mounts: mounts(context, files)?,
            read_only: files.read_only,
            memory: limits.memory,
            cpus: limits.cpus.map(|cpus| cpus.0),
            pids: limits.pids,
            shm_size: files.shm_size,
            cap_add: limits.cap_add.clone(),
            cap_drop: limits.cap_drop.clone(),
            no_new_privileges,
            seccomp,
            sysctl: limits.sysctl.clone(),
            hostname: self.network.hostname.clone(),
            network: self.network.network()?,
            annotations: self.annotation.clone(),
        })
    }
}

impl NetworkArgs {
    /// Whether something is said here that a pod has once.
    pub(super) fn says_which(&self) -> bool {
        self.network.is_some() || self.hostname.is_some()
    }

    fn network(&self) -> Result<Network, Failure> {
        let refuse = |text: &str| Err(Failure::Usage(text.to_owned()));
        let publish = self.publish.clone();
        match (self.network.as_deref(), publish.is_empty()) {
            (None, optional) => Ok(Network::Private { publish, optional }),
            (Some("private"), _) => Ok(Network::Private { publish, optional: false }),
            (Some("none"), true) => Ok(Network::None),
            (Some("host"), true) => Ok(Network::Host),
            (Some("none" | "host"), false) => {
                refuse("--publish needs a network of the container's own: --network private")
            }
            _ => refuse("the network is private, none or host"),
        }
    }
}

fn mounts(context: &Context, files: &FileArgs) -> Result<Vec<VolumeMount>, Failure> {
    let here = context.here();
    let mut mounts = Vec::new();
    for text in &files.volume {
        mounts.push(VolumeMount::parse(text, &here)?);
    }
    for text in &files.mount {
        mounts.push(VolumeMount::parse_long(text, &here)?);
    }
    for text in &files.tmpfs {
        mounts.push(VolumeMount::parse_tmpfs(text)?);
    }
    Ok(mounts)
}

fn security(words: &[String]) -> Result<(bool, SeccompWord), Failure> {
    let (mut no_new_privileges, mut seccomp) = (false, SeccompWord::Default);
    for word in words {
        match word.split_once(['=', ':']).unwrap_or((word, "")) {
            ("no-new-privileges", "" | "true") => no_new_privileges = true,
            ("no-new-privileges", "false") => no_new_privileges = false,
            ("seccomp", "unconfined") => seccomp = SeccompWord::Unconfined,
            ("seccomp", "default") => seccomp = SeccompWord::Default,
            ("seccomp", file) if !file.is_empty() => {
                seccomp = SeccompWord::File(PathBuf::from(file))
            }
            _ => {
                let text =
                    format!("{word}: write no-new-privileges, seccomp=unconfined or seccomp=FILE");
                return Err(Failure::Usage(text));
            }
        }
    }
    Ok((no_new_privileges, seccomp))
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
    let request = args.container.request(context)?;
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
    let report = ops::create(context, &args.container.request(context)?).await?;
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
