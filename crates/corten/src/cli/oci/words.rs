//! The words and flags of the runtime's command line: those which podman (through conmon), CRI-O and
//! containerd's shim pass to every runtime.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use corten_engine::Create;

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
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// How to print: json.
    #[arg(long, short, default_value = "json")]
    pub(super) format: String,
}

#[derive(Args)]
pub(super) struct PsArgs {
    /// How to print: json.
    #[arg(long, short, default_value = "json")]
    pub(super) format: String,
    /// Name of the container.
    pub(super) id: String,
}

#[derive(Args)]
pub(super) struct UpdateArgs {
    /// File with the limits (config-linux.md, resources); - is standard input.
    #[arg(long, short)]
    pub(super) resources: PathBuf,
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
    /// Directory it starts in.
    #[arg(long, default_value = "/")]
    pub(super) cwd: PathBuf,
    /// A variable; may repeat.
    #[arg(long, short)]
    pub(super) env: Vec<String>,
    /// User and group, by number.
    #[arg(long, short, value_name = "UID[:GID]")]
    pub(super) user: Option<String>,
    /// Name of the container.
    pub(super) id: String,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}
