//! Devices as their vendors describe them: the Container Device Interface, files of JSON or YAML that say which
//! nodes, variables and mounts belong to a device's name. Hooks, which are programs run as root, are not taken.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use corten_build::{StepDevice, StepDevices};
use serde::Deserialize;

use super::super::run::DeviceWord;
use crate::Failure;

/// Where descriptions are looked for; a later one goes over an earlier one.
pub(crate) const PLACES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Most bytes of a description.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Most descriptions of a directory.
const MAX_FILES: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    kind: String,
    #[serde(default)]
    devices: Vec<Described>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    name: String,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<Bind>,
    hooks: Vec<serde_json::Value>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    path: PathBuf,
    host_path: Option<PathBuf>,
    permissions: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bind {
    host_path: PathBuf,
    container_path: String,
    #[serde(default)]
    options: Vec<String>,
}

/// Which devices steps may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRules {
    /// Names: whole ones, `vendor/class` for a class, or nothing for all.
    pub allowed: Vec<String>,
}

impl DeviceRules {
    fn allow(&self, name: &str) -> bool {
        let class = name.split_once('=').map_or(name, |(class, _)| class);
        let fits =
            |rule: &String| rule.is_empty() || rule == name || rule.trim_end_matches("=*") == class;
        self.allowed.iter().any(fits)
    }
}

/// The devices that are described in `places`.
pub(super) fn devices(places: &[PathBuf], rules: &DeviceRules) -> Result<StepDevices, Failure> {
    let mut all = BTreeMap::new();
    for place in places {
        for file in listed(place)? {
            for (name, edits) in described(&file)? {
                all.insert(name, (file.clone(), edits));
            }
        }
    }
    let mut devices = StepDevices::default();
    for (name, (file, edits)) in all {
        if rules.allow(&name) {
            let device = edited(&edits)
                .map_err(|error| Failure::Usage(format!("{}: {name}: {error}", file.display())))?;
            devices.allowed.insert(name, device);
        } else {
            devices.others.push(name);
        }
    }
    Ok(devices)
}

/// The descriptions of a directory, in the order of their names; none where there is none.
fn listed(place: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed =
        |source| Failure::Io { object: place.display().to_string(), action: "reading", source };
    let entries = match std::fs::read_dir(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let is_one = |end: &std::ffi::OsStr| end == "json" || end == "yaml" || end == "yml";
        if path.extension().is_some_and(is_one) {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            let text = format!("{}: there are over {MAX_FILES} descriptions", place.display());
            return Err(Failure::Usage(text));
        }
    }
    files.sort();
    Ok(files)
}

fn described(file: &Path) -> Result<Vec<(String, Edits)>, Failure> {
    let shown = file.display();
    let failed = |source| Failure::Io { object: shown.to_string(), action: "reading", source };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    let read = opened.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > MAX_FILE {
        return Err(Failure::Usage(format!("{shown} is larger than {MAX_FILE} bytes")));
    }
    let wrong = |error: String| Failure::Usage(format!("{shown} describes no devices: {error}"));
    let all: Description = if file.extension().is_some_and(|end| end == "json") {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?
    } else {
        serde_saphyr::from_str(&text).map_err(|error| wrong(error.to_string()))?
    };
    let common = all.container_edits;
    let one = |device: Described| {
        let mut edits = common.clone();
        edits.env.extend(device.container_edits.env);
        edits.device_nodes.extend(device.container_edits.device_nodes);
        edits.mounts.extend(device.container_edits.mounts);
        edits.hooks.extend(device.container_edits.hooks);
        (format!("{}={}", all.kind, device.name), edits)
    };
    Ok(all.devices.into_iter().map(one).collect())
}

fn edited(edits: &Edits) -> Result<StepDevice, String> {
    if !edits.hooks.is_empty() {
        return Err(
            "it needs hooks, which are programs of the machine: they are not run".to_owned()
        );
    }
    let mut device = StepDevice::default();
    for node in &edits.device_nodes {
        let word = DeviceWord {
            source: node.host_path.clone().unwrap_or_else(|| node.path.clone()),
            target: node.path.clone(),
            access: node.permissions.clone().unwrap_or_else(|| "rwm".to_owned()),
        };
        if !word.target.is_absolute() || !word.access.chars().all(|letter| "rwm".contains(letter)) {
            return Err(format!("{} is no node of a device", word.target.display()));
        }
        device.nodes.push(word.grant().map_err(|error| error.to_string())?);
    }
    for text in &edits.env {
        let (name, value) =
            text.split_once('=').ok_or_else(|| format!("{text}: write NAME=VALUE"))?;
        device.env.push((name.to_owned(), value.to_owned()));
    }
    for bind in &edits.mounts {
        if !bind.container_path.starts_with('/') || !bind.host_path.is_absolute() {
            return Err(format!("{}: both paths begin with /", bind.container_path));
        }
        let is_read_only = bind.options.iter().any(|option| option == "ro");
        device.binds.push((bind.host_path.clone(), bind.container_path.clone(), is_read_only));
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read_and_hold_to_what_is_allowed() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
        write(
            "a.yaml",
            "cdiVersion: 0.6.0\nkind: a.com/null\ncontainerEdits: {env: [A=1]}\ndevices:\n- name: one\n  \
             containerEdits:\n    deviceNodes: [{path: /dev/gpu, hostPath: /dev/null, permissions: rw}]\n    \
             mounts: [{hostPath: /etc, containerPath: /machine, options: [ro]}]\n",
        );
        write(
            "b.json",
            r#"{"kind": "b.com/hook", "devices": [{"name": "x", "containerEdits": {"hooks": [{}]}}]}"#,
        );
        write("notes.txt", "not one");
        let places = [place.path().to_owned(), PathBuf::from("/nowhere/at/all")];
        let read = |allowed: &[&str]| {
            let allowed = allowed.iter().map(|&rule| rule.to_owned()).collect();
            devices(&places, &DeviceRules { allowed })
        };
        let none = read(&[]).unwrap();
        assert_eq!(none.others, ["a.com/null=one", "b.com/hook=x"]);
        for rule in ["a.com/null", "a.com/null=one", "a.com/null=*"] {
            let found = read(&[rule]).unwrap();
            let device = &found.allowed["a.com/null=one"];
            assert_eq!(device.env, [("A".to_owned(), "1".to_owned())]);
            assert_eq!(device.nodes[0].node.path(), Path::new("/dev/gpu"));
            assert!(device.binds[0].2 && found.others.len() == 1);
        }
        let error = read(&[""]).unwrap_err().to_string();
        assert!(error.contains("b.com/hook=x") && error.contains("hooks"), "{error}");
        write("b.json", "{");
        assert!(read(&[]).unwrap_err().to_string().contains("b.json"));
    }
}
