//! Commits of repositories: which one a place names, and its files in a directory.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use corten_build::{GitPlace, GitTimes, redacted};
use corten_store::private;
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, utimensat};

use super::git::{Git, Local};
use super::{failed, kept, name_of};
use crate::Failure;

/// How deep directories of a repository may be.
const MAX_DEPTH: usize = 256;

/// What a place names.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// The commit.
    pub(super) commit: String,
    /// The name that it was found by, whole; none where it was named itself.
    pub(super) name: Option<String>,
}

/// Asks the repository, unless the place says the commit itself.
pub(super) fn resolve(git: &Git, place: &GitPlace, local: Local) -> Result<Resolved, Failure> {
    let remote = place.remote.as_str();
    if let Some(commit) = place.exact() {
        let commit = commit.to_owned();
        place.check(&commit, None).map_err(|error| Failure::Usage(error.to_string()))?;
        return Ok(Resolved { commit, name: None });
    }
    if place.by_commit {
        let told = redacted(remote);
        let text = format!("{told}: fetch-by-commit needs the whole number of a commit");
        return Err(Failure::Usage(text));
    }
    let here = kept(git.place.clone())?;
    let wanted = place.reference.as_deref().unwrap_or("HEAD");
    let peeled = format!("{wanted}^{{}}");
    let words = ["ls-remote", "--symref", "--", remote, wanted, &peeled];
    let listed = Listed(git.run(&here, remote, local, &words)?);
    let name = match &place.reference {
        None => listed.target("HEAD").or_else(|| listed.number("HEAD").map(|_| "HEAD".to_owned())),
        Some(reference) => listed.name(reference),
    };
    let number = |name: &str| listed.number(name).or_else(|| listed.number("HEAD"));
    let found = name.and_then(|name| Some((number(&name)?.to_owned(), name)));
    let Some((number, name)) = found else {
        let told = redacted(remote);
        return Err(Failure::Usage(format!("{told}: it has no branch or tag {wanted}")));
    };
    let commit = listed.number(&format!("{name}^{{}}")).unwrap_or(&number).to_owned();
    place.check(&commit, Some(&number)).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Resolved { commit, name: Some(name) })
}

/// What `ls-remote` lists.
struct Listed(String);

impl Listed {
    fn number(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines().filter_map(|line| line.split_once('\t'));
        let (number, _) = lines.find(|(number, listed)| {
            *listed == name && number.bytes().all(|byte| byte.is_ascii_hexdigit())
        })?;
        matches!(number.len(), 40 | 64).then_some(number)
    }

    /// What a symbolic name stands for.
    fn target(&self, name: &str) -> Option<String> {
        let mut lines = self.0.lines().filter_map(|line| line.strip_prefix("ref: "));
        let target = lines.find_map(|line| line.strip_suffix(&format!("\t{name}")))?;
        target.starts_with("refs/").then(|| target.to_owned())
    }

    /// The whole name of a reference: as it is, else a branch, else a tag.
    fn name(&self, reference: &str) -> Option<String> {
        let short = reference.strip_prefix("refs/").unwrap_or(reference);
        let candidates = [
            format!("refs/{short}"),
            format!("refs/heads/{}", reference.strip_prefix("refs/heads/").unwrap_or(reference)),
            format!("refs/tags/{}", reference.strip_prefix("refs/tags/").unwrap_or(reference)),
        ];
        candidates.into_iter().find(|name| self.number(name).is_some())
    }
}

/// Writes the files of a commit into an empty directory; gives its time, in seconds after 1970.
pub(super) fn checkout(
    git: &Git,
    place: &GitPlace,
    wanted: &Resolved,
    directory: &Path,
    local: Local,
) -> Result<i64, Failure> {
    let (remote, commit) = (place.remote.as_str(), wanted.commit.as_str());
    let run = |words: &[&str]| git.run(directory, remote, Local::Refused, words);
    let object_format = if commit.len() == 64 { "sha256" } else { "sha1" };
    let (bare, _locked) = fetched(git, place, wanted, (local, object_format))?;
    let format = format!("--object-format={object_format}");
    run(&["init", "--quiet", "--template=", &format])?;
    // Our own copy, whole, over the protocol that takes no short cuts.
    let ours = format!("file://{}", bare.display());
    let from = format!("refs/corten/{commit}");
    let into = match &wanted.name {
        Some(name) if name.starts_with("refs/tags/") => format!("{from}:{name}"),
        _ => from,
    };
    let words = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", &ours, &into];
    git.run(directory, remote, Local::Allowed, &words)?;
    let whole = format!("{commit}^{{commit}}");
    run(&["checkout", "--quiet", "--detach", &whole])?;
    let told = redacted(remote);
    run(&["remote", "add", "origin", &told])?;
    if !place.skip_submodules && directory.join(".gitmodules").is_file() {
        // Relative addresses are meant from where the repository really is.
        run(&["config", "remote.origin.url", remote])?;
        run(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])?;
        run(&["config", "remote.origin.url", &told])?;
    }
    let time = commit_time(git, place, directory, commit)?;
    let keeps = place.keep_git_dir == Some(true) && place.subdir.is_empty();
    if keeps {
        settle(git, remote, directory, &whole)?;
    } else {
        let dot_git = directory.join(".git");
        std::fs::remove_dir_all(&dot_git).map_err(failed(dot_git.display(), "removal"))?;
    }
    only(directory, &place.subdir, &told)?;
    let seconds = (place.times == GitTimes::Commit).then_some(time);
    Tidy { seconds, keeps }.directory(directory, 0)?;
    Ok(time)
}

fn commit_time(
    git: &Git,
    place: &GitPlace,
    directory: &Path,
    commit: &str,
) -> Result<i64, Failure> {
    let words = ["log", "-1", "--format=%ct", commit];
    let text = git.run(directory, &place.remote, Local::Refused, &words)?;
    let told = || redacted(&place.remote);
    text.trim().parse().map_err(|_| Failure::Usage(format!("{}: {text} is no time", told())))
}

/// The bare repository of a remote, locked, with the commit under a name of ours.
fn fetched(
    git: &Git,
    place: &GitPlace,
    wanted: &Resolved,
    (local, object_format): (Local, &str),
) -> Result<(PathBuf, File), Failure> {
    let (remote, commit) = (place.remote.as_str(), wanted.commit.as_str());
    let bare = kept(git.place.clone())?.join(name_of(&format!("{object_format} {remote}")));
    let lock = bare.with_extension("lock");
    let locked = private::open(&lock).map_err(failed(lock.display(), "creation"))?;
    rustix::fs::flock(&locked, FlockOperation::LockExclusive)
        .map_err(|errno| failed(lock.display(), "lock")(errno.into()))?;
    let run = |words: &[&str]| git.run(&bare, remote, local, words);
    if !bare.join("HEAD").is_file() {
        kept(bare.clone())?;
        let format = format!("--object-format={object_format}");
        run(&["init", "--quiet", "--bare", "--template=", "--shared=0600", &format])?;
        let about = bare.with_extension("about");
        private::write(&about, redacted(remote).as_bytes())
            .map_err(failed(about.display(), "writing"))?;
    }
    // What a killed run has left; nobody else is here.
    let _ = std::fs::remove_file(bare.join("shallow.lock"));
    let whole = format!("{commit}^{{commit}}");
    let ours = format!("refs/corten/{commit}");
    if run(&["rev-parse", "--quiet", "--verify", &ours]).is_ok() {
        return Ok((bare, locked));
    }
    let shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--force", "--", remote];
    let deep = ["fetch", "--quiet", "--no-tags", "--force", "--", remote];
    let by_name = wanted.name.as_ref().map(|name| format!("{name}:refs/corten/named"));
    let exact = format!("{commit}:refs/corten/named");
    let all = "+refs/*:refs/corten/all/*".to_owned();
    let ways = [
        by_name.as_ref().map(|name| (shallow.as_slice(), name)),
        Some((shallow.as_slice(), &exact)),
        // For servers that give neither a part of history nor a commit by its number.
        by_name.as_ref().map(|name| (deep.as_slice(), name)),
        Some((deep.as_slice(), &all)),
    ];
    let mut first = None;
    for (words, what) in ways.into_iter().flatten() {
        let words = [words, &[what.as_str()]].concat();
        match run(&words) {
            Ok(_) => first = None,
            Err(error) => {
                let is_of_way = is_of_way(&error.to_string());
                first = first.or(Some(error));
                if !is_of_way {
                    break;
                }
                continue;
            }
        }
        if run(&["rev-parse", "--quiet", "--verify", &whole]).is_ok() {
            run(&["update-ref", &ours, &whole])?;
            return Ok((bare, locked));
        }
    }
    let told = redacted(remote);
    let missing = || Failure::Usage(format!("{told}: there is no commit {commit} to be had"));
    Err(first.unwrap_or_else(missing))
}

/// Whether a failure is of how it was asked, and not of the repository.
fn is_of_way(text: &str) -> bool {
    ["shallow", "unadvertised", "not our ref", "upload-pack: ", "remote ref", "remote error"]
        .iter()
        .any(|word| text.contains(word))
}

/// Leaves nothing of this machine in what is kept of git.
fn settle(git: &Git, remote: &str, directory: &Path, commit: &str) -> Result<(), Failure> {
    let dot_git = directory.join(".git");
    for name in ["index", "FETCH_HEAD", "ORIG_HEAD"] {
        match std::fs::remove_file(dot_git.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(dot_git.join(name).display(), "removal")(error));
            }
            _ => {}
        }
    }
    // An index as new: without the numbers and times of the files here.
    git.run(directory, remote, Local::Refused, &["read-tree", commit])?;
    Ok(())
}

/// Makes a directory of a tree the whole tree. No link is followed to it.
fn only(directory: &Path, subdir: &str, told: &str) -> Result<(), Failure> {
    let mut inner = directory.to_owned();
    for name in subdir.split('/').filter(|name| !name.is_empty()) {
        inner.push(name);
        let is_directory = inner.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        if !is_directory || name == ".git" || name == ".." {
            return Err(Failure::Usage(format!("{told}: {subdir} is no directory in it")));
        }
    }
    if inner == directory {
        return Ok(());
    }
    let wrong = || failed(directory.display(), "move");
    let mut aside = tempfile::Builder::new();
    let aside = aside.permissions(private::of_directories());
    let aside = aside.tempdir_in(directory.parent().unwrap_or(directory)).map_err(wrong())?;
    let kept = aside.path().join("kept");
    std::fs::rename(&inner, &kept).map_err(wrong())?;
    std::fs::remove_dir_all(directory).map_err(wrong())?;
    std::fs::rename(&kept, directory).map_err(wrong())
}

/// Gives the files of a tree the modes and times that they have everywhere.
struct Tidy {
    seconds: Option<i64>,
    keeps: bool,
}

impl Tidy {
    fn directory(&self, path: &Path, depth: usize) -> Result<(), Failure> {
        if depth > MAX_DEPTH {
            return Err(Failure::Usage(format!("{}: too deep", path.display())));
        }
        let wrong = |action| failed(path.display(), action);
        for entry in std::fs::read_dir(path).map_err(wrong("listing"))? {
            let entry = entry.map_err(wrong("listing"))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(wrong("listing"))?);
            let wrong = |action| failed(path.display(), action);
            if entry.file_name() == ".git" && !self.keeps {
                // That of a submodule says where its repository was.
                let removed = match kind.is_dir() {
                    true => std::fs::remove_dir_all(&path),
                    false => std::fs::remove_file(&path),
                };
                removed.map_err(wrong("removal"))?;
                continue;
            }
            if kind.is_dir() {
                self.directory(&path, depth + 1)?;
            } else if kind.is_file() {
                let mode = entry.metadata().map_err(wrong("reading metadata"))?.permissions();
                let mode = if mode.mode() & 0o100 == 0 { 0o644 } else { 0o755 };
                let set = std::fs::set_permissions(&path, Permissions::from_mode(mode));
                set.map_err(wrong("change of mode"))?;
                self.stamp(&path)?;
            } else {
                self.stamp(&path)?;
            }
        }
        let set = std::fs::set_permissions(path, Permissions::from_mode(0o755));
        set.map_err(wrong("change of mode"))?;
        self.stamp(path)
    }

    fn stamp(&self, path: &Path) -> Result<(), Failure> {
        let Some(tv_sec) = self.seconds else { return Ok(()) };
        let time = Timespec { tv_sec, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| failed(path.display(), "change of times")(errno.into()))
    }
}
