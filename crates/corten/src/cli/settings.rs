//! How a container runs, in words of the command line: what `run`, `create`, `pod` and `bundle` share.

use std::path::PathBuf;

use clap::Args;

use super::words::{pairs, port, size, swap, values, variables};
use super::{Context, Failure};
use crate::ops::{self, AppArmorWord, Network, RunOptions, SeccompWord, Shared, VolumeMount};

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
    /// Have a small init as the first process: it hands signals on and takes orphans in.
    #[arg(long)]
    pub(super) init: bool,
    /// Whose processes it sees.
    #[arg(long, value_enum, default_value_t, hide_possible_values = false)]
    pub(super) pid: Shared,
    /// With whom it shares memory and message queues.
    #[arg(long, value_enum, default_value_t, hide_possible_values = false)]
    pub(super) ipc: Shared,
    /// A value for templates of the image that are rendered at the start: web.port=80; may repeat.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) set: Vec<String>,
    /// A file of such values: .toml, .yaml or .json; may repeat.
    #[arg(long, value_name = "FILE")]
    pub(super) attributes: Vec<PathBuf>,
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
    /// Most memory and swap together; -1 for no limit.
    #[arg(long, value_name = "SIZE", value_parser = swap, allow_negative_numbers = true)]
    pub(super) memory_swap: Option<i64>,
    /// Most processors, such as 1.5.
    #[arg(long, value_name = "NUMBER")]
    pub(super) cpus: Option<corten_bundle::config::Cpus>,
    /// Most processes.
    #[arg(long, value_name = "NUMBER")]
    pub(super) pids: Option<i64>,
    /// A limit of the process, such as nofile=1024:4096; may repeat.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(super) ulimit: Vec<String>,
    /// How readily the kernel ends it when memory runs out, from -1000 to 1000.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(super) oom_score_adj: Option<i32>,
    /// Control group that its own is made in: a path, or a slice of systemd, NAME.slice.
    #[arg(long, value_name = "PATH")]
    pub(super) cgroup_parent: Option<PathBuf>,
    /// Who makes its control groups: enabled (systemd where it runs the machine, else corten), cgroupfs (corten), or
    /// disabled (none; with --no-groups, as nothing denies devices then).
    #[arg(
        long,
        value_enum,
        default_value = "enabled",
        value_name = "WHO",
        hide_possible_values = true
    )]
    pub(super) cgroups: ops::GroupsWord,
    /// A device of this machine; may repeat.
    #[arg(long, value_name = "SOURCE[:TARGET][:rwm]")]
    pub(super) device: Vec<String>,
    /// Everything of this machine: all capabilities and devices, no filter: for images that you trust.
    #[arg(long)]
    pub(super) privileged: bool,
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
    /// no-new-privileges, seccomp=unconfined|FILE, apparmor=unconfined|PROFILE, label=disable; may repeat.
    #[arg(long, value_name = "OPTION")]
    pub(super) security_opt: Vec<String>,
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

/// How a container runs, whatever becomes of it.
#[derive(Args)]
pub(super) struct Settings {
    #[command(flatten)]
    pub(super) process: ProcessArgs,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
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
        let security = security(context, &limits.security_opt)?;
        let entrypoint = process.entrypoint.as_ref();
        Ok(RunOptions {
            entrypoint: entrypoint
                .map(|word| if word.is_empty() { Vec::new() } else { vec![word.clone()] }),
            arguments: arguments.to_vec(),
            env: variables(context, &process.env_file, &process.env)?,
            unset: process.unset_env.clone(),
            workdir: process.workdir.clone(),
            user: process.user.clone(),
            groups: process.group_add.clone(),
            interactive: process.interactive,
            terminal: process.tty,
            init: process.init,
            pid: process.pid,
            ipc: process.ipc,
            mounts: mounts(context, files)?,
            read_only: files.read_only,
            memory: limits.memory,
            swap: limits.memory_swap,
            cpus: limits.cpus.map(|cpus| cpus.0),
            pids: limits.pids,
            shm_size: files.shm_size,
            privileged: limits.privileged,
            devices: each(&limits.device, ops::DeviceWord::parse)?,
            ulimits: each(&limits.ulimit, ops::parse_ulimit)?,
            oom_score_adj: limits.oom_score_adj,
            cgroup_parent: limits.cgroup_parent.clone(),
            cgroups: limits.cgroups,
            cap_add: limits.cap_add.clone(),
            cap_drop: limits.cap_drop.clone(),
            no_new_privileges: security.no_new_privileges,
            seccomp: security.seccomp,
            apparmor: security.apparmor,
            sysctl: limits.sysctl.clone(),
            hostname: self.network.hostname.clone(),
            network: self.network.network()?,
            values: values(&process.attributes, &process.set)?,
            annotations: self.annotation.clone(),
        })
    }
}

fn each<T>(
    words: &[String],
    parse: impl Fn(&str) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    words.iter().map(|word| parse(word)).collect()
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

/// What `--security-opt` says.
#[derive(Default)]
struct Security {
    no_new_privileges: bool,
    seccomp: SeccompWord,
    apparmor: AppArmorWord,
}

fn security(context: &Context, words: &[String]) -> Result<Security, Failure> {
    let mut said = Security::default();
    for word in words {
        match word.split_once(['=', ':']).unwrap_or((word, "")) {
            ("no-new-privileges", "" | "true") => said.no_new_privileges = true,
            ("no-new-privileges", "false") => said.no_new_privileges = false,
            ("seccomp", "unconfined") => said.seccomp = SeccompWord::Unconfined,
            ("seccomp", "default") => said.seccomp = SeccompWord::Default,
            ("seccomp", file) if !file.is_empty() => {
                said.seccomp = SeccompWord::File(context.here().join(file));
            }
            ("apparmor", "unconfined") => said.apparmor = AppArmorWord::Unconfined,
            ("apparmor", "default") => said.apparmor = AppArmorWord::Default,
            ("apparmor", name) if !name.is_empty() => {
                said.apparmor = AppArmorWord::Profile(name.to_owned());
            }
            // No process of corten's has a label of SELinux.
            ("label", "disable") => {}
            ("label", _) => {
                let text = format!(
                    "{word}: corten gives no labels of SELinux: label=disable says so, and is how it runs"
                );
                return Err(Failure::Usage(text));
            }
            _ => {
                let text = format!(
                    "{word}: write no-new-privileges, seccomp=unconfined|FILE, apparmor=unconfined|PROFILE or label=disable"
                );
                return Err(Failure::Usage(text));
            }
        }
    }
    Ok(said)
}
