//! The fields of a `--mount`, and what they make together.

use super::{FileAccess, Mount, MountAccess, MountError, MountKind, Sharing};
use crate::pattern::clean_path;
use crate::suggest;

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

/// The fields as they come.
#[derive(Default)]
pub(super) struct Fields {
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
    pub(super) fn switch(&mut self, key: &str) -> Result<(), MountError> {
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

    pub(super) fn set(&mut self, key: &str, value: String) -> Result<(), MountError> {
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
            "uid" => self.file.uid = Some(owner(key, &value)?),
            "gid" => self.file.gid = Some(owner(key, &value)?),
            "env" => self.env = Some(value),
            _ => {
                let suggestion = suggest::nearest(key, KEYS).map(str::to_owned);
                return Err(MountError::Unknown { key: key.to_owned(), suggestion });
            }
        }
        Ok(())
    }

    pub(super) fn mount(self) -> Result<Mount, MountError> {
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
        if !matches!(kind, "secret" | "ssh") && clean_path(&self.target) == "/" {
            return Err(MountError::Root);
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
pub(super) fn truth(key: &str, value: &str) -> Result<bool, MountError> {
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

/// A user or a group. The highest number is none: to the kernel it means to leave the owner as it is.
fn owner(key: &str, value: &str) -> Result<u32, MountError> {
    number(key, value, 10).and_then(|id| match id {
        u32::MAX => Err(wrong(key, value, None)),
        id => Ok(id),
    })
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
