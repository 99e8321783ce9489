//! The control group of a container, as the engine uses it.

use crate::error::{Error, Result};
use crate::{Cgroups, Engine};
use oci_spec::runtime::Linux;
use std::path::PathBuf;

/// The group of one container.
#[derive(Debug)]
pub(crate) struct Group {}

/// Makes the group that the configuration wants.
///
/// Limits that nothing would enforce are refused, not left out.
pub(crate) fn create(engine: &Engine, linux: &Linux, _id: &str) -> Result<Option<Group>> {
    let Some(resources) = linux.resources().as_ref().filter(|_| engine.cgroups == Cgroups::Auto)
    else {
        return Ok(None);
    };
    let limits = [
        ("memory", resources.memory().is_some()),
        ("cpu", resources.cpu().is_some()),
        ("pids", resources.pids().is_some()),
        ("blockIO", resources.block_io().is_some()),
        ("unified", resources.unified().is_some()),
    ];
    match limits.iter().find(|(_, limited)| *limited) {
        Some((name, _)) => Err(Error::Unsupported { what: format!("linux.resources.{name}") }),
        None => Ok(None),
    }
}

/// Opens the group of a container that exists.
pub(crate) fn open(_engine: &Engine, _name: Option<&PathBuf>) -> Result<Option<Group>> {
    Ok(None)
}

impl Group {
    pub(crate) fn name(&self) -> Option<PathBuf> {
        None
    }

    pub(crate) fn join(&self, _pid: i32) -> Result<()> {
        Ok(())
    }

    pub(crate) fn remove(&self) -> Result<()> {
        Ok(())
    }

    pub(crate) fn signal(&self, _signal: i32) -> Result<()> {
        Ok(())
    }

    pub(crate) fn end(&self) -> Result<()> {
        Ok(())
    }

    pub(crate) fn freeze(&self) -> Result<()> {
        Ok(())
    }

    pub(crate) fn thaw(&self) -> Result<()> {
        Ok(())
    }

    pub(crate) fn processes(&self) -> Result<Vec<i32>> {
        Ok(Vec::new())
    }
}
