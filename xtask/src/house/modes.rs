//! Rule: what corten keeps is its owner's alone. Where it makes files and directories, it says their modes: the umask
//! of a user is no answer to who may read a store.

use super::paths::mentions;
use super::{Offence, Rule, Workspace};

/// Calls that leave the mode to the umask, or choose a place that nobody named.
const OPEN: [&str; 9] = [
    "std::fs::create_dir",
    "std::fs::create_dir_all",
    "std::fs::write",
    "std::fs::File::create",
    "std::fs::File::create_new",
    "std::env::temp_dir",
    "tempfile::tempdir",
    "tempfile::tempdir_in",
    "tempfile::tempfile",
];

/// Crates that keep things.
const KEEPERS: [&str; 5] =
    ["corten-store", "corten-bundle", "corten-run", "corten-build", "corten"];

/// Files that make what the user named, or what a container sees with a mode that is set.
const ALLOWED: [&str; 12] = [
    "crates/build/src/etc.rs",
    "crates/build/src/rootfs.rs",
    "crates/bundle/src/snapshot/overlay.rs",
    "crates/corten/src/cli/build/mod.rs",
    "crates/corten/src/ops/build/elsewhere/context.rs",
    "crates/corten/src/ops/build/elsewhere/room.rs",
    "crates/corten/src/ops/bundle.rs",
    "crates/corten/src/ops/run/own.rs",
    "crates/corten/src/ops/unpack.rs",
    "crates/run/src/network/bridge.rs",
    "crates/run/src/pod/mod.rs",
    "crates/store/src/beneath.rs",
];

pub(super) fn check(workspace: &Workspace) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in workspace.product(|owner| KEEPERS.contains(&owner)) {
        if ALLOWED.iter().any(|path| source.path.ends_with(path)) {
            continue;
        }
        for mention in mentions(&source.syntax) {
            let full = |path: &&&str| {
                **path == mention.path || path.strip_prefix("std::") == Some(mention.path.as_str())
            };
            if OPEN.iter().find(full).is_some() {
                let advice = "make it with corten_store::private, or with a mode";
                offences.push(Offence {
                    path: source.path.clone(),
                    line: mention.line,
                    rule: Rule::Mode,
                    advice: format!("`{}`: {advice}", mention.path),
                });
            }
        }
    }
    offences
}
