//! `exec`: a further process, like the container's own but for what the flags say.

use std::path::Path;

use corten_engine::{Engine, Exec};
use oci_spec::runtime::{Capabilities, Capability, Process};

use super::words::ExecArgs;
use super::{Refused, read, streams, warn};

pub(super) fn exec(engine: &Engine, args: ExecArgs) -> Result<u8, Refused> {
    let process = match &args.process {
        Some(file) => read_process(file)?,
        None => like_the_containers(corten_engine::process(engine, &args.id)?, &args)?,
    };
    let (stdio, relays) = streams(!args.detach && args.console_socket.is_none())?;
    let wanted = Exec {
        process,
        console_socket: args.console_socket,
        pid_file: args.pid_file,
        preserve_fds: args.preserve_fds,
        stdio,
        ignore_paused: args.ignore_paused,
        group: args.cgroup,
    };
    let pid = corten_engine::exec(engine, &args.id, &wanted)?;
    // Closes this side of the streams.
    drop(wanted);
    if args.detach {
        return Ok(0);
    }
    let code = corten_engine::wait(pid)?;
    relays.finish(&|| false).map_err(|error| error.to_string())?;
    Ok(code)
}

fn read_process(file: &Path) -> Result<Process, Refused> {
    let parsed = corten_engine::parse_process(&read(file)?, warn);
    parsed.map_err(|error| format!("{}: no process: {error}", file.display()).into())
}

/// The container's process with other arguments and what the flags change.
fn like_the_containers(mut process: Process, args: &ExecArgs) -> Result<Process, Refused> {
    process.set_args(Some(args.command.clone()));
    process.set_terminal(Some(args.tty)).set_console_size(None);
    if let Some(cwd) = &args.cwd {
        process.set_cwd(cwd.clone());
    }
    let env = process.env_mut().get_or_insert_default();
    for pair in &args.env {
        let name = pair.split_once('=').map_or(pair.as_str(), |(name, _)| name);
        env.retain(|known| known.split_once('=').is_none_or(|(known, _)| known != name));
        env.push(pair.clone());
    }
    if let Some(user) = &args.user {
        let (uid, gid) =
            user.split_once(':').map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        let none = |word: &str| format!("{word}: no user or group number");
        let id = |word: &str| corten_spec::parse_owner_id(word).ok_or_else(|| none(word));
        process.user_mut().set_uid(id(uid)?);
        if let Some(gid) = gid {
            process.user_mut().set_gid(id(gid)?);
        }
    }
    if !args.additional_gids.is_empty() {
        let mut all = process.user().additional_gids().clone().unwrap_or_default();
        all.extend(&args.additional_gids);
        process.user_mut().set_additional_gids(Some(all));
    }
    for word in &args.cap {
        add_capability(&mut process, word)?;
    }
    if args.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = &args.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if let Some(label) = &args.process_label {
        process.set_selinux_label(Some(label.clone()));
    }
    Ok(process)
}

/// Adds a capability to every set but that of the ambient ones: of those only an inheritable one can be.
fn add_capability(process: &mut Process, word: &str) -> Result<(), Refused> {
    let parsed = serde_json::from_value::<Capability>(word.to_ascii_uppercase().into());
    let capability = parsed.map_err(|_| format!("{word}: no such capability"))?;
    let mut sets = process.capabilities().clone().unwrap_or_default();
    let with = |set: &Option<Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.insert(capability);
        Some(set)
    };
    let (bounding, effective, permitted) =
        (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    process.set_capabilities(Some(sets));
    Ok(())
}
