//! An attack: an image, how it is run, and what must come of it.

use corten_spec::ContainerConfig;
use corten_testkit::tar::TarMaker;

/// What must come of a run. The machine stays as it was in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It runs and prints this, line by line.
    Runs(String),
    /// It does not run: the code, and a part of the error.
    Fails(i32, String),
}

/// An image that reaches for the machine.
pub(crate) struct Attack {
    pub(crate) name: String,
    /// Layers above that of the programs.
    pub(crate) layers: Vec<TarMaker>,
    pub(crate) config: ContainerConfig,
    /// What stands before the image, and behind it, as a shell reads it.
    pub(crate) flags: String,
    pub(crate) words: String,
    /// A script in place of `run FLAGS IMAGE WORDS`.
    pub(crate) script: Option<String>,
    pub(crate) fate: Fate,
}

/// An attack that so far does nothing but run `true`.
pub(crate) fn attack(name: impl Into<String>) -> Attack {
    Attack {
        name: name.into(),
        layers: Vec::new(),
        config: ContainerConfig { env: vec!["PATH=/bin".to_owned()], ..ContainerConfig::default() },
        flags: String::new(),
        words: "true".to_owned(),
        script: None,
        fate: Fate::Runs(String::new()),
    }
}

impl Attack {
    pub(crate) fn layer(mut self, tar: TarMaker) -> Self {
        self.layers.push(tar);
        self
    }

    /// A layer with one symbolic link.
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.layer(TarMaker::new().symlink(path, target))
    }

    pub(crate) fn config(mut self, change: impl FnOnce(&mut ContainerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    pub(crate) fn flags(mut self, flags: &str) -> Self {
        self.flags = flags.to_owned();
        self
    }

    pub(crate) fn words(mut self, words: &str) -> Self {
        self.words = words.to_owned();
        self
    }

    /// What `/bin/sh` runs in it.
    pub(crate) fn shell(self, script: &str) -> Self {
        let words = format!("sh -c '{script}'");
        self.words(&words)
    }

    pub(crate) fn script(mut self, script: &str) -> Self {
        self.script = Some(script.to_owned());
        self
    }

    pub(crate) fn prints(mut self, out: &str) -> Self {
        self.fate = Fate::Runs(out.to_owned());
        self
    }

    pub(crate) fn fails(mut self, code: i32, part: &str) -> Self {
        self.fate = Fate::Fails(code, part.to_owned());
        self
    }
}
