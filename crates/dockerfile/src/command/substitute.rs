//! Instructions with their variables replaced.
//!
//! All variables of one instruction have the values from before it, however many it sets itself.
//! RUN, CMD, ENTRYPOINT, HEALTHCHECK, SHELL, MAINTAINER and ONBUILD keep their text: a shell replaces
//! variables there, when it runs.

use std::collections::BTreeSet;

use super::{Action, Command, KeyValue, Sources};
use crate::expand::{ExpandError, Expander, MAX_INSTRUCTION, Variables};
use crate::suggest;

/// An instruction with its variables replaced, and what it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substituted {
    /// The instruction.
    pub command: Command,
    /// The variables it used that are not set, each once, in order of their names.
    pub undefined: Vec<Undefined>,
}

/// A variable that is used and not set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Undefined {
    /// Its name.
    pub name: String,
    /// The variable that may be meant.
    pub suggestion: Option<String>,
}

impl Command {
    /// The instruction with its variables replaced. `escape` is the file's.
    ///
    /// The defaults of ARG are left alone, for a value from outside makes them meaningless, errors in
    /// them included; so are mounts, which [`crate::MountFlag::resolve`] reads.
    ///
    /// # Errors
    /// What stands in [`ExpandError`].
    ///
    /// ```
    /// use corten_dockerfile::{Action, Dockerfile};
    ///
    /// let file = Dockerfile::parse(b"FROM scratch\nENV a=$b b=2 c=$a")?;
    /// let variables = vec![("a", "0"), ("b", "1")];
    /// let done = file.stages[0].commands[0].substitute(file.escape(), &variables)?;
    /// let Action::Env(pairs) = done.command.action else { unreachable!() };
    /// let values: Vec<&str> = pairs.iter().map(|pair| pair.value.as_str()).collect();
    /// assert_eq!(values, ["1", "2", "0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn substitute(
        &self,
        escape: char,
        variables: &dyn Variables,
    ) -> Result<Substituted, ExpandError> {
        let mut command = self.clone();
        let mut words = Words {
            expander: Expander::new(escape),
            variables,
            unmatched: BTreeSet::new(),
            bytes: 0,
        };
        match &mut command.action {
            Action::Add(add) => {
                words.optional(&mut add.chown)?;
                words.optional(&mut add.chmod)?;
                words.optional(&mut add.checksum)?;
                words.sources(&mut add.sources)?;
            }
            Action::Copy(copy) => {
                words.optional(&mut copy.chown)?;
                words.optional(&mut copy.chmod)?;
                words.sources(&mut copy.sources)?;
            }
            Action::Env(pairs) | Action::Label(pairs) => words.pairs(pairs)?,
            Action::Expose(ports) => {
                let mut parted = Vec::new();
                for port in ports.iter() {
                    // Unlike elsewhere, a variable can hold several.
                    let more = words.expander.words(port, &variables)?;
                    words.count(more.iter().map(String::len).sum())?;
                    parted.extend(more);
                }
                *ports = parted;
            }
            Action::Volume(paths) => words.list(paths)?,
            Action::Stopsignal(text) | Action::User(text) | Action::Workdir(text) => {
                words.replace(text)?;
            }
            Action::Arg(_)
            | Action::Cmd(_)
            | Action::Entrypoint(_)
            | Action::Healthcheck(_)
            | Action::Maintainer(_)
            | Action::Onbuild(_)
            | Action::Run(_)
            | Action::Shell(_) => {}
        }
        let undefined = undefined(words.unmatched, variables);
        Ok(Substituted { command, undefined })
    }
}

/// How many variables are looked at for what may be meant, and for how many undefined ones of an
/// instruction.
const MOST_COMPARED: usize = 256;
const MOST_SUGGESTED: usize = 16;

/// Names with what may be meant by them.
pub(crate) fn undefined(names: BTreeSet<String>, variables: &dyn Variables) -> Vec<Undefined> {
    let mut known = variables.names();
    known.truncate(MOST_COMPARED);
    let told = names.into_iter().enumerate().map(|(number, name)| {
        let known = if number < MOST_SUGGESTED { known.as_slice() } else { &[] };
        let suggestion = suggest::nearest(&name, known.iter().copied()).map(str::to_owned);
        Undefined { name, suggestion }
    });
    told.collect()
}

struct Words<'a> {
    expander: Expander,
    variables: &'a dyn Variables,
    unmatched: BTreeSet<String>,
    bytes: usize,
}

impl Words<'_> {
    fn replace(&mut self, text: &mut String) -> Result<(), ExpandError> {
        self.replace_by(self.expander, text)
    }

    fn replace_by(&mut self, expander: Expander, text: &mut String) -> Result<(), ExpandError> {
        let expanded = expander.word(text, self.variables)?;
        self.unmatched.extend(expanded.unmatched);
        *text = expanded.text;
        self.count(text.len())
    }

    /// All words of an instruction together have a limit, too.
    fn count(&mut self, bytes: usize) -> Result<(), ExpandError> {
        self.bytes += bytes;
        if self.bytes > MAX_INSTRUCTION { Err(ExpandError::TooLong) } else { Ok(()) }
    }

    fn optional(&mut self, text: &mut Option<String>) -> Result<(), ExpandError> {
        text.as_mut().map_or(Ok(()), |text| self.replace(text))
    }

    fn list(&mut self, texts: &mut [String]) -> Result<(), ExpandError> {
        texts.iter_mut().try_for_each(|text| self.replace(text))
    }

    fn pairs(&mut self, pairs: &mut [KeyValue]) -> Result<(), ExpandError> {
        for pair in pairs {
            self.replace(&mut pair.key)?;
            self.replace(&mut pair.value)?;
        }
        Ok(())
    }

    fn sources(&mut self, sources: &mut Sources) -> Result<(), ExpandError> {
        self.list(&mut sources.paths)?;
        self.replace(&mut sources.destination)?;
        for file in sources.files.iter_mut().filter(|file| file.expand) {
            self.replace_by(Expander::heredoc(), &mut file.data)?;
        }
        Ok(())
    }
}
