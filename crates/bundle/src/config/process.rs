//! The process of a container: what runs, where, as whom.

use std::path::PathBuf;

use corten_spec::ContainerConfig;
use oci_spec::runtime::{Process, User};

use super::capabilities::{self, Granted};
use super::environment::environment;
use super::error::{Result, RuntimeConfigError, without_nul};
use super::explain::{Said, Trace};
use super::overrides::Overrides;
use crate::users::{self, Identity, RootFiles, find_group, find_user};

/// Longest working directory, with room for the slash before it (`PATH_MAX`).
const MAX_PATH: usize = 4094;

/// `process`, every field of it set here: the library's defaults are none of ours.
pub(super) fn process(
    image: &ContainerConfig,
    overrides: &Overrides,
    granted: &Granted,
    files: &dyn RootFiles,
    trace: &mut Trace,
) -> Result<Process> {
    let args = args(image, overrides, trace)?;
    let cwd = cwd(image, overrides, trace)?;
    let identity = identity(image, overrides, files, trace)?;
    let env = environment(image, overrides, &identity, trace)?;
    let mut process = Process::default();
    process
        .set_terminal(Some(overrides.terminal))
        .set_console_size(None)
        .set_user(user(&identity))
        .set_args(Some(args))
        .set_env(Some(env))
        .set_cwd(cwd)
        .set_capabilities(Some(capabilities::sets(granted, identity.uid, trace)))
        .set_rlimits(None)
        .set_no_new_privileges(Some(overrides.no_new_privileges))
        .set_apparmor_profile(overrides.apparmor.clone())
        .set_selinux_label(None)
        .set_io_priority(None)
        .set_scheduler(None)
        .set_exec_cpu_affinity(None)
        .set_oom_score_adj(None);
    let source = if overrides.terminal { Said::Flag } else { Said::Default };
    trace.tell_beside("process.terminal", overrides.terminal, source, Some("umoci sets it"));
    let source = if overrides.no_new_privileges { Said::Flag } else { Said::Default };
    let elsewhere = Some("containerd sets it by default").filter(|_| source == Said::Default);
    let value = overrides.no_new_privileges;
    trace.tell_beside("process.noNewPrivileges", value, source, elsewhere);
    if let Some(profile) = &overrides.apparmor {
        without_nul("process.apparmorProfile", profile)?;
        trace.tell("process.apparmorProfile", profile.as_str(), Said::Flag);
    }
    limits(&mut process, overrides, trace)?;
    Ok(process)
}

/// What runs. The caller's arguments stand in for the image's, the caller's program for both.
fn args(image: &ContainerConfig, overrides: &Overrides, trace: &mut Trace) -> Result<Vec<String>> {
    let from_image = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let entrypoint = overrides.entrypoint.clone();
    let replaced = entrypoint.is_some() || !overrides.args.is_empty();
    let cmd = if replaced { overrides.args.clone() } else { from_image(&image.cmd) };
    let mut args = entrypoint.unwrap_or_else(|| from_image(&image.entrypoint));
    args.extend(cmd);
    if args.is_empty() {
        return Err(RuntimeConfigError::NoCommand);
    }
    for arg in &args {
        without_nul("process.args", arg)?;
    }
    let source = if replaced { Said::Flag } else { Said::Image };
    let elsewhere = "rkt runs the image's program with the arguments appended to the image's own";
    let elsewhere = Some(elsewhere).filter(|_| !overrides.args.is_empty());
    trace.tell_beside("process.args", args.clone(), source, elsewhere);
    Ok(args)
}

/// Where it starts. The image's word is verbatim where it is absolute, as the runtime specification
/// demands of the field; who enters it must find it inside the root.
fn cwd(image: &ContainerConfig, overrides: &Overrides, trace: &mut Trace) -> Result<PathBuf> {
    let given = overrides.workdir.as_deref().filter(|path| !path.is_empty());
    let of_image = image.working_dir.as_deref().filter(|path| !path.is_empty());
    let (path, source) = match (given, of_image) {
        (Some(path), _) => (path, Said::Flag),
        (None, Some(path)) => (path, Said::Image),
        (None, None) => ("/", Said::Default),
    };
    without_nul("process.cwd", path)?;
    if path.len() > MAX_PATH {
        return Err(RuntimeConfigError::Limit {
            field: "process.cwd",
            value: path.chars().take(40).chain("…".chars()).collect(),
            reason: "the kernel takes no path of 4096 bytes or more",
        });
    }
    let absolute = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let elsewhere = (absolute != path).then_some("umoci and containerd leave it relative");
    if absolute != path {
        trace.notice(format!(
            "the working directory '{path}' is relative: it is taken as {absolute}"
        ));
    }
    trace.tell_beside("process.cwd", absolute.as_str(), source, elsewhere);
    Ok(PathBuf::from(absolute))
}

/// As whom.
fn identity(
    image: &ContainerConfig,
    overrides: &Overrides,
    files: &dyn RootFiles,
    trace: &mut Trace,
) -> Result<Identity> {
    let of_image = image.user.as_deref().filter(|user| !user.is_empty());
    let (text, said) = match (&overrides.user, of_image) {
        (Some(user), _) => (user.as_str(), Said::Flag),
        (None, Some(user)) => (user, Said::Image),
        (None, None) => ("", Said::Default),
    };
    let mut identity = find_user(text, files)?;
    trace.notices.extend(identity.notice.take());
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let looked_up =
        |literal: bool| if literal || said == Said::Default { said } else { Said::Root };
    trace.tell("process.user.uid", identity.uid, looked_up(number(user)));
    let by_account = group.is_empty() && identity.name.is_none();
    let source =
        if by_account && !text.is_empty() { Said::Default } else { looked_up(number(group)) };
    trace.tell("process.user.gid", identity.gid, source);
    for group in &overrides.groups_add {
        let gid = find_group(group, files)?;
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    if identity.groups.len() > users::MAX_GROUPS {
        let name = identity.name.unwrap_or_else(|| identity.uid.to_string());
        return Err(users::UserError::TooManyGroups { name }.into());
    }
    let source = if overrides.groups_add.is_empty() { Said::Root } else { Said::Flag };
    let elsewhere = match number(user) && group.is_empty() {
        true => "Docker, containerd and umoci look up the groups of a numeric user too",
        false => "umoci leaves the primary group out",
    };
    let (elsewhere, groups) = (Some(elsewhere), identity.all_groups());
    trace.tell_beside("process.user.additionalGids", groups, source, elsewhere);
    Ok(identity)
}

fn user(identity: &Identity) -> User {
    let mut user = User::default();
    user.set_uid(identity.uid)
        .set_gid(identity.gid)
        .set_additional_gids(Some(identity.all_groups()))
        .set_umask(None)
        .set_username(None);
    user
}

fn limits(process: &mut Process, overrides: &Overrides, trace: &mut Trace) -> Result<()> {
    let mut kinds = Vec::new();
    for limit in &overrides.ulimits {
        if limit.soft() > limit.hard() || kinds.contains(&limit.typ()) {
            return Err(RuntimeConfigError::Limit {
                field: "process.rlimits",
                value: format!("{} {}:{}", limit.typ(), limit.soft(), limit.hard()),
                reason: "the soft limit is at most the hard one, and each kind is limited once",
            });
        }
        kinds.push(limit.typ());
        let field = format!("process.rlimits[{}]", limit.typ());
        trace.tell(&field, format!("{}:{}", limit.soft(), limit.hard()), Said::Flag);
    }
    if !overrides.ulimits.is_empty() {
        process.set_rlimits(Some(overrides.ulimits.clone()));
    }
    if let Some(score) = overrides.oom_score_adj {
        if !(-1000..=1000).contains(&score) {
            return Err(RuntimeConfigError::Limit {
                field: "process.oomScoreAdj",
                value: score.to_string(),
                reason: "it is between -1000 and 1000",
            });
        }
        process.set_oom_score_adj(Some(score));
        trace.tell("process.oomScoreAdj", score, Said::Flag);
    }
    Ok(())
}
