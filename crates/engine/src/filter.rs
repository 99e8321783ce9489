//! The system call filter of a configuration. A container whose configuration has one never starts without.

use crate::error::{Error, Result};
use crate::seccomp::{self, SeccompError};
use oci_spec::runtime::LinuxSeccomp;

/// Compiles the filter of a configuration.
pub(crate) fn compile(wanted: &LinuxSeccomp) -> Result<seccomp::Filter> {
    let filter = seccomp::compile(wanted).map_err(refused)?;
    if filter.notifies() {
        return Err(Error::Unsupported { what: "linux.seccomp with SCMP_ACT_NOTIFY".to_owned() });
    }
    Ok(filter)
}

/// Installs it for this process and its children.
pub(crate) fn install(filter: &seccomp::Filter) -> Result<()> {
    filter.install().map(drop).map_err(refused)
}

fn refused(error: SeccompError) -> Error {
    Error::Unsupported { what: format!("linux.seccomp: {error}") }
}
