//! COPY and ADD: from the words of an instruction to what is copied, its key and its row of the history.

use std::sync::OnceLock;

use corten_dockerfile::{Add, Command, Copy, IgnoreFile};

use crate::adding::addresses;
use crate::address::{Address, redacted};
use crate::archive::Unpack;
use crate::assemble::Assembly;
use crate::config::{self, Row};
use crate::copying::{Copying, Pick, absolute};
use crate::error::{Result, StepError, refused};
use crate::flags::Changes;
use crate::key::{KeyHasher, KeyInput};
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

    fn copied(
        &mut self,
        copying: &Copying<'_>,
        from: Option<Vec<Laid>>,
        exclude: &[String],
    ) -> Result<()> {
        let key = self
            .key("copy")
            .named("destination", &copying.destination)
            .named("owner and mode", copying.changes.text())
            .named("flags", format!("{} {}", copying.parents, copying.unpack != Unpack::Never))
            .list(copying.inline.iter().flat_map(|(name, data)| [name.as_bytes(), data]))
            .telling(told_inline(copying));
        if let Some(layers) = from {
            return self.copied_from(copying, &layers, exclude, key);
        }
        let picks = copying.picks()?;
        let (key, digests) = copying.key(key, &picks, self.session)?;
        self.layer(key, |run| {
            let told = Copying::inputs(&picks, &digests);
            Ok((run.copy_layer(copying, picks)?, told))
        })
    }

    /// Copies from layers. Their files need not be read for a key; where that is in no cache, those that are taken
    /// may be what they were.
    fn copied_from(
        &mut self,
        copying: &Copying<'_>,
        layers: &[Laid],
        exclude: &[String],
        key: KeyHasher,
    ) -> Result<()> {
        let paths = KeyInput::of_text("paths", &copying.paths.join(" "));
        let whole = key.clone().named("the layers that it takes from", chain(layers));
        let whole = whole.list(copying.paths).list(exclude).telling([paths]);
        let chained = whole.clone().finish();
        let is_asked = !self.session.request.no_cache;
        if is_asked && self.session.cached(&chained).is_some() {
            return self.layer(whole, |run| {
                // It went away meanwhile.
                let look = run.ground.look(layers)?;
                copying.source.get_or_init(|| look.source);
                Ok((run.copy_layer(copying, copying.picks()?)?, Vec::new()))
            });
        }
        let look = self.ground.look(layers)?;
        copying.source.get_or_init(|| look.source);
        let picks = copying.picks()?;
        let key = key.field("by content");
        let contents = copying.content_key(key, &picks, self.session.request.times)?;
        let Some((key, digests)) = contents else {
            return self.layer(whole, |run| Ok((run.copy_layer(copying, picks)?, Vec::new())));
        };
        let told = Copying::inputs(&picks, &digests);
        let inputs = whole.clone().telling(told.clone()).told().1;
        let by_content = key.clone().finish();
        let is_same = is_asked && self.session.cached(&by_content).is_some();
        let (key, other) = match is_same {
            true => (key.telling(told), chained.clone()),
            false => (whole.telling(told), by_content.clone()),
        };
        self.layer(key, |run| Ok((run.copy_layer(copying, picks)?, Vec::new())))?;
        if is_same {
            // What travels is known by the key that costs nothing, whichever it was found by.
            self.session.results.rename(&by_content, &chained);
        }
        self.keep_also(&other, inputs)
    }

    fn copy_layer(&self, copying: &Copying<'_>, picks: Vec<Pick>) -> Result<Laid> {
        let view = self.ground.view(&self.state.layers)?;
        let mut assembly = Assembly::new(&view);
        copying.write(&mut assembly, picks)?;
        self.packed(assembly.items)
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
