//! Progress on standard error: bars on a terminal, quiet lines in a pipe.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use corten_spec::{Descriptor, Digest};
use corten_store::{Event, Outcome, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::bytes;

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
        let template = "{prefix:.dim} {wide_bar} {decimal_bytes:>9}/{decimal_total_bytes:9} {decimal_bytes_per_sec:>11} {eta:>4}";
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━━ ");
        let bar = ProgressBar::new(descriptor.size).with_position(from).with_style(style);
        bar.set_prefix(format!("{:6} {}", role(descriptor), descriptor.digest.short()));
        bar.reset_eta();
        let bar = self.all.add(bar);
        self.bars().insert(descriptor.digest.clone(), bar);
    }
}

impl Progress for Bars {
    fn event(&self, event: Event) {
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
        let text = match event {
            Event::Finished { outcome: Outcome::Present, .. } => return,
            Event::Finished { descriptor, outcome } => line(&descriptor, outcome),
            Event::Resumed { digest, from } => {
                format!("resumed {} at {}", digest.short(), bytes(from))
            }
            _ => return,
        };
        // Nobody may be listening; that is no reason to fail.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
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
fn role(descriptor: &Descriptor) -> &'static str {
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
