//! From statements to typed instructions.

use std::collections::BTreeMap;

use super::{
    Action, Add, ArgDefinition, Command, CommandLine, Copy, InlineFile, InstructionError, KeyValue,
    LineForm, Run, RunFile, RunNetwork, Security, Sources, health, trigger,
};
use crate::flag::{FlagKind, Flags};
use crate::heredoc;
use crate::keyword::Keyword;
use crate::mount::{DeviceFlag, MountFlag};
use crate::position::{Span, Word};
use crate::statement::{Arguments, Statement};

/// FROM: a stage's base and name.
pub(crate) struct StageHead {
    pub(crate) base: Word,
    pub(crate) name: Option<Word>,
    pub(crate) platform: Option<Word>,
}

/// Reads any instruction but FROM.
pub(crate) fn command(statement: &Statement) -> Result<Command, InstructionError> {
    let keyword = keyword(statement)?;
    let action = action(keyword, statement)?;
    Ok(Command {
        action,
        keyword: statement.keyword.text.clone(),
        original: statement.original.trim().to_owned(),
        comments: statement.comments.clone(),
        span: statement.span,
    })
}

fn keyword(statement: &Statement) -> Result<Keyword, InstructionError> {
    let name = &statement.keyword.text;
    Keyword::named(name).ok_or_else(|| InstructionError::Unknown {
        name: name.clone(),
        suggestion: Keyword::nearest(name),
        span: statement.keyword.span,
    })
}

fn action(keyword: Keyword, statement: &Statement) -> Result<Action, InstructionError> {
    Ok(match keyword {
        Keyword::Add => Action::Add(add(statement)?),
        Keyword::Copy => Action::Copy(copy(statement)?),
        Keyword::Run => Action::Run(run(statement)?),
        Keyword::Arg => Action::Arg(definitions(statement)?),
        Keyword::Healthcheck => Action::Healthcheck(health::read(statement)?),
        Keyword::Onbuild => {
            flags(keyword, statement, &[])?;
            Action::Onbuild(trigger::read(statement)?)
        }
        Keyword::Cmd | Keyword::Entrypoint => {
            flags(keyword, statement, &[])?;
            let line = line(statement);
            if keyword == Keyword::Cmd { Action::Cmd(line) } else { Action::Entrypoint(line) }
        }
        Keyword::Env => Action::Env(pairs(keyword, statement)?),
        Keyword::Label => Action::Label(pairs(keyword, statement)?),
        Keyword::Expose => {
            flags(keyword, statement, &[])?;
            let mut ports = some(keyword, statement)?;
            ports.sort_unstable();
            Action::Expose(ports)
        }
        Keyword::Volume => {
            flags(keyword, statement, &[])?;
            Action::Volume(volumes(statement)?)
        }
        Keyword::Shell => {
            flags(keyword, statement, &[])?;
            let shell = some(keyword, statement)?;
            if !statement.arguments.is_json() {
                return Err(wrong(keyword, "an array of strings", statement.span));
            }
            Action::Shell(shell)
        }
        Keyword::Stopsignal => Action::Stopsignal(one(keyword, statement)?),
        Keyword::Maintainer => Action::Maintainer(one_plain(keyword, statement)?),
        Keyword::User => Action::User(one_plain(keyword, statement)?),
        Keyword::Workdir => Action::Workdir(one_plain(keyword, statement)?),
        // FROM opens a stage, and within one there is none.
        Keyword::From => return Err(wrong(keyword, "a place of its own", statement.span)),
    })
}

fn wrong(keyword: Keyword, takes: &'static str, span: Span) -> InstructionError {
    InstructionError::Arguments { keyword, takes, span }
}

fn flags(
    keyword: Keyword,
    statement: &Statement,
    known: &[(&'static str, FlagKind)],
) -> Result<Flags, InstructionError> {
    Flags::read(&statement.flags, known)
        .map_err(|source| InstructionError::Flag { keyword, source })
}

fn texts(statement: &Statement) -> Vec<String> {
    statement.arguments.words().into_iter().map(|word| word.text.clone()).collect()
}

/// One argument and no flags.
fn one_plain(keyword: Keyword, statement: &Statement) -> Result<String, InstructionError> {
    let argument = one(keyword, statement)?;
    flags(keyword, statement, &[])?;
    Ok(argument)
}

fn one(keyword: Keyword, statement: &Statement) -> Result<String, InstructionError> {
    match <[String; 1]>::try_from(texts(statement)) {
        Ok([argument]) => Ok(argument),
        Err(_) => Err(wrong(keyword, "one argument", statement.span)),
    }
}

/// One argument or more.
fn some(keyword: Keyword, statement: &Statement) -> Result<Vec<String>, InstructionError> {
    let words = texts(statement);
    if words.is_empty() {
        return Err(wrong(keyword, "at least one argument", statement.span));
    }
    Ok(words)
}

fn volumes(statement: &Statement) -> Result<Vec<String>, InstructionError> {
    let volumes = some(Keyword::Volume, statement)?;
    let volumes: Vec<String> = volumes.iter().map(|path| path.trim().to_owned()).collect();
    if volumes.iter().any(String::is_empty) {
        return Err(wrong(Keyword::Volume, "paths that are not empty", statement.span));
    }
    Ok(volumes)
}

fn line(statement: &Statement) -> CommandLine {
    let form = if statement.arguments.is_json() { LineForm::Exec } else { LineForm::Shell };
    CommandLine { words: texts(statement), form }
}

fn pairs(keyword: Keyword, statement: &Statement) -> Result<Vec<KeyValue>, InstructionError> {
    flags(keyword, statement, &[])?;
    let Arguments::Pairs(pairs) = &statement.arguments else {
        return Err(wrong(keyword, "at least one argument", statement.span));
    };
    if pairs.is_empty() {
        return Err(wrong(keyword, "at least one argument", statement.span));
    }
    let pair = |pair: &crate::statement::Pair| {
        if pair.key.text.is_empty() {
            return Err(InstructionError::BlankName { keyword, span: pair.key.span });
        }
        let (key, value) = (pair.key.text.clone(), pair.value.text.clone());
        Ok(KeyValue { key, value, form: pair.form })
    };
    pairs.iter().map(pair).collect()
}

fn definitions(statement: &Statement) -> Result<Vec<ArgDefinition>, InstructionError> {
    let words = statement.arguments.words();
    if words.is_empty() {
        return Err(wrong(Keyword::Arg, "at least one argument", statement.span));
    }
    let told = descriptions(&statement.comments);
    let definition = |word: &Word| {
        let (key, default) = match word.text.split_once('=') {
            Some(("", _)) => {
                return Err(InstructionError::BlankName { keyword: Keyword::Arg, span: word.span });
            }
            Some((key, default)) => (key.to_owned(), Some(default.to_owned())),
            None => (word.text.clone(), None),
        };
        let description = told.get(key.as_str()).map(|text| (*text).to_owned());
        Ok(ArgDefinition { key, default, description })
    };
    words.into_iter().map(definition).collect()
}

/// What the comments say of which name: each line that begins with it, the first of two.
pub(crate) fn descriptions(comments: &[String]) -> BTreeMap<&str, &str> {
    comments.iter().rev().filter_map(|line| line.split_once(' ')).collect()
}

fn sources(keyword: Keyword, statement: &Statement) -> Result<Sources, InstructionError> {
    let words = statement.arguments.words();
    let Some((destination, words)) = words.split_last().filter(|(_, rest)| !rest.is_empty()) else {
        return Err(wrong(keyword, "one source or more and a destination", statement.span));
    };
    if heredoc::opened_by(&destination.text).is_some() {
        return Err(InstructionError::HeredocDestination { keyword, span: destination.span });
    }
    let mut sources = Sources { destination: destination.text.clone(), ..Sources::default() };
    for word in words {
        let Some(opened) = heredoc::opened_by(&word.text) else {
            sources.paths.push(word.text.clone());
            continue;
        };
        // Where two have one name, the last one's text counts.
        let body = statement.heredocs.iter().rev().find(|doc| doc.name == opened.name);
        let data =
            body.map(|doc| heredoc::Heredoc { strip_tabs: opened.strip_tabs, ..doc.clone() });
        sources.files.push(InlineFile {
            name: opened.name,
            data: data.map(|doc| doc.text()).unwrap_or_default(),
            expand: opened.expand,
        });
    }
    Ok(sources)
}

/// Needs two words before flags are looked at; so errors come in the usual order.
fn enough(keyword: Keyword, statement: &Statement) -> Result<(), InstructionError> {
    if statement.arguments.words().len() < 2 {
        return Err(wrong(keyword, "one source or more and a destination", statement.span));
    }
    Ok(())
}

fn add(statement: &Statement) -> Result<Add, InstructionError> {
    enough(Keyword::Add, statement)?;
    let known = [
        ("chown", FlagKind::Value),
        ("chmod", FlagKind::Value),
        ("link", FlagKind::Switch),
        ("keep-git-dir", FlagKind::Switch),
        ("checksum", FlagKind::Value),
        ("unpack", FlagKind::Switch),
        ("exclude", FlagKind::Values),
    ];
    let flags = flags(Keyword::Add, statement, &known)?;
    Ok(Add {
        sources: sources(Keyword::Add, statement)?,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.switch("link").unwrap_or_default(),
        keep_git_dir: flags.switch("keep-git-dir"),
        checksum: flags.text("checksum"),
        unpack: flags.switch("unpack"),
        exclude: flags.all("exclude").into_iter().map(|word| word.text.clone()).collect(),
    })
}

fn copy(statement: &Statement) -> Result<Copy, InstructionError> {
    enough(Keyword::Copy, statement)?;
    let known = [
        ("chown", FlagKind::Value),
        ("from", FlagKind::Value),
        ("chmod", FlagKind::Value),
        ("link", FlagKind::Switch),
        ("exclude", FlagKind::Values),
        ("parents", FlagKind::Switch),
    ];
    let flags = flags(Keyword::Copy, statement, &known)?;
    Ok(Copy {
        sources: sources(Keyword::Copy, statement)?,
        from: flags.text("from"),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.switch("link").unwrap_or_default(),
        parents: flags.switch("parents").unwrap_or_default(),
        exclude: flags.all("exclude").into_iter().map(|word| word.text.clone()).collect(),
    })
}

fn run(statement: &Statement) -> Result<Run, InstructionError> {
    let known = [
        ("mount", FlagKind::Values),
        ("network", FlagKind::Value),
        ("security", FlagKind::Value),
        ("device", FlagKind::Values),
    ];
    let flags = flags(Keyword::Run, statement, &known)?;
    let mount = |word: &&Word| {
        MountFlag::read(word).map_err(|source| InstructionError::Mount {
            text: word.text.clone(),
            source: Box::new(source),
            span: word.span,
        })
    };
    let device = |word: &&Word| {
        DeviceFlag::read(&word.text).map_err(|source| InstructionError::Mount {
            text: word.text.clone(),
            source: Box::new(source),
            span: word.span,
        })
    };
    let files = statement.heredocs.iter().map(|doc| RunFile {
        name: doc.name.clone(),
        data: doc.body.clone(),
        strip_tabs: doc.strip_tabs,
    });
    Ok(Run {
        line: line(statement),
        files: files.collect(),
        mounts: flags.all("mount").iter().map(mount).collect::<Result<_, _>>()?,
        network: choice(&flags, "network", "default, none or host", |text| match text {
            "default" => Some(RunNetwork::Default),
            "none" => Some(RunNetwork::None),
            "host" => Some(RunNetwork::Host),
            _ => None,
        })?,
        security: choice(&flags, "security", "sandbox or insecure", |text| match text {
            "sandbox" => Some(Security::Sandbox),
            "insecure" => Some(Security::Insecure),
            _ => None,
        })?,
        devices: flags.all("device").iter().map(device).collect::<Result<_, _>>()?,
    })
}

fn choice<T: Default>(
    flags: &Flags,
    flag: &'static str,
    choices: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, InstructionError> {
    let Some(Word { text, span }) = flags.value(flag) else { return Ok(T::default()) };
    read(text).ok_or_else(|| InstructionError::Choice {
        flag,
        value: text.clone(),
        choices,
        span: *span,
    })
}

/// Reads FROM.
pub(crate) fn stage_head(statement: &Statement) -> Result<StageHead, InstructionError> {
    let keyword = Keyword::From;
    let words = statement.arguments.words();
    let (base, name) = match words.as_slice() {
        [base] => (*base, None),
        [base, word, name] if word.text.eq_ignore_ascii_case("as") => (*base, Some(*name)),
        _ => {
            return Err(wrong(
                keyword,
                "an image, and `AS` and a name if it has one",
                statement.span,
            ));
        }
    };
    let name = name.map(stage_name).transpose()?;
    let flags = flags(keyword, statement, &[("platform", FlagKind::Value)])?;
    let platform = flags.value("platform").filter(|value| !value.text.is_empty()).cloned();
    Ok(StageHead { base: base.clone(), name, platform })
}

/// A stage's name in lower case.
fn stage_name(written: &Word) -> Result<Word, InstructionError> {
    let name = written.text.to_lowercase();
    let follows = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(follows) {
        let (name, span) = (written.text.clone(), written.span);
        return Err(InstructionError::StageName { name, span });
    }
    Ok(Word::new(name, written.span))
}
