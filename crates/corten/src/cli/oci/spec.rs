//! `spec`: a configuration to begin with.

use std::fs::OpenOptions;
use std::io::Write as _;

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::Refused;
use super::words::SpecArgs;

pub(super) fn write(args: &SpecArgs) -> Result<(), Refused> {
    let path = args.bundle.join("config.json");
    let spec = if args.rootless {
        Spec::rootless(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    } else {
        Spec::default()
    };
    let mut spec = serde_json::to_value(spec).map_err(|error| error.to_string())?;
    adapt(&mut spec, args.rootless);
    let text = serde_json::to_string_pretty(&spec).map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    // One that is there is somebody's work.
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
    file.write_all(format!("{text}\n").as_bytes()).map_err(failed)?;
    Ok(())
}

/// What a bundle to begin with has: a shell at a terminal, a root that is not written to.
fn adapt(spec: &mut Value, is_rootless: bool) {
    let mut changes = vec![
        ("/ociVersion", corten_engine::SPECIFICATION.into()),
        ("/hostname", "corten".into()),
        ("/root", json!({ "path": "rootfs", "readonly": true })),
        ("/process/terminal", true.into()),
        ("/process/args", json!(["sh"])),
        ("/process/cwd", "/".into()),
        ("/process/noNewPrivileges", true.into()),
    ];
    if is_rootless {
        // An ordinary user has no groups of its own to set limits in.
        changes.push(("/linux/resources", json!({})));
    }
    for (pointer, value) in changes {
        if let Some(place) = spec.pointer_mut(pointer) {
            *place = value;
        }
    }
}
