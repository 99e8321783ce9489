//! The words and flags of the runtime's command line: those which podman (through conmon), CRI-O and
//! containerd's shim pass to every runtime.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use corten_engine::Create;
use oci_spec::runtime::{LinuxPids, LinuxResources};

/// Act as an OCI runtime, for podman, containerd and their like
#[derive(Args)]
#[command(
    disable_version_flag = true,
    after_help = "\
A link of the name corten-oci to this program is an OCI runtime by itself, for engines that take no more \
than a path.

Examples:
  ln -s $(command -v corten) /usr/local/bin/corten-oci
  podman --runtime /usr/local/bin/corten-oci run debian:13 true
  corten oci run --bundle ./bundle first"
)]
pub(in crate::cli) struct OciArgs {
    /// Directory of the containers' state [default: /run/corten/oci, or below $XDG_RUNTIME_DIR].
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// File that failures are written to.
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// How they are written there.
    #[arg(long, value_enum, default_value = "text")]
    pub(super) log_format: LogFormat,
    /// Control groups: auto (made here), systemd (a scope of systemd), or disabled.
    #[arg(long, value_enum, default_value = "auto", alias = "cgroup-manager")]
    pub(super) cgroups: GroupsWord,
    /// Have systemd make the control groups, as --cgroups systemd.
    #[arg(long)]
    pub(super) systemd_cgroup: bool,
    /// Taken for compatibility.
    #[arg(long, hide = true)]
    pub(super) debug: bool,
    /// Taken for compatibility.
    #[arg(long, hide = true, value_name = "WHETHER", num_args = 0..=1)]
    pub(super) rootless: Option<String>,
    /// Print the version, and that of the specification.
    #[arg(long, short)]
    pub(super) version: bool,
    #[command(subcommand)]
    pub(super) word: Option<Word>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum GroupsWord {
    #[value(alias = "cgroupfs")]
    Auto,
    Systemd,
    Disabled,
}

#[derive(Subcommand)]
pub(super) enum Word {
    /// Create a container from a bundle; its process waits for start
    Create(CreateArgs),
    /// Let the process of a created container go
    Start(IdArgs),
    /// Create, start, wait and delete
    Run(RunArgs),
    /// Print the state of a container
    State(IdArgs),
    /// Print the state of all containers
    List(ListArgs),
    /// Send a signal to a container
    Kill(KillArgs),
    /// Stop all processes of a container where they are
    Pause(IdArgs),
    /// Let them go on
    Resume(IdArgs),
    /// Print the processes of a container
    Ps(PsArgs),
    /// Change the limits of a container
    Update(UpdateArgs),
    /// Delete a container that has stopped
    Delete(DeleteArgs),
    /// Run one more process in a container
    Exec(ExecArgs),
    /// Print what this runtime can do (features.md)
    Features,
    /// Write a config.json to begin with
    Spec(SpecArgs),
    /// Print what a container uses, and when its memory runs out
    Events(EventsArgs),
}

#[derive(Args)]
pub(super) struct SpecArgs {
    /// Directory of the bundle.
    #[arg(long, short, default_value = ".")]
    pub(super) bundle: PathBuf,
    /// For an ordinary user: in a user namespace of its own.
    #[arg(long)]
    pub(super) rootless: bool,
}

#[derive(Args)]
pub(super) struct EventsArgs {
    /// Print what it uses once, and end.
    #[arg(long)]
    pub(super) stats: bool,
    /// How long between two looks: a number and s, m or h.
    #[arg(long, default_value = "5s", value_parser = crate::cli::words::span)]
    pub(super) interval: std::time::Duration,
    /// Name of the container.
    pub(super) id: String,
}

/// How a list is printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

#[derive(Args)]
pub(super) struct IdArgs {
    /// Name of the container.
    pub(super) id: String,
}

#[derive(Args)]
pub(super) struct CreateArgs {
    /// Directory of the bundle.
    #[arg(long, short, default_value = ".")]
    pub(super) bundle: PathBuf,
    /// File with the configuration, in place of the bundle's config.json; --config after `oci` means this one.
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(super) config_file: Option<PathBuf>,
    /// Socket that takes the master of the terminal.
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// File to write the pid to.
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on the process inherits.
    #[arg(long, default_value_t)]
    pub(super) preserve_fds: u32,
    /// Move the root instead of pivoting.
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Taken for compatibility: no keyring is made.
    #[arg(long, hide = true)]
    pub(super) no_new_keyring: bool,
    /// Name of the container.
    pub(super) id: String,
}

impl CreateArgs {
    pub(super) fn wanted(self) -> Create {
        Create {
            id: self.id,
            bundle: self.bundle,
            config: self.config_file,
            console_socket: self.console_socket,
            pid_file: self.pid_file,
            preserve_fds: self.preserve_fds,
            no_pivot: self.no_pivot,
            ..Create::default()
        }
    }
}

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) create: CreateArgs,
    /// Leave it running.
    #[arg(long, short)]
    pub(super) detach: bool,
    /// Keep what is known of it when it has ended, until it is deleted.
    #[arg(long)]
    pub(super) keep: bool,
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// How to print: table, or json.
    #[arg(long, short, value_enum, default_value = "table")]
    pub(super) format: Format,
    /// Print the names alone.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

#[derive(Args)]
pub(super) struct PsArgs {
    /// How to print: table, or json.
    #[arg(long, short, value_enum, default_value = "table")]
    pub(super) format: Format,
    /// Name of the container.
    pub(super) id: String,
}

#[derive(Args)]
pub(super) struct UpdateArgs {
    /// File with the limits (config-linux.md, resources); - is standard input.
    #[arg(long, short)]
    pub(super) resources: Option<PathBuf>,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
    /// Name of the container.
    pub(super) id: String,
}

#[derive(Args)]
pub(super) struct KillArgs {
    /// Every process, not the first alone.
    #[arg(long, short)]
    pub(super) all: bool,
    /// Name of the container.
    pub(super) id: String,
    /// The signal, by number or name.
    #[arg(default_value = "TERM")]
    pub(super) signal: String,
}

#[derive(Args)]
pub(super) struct DeleteArgs {
    /// End what still runs, and mind no container that is not there.
    #[arg(long, short)]
    pub(super) force: bool,
    /// Name of the container.
    pub(super) id: String,
}

#[derive(Args)]
pub(super) struct ExecArgs {
    /// File with the process to run (config.md, process), instead of words and flags.
    #[arg(long, short)]
    pub(super) process: Option<PathBuf>,
    /// Socket that takes the master of the terminal.
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// File to write the pid to.
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on the process inherits.
    #[arg(long, default_value_t)]
    pub(super) preserve_fds: u32,
    /// Leave it running.
    #[arg(long, short)]
    pub(super) detach: bool,
    /// Give it a terminal.
    #[arg(long, short)]
    pub(super) tty: bool,
    /// Directory it starts in, in place of the container's.
    #[arg(long)]
    pub(super) cwd: Option<PathBuf>,
    /// A variable; may repeat.
    #[arg(long, short)]
    pub(super) env: Vec<String>,
    /// User and group, by number, in place of the container's.
    #[arg(long, short, value_name = "UID[:GID]")]
    pub(super) user: Option<String>,
    /// A group more, by number; may repeat.
    #[arg(long, short = 'g', value_name = "GID")]
    pub(super) additional_gids: Vec<u32>,
    /// A capability more; may repeat.
    #[arg(long, short, value_name = "CAPABILITY")]
    pub(super) cap: Vec<String>,
    /// Let it win no privileges by executing something.
    #[arg(long)]
    pub(super) no_new_privs: bool,
    /// Its AppArmor profile, in place of the container's.
    #[arg(long, value_name = "PROFILE")]
    pub(super) apparmor: Option<String>,
    /// Its SELinux label, in place of the container's.
    #[arg(long, value_name = "LABEL")]
    pub(super) process_label: Option<String>,
    /// The control group below the container's that it is put into.
    #[arg(long, value_name = "PATH")]
    pub(super) cgroup: Option<PathBuf>,
    /// Put it into a container that is paused, too.
    #[arg(long)]
    pub(super) ignore_paused: bool,
    /// Name of the container.
    pub(super) id: String,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}

/// Limits by flags, as the runtimes of the field have them.
#[derive(Args)]
pub(super) struct LimitFlags {
    /// Most memory, such as 512m.
    #[arg(long, value_name = "SIZE", value_parser = crate::cli::words::swap, allow_negative_numbers = true)]
    pub(super) memory: Option<i64>,
    /// Memory that is left to it as long as there is some.
    #[arg(long, value_name = "SIZE", value_parser = crate::cli::words::swap, allow_negative_numbers = true)]
    pub(super) memory_reservation: Option<i64>,
    /// Most memory and swap together; -1 for no limit.
    #[arg(long, value_name = "SIZE", value_parser = crate::cli::words::swap, allow_negative_numbers = true)]
    pub(super) memory_swap: Option<i64>,
    /// Share of the processors beside others.
    #[arg(long, alias = "cpu-shares", value_name = "NUMBER")]
    pub(super) cpu_share: Option<u64>,
    /// Microseconds of processor time in a period; -1 for no limit.
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub(super) cpu_quota: Option<i64>,
    /// Microseconds of a period.
    #[arg(long, value_name = "MICROSECONDS")]
    pub(super) cpu_period: Option<u64>,
    /// Microseconds that may be used beyond the quota.
    #[arg(long, value_name = "MICROSECONDS")]
    pub(super) cpu_burst: Option<u64>,
    /// Microseconds of real time in a period.
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub(super) cpu_rt_runtime: Option<i64>,
    /// Microseconds of a period of real time.
    #[arg(long, value_name = "MICROSECONDS")]
    pub(super) cpu_rt_period: Option<u64>,
    /// 1: only what others leave of the processors.
    #[arg(long, value_name = "0|1")]
    pub(super) cpu_idle: Option<i64>,
    /// Processors it may use, such as 0-3,7.
    #[arg(long, value_name = "LIST")]
    pub(super) cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    #[arg(long, value_name = "LIST")]
    pub(super) cpuset_mems: Option<String>,
    /// Most processes; -1 for no limit.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(super) pids_limit: Option<i64>,
    /// Share of reads and writes beside others, from 10 to 1000.
    #[arg(long, value_name = "NUMBER")]
    pub(super) blkio_weight: Option<u16>,
}

impl LimitFlags {
    /// Adds what the flags say.
    pub(super) fn add_to(&self, resources: &mut LinuxResources) {
        let memory = [self.memory, self.memory_reservation, self.memory_swap];
        if memory.iter().any(Option::is_some) {
            let mut all = resources.memory().unwrap_or_default();
            let [limit, reservation, swap] = memory;
            all.set_limit(limit.or(all.limit()));
            all.set_reservation(reservation.or(all.reservation()));
            all.set_swap(swap.or(all.swap()));
            resources.set_memory(Some(all));
        }
        let mut cpu = resources.cpu().clone().unwrap_or_default();
        let before = cpu.clone();
        cpu.set_shares(self.cpu_share.or(cpu.shares()));
        cpu.set_quota(self.cpu_quota.or(cpu.quota()));
        cpu.set_period(self.cpu_period.or(cpu.period()));
        cpu.set_burst(self.cpu_burst.or(cpu.burst()));
        cpu.set_realtime_runtime(self.cpu_rt_runtime.or(cpu.realtime_runtime()));
        cpu.set_realtime_period(self.cpu_rt_period.or(cpu.realtime_period()));
        cpu.set_idle(self.cpu_idle.or(cpu.idle()));
        cpu.set_cpus(self.cpuset_cpus.clone().or(cpu.cpus().clone()));
        cpu.set_mems(self.cpuset_mems.clone().or(cpu.mems().clone()));
        if cpu != before {
            resources.set_cpu(Some(cpu));
        }
        if let Some(limit) = self.pids_limit {
            let mut pids = LinuxPids::default();
            pids.set_limit(limit);
            resources.set_pids(Some(pids));
        }
        if let Some(weight) = self.blkio_weight {
            let mut block = resources.block_io().clone().unwrap_or_default();
            block.set_weight(Some(weight));
            resources.set_block_io(Some(block));
        }
    }
}
