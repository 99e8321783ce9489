//! Who is shown what happens while a verb works: a tree on a terminal, lines, or JSON. One at a time in a process,
//! so that notes and transfers come to where the build is drawn.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use corten_build::{BuildEvent, BuildListener};
use corten_store::{Event, Outcome};
use serde_json::{Value, json};

use super::progress::role;
use crate::plain::{plain, plain_json};

/// Something to be shown.
pub(crate) enum Seen<'a> {
    /// Of a build.
    Build(BuildEvent<'a>),
    /// Of a transfer.
    Transfer(&'a Event),
    /// A note for the user.
    Note(&'a str),
}

/// Shows what happens, from any thread.
pub(crate) trait Watcher: Send + Sync {
    /// Shows one thing.
    fn see(&self, seen: Seen<'_>);
    /// Nothing more comes.
    fn end(&self);
}

static CURRENT: Mutex<Option<Arc<dyn Watcher>>> = Mutex::new(None);
static JSON: AtomicBool = AtomicBool::new(false);

/// Shows something where somebody watches; whether anybody does.
pub(crate) fn seen(seen: Seen<'_>) -> bool {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match current {
        Some(watcher) => {
            watcher.see(seen);
            true
        }
        None => false,
    }
}

/// Whether standard error is for programs, one JSON object a line: errors are written so, too.
pub(crate) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Somebody watches as long as this is held.
pub(crate) struct Watching {
    watcher: Arc<dyn Watcher>,
}

impl Watching {
    /// From now on.
    pub(crate) fn begin(watcher: Arc<dyn Watcher>) -> Self {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(Arc::clone(&watcher));
        drop(current);
        Self { watcher }
    }

    /// What a build tells.
    pub(crate) fn listener(&self) -> Arc<Told> {
        Arc::new(Told { watcher: Arc::clone(&self.watcher), has_shell: AtomicBool::new(false) })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.watcher.end();
    }
}

/// Passes on what a build tells, until a shell has the terminal.
pub(crate) struct Told {
    watcher: Arc<dyn Watcher>,
    has_shell: AtomicBool,
}

impl BuildListener for Told {
    fn hear(&self, event: BuildEvent<'_>) {
        match event {
            BuildEvent::ShellBegins { step, code, output } => {
                self.watcher.see(Seen::Build(event));
                *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Nothing));
                self.has_shell.store(true, Ordering::Release);
                say(&format!("{step}: exit code {code}; the last lines that it wrote:"));
                output.iter().for_each(|line| say(&format!("  | {line}")));
                say(
                    "This is a shell in the state that it left. To leave: exit, or Control and D. The build fails then.",
                );
            }
            // Why there is no shell after all.
            BuildEvent::Notice { text } if self.has_shell.load(Ordering::Acquire) => {
                say(&format!("note: {text}"));
            }
            _ if self.has_shell.load(Ordering::Acquire) => {}
            _ => self.watcher.see(Seen::Build(event)),
        }
    }
}

fn say(line: &str) {
    // Nobody is left to tell when the terminal is gone.
    let _ = writeln!(std::io::stderr().lock(), "{}", plain(line));
}

/// Shows nothing.
pub(crate) struct Nothing;

impl Watcher for Nothing {
    fn see(&self, _: Seen<'_>) {}
    fn end(&self) {}
}

/// A line for each thing.
pub(crate) struct PlainLines;

impl Watcher for PlainLines {
    fn see(&self, seen: Seen<'_>) {
        let line = match seen {
            Seen::Build(BuildEvent::Started { step }) => step.to_owned(),
            Seen::Build(BuildEvent::Cached { step }) => format!("{step} (cached)"),
            Seen::Build(BuildEvent::Output { line, .. }) => format!("  | {line}"),
            Seen::Build(BuildEvent::Notice { text }) | Seen::Note(text) => format!("note: {text}"),
            Seen::Transfer(event) => match super::progress::told(event) {
                Some(line) => line,
                None => return,
            },
            Seen::Build(_) => return,
        };
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{}", plain(&line));
    }

    fn end(&self) {}
}

/// A JSON object for each thing, on a line of its own; described in the book, under building.
pub(crate) struct JsonLines {
    began: Instant,
}

impl JsonLines {
    pub(crate) fn new() -> Self {
        JSON.store(true, Ordering::Relaxed);
        Self { began: Instant::now() }
    }
}

impl Watcher for JsonLines {
    fn see(&self, seen: Seen<'_>) {
        let Some(mut value) = value(seen) else { return };
        if let Some(fields) = value.as_object_mut() {
            let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            fields.insert("ms".to_owned(), json!(ms));
        }
        write_json(&value);
    }

    fn end(&self) {}
}

/// Writes an object on a line of standard error.
pub(crate) fn write_json(value: &Value) {
    let _ = writeln!(std::io::stderr().lock(), "{}", plain_json(&value.to_string()));
}

fn value(seen: Seen<'_>) -> Option<Value> {
    Some(match seen {
        Seen::Build(BuildEvent::Started { step }) => json!({"event": "started", "step": step}),
        Seen::Build(BuildEvent::Cached { step }) => json!({"event": "cached", "step": step}),
        Seen::Build(BuildEvent::Done { step }) => json!({"event": "done", "step": step}),
        Seen::Build(BuildEvent::Failed { step }) => json!({"event": "failed", "step": step}),
        Seen::Build(BuildEvent::Output { step, line }) => {
            json!({"event": "output", "step": step, "line": line})
        }
        Seen::Build(BuildEvent::Notice { text }) | Seen::Note(text) => {
            json!({"event": "notice", "text": text})
        }
        Seen::Transfer(Event::Started { descriptor, from }) => json!({
            "event": "transfer-started", "digest": descriptor.digest.to_string(),
            "role": role(descriptor), "size": descriptor.size, "from": from,
        }),
        Seen::Transfer(Event::Advanced { digest, bytes }) => json!({
            "event": "transfer-advanced", "digest": digest.to_string(), "bytes": bytes,
        }),
        Seen::Transfer(Event::Resumed { digest, from }) => json!({
            "event": "transfer-resumed", "digest": digest.to_string(), "from": from,
        }),
        Seen::Transfer(Event::Finished { descriptor, outcome }) => json!({
            "event": "transfer-finished", "digest": descriptor.digest.to_string(),
            "role": role(descriptor), "size": descriptor.size,
            "outcome": match outcome {
                Outcome::Copied => "copied",
                Outcome::Present => "present",
                Outcome::Mounted => "mounted",
            },
        }),
        _ => return None,
    })
}
