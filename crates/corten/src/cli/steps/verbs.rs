//! The words of a build step by step, as they are typed and as scripts have them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::import::CompressionWord;
use crate::ops::{DraftDocument, StepWord};

/// Which work a word belongs to.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Step by step")]
pub(in crate::cli) struct WorkArgs {
    /// The work by name [default: that of the working directory].
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) work: Option<String>,
    /// A directory that keeps the work.
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) work_path: Option<PathBuf>,
    /// Leave the word out of the history.
    #[arg(long, global = true)]
    pub(super) no_history: bool,
}

/// A word.
#[derive(Subcommand, Debug)]
pub(in crate::cli) enum StepVerb {
    /// Begin an image: of nothing, of an image or of a root filesystem
    Begin(BeginArgs),
    /// Run a program in it
    Run(RunArgs),
    /// Copy files or the contents of directories to a path
    Copy(CopyArgs),
    /// Copy files and directories into a directory
    CopyToDir(CopyArgs),
    /// Lay the layers of another image on it
    #[command(subcommand)]
    Dependency(DependencyVerb),
    /// Close the layer: what changes from now on is another one
    Layer,
    /// Set the image's name
    SetName {
        /// The name; a tag may stand in it.
        name: String,
    },
    /// Set the tag of the image's name
    SetTag {
        /// The tag.
        tag: String,
    },
    /// Set what starts: the entry point, in place of what ran before
    SetExec(WordsArgs),
    /// Set the arguments after the entry point
    SetCmd(WordsArgs),
    /// Set the user
    SetUser {
        /// A name or a number.
        user: String,
    },
    /// Set the group
    SetGroup {
        /// A name or a number.
        group: String,
    },
    /// Set the directory that processes start in
    SetWorkingDirectory {
        /// The directory.
        directory: String,
    },
    /// Set the signal that asks the process to stop
    SetStopSignal {
        /// The signal.
        signal: String,
    },
    /// Set who made the image
    SetAuthor {
        /// The name.
        author: String,
    },
    /// Add or remove a variable of the environment
    #[command(subcommand, visible_alias = "env")]
    Environment(PairVerb),
    /// Add or remove a label
    #[command(subcommand)]
    Label(PairVerb),
    /// Add or remove an annotation of the manifest
    #[command(subcommand)]
    Annotation(PairVerb),
    /// Add or remove a port
    #[command(subcommand)]
    Port(PortVerb),
    /// Add or remove a directory of data
    #[command(subcommand, visible_alias = "volume")]
    Mount(MountVerb),
    /// Print the config or the manifest
    #[command(visible_alias = "cat-manifest")]
    Cat(CatArgs),
    /// Put a config in place of the image's; layers and history stay
    #[command(visible_alias = "replace-manifest")]
    ReplaceConfig {
        /// The config, or - for standard input.
        file: PathBuf,
    },
    /// Carry out words of a file, line by line
    Script {
        /// The file, or - for standard input.
        file: PathBuf,
    },
    /// Write the image into the local store
    Write {
        /// A name of the image; may repeat [default: that of set-name].
        #[arg(long, short, value_name = "NAME")]
        tag: Vec<String>,
        /// Nothing: names are always set anew.
        #[arg(long, hide = true)]
        overwrite: bool,
    },
    /// Forget the work; what was written of it stays
    End,
    /// What images of today do not have.
    #[command(hide = true)]
    Isolator(GoneArgs),
    /// What images of today do not have.
    #[command(hide = true)]
    SetEventHandler(GoneArgs),
    /// What images of today do not have.
    #[command(hide = true)]
    SetSuppGroups(GoneArgs),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct BeginArgs {
    /// An image: a name or any place; or a root filesystem: a path that begins with . or /, of a directory or a
    /// tar, or - for a tar on standard input.
    pub(super) start: Option<String>,
    /// Make each word a layer of its own, instead of one of all words up to layer.
    #[arg(long)]
    pub(super) layers: bool,
    /// Ask the registry even where the local store has the image.
    #[arg(long)]
    pub(super) pull: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct PackArgs {
    /// Carry it out, whatever is cached.
    #[arg(long)]
    pub(super) no_cache: bool,
    /// How the layer is packed: gzip (read by everything), zstd (smaller and faster) or none.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = CompressionWord::Gzip, hide_possible_values = true)]
    pub(super) compression: CompressionWord,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    pub(super) program: WordsArgs,
    /// The directory it starts in [default: the image's].
    #[arg(long, value_name = "DIR")]
    pub(super) working_dir: Option<String>,
    /// The user that runs it [default: the image's].
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(super) user: Option<String>,
    /// A variable that it alone has; may repeat.
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = super::super::words::pairs)]
    pub(super) env: Vec<(String, String)>,
    /// Its network: default (one of its own), none or host.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = StepWord::Default, hide_possible_values = true)]
    pub(super) network: StepWord,
    /// A secret at /run/secrets/ID: id=ID,src=FILE or id=ID,env=VARIABLE; may repeat.
    #[arg(long, value_name = "SECRET")]
    pub(super) secret: Vec<String>,
    #[command(flatten)]
    pub(super) pack: PackArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct CopyArgs {
    /// What is copied, and where it goes.
    #[arg(required = true, num_args = 2.., value_names = ["SOURCE", "TARGET"])]
    pub(super) paths: Vec<PathBuf>,
    /// An image to copy from.
    #[arg(long, value_name = "IMAGE")]
    pub(super) from: Option<String>,
    /// Owner of what is copied [default: root].
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(super) chown: Option<String>,
    /// Mode of what is copied, octal or as chmod has it.
    #[arg(long, value_name = "MODE")]
    pub(super) chmod: Option<String>,
    /// A pattern of what is left out; may repeat.
    #[arg(long, value_name = "PATTERN")]
    pub(super) exclude: Vec<String>,
    #[command(flatten)]
    pub(super) pack: PackArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct WordsArgs {
    /// The program and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub(super) words: Vec<String>,
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum PairVerb {
    /// Add one, or set it anew
    Add {
        /// Its name.
        name: String,
        /// Its value.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Take one away
    #[command(alias = "rm")]
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum PortVerb {
    /// Add one
    Add {
        /// PORT[/PROTOCOL], or a name, a protocol and a port as acbuild has them.
        #[arg(required = true, num_args = 1..=3, value_name = "PORT")]
        port: Vec<String>,
        /// How many ports, one after the other.
        #[arg(long, value_name = "N", default_value_t = 1)]
        count: u16,
        /// Refused: images of today do not have it.
        #[arg(long, hide = true)]
        socket_activated: bool,
    },
    /// Take one away
    #[command(alias = "rm")]
    Remove {
        /// PORT[/PROTOCOL].
        port: String,
    },
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum MountVerb {
    /// Add one
    Add {
        /// The directory, or a name and the directory as acbuild has them.
        #[arg(required = true, num_args = 1..=2, value_name = "PATH")]
        path: Vec<String>,
        /// Refused: images of today do not have it.
        #[arg(long, hide = true)]
        read_only: bool,
    },
    /// Take one away
    #[command(alias = "rm")]
    Remove {
        /// The directory.
        path: String,
    },
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum DependencyVerb {
    /// Lay its layers on what is there
    Add {
        /// The image.
        image: String,
    },
    /// Refused: layers that others lie on are not taken out
    #[command(alias = "rm")]
    Remove {
        /// The image.
        image: String,
    },
}

#[derive(Args, Debug)]
pub(in crate::cli) struct CatArgs {
    /// Which document: config or manifest.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = DraftDocument::Config, hide_possible_values = true)]
    pub(super) file: DraftDocument,
    /// Lay it out for people.
    #[arg(long)]
    pub(super) pretty_print: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct GoneArgs {
    /// Whatever follows.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(super) words: Vec<String>,
}
