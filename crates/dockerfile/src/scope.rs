//! The values of variables: what a build is given, what stands before the first FROM, and what each
//! stage sets line by line.

use std::collections::{BTreeMap, BTreeSet};

use crate::builtin;
use crate::command::{Action, ArgDefinition, Command};
use crate::dockerfile::Dockerfile;
use crate::expand::{ExpandError, Expander, Variables};
use crate::position::Span;
use crate::values::Values;

/// What a build is given besides the Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInputs {
    /// `--build-arg`, by name.
    pub args: BTreeMap<String, String>,
    /// The platform that builds.
    pub build: PlatformValues,
    /// The platform that is built for.
    pub target: PlatformValues,
    /// The stage that is built, as `TARGETSTAGE` names it; `default` where it is empty.
    pub stage: String,
}

/// The parts of a platform, as variables have them. What is empty is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlatformValues {
    /// The system.
    pub os: String,
    /// Its version.
    pub os_version: String,
    /// The architecture.
    pub architecture: String,
    /// Its variant.
    pub variant: String,
}

impl PlatformValues {
    /// `os/architecture`, and the variant if there is one.
    pub fn text(&self) -> String {
        let mut text = format!("{}/{}", self.os, self.architecture);
        if !self.variant.is_empty() {
            text.push('/');
            text.push_str(&self.variant);
        }
        text
    }
}

/// Why the arguments before the first FROM have no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the default of `{name}` cannot be substituted")]
pub struct GlobalError {
    /// The argument.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Why.
    pub source: ExpandError,
}

/// The values that FROM lines see: built-in arguments, and the ARG lines before the first FROM.
///
/// ```
/// use corten_dockerfile::{BuildInputs, Dockerfile, GlobalScope, Variables};
///
/// let file = Dockerfile::parse(b"ARG A=1\nARG B=${A}2\nFROM a:$B")?;
/// let mut inputs = BuildInputs::default();
/// assert_eq!(GlobalScope::read(&file, &inputs)?.value("B"), Some("12"));
/// inputs.args.insert("A".to_owned(), "x".to_owned());
/// assert_eq!(GlobalScope::read(&file, &inputs)?.value("B"), Some("x2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalScope {
    values: Values,
    pub(crate) arguments: BTreeMap<String, GlobalArg>,
}

/// An ARG before the first FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GlobalArg {
    pub(crate) definition: ArgDefinition,
    pub(crate) value: Option<String>,
    /// The arguments that its default uses.
    pub(crate) uses: BTreeSet<String>,
    pub(crate) span: Span,
}

impl GlobalScope {
    /// Gives all arguments before the first FROM their values.
    ///
    /// # Errors
    /// Where a default that counts cannot be substituted.
    pub fn read(file: &Dockerfile, inputs: &BuildInputs) -> Result<Self, GlobalError> {
        let mut scope =
            Self { values: platform_values(inputs).into_iter().collect(), ..Self::default() };
        let expander = Expander::new(file.escape());
        for command in &file.arguments {
            let Action::Arg(definitions) = &command.action else { continue };
            for definition in definitions {
                scope.define(definition, command.span, expander, inputs)?;
            }
        }
        Ok(scope)
    }

    fn define(
        &mut self,
        definition: &ArgDefinition,
        span: Span,
        expander: Expander,
        inputs: &BuildInputs,
    ) -> Result<(), GlobalError> {
        let key = &definition.key;
        let mut uses = BTreeSet::new();
        let value = match (inputs.args.get(key), &definition.default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => {
                let expanded = expander
                    .word(default, &self.values)
                    .map_err(|source| GlobalError { name: key.clone(), span, source })?;
                uses = expanded.matched;
                if uses.remove(key) {
                    let before = self.arguments.get(key).map(|old| old.uses.clone());
                    uses.extend(before.unwrap_or_default());
                }
                Some(expanded.text)
            }
            (None, None) => None,
        };
        if let Some(value) = &value {
            self.values.set(key, value).map_err(|source| GlobalError {
                name: key.clone(),
                span,
                source,
            })?;
        }
        let definition = definition.clone();
        self.arguments.insert(key.clone(), GlobalArg { definition, value, uses, span });
        Ok(())
    }
}

impl Variables for GlobalScope {
    fn value(&self, name: &str) -> Option<&str> {
        self.values.value(name)
    }

    fn names(&self) -> Vec<&str> {
        self.values.names()
    }
}

fn platform_values(inputs: &BuildInputs) -> Vec<(String, String)> {
    let (build, target) = (&inputs.build, &inputs.target);
    let stage = if inputs.stage.is_empty() { "default" } else { &inputs.stage };
    let values = [
        ("BUILDPLATFORM", build.text()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", build.os_version.clone()),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", build.variant.clone()),
        ("TARGETPLATFORM", target.text()),
        ("TARGETOS", target.os.clone()),
        ("TARGETOSVERSION", target.os_version.clone()),
        ("TARGETARCH", target.architecture.clone()),
        ("TARGETVARIANT", target.variant.clone()),
        ("TARGETSTAGE", stage.to_owned()),
    ];
    let given = |name: &str, value| inputs.args.get(name).cloned().unwrap_or(value);
    values.into_iter().map(|(name, value)| (name.to_owned(), given(name, value))).collect()
}

/// The values that the instructions of one stage see, as far as they have been read.
///
/// ```
/// use corten_dockerfile::{BuildInputs, Dockerfile, GlobalScope, StageScope, Variables};
///
/// let file = Dockerfile::parse(b"FROM scratch\nARG A=1\nENV B=$A C=$B\n")?;
/// let inputs = BuildInputs::default();
/// let global = GlobalScope::read(&file, &inputs)?;
/// let mut scope = StageScope::new(vec![("PATH".to_owned(), "/bin".to_owned())]);
/// for command in &file.stages[0].commands {
///     let command = command.substitute(file.escape(), &scope)?.command;
///     scope.apply(&command, file.escape(), &global, &inputs)?;
/// }
/// assert_eq!((scope.value("B"), scope.value("C")), (Some("1"), Some("")));
/// assert!(scope.environment().iter().all(|(name, _)| name != "A"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageScope {
    values: Values,
    environment: Values,
    declared: Vec<DeclaredArg>,
    names: BTreeSet<String>,
}

/// An ARG of a stage with the value that it has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredArg {
    /// Its name.
    pub name: String,
    /// Its value; none where nobody gives it one.
    pub value: Option<String>,
}

/// What an ARG has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Each argument's value, and whether it is the global one's.
    pub(crate) values: Vec<(ArgDefinition, Option<String>, bool)>,
    /// What their defaults used that is not set.
    pub(crate) unmatched: BTreeSet<String>,
}

impl StageScope {
    /// With the variables of the base's config, in their order. A stage on another stage begins with
    /// a copy of that stage's scope instead.
    pub fn new(environment: Vec<(String, String)>) -> Self {
        let values: Values = environment.into_iter().collect();
        Self { values: values.clone(), environment: values, ..Self::default() }
    }

    /// The variables that the image's config has: the base's and those of ENV.
    pub fn environment(&self) -> &[(String, String)] {
        self.environment.list()
    }

    /// The arguments that were declared, in order, those of the stages below included.
    pub fn declared(&self) -> &[DeclaredArg] {
        &self.declared
    }

    /// Whether an argument of this name was declared.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(crate) fn set_environment(&mut self, name: &str, value: &str) -> Result<(), ExpandError> {
        self.values.set(name, value)?;
        self.environment.set(name, value)
    }

    /// Takes over what `command` sets, which was substituted with this scope: ENV and ARG.
    ///
    /// # Errors
    /// Where a default of ARG that counts cannot be substituted, or there are too many variables.
    pub fn apply(
        &mut self,
        command: &Command,
        escape: char,
        global: &GlobalScope,
        inputs: &BuildInputs,
    ) -> Result<(), ExpandError> {
        match &command.action {
            Action::Env(pairs) => {
                for pair in pairs {
                    self.set_environment(&pair.key, &pair.value)?;
                }
            }
            Action::Arg(definitions) => {
                self.declare(definitions, escape, global, inputs)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives arguments their values: from outside, else the default, else the global one's. One
    /// argument of a line sees those before it.
    pub(crate) fn declare(
        &mut self,
        definitions: &[ArgDefinition],
        escape: char,
        global: &GlobalScope,
        inputs: &BuildInputs,
    ) -> Result<Declared, ExpandError> {
        let mut done = Declared::default();
        for definition in definitions {
            let key = &definition.key;
            let given = inputs.args.get(key);
            let mut is_global = false;
            let value = match (given, &definition.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let expanded = Expander::new(escape).word(default, &self.values)?;
                    let unmatched = expanded.unmatched.into_iter();
                    done.unmatched.extend(unmatched.filter(|name| !self.declares(name)));
                    Some(expanded.text)
                }
                (None, None) => {
                    let value = global.value(key).map(str::to_owned);
                    is_global = value.is_some();
                    value
                }
            };
            if let Some(value) = value.as_ref().filter(|_| !builtin::is_no_variable(key)) {
                self.values.set(key, value)?;
            }
            self.names.insert(key.clone());
            self.declared.push(DeclaredArg { name: key.clone(), value: value.clone() });
            done.values.push((definition.clone(), value, is_global));
        }
        Ok(done)
    }
}

impl Variables for StageScope {
    fn value(&self, name: &str) -> Option<&str> {
        self.values.value(name)
    }

    fn names(&self) -> Vec<&str> {
        self.values.names()
    }
}
