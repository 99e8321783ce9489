//! Makes containers, names them, removes them, and clears away what kills left.

use crate::error::{Doing, Result, RunError};
use crate::model::Written;
use crate::place::{Lock, Place};
use crate::runtime::RuntimeBinary;
use crate::{
    Ask, Container, ContainerId, Containers, Ended, RuntimeChoice, State, Timestamp, event,
};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Fills the directory of a runtime bundle, as far as it lasts from one start to the next. Whatever names a
/// path in it must name it relative to it, as the directory is renamed once. Its `config.json` may come with
/// the first start (see [`crate::Prepare`]).
pub type Fill<'a> = &'a mut dyn FnMut(&Path) -> io::Result<()>;

/// What a removal does with a container that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfRunning {
    /// Kill it.
    Kill,
    /// Refuse.
    Refuse,
}

/// Makes a container. It is there whole, under its name, or not at all.
pub fn create(containers: &Containers, asked: Ask, fill: Fill<'_>) -> Result<ContainerId> {
    let id = ContainerId::random()?;
    let name = asked.name.clone().unwrap_or_else(|| id.short().to_owned());
    crate::id::check_name(&name)?;
    // Before the work, for an early answer; the reservation below decides.
    if let Some(holder) = containers.holder(&name) {
        return Err(RunError::NameTaken { name, id: holder });
    }
    if let RuntimeChoice::Binary { path } = &asked.runtime {
        RuntimeBinary::checked(path, &containers.runtime_root())?;
    }
    let embryo = containers.embryo(&id);
    let made = hatch(containers, &embryo, asked, (&name, fill));
    if made.is_err() {
        let _ = crate::erase::erase(&embryo.dir);
    }
    made?;
    event::note(containers, &id, "create", None);
    Ok(id)
}

fn hatch(
    containers: &Containers,
    embryo: &Place,
    asked: Ask,
    (name, fill): (&str, Fill<'_>),
) -> Result<()> {
    let making = || format!("make {}", embryo.dir.display());
    let mut private = DirBuilder::new();
    private.mode(0o700);
    private.create(&embryo.dir).doing(making)?;
    crate::place::open_lock(&embryo.file("lock"))?;
    // Held until the rename, so that `collect` leaves it alone; a kill lets go of it.
    let _lock = embryo.lock()?;
    private.create(embryo.bundle()).doing(making)?;
    fill(&embryo.bundle()).doing(|| format!("fill {}", embryo.bundle().display()))?;
    let container = Container { id: embryo.id.clone(), created: (containers.clock)(), asked };
    embryo.write("container.json", &container)?;
    embryo.write_bytes("name", name.as_bytes())?;
    containers.with_names(|| {
        containers.take_name(name, &embryo.id)?;
        let place = containers.place(&embryo.id);
        fs::rename(&embryo.dir, &place.dir).doing(|| format!("publish {}", place.dir.display()))
    })
}

/// Gives a container another name.
pub fn rename(containers: &Containers, id: &ContainerId, name: &str) -> Result<()> {
    crate::id::check_name(name)?;
    let place = containers.place(id);
    containers.with_names(|| {
        let old = place.name()?;
        if old == name {
            return Ok(());
        }
        // A kill between these leaves two links, of which the file `name` makes one the true one.
        containers.take_name(name, id)?;
        place.write_bytes("name", name.as_bytes())?;
        containers.drop_name(&old)
    })?;
    event::note(containers, id, "rename", None);
    Ok(())
}

/// Removes a container. One that runs is refused, or killed first with [`IfRunning::Kill`].
pub fn remove(containers: &Containers, id: &ContainerId, force: IfRunning) -> Result<()> {
    let status = crate::status(containers, id)?;
    if !matches!(status.state, State::Created | State::Exited) {
        if force == IfRunning::Refuse {
            let state = status.state.word().to_owned();
            return Err(RunError::State { id: id.clone(), state, verb: "be removed" });
        }
        crate::stop(containers, id, Some(Duration::ZERO))?;
    }
    let place = containers.place(id);
    let Some(lock) = place.lock()? else {
        return Err(RunError::State {
            id: id.clone(),
            state: "held".to_owned(),
            verb: "be removed",
        });
    };
    if place.has("state.json") {
        bury(containers, &place)?;
    }
    discard(containers, &place, lock)?;
    event::note(containers, id, "remove", None);
    erase(&containers.garbage(id))
}

/// Out of sight at once, by one rename; its name is free from then on.
fn discard(containers: &Containers, place: &Place, lock: Lock) -> Result<()> {
    containers.with_names(|| {
        let name = place.name()?;
        let garbage = containers.garbage(&place.id);
        let held = containers.holder(&name).is_some_and(|holder| holder == place.id);
        fs::rename(&place.dir, &garbage.dir)
            .doing(|| format!("discard {}", place.dir.display()))?;
        if held {
            containers.drop_name(&name)?;
        }
        Ok(())
    })?;
    drop(lock);
    Ok(())
}

fn erase(place: &Place) -> Result<()> {
    crate::erase::erase(&place.dir).doing(|| format!("remove {}", place.dir.display()))
}

/// Writes the end of a container whose monitor was killed, and has the runtime forget it.
pub(crate) fn bury(containers: &Containers, place: &Place) -> Result<()> {
    let container = containers.container(&place.id)?;
    let machine = crate::runtime::open(containers, &container.asked);
    // A runtime that never came to know the container refuses; then there is nothing to forget.
    let _ = machine.delete(&place.id);
    // A monitor that was killed after its last words has written the end itself.
    let written: Option<Written> = place.read("state.json")?;
    let seen: Option<Ended> = place.read("exit.json")?;
    if let Some(written) = written
        && seen.is_none_or(|seen| seen.at < written.started)
    {
        place.write("exit.json", &written.unseen((containers.clock)()))?;
    }
    place.clear("paused")?;
    place.clear("attach.sock")?;
    place.clear("state.json")
}

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
        if old(&containers.garbage(&id), grace, now) {
            erase(&containers.garbage(&id))?;
            gone.push(id);
        }
    }
    for id in containers.ids("embryos")? {
        let embryo = containers.embryo(&id);
        // One killed before it had its lock file cannot be locked, and needs not be.
        if old(&embryo, grace, now) && (!embryo.has("lock") || embryo.lock()?.is_some()) {
            erase(&embryo)?;
            gone.push(id);
        }
    }
    for id in containers.ids("containers")? {
        let place = containers.place(&id);
        let Ok(status) = crate::status(containers, &id) else { continue };
        if status.monitored || status.state != State::Exited {
            continue;
        }
        let Some(lock) = place.lock()? else { continue };
        if place.has("state.json") {
            bury(containers, &place)?;
        }
        if containers.container(&id)?.asked.remove_at_end {
            discard(containers, &place, lock)?;
            erase(&containers.garbage(&id))?;
            gone.push(id);
        }
    }
    containers.with_names(|| drop_idle_names(containers))?;
    Ok(gone)
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

fn old(place: &Place, grace: Duration, now: Timestamp) -> bool {
    let changed = fs::metadata(&place.dir).and_then(|dir| dir.modified()).ok();
    let since =
        changed.and_then(|changed| changed.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Duration::from_nanos(now.0).checked_sub(since).is_some_and(|age| age >= grace)
        || grace.is_zero()
}
