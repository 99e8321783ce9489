//! Who a process is: a user as an image or a person writes it, found in the `passwd` and `group` of
//! the root filesystem (image-spec `config.md`, User; `conversion.md`, `Config.User`).
//!
//! The files are the image's, so they are foreign bytes: they are read through [`RootFiles`] alone,
//! which never leaves the root, up to [`MAX_ACCOUNTS`]. A line that is not well formed is no entry; a
//! number is decimal digits and nothing else; and what is not found is an error, never user 0.

mod accounts;
mod root_files;
mod within;

pub use root_files::{RootDirectory, RootFiles};
pub use within::within;

use std::io;

use accounts::{Groups, Passwd};

/// Most bytes of `passwd` and of `group` each.
pub const MAX_ACCOUNTS: u64 = 4 << 20;
/// Most supplementary groups: what the kernel takes (`NGROUPS_MAX`).
pub const MAX_GROUPS: usize = 65_536;
/// The largest user or group id: larger ones are negative numbers to some programs, and some
/// programs make user 0 of what they cannot hold.
pub const MAX_ID: u32 = 0x7fff_ffff;
/// Where users are told.
const PASSWD: &str = "/etc/passwd";
/// Where groups are told.
const GROUP: &str = "/etc/group";

/// Why a user is not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// The text is none of the six forms.
    #[error("user '{text}' is none of USER, USER:GROUP, with names or decimal numbers")]
    Malformed {
        /// As given, shortened.
        text: String,
    },
    /// A number above [`MAX_ID`].
    #[error("{what} {text} is above {MAX_ID}")]
    Range {
        /// `user` or `group`.
        what: &'static str,
        /// As given, shortened.
        text: String,
    },
    /// No such name in the image.
    #[error("the image's {file} has no {what} '{name}'")]
    NotFound {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// A file of accounts cannot be read: it is no regular file, say.
    #[error("the image's {file} cannot be read")]
    Unreadable {
        /// Which.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file of accounts is larger than is read.
    #[error("the image's {file} is larger than {MAX_ACCOUNTS} bytes")]
    TooLarge {
        /// Which.
        file: &'static str,
    },
    /// A user has more groups than a process can.
    #[error("user '{name}' is in more than {MAX_GROUPS} groups")]
    TooManyGroups {
        /// The user.
        name: String,
    },
}

/// A user as found: what `process.user` takes, and what else the account says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, in the order of the file, each once. Empty for a numeric user and where
    /// a group was given.
    pub groups: Vec<u32>,
    /// The home directory of the account; `None` where there is no account or it names none.
    pub home: Option<String>,
    /// The account's name.
    pub name: Option<String>,
    /// What could not be told of this user, though it does not matter to who it is.
    pub notice: Option<String>,
}

impl Identity {
    /// The groups that the process is given: the primary one first. Left out there, it would go with the first
    /// set-group-id program, and with it whatever is denied to the group.
    pub fn all_groups(&self) -> Vec<u32> {
        let others = self.groups.iter().copied().filter(|group| *group != self.gid);
        std::iter::once(self.gid).chain(others).collect()
    }
}

/// Finds the user `text` in the root that `files` reads.
///
/// `USER` by name takes the account's groups along. A numeric user has no supplementary groups, and the
/// account's primary group where there is an account, else group 0. With `:GROUP` the group is that
/// one and no other. The empty text is user 0 with the account's groups.
///
/// # Errors
/// [`UserError`]; nothing that is not found falls back to anything.
pub fn find_user(text: &str, files: &dyn RootFiles) -> Result<Identity, UserError> {
    let (user, group) = halves(text)?;
    let number = numeric("user", user)?;
    let explicit = group.map(|group| find_group(group, files)).transpose()?;
    let passwd = match read(PASSWD, files) {
        Ok(bytes) => bytes,
        // Who it is does not hang on the file, only the home directory does.
        Err(error) if number.is_some() && explicit.is_some() => {
            let notice = Some(format!("{error}: its home directory is not known"));
            let (uid, gid) = (number.unwrap_or_default(), explicit.unwrap_or_default());
            return Ok(Identity { uid, gid, notice, ..Identity::default() });
        }
        Err(error) => return Err(error),
    };
    let passwd = Passwd(&passwd);
    let by_name = number.is_none() && !user.is_empty();
    let account = if by_name {
        Some(passwd.by_name(user).ok_or_else(|| not_found("user", user, PASSWD))?)
    } else {
        passwd.by_uid(number.unwrap_or(0))
    };
    let uid = account.as_ref().map_or(number.unwrap_or(0), |account| account.uid);
    let gid = explicit.or(account.as_ref().map(|account| account.gid)).unwrap_or(0);
    let mut identity = Identity { uid, gid, ..Identity::default() };
    if let Some(account) = &account {
        identity.home = account.home.clone();
        identity.name = std::str::from_utf8(account.name).ok().map(str::to_owned);
        if group.is_none() && number.is_none() {
            identity.groups = memberships(account.name, files)?;
        }
    }
    Ok(identity)
}

/// Finds the group `text`, a name or a number.
///
/// # Errors
/// [`UserError`].
pub fn find_group(text: &str, files: &dyn RootFiles) -> Result<u32, UserError> {
    if let Some(gid) = numeric("group", text)? {
        return Ok(gid);
    }
    let bytes = read(GROUP, files)?;
    Groups(&bytes).by_name(text).ok_or_else(|| not_found("group", text, GROUP))
}

/// User and group of the text; an empty group is none (`user:`), as the field reads it.
fn halves(text: &str) -> Result<(&str, Option<&str>), UserError> {
    let mut parts = text.split(':');
    let user = parts.next().unwrap_or_default();
    let group = parts.next().filter(|group| !group.is_empty());
    let odd = |part: &str| part.contains(['\0', '\n', '\r']);
    if parts.next().is_some() || odd(user) || group.is_some_and(odd) {
        return Err(UserError::Malformed { text: shortened(text) });
    }
    Ok((user, group))
}

/// The number that a text of digits is; `None` for a name.
fn numeric(what: &'static str, text: &str) -> Result<Option<u32>, UserError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match accounts::id(text.as_bytes()) {
        Some(id) => Ok(Some(id)),
        None => Err(UserError::Range { what, text: shortened(text) }),
    }
}

fn memberships(name: &[u8], files: &dyn RootFiles) -> Result<Vec<u32>, UserError> {
    let bytes = read(GROUP, files)?;
    Groups(&bytes).of_member(name, MAX_GROUPS).ok_or_else(|| UserError::TooManyGroups {
        name: String::from_utf8_lossy(name).into_owned(),
    })
}

/// The whole file; nothing where there is none.
fn read(file: &'static str, files: &dyn RootFiles) -> Result<Vec<u8>, UserError> {
    match files.read(file, MAX_ACCOUNTS) {
        Ok(bytes) => Ok(bytes.unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(UserError::TooLarge { file })
        }
        Err(source) => Err(UserError::Unreadable { file, source }),
    }
}

fn not_found(what: &'static str, name: &str, file: &'static str) -> UserError {
    UserError::NotFound { what, name: shortened(name), file }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
