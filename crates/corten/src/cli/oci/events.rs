//! `events`: what a container uses, in the shape that runc gave it and its readers expect.

use std::os::fd::AsFd as _;
use std::time::Duration;

use corten_engine::{Engine, Stats};
use rustix::pipe::PipeFlags;
use serde_json::{Value, json};

use super::words::EventsArgs;
use super::{Refused, said};

pub(super) fn events(engine: &Engine, args: &EventsArgs) -> Result<u8, Refused> {
    tell(&args.id, &corten_engine::stats(engine, &args.id)?)?;
    if args.stats {
        return Ok(0);
    }
    let watch = corten_engine::oom_watch(engine, &args.id)?;
    let (end, over) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        let id = &args.id;
        if let Some(watch) = &watch {
            let end = &end;
            scope.spawn(move || {
                if watch.has_killed_until(end.as_fd()) {
                    // A reader who is gone ends the other thread, too.
                    let _ = said(&format!("{}\n", json!({ "type": "oom", "id": id })));
                }
            });
        }
        let told = follow(engine, id, args.interval);
        drop(over);
        told
    })
}

/// Tells again and again, until the container has ended.
fn follow(engine: &Engine, id: &str, interval: Duration) -> Result<u8, Refused> {
    loop {
        std::thread::sleep(interval);
        match corten_engine::stats(engine, id) {
            Ok(stats) => tell(id, &stats)?,
            Err(corten_engine::Error::Missing { .. } | corten_engine::Error::Status { .. }) => {
                return Ok(0);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn tell(id: &str, stats: &Stats) -> Result<(), Refused> {
    said(&format!("{}\n", json!({ "type": "stats", "id": id, "data": data(stats) }))).map(drop)
}

fn data(stats: &Stats) -> Value {
    json!({
        "cpu": {
            "usage": {
                "total": stats.cpu_usage,
                "kernel": stats.cpu_system,
                "user": stats.cpu_user,
            },
            "throttling": {
                "periods": stats.cpu_periods,
                "throttledPeriods": stats.cpu_throttled_periods,
                "throttledTime": stats.cpu_throttled,
            },
        },
        "memory": {
            "usage": {
                "usage": stats.memory_current,
                "max": stats.memory_peak,
                "limit": stats.memory_limit,
            },
        },
        "pids": { "current": stats.pids_current, "limit": stats.pids_limit },
        "blkio": {
            "ioServiceBytesRecursive": [
                { "op": "Read", "value": stats.io_read },
                { "op": "Write", "value": stats.io_written },
            ],
        },
    })
}
