//! `corten reference`: the parts of the documentation that are made from the program itself.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use crate::ops;
use crate::output::print;
use crate::{Exit, Failure};

/// Print a page of the reference, as Markdown
#[derive(Args)]
pub(super) struct ReferenceArgs {
    /// Which page.
    page: PageWord,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PageWord {
    /// The command line.
    Cli,
    /// The findings of validate.
    Codes,
    /// The exit codes.
    Exits,
    /// The JSON reports, as JSON Schema.
    Schema,
    /// The AppArmor profile of containers, for apparmor_parser.
    Apparmor,
}

pub(super) fn reference(args: &ReferenceArgs) -> Result<Exit, Failure> {
    let page = match args.page {
        PageWord::Cli => cli(),
        PageWord::Codes => ops::validate::codes(),
        PageWord::Exits => exits(),
        PageWord::Schema => ops::schema()?,
        PageWord::Apparmor => ops::APPARMOR_PROFILE.to_owned(),
    };
    print(&page)?;
    Ok(Exit::Done)
}

const MADE: &str = "<!-- Made by `corten reference`; do not edit. -->\n\n";

fn exits() -> String {
    let mut page = format!("{MADE}# Exit codes\n\n| code | meaning |\n|---|---|\n");
    for exit in Exit::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {} | {} |", exit.code(), exit.meaning());
    }
    page
}

fn cli() -> String {
    let mut command = super::command().term_width(100);
    command.build();
    let mut page = format!("{MADE}# Command line\n\n```text\n{}```\n", command.render_help());
    let mut everywhere = None;
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| verb.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(verb) = command.find_subcommand_mut(&name) {
            let help = verb.clone().term_width(100).render_help().to_string();
            let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
            let text = lines.join("\n");
            let (global, own): (Vec<&str>, Vec<&str>) =
                text.trim_end().split("\n\n").partition(|part| part.starts_with(super::EVERYWHERE));
            let _ = write!(page, "\n## corten {name}\n\n```text\n{}\n```\n", own.join("\n\n"));
            everywhere = everywhere.or_else(|| global.first().map(|part| (*part).to_owned()));
        }
    }
    // The same for all of them: said once.
    if let Some(options) = everywhere {
        let (title, lines) = options.split_once(":\n").unwrap_or(("", &options));
        let _ = write!(page, "\n## {title}\n\n```text\n{lines}\n```\n");
    }
    page
}
