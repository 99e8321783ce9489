//! What a build tells while it goes on.

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildEvent<'a> {
    /// A step begins.
    Started {
        /// Which: `[stage 2/5] RUN make`.
        step: &'a str,
    },
    /// A step's layer is in the cache.
    Cached {
        /// Which.
        step: &'a str,
    },
    /// A step is done.
    Done {
        /// Which.
        step: &'a str,
    },
    /// A step went wrong.
    Failed {
        /// Which.
        step: &'a str,
    },
    /// A process of a step wrote a line.
    Output {
        /// Which step.
        step: &'a str,
        /// The line, without its end.
        line: &'a str,
    },
    /// A shell takes the terminal: nothing else is to be written there until it ends, and with it the build.
    ShellBegins {
        /// The step that failed, whose state it has.
        step: &'a str,
        /// Its exit code.
        code: i32,
        /// The last lines that it wrote.
        output: &'a [String],
    },
    /// Something that the user should know.
    Notice {
        /// What.
        text: &'a str,
    },
}

/// Who is told what happens, from any thread.
pub trait BuildListener: Sync {
    /// Told of one thing.
    fn hear(&self, event: BuildEvent<'_>);
}
