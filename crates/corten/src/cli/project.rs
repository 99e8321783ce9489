//! `corten build` of a project: `image.toml`, its values and its tests.

use clap::Args;

use super::{Context, Exit, Failure};
use crate::ops::{self, BuildTold, BuildWanted, ProjectReport, ProjectWanted};
use crate::output::{print, print_json};

/// What projects take besides.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Projects (image.toml)")]
pub(super) struct ProjectArgs {
    /// A value over the attributes, such as web.port=80; may repeat.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Build without the tests.
    #[arg(long)]
    no_test: bool,
    /// Fail where there is no test.
    #[arg(long, conflicts_with = "no_test")]
    require_tests: bool,
}

impl ProjectArgs {
    /// Refuses what a Dockerfile has no place for.
    pub(super) fn none(&self) -> Result<(), Failure> {
        if self.set.is_empty() && !self.no_test && !self.require_tests {
            return Ok(());
        }
        let text = "--set, --no-test and --require-tests are for projects, and there is no image.toml that is built";
        Err(Failure::Usage(text.to_owned()))
    }
}

/// Builds a project.
pub(super) async fn build(
    context: &Context,
    (wanted, args): (BuildWanted, ProjectArgs),
    told: BuildTold,
) -> Result<ProjectReport, Failure> {
    let wanted = ProjectWanted {
        build: wanted,
        set: args.set,
        no_test: args.no_test,
        require_tests: args.require_tests,
    };
    ops::build_project(context, wanted, told).await
}

/// Prints what was built.
pub(super) fn told(report: &ProjectReport, json: bool) -> Result<Exit, Failure> {
    if json {
        print_json(report)?;
        return Ok(Exit::Done);
    }
    let names: String = report.names.iter().map(|name| format!("{name}\n")).collect();
    let tests = match &report.attestation {
        Some(digest) => format!("{} passed, attested by {digest}\n", tests(report.passed.len())),
        None => String::new(),
    };
    print(&format!("{names}{}\n{tests}", report.digest))?;
    Ok(Exit::Done)
}

fn tests(count: usize) -> String {
    match count {
        1 => "1 test".to_owned(),
        count => format!("{count} tests"),
    }
}
