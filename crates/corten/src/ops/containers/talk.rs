//! What is said to containers, and what they say.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use corten_run::{Attach, ExecRequest, ExitStatus, Follow, Interaction, LogQuery, Parted, Stream};

use super::{found, moment};
use crate::ops::layers::on_thread;
use crate::ops::run::user_in;
use crate::{Context, Failure};

/// A process to run in a container.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Directory it starts in.
    pub workdir: Option<PathBuf>,
    /// User, and group, by name or number.
    pub user: Option<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it gets the caller's standard input.
    pub interactive: bool,
    /// Whether it is left running.
    pub detach: bool,
}

/// Runs one more process in a container; gives how it ended.
pub async fn exec(
    context: &Context,
    name: &str,
    options: ExecOptions,
) -> Result<ExitStatus, Failure> {
    let (containers, id) = found(context, name)?;
    on_thread("the process", move || {
        let status = corten_run::status(&containers, &id)?;
        let user = options.user.as_deref();
        let user = match (user, status.pid) {
            (Some(user), Some(pid)) => Some(user_in(pid, user).map_err(|source| Failure::Io {
                object: format!("user {user} of container {id}"),
                action: "looking for it",
                source,
            })?),
            _ => None,
        };
        let wanted = ExecRequest {
            args: options.command,
            env: options.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            cwd: options.workdir,
            user,
            terminal: options.terminal,
            interactive: options.interactive,
            detach: options.detach,
        };
        Ok(corten_run::exec(&containers, &id, &wanted)?)
    })
    .await
}

/// Shows the output of a container, and gives it the caller's input, until it ends or is left.
pub async fn attach(context: &Context, name: &str, input: bool) -> Result<Parted, Failure> {
    let (containers, id) = found(context, name)?;
    let interaction = if input { Interaction::Talk } else { Interaction::Watch };
    let how = Attach { interaction, replay: false };
    on_thread("the attachment", move || Ok(corten_run::attach(&containers, &id, how)?)).await
}

/// Which part of a log, and how it is shown.
#[derive(Clone, Copy, Debug)]
pub struct LogsRequest {
    /// Whether to wait for more until the container ends.
    pub follow: bool,
    /// Nothing older than this.
    pub since: Option<Duration>,
    /// Only the last so many lines.
    pub tail: Option<usize>,
    /// Whether each line begins with its time.
    pub times: bool,
}

/// Writes what a container said: its standard output to the caller's, its standard error to the caller's.
pub async fn logs(context: &Context, name: &str, request: LogsRequest) -> Result<(), Failure> {
    let (containers, id) = found(context, name)?;
    let query = LogQuery {
        follow: if request.follow { Follow::Yes } else { Follow::No },
        since: moment(request.since),
        tail: request.tail,
        stream: None,
    };
    on_thread("the log", move || {
        let mut failed = None;
        let mut fresh = true;
        corten_run::logs(&containers, &id, query, &mut |line| {
            let mut bytes = Vec::with_capacity(line.bytes.len() + 32);
            if request.times && fresh {
                bytes.extend_from_slice(format!("{} ", line.at).as_bytes());
            }
            fresh = line.bytes.ends_with(b"\n");
            bytes.extend_from_slice(&line.bytes);
            let written = match line.stream {
                Stream::Stdout => {
                    let mut out = std::io::stdout().lock();
                    out.write_all(&bytes).and_then(|()| out.flush())
                }
                Stream::Stderr => std::io::stderr().lock().write_all(&bytes),
            };
            failed = written.err();
            failed.is_none()
        })?;
        match failed {
            Some(source) => {
                Err(Failure::Io { object: "the output".to_owned(), action: "writing", source })
            }
            None => Ok(()),
        }
    })
    .await
}
