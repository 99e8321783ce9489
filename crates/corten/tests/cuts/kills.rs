//! Killing a process at a random moment, and counting what the kills met.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::{Duration, Instant};

use corten_testkit::Dice;

/// `SIGKILL`.
const KILL: i32 = 9;

/// Random moments, from a seed that is printed.
pub(crate) struct Killer {
    what: &'static str,
    seed: u64,
    dice: Dice,
    /// How often each kind of moment was met.
    pub(crate) met: Met,
}

/// What kills met.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    /// Processes that had ended by themselves.
    pub(crate) ended: u32,
    /// Processes killed before they had written or sent anything.
    pub(crate) before: u32,
    /// Processes killed when they had written or sent something, and not all.
    pub(crate) midway: u32,
    /// Processes killed when all was done but the end of the process.
    pub(crate) done: u32,
}

/// How far a process came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nothing was there yet.
    Before,
    /// Something was.
    Midway,
    /// All was.
    Done,
}

impl Killer {
    /// `CORTEN_KILL_SEED`, or a seed of its own for each run.
    pub(crate) fn new(what: &'static str) -> Self {
        let given = std::env::var("CORTEN_KILL_SEED").ok();
        let fresh = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos())
        };
        let seed = given.map_or_else(fresh, |text| text.parse().expect("a number"));
        eprintln!("{what}: CORTEN_KILL_SEED={seed}");
        Self { what, seed, dice: Dice::new(seed), met: Met::default() }
    }

    /// Whether a coin falls on this side.
    pub(crate) fn coin(&mut self) -> bool {
        self.dice.below(2) == 0
    }

    /// Lets `child` run for a random part of `span`, then kills it. Whether the kill came in time;
    /// a process that ended before must have succeeded.
    pub(crate) fn strike(&mut self, mut child: Child, span: Duration) -> bool {
        let micros = u64::try_from(span.as_micros()).unwrap();
        std::thread::sleep(Duration::from_micros(self.dice.below(micros.max(1))));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let killed = status.signal() == Some(KILL);
        assert!(killed || status.success(), "{}: {status}", self.what);
        killed
    }

    /// Counts a process.
    pub(crate) fn count(&mut self, killed: bool, moment: Moment) {
        let met = &mut self.met;
        *match (killed, moment) {
            (false, _) => &mut met.ended,
            (true, Moment::Before) => &mut met.before,
            (true, Moment::Midway) => &mut met.midway,
            (true, Moment::Done) => &mut met.done,
        } += 1;
    }
}

impl fmt::Display for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Met { ended, before, midway, done } = self.met;
        let runs = ended + before + midway + done;
        write!(
            f,
            "{}: seed {}, {runs} runs: {before} killed before the first byte, {midway} midway, \
             {done} after the last step; {ended} had ended",
            self.what, self.seed
        )
    }
}

/// How long `work` takes at best, and a little more, so that kills fall on its end too. `clear`
/// makes it possible again.
pub(crate) fn span_of(mut work: impl FnMut(), mut clear: impl FnMut()) -> Duration {
    let spans = [(); 2].map(|()| {
        let started = Instant::now();
        work();
        let span = started.elapsed();
        clear();
        span
    });
    spans[0].min(spans[1]).mul_f64(1.05)
}
