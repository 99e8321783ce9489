//! `RUN --mount` and `RUN --device`.

use crate::csv;
use crate::expand::{ExpandError, Expander, Variables};
use crate::position::{Span, Word};
use crate::suggest;

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
    /// Where; as it is written, perhaps relative to the working directory. Empty where nothing is
    /// said, which secrets and ssh agents may leave out.
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

const KINDS: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

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
            fields.set(&key, value.text)?;
        }
        fields.mount()
    }
}

/// The fields as they come.
#[derive(Default)]
struct Fields {
    kind: Option<&'static str>,
    from: Option<String>,
    source: String,
    target: String,
    access: Option<MountAccess>,
    required: bool,
    size: u64,
    id: Option<String>,
    sharing: Option<Sharing>,
    env: Option<String>,
    file: FileAccess,
}

impl Fields {
    fn kind(&self) -> &'static str {
        self.kind.unwrap_or("bind")
    }

    /// A field without a value.
    fn switch(&mut self, key: &str) -> Result<(), MountError> {
        match key {
            "readonly" | "ro" => self.access = Some(MountAccess::ReadOnly),
            "readwrite" | "rw" => self.access = Some(MountAccess::ReadWrite),
            "required" => {
                self.only_for(&["secret", "ssh"], "required")?;
                self.required = true;
            }
            _ => return Err(MountError::NoValue { key: key.to_owned() }),
        }
        Ok(())
    }

    fn only_for(&self, kinds: &[&str], key: &'static str) -> Result<(), MountError> {
        if kinds.contains(&self.kind()) {
            return Ok(());
        }
        Err(MountError::Foreign { kind: self.kind(), key })
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), MountError> {
        match key {
            "type" => self.kind = Some(one_of(key, &value, &KINDS)?),
            "from" => self.from = Some(value).filter(|from| !from.is_empty()),
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" => self.access = Some(access(truth(key, &value)?)),
            "readwrite" | "rw" => self.access = Some(access(!truth(key, &value)?)),
            "required" => {
                self.only_for(&["secret", "ssh"], "required")?;
                self.required = truth(key, &value)?;
            }
            "size" => {
                self.only_for(&["tmpfs"], "size")?;
                self.size = parse_size(&value).ok_or_else(|| wrong(key, &value, None))?;
            }
            "id" => self.id = Some(value).filter(|id| !id.is_empty()),
            "sharing" => {
                let known = ["shared", "private", "locked"];
                self.sharing = Some(match one_of(key, &value, &known)? {
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => Sharing::Shared,
                });
            }
            "mode" => self.file.mode = Some(number(key, &value, 8)?),
            "uid" => self.file.uid = Some(number(key, &value, 10)?),
            "gid" => self.file.gid = Some(number(key, &value, 10)?),
            "env" => self.env = Some(value),
            _ => {
                let suggestion = suggest::nearest(key, KEYS).map(str::to_owned);
                return Err(MountError::Unknown { key: key.to_owned(), suggestion });
            }
        }
        Ok(())
    }

    fn mount(self) -> Result<Mount, MountError> {
        let kind = self.kind();
        let has = [
            ("mode", self.file.mode.is_some()),
            ("uid", self.file.uid.is_some()),
            ("gid", self.file.gid.is_some()),
        ];
        for (key, _) in has.into_iter().filter(|(_, has)| *has) {
            self.only_for(&["secret", "ssh", "cache"], key)?;
        }
        if self.sharing.is_some() {
            self.only_for(&["cache"], "sharing")?;
        }
        let writable = matches!(kind, "cache" | "tmpfs");
        let access = self.access.unwrap_or(access(!writable));
        let target = self.target.clone();
        let kind = match kind {
            "cache" => MountKind::Cache {
                id: self.id,
                sharing: self.sharing.unwrap_or_default(),
                from: self.from,
                source: self.source,
                access: self.file,
            },
            "tmpfs" => MountKind::Tmpfs { size: self.size },
            "secret" => self.secret()?,
            "ssh" => {
                if !self.source.is_empty() {
                    return Err(MountError::Foreign { kind, key: "source" });
                }
                let id = self.id.unwrap_or_else(|| "default".to_owned());
                MountKind::Ssh { id, required: self.required, access: self.file }
            }
            _ => MountKind::Bind { from: self.from, source: self.source },
        };
        Ok(Mount { target, access, kind })
    }

    fn secret(self) -> Result<MountKind, MountError> {
        if self.from.is_some() {
            return Err(MountError::Foreign { kind: "secret", key: "from" });
        }
        let source = Some(self.source).filter(|source| !source.is_empty());
        let id = match (source, self.id) {
            (Some(_), Some(_)) => return Err(MountError::Secret),
            (Some(id), None) | (None, Some(id)) => id,
            (None, None) => {
                let name = self.target.trim_end_matches('/').rsplit('/').next();
                name.filter(|name| !name.is_empty()).ok_or(MountError::Secret)?.to_owned()
            }
        };
        let (env, required, access) = (self.env, self.required, self.file);
        Ok(MountKind::Secret { id, env, required, access })
    }
}

fn access(read_only: bool) -> MountAccess {
    if read_only { MountAccess::ReadOnly } else { MountAccess::ReadWrite }
}

fn wrong(key: &str, value: &str, suggestion: Option<&str>) -> MountError {
    let suggestion = suggestion.map(str::to_owned);
    MountError::Value { key: key.to_owned(), value: value.to_owned(), suggestion }
}

fn one_of(key: &str, value: &str, known: &[&'static str]) -> Result<&'static str, MountError> {
    let lower = value.to_lowercase();
    let found = known.iter().find(|known| **known == lower);
    found.copied().ok_or_else(|| wrong(key, value, suggest::nearest(value, known.iter().copied())))
}

/// A truth as Go writes them.
fn truth(key: &str, value: &str) -> Result<bool, MountError> {
    parse_truth(value).ok_or_else(|| wrong(key, value, None))
}

pub(crate) fn parse_truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, MountError> {
    let number = u32::from_str_radix(value, radix).ok().filter(|_| !value.starts_with('+'));
    number.ok_or_else(|| wrong(key, value, None))
}

/// A size in bytes, with a unit of 1024s: `512`, `64m`, `1.5GiB`.
fn parse_size(text: &str) -> Option<u64> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, unit) = text.split_at(last + 1);
    let number: f64 = number.strip_suffix(' ').unwrap_or(number).parse().ok()?;
    let unit = unit.to_lowercase();
    let mut letters = unit.chars();
    let power = match letters.next() {
        None | Some('b') => 0,
        Some(letter) => "kmgtp".find(letter)? + 1,
    };
    let rest = letters.as_str();
    if !(rest.is_empty() || (power > 0 && (rest == "b" || rest == "ib"))) {
        return None;
    }
    let bytes = number * 1024_f64.powi(i32::try_from(power).ok()?);
    // Below 2^63, the cast of a number that is not negative holds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..9.2e18).contains(&bytes).then_some(bytes as u64)
}

/// A `--device`: one of the machine's that a RUN may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFlag {
    /// Its name: `vendor/class` or `vendor/class=device`.
    pub name: String,
    /// Whether it must be there.
    pub required: bool,
}

impl DeviceFlag {
    pub(crate) fn read(text: &str) -> Result<Self, MountError> {
        let mut device = Self::default();
        for field in csv::fields(text).ok_or(MountError::List)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_lowercase(), Some(value)),
                None => (field.to_lowercase(), None),
            };
            match (key.as_str(), value) {
                ("required", None) => device.required = true,
                ("required", Some(value)) => device.required = truth(&key, value)?,
                ("name", Some(_)) if !device.name.is_empty() => {
                    return Err(MountError::TwoNames { first: device.name });
                }
                ("name", Some(value)) => value.clone_into(&mut device.name),
                (_, _) if device.name.is_empty() => device.name.clone_from(&field),
                (_, None) => return Err(MountError::NoValue { key }),
                (_, Some(_)) => {
                    let suggestion = suggest::nearest(&key, ["name", "required"]);
                    let suggestion = suggestion.map(str::to_owned);
                    return Err(MountError::Unknown { key, suggestion });
                }
            }
        }
        Ok(device)
    }
}
