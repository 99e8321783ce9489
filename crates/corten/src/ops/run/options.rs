//! What is asked of a container, as values: the words of the command line are read already.

use std::path::PathBuf;

use corten_run::network::Publish;
use oci_spec::runtime::PosixRlimit;
use serde::{Deserialize, Serialize};

use super::grants::DeviceWord;
use super::volumes::VolumeMount;

/// How a container runs, where that differs from what its image says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Program instead of the image's entry point; an empty list for none.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments instead of the image's.
    pub arguments: Vec<String>,
    /// Variables, the later one wins.
    pub env: Vec<(String, String)>,
    /// Variables of the image that are taken away.
    pub unset: Vec<String>,
    /// Directory the process starts in.
    pub workdir: Option<String>,
    /// User and group.
    pub user: Option<String>,
    /// More groups.
    pub groups: Vec<String>,
    /// Whether standard input stays open.
    pub interactive: bool,
    /// Whether the process has a terminal.
    pub terminal: bool,
    /// Whether a first process of the engine's own starts it and takes orphans in.
    pub init: bool,
    /// Whose processes it sees.
    pub pid: Shared,
    /// With whom it shares memory and message queues.
    pub ipc: Shared,
    /// Mounts.
    pub mounts: Vec<VolumeMount>,
    /// Whether the container can write to its root filesystem.
    pub read_only: bool,
    /// Most memory in bytes.
    pub memory: Option<u64>,
    /// Most memory and swap together in bytes, -1 for no limit.
    pub swap: Option<i64>,
    /// Most processors, in thousandths.
    pub cpus: Option<u32>,
    /// Most processes.
    pub pids: Option<i64>,
    /// Size of /dev/shm in bytes.
    pub shm_size: Option<u64>,
    /// Capabilities more.
    pub cap_add: Vec<String>,
    /// Capabilities less.
    pub cap_drop: Vec<String>,
    /// Whether the process can win privileges by executing something.
    pub no_new_privileges: bool,
    /// Its AppArmor profile.
    #[serde(default)]
    pub apparmor: AppArmorWord,
    /// Which system calls it may make.
    pub seccomp: SeccompWord,
    /// Whether it may use all of the machine.
    pub privileged: bool,
    /// Devices of the machine.
    pub devices: Vec<DeviceWord>,
    /// Limits of the process.
    pub ulimits: Vec<PosixRlimit>,
    /// How readily the kernel ends it when memory runs out, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// The control group that its own is made in.
    pub cgroup_parent: Option<PathBuf>,
    /// Who makes its control groups.
    #[serde(default)]
    pub cgroups: GroupsWord,
    /// Kernel parameters of its namespaces.
    pub sysctl: Vec<(String, String)>,
    /// Host name.
    pub hostname: Option<String>,
    /// Network.
    pub network: Network,
    /// Values that the image's templates are rendered with at each start, over those of its build.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// Annotations of the runtime config.
    pub annotations: Vec<(String, String)>,
}

/// Who makes the control groups of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum GroupsWord {
    /// Systemd, where it runs the machine with control groups of version 2; else corten itself.
    #[default]
    #[value(alias = "no-conmon")]
    Enabled,
    /// Corten itself, in the file system of control groups.
    Cgroupfs,
    /// Nobody: there are none, no limits and no device rules.
    Disabled,
}

/// A namespace of the container's own, or that of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Shared {
    /// Its own.
    #[default]
    Private,
    /// The machine's.
    Host,
}

/// The AppArmor profile of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppArmorWord {
    /// `corten-default` where the kernel has it loaded, else none.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// This one, which must be loaded.
    Profile(String),
}

/// Which system calls a container may make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompWord {
    /// Those of the default profile.
    #[default]
    Default,
    /// Every one.
    Unconfined,
    /// Those of a profile in a file (runtime-spec `config-linux.md`, seccomp).
    File(PathBuf),
}

/// The network of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A loopback of its own, and nothing else.
    #[default]
    None,
    /// That of this machine.
    Host,
    /// One of its own with a way out.
    Private {
        /// Ports of this machine that lead into it.
        publish: Vec<Publish>,
        /// Whether the container starts without a way out where none can be had.
        optional: bool,
    },
}
