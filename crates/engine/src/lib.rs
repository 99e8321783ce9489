//! An OCI runtime (runtime-spec): from a runtime bundle, a root filesystem and a `config.json`, to a
//! confined process. It knows nothing of images, layers or names.
//!
//! The work is done by stages: the calling binary run again, with one thread (see [`stage`]).
//!
//! ```text
//! create ── outer stage (namespaces) ── inner stage (root, mounts, devices) ─ waits ─► start ── the program
//! ```

mod apparmor;
mod birth;
mod cgroup_view;
mod copy_up;
mod create;
mod devices;
mod enter;
mod error;
mod exec;
mod features;
mod filter;
mod groups;
mod hooks;
mod idmap;
mod init;
mod inner;
mod late;
mod life;
mod limits;
mod mapping;
mod mounts;
mod namespaces;
mod no_pivot;
mod numbers;
mod one_id;
mod options;
mod order;
mod oversight;
mod own;
mod process;
mod procfs;
mod readiness;
mod record;
mod rights;
mod root;
mod schedule;
mod seal;
pub mod seccomp;
mod spawn;
mod stage;
mod streams;
mod sys;
mod sysctl;
mod systemd;
mod targets;
mod terminal;
mod tree;
mod user_namespace;
mod words;

pub use create::{Create, Unwritten, create};
pub use enter::{join_user_namespace_of, private_mounts, start_time};
pub use error::{Error, Result};
pub use exec::{Exec, exec, exec_while};
pub use features::{SPECIFICATION, features};
pub use groups::{OomWatch, Stats, counts_processes};
pub use init::INIT;
pub use life::{Details, Force, delete, details, kill, list, process, start, state};
pub use mapping::{Mapping, Subordinate};
pub use oversight::{kill_all, oom_watch, pause, paused, processes, resume, stats, update};
pub use readiness::{Readiness, start_listening};
pub use record::parse_process;
pub use spawn::{Stdio, wait};
pub use stage::stage;
pub use sys::close_inherited;
pub use systemd::{Systemd, Whose};
pub use user_namespace::make_user_namespace;

use std::path::PathBuf;

/// Where containers are kept and how their stages are run.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The directory of state: one directory per container.
    pub root: PathBuf,
    /// The binary that is run again as a stage: `/proc/self/exe` of one that calls [`stage`].
    pub program: PathBuf,
    /// Whether containers get control groups.
    pub groups: Groups,
    /// What becomes of limits and device rules that no control group enforces.
    pub unenforced: Unenforced,
    /// Is told, in a sentence, what the engine leaves out of what was asked.
    pub tell: fn(&str),
}

/// Whether containers get control groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// A group of its own in every hierarchy that this process may write. Where it may not, the container goes
    /// without, unless its configuration asks something of that hierarchy: then see [`Unenforced`].
    #[default]
    Auto,
    /// A scope of systemd, on a machine with control groups of version 2 alone.
    Systemd(Systemd),
    /// None.
    Off,
}

/// What becomes of the part of a configuration that only control groups could enforce, where they cannot.
///
/// Denied devices need none for a container inside a user namespace: the kernel keeps it from them anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unenforced {
    /// The container is not created.
    #[default]
    Refuse,
    /// It is created without. For images that are trusted with the machine's devices and its memory.
    Ignore,
}
