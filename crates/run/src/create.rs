//! Makes containers, names them, removes them.

use crate::error::{Doing, Result, RunError};
use crate::place::{Lock, Place};
use crate::runtime::RuntimeBinary;
use crate::{Ask, Container, ContainerId, Containers, RuntimeChoice, State, event};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

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
    // Held until the rename, so that `collect` leaves it alone; a kill lets go of it.
    let _lock = embryo.lock()?;
    private.create(embryo.bundle()).doing(making)?;
    fill(&embryo.bundle()).doing(|| format!("fill {}", embryo.bundle().display()))?;
    let container = Container { id: embryo.id.clone(), created: (containers.clock)(), asked };
    embryo.write("container.json", &container)?;
    embryo.set_name(name)?;
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
        place.set_name(name)?;
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
    if force == IfRunning::Kill && !place.dir.exists() {
        // Its end was its removal.
        return Ok(());
    }
    let Some(lock) = place.lock()? else {
        return Err(RunError::State {
            id: id.clone(),
            state: "held".to_owned(),
            verb: "be removed",
        });
    };
    if place.has("state.json") {
        crate::collect::bury(containers, &place)?;
    }
    discard(containers, &place, lock)?;
    erase(&containers.garbage(id))
}

/// Removes one that was to go at its end; another hand may have been faster.
pub(crate) fn remove_at_end(containers: &Containers, id: &ContainerId) -> Result<()> {
    match remove(containers, id, IfRunning::Refuse) {
        Err(_) if !containers.place(id).dir.exists() => Ok(()),
        other => other,
    }
}

/// Out of sight at once, by one rename; its name is free from then on.
pub(crate) fn discard(containers: &Containers, place: &Place, lock: Lock) -> Result<()> {
    containers.with_names(|| {
        // One that a loss of power left without its name has none to give back.
        let name = place.name().unwrap_or_default();
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
    event::note(containers, &place.id, "remove", None);
    Ok(())
}

pub(crate) fn erase(place: &Place) -> Result<()> {
    crate::erase::erase(&place.dir).doing(|| format!("remove {}", place.dir.display()))
}
