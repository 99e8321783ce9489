//! What went wrong in a build, shown with the line of the Dockerfile that it is of.

use corten_build::{BuildError, redacted};
use corten_dockerfile::Dockerfile;

use crate::Failure;
use crate::failure::ContainerFailure;

/// A failure with the line that it is of.
pub(super) fn failure(shown: &str, file: &Dockerfile, error: BuildError) -> Failure {
    let line = error.span().and_then(|span| file.line(span.start.line)).map(str::to_owned);
    broken(shown, line.as_deref(), error)
}

pub(super) fn broken(file: &str, line: Option<&str>, error: BuildError) -> Failure {
    let mut shown = String::new();
    if let (Some(span), Some(line)) = (error.span(), line) {
        let line = redacted(line);
        let number = span.start.line.to_string();
        let indent = " ".repeat(number.len());
        let column = span.start.column.saturating_sub(1);
        let caret: String =
            line.chars().take(column).map(|c| if c == '\t' { c } else { ' ' }).collect();
        shown = format!("{number} | {line}\n{indent} | {caret}^\n");
    }
    if let Some((_, output)) = error.process() {
        shown.push_str("the last lines that it wrote:\n");
        output.iter().for_each(|line| shown.push_str(&format!("  {line}\n")));
    }
    Failure::Container(ContainerFailure::Build {
        file: file.to_owned(),
        error: Box::new(error),
        shown,
    })
}
