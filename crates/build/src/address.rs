//! Addresses of files and of git repositories, as ADD and the command line write them.
//!
//! ```text
//! https://host/dir/file.tar.gz                           a file
//! https://host/repo.git#ref:dir   git@host:repo.git      a repository: the path of http ends in .git
//! https://host/repo.git?tag=v1&subdir=dir&checksum=…     the same in fields
//! ```

use crate::error::{Result, StepError, refused};

/// Something that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A file behind http or https.
    File(String),
    /// A git repository.
    Git(GitPlace),
}

/// What times the files of a repository get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GitTimes {
    /// That of the commit.
    #[default]
    Commit,
    /// That of the checkout.
    Checkout,
}

/// A place in a git repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitPlace {
    /// The repository, as git takes it.
    pub remote: String,
    /// A branch, a tag or a commit; the default branch where there is none.
    pub reference: Option<String>,
    /// The directory, from the root of the repository; empty for the root.
    pub subdir: String,
    /// What the commit begins with.
    pub checksum: Option<String>,
    /// Whether `.git` is kept, where it is said.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are left out.
    pub skip_submodules: bool,
    /// Times of the files.
    pub times: GitTimes,
    /// Whether the checksum is fetched without asking the repository what its names stand for.
    pub by_commit: bool,
}

impl Address {
    /// Reads an address; `None` where the text is a path of this machine.
    ///
    /// # Errors
    /// Where it is a repository's, with fields that contradict each other or are none.
    ///
    /// ```
    /// use corten_build::Address;
    ///
    /// let Ok(Some(Address::Git(place))) = Address::parse("https://h/r.git#v1:a/../b") else { panic!() };
    /// assert_eq!((place.remote.as_str(), place.subdir.as_str()), ("https://h/r.git", "b"));
    /// assert!(matches!(Address::parse("https://h/r.tar"), Ok(Some(Address::File(_)))));
    /// assert!(matches!(Address::parse("dir/file"), Ok(None)));
    /// ```
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let (whole, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (remote, query) = whole.split_once('?').unwrap_or((whole, ""));
        let scheme = remote.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let is_git = match scheme.as_deref() {
            Some("http" | "https") => path_of(remote).ends_with(".git"),
            Some("git" | "ssh") => true,
            Some(_) => return Ok(None),
            None => is_scp(remote),
        };
        if !is_git {
            let is_file = matches!(scheme.as_deref(), Some("http" | "https"));
            return Ok(is_file.then(|| Self::File(text.to_owned())));
        }
        GitPlace::read(text, remote, query, fragment).map(|place| Some(Self::Git(place)))
    }
}

impl GitPlace {
    /// Reads the parts of an address. `text` is all of it, for errors.
    fn read(text: &str, remote: &str, query: &str, fragment: &str) -> Result<Self> {
        let wrong = |what: String| StepError::Refused(format!("{}: {what}", redacted(text)));
        let fragment = decoded(fragment, Plus::Kept);
        let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
        let mut fields = Fields::default();
        fields.reference("ref", reference).map_err(wrong)?;
        let mut place = Self { remote: remote.to_owned(), ..Self::default() };
        place.subdir = cleaned(subdir);
        for field in query.split('&').filter(|field| !field.is_empty()) {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            let (key, value) = (decoded(key, Plus::Space), decoded(value, Plus::Space));
            place.field(&mut fields, &key, &value).map_err(wrong)?;
        }
        place.reference = fields.reference;
        let words = [place.reference.as_deref(), Some(place.remote.as_str())];
        if words.into_iter().flatten().any(|word| word.starts_with('-') || word.contains('\0')) {
            return Err(wrong("git would take it for an option".to_owned()));
        }
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if place.checksum.as_deref().is_some_and(|text| text.is_empty() || !is_hex(text)) {
            return Err(wrong("the checksum of a repository is that of a commit".to_owned()));
        }
        Ok(place)
    }

    fn field(
        &mut self,
        fields: &mut Fields,
        key: &str,
        value: &str,
    ) -> std::result::Result<(), String> {
        if fields.seen.iter().any(|seen| seen == key) {
            return Err(format!("{key} is there more than once"));
        }
        fields.seen.push(key.to_owned());
        let may_be_empty = ["submodules", "keep-git-dir", "fetch-by-commit"];
        if value.is_empty() && !may_be_empty.contains(&key) {
            return Err(format!("{key} has no value"));
        }
        match key {
            "ref" => fields.reference("ref", value)?,
            "tag" => fields.reference("tag", &prefixed("refs/tags/", value))?,
            "branch" => fields.reference("branch", &prefixed("refs/heads/", value))?,
            "subdir" => {
                let subdir = cleaned(value);
                if !self.subdir.is_empty() && self.subdir != subdir {
                    return Err(format!("it names two directories, {} and {subdir}", self.subdir));
                }
                self.subdir = subdir;
            }
            "checksum" | "commit" => {
                if self.checksum.as_deref().is_some_and(|other| other != value) {
                    return Err("checksum and commit contradict each other".to_owned());
                }
                self.checksum = Some(value.to_ascii_lowercase());
            }
            "keep-git-dir" => self.keep_git_dir = Some(is_true(key, value)?),
            "submodules" => self.skip_submodules = !is_true(key, value)?,
            "fetch-by-commit" => self.by_commit = is_true(key, value)?,
            "mtime" => {
                self.times = match value {
                    "commit" => GitTimes::Commit,
                    "checkout" => GitTimes::Checkout,
                    _ => return Err(format!("mtime is commit or checkout, not {value}")),
                }
            }
            _ => return Err(format!("there is no field {key}")),
        }
        Ok(())
    }

    /// The commit, where the place says it itself.
    pub fn exact(&self) -> Option<&str> {
        let named = self.reference.as_deref().filter(|text| is_commit(text));
        let pinned = self.checksum.as_deref().filter(|text| self.by_commit && is_commit(text));
        named.or(pinned)
    }

    /// Fails where a commit is not what the place says. An annotated tag may be meant by its own number too.
    ///
    /// # Errors
    /// Names both.
    pub fn check(&self, commit: &str, tag: Option<&str>) -> Result<()> {
        let Some(checksum) = &self.checksum else { return Ok(()) };
        let numbers = [Some(commit), tag];
        if numbers.into_iter().flatten().any(|number| number.starts_with(checksum.as_str())) {
            return Ok(());
        }
        refused(format!("{}: the commit is {commit}, not {checksum}", redacted(&self.remote)))
    }
}

/// What was read of a query.
#[derive(Default)]
struct Fields {
    reference: Option<String>,
    seen: Vec<String>,
}

impl Fields {
    fn reference(&mut self, key: &str, value: &str) -> std::result::Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        match &self.reference {
            Some(other) if other != value => {
                Err(format!("{key} says {value}, and it names {other} too"))
            }
            _ => {
                self.reference = Some(value.to_owned());
                Ok(())
            }
        }
    }
}

/// Whether a text is the whole number of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn prefixed(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

fn is_true(key: &str, value: &str) -> std::result::Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{key} is true or false, not {value}")),
    }
}

/// A directory of a repository without `..` and slashes at its ends.
fn cleaned(path: &str) -> String {
    corten_dockerfile::clean_path(&format!("/{path}")).trim_matches('/').to_owned()
}

/// The path of an address with a scheme, decoded.
fn path_of(remote: &str) -> String {
    let rest = remote.split_once("://").map_or(remote, |(_, rest)| rest);
    decoded(rest.split_once('/').map_or("", |(_, path)| path), Plus::Kept)
}

/// `user@host:path`, as ssh has it.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, _)) = rest.split_once(':') else { return false };
    let is_word = |text: &str, more: &[char]| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
    };
    is_word(user, &['-', '_']) && is_word(host, &['-', '.'])
}

/// What a plus means in a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Kept,
    Space,
}

fn decoded(text: &str, plus: Plus) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter().copied();
    while let Some(byte) = bytes.next() {
        let rest = bytes.clone();
        let two: Option<[u8; 2]> =
            (byte == b'%').then(|| rest.take(2).collect::<Vec<u8>>().try_into().ok()).flatten();
        let hex = |two: [u8; 2]| u8::from_str_radix(std::str::from_utf8(&two).ok()?, 16).ok();
        match two.and_then(hex) {
            Some(value) => {
                out.push(value);
                bytes.nth(1);
            }
            None if byte == b'+' && plus == Plus::Space => out.push(b' '),
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The name that a file of an address gets.
pub(crate) fn file_name(url: &str) -> String {
    let whole = url.split(['#', '?']).next().unwrap_or_default();
    let path = path_of(whole);
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().trim();
    match name {
        "" if path.trim_matches('/').is_empty() => "__unnamed__".to_owned(),
        "" | "." | ".." => "download".to_owned(),
        _ if name.chars().any(char::is_control) => "download".to_owned(),
        _ => name.to_owned(),
    }
}

/// A text without what is secret in the addresses in it: names and passwords before hosts, and queries, which
/// carry tokens.
///
/// ```
/// let text = corten_build::redacted("ADD https://me:word@host/f?token=1 /x");
/// assert_eq!(text, "ADD https://host/f?… /x");
/// ```
pub fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ']' | '>');
        let (address, tail) = after.split_at(after.find(ends).unwrap_or(after.len()));
        let (host, path) = address.split_at(address.find(['/', '?', '#']).unwrap_or(address.len()));
        out.push_str(host.rsplit('@').next().unwrap_or_default());
        match path.split_once('?') {
            None => out.push_str(path),
            Some((path, query)) => {
                out.push_str(path);
                out.push_str("?…");
                if let Some((_, fragment)) = query.split_once('#') {
                    out.push('#');
                    out.push_str(fragment);
                }
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> GitPlace {
        match Address::parse(text) {
            Ok(Some(Address::Git(place))) => place,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn repositories_are_told_from_files_and_paths() {
        for text in ["https://h/a.git", "http://u:p@h/a.git?ref=x", "git://h/a", "ssh://git@h/a"] {
            assert_eq!(git(text).remote, text.split('?').next().unwrap());
        }
        assert_eq!(git("git@h.org:a/b.git#v1").remote, "git@h.org:a/b.git");
        for text in ["https://h/a.git/", "https://h/a", "http://h/", "https://h/x?y=.git"] {
            assert_eq!(Address::parse(text).unwrap(), Some(Address::File(text.to_owned())));
        }
        for text in ["a", "./git@h:x", "/a@b:c", "ftp://h/a.git", "file:///a.git", "C:\\x"] {
            assert_eq!(Address::parse(text).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn places_in_repositories_are_read() {
        let of = |text: &str| {
            let place = git(&format!("https://h/r.git{text}"));
            (place.reference.unwrap_or_default(), place.subdir)
        };
        let pair = |reference: &str, subdir: &str| (reference.to_owned(), subdir.to_owned());
        assert_eq!(of(""), pair("", ""));
        assert_eq!(of("#"), pair("", ""));
        assert_eq!(of("#v1"), pair("v1", ""));
        assert_eq!(of("#:d/e/"), pair("", "d/e"));
        assert_eq!(of("#v1:../../etc"), pair("v1", "etc"));
        assert_eq!(of("#a/b:/d/./e"), pair("a/b", "d/e"));
        assert_eq!(of("?ref=v1&subdir=d"), pair("v1", "d"));
        assert_eq!(of("?tag=v1"), pair("refs/tags/v1", ""));
        assert_eq!(of("?branch=b%2Fc"), pair("refs/heads/b/c", ""));
        assert_eq!(of("?ref=v1#v1:d"), pair("v1", "d"));
        let place = git("https://h/r.git?keep-git-dir&submodules=false&commit=AB12&mtime=checkout");
        assert_eq!((place.keep_git_dir, place.skip_submodules), (Some(true), true));
        assert_eq!(place.checksum.as_deref(), Some("ab12"));
        assert_eq!(place.times, GitTimes::Checkout);
    }

    #[test]
    fn what_contradicts_itself_or_would_be_an_option_is_refused() {
        for text in [
            "#-x",
            "?ref=-x",
            "?ref=a#b",
            "?tag=a&branch=b",
            "?subdir=a#:b",
            "?ref=a&ref=a",
            "?ref",
            "?what=1",
            "?submodules=maybe",
            "?mtime=now",
            "?checksum=xyz",
            "?checksum=ab&commit=cd",
        ] {
            let text = format!("https://u:secret@h/r.git{text}");
            let error = Address::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with("https://h/r.git") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn checksums_are_the_beginning_of_a_commit() {
        let place = git("https://h/r.git?checksum=ab12");
        assert!(place.check("ab12cd", None).is_ok());
        assert!(place.check("ffff", Some("ab12")).is_ok());
        assert!(place.check("cdab12", None).is_err());
    }

    #[test]
    fn files_are_named_by_their_address() {
        for (url, name) in [
            ("https://h", "__unnamed__"),
            ("https://h/", "__unnamed__"),
            ("https://h/a/b.txt?x=/y#z", "b.txt"),
            ("https://h/a/b/", "b"),
            ("https://h/a%20b", "a b"),
            ("https://h/a%2Fb", "b"),
            ("https://h/..", "download"),
            ("https://h/a%00b", "download"),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }
}
