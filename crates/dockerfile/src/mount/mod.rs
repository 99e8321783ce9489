//! `RUN --mount` and `RUN --device`.

mod device;
mod fields;

use std::collections::BTreeSet;

pub use device::DeviceFlag;
pub(crate) use fields::parse_truth;

use self::fields::Fields;
use crate::csv;
use crate::expand::{ExpandError, Expander, Variables};
use crate::position::{Span, Word};

/// A `--mount` as it is written. Its variables are replaced when it is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFlag {
    /// The value of the flag.
    pub text: String,
    /// `from=`: a stage, a named context or an image. No variables.
    pub from: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// What is mounted while a RUN runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where; as it is written, perhaps relative to the working directory, and not the root. Empty
    /// where nothing is said, which secrets and ssh agents may leave out.
    pub target: String,
    /// Whether it can be written.
    pub access: MountAccess,
    /// What.
    pub kind: MountKind,
}

/// Whether a mount can be written. What is written to a bind is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountAccess {
    /// It can only be read.
    ReadOnly,
    /// It can be written.
    ReadWrite,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind {
        /// Whose; the context's where nothing is said.
        from: Option<String>,
        /// Which; all where it is empty.
        source: String,
    },
    /// A directory that stays between builds.
    Cache {
        /// Its name; the target, cleaned, where nothing is said.
        id: Option<String>,
        /// Who may use it meanwhile.
        sharing: Sharing,
        /// Whose files are in it at first.
        from: Option<String>,
        /// Which.
        source: String,
        /// Whose it is at first.
        access: FileAccess,
    },
    /// Memory.
    Tmpfs {
        /// The most it holds, in bytes; 0 where nothing is said.
        size: u64,
    },
    /// A secret, as a file or as a variable.
    Secret {
        /// Which.
        id: String,
        /// The variable that holds it.
        env: Option<String>,
        /// Whether it must be there.
        required: bool,
        /// Whose the file is.
        access: FileAccess,
    },
    /// The socket of an ssh agent.
    Ssh {
        /// Which; `default` where nothing is said.
        id: String,
        /// Whether it must be there.
        required: bool,
        /// Whose the socket is.
        access: FileAccess,
    },
}

/// Who may use a cache while a RUN has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Anybody.
    #[default]
    Shared,
    /// Nobody; others have one of their own.
    Private,
    /// Nobody; others wait.
    Locked,
}

/// Whose a file is and what may be done with it, as far as it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileAccess {
    /// Its user.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Its mode.
    pub mode: Option<u32>,
}

/// Why something cannot be mounted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The value is no list of fields.
    #[error("the list of fields has a quote where none can be, or none at the end")]
    List,
    /// There is no such field.
    #[error("there is no field `{key}`")]
    Unknown {
        /// The field.
        key: String,
        /// The field that may be meant.
        suggestion: Option<String>,
    },
    /// A field needs a value.
    #[error("the field `{key}` needs a value")]
    NoValue {
        /// The field.
        key: String,
    },
    /// A field has a value that it cannot have.
    #[error("the field `{key}` cannot be `{value}`")]
    Value {
        /// The field.
        key: String,
        /// The value.
        value: String,
        /// The value that may be meant.
        suggestion: Option<String>,
    },
    /// A field of another type of mount.
    #[error("a mount of type {kind} has no `{key}`")]
    Foreign {
        /// The type.
        kind: &'static str,
        /// The field.
        key: &'static str,
    },
    /// Fields that go together.
    #[error("a mount of type secret needs an id, a source or a target, and not both id and source")]
    Secret,
    /// `from` has a variable.
    #[error("`from` takes no variables; make a stage of `{from}` and name it")]
    VariableFrom {
        /// What is written.
        from: String,
    },
    /// The root cannot be mounted over.
    #[error("nothing can be mounted at /")]
    Root,
    /// A device is named twice.
    #[error("the device has two names, `{first}` is the first")]
    TwoNames {
        /// The first.
        first: String,
    },
    /// A variable cannot be replaced.
    #[error("the field `{key}` cannot be substituted")]
    Expand {
        /// The field.
        key: String,
        /// Why.
        source: ExpandError,
    },
}

impl MountFlag {
    /// Checks what can be checked before variables are known.
    pub(crate) fn read(word: &Word) -> Result<Self, MountError> {
        let mut from = None;
        for field in csv::fields(&word.text).ok_or(MountError::List)? {
            let Some((key, value)) = field.split_once('=') else { continue };
            if !key.eq_ignore_ascii_case("from") {
                continue;
            }
            // A `$` at the very end is no variable.
            if value.find('$').is_some_and(|at| at + 1 != value.len()) {
                return Err(MountError::VariableFrom { from: value.to_owned() });
            }
            from = Some(value.to_owned()).filter(|from| !from.is_empty());
        }
        Ok(Self { text: word.text.clone(), from, span: word.span })
    }

    /// The mount, with its variables replaced. `escape` is the file's.
    ///
    /// # Errors
    /// What stands in [`MountError`].
    ///
    /// ```
    /// use corten_dockerfile::{Action, Dockerfile, MountAccess};
    ///
    /// let file = Dockerfile::parse(b"FROM a\nRUN --mount=type=cache,target=$HOME/.cache make")?;
    /// let Action::Run(run) = &file.stages[0].commands[0].action else { unreachable!() };
    /// let mount = run.mounts[0].resolve(file.escape(), &vec![("HOME", "/root")])?;
    /// assert_eq!(mount.target, "/root/.cache");
    /// assert_eq!(mount.access, MountAccess::ReadWrite);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resolve(&self, escape: char, variables: &dyn Variables) -> Result<Mount, MountError> {
        self.resolve_noting(escape, variables, &mut BTreeSet::new())
    }

    /// The same; `unmatched` takes the variables that are not set.
    pub(crate) fn resolve_noting(
        &self,
        escape: char,
        variables: &dyn Variables,
        unmatched: &mut BTreeSet<String>,
    ) -> Result<Mount, MountError> {
        let mut fields = Fields::default();
        for field in csv::fields(&self.text).ok_or(MountError::List)? {
            let Some((key, value)) = field.split_once('=') else {
                fields.switch(&field.to_lowercase())?;
                continue;
            };
            let key = key.to_lowercase();
            let value = Expander::new(escape)
                .word(value, variables)
                .map_err(|source| MountError::Expand { key: key.clone(), source })?;
            unmatched.extend(value.unmatched);
            fields.set(&key, value.text)?;
        }
        fields.mount()
    }
}
