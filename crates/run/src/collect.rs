//! Clears away what kills left.

use crate::create::{discard, erase};
use crate::error::{Doing, Result};
use crate::place::{Place, absent_is_fine};
use crate::{ContainerId, Containers, Ended, State, Timestamp, control};
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// How the runtimes here begin the names of files that live for one verb alone.
const PASSING: [&str; 2] = ["console-", ".exec-"];

/// Clears away what kills left: unfinished and discarded containers untouched for `grace`, the remains of
/// containers whose monitor died, those that were to go at their end, links of names that nobody has.
/// It never touches what lives, and may run at any time, any number at once. Gives the ids removed.
pub fn collect(
    containers: &Containers,
    grace: Duration,
    now: Timestamp,
) -> Result<Vec<ContainerId>> {
    let mut gone = Vec::new();
    for id in containers.ids("garbage")? {
        if old(&containers.garbage(&id).dir, grace, now) {
            erase(&containers.garbage(&id))?;
            gone.push(id);
        }
    }
    for id in containers.ids("embryos")? {
        let embryo = containers.embryo(&id);
        if old(&embryo.dir, grace, now) && embryo.lock()?.is_some() {
            erase(&embryo)?;
            gone.push(id);
        }
    }
    for id in containers.ids("containers")? {
        if settled(containers, &id, &|place| old(&place.dir, grace, now))? {
            gone.push(id);
        }
    }
    gone.extend(crate::pod::collect(containers, &|place| old(&place.dir, grace, now))?);
    drop_passing(containers, grace, now)?;
    containers.with_names(|| drop_idle_names(containers))?;
    Ok(gone)
}

/// Buries a container that has ended, and removes it where that was to be; whether it did.
fn settled(
    containers: &Containers,
    id: &ContainerId,
    old: &dyn Fn(&Place) -> bool,
) -> Result<bool> {
    let place = containers.place(id);
    let (Ok(status), Ok(container)) = (crate::status(containers, id), containers.container(id))
    else {
        return Ok(false);
    };
    let over = match status.state {
        State::Exited => !status.monitored,
        // Made for one run, which was killed before it began.
        State::Created => {
            container.asked.remove_at_end && container.asked.pod.is_none() && old(&place)
        }
        _ => false,
    };
    if !over {
        return Ok(false);
    }
    let Some(lock) = place.lock()? else { return Ok(false) };
    // It may have been started again before the lock was taken.
    if control::alive(&place)?.is_some() {
        return Ok(false);
    }
    if place.has("state.json") {
        bury(containers, &place)?;
    }
    if container.asked.remove_at_end {
        discard(containers, &place, lock)?;
        erase(&containers.garbage(id))?;
    }
    Ok(container.asked.remove_at_end)
}

/// Writes the end of a container whose monitor was killed, and has the runtime forget it.
pub(crate) fn bury(containers: &Containers, place: &Place) -> Result<()> {
    // One whose description a loss of power took away cannot be run by anything.
    if let Ok(container) = containers.container(&place.id) {
        // A runtime that never came to know the container refuses; then there is nothing to forget.
        let _ = crate::runtime::open(containers, &container.asked).delete(&place.id);
    }
    // A monitor that was killed after its last words has written the end itself.
    let written = control::written(place)?;
    let seen: Option<Ended> = control::undamaged(place.read("exit.json"))?;
    if let Some(written) = written
        && seen.is_none_or(|seen| seen.at < written.started)
    {
        place.write("exit.json", &written.unseen((containers.clock)()))?;
    }
    place.clear("paused")?;
    place.clear("attach.sock")?;
    place.clear("state.json")
}

fn drop_idle_names(containers: &Containers) -> Result<()> {
    let path = containers.root.join("names");
    for entry in fs::read_dir(&path).doing(|| format!("list {}", path.display()))?.flatten() {
        if let Some(name) =
            entry.file_name().to_str().filter(|name| containers.holder(name).is_none())
        {
            containers.drop_name(name)?;
        }
    }
    Ok(())
}

/// Sockets and orders of verbs that were killed.
fn drop_passing(containers: &Containers, grace: Duration, now: Timestamp) -> Result<()> {
    let path = containers.runtime_root();
    for entry in fs::read_dir(&path).doing(|| format!("list {}", path.display()))?.flatten() {
        let passing = entry
            .file_name()
            .to_str()
            .is_some_and(|name| PASSING.iter().any(|begin| name.starts_with(begin)));
        if passing && old(&entry.path(), grace, now) {
            let removed = absent_is_fine(fs::remove_file(entry.path()));
            removed.doing(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn old(path: &Path, grace: Duration, now: Timestamp) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|file| file.modified()).ok();
    let since =
        changed.and_then(|changed| changed.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Duration::from_nanos(now.0).checked_sub(since).is_some_and(|age| age >= grace)
        || grace.is_zero()
}
