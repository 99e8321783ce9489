//! The instructions of a stage, typed.

mod error;
mod health;
mod read;
mod substitute;
mod trigger;

pub use error::InstructionError;
pub use health::{DurationError, HealthProbe, HealthTest, parse_duration};
pub(crate) use read::{command, descriptions, stage_head};
pub(crate) use substitute::undefined;
pub use substitute::{Substituted, Undefined};
pub use trigger::Trigger;

use crate::mount::{DeviceFlag, MountFlag};
use crate::position::Span;
use crate::statement::PairForm;

/// One instruction of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it does.
    pub action: Action,
    /// Its name, as it is written.
    pub keyword: String,
    /// The line with its continuations put together.
    pub original: String,
    /// The comments directly above it.
    pub comments: Vec<String>,
    /// Where it stands.
    pub span: Span,
}

/// What an instruction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `ADD`.
    Add(Add),
    /// `ARG`.
    Arg(Vec<ArgDefinition>),
    /// `CMD`.
    Cmd(CommandLine),
    /// `COPY`.
    Copy(Copy),
    /// `ENTRYPOINT`.
    Entrypoint(CommandLine),
    /// `ENV`.
    Env(Vec<KeyValue>),
    /// `EXPOSE`: ports as they are written, sorted. [`crate::parse_port`] reads them.
    Expose(Vec<String>),
    /// `HEALTHCHECK`.
    Healthcheck(HealthProbe),
    /// `LABEL`.
    Label(Vec<KeyValue>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `ONBUILD`.
    Onbuild(Trigger),
    /// `RUN`.
    Run(Run),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`, as it is written. [`crate::signal_number`] knows the names.
    Stopsignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `WORKDIR`.
    Workdir(String),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// How the two were put apart.
    pub form: PairForm,
}

/// A build argument and its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDefinition {
    /// Its name.
    pub key: String,
    /// Its default; none is not the same as an empty one.
    pub default: Option<String>,
    /// What the comment above says of it: `# NAME what it is`.
    pub description: Option<String>,
}

/// What a shell or a program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// One text for a shell, or the arguments of a program.
    pub words: Vec<String>,
    /// Which of the two.
    pub form: LineForm,
}

/// Whether a command line is a shell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineForm {
    /// Text, run by the stage's shell.
    Shell,
    /// An array, run as it is.
    Exec,
}

/// A file that stands in the Dockerfile itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub data: String,
    /// Whether variables in it are replaced.
    pub expand: bool,
}

/// What ADD and COPY take, and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Paths, patterns or addresses, in order.
    pub paths: Vec<String>,
    /// Files that stand in the Dockerfile.
    pub files: Vec<InlineFile>,
    /// Where it goes.
    pub destination: String,
}

/// `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Add {
    /// What is added, and where it goes.
    pub sources: Sources,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`, octal or symbolic.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--keep-git-dir`, where it is given.
    pub keep_git_dir: Option<bool>,
    /// `--checksum`.
    pub checksum: Option<String>,
    /// `--unpack`, where it is given.
    pub unpack: Option<bool>,
    /// `--exclude`, each.
    pub exclude: Vec<String>,
}

/// `COPY`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// What is copied, and where it goes.
    pub sources: Sources,
    /// `--from`: a stage by name or index, a named context or an image.
    pub from: Option<String>,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`, octal or symbolic.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, each.
    pub exclude: Vec<String>,
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What runs.
    pub line: CommandLine,
    /// Its here-documents.
    pub files: Vec<RunFile>,
    /// `--mount`, each, as it is written: its variables are not replaced yet.
    pub mounts: Vec<MountFlag>,
    /// `--network`.
    pub network: RunNetwork,
    /// `--security`.
    pub security: Security,
    /// `--device`, each.
    pub devices: Vec<DeviceFlag>,
}

/// A here-document of RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFile {
    /// The word that ends it.
    pub name: String,
    /// The lines as they stand.
    pub data: String,
    /// Whether leading tabs are dropped from each.
    pub strip_tabs: bool,
}

/// What a RUN runs, its here-documents put where they belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// A program with its arguments.
    Exec(Vec<String>),
    /// Text for the stage's shell.
    Shell(String),
    /// A program that stands in the Dockerfile: one here-document alone that begins with `#!`. On
    /// Windows, which has none of these, it is text for the shell.
    Script {
        /// The name of its file.
        name: String,
        /// What is in it.
        data: String,
    },
}

impl Run {
    /// What it runs.
    ///
    /// ```
    /// use corten_dockerfile::{Action, Dockerfile, Invocation};
    ///
    /// let file = Dockerfile::parse(b"FROM a\nRUN <<X\necho a\nX\nRUN cat <<X\n$b\nX\n").unwrap();
    /// let runs = file.stages[0].commands.iter().map(|command| match &command.action {
    ///     Action::Run(run) => run.invocation(),
    ///     _ => unreachable!(),
    /// });
    /// let expected = ["echo a\n", "cat <<X\n$b\nX"].map(|text| Invocation::Shell(text.to_owned()));
    /// assert!(runs.eq(expected));
    /// ```
    pub fn invocation(&self) -> Invocation {
        if self.line.form == LineForm::Exec {
            return Invocation::Exec(self.line.words.clone());
        }
        let mut text = self.line.words.join(" ");
        let Some(first) = self.files.first() else { return Invocation::Shell(text) };
        if crate::heredoc::opened_by(&text).is_some() {
            let data = first.text();
            return if data.starts_with("#!") {
                Invocation::Script { name: first.name.clone(), data }
            } else {
                Invocation::Shell(data)
            };
        }
        // Among other words, the shell reads here-documents itself.
        for file in &self.files {
            text.push('\n');
            text.push_str(&file.data);
            text.push_str(&file.name);
        }
        Invocation::Shell(text)
    }
}

impl RunFile {
    /// The body as it is meant, without leading tabs where they are dropped.
    pub fn text(&self) -> String {
        if !self.strip_tabs {
            return self.data.clone();
        }
        self.data.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// The network of a RUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunNetwork {
    /// The builder's own choice.
    #[default]
    Default,
    /// No network.
    None,
    /// The machine's.
    Host,
}

/// How a RUN is confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// As usual.
    #[default]
    Sandbox,
    /// Hardly.
    Insecure,
}
