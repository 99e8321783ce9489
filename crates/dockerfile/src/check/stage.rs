//! Checks of stages: their names, their bases, and the case of all instructions.

use std::collections::BTreeSet;

use super::{Advisor, Check};
use crate::command::Undefined;
use crate::dockerfile::{Dockerfile, Stage};
use crate::expand::{Expanded, Expander, Variables};
use crate::image_name;
use crate::position::Span;
use crate::scope::{BuildInputs, GlobalScope};

/// Names that mean something else.
const RESERVED: [&str; 2] = ["context", "scratch"];

pub(super) fn check_names(file: &Dockerfile, advisor: &mut Advisor) {
    let mut seen = BTreeSet::new();
    for stage in &file.stages {
        let Some(name) = &stage.name else { continue };
        if RESERVED.contains(&name.as_str()) {
            let text = format!("the stage name `{name}` means something else in FROM and --from");
            advisor.say(&stage.comments, Check::ReservedStageName, stage.span, text);
        }
        if !seen.insert(name) {
            let text = format!("the stage name `{name}` is an earlier stage's");
            advisor.say(&stage.comments, Check::DuplicateStageName, stage.span, text);
        }
    }
}

pub(super) fn check_casing(file: &Dockerfile, advisor: &mut Advisor) {
    let mut written: Vec<(&str, &[String], Span)> = Vec::new();
    for stage in &file.stages {
        written.push((&stage.keyword, &stage.comments, stage.span));
        let commands = stage.commands.iter();
        written.extend(commands.map(|c| (c.keyword.as_str(), c.comments.as_slice(), c.span)));
    }
    let count = |change: fn(&str) -> String| {
        written.iter().filter(|(keyword, ..)| change(keyword) == *keyword).count()
    };
    let is_lower = count(str::to_lowercase) > count(str::to_uppercase);
    for (keyword, comments, span) in written {
        let (right, case) = if is_lower {
            (keyword.to_lowercase(), "lower case")
        } else {
            (keyword.to_uppercase(), "capitals")
        };
        if right != keyword {
            let text = format!("`{keyword}` is not written in {case}, as most instructions are");
            advisor.say(comments, Check::ConsistentInstructionCasing, span, text);
        }
    }
}

/// Bases must have names also for those who build without arguments.
pub(super) fn check_defaults(file: &Dockerfile, inputs: &BuildInputs, advisor: &mut Advisor) {
    let without = BuildInputs { args: platform_args(inputs), ..inputs.clone() };
    // What cannot be substituted is told where it is substituted for the build.
    let Ok(scope) = GlobalScope::read(file, &without) else { return };
    for stage in &file.stages {
        let Ok(base) = Expander::new(file.escape()).word(&stage.base.text, &scope) else { return };
        if !image_name::is_image_name(&base.text) {
            let text = format!(
                "the base `{}` is no image's name unless build arguments are given",
                stage.base.text
            );
            advisor.say(&stage.comments, Check::InvalidDefaultArgInFrom, stage.span, text);
        }
    }
}

/// Given arguments that have the names of platforms count as the platforms.
fn platform_args(inputs: &BuildInputs) -> std::collections::BTreeMap<String, String> {
    let is_platform = |name: &str| {
        let group = crate::builtin::builtin_arg(name).map(|arg| arg.group);
        group == Some(crate::builtin::BuiltinGroup::Platform)
    };
    let given = inputs.args.iter().filter(|(name, _)| is_platform(name));
    given.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn check_heads(file: &Dockerfile, scope: &GlobalScope, advisor: &mut Advisor) {
    for stage in &file.stages {
        let expand = |text: &str| Expander::new(file.escape()).word(text, scope).ok();
        if let Some(base) = expand(&stage.base.text) {
            check_declared(stage, &base, scope, advisor);
        }
        let Some(written) = &stage.platform else { continue };
        let Some(platform) = expand(&written.text) else { continue };
        check_declared(stage, &platform, scope, advisor);
        let target = scope.value("TARGETPLATFORM").unwrap_or_default();
        let is_target = platform.matched.len() == 1 && platform.matched.contains("TARGETPLATFORM");
        if is_target && platform.unmatched.is_empty() && platform.text == target {
            let text = format!("--platform={} is what FROM does without it", written.text);
            advisor.say(&stage.comments, Check::RedundantTargetPlatform, stage.span, text);
        }
        if platform.matched.is_empty() && platform.unmatched.is_empty() {
            check_constant(stage, &platform.text, advisor);
        }
    }
}

fn check_declared(stage: &Stage, used: &Expanded, scope: &GlobalScope, advisor: &mut Advisor) {
    // What is declared may have no value, and is known all the same.
    let is_unknown = |name: &&String| !scope.arguments.contains_key(*name);
    let unknown = used.unmatched.iter().filter(is_unknown).cloned().collect();
    for Undefined { name, suggestion } in crate::command::undefined(unknown, scope) {
        let mut text = format!("FROM uses the argument `{name}`, which is not declared before it");
        if let Some(near) = suggestion {
            text.push_str(&format!(" (`{near}` is)"));
        }
        advisor.say(&stage.comments, Check::UndefinedArgInFrom, stage.span, text);
    }
}

/// A platform may be a constant where the stage is named for it.
fn check_constant(stage: &Stage, platform: &str, advisor: &mut Advisor) {
    let Some((system, architecture)) = image_name::parse_platform(platform) else { return };
    let name = stage.name.as_deref().unwrap_or_default();
    let has = |part: &str| !part.is_empty() && name.contains(part);
    if has(&system) || has(&architecture) {
        return;
    }
    let text = format!("--platform={platform} is a constant, so the stage fits no other platform");
    advisor.say(&stage.comments, Check::FromPlatformFlagConstDisallowed, stage.span, text);
}
