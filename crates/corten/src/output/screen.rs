//! Draws a board on a terminal, over what it drew before: at most ten times a second, each time in one write, as wide
//! and as high as the terminal is then.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use corten_build::BuildEvent;
use unicode_width::UnicodeWidthStr as _;

use super::board::{Board, Row, StepState, Tone};
use super::watch::{Seen, Watcher};
use crate::plain::plain;

/// Time between two pictures.
const PAUSE: Duration = Duration::from_millis(100);
/// The size of a terminal that does not say it.
const USUAL: (usize, usize) = (80, 24);

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// Yes.
    On,
    /// `NO_COLOR` is set.
    Off,
}

/// A terminal with a build on it.
pub(crate) struct Screen {
    began: Instant,
    colours: Colours,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    board: Board,
    /// What stays above the tree, and is not written yet.
    notes: Vec<String>,
    /// How wide each row of the last picture was.
    drawn: Vec<usize>,
    is_over: bool,
}

impl Screen {
    /// Draws from now on, on a thread of its own.
    pub(crate) fn begin(colours: Colours) -> Arc<Self> {
        let (state, bell) = (Mutex::default(), Condvar::new());
        let screen = Arc::new(Self { began: Instant::now(), colours, state, bell });
        let weak = Arc::downgrade(&screen);
        std::thread::spawn(move || tick(&weak));
        screen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while drawing leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, state: &mut State) {
        let (width, height) = size();
        let rows = state.board.rows(self.began.elapsed(), (width, height.saturating_sub(1)));
        let picture = picture(state, &rows, width, self.colours);
        state.drawn = rows.iter().map(|row| row.text.width()).collect();
        write(&picture);
    }
}

/// Draws until the screen is gone or over.
fn tick(screen: &Weak<Screen>) {
    while let Some(screen) = screen.upgrade() {
        let mut state = screen.state();
        if state.is_over {
            return;
        }
        screen.draw(&mut state);
        let waited = screen.bell.wait_timeout_while(state, PAUSE, |state| !state.is_over);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// What brings a terminal from the last picture to the next.
fn picture(state: &mut State, rows: &[Row], width: usize, colours: Colours) -> String {
    let mut text = String::new();
    // What was drawn on a wider terminal takes more of its lines now.
    let up: usize = state.drawn.iter().map(|drawn| drawn.div_ceil(width.max(1)).max(1)).sum();
    if up > 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, "\x1b[{up}A");
    }
    text.push('\r');
    for note in state.notes.drain(..) {
        let _ = write!(text, "{note}\x1b[K\r\n");
    }
    for row in rows {
        let code = match (row.tone, colours) {
            (Tone::Dim, Colours::On) => "\x1b[2m",
            (Tone::Strong, Colours::On) => "\x1b[1m",
            (Tone::Bad, Colours::On) => "\x1b[31m",
            _ => "",
        };
        let reset = if code.is_empty() { "" } else { "\x1b[0m" };
        let _ = write!(text, "{code}{}{reset}\x1b[K\r\n", row.text);
    }
    text.push_str("\x1b[J");
    text
}

fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    // Nobody is left to tell when the terminal is gone.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => USUAL,
    }
}

impl Watcher for Screen {
    fn see(&self, seen: Seen<'_>) {
        let now = self.began.elapsed();
        let mut state = self.state();
        if state.is_over {
            return;
        }
        match seen {
            Seen::Build(BuildEvent::Started { step }) => {
                state.board.begin(step, now, StepState::Running);
            }
            Seen::Build(BuildEvent::Cached { step }) => {
                state.board.begin(step, now, StepState::Cached);
            }
            Seen::Build(BuildEvent::Done { step }) => state.board.end(step, now, false),
            Seen::Build(BuildEvent::Failed { step }) => state.board.end(step, now, true),
            Seen::Build(BuildEvent::Output { step, line }) => state.board.output(step, line),
            Seen::Build(BuildEvent::Notice { text }) | Seen::Note(text) => {
                state.notes.push(format!("note: {}", plain(text)));
            }
            Seen::Build(BuildEvent::ShellBegins { .. }) => {
                drop(state);
                self.end();
            }
            Seen::Transfer(event) => state.board.transfer(event),
            Seen::Build(_) => {}
        }
    }

    /// Leaves a row for each step.
    fn end(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.is_over, true) {
            return;
        }
        let (width, _) = size();
        let rows = state.board.summary(self.began.elapsed(), width);
        let picture = picture(&mut state, &rows, width, self.colours);
        write(&picture);
        self.bell.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_goes_over_the_last_one_however_the_terminal_changed() {
        let row = |text: &str, tone| Row { text: text.to_owned(), tone };
        let mut state = State { drawn: vec![70, 10, 0], ..State::default() };
        state.notes.push("note: n".to_owned());
        let rows = [row("a", Tone::Bad), row("b", Tone::Usual)];
        let text = picture(&mut state, &rows, 40, Colours::On);
        assert_eq!(text, "\x1b[4A\rnote: n\x1b[K\r\n\x1b[31ma\x1b[0m\x1b[K\r\nb\x1b[K\r\n\x1b[J");
        assert!(!picture(&mut state, &rows, 80, Colours::Off).contains('m'));
    }
}
