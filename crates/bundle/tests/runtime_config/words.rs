//! The cases of the tables, as they are written.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use corten_bundle::config::{Cpus, DeviceGrant, Host, Identities, Overrides, SeccompChoice, Space};
use corten_bundle::users::RootFiles;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Every case, with the name of its table.
pub(crate) fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut tables: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    tables.sort();
    let mut cases = Vec::new();
    for table in tables {
        let text = std::fs::read_to_string(&table).unwrap();
        let read: Vec<Case> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", table.display()));
        let name = table.file_stem().unwrap().display().to_string();
        cases.extend(read.into_iter().map(|case| (name.clone(), case)));
    }
    cases
}

impl Case {
    /// The case of an image on a machine of its own, nobody saying anything of it.
    pub(crate) fn of(name: &str, config: Value, image: Map<String, Value>) -> Self {
        let architecture = image["architecture"].clone();
        let mut case: Self =
            serde_json::from_value(json!({"name": name, "rule": "conversion.md"})).unwrap();
        case.host.architecture = serde_json::from_value(architecture).unwrap();
        (case.config, case.image) = (Some(config), image);
        case
    }

    /// The image's config.
    pub(crate) fn document(&self) -> Value {
        let mut image = json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []}});
        let all = image.as_object_mut().unwrap();
        all.extend(self.image.clone());
        let config = self.config.clone().unwrap_or_else(|| json!({"Cmd": ["/bin/app"]}));
        all.insert("config".to_owned(), config);
        image
    }
}

/// One case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The section it is held to.
    #[allow(dead_code)]
    pub(crate) rule: String,
    /// The `config` object of the image.
    #[serde(default)]
    pub(crate) config: Option<Value>,
    /// Its other fields.
    #[serde(default)]
    pub(crate) image: Map<String, Value>,
    #[serde(default)]
    pub(crate) overrides: Words,
    #[serde(default)]
    pub(crate) host: HostWords,
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// What stands at a JSON pointer of the runtime config; null for nothing.
    #[serde(default)]
    pub(crate) expect: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) notices: Vec<String>,
    #[serde(default)]
    pub(crate) volumes: Vec<String>,
    /// The chain of the error.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// Why umoci's result is another.
    #[serde(default)]
    pub(crate) umoci: Option<String>,
}

/// The machine.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HostWords {
    nested: bool,
    version1: bool,
    swap_limit: bool,
    pids_limit: bool,
    masked: Vec<String>,
    pub(crate) architecture: Option<String>,
}

/// What the caller says.
#[derive(Clone, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Words {
    entrypoint: Option<Vec<String>>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    unset: Vec<String>,
    workdir: Option<String>,
    user: Option<String>,
    groups_add: Vec<String>,
    apparmor: Option<String>,
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
    pub(crate) fn overrides(self) -> Overrides {
        let devices = self.devices.into_iter().map(|(source, node, access)| DeviceGrant {
            source: source.into(),
            node: serde_json::from_value(node).unwrap(),
            access,
        });
        Overrides {
            apparmor: self.apparmor,
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
    pub(crate) fn host(self) -> Host {
        let architecture = self.architecture.unwrap_or_else(|| "amd64".to_owned());
        let identities = if self.nested { Identities::Namespace } else { Identities::Machine };
        Host {
            cgroup_namespace: !self.version1,
            swap_limit: self.swap_limit,
            pids_limit: self.pids_limit,
            masked: self.masked,
            ..Host::new(architecture, identities)
        }
    }
}

/// A root filesystem of few files.
pub(crate) struct Files(pub(crate) BTreeMap<String, String>);

impl RootFiles for Files {
    fn read(&self, path: &str, _: u64) -> io::Result<Option<Vec<u8>>> {
        match self.0.get(path).map(String::as_str) {
            Some("(a pipe)") => Err(io::Error::other("it is not a regular file")),
            found => Ok(found.map(|text| text.as_bytes().to_vec())),
        }
    }
}
