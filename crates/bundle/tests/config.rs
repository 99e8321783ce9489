//! Image configs and what the caller says, and what of the runtime config the specification, or our
//! choice, makes of them: the tables in `tests/config`, each case with the section it is held to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use corten_bundle::config::{
    Converted, Cpus, DeviceGrant, Host, Identities, Overrides, RuntimeConfigError, SeccompChoice,
    Space, runtime_config,
};
use corten_bundle::users::RootFiles;
use corten_spec::ImageConfig;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The section it is held to.
    #[allow(dead_code)]
    rule: String,
    /// The `config` object of the image.
    #[serde(default)]
    config: Option<Value>,
    /// Its other fields.
    #[serde(default)]
    image: Map<String, Value>,
    #[serde(default)]
    overrides: Words,
    #[serde(default)]
    host: HostWords,
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// What stands at a JSON pointer of the runtime config; null for nothing.
    #[serde(default)]
    expect: BTreeMap<String, Value>,
    #[serde(default)]
    notices: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    /// The chain of the error.
    #[serde(default)]
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HostWords {
    nested: bool,
    version1: bool,
    swap_limit: bool,
    masked: Vec<String>,
    architecture: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Words {
    entrypoint: Option<Vec<String>>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    unset: Vec<String>,
    workdir: Option<String>,
    user: Option<String>,
    groups_add: Vec<String>,
    hostname: Option<String>,
    terminal: bool,
    read_only: bool,
    mounts: Value,
    cap_add: Vec<String>,
    cap_drop: Vec<String>,
    no_new_privileges: bool,
    seccomp: Option<Value>,
    unmasked: bool,
    privileged: bool,
    memory: Option<u64>,
    swap: Option<i64>,
    cpus: Option<String>,
    pids: Option<i64>,
    shm_size: Option<u64>,
    network: Option<String>,
    pid: Option<String>,
    ipc: Option<String>,
    uts: Option<String>,
    sysctl: Vec<(String, String)>,
    ulimits: Value,
    devices: Vec<(String, Value, String)>,
    annotations: Vec<(String, String)>,
    labels: Vec<(String, String)>,
    init: bool,
    oom_score_adj: Option<i32>,
    cgroup_parent: Option<String>,
    id: Option<String>,
}

fn space(word: Option<&str>) -> Space {
    match word {
        None => Space::New,
        Some("host") => Space::Host,
        Some(path) => Space::Path(path.into()),
    }
}

fn list<T: serde::de::DeserializeOwned>(value: Value) -> Vec<T> {
    serde_json::from_value::<Option<_>>(value).unwrap().unwrap_or_default()
}

impl Words {
    fn overrides(self) -> Overrides {
        let devices = self.devices.into_iter().map(|(source, node, access)| DeviceGrant {
            source: source.into(),
            node: serde_json::from_value(node).unwrap(),
            access,
        });
        Overrides {
            devices: devices.collect(),
            entrypoint: self.entrypoint,
            args: self.args,
            env: self.env,
            unset: self.unset,
            workdir: self.workdir,
            user: self.user,
            groups_add: self.groups_add,
            hostname: self.hostname,
            terminal: self.terminal,
            read_only: self.read_only,
            mounts: list(self.mounts),
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            no_new_privileges: self.no_new_privileges,
            seccomp: match self.seccomp {
                None => SeccompChoice::Default,
                Some(Value::String(word)) if word == "unconfined" => SeccompChoice::Unconfined,
                Some(file) => SeccompChoice::File(file.to_string().into_bytes()),
            },
            unmasked: self.unmasked,
            privileged: self.privileged,
            memory: self.memory,
            swap: self.swap,
            cpus: self.cpus.map(|text| text.parse::<Cpus>().unwrap()),
            pids: self.pids,
            shm_size: self.shm_size,
            network: space(self.network.as_deref()),
            pid: space(self.pid.as_deref()),
            ipc: space(self.ipc.as_deref()),
            uts: space(self.uts.as_deref()),
            sysctl: self.sysctl,
            ulimits: list(self.ulimits),
            annotations: self.annotations,
            labels: self.labels,
            init: self.init,
            oom_score_adj: self.oom_score_adj,
            cgroup_parent: self.cgroup_parent.map(Into::into),
            id: self.id,
        }
    }
}

impl HostWords {
    fn host(self) -> Host {
        let architecture = self.architecture.unwrap_or_else(|| "amd64".to_owned());
        let identities = if self.nested { Identities::Namespace } else { Identities::Machine };
        Host {
            cgroup_namespace: !self.version1,
            swap_limit: self.swap_limit,
            masked: self.masked,
            ..Host::new(architecture, identities)
        }
    }
}

struct Files(BTreeMap<String, String>);

impl RootFiles for Files {
    fn read(&self, path: &str, _: u64) -> io::Result<Option<Vec<u8>>> {
        match self.0.get(path).map(String::as_str) {
            Some("(a pipe)") => Err(io::Error::other("it is not a regular file")),
            found => Ok(found.map(|text| text.as_bytes().to_vec())),
        }
    }
}

fn image(fields: Map<String, Value>, config: Option<Value>) -> ImageConfig {
    let mut image = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []}});
    let all = image.as_object_mut().unwrap();
    all.extend(fields);
    if let Some(config) = config {
        all.insert("config".to_owned(), config);
    }
    serde_json::from_value(image).unwrap()
}

fn convert(case: Case) -> (Expected, Result<Converted, RuntimeConfigError>) {
    let config = case.config.unwrap_or_else(|| json!({"Cmd": ["/bin/app"]}));
    let image = image(case.image, Some(config));
    let converted =
        runtime_config(&image, &case.overrides.overrides(), &case.host.host(), &Files(case.files));
    let expected = Expected {
        name: case.name,
        expect: case.expect,
        notices: case.notices,
        volumes: case.volumes,
        error: case.error,
    };
    (expected, converted)
}

struct Expected {
    name: String,
    expect: BTreeMap<String, Value>,
    notices: Vec<String>,
    volumes: Vec<String>,
    error: Option<String>,
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
fn differences(
    expected: &Expected,
    converted: Result<Converted, RuntimeConfigError>,
) -> Vec<String> {
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let (mut cases, mut failed) = (0, Vec::new());
    let mut tables: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    tables.sort();
    for table in tables {
        let text = std::fs::read_to_string(&table).unwrap();
        let read: Vec<Case> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", table.display()));
        for case in read {
            cases += 1;
            let (expected, converted) = convert(case);
            for difference in differences(&expected, converted) {
                let table = table.file_stem().unwrap().display();
                failed.push(format!("{table}: {}: {difference}", expected.name));
            }
        }
    }
    assert!(failed.is_empty(), "{} differences:\n{}", failed.len(), failed.join("\n"));
    assert!(cases >= 80, "{cases} cases");
}

fn plain(config: Value) -> Converted {
    let host = Host::new("amd64", Identities::Machine);
    let image = image(Map::new(), Some(config));
    runtime_config(&image, &Overrides::default(), &host, &Files(BTreeMap::new())).unwrap()
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
    assert_eq!(written["process"]["user"], json!({"uid": 0, "gid": 0}));
    assert_eq!(written["root"], json!({"path": "rootfs", "readonly": false}));
}

#[test]
fn an_image_without_a_config_runs_what_it_is_told() {
    let host = Host::new("amd64", Identities::Machine);
    let overrides = Overrides { args: vec!["/app".to_owned()], ..Overrides::default() };
    let files = Files(BTreeMap::new());
    let bare = image(Map::new(), None);
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
    let image = image(Map::new(), Some(json!({"Cmd": ["a"]})));
    let error = runtime_config(&image, &overrides, &host, &Files(BTreeMap::new())).unwrap_err();
    assert!(matches!(error, RuntimeConfigError::NotText(_)), "{error}");
}
