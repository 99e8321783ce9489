//! The life of a container and of a pod, from creation to removal: state by rename and lock, no
//! daemon. It knows runtime bundles and nothing of images.
//!
//! ```text
//! ROOT/containers/ID/                   locked (flock) by the monitor while it watches
//!                      container.json   what was asked; never changes
//!                      name             the name now, the target of a link
//!                      state.json       pid and start of the first process; there from start to end
//!                      exit.json        how the last run ended
//!                      stopped, paused  marks: not started again, by whose wish; frozen
//!                      log, log.1 …     the output (see `LogLine`)
//!                      attach.sock      input and output, while it is watched
//!                      bundle/          config.json and root file system, made present at each start
//!                      upper, work      what the container wrote, where its root is an overlay
//! ROOT/embryos/ID/     being made; renamed to containers/ when whole
//! ROOT/garbage/ID/     renamed from containers/ to be removed
//! ROOT/names/NAME      a link to the id; true when that container's file `name` says the same
//! ROOT/pods/ID/        pod.json, holder.json, volumes/NAME (see `Pod`)
//! ROOT/runtime/        the runtime's own state
//! ROOT/events          what happened
//! ```
//!
//! Nothing is ever half there: a file is written beside and renamed, a directory is renamed into place.
//! A kill at any moment leaves a state that [`status`] tells rightly and that [`collect`] clears away.

mod agent;
mod attach;
mod collect;
mod console;
mod control;
mod create;
mod erase;
mod error;
mod event;
mod exec;
mod foreground;
mod frame;
mod front;
mod health;
mod hub;
mod id;
mod log;
mod logs;
mod model;
mod monitor;
pub mod network;
mod once;
mod place;
mod pod;
mod prepare;
mod procfs;
mod relay;
mod runtime;
mod socket;
mod supervise;
mod sys;
mod talk;
mod time;
mod watch;

pub use agent::{AgentKeys, AgentPlace, AgentProxy};
pub use attach::{Attach, Parted, attach};
pub use collect::collect;
pub use control::{
    Condition, Listed, freeze, inspect, kill, list, processes, revive, start, stats, status, stop,
    wait,
};
pub use create::{Fill, IfRunning, create, remove, rename};
pub use erase::erase;
pub use error::RunError;
pub use event::{Follow, LifeEvent, MAX_EVENTS, events};
pub use exec::{ExecRequest, exec};
pub use foreground::foreground;
pub use front::Interaction;
pub use id::{ContainerId, MAX_NAME};
pub use log::{LogLine, Stream};
pub use logs::{LogQuery, logs};
pub use model::{
    Ask, Container, Ended, Enforcement, ExitStatus, Health, HealthCheck, LogLimits, Origin,
    RestartPolicy, RuntimeChoice, State, Status,
};
pub use monitor::monitor;
pub use once::{Guard, OnceBundle, bundles, guard, make_room, private_mounts, run_once, sweep};
pub use place::Containers;
pub use pod::life::{PodCondition, PodStatus, pod_status, start_pod, stop_pod, wait_pod};
pub use pod::{
    Member, Pod, PodAsk, PodId, create_pod, find_pod, list_pods, pod_volume, remove_pod,
};
pub use prepare::{Hold, Prepare, Prepared};
pub use relay::{Relays, caller_streams};
pub use runtime::{
    Control, Execution, Freeze, Measure, Runtime, RuntimeBinary, Streams, Usage, Wires,
};
pub use talk::talk_once;
pub use time::{Clock, Timestamp};
