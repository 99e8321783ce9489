//! `corten exec`, `attach` and `logs`: what is said to containers, and what they say.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use corten_run::Parted;

use crate::cli::words::{span, variables};
use crate::cli::{Context, Exit, Failure, Outcome};
use crate::ops::{self, ExecOptions, LogsRequest};

/// Run one more process in a container
#[derive(Args)]
#[command(after_help = "\
It has no more rights than the container. The exit code is that of the process; 126 says that it cannot be \
started, 127 that there is no such program, 125 that corten failed.

Examples:
  corten exec web ps
  corten exec -it web sh")]
pub(in crate::cli) struct ExecArgs {
    /// Set a variable: NAME=VALUE, or NAME to pass on the one that is set here; may repeat.
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read variables from a file, one NAME=VALUE a line; may repeat.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Directory it starts in.
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// User, and group, by name or number.
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Keep standard input open.
    #[arg(long, short)]
    interactive: bool,
    /// Give it a terminal.
    #[arg(long, short)]
    tty: bool,
    /// Leave it running.
    #[arg(long, short)]
    detach: bool,
    /// The container.
    pub(super) container: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) async fn exec(context: &Context, args: ExecArgs) -> Result<Outcome, Failure> {
    let options = ExecOptions {
        env: variables(context, &args.env_file, &args.env)?,
        command: args.command,
        workdir: args.workdir,
        user: args.user,
        terminal: args.tty,
        interactive: args.interactive,
        detach: args.detach,
    };
    let ended = ops::exec(context, &args.container, options).await?;
    Ok(Outcome::Process(u8::try_from(ended.code()).unwrap_or(u8::MAX)))
}

/// Show the output of a container from now on, and give it your input
#[derive(Args)]
#[command(after_help = "Control-P control-Q leaves a container with a terminal; it goes on.")]
pub(in crate::cli) struct AttachArgs {
    /// Give it no input.
    #[arg(long)]
    no_stdin: bool,
    /// The container.
    container: String,
}

pub(super) async fn attach(context: &Context, args: &AttachArgs) -> Result<Outcome, Failure> {
    Ok(match ops::attach(context, &args.container, !args.no_stdin).await? {
        Parted::Ended(ended) => Outcome::Process(u8::try_from(ended.code()).unwrap_or(u8::MAX)),
        Parted::Left => Outcome::Verb(Exit::Done),
    })
}

/// Print what a detached container said
#[derive(Args)]
pub(in crate::cli) struct LogsArgs {
    /// Go on until the container ends.
    #[arg(long, short)]
    follow: bool,
    /// Nothing older than this, such as 10m.
    #[arg(long, value_name = "AGE", value_parser = span)]
    since: Option<Duration>,
    /// Only the last lines.
    #[arg(long, short = 'n', value_name = "LINES")]
    tail: Option<usize>,
    /// Begin each line with its time.
    #[arg(long, short)]
    timestamps: bool,
    /// The container.
    container: String,
}

pub(super) async fn logs(context: &Context, args: &LogsArgs) -> Result<Exit, Failure> {
    let request = LogsRequest {
        follow: args.follow,
        since: args.since,
        tail: args.tail,
        times: args.timestamps,
    };
    ops::logs(context, &args.container, request).await?;
    Ok(Exit::Done)
}
