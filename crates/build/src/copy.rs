//! COPY and ADD: from the words of an instruction to what is copied, its key and its row of the history.

use std::sync::OnceLock;

use corten_dockerfile::{Add, Command, Copy, IgnoreFile};

use crate::adding::addresses;
use crate::address::{Address, redacted};
use crate::archive::Unpack;
use crate::assemble::Assembly;
use crate::config::{self, Row};
use crate::copying::{Copying, absolute};
use crate::error::{Result, StepError, refused};
use crate::flags::Changes;
use crate::key::KeyInput;
use crate::rootfs::Laid;
use crate::stage::{StageRun, chain};

impl StageRun<'_> {
    /// Carries out a COPY.
    pub(crate) fn copy(&mut self, command: &Command, copy: &Copy) -> Result<()> {
        if let Some(path) = copy.sources.paths.iter().find(|path| is_address(path)) {
            return refused(format!("COPY of {}: only ADD takes addresses", redacted(path)));
        }
        let flags = [("--parents", copy.parents.then(String::new))];
        let flags = flags.into_iter().chain(owner_flags(&copy.chown, &copy.chmod));
        let told = told("COPY", flags, &copy.sources);
        let (source, from) = match &copy.from {
            None => (OnceLock::from(self.session.context()?), None),
            Some(_) => {
                let uses = self.uses(command)?;
                let Some(used) = uses.into_iter().next() else { return Err(StepError::Cancelled) };
                match self.layers_of(&used)? {
                    // They need not be made ready for a key.
                    Some(layers) => (OnceLock::new(), Some(layers)),
                    None => (OnceLock::from(self.source(&used)?), None),
                }
            }
        };
        let copying = Copying {
            source,
            paths: &copy.sources.paths,
            inline: inline(&copy.sources),
            destination: absolute(Some(self.state.working_dir()), &copy.sources.destination),
            changes: self.changes(copy.chown.as_deref(), copy.chmod.as_deref())?,
            parents: copy.parents,
            exclude: excluded(&copy.exclude)?,
            unpack: Unpack::Never,
        };
        self.copied(&copying, from, &copy.exclude)?;
        config::note(&mut self.state.config, told, Row::Layer, self.session.request.times);
        Ok(())
    }

    /// Carries out an ADD.
    pub(crate) fn add(&mut self, add: &Add) -> Result<()> {
        let addresses = addresses(add)?;
        let told = told("ADD", owner_flags(&add.chown, &add.chmod), &add.sources);
        let unpacks = add.unpack.unwrap_or(true);
        let copying = Copying {
            source: OnceLock::from(self.session.context()?),
            paths: &add.sources.paths,
            inline: inline(&add.sources),
            destination: absolute(Some(self.state.working_dir()), &add.sources.destination),
            changes: self.changes(add.chown.as_deref(), add.chmod.as_deref())?,
            parents: false,
            exclude: excluded(&add.exclude)?,
            unpack: match unpacks {
                true => Unpack::Archives { spool: self.session.work.path() },
                false => Unpack::Never,
            },
        };
        if addresses.iter().any(Option::is_some) {
            self.add_remote(add, &copying, addresses)?;
        } else {
            self.copied(&copying, None, &add.exclude)?;
        }
        config::note(&mut self.state.config, told, Row::Layer, self.session.request.times);
        Ok(())
    }

    fn changes(&self, chown: Option<&str>, chmod: Option<&str>) -> Result<Changes> {
        let made = self.session.request.times.now();
        Changes::read(chown, chmod, made, &self.ground, &self.state.layers)
    }

    /// `from` names the source by its layers, where it has any: its files need not be read for a key then.
    fn copied(
        &mut self,
        copying: &Copying<'_>,
        from: Option<Vec<Laid>>,
        exclude: &[String],
    ) -> Result<()> {
        let mut key = self
            .key("copy")
            .named("destination", &copying.destination)
            .named("owner and mode", copying.changes.text())
            .named("flags", format!("{} {}", copying.parents, copying.unpack != Unpack::Never))
            .list(copying.inline.iter().flat_map(|(name, data)| [name.as_bytes(), data]))
            .telling(told_inline(copying));
        let mut known = None;
        match &from {
            Some(from) => {
                key = key.named("the layers that it takes from", chain(from));
                key = key.list(copying.paths).list(exclude);
                let paths = copying.paths.join(" ");
                key = key.telling([KeyInput::of_text("paths", &paths)]);
            }
            None => {
                let found = copying.picks()?;
                let digests;
                (key, digests) = copying.key(key, &found, self.session)?;
                known = Some((found, digests));
            }
        }
        self.layer(key, |run| {
            if let Some(layers) = from {
                let look = run.ground.look(&layers)?;
                copying.source.get_or_init(|| look.source);
            }
            let told = known.as_ref().map(|(picks, digests)| Copying::inputs(picks, digests));
            let picks = known.map_or_else(|| copying.picks(), |(picks, _)| Ok(picks))?;
            let view = run.ground.view(&run.state.layers)?;
            let mut assembly = Assembly::new(&view);
            copying.write(&mut assembly, picks)?;
            let items = assembly.items;
            Ok((run.packed(items)?, told.unwrap_or_default()))
        })
    }
}

/// The files that stand in the Dockerfile.
pub(crate) fn told_inline(copying: &Copying<'_>) -> Vec<KeyInput> {
    let inline = copying.inline.iter();
    inline.map(|(name, data)| KeyInput::of_bytes(format!("here-document {name}"), data)).collect()
}

fn is_address(path: &str) -> bool {
    !matches!(Address::parse(path), Ok(None))
}

fn excluded(patterns: &[String]) -> Result<IgnoreFile> {
    let read = IgnoreFile::from_patterns(patterns.iter().map(String::as_str));
    read.map_err(|error| StepError::Refused(error.to_string()))
}

fn inline(sources: &corten_dockerfile::Sources) -> Vec<(String, Vec<u8>)> {
    let files = sources.files.iter();
    files.map(|file| (file.name.clone(), file.data.clone().into_bytes())).collect()
}

type Flag = (&'static str, Option<String>);

fn owner_flags(chown: &Option<String>, chmod: &Option<String>) -> [Flag; 2] {
    [("--chown=", chown.clone()), ("--chmod=", chmod.clone())]
}

/// A COPY or ADD as the history has it.
fn told(
    keyword: &str,
    flags: impl IntoIterator<Item = Flag>,
    sources: &corten_dockerfile::Sources,
) -> String {
    let mut text = keyword.to_owned();
    for (flag, value) in flags {
        if let Some(value) = value {
            text = format!("{text} {flag}{value}");
        }
    }
    for path in &sources.paths {
        text = format!("{text} {}", redacted(path));
    }
    for file in &sources.files {
        text = format!("{text} <<{}", file.name);
    }
    format!("{text} {} # buildkit", sources.destination)
}
