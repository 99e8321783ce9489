//! `corten validate`: the specification's rules, checked.

use clap::{Args, ValueEnum};

use super::{Context, Exit, Failure};
use crate::Place;
use crate::ops;
use crate::ops::validate::{Checks, Depth, ValidateReport};
use crate::output::{bytes, print, print_json};
use crate::plain::plain;
use corten_spec::validate::Profile;

/// How strictly to read the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileWord {
    /// What must be is an error, what should be a warning.
    Spec,
    /// What should be is an error too.
    Strict,
}

/// Check an image, or a whole layout, against the specification, to the last byte
#[derive(Args)]
#[command(
    after_help = "Exits with 9 when there are errors. The codes are listed in the reference: \
corten reference codes."
)]
pub(super) struct ValidateArgs {
    /// The image: a name of the local store or of a registry, or any other place; oci:DIR
    /// without a name checks the whole layout.
    image: String,
    /// How strictly.
    #[arg(long, value_enum, default_value_t = ProfileWord::Spec)]
    profile: ProfileWord,
    /// Leave the insides of layers unread.
    #[arg(long)]
    shallow: bool,
    /// Print notes too.
    #[arg(long)]
    notes: bool,
}

pub(super) async fn validate(
    context: &Context,
    args: ValidateArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let place = Place::parse_bare(&args.image)?;
    let checks = Checks {
        profile: match args.profile {
            ProfileWord::Spec => Profile::Spec,
            ProfileWord::Strict => Profile::Strict,
        },
        depth: if args.shallow { Depth::Documents } else { Depth::Whole },
    };
    let report = ops::validate(context, &place, checks).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&text(&report, args.notes))?;
    }
    Ok(if report.errors > 0 { Exit::Negative } else { Exit::Done })
}

fn text(report: &ValidateReport, notes: bool) -> String {
    let mut text = String::new();
    for finding in report.findings.iter().filter(|finding| notes || finding.level != "note") {
        let level = &finding.level;
        text.push_str(&format!(
            "{level}: {} [{}]\n  {} {}\n  {}\n",
            plain(&finding.message),
            finding.code,
            plain(&finding.object),
            plain(&finding.pointer),
            finding.section
        ));
    }
    let size = bytes(report.bytes);
    text.push_str(&format!(
        "{} documents, {} layers, {size} checked: {} errors, {} warnings, {} notes\n",
        report.documents, report.layers, report.errors, report.warnings, report.notes
    ));
    text
}
