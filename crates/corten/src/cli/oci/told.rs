//! What is printed of containers, in the words of the runtimes of the field.

use std::path::Path;
use std::time::SystemTime;

use corten_engine::{Details, Engine};
use corten_run::Timestamp;
use serde_json::{Value, json};

use super::words::{Format, ListArgs, PsArgs};
use super::{Refused, said, told};
use crate::output::Table;

/// The most bytes of the name of a process.
const NAME: usize = 64;

/// The state as the specification has it, with `paused` and what others add.
pub(super) fn state(details: &Details) -> Value {
    // It is a struct of strings, numbers and maps of them.
    let mut state = serde_json::to_value(&details.state).unwrap_or_default();
    if let Some(state) = state.as_object_mut() {
        if details.is_paused {
            state.insert("status".to_owned(), "paused".into());
        }
        state.insert("rootfs".to_owned(), json!(details.rootfs));
        state.insert("created".to_owned(), created(details).into());
        state.insert("owner".to_owned(), details.owner.to_string().into());
    }
    state
}

fn created(details: &Details) -> String {
    let since = details.created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)).to_string()
}

pub(super) fn list(engine: &Engine, args: &ListArgs) -> Result<u8, Refused> {
    let names = corten_engine::list(engine)?;
    // One that vanishes meanwhile is left out.
    let all: Vec<Details> =
        names.iter().filter_map(|one| corten_engine::details(engine, one.id()).ok()).collect();
    if args.quiet {
        let names: String = all.iter().map(|one| format!("{}\n", one.state.id())).collect();
        return said(&names);
    }
    if args.format == Format::Json {
        return told(&all.iter().map(state).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    for one in &all {
        let status =
            if one.is_paused { "paused".to_owned() } else { one.state.status().to_string() };
        table.row(vec![
            one.state.id().clone(),
            one.state.pid().unwrap_or(0).to_string(),
            status,
            one.state.bundle().display().to_string(),
            created(one),
            one.owner.to_string(),
        ]);
    }
    said(&table.render())
}

pub(super) fn processes(engine: &Engine, args: &PsArgs) -> Result<u8, Refused> {
    let all = corten_engine::processes(engine, &args.id)?;
    if args.format == Format::Json {
        return told(&all);
    }
    let mut table = Table::new(&["PID", "COMMAND"]);
    for pid in all {
        table.row(vec![pid.to_string(), command(pid)]);
    }
    said(&table.render())
}

/// The name of a process; `?` when it is gone.
fn command(pid: u32) -> String {
    let text = std::fs::read(Path::new("/proc").join(pid.to_string()).join("comm"));
    text.map_or_else(
        |_| "?".to_owned(),
        |text| {
            String::from_utf8_lossy(text.get(..NAME.min(text.len())).unwrap_or_default())
                .trim_end()
                .to_owned()
        },
    )
}
