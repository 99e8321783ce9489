//! What the caller says of a container, over what its image says, and what the machine can do.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Powers;
use oci_spec::runtime::{LinuxDevice, LinuxSeccomp, Mount, PosixRlimit};

/// What the caller says of a container. The default says nothing: the image and the defaults decide.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Instead of the image's entry point, and of its arguments too. An empty list takes both away.
    pub entrypoint: Option<Vec<String>>,
    /// Instead of the image's arguments; an empty list leaves those.
    pub args: Vec<String>,
    /// Variables to set, over those of the image.
    pub env: Vec<(String, String)>,
    /// Names of variables that the image and the defaults shall not set.
    pub unset: Vec<String>,
    /// The directory to start in.
    pub workdir: Option<String>,
    /// The user, as an image writes it.
    pub user: Option<String>,
    /// Further groups of the process, by name or number.
    pub groups_add: Vec<String>,
    /// The host name; needs a uts namespace of the container's own.
    pub hostname: Option<String>,
    /// Give the process a terminal.
    pub terminal: bool,
    /// The root filesystem is not writable.
    pub read_only: bool,
    /// Mounts beside the default ones; one at the place of a default one stands in for it.
    pub mounts: Vec<Mount>,
    /// Capabilities more, with or without `CAP_`; `ALL` for all.
    pub cap_add: Vec<String>,
    /// Capabilities less; `ALL` for all.
    pub cap_drop: Vec<String>,
    /// No program may gain privileges by being executed.
    pub no_new_privileges: bool,
    /// The AppArmor profile; `None` for none.
    pub apparmor: Option<String>,
    /// Which system calls are possible.
    pub seccomp: SeccompChoice,
    /// Leave the parts of `/proc` and `/sys` open that are masked or read-only by default.
    pub unmasked: bool,
    /// All of the machine: every capability and device, nothing masked, no filter. Other choices
    /// here still hold where they are made.
    pub privileged: bool,
    /// Most memory, in bytes.
    pub memory: Option<u64>,
    /// Most memory and swap together, in bytes; -1 for no limit.
    pub swap: Option<i64>,
    /// Most processor time.
    pub cpus: Option<Cpus>,
    /// Most processes; -1 for no limit.
    pub pids: Option<i64>,
    /// Size of `/dev/shm`, in bytes.
    pub shm_size: Option<u64>,
    /// The network.
    pub network: NetworkSpace,
    /// Processes.
    pub pid: Space,
    /// Message queues, semaphores and shared memory.
    pub ipc: Space,
    /// Host name.
    pub uts: Space,
    /// Kernel parameters of the container's namespaces.
    pub sysctl: Vec<(String, String)>,
    /// Limits of the process.
    pub ulimits: Vec<PosixRlimit>,
    /// Devices of the machine.
    pub devices: Vec<DeviceGrant>,
    /// Annotations of the runtime config, over all others.
    pub annotations: Vec<(String, String)>,
    /// Labels, over those of the image; they become annotations as those do.
    pub labels: Vec<(String, String)>,
    /// Have an init as the first process, which starts the program: the annotation [`INIT`] asks the engine for
    /// it.
    pub init: bool,
    /// How readily the kernel kills the process when memory runs out, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// The control group that the container's own is made in.
    pub cgroup_parent: Option<PathBuf>,
    /// The container's id: the last part of its control group.
    pub id: Option<String>,
}

/// The annotation that [`Overrides::init`] becomes, with the value `true`.
pub const INIT: &str = "run.corten.engine.init";

/// Which namespace of a kind the container has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Space {
    /// One of its own.
    #[default]
    New,
    /// The caller's.
    Host,
    /// That of the namespace file.
    Path(PathBuf),
}

/// Which network the container has.
pub type NetworkSpace = Space;

/// Which system calls are possible.
#[derive(Clone, Debug, Default)]
pub enum SeccompChoice {
    /// Those of [`default_profile`](super::default_profile); all of them when privileged.
    #[default]
    Default,
    /// All.
    Unconfined,
    /// Those of a profile without conditions on capabilities or architectures.
    Profile(LinuxSeccomp),
    /// Those of a profile file as the field writes it: its conditions are resolved against the
    /// capabilities that the container gets.
    File(Vec<u8>),
}

/// Processor time, in thousandths of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus(pub u32);

/// Why a text is no number of processors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a number of processors: write 2 or 1.5, with three decimals at most")]
pub struct CpusError(String);

impl FromStr for Cpus {
    type Err = CpusError;

    fn from_str(text: &str) -> Result<Self, CpusError> {
        let error = || CpusError(text.chars().take(80).collect());
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + part.len() == 0 || part.len() > 3 || !digits(whole) || !digits(part) {
            return Err(error());
        }
        let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| error())? };
        let part: u32 = format!("{part:0<3}").parse().map_err(|_| error())?;
        whole.checked_mul(1000).and_then(|all| all.checked_add(part)).map(Self).ok_or_else(error)
    }
}

/// A device of the machine that the container may use.
#[derive(Clone, Debug)]
pub struct DeviceGrant {
    /// Its path on the machine.
    pub source: PathBuf,
    /// What it is, and its path in the container.
    pub node: LinuxDevice,
    /// `r` to read, `w` to write, `m` to make nodes of it.
    pub access: String,
}

/// The machine that a runtime config is for.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its processor, in the words of `GOARCH`.
    pub architecture: String,
    /// Whose root starts the container.
    pub identities: Identities,
    /// Whether the container gets a cgroup namespace: where control groups are of version 2.
    pub cgroup_namespace: bool,
    /// Whether its control groups limit swap.
    pub swap_limit: bool,
    /// Whether a control group can hold the number of processes: then there is a limit even where nobody asks for one.
    pub pids_limit: bool,
    /// The slice of systemd that containers are in, where systemd makes their control groups.
    pub slice: Option<String>,
    /// Paths of this machine to mask beside those that are masked anyway: the thermal throttle counters
    /// of its processors, say.
    pub masked: Vec<String>,
    /// Files and directories of its proc that belong to no process: they are the machine's in every mount of proc, and
    /// its root may change their modes. Empty where the container's root is not the machine's.
    pub kernel_files: Vec<String>,
}

/// Whose root starts the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identities {
    /// The machine's.
    Machine,
    /// That of a user namespace which the caller is in already. Devices cannot be made then, only
    /// mounted, and no device rules are needed.
    Namespace,
}

impl Host {
    /// This machine, for a process with these powers on it.
    pub fn here(architecture: impl Into<String>, powers: Powers) -> Self {
        let identities = match powers {
            Powers::Machine => Identities::Machine,
            Powers::Ranges | Powers::OneId => Identities::Namespace,
        };
        let cgroup_namespace = Path::new("/proc/self/ns/cgroup").exists();
        let kernel_files = match identities {
            Identities::Machine => kernel_files(),
            Identities::Namespace => Vec::new(),
        };
        Self { cgroup_namespace, kernel_files, ..Self::new(architecture, identities) }
    }

    /// A machine with control groups of version 2 and nothing special.
    pub fn new(architecture: impl Into<String>, identities: Identities) -> Self {
        Self {
            architecture: architecture.into(),
            identities,
            cgroup_namespace: true,
            swap_limit: false,
            pids_limit: false,
            slice: None,
            masked: Vec::new(),
            kernel_files: Vec::new(),
        }
    }
}

/// What stands in proc beside the processes, and is no link to one.
fn kernel_files() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut files: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.parse::<u32>().is_err())
        .map(|name| format!("/proc/{name}"))
        .collect();
    files.sort_unstable();
    files
}
