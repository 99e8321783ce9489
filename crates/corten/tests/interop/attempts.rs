//! Many attempts with one verdict, so that a test tells all that is wrong and not the first thing.

use corten_testkit::Ran;

/// Attempts, each of which succeeds or is refused in the words known for it.
#[derive(Default)]
pub(crate) struct Attempts {
    made: usize,
    wrong: Vec<String>,
}

impl Attempts {
    /// Notes how an attempt ended: with success, or, where a limit of the peer is known, with
    /// those words. Tells whether it succeeded.
    pub(crate) fn note(&mut self, what: &str, ran: &Ran, limit: Option<&str>) -> bool {
        self.made += 1;
        let succeeded = ran.code == Some(0);
        match limit {
            None if succeeded => {}
            Some(words) if !succeeded && ran.stderr.contains(words) => {}
            None => self.wrong.push(format!("{what} failed: {ran:?}")),
            Some(_) if succeeded => self.wrong.push(format!("{what}: the known limit is gone")),
            Some(words) => self.wrong.push(format!("{what}, not with '{words}': {ran:?}")),
        }
        succeeded
    }

    /// Asserts that all went as expected.
    pub(crate) fn finish(self) {
        assert!(self.made > 0, "nothing was attempted");
        let (wrong, made) = (self.wrong.len(), self.made);
        assert!(wrong == 0, "{wrong} of {made} attempts:\n{}", self.wrong.join("\n"));
    }
}
