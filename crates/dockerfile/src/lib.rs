//! The Dockerfile language: text in; typed instructions, checks and a list of stages out.
//!
//! This is the pure front half of a build. It knows the language as `docker/dockerfile` 1.26 has it
//! and nothing else: no files, no network, no clock, no images and no stores. What it cannot know by
//! itself, the values of variables and what a base brings along, comes through ports.
//!
//! ```
//! use corten_dockerfile::{Action, Dockerfile};
//!
//! let file = Dockerfile::parse(b"ARG TAG=13\nFROM debian:$TAG AS app\nCOPY --link a b /srv/\n")?;
//! let stage = &file.stages[0];
//! assert_eq!((stage.base.text.as_str(), stage.name.as_deref()), ("debian:$TAG", Some("app")));
//! let Action::Copy(copy) = &stage.commands[0].action else { panic!() };
//! assert_eq!(copy.sources.paths, ["a", "b"]);
//! assert!(copy.link);
//! assert_eq!(stage.commands[0].span.lines(), 3..=3);
//! # Ok::<(), corten_dockerfile::DockerfileError>(())
//! ```
//!
//! The way from text to instructions: [`Syntax`] has the statements as they are written, with their
//! places; [`Dockerfile`] has what they mean; [`Command::substitute`] replaces their variables, whose
//! values [`GlobalScope`] and [`StageScope`] follow line by line; [`links`] and [`reachable`] tell which
//! stages a target needs. [`check`] says what could be better, [`outline`] what a target can be given,
//! and [`IgnoreFile`] which files of a context are left out.

mod builtin;
mod check;
mod chmod;
mod command;
mod csv;
mod directive;
mod dockerfile;
mod expand;
mod flag;
mod heredoc;
mod image_name;
mod json;
mod keyword;
mod link;
mod mount;
mod outline;
mod pattern;
mod port;
mod position;
mod scope;
mod signal;
mod statement;
mod suggest;
mod syntax;
mod values;
mod word;

pub use builtin::{BUILTIN_ARGS, BuiltinArg, BuiltinGroup, builtin_arg};
pub use check::{
    Advice, BaseImage, BaseImages, Check, CheckError, CheckOptions, CheckOptionsError, CheckReport,
    CheckRequest, CommandError, NoBases, check, names_a_secret,
};
pub use chmod::{FileMode, ModeError, parse_chmod};
pub use command::{
    Action, Add, ArgDefinition, Command, CommandLine, Copy, DurationError, HealthProbe, HealthTest,
    InlineFile, InstructionError, Invocation, KeyValue, LineForm, Run, RunFile, RunNetwork,
    Security, Sources, Substituted, Trigger, Undefined, parse_duration,
};
pub use directive::{Directive, DirectiveName, detect_syntax};
pub use dockerfile::{Dockerfile, DockerfileError, MAX_STAGES, MAX_TRIGGERS, Stage};
pub use expand::{
    ExpandError, Expanded, Expander, MAX_ENVIRONMENT, MAX_EXPANSION, MAX_INSTRUCTION, MAX_NESTING,
    MAX_PATTERN_STEPS, MAX_VARIABLES, Unset, Variables,
};
pub use flag::FlagError;
pub use heredoc::Heredoc;
pub use keyword::Keyword;
pub use link::{
    LinkError, StageLinks, StageSource, StageUse, command_uses, links, reachable, target,
};
pub use mount::{
    DeviceFlag, FileAccess, Mount, MountAccess, MountError, MountFlag, MountKind, Sharing,
};
pub use outline::{BuildTarget, Outline, OutlineArg, OutlineNeed, outline, targets};
pub use pattern::{
    Glob, IgnoreFile, MAX_IGNORE_FILE, MAX_IGNORE_PATTERNS, ParentMatches, PathPattern,
    PatternError, clean_path,
};
pub use port::{Exposed, PortError, Protocol, parse_port};
pub use position::{Position, Span, Word};
pub use scope::{BuildInputs, DeclaredArg, GlobalError, GlobalScope, PlatformValues, StageScope};
pub use signal::signal_number;
pub use statement::{Arguments, Pair, PairForm, Statement};
pub use syntax::{MAX_COMMENTS, MAX_DOCKERFILE, MAX_LINE, Syntax, SyntaxError};
