//! The control group of a container, as the engine uses it.

use crate::Engine;
use crate::error::Result;
use oci_spec::runtime::Linux;
use std::path::PathBuf;

/// The group of one container.
#[derive(Debug)]
pub(crate) struct Group {}

/// Makes the group that the configuration wants.
pub(crate) fn create(_engine: &Engine, _linux: &Linux, _id: &str) -> Result<Option<Group>> {
    Ok(None)
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
