//! `corten cache`: what the builder keeps from build to build.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::words::{size, span};
use super::{Context, Exit, Failure};
use crate::ops::{self, CacheFilter, CacheGcReport, CacheGcRequest, CacheKind, ExplainCacheReport};
use crate::output::{Table, age, bytes, count, print, print_json};

/// Look after what builds keep: steps, cache mounts, what was fetched
#[derive(Args)]
#[command(after_help = "\
Steps are the layers that instructions gave, mounts what RUN --mount=type=cache holds, sources what ADD and contexts \
fetched, the memo digests of files of contexts.

Examples:
  corten cache ls --filter kind=mount
  corten cache explain 'builder 3/7'
  corten cache gc --max 10g")]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    verb: CacheVerb,
}

#[derive(Subcommand)]
enum CacheVerb {
    Ls(ListArgs),
    Explain(ExplainArgs),
    Gc(CacheGcArgs),
}

/// List what is kept, what was used last first
#[derive(Args)]
struct ListArgs {
    /// Only those whose id begins so.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Only of a kind: kind=step, mount, memo or source; may repeat.
    #[arg(long, value_name = "kind=KIND", value_parser = kind)]
    filter: Vec<CacheKind>,
    /// Show whole ids.
    #[arg(long)]
    digests: bool,
}

/// Tell why a step of the last build was carried out
#[derive(Args)]
#[command(after_help = "\
STEP is what the build told: '3' is the third step of the last stage, 'builder 3/7' the third of a stage with a \
name; or the beginning of its key or of the instruction.")]
struct ExplainArgs {
    /// Which step.
    #[arg(value_name = "STEP")]
    step: String,
    /// Of the last build of this Dockerfile, context or name [default: of the last build].
    #[arg(value_name = "BUILD")]
    of: Option<String>,
}

/// Remove what was not used for longest, and never what a build uses
#[derive(Args)]
#[command(after_help = "\
Layers that images of the local store need stay and do not count. Without --max, --keep-duration and --all, the limit \
is cache-max of [build] of the configuration.")]
struct CacheGcArgs {
    /// Bytes that may stay, such as 500m or 10g.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max: Option<u64>,
    /// Keep what was used within this time, such as 24h or 7d.
    #[arg(long, value_name = "AGE", value_parser = span)]
    keep_duration: Option<Duration>,
    /// Only of a kind: step, mount, memo or source; may repeat.
    #[arg(long, value_enum, value_name = "KIND", hide_possible_values = true)]
    kind: Vec<CacheKind>,
    /// Only those whose id begins so.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Remove everything.
    #[arg(long)]
    all: bool,
    /// Only tell what would go.
    #[arg(long)]
    dry_run: bool,
}

fn kind(text: &str) -> Result<CacheKind, String> {
    let wrong = || "write kind=step, kind=mount, kind=memo or kind=source".to_owned();
    let word = text.strip_prefix("kind=").ok_or_else(wrong)?;
    clap::ValueEnum::from_str(word, false).map_err(|_| wrong())
}

impl CacheArgs {
    /// Whether the verb looks at or removes what subordinate ids own.
    pub(super) fn needs_root(&self) -> bool {
        !matches!(self.verb, CacheVerb::Explain(_))
    }
}

pub(super) async fn cache(context: &Context, args: CacheArgs, json: bool) -> Result<Exit, Failure> {
    match args.verb {
        CacheVerb::Ls(args) => list(context, args, json).await,
        CacheVerb::Explain(args) => {
            let report = ops::explain_cache(context, &args.step, args.of.as_deref()).await?;
            if json {
                print_json(&report)?
            } else {
                print(&explained(&report))?
            }
            Ok(Exit::Done)
        }
        CacheVerb::Gc(args) => {
            let filter = CacheFilter { kinds: args.kind.into_iter().collect(), ids: args.ids };
            let CacheGcArgs { max, keep_duration: keep, all, dry_run, .. } =
                CacheGcArgs { kind: Vec::new(), ids: Vec::new(), ..args };
            let request = CacheGcRequest { max, keep, all, filter, dry_run };
            let report = ops::cache_gc(context, request).await?;
            if json {
                print_json(&report)?
            } else {
                print(&removed(&report))?
            }
            Ok(Exit::Done)
        }
    }
}

async fn list(context: &Context, args: ListArgs, json: bool) -> Result<Exit, Failure> {
    let filter = CacheFilter { kinds: args.filter.into_iter().collect(), ids: args.ids };
    let report = ops::cache(context, filter).await?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["KIND", "ID", "SIZE", "USED", "", "MADE BY"]);
    for entry in &report.entries {
        let short = entry.id.get(..12).filter(|_| !args.digests);
        let mark = match (entry.in_use, entry.shared) {
            (true, _) => "in use",
            (false, true) => "shared",
            (false, false) => "",
        };
        let stage = entry.stage.as_ref().map(|stage| format!("[{stage}] ")).unwrap_or_default();
        let about = entry.about.as_deref().unwrap_or_default();
        table.row(vec![
            word(entry.kind).to_owned(),
            short.unwrap_or(&entry.id).to_owned(),
            bytes(entry.size),
            age(Duration::from_secs(entry.age_seconds)),
            mark.to_owned(),
            format!("{stage}{about}"),
        ]);
    }
    let (entries, total) = (count(report.entries.len() as u64, "entry"), bytes(report.bytes));
    print(&format!("{}{entries}, {total} that nothing else needs\n", table.render()))?;
    Ok(Exit::Done)
}

fn word(kind: CacheKind) -> &'static str {
    match kind {
        CacheKind::Step => "step",
        CacheKind::Mount => "mount",
        CacheKind::Memo => "memo",
        CacheKind::Source => "source",
    }
}

fn explained(report: &ExplainCacheReport) -> String {
    let mut text = format!("[{}] {}\n", report.step, crate::plain::plain(&report.text));
    let verb = if report.ran { "was carried out" } else { "was not carried out" };
    let when = report.age_seconds.map(|age_seconds| age(Duration::from_secs(age_seconds)));
    let when = when.map(|when| format!(" {when}")).unwrap_or_default();
    text.push_str(&format!(
        "line {} of {}: {verb}{when}: {}\n",
        report.line, report.file, report.why
    ));
    for change in &report.changes {
        let values = match (&change.before, &change.after) {
            (Some(before), Some(after)) => format!(": {before} -> {after}"),
            (None, Some(after)) => format!(": {after}"),
            (Some(before), None) => format!(": it was {before}"),
            (None, None) => String::new(),
        };
        let line = format!("  {:7} {}{values}", change.how, change.name);
        text.push_str(&format!("{}\n", crate::plain::plain(&line)));
    }
    text
}

fn removed(report: &CacheGcReport) -> String {
    let mut text = String::new();
    for entry in &report.removed {
        let about = entry.about.as_deref().unwrap_or_default();
        let line = format!("{:6}  {}  {about}", word(entry.kind), bytes(entry.size));
        text.push_str(&format!("{}\n", crate::plain::plain(&line)));
    }
    let verb = if report.dry_run { "would remove" } else { "removed" };
    let number = count(report.removed.len() as u64, "entry");
    let (freed, kept) = (bytes(report.bytes), bytes(report.kept));
    text.push_str(&format!("{verb} {number}, {freed}; {kept} stay\n"));
    text
}
