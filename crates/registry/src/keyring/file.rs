//! The file behind a keyring: reading it, finding an entry, changing one and leaving the rest.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use corten_spec::Location;
use serde_json::{Map, Value};

use super::entry;
use crate::{Credential, CredentialError};

/// Most bytes read of a file of credentials.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The whole file, whatever else stands in it.
pub(super) struct Content {
    path: PathBuf,
    root: Map<String, Value>,
}

/// How a key is compared: without scheme, without the version that old keys end in, and with one
/// name for the default registry.
pub(super) fn key_of(text: &str) -> String {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let bare = bare.unwrap_or(text).trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    let (host, path) = bare.split_once('/').map_or((bare, None), |(h, p)| (h, Some(p)));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    match path {
        Some(path) => format!("{host}/{path}"),
        None => host.to_owned(),
    }
}

impl Content {
    /// Reads `path`; a file that is not there is an empty one.
    pub(super) fn read(path: &Path) -> Result<Self, CredentialError> {
        let io = |source| failed(path, "reading", source);
        let malformed = |source| CredentialError::Malformed { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => {
                file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        if bytes.len() as u64 > MAX_FILE {
            return Err(malformed(format!("it has more than {MAX_FILE} bytes").into()));
        }
        let root = match bytes.trim_ascii().is_empty() {
            true => Map::new(),
            // The words of the parser may repeat what stands there.
            false => serde_json::from_slice(&bytes).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                malformed(format!("line {line}, column {column}: no JSON object").into())
            })?,
        };
        Ok(Self { path: path.to_owned(), root })
    }

    fn section(&self, name: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.root.get(name).and_then(Value::as_object).into_iter().flatten()
    }

    /// The helper for one host.
    pub(super) fn helper_of(&self, key: &str) -> Option<&str> {
        let host = key.split('/').next().unwrap_or(key);
        let mut section = self.section("credHelpers");
        let found = section.find(|(own, _)| key_of(own) == host)?.1.as_str()?;
        (!found.is_empty()).then_some(found)
    }

    /// The helper for every host.
    pub(super) fn store(&self) -> Option<&str> {
        self.root.get("credsStore")?.as_str().filter(|name| !name.is_empty())
    }

    /// The entry with the most specific key for `location`.
    pub(super) fn entry(&self, location: &Location) -> Result<Option<Credential>, CredentialError> {
        let host = key_of(&location.host);
        let whole = match location.repository.as_str() {
            "" => host,
            path => format!("{host}/{path}"),
        };
        let mut key = whole.as_str();
        loop {
            for (own, value) in self.section("auths").filter(|(own, _)| key_of(own) == key) {
                let found = entry::read(value).map_err(|why| CredentialError::Malformed {
                    path: self.path.clone(),
                    source: format!("{own}: {why}").into(),
                })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            match key.rsplit_once('/') {
                Some((parent, _)) => key = parent,
                None => return Ok(None),
            }
        }
    }

    /// Sets the entry spelled `key`, and takes away other spellings of it.
    pub(super) fn set(&mut self, key: &str, credential: Option<&Credential>) {
        self.remove(&key_of(key));
        let auths = self.root.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key.to_owned(), entry::write(credential));
        }
    }

    /// Takes away every spelling of `key`; whether there was one.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let Some(auths) = self.root.get_mut("auths").and_then(Value::as_object_mut) else {
            return false;
        };
        let before = auths.len();
        auths.retain(|own, _| key_of(own) != key);
        auths.len() < before
    }

    /// Writes the file in one step, readable by its owner alone. A symbolic link stays one.
    pub(super) fn write(&self, path: &Path) -> Result<(), CredentialError> {
        let io = |source| failed(path, "writing", source);
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(io)?;
        let mut text = serde_json::to_vec_pretty(&self.root).map_err(|error| io(error.into()))?;
        text.push(b'\n');
        let part = directory.join(part_name());
        let written = (|| {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&part)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&part, &target)?;
            File::open(&directory)?.sync_all()
        })();
        written.map_err(|error| {
            let _ = fs::remove_file(&part);
            io(error)
        })
    }
}

/// A name no other process and no other call uses at the same time.
fn part_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".credentials.{}.{count}.part", std::process::id())
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> CredentialError {
    CredentialError::Io { path: path.to_owned(), action, source }
}
