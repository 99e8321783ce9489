//! Which system calls a container's programs can make: our default profile, kept as the text
//! `default.txt` that people can read and change, and profile files of the field.

mod file;
mod text;

pub use file::{MAX_PROFILE, ProfileError, read_profile};

use oci_spec::runtime::{Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSyscall};

/// The default profile.
const TEXT: &str = include_str!("default.txt");
/// `ENOSYS`, the answer to a call that the profile does not know.
const NO_SUCH_CALL: u32 = 38;

/// The profile of a container that nobody said anything of: what programs need, less what opens the
/// machine to them. `capabilities` are those that a process in the container can have, `architecture` is
/// the machine's, as in `GOARCH`.
///
/// ```
/// use corten_bundle::config::default_profile;
/// let profile = default_profile(&[], "amd64");
/// let named = |name| profile.syscalls().iter().flatten().any(|call| call.names().contains(&name));
/// assert!(named("openat".to_owned()) && !named("io_uring_setup".to_owned()));
/// ```
pub fn default_profile(capabilities: &[Capability], architecture: &str) -> LinuxSeccomp {
    // A text that did not parse would allow nothing; a test holds it to parsing.
    let parsed = text::parse(TEXT).unwrap_or_default();
    let rules = parsed.rules.iter().filter(|rule| rule.holds(capabilities, architecture));
    let calls: Vec<LinuxSyscall> = rules.flat_map(text::Rule::calls).collect();
    let mut families = parsed.architectures.iter();
    let together = families.find(|all| all.first().is_some_and(|own| own == architecture));
    let architectures: Vec<Arch> = match together {
        Some(all) => all.iter().filter_map(|one| library_architecture(one)).collect(),
        None => library_architecture(architecture).into_iter().collect(),
    };
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(parsed.default.unwrap_or(NO_SUCH_CALL)))
        .set_architectures(Some(architectures).filter(|all| !all.is_empty()))
        .set_flags(None)
        .set_listener_path(None)
        .set_listener_metadata(None)
        .set_syscalls(Some(calls));
    profile
}

/// An architecture of Go in the words of a runtime config.
fn library_architecture(name: &str) -> Option<Arch> {
    Some(match name {
        "amd64" => Arch::ScmpArchX86_64,
        "386" => Arch::ScmpArchX86,
        "x32" => Arch::ScmpArchX32,
        "arm64" => Arch::ScmpArchAarch64,
        "arm" => Arch::ScmpArchArm,
        "ppc64le" => Arch::ScmpArchPpc64le,
        "ppc64" => Arch::ScmpArchPpc64,
        "riscv64" => Arch::ScmpArchRiscv64,
        "s390x" => Arch::ScmpArchS390x,
        "loong64" => Arch::ScmpArchLoongarch64,
        "mips64le" => Arch::ScmpArchMipsel64,
        "mips64" => Arch::ScmpArchMips64,
        "mipsle" => Arch::ScmpArchMipsel,
        "mips" => Arch::ScmpArchMips,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
