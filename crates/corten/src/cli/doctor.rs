//! `corten doctor`: what this machine gives, and what confines containers on it.

use clap::Args;

use super::{Context, Exit, Failure};
use crate::ops::{self, DoctorReport, Soundness};
use crate::output::{Table, print, print_json};

/// Tell what confines containers on this machine, what is open, and what to do
#[derive(Args)]
#[command(after_help = "\
Nothing is changed. Exit code 9 when something is wrong; what is only lacking is no fault.

Examples:
  corten doctor
  corten doctor --security --json")]
pub(super) struct DoctorArgs {
    /// Only what keeps containers and other users out.
    #[arg(long)]
    security: bool,
}

pub(super) fn doctor(context: &Context, args: &DoctorArgs, json: bool) -> Result<Exit, Failure> {
    let report = ops::doctor(context, args.security)?;
    if json {
        print_json(&report)?;
    } else {
        print(&text(&report))?;
    }
    Ok(if report.is_sound() { Exit::Done } else { Exit::Negative })
}

fn text(report: &DoctorReport) -> String {
    let mut table = Table::new(&["STATE", "ABOUT", "FOUND"]);
    for one in &report.findings {
        let word = one.state.word();
        table.row(vec![word.to_owned(), one.about.clone(), one.found.clone()]);
        if one.state != Soundness::Well && !one.cure.is_empty() {
            table.row(vec![String::new(), String::new(), format!("→ {}", one.cure)]);
        }
    }
    table.render()
}
