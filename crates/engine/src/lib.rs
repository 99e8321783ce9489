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
mod unenforced;

pub use create::{Create, create};
pub use enter::{join_namespaces_of, start_time};
pub use error::{Error, Result};
pub use exec::{Exec, exec};
pub use features::{SPECIFICATION, features};
pub use life::{Force, delete, kill, list, start, state};
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
    /// What becomes of limits and device rules: no control groups are made.
    pub unenforced: Unenforced,
}

/// What becomes of the part of a configuration that only control groups could enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unenforced {
    /// A container whose configuration limits resources or denies devices is not created.
    Refuse,
    /// It is created without. For images that are trusted with the machine's devices, or containers whose
    /// user namespace keeps them from those.
    Ignore,
}
