//! Progress on standard error: bars on a terminal, quiet lines in a pipe.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use corten_spec::{Descriptor, Digest};
use corten_store::{Event, Outcome, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::bytes;
use super::watch::{Seen, seen};

/// A bar for each blob in flight: bytes, rate, time left.
pub(crate) struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    /// Draws on standard error, at most ten times a second.
    pub(crate) fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        Self { all: MultiProgress::with_draw_target(target), bars: Mutex::default() }
    }

    fn bars(&self) -> MutexGuard<'_, HashMap<Digest, ProgressBar>> {
        // A panic while drawing leaves the map whole.
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, descriptor: &Descriptor, from: u64) {
        // Hidden until it has its place among the others: before that it would draw on its own.
        let hidden = ProgressDrawTarget::hidden();
        let bar = ProgressBar::with_draw_target(Some(descriptor.size), hidden)
            .with_position(from)
            .with_style(style(from))
            .with_prefix(format!("{:6} {}", role(descriptor), descriptor.digest.short()));
        let bar = self.all.add(bar);
        self.bars().insert(descriptor.digest.clone(), bar);
    }
}

/// One line: what, how much of it is there, how fast it comes and how long that takes. The rate is
/// the mean since `from`; what an earlier run brought does not count.
fn style(from: u64) -> ProgressStyle {
    let done = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let total = bytes(state.len().unwrap_or_default());
        // A line that cannot be written is not drawn.
        let _ = write!(out, "{:>7}/{total:7}", bytes(state.pos()));
    };
    let rate = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{:>9}", format!("{}/s", bytes(per_second(state, from))));
    };
    let left = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        let missing = state.len().unwrap_or_default().saturating_sub(state.pos());
        let _ = match missing.checked_div(per_second(state, from)) {
            Some(seconds) => write!(out, "{:>6}", clock(seconds)),
            None => write!(out, "{:>6}", "--:--"),
        };
    };
    ProgressStyle::with_template("{prefix:.dim} {wide_bar} {done} {rate} {left}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("done", done)
        .with_key("rate", rate)
        .with_key("left", left)
        .progress_chars("━━ ")
}

fn per_second(state: &ProgressState, from: u64) -> u64 {
    let moved = u128::from(state.pos().saturating_sub(from)) * 1000;
    let rate = moved.checked_div(state.elapsed().as_millis()).unwrap_or_default();
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Seconds as minutes and seconds, `1:05`; above an hour as `2h05`.
fn clock(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if hours > 0 {
        format!("{hours}h{minutes:02}")
    } else {
        format!("{minutes}:{:02}", seconds % 60)
    }
}

impl Progress for Bars {
    fn event(&self, event: Event) {
        if seen(Seen::Transfer(&event)) {
            return;
        }
        match event {
            Event::Started { descriptor, from } => self.start(&descriptor, from),
            Event::Advanced { digest, bytes } => {
                if let Some(bar) = self.bars().get(&digest) {
                    bar.inc(bytes);
                }
            }
            Event::Resumed { digest, from } => {
                if let Some(bar) = self.bars().get(&digest) {
                    bar.set_position(from);
                }
            }
            Event::Finished { descriptor, outcome } => {
                if let Some(bar) = self.bars().remove(&descriptor.digest) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
                let _ = self.all.println(line(&descriptor, outcome));
            }
            _ => {}
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        let _ = self.all.clear();
    }
}

/// A line for each blob that arrived, and for each transfer that was cut and goes on.
pub(crate) struct Lines;

impl Progress for Lines {
    fn event(&self, event: Event) {
        if seen(Seen::Transfer(&event)) {
            return;
        }
        if let Some(text) = told(&event) {
            // Nobody may be listening; that is no reason to fail.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

/// The line for an event, where it has one.
pub(super) fn told(event: &Event) -> Option<String> {
    match event {
        Event::Finished { outcome: Outcome::Present, .. } => None,
        Event::Finished { descriptor, outcome } => Some(line(descriptor, *outcome)),
        Event::Resumed { digest, from } => {
            Some(format!("resumed {} at {}", digest.short(), bytes(*from)))
        }
        _ => None,
    }
}

fn line(descriptor: &Descriptor, outcome: Outcome) -> String {
    let word = match outcome {
        Outcome::Copied => "copied",
        Outcome::Present => "exists",
        Outcome::Mounted => "mounted",
    };
    let (role, digest) = (role(descriptor), descriptor.digest.short());
    format!("{word:7} {role:8} {digest} {:>9}", bytes(descriptor.size))
}

/// One word for what a descriptor points at.
pub(super) fn role(descriptor: &Descriptor) -> &'static str {
    let kind = &descriptor.media_type;
    if kind.is_layer() {
        "layer"
    } else if kind.is_index() {
        "index"
    } else if kind.is_manifest() {
        "manifest"
    } else if kind.is_config() {
        "config"
    } else {
        "blob"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_fits_its_column() {
        let texts = [0, 65, 3599, 3600, 7500].map(clock);
        assert_eq!(texts, ["0:00", "1:05", "59:59", "1h00", "2h05"]);
    }
}
