//! How a build is shown while it goes on.

use std::io::IsTerminal as _;
use std::sync::Arc;

use clap::ValueEnum;

use super::{Context, Failure};
use crate::output::{Colours, JsonLines, Nothing, PlainLines, Screen, Watcher, Watching};

/// How progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressWord {
    Auto,
    Tty,
    Plain,
    Json,
    Quiet,
}

/// Shows what happens as long as the result is held.
pub(super) fn watching(context: &Context, word: ProgressWord) -> Result<Watching, Failure> {
    let is_terminal = std::io::stderr().is_terminal();
    let environment = context.environment();
    let is_dumb = environment.variable("TERM").is_none_or(|term| term == "dumb");
    let tree = || -> Arc<dyn Watcher> {
        let colours = match environment.variable("NO_COLOR") {
            Some(_) => Colours::Off,
            None => Colours::On,
        };
        Screen::begin(colours)
    };
    let watcher: Arc<dyn Watcher> = match word {
        _ if context.is_quiet() => Arc::new(Nothing),
        ProgressWord::Tty if !is_terminal => {
            let text = "--progress tty: standard error is no terminal".to_owned();
            return Err(Failure::Usage(text));
        }
        ProgressWord::Tty => tree(),
        ProgressWord::Auto if is_terminal && !is_dumb => tree(),
        ProgressWord::Auto | ProgressWord::Plain => Arc::new(PlainLines),
        ProgressWord::Json => Arc::new(JsonLines::new()),
        ProgressWord::Quiet => Arc::new(Nothing),
    };
    Ok(Watching::begin(watcher))
}
