//! What a build is given: the Dockerfile, its arguments, contexts, secrets and times.

use std::collections::BTreeMap;

use corten_build::{BuildError, ContextKind, NamedContext, SecretValue, Times, read_ignore};
use corten_dockerfile::{BuildInputs, Dockerfile, IgnoreFile, MAX_DOCKERFILE, PlatformValues};
use corten_spec::Platform;

use super::failed::broken;
use super::{BuildWanted, ContextWord, FetchedContext, Read, SecretWord};
use crate::{Context, Failure};

/// Most bytes of a secret.
const MAX_SECRET: u64 = 1024 * 1024;
/// The argument, and the variable, that says the time of a build.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Reads the Dockerfile, what its context leaves out, and what it is given.
pub(super) fn read(context: &Context, wanted: &BuildWanted) -> Result<Read, Failure> {
    use std::io::Read as _;
    let is_stdin = wanted.file.as_deref().is_some_and(|path| path.as_os_str() == "-");
    let path = wanted.file.clone().unwrap_or_else(|| wanted.context.join("Dockerfile"));
    let shown = match wanted.fetched.as_ref().and_then(|fetched| fetched.shown.clone()) {
        _ if is_stdin => "standard input".to_owned(),
        Some(shown) => shown,
        None => path.display().to_string(),
    };
    let failed = |source| Failure::Io { object: shown.clone(), action: "reading", source };
    if !wanted.context.is_dir() {
        let text = format!("{}: a context is a directory", wanted.context.display());
        return Err(Failure::Usage(text));
    }
    let mut bytes = Vec::new();
    let limit = MAX_DOCKERFILE as u64 + 1;
    if is_stdin {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = std::fs::File::open(&path).map_err(failed)?;
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    let file = Dockerfile::parse(&bytes).map_err(|error| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let line = text.lines().nth(error.span().start.line.saturating_sub(1)).map(str::to_owned);
        broken(&shown, line.as_deref(), BuildError::Dockerfile(error))
    })?;
    let beside = (!is_stdin && wanted.fetched.is_none()).then_some(path.as_path());
    // What was fetched is taken whole, as BuildKit does.
    let is_whole =
        wanted.fetched.as_ref().is_some_and(|fetched| fetched.kind == ContextKind::Fetched);
    let ignore = match is_whole {
        true => Ok(IgnoreFile::default()),
        false => read_ignore(&wanted.context, beside),
    };
    let ignore = ignore.map_err(|error| Failure::Io {
        object: "the ignore file".to_owned(),
        action: "reading",
        source: std::io::Error::other(error),
    })?;
    Ok(Read { file, text: bytes, ignore, inputs: inputs(context, wanted), shown })
}

pub(super) fn inputs(context: &Context, wanted: &BuildWanted) -> BuildInputs {
    let values = values(&context.platform());
    let args = wanted.args.iter().filter_map(|(name, value)| {
        let value = value.clone().or_else(|| context.environment().set(name).map(str::to_owned));
        Some((name.clone(), value?))
    });
    BuildInputs {
        args: args.collect(),
        build: values.clone(),
        target: values,
        stage: wanted.target.clone().unwrap_or_default(),
    }
}

pub(super) fn values(platform: &Platform) -> PlatformValues {
    PlatformValues {
        os: platform.os.clone(),
        os_version: platform.os_version.clone().unwrap_or_default(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
    }
}

/// The times of a build.
pub(in crate::ops) fn times(context: &Context, wanted: &BuildWanted) -> Result<Times, Failure> {
    if wanted.real_times {
        let now = context.now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or_default();
        return Ok(Times::Real(now));
    }
    until(epoch_word(context, wanted), wanted.fetched.as_ref())
}

/// What `SOURCE_DATE_EPOCH` says, as an argument, else in the environment.
pub(super) fn epoch_word<'a>(context: &'a Context, wanted: &'a BuildWanted) -> Option<&'a str> {
    let arg = wanted.args.iter().rev().find(|(name, _)| name == EPOCH);
    let given = arg.and_then(|(_, value)| value.as_deref());
    let given = given.or_else(|| context.environment().variable(EPOCH));
    given.filter(|text| !text.is_empty())
}

/// The times of what is made without a context: `SOURCE_DATE_EPOCH` of the environment, else the epoch itself.
pub(in crate::ops) fn times_of_environment(context: &Context) -> Result<Times, Failure> {
    let word = context.environment().variable(EPOCH);
    until(word.filter(|text| !text.is_empty()), None)
}

/// Until `SOURCE_DATE_EPOCH`, else until the commit that the context is of, else until the epoch itself.
fn until(word: Option<&str>, fetched: Option<&FetchedContext>) -> Result<Times, Failure> {
    let wrong = |text: &str| Failure::Usage(format!("{EPOCH} {text}"));
    match word {
        None => Ok(Times::Until(fetched.and_then(|fetched| fetched.epoch).unwrap_or_default())),
        Some("context") => match fetched.and_then(|fetched| fetched.time) {
            Some(time) => Ok(Times::Until(time)),
            None => Err(wrong("is that of the context, which has none: give a number of seconds")),
        },
        Some(text) => {
            let seconds = text.parse().map(Times::Until);
            seconds.map_err(|_| wrong(&format!("'{text}' is no number of seconds")))
        }
    }
}

pub(super) fn contexts(wanted: &BuildWanted) -> Result<BTreeMap<String, NamedContext>, Failure> {
    let one = |(name, word): (&String, &ContextWord)| match word {
        ContextWord::Directory(path) => Ok((name.clone(), NamedContext::Directory(path.clone()))),
        ContextWord::Image(place) => Ok((name.clone(), NamedContext::Image(place.clone()))),
        ContextWord::Fetched(path) => Ok((name.clone(), NamedContext::Fetched(path.clone()))),
        ContextWord::Address(_) => {
            Err(Failure::Usage(format!("the context {name} was not fetched")))
        }
    };
    wanted.contexts.iter().map(one).collect()
}

pub(in crate::ops) fn secrets(
    context: &Context,
    words: &BTreeMap<String, SecretWord>,
) -> Result<BTreeMap<String, SecretValue>, Failure> {
    use std::io::Read as _;
    let one = |(id, word): (&String, &SecretWord)| -> Result<(String, SecretValue), Failure> {
        let value = match word {
            SecretWord::File(path) => {
                let object = path.display().to_string();
                let failed = |source| Failure::Io { object, action: "reading", source };
                let mut bytes = Vec::new();
                std::fs::File::open(path)
                    .and_then(|file| file.take(MAX_SECRET + 1).read_to_end(&mut bytes))
                    .map_err(failed)?;
                if bytes.len() as u64 > MAX_SECRET {
                    let path = path.display();
                    let text =
                        format!("--secret id={id}: {path} is larger than {MAX_SECRET} bytes");
                    return Err(Failure::Usage(text));
                }
                bytes
            }
            SecretWord::Variable(name) => {
                let value = context.environment().set(name);
                let missing = || Failure::Usage(format!("--secret id={id}: {name} is not set"));
                value.ok_or_else(missing)?.as_bytes().to_vec()
            }
        };
        Ok((id.clone(), SecretValue(value)))
    };
    words.iter().map(one).collect()
}
