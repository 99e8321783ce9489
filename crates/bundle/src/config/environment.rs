//! The variables of the process: the image's, what the caller says, and the defaults where neither
//! says anything.

use corten_spec::ContainerConfig;

use super::error::{Result, RuntimeConfigError, without_nul};
use super::explain::{Said, Trace};
use super::overrides::Overrides;
use crate::users::Identity;

/// Where programs are looked for in an image that does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a program is told of its terminal.
const TERM: &str = "xterm";

struct Variable {
    name: String,
    value: String,
    source: Said,
    elsewhere: Option<&'static str>,
}

/// The entries of `process.env`. What the image sets is verbatim and in its order; of a name that it
/// sets twice the later value stands at the earlier place. A default never changes a variable that the
/// image sets (conversion.md, Verbatim Fields, note 1). An entry of the image that is not `NAME=VALUE`
/// is left out: it must not become the value that the variable has on this machine.
pub(super) fn environment(
    image: &ContainerConfig,
    overrides: &Overrides,
    identity: &Identity,
    trace: &mut Trace,
) -> Result<Vec<String>> {
    let mut variables = of_image(image, trace)?;
    for name in &overrides.unset {
        check_name(name)?;
        variables.retain(|variable| variable.name != *name);
    }
    for (name, value) in &overrides.env {
        check_name(name)?;
        without_nul(&format!("process.env[{name}]"), value)?;
        set(&mut variables, name, value, Said::Flag);
    }
    for default in defaults(overrides, identity) {
        let set = variables.iter().any(|variable| variable.name == default.name);
        if !set && !overrides.unset.contains(&default.name) {
            variables.push(default);
        }
    }
    let mut entries = Vec::with_capacity(variables.len());
    for Variable { name, value, source, elsewhere } in variables {
        trace.tell_beside(&format!("process.env[{name}]"), value.as_str(), source, elsewhere);
        entries.push(format!("{name}={value}"));
    }
    Ok(entries)
}

fn of_image(image: &ContainerConfig, trace: &mut Trace) -> Result<Vec<Variable>> {
    let mut variables: Vec<Variable> = Vec::with_capacity(image.env.len());
    let mut places = std::collections::HashMap::new();
    for entry in &image.env {
        without_nul("process.env", entry)?;
        let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let shown: String = entry.chars().take(80).collect();
            trace.notice(format!("the image's variable '{shown}' is not NAME=VALUE: left out"));
            continue;
        };
        let earlier = places.get(name).and_then(|place: &usize| variables.get_mut(*place));
        if let Some(earlier) = earlier {
            if earlier.value != value {
                trace.notice(format!("the image sets {name} twice: the later value holds"));
            }
            value.clone_into(&mut earlier.value);
            continue;
        }
        places.insert(name, variables.len());
        let (name, value) = (name.to_owned(), value.to_owned());
        variables.push(Variable { name, value, source: Said::Image, elsewhere: None });
    }
    Ok(variables)
}

fn set(variables: &mut Vec<Variable>, name: &str, value: &str, source: Said) {
    match variables.iter_mut().find(|variable| variable.name == name) {
        Some(earlier) => {
            value.clone_into(&mut earlier.value);
            earlier.source = source;
        }
        None => variables.push(Variable {
            name: name.to_owned(),
            value: value.to_owned(),
            source,
            elsewhere: None,
        }),
    }
}

fn defaults(overrides: &Overrides, identity: &Identity) -> Vec<Variable> {
    let variable = |name: &str, value: &str, source, elsewhere| Variable {
        name: name.to_owned(),
        value: value.to_owned(),
        source,
        elsewhere,
    };
    let mut defaults = vec![variable(
        "PATH",
        PATH,
        Said::Default,
        Some("containerd adds it only where the image sets no variable at all"),
    )];
    if overrides.terminal {
        let elsewhere = Some("umoci sets it without a terminal too");
        defaults.push(variable("TERM", TERM, Said::Default, elsewhere));
    }
    if let Some(hostname) = &overrides.hostname {
        let elsewhere = Some("containerd and umoci do not set it");
        defaults.push(variable("HOSTNAME", hostname, Said::Flag, elsewhere));
    }
    defaults.push(match &identity.home {
        Some(home) => variable("HOME", home, Said::Root, None),
        None => variable("HOME", "/", Said::Default, Some("umoci leaves it unset")),
    });
    defaults
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(RuntimeConfigError::Variable { name: name.chars().take(80).collect() });
    }
    Ok(())
}
