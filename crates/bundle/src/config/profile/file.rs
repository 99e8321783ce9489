//! Profile files as the field writes them: JSON whose rules may hang on capabilities, architectures and
//! versions of the kernel. A runtime config has no such conditions; they are resolved here, and a
//! condition that is not known is an error, for a rule must not come to hold where it was not meant to.

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSyscall,
};
use serde::Deserialize;

use super::library_architecture;

/// Most bytes of a profile file.
pub const MAX_PROFILE: usize = 4 << 20;

/// Why a profile file is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Larger than is read.
    #[error("the profile is larger than {MAX_PROFILE} bytes")]
    TooLarge,
    /// No JSON, or none of a profile.
    #[error("the profile is malformed")]
    Malformed(#[source] serde_json::Error),
    /// A version of the kernel that is none, or one that not every machine has which corten runs on.
    #[error("the profile asks for kernel '{version}', which is no version or newer than 5.12")]
    Kernel {
        /// As written.
        version: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<Arch>>,
    arch_map: Option<Vec<Together>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Together {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
    includes: Option<Conditions>,
    excludes: Option<Conditions>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Conditions {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// The kernel that every machine has at least: older ones lack `mount_setattr`.
const KERNEL: (u32, u32) = (5, 12);

/// Reads a profile file, its conditions resolved for these capabilities and this machine. A rule that asks
/// for a version of the kernel holds; one that asks for a newer one than corten needs is an error.
///
/// # Errors
/// [`ProfileError`].
pub fn read_profile(
    bytes: &[u8],
    capabilities: &[Capability],
    architecture: &str,
) -> Result<LinuxSeccomp, ProfileError> {
    if bytes.len() > MAX_PROFILE {
        return Err(ProfileError::TooLarge);
    }
    let file: File = serde_json::from_slice(bytes).map_err(ProfileError::Malformed)?;
    let mut calls = Vec::new();
    for rule in file.syscalls.unwrap_or_default() {
        if applies(&rule, capabilities, architecture)? {
            let mut call = LinuxSyscall::default();
            call.set_names(rule.names.unwrap_or_default().into_iter().chain(rule.name).collect())
                .set_action(rule.action)
                .set_errno_ret(rule.errno_ret)
                .set_args(rule.args.filter(|args| !args.is_empty()));
            calls.push(call);
        }
    }
    let own = library_architecture(architecture);
    let mapped = file.arch_map.unwrap_or_default().into_iter();
    let mapped =
        mapped.filter(|together| Some(together.architecture) == own).flat_map(|together| {
            [together.architecture]
                .into_iter()
                .chain(together.sub_architectures.unwrap_or_default())
        });
    let architectures: Vec<Arch> =
        file.architectures.unwrap_or_default().into_iter().chain(mapped).collect();
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(file.default_action)
        .set_default_errno_ret(file.default_errno_ret)
        .set_architectures(Some(architectures).filter(|all| !all.is_empty()))
        .set_flags(file.flags.filter(|flags| !flags.is_empty()))
        .set_listener_path(file.listener_path.filter(|path| !path.is_empty()).map(Into::into))
        .set_listener_metadata(file.listener_metadata.filter(|data| !data.is_empty()))
        .set_syscalls(Some(calls));
    Ok(profile)
}

/// A rule holds where every kind of its `includes` has one that is there, and none of its `excludes` is.
fn applies(rule: &Rule, capabilities: &[Capability], machine: &str) -> Result<bool, ProfileError> {
    let none = Conditions::default();
    let held = |name: &String| {
        let name = name.to_ascii_uppercase();
        let short = name.strip_prefix("CAP_").unwrap_or(&name);
        capabilities.iter().any(|one| one.to_string() == short)
    };
    let ours = |name: &String| matches(name, machine);
    let includes = rule.includes.as_ref().unwrap_or(&none);
    let excludes = rule.excludes.as_ref().unwrap_or(&none);
    for version in [includes, excludes].iter().filter_map(|all| all.min_kernel.as_ref()) {
        if kernel(version).is_none_or(|asked| asked > KERNEL) {
            return Err(ProfileError::Kernel { version: version.chars().take(40).collect() });
        }
    }
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let (capabilities_in, architectures_in) = (list(&includes.caps), list(&includes.arches));
    // The field asks that every capability of the list is held.
    let included = capabilities_in.iter().all(held)
        && (architectures_in.is_empty() || architectures_in.iter().any(ours));
    let excluded = list(&excludes.caps).iter().any(held)
        || list(&excludes.arches).iter().any(ours)
        || excludes.min_kernel.is_some();
    Ok(included && !excluded)
}

fn kernel(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Architectures in profile files are called as in Go, but for a few.
fn matches(name: &str, machine: &str) -> bool {
    let machine = match machine {
        "386" => "x86",
        "loong64" => "loongarch64",
        "mips64le" => "mipsel64",
        "mipsle" => "mipsel",
        other => other,
    };
    name == machine
}
