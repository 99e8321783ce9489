//! `corten login` and `logout`.

use std::io::{IsTerminal, Read};

use clap::Args;

use super::{Context, Exit, Failure};
use crate::ops;
use crate::output::{print, print_json};

/// Keep credentials for a registry, after trying them
#[derive(Args)]
#[command(after_help = "\
They are kept where Docker keeps its own, by its credential helper if it names one, or in the file of \
--authfile. Without options, user name and password are asked for on the terminal.

Examples:
  corten login registry.example.com
  printf %s \"$TOKEN\" | corten login ghcr.io --username me --password-stdin")]
pub(super) struct LoginArgs {
    /// Host, with or without a path: example.com or example.com/team.
    registry: String,
    /// User name [default: ask on the terminal].
    #[arg(long, short)]
    username: Option<String>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
}

/// Longest password read from standard input.
const MAX_PASSWORD: u64 = 64 * 1024;

pub(super) async fn login(context: &Context, args: LoginArgs, json: bool) -> Result<Exit, Failure> {
    let failed =
        |object: &str, source| Failure::Io { object: object.to_owned(), action: "reading", source };
    let terminal = std::io::stdin().is_terminal();
    let username = match args.username {
        Some(username) => username,
        None if terminal && !args.password_stdin => {
            ask("Username: ").map_err(|e| failed("the user name", e))?
        }
        None => return Err(Failure::Usage("login needs --username".to_owned())),
    };
    let password = if args.password_stdin {
        let mut text = String::new();
        let mut input = std::io::stdin().lock().take(MAX_PASSWORD);
        input.read_to_string(&mut text).map_err(|e| failed("the password", e))?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else if terminal {
        rpassword::prompt_password("Password: ").map_err(|e| failed("the password", e))?
    } else {
        return Err(Failure::Usage(
            "login needs --password-stdin where there is no terminal".to_owned(),
        ));
    };
    let report = ops::login(context, &args.registry, username, password).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&format!("logged in to {}, kept in {}\n", report.registry, report.kept_in))?;
    }
    Ok(Exit::Done)
}

fn ask(prompt: &str) -> std::io::Result<String> {
    use std::io::Write;
    write!(std::io::stderr(), "{prompt}")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Forget credentials for a registry
#[derive(Args)]
pub(super) struct LogoutArgs {
    /// Host, with or without a path, as it was given to login.
    registry: String,
}

pub(super) async fn logout(
    context: &Context,
    args: &LogoutArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let report = ops::logout(context, &args.registry).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&format!("logged out of {}\n", report.registry))?;
    }
    Ok(Exit::Done)
}
