//! Image configs and what the caller says, and what of the runtime config the specification, or our
//! choice, makes of them: the tables in `tests/config`, each case with the section it is held to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod runs;
mod umoci;
mod words;

use std::collections::BTreeMap;

use corten_bundle::config::{
    Converted, Host, Identities, Overrides, RuntimeConfigError, Space, runtime_config,
};
use corten_spec::ImageConfig;
use serde_json::{Map, Value, json};

use words::{Case, Files, cases};

/// What becomes of a case.
pub(crate) fn convert(case: &Case) -> Result<Converted, RuntimeConfigError> {
    let image: ImageConfig = serde_json::from_value(case.document()).unwrap();
    let overrides = case.overrides.clone().overrides();
    runtime_config(&image, &overrides, &case.host.clone().host(), &Files(case.files.clone()))
}

fn chain(error: &RuntimeConfigError) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

/// What differs, in words; nothing where all is as expected.
fn differences(expected: &Case, converted: Result<Converted, RuntimeConfigError>) -> Vec<String> {
    let converted = match (converted, &expected.error) {
        (Err(error), Some(told)) if chain(&error) == *told => return Vec::new(),
        (Err(error), _) => return vec![format!("the error is: {}", chain(&error))],
        (Ok(_), Some(told)) => return vec![format!("there is no error: {told}")],
        (Ok(converted), None) => converted,
    };
    let written: Value = serde_json::from_slice(&converted.bytes()).unwrap();
    let mut found = Vec::new();
    for (place, value) in &expected.expect {
        let actual = written.pointer(place).cloned().unwrap_or(Value::Null);
        if actual != *value {
            found.push(format!("{place} is {actual}, not {value}"));
        }
    }
    if converted.notices != expected.notices {
        found.push(format!("the notices are {:#?}", converted.notices));
    }
    if converted.volumes != expected.volumes {
        found.push(format!("the volumes are {:?}", converted.volumes));
    }
    found
}

#[test]
fn every_case_of_the_tables_is_as_it_says() {
    let (all, mut failed) = (cases(), Vec::new());
    for (table, case) in &all {
        for difference in differences(case, convert(case)) {
            failed.push(format!("{table}: {}: {difference}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} differences:\n{}", failed.len(), failed.join("\n"));
    assert!(all.len() >= 80, "{} cases", all.len());
}

fn plain(config: Value) -> Converted {
    let host = Host::new("amd64", Identities::Machine);
    let image = image(Some(config));
    runtime_config(&image, &Overrides::default(), &host, &Files(BTreeMap::new())).unwrap()
}

pub(crate) fn image(config: Option<Value>) -> ImageConfig {
    let mut image = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []}});
    image["config"] = config.unwrap_or(Value::Null);
    serde_json::from_value(image).unwrap()
}

#[test]
fn equal_input_gives_equal_bytes_and_they_are_read_as_the_same_config() {
    let labels: Map<String, Value> =
        (0..200).map(|n| (format!("label.{n}"), json!(n.to_string()))).collect();
    let config = json!({"Cmd": ["a"], "Labels": labels, "Env": ["B=1", "A=2"]});
    let (one, other) = (plain(config.clone()), plain(config));
    assert_eq!(one.bytes(), other.bytes());
    let read: oci_spec::runtime::Spec = serde_json::from_slice(&one.bytes()).unwrap();
    assert_eq!(read, one.spec);
}

#[test]
fn every_field_of_a_config_is_explained_by_someone() {
    let converted = plain(json!({"Cmd": ["a"], "Env": ["A=b"], "Labels": {"x": "y"}}));
    let written: Value = serde_json::from_slice(&converted.bytes()).unwrap();
    let told = |field: &str| {
        let found = converted.explained.iter().filter(|one| one.field == field).count();
        assert_eq!(found, 1, "{field}");
    };
    for entry in written["process"]["env"].as_array().unwrap() {
        let name = entry.as_str().unwrap().split('=').next().unwrap();
        told(&format!("process.env[{name}]"));
    }
    for key in written["annotations"].as_object().unwrap().keys() {
        told(&format!("annotations[{key}]"));
    }
    for mount in written["mounts"].as_array().unwrap() {
        told(&format!("mounts[{}]", mount["destination"].as_str().unwrap()));
    }
    let plain = "process.args process.cwd process.user.uid process.user.gid process.terminal \
                 process.noNewPrivileges process.capabilities.bounding linux.namespaces \
                 linux.maskedPaths linux.readonlyPaths linux.seccomp root.readonly ociVersion \
                 linux.resources.devices process.user.additionalGids";
    plain.split_whitespace().for_each(told);
    let sources: Vec<&str> = converted.explained.iter().map(|one| one.source.word()).collect();
    assert!(sources.contains(&"image") && sources.contains(&"default"), "{sources:?}");
}

#[test]
fn nothing_of_the_library_s_own_defaults_is_left_in_a_config() {
    let converted = plain(json!({"Cmd": ["a"]}));
    let written: Value = serde_json::from_slice(&converted.bytes()).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&written), ["annotations", "linux", "mounts", "ociVersion", "process", "root"]);
    assert_eq!(
        keys(&written["process"]),
        ["args", "capabilities", "cwd", "env", "noNewPrivileges", "terminal", "user"]
    );
    assert_eq!(
        keys(&written["linux"]),
        ["maskedPaths", "namespaces", "readonlyPaths", "resources", "seccomp"]
    );
    assert_eq!(written["process"]["user"], json!({"uid": 0, "gid": 0, "additionalGids": [0]}));
    assert_eq!(written["root"], json!({"path": "rootfs", "readonly": false}));
}

#[test]
fn an_image_without_a_config_runs_what_it_is_told() {
    let host = Host::new("amd64", Identities::Machine);
    let overrides = Overrides { args: vec!["/app".to_owned()], ..Overrides::default() };
    let files = Files(BTreeMap::new());
    let bare = image(None);
    let converted = runtime_config(&bare, &overrides, &host, &files).unwrap();
    assert_eq!(converted.spec.process().as_ref().unwrap().args().as_ref().unwrap(), &["/app"]);
    let error = runtime_config(&bare, &Overrides::default(), &host, &files).unwrap_err();
    assert!(matches!(error, RuntimeConfigError::NoCommand));
}

#[test]
fn a_path_that_json_cannot_say_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let odd = std::ffi::OsString::from_vec(b"/ns/\xff".to_vec());
    let overrides = Overrides { network: Space::Path(odd.into()), ..Overrides::default() };
    let host = Host::new("amd64", Identities::Machine);
    let image = image(Some(json!({"Cmd": ["a"]})));
    let error = runtime_config(&image, &overrides, &host, &Files(BTreeMap::new())).unwrap_err();
    assert!(matches!(error, RuntimeConfigError::NotText(_)), "{error}");
}
