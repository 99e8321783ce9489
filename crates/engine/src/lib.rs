//! An OCI runtime (runtime-spec): from a runtime bundle, a root filesystem and a `config.json`, to a
//! confined process. It knows nothing of images, layers or names.
//!
//! The work is done by stages: the calling binary run again, with one thread (see [`stage`]).
//!
//! ```text
//! create ── outer stage (namespaces) ── inner stage (root, mounts, devices) ─ waits ─► start ── the program
//! ```

mod cgroup_view;
mod copy_up;
mod create;
mod devices;
mod enter;
mod error;
mod exec;
mod features;
mod filter;
mod group;
mod hooks;
mod inner;
mod life;
mod limits;
mod mapping;
mod mounts;
mod namespaces;
mod options;
mod order;
mod process;
mod procfs;
mod record;
mod reenter;
mod rights;
mod root;
pub mod seccomp;
mod spawn;
mod stage;
mod sys;
mod sysctl;
mod terminal;
mod tree;

pub use create::{Create, create};
pub use enter::{join_namespaces_of, start_time};
pub use error::{Error, Result};
pub use exec::{Exec, exec};
pub use features::features;
pub use life::{Force, Reach, delete, kill, list, pause, ps, resume, start, state};
pub use mapping::{Mapping, Subordinate};
pub use reenter::reenter;
pub use spawn::{Stdio, wait};
pub use stage::stage;

use std::path::PathBuf;

/// Where containers are kept and how their stages are run.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The directory of state: one directory per container.
    pub root: PathBuf,
    /// The binary that is run again as a stage: `/proc/self/exe` of one that calls [`stage`].
    pub program: PathBuf,
    /// What to do about control groups.
    pub cgroups: Cgroups,
}

/// What to do about control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// Use them where this machine and this user can; what the configuration limits must be obeyed.
    Auto,
    /// Leave them alone.
    Disabled,
}
