//! `corten validate`: the specification's rules, checked.

use clap::{Args, ValueEnum};

use super::{Context, Exit, Failure};
use crate::Place;
use crate::ops;
use crate::ops::validate::{Checks, Depth, ValidateReport};
use crate::output::{bytes, count, print, print_json};
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
#[command(after_help = "oci:DIR and oci-archive:FILE without a name check the whole layout. \
Exits with 0 when there are no errors and with 9 when there are. 'corten reference codes' lists what \
can be found.

Examples:
  corten validate app
  corten validate oci:images --notes
  corten validate --profile strict registry.example.com/team/app:1.0")]
pub(super) struct ValidateArgs {
    /// The image: a name of the local store or of a registry, or any other place.
    image: String,
    /// How strictly: spec, or strict, which makes every warning an error.
    #[arg(long, value_enum, default_value_t = ProfileWord::Spec, hide_possible_values = true)]
    profile: ProfileWord,
    /// Check the documents and leave the layers unread.
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
        "{}, {}, {size} checked: {}, {}, {}\n",
        count(report.documents, "document"),
        count(report.layers, "layer"),
        count(report.errors, "error"),
        count(report.warnings, "warning"),
        count(report.notes, "note"),
    ));
    text
}
