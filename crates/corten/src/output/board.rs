//! What a terminal shows of a build, as a function of what happened: events in, lines of a width out. It neither
//! draws nor asks the time.

use std::collections::VecDeque;
use std::time::Duration;

use corten_spec::{Descriptor, Digest};
use corten_store::Event;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::progress::role;
use super::{bytes, count};
use crate::plain::plain;

/// Most lines of output that are shown of a step while it runs.
const MAX_TAIL: usize = 6;
/// Most characters of a line of output that are kept.
const MAX_LINE: usize = 400;
/// Most transfers that are shown at once.
const MAX_MOVING: usize = 8;

/// How a row is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Usual,
    /// Less than the rest.
    Dim,
    /// More than the rest.
    Strong,
    /// As what went wrong.
    Bad,
}

/// One row of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepState {
    /// It goes on.
    Running,
    /// Its layer was there.
    Cached,
    /// It is done, after this time.
    Done(Duration),
    /// It went wrong, after this time.
    Failed(Duration),
}

/// What is known of a step.
#[derive(Debug)]
struct Known {
    stage: String,
    /// `3/5`.
    place: String,
    text: String,
    began: Duration,
    state: StepState,
    tail: VecDeque<String>,
}

/// A transfer that goes on.
#[derive(Debug)]
struct Moving {
    digest: Digest,
    role: &'static str,
    done: u64,
    total: u64,
}

/// All that is known of a build. Times are since its beginning.
#[derive(Debug, Default)]
pub(crate) struct Board {
    steps: Vec<Known>,
    moving: Vec<Moving>,
    moved: (u64, u64),
}

impl Board {
    /// A step begins, or is found in the cache.
    pub(crate) fn begin(&mut self, step: &str, now: Duration, state: StepState) {
        let (stage, place, text) = parts(step);
        let tail = VecDeque::new();
        self.steps.push(Known { stage, place, text, began: now, state, tail });
    }

    /// A step has ended.
    pub(crate) fn end(&mut self, step: &str, now: Duration, failed: bool) {
        if let Some(known) = self.running(step) {
            let took = now.saturating_sub(known.began);
            known.state = if failed { StepState::Failed(took) } else { StepState::Done(took) };
            if !failed {
                known.tail.clear();
            }
        }
    }

    /// A step wrote a line.
    pub(crate) fn output(&mut self, step: &str, line: &str) {
        if let Some(known) = self.running(step) {
            // What a program draws over its own line is shown as it came last.
            let line = line.rsplit('\r').next().unwrap_or_default();
            let short: String = line.chars().take(MAX_LINE).collect();
            if known.tail.len() == MAX_TAIL {
                known.tail.pop_front();
            }
            known.tail.push_back(plain(&short.replace('\t', "    ")));
        }
    }

    /// Something of a transfer.
    pub(crate) fn transfer(&mut self, event: &Event) {
        match event {
            Event::Started { descriptor, from } => self.moving.push(Moving {
                digest: descriptor.digest.clone(),
                role: role(descriptor),
                done: *from,
                total: descriptor.size,
            }),
            Event::Advanced { digest, bytes } => {
                if let Some(one) = self.moving.iter_mut().find(|one| one.digest == *digest) {
                    one.done = one.done.saturating_add(*bytes);
                }
            }
            Event::Resumed { digest, from } => {
                if let Some(one) = self.moving.iter_mut().find(|one| one.digest == *digest) {
                    one.done = *from;
                }
            }
            Event::Finished { descriptor, .. } => self.arrived(descriptor),
            _ => {}
        }
    }

    fn arrived(&mut self, descriptor: &Descriptor) {
        let before = self.moving.len();
        self.moving.retain(|one| one.digest != descriptor.digest);
        if self.moving.len() < before {
            self.moved.0 += 1;
            self.moved.1 = self.moved.1.saturating_add(descriptor.size);
        }
    }

    fn running(&mut self, step: &str) -> Option<&mut Known> {
        let (stage, place, _) = parts(step);
        self.steps.iter_mut().rev().find(|known| {
            known.state == StepState::Running && known.stage == stage && known.place == place
        })
    }

    /// The rows while it goes on: at most `height`, each narrower than `width`.
    pub(crate) fn rows(&self, now: Duration, (width, height): (usize, usize)) -> Vec<Row> {
        let mut rows = Vec::new();
        for (tail, hides_done) in [(MAX_TAIL, false), (2, false), (0, false), (0, true)] {
            rows = self.all_rows(now, width, tail, hides_done);
            if rows.len() <= height {
                return rows;
            }
        }
        let more = rows.len() - height.saturating_sub(1);
        rows.truncate(height.saturating_sub(1));
        rows.push(Row { text: fitted(&format!("… {more} more"), "", width), tone: Tone::Dim });
        rows.truncate(height);
        rows
    }

    fn all_rows(&self, now: Duration, width: usize, tail: usize, hides_done: bool) -> Vec<Row> {
        let mut rows = vec![self.head(now, width)];
        let stages = self.stages();
        let mut blocks: Vec<Vec<Row>> = Vec::new();
        for stage in stages {
            let steps: Vec<&Known> =
                self.steps.iter().filter(|known| known.stage == stage).collect();
            let goes_on = steps.iter().any(|known| known.state == StepState::Running);
            if goes_on || !hides_done {
                blocks.push(stage_rows(stage, &steps, now, width, tail));
            }
        }
        blocks.extend(self.moving.iter().take(MAX_MOVING).map(|one| vec![moving(one, width)]));
        if let Some(more) = self.moving.len().checked_sub(MAX_MOVING + 1) {
            let text = fitted(&format!("{} more on their way", more + 1), "", width - 3);
            blocks.push(vec![Row { text, tone: Tone::Dim }]);
        }
        let last = blocks.len().saturating_sub(1);
        for (number, block) in blocks.into_iter().enumerate() {
            for (line, row) in block.into_iter().enumerate() {
                let branch = match (line, number == last) {
                    (0, true) => "└─ ",
                    (0, false) => "├─ ",
                    (_, true) => "   ",
                    (_, false) => "│  ",
                };
                rows.push(Row { text: format!("{branch}{}", row.text), tone: row.tone });
            }
        }
        rows
    }

    fn stages(&self) -> Vec<&str> {
        let mut stages: Vec<&str> = Vec::new();
        for known in &self.steps {
            if !stages.contains(&known.stage.as_str()) {
                stages.push(&known.stage);
            }
        }
        stages
    }

    fn head(&self, now: Duration, width: usize) -> Row {
        Row {
            text: fitted(&format!("building: {}", self.counts()), &clock(now), width),
            tone: Tone::Strong,
        }
    }

    fn counts(&self) -> String {
        let of = |wanted: fn(&StepState) -> bool| {
            self.steps.iter().filter(|known| wanted(&known.state)).fold(0_u64, |sum, _| sum + 1)
        };
        let done = of(|state| matches!(state, StepState::Done(_)));
        let cached = of(|state| *state == StepState::Cached);
        let failed = of(|state| matches!(state, StepState::Failed(_)));
        let mut text = format!("{} done, {cached} cached", count(done, "step"));
        if failed > 0 {
            text.push_str(&format!(", {failed} failed"));
        }
        if self.moved.0 > 0 {
            let (number, size) = (count(self.moved.0, "blob"), bytes(self.moved.1));
            text.push_str(&format!(", {number} ({size}) moved"));
        }
        text
    }

    /// What stays on the screen at the end: a row for each step.
    pub(crate) fn summary(&self, now: Duration, width: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        for stage in self.stages() {
            for known in self.steps.iter().filter(|known| known.stage == stage) {
                let name = format!("[{stage} {}] {}", known.place, known.text);
                let (end, tone) = match known.state {
                    StepState::Cached => ("cached".to_owned(), Tone::Dim),
                    StepState::Done(took) => (clock(took), Tone::Usual),
                    StepState::Failed(took) => (format!("failed {}", clock(took)), Tone::Bad),
                    StepState::Running => ("stopped".to_owned(), Tone::Dim),
                };
                rows.push(Row { text: fitted(&name, &end, width), tone });
            }
        }
        let is_whole = self
            .steps
            .iter()
            .all(|known| matches!(known.state, StepState::Cached | StepState::Done(_)));
        let (word, tone) =
            if is_whole { ("built", Tone::Strong) } else { ("not built", Tone::Bad) };
        let text = fitted(&format!("{word}: {}", self.counts()), &clock(now), width);
        rows.push(Row { text, tone });
        rows
    }
}

fn stage_rows(stage: &str, steps: &[&Known], now: Duration, width: usize, tail: usize) -> Vec<Row> {
    let place = steps.last().map(|known| known.place.as_str()).unwrap_or_default();
    let cached = steps.iter().filter(|known| known.state == StepState::Cached).count();
    let cached = if cached == 0 { String::new() } else { format!("{cached} cached") };
    // What a branch takes.
    let width = width.saturating_sub(3);
    let goes_on = steps.iter().any(|known| known.state == StepState::Running);
    let tone = if goes_on { Tone::Usual } else { Tone::Dim };
    let mut rows = vec![Row { text: fitted(&format!("{stage} {place}"), &cached, width), tone }];
    for known in steps {
        let (end, tone) = match known.state {
            StepState::Running => (clock(now.saturating_sub(known.began)), Tone::Usual),
            StepState::Failed(took) => (format!("failed {}", clock(took)), Tone::Bad),
            _ => continue,
        };
        rows.push(Row { text: fitted(&format!("  {}", known.text), &end, width), tone });
        let skipped = known.tail.len().saturating_sub(tail);
        for line in known.tail.iter().skip(skipped) {
            rows.push(Row { text: fitted(&format!("    | {line}"), "", width), tone: Tone::Dim });
        }
    }
    rows
}

fn moving(one: &Moving, width: usize) -> Row {
    let name = format!("{:8} {}", one.role, one.digest.short());
    let end = format!("{}/{}", bytes(one.done), bytes(one.total));
    Row { text: fitted(&name, &end, width.saturating_sub(3)), tone: Tone::Usual }
}

/// `[stage 2/5] RUN make` as its parts.
fn parts(step: &str) -> (String, String, String) {
    let whole = || (String::new(), String::new(), plain(step));
    let Some((inside, text)) = step.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else {
        return whole();
    };
    match inside.rsplit_once(' ') {
        Some((stage, place)) => (plain(stage), plain(place), plain(text)),
        None => whole(),
    }
}

/// `text` and, at the right, `end`, in fewer than `width` columns: a terminal may go to its next line in the last.
fn fitted(text: &str, end: &str, width: usize) -> String {
    let room = width.saturating_sub(1);
    if end.is_empty() {
        return cut(text, room);
    }
    let Some(left) = room.checked_sub(end.width() + 1).filter(|left| *left > 0) else {
        return cut(text, room);
    };
    let text = cut(text, left);
    let gap = " ".repeat(left - text.width() + 1);
    format!("{text}{gap}{end}")
}

fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 0;
    for letter in text.chars() {
        used += letter.width().unwrap_or_default();
        if used + 1 > room {
            break;
        }
        short.push(letter);
    }
    if room > 0 {
        short.push('…');
    }
    short
}

/// A time as people read it: `4.2s`, `1m05s`, `2h05m`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_spec::MediaType;
    use corten_store::Outcome;

    fn at(tenths: u64) -> Duration {
        Duration::from_millis(tenths * 100)
    }

    fn texts(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.text.as_str()).collect()
    }

    fn board() -> Board {
        let mut board = Board::default();
        board.begin("[tools 2/3] RUN make", at(0), StepState::Running);
        board.begin("[app 2/2] COPY a /", at(1), StepState::Cached);
        board.output("[tools 2/3] RUN make", "10%\r20%\rcc\ta.c\x1b[2J");
        board
    }

    #[test]
    fn a_build_that_goes_on_is_a_tree() {
        let mut board = board();
        let layer = Descriptor::of(MediaType::OCI_LAYER_GZIP, &[0; 2000]);
        board.transfer(&Event::Started { descriptor: layer.clone(), from: 0 });
        board.transfer(&Event::Advanced { digest: layer.digest.clone(), bytes: 1500 });
        let short = layer.digest.short().to_string();
        let rows = board.rows(at(42), (48, 20));
        let moving = format!("└─ layer    {short}");
        let end = "1.50 kB/2.00 kB";
        let gap = " ".repeat(47 - moving.width() - end.len());
        assert_eq!(
            texts(&rows),
            [
                "building: 0 steps done, 1 cached           4.2s",
                "├─ tools 2/3",
                "│    RUN make                              4.2s",
                "│      | cc    a.c\\u{1b}[2J",
                "├─ app 2/2                             1 cached",
                &format!("{moving}{gap}{end}"),
            ]
        );
        board.transfer(&Event::Finished { descriptor: layer, outcome: Outcome::Copied });
        assert!(board.rows(at(43), (80, 20))[0].text.contains("1 blob (2.00 kB) moved"));
    }

    #[test]
    fn what_is_done_collapses_and_is_told_at_the_end() {
        let mut board = board();
        board.end("[tools 2/3] RUN make", at(20), false);
        assert_eq!(
            texts(&board.rows(at(700), (40, 20))),
            [
                "building: 1 step done, 1 cached   1m10s",
                "├─ tools 2/3",
                "└─ app 2/2                     1 cached",
            ]
        );
        assert_eq!(
            texts(&board.summary(at(700), 40)),
            [
                "[tools 2/3] RUN make               2.0s",
                "[app 2/2] COPY a /               cached",
                "built: 1 step done, 1 cached      1m10s",
            ]
        );
    }

    #[test]
    fn what_fails_keeps_its_last_lines_and_what_was_stopped_is_told() {
        let mut board = board();
        board.begin("[app 2/2] RUN sleep 9", at(2), StepState::Running);
        board.end("[tools 2/3] RUN make", at(20), true);
        let rows = board.rows(at(20), (40, 20));
        assert!(rows.iter().any(|row| row.tone == Tone::Bad && row.text.contains("failed 2.0s")));
        assert!(rows.iter().any(|row| row.text.contains("| cc")));
        let summary = board.summary(at(21), 50);
        let last = summary.last().unwrap();
        assert!(
            last.text.starts_with("not built: 0 steps done, 1 cached, 1 failed"),
            "{}",
            last.text
        );
        assert!(texts(&summary).iter().any(|line| line.ends_with("stopped")));
    }

    #[test]
    fn no_size_of_a_terminal_is_exceeded() {
        let mut board = Board::default();
        for number in 0..40 {
            let step = format!("[stage-{number} 2/9] RUN 漢字 {}", "é".repeat(number * 3));
            board.begin(&step, at(0), StepState::Running);
            for line in 0..20 {
                board.output(&step, &format!("line {line} {}", "漢".repeat(100)));
            }
        }
        for width in 4..130 {
            for height in [1, 2, 5, 24, 60, 400] {
                let rows = board.rows(at(5), (width, height));
                assert!(rows.len() <= height, "{width}x{height}: {}", rows.len());
                assert!(rows.iter().all(|row| row.text.width() < width), "{width}: {rows:?}");
            }
            assert!(board.summary(at(5), width).iter().all(|row| row.text.width() < width));
        }
    }

    #[test]
    fn the_same_step_of_another_platform_is_another_one() {
        let mut board = Board::default();
        for begins in [0, 30] {
            board.begin("[app 2/2] RUN make", at(begins), StepState::Running);
            board.end("[app 2/2] RUN make", at(begins + 10), false);
        }
        assert_eq!(board.summary(at(40), 60).len(), 3);
        assert_eq!([at(9), at(650), at(72_000)].map(clock), ["0.9s", "1m05s", "2h00m"]);
    }
}
