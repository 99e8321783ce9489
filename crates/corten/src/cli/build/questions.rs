//! Questions about a Dockerfile, which build nothing.

use crate::ops::{self, BuildWanted};
use crate::output::{print, print_json};
use crate::{Context, Exit, Failure};

pub(super) fn check(context: &Context, wanted: &BuildWanted, json: bool) -> Result<Exit, Failure> {
    let report = ops::build_check(context, wanted)?;
    let is_good = report.error.is_none() && report.advice.is_empty();
    if json {
        print_json(&report)?;
    } else {
        let mut text = String::new();
        for one in &report.advice {
            text.push_str(&format!(
                "{}:{}:{}: {}: {}\n",
                report.file, one.line, one.column, one.check, one.text
            ));
        }
        if let Some(error) = &report.error {
            text.push_str(&format!("{}: error: {error}\n", report.file));
        }
        if is_good {
            text.push_str("nothing to say\n");
        }
        print(&text)?;
    }
    Ok(if is_good { Exit::Done } else { Exit::Negative })
}

pub(super) fn outline(
    context: &Context,
    wanted: &BuildWanted,
    json: bool,
) -> Result<Exit, Failure> {
    let report = ops::build_outline(context, wanted)?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let mut text = format!("target {}\n", report.name.as_deref().unwrap_or("default"));
    for arg in &report.arguments {
        let about = arg.description.as_deref().unwrap_or_default();
        text.push_str(&format!("argument {}={} {about}\n", arg.name, arg.value));
    }
    for secret in &report.secrets {
        text.push_str(&format!(
            "secret {}{}\n",
            secret.id,
            if secret.required { " (required)" } else { "" }
        ));
    }
    for agent in &report.agents {
        text.push_str(&format!(
            "ssh {}{}\n",
            agent.id,
            if agent.required { " (required)" } else { "" }
        ));
    }
    print(&text)?;
    Ok(Exit::Done)
}

pub(super) fn targets(
    context: &Context,
    wanted: &BuildWanted,
    json: bool,
) -> Result<Exit, Failure> {
    let report = ops::build_targets(context, wanted)?;
    if json {
        print_json(&report)?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for (number, target) in report.targets.iter().enumerate() {
        let name = target.name.clone().unwrap_or_else(|| number.to_string());
        let default = if target.default { " (default)" } else { "" };
        let about = target.description.as_deref().unwrap_or_default();
        text.push_str(&format!("{name}{default} on {} {about}\n", target.base));
    }
    print(&text)?;
    Ok(Exit::Done)
}
