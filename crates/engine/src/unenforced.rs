//! What a configuration asks of control groups: this engine makes none, and says so.

use crate::error::{Error, Result};
use crate::{Engine, Unenforced};
use oci_spec::runtime::Linux;

/// Refuses limits and denied devices, which nothing would enforce, unless the caller asked to go without.
///
/// A container of root's may make device nodes, or bring some along in its image: without device rules it
/// reaches the devices of the machine.
pub(crate) fn check(engine: &Engine, linux: &Linux) -> Result<()> {
    let Some(resources) =
        linux.resources().as_ref().filter(|_| engine.unenforced == Unenforced::Refuse)
    else {
        return Ok(());
    };
    let denied = resources.devices().iter().flatten().any(|rule| !rule.allow());
    let asked = [
        ("memory", resources.memory().is_some()),
        ("cpu", resources.cpu().is_some()),
        ("pids", resources.pids().is_some()),
        ("blockIO", resources.block_io().is_some()),
        ("hugepageLimits", resources.hugepage_limits().is_some()),
        ("network", resources.network().is_some()),
        ("rdma", resources.rdma().is_some()),
        ("unified", resources.unified().is_some()),
        ("devices", denied),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((name, _)) => Err(Error::Unsupported { what: format!("linux.resources.{name}") }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(resources: serde_json::Value, unenforced: Unenforced) -> Result<()> {
        let linux: Linux = serde_json::from_value(json!({ "resources": resources })).unwrap();
        let engine = Engine { root: "/none".into(), program: "/none".into(), unenforced };
        check(&engine, &linux)
    }

    #[test]
    fn what_nothing_would_enforce_is_refused_by_its_name_unless_it_is_not_wanted() {
        let deny = json!([{ "allow": false, "access": "rwm" }]);
        for (name, value) in [
            ("memory", json!({ "limit": 1 })),
            ("pids", json!({ "limit": 1 })),
            ("devices", deny),
            ("network", json!({ "classID": 1 })),
        ] {
            let told = checked(json!({ name: value }), Unenforced::Refuse).unwrap_err().to_string();
            assert_eq!(told, format!("not supported: linux.resources.{name}"));
            checked(json!({ name: value }), Unenforced::Ignore).unwrap();
        }
        let allow =
            json!([{ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" }]);
        checked(json!({ "devices": allow }), Unenforced::Refuse).unwrap();
        checked(json!({}), Unenforced::Refuse).unwrap();
    }
}
