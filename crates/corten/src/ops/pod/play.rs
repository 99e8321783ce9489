//! From a Kubernetes Pod to what is asked of a pod here.

use std::io::Read;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_run::network::Publish;
use corten_run::{Enforcement, HealthCheck, RestartPolicy};

use super::PodRequest;
use super::manifest::{
    Container, HostPath, Mount, PodFile, PodSecurity, Port, Probe, Protocol, PullPolicy, Restart,
    Volume,
};
use super::quantity::{expanded, thousandths};
use crate::ops::look::LookRequest;
use crate::ops::{Network, Pull, RunOptions, RunRequest, Verify, VolumeMount, VolumeSource};
use crate::{Failure, Place};

/// Most bytes of a file.
const MAX_FILE: u64 = 1 << 20;

/// Reads a pod of `file`, whose name is `shown`; relative paths are meant from `here`.
pub fn play(shown: &str, file: impl Read, here: &Path) -> Result<PodRequest, Failure> {
    let failed = |source| Failure::Io { object: shown.to_owned(), action: "reading", source };
    let mut text = String::new();
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_FILE) {
        return Err(failed(std::io::Error::other("longer than 1 MiB")));
    }
    let pod: PodFile = serde_saphyr::from_str(&text).map_err(|error| {
        // Below its first line it shows the lines of the file.
        let said = error.to_string();
        let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Failure::Usage(format!("{shown}: {said}"))
    })?;
    request(pod, here).map_err(|why| Failure::Usage(format!("{shown}: {why}")))
}

fn request(pod: PodFile, here: &Path) -> Result<PodRequest, String> {
    if (pod.api_version.as_str(), pod.kind.as_str()) != ("v1", "Pod") {
        return Err(format!("{} of {} is not a Pod of v1", pod.kind, pod.api_version));
    }
    let spec = &pod.spec;
    if spec.containers.is_empty() {
        return Err("spec.containers: there is none".to_owned());
    }
    let sources = Sources { volumes: &spec.volumes, here };
    sources.check()?;
    let mut publish = Vec::new();
    let mut members = Vec::new();
    for (first, container) in spec
        .init_containers
        .iter()
        .map(|one| (true, one))
        .chain(spec.containers.iter().map(|one| (false, one)))
    {
        let path = format!("container {}", container.name);
        publish
            .extend(ports(container, spec.host_network).map_err(|why| format!("{path}: {why}"))?);
        let member = member(container, &pod, (first, &sources));
        members.push(member.map_err(|why| format!("{path}: {why}"))?);
    }
    Ok(PodRequest {
        name: Some(pod.metadata.name.clone()),
        hostname: spec.hostname.clone(),
        network: match spec.host_network {
            true => Network::Host,
            false => Network::Private { optional: publish.is_empty(), publish },
        },
        volumes: sources.of_the_pod(),
        first: spec.init_containers.len(),
        labels: pod.metadata.labels,
        members,
    })
}

fn ports(container: &Container, host_network: bool) -> Result<Vec<Publish>, String> {
    let published = |port: &Port| {
        let host = port.host_port.filter(|host| *host != 0)?;
        let udp = port.protocol == Protocol::Udp;
        Some(Publish { address: port.host_ip, host, container: port.container_port, udp })
    };
    let mut all = Vec::new();
    for port in container.ports.iter().filter_map(published) {
        match host_network {
            // Its ports are those of the machine already.
            true if port.host != port.container => {
                return Err("ports.hostPort differs from containerPort with hostNetwork".to_owned());
            }
            true => {}
            false => all.push(port),
        }
    }
    Ok(all)
}

fn member(
    container: &Container,
    pod: &PodFile,
    (first, sources): (bool, &Sources<'_>),
) -> Result<RunRequest, String> {
    let spec = &pod.spec;
    if first && container.liveness_probe.is_some() {
        return Err("livenessProbe: an init container has none".to_owned());
    }
    let place = Place::parse_bare(&container.image).map_err(|error| error.to_string())?;
    let restart = match spec.restart_policy {
        _ if first => RestartPolicy::No,
        Restart::Always => RestartPolicy::Always,
        Restart::OnFailure => RestartPolicy::OnFailure { retries: None },
        Restart::Never => RestartPolicy::No,
    };
    Ok(RunRequest {
        look: LookRequest { place, platform: None },
        pull: match container.image_pull_policy {
            Some(PullPolicy::Always) => Pull::Always,
            Some(PullPolicy::Never) => Pull::Never,
            Some(PullPolicy::IfNotPresent) | None => Pull::Missing,
        },
        options: options(container, pod, sources)?,
        name: Some(format!("{}-{}", pod.metadata.name, container.name)),
        labels: Vec::new(),
        remove: false,
        stop_signal: None,
        stop_timeout: spec.termination_grace_period_seconds.map(Duration::from_secs),
        restart,
        health: container.liveness_probe.as_ref().map(check),
        runtime: None,
        enforcement: Enforcement::Required,
        verify: Verify::Seals,
    })
}

/// A probe with the defaults of Kubernetes.
fn check(probe: &Probe) -> HealthCheck {
    HealthCheck {
        command: probe.exec.command.clone(),
        interval: Duration::from_secs(probe.period_seconds.unwrap_or(10).max(1)),
        timeout: Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1)),
        start_period: Duration::from_secs(probe.initial_delay_seconds),
        retries: probe.failure_threshold.unwrap_or(3).max(1),
    }
}

fn options(
    container: &Container,
    pod: &PodFile,
    sources: &Sources<'_>,
) -> Result<RunOptions, String> {
    let security = &container.security_context;
    let mut env: Vec<(String, String)> = Vec::new();
    for variable in &container.env {
        let value = expanded(&variable.value, &env);
        env.push((variable.name.clone(), value));
    }
    let words = |words: &[String]| -> Vec<String> {
        words.iter().map(|word| expanded(word, &env)).collect()
    };
    let limits = &container.resources.limits;
    let quantity = |name: &str, said: Option<String>| {
        said.map(|text| {
            let value = thousandths(&text);
            value.ok_or_else(|| format!("resources.limits.{name}: {text} is no quantity"))
        })
        .transpose()
    };
    let cpus = quantity("cpu", limits.cpu.as_ref().map(ToString::to_string))?;
    let memory = quantity("memory", limits.memory.as_ref().map(ToString::to_string))?;
    let mounts = container.volume_mounts.iter().map(|mount| sources.mount(mount));
    Ok(RunOptions {
        entrypoint: (!container.command.is_empty()).then(|| words(&container.command)),
        arguments: words(&container.args),
        workdir: container.working_dir.clone(),
        user: user(container, pod.spec.security_context)?,
        interactive: container.stdin,
        terminal: container.tty,
        mounts: mounts.collect::<Result<_, _>>()?,
        read_only: security.read_only_root_filesystem,
        memory: memory.map(|memory| memory / 1_000),
        cpus: cpus
            .map(|cpus| u32::try_from(cpus).map_err(|_| "resources.limits.cpu: too many"))
            .transpose()?,
        cap_add: security.capabilities.add.clone(),
        cap_drop: security.capabilities.drop.clone(),
        no_new_privileges: security.allow_privilege_escalation == Some(false),
        annotations: pod.metadata.annotations.clone().into_iter().collect(),
        env,
        ..RunOptions::default()
    })
}

fn user(container: &Container, pod: PodSecurity) -> Result<Option<String>, String> {
    let own = &container.security_context;
    let user = own.run_as_user.or(pod.run_as_user);
    match (user, own.run_as_group.or(pod.run_as_group)) {
        (Some(user), Some(group)) => Ok(Some(format!("{user}:{group}"))),
        (Some(user), None) => Ok(Some(user.to_string())),
        (None, None) => Ok(None),
        (None, Some(_)) => Err("securityContext.runAsGroup needs runAsUser".to_owned()),
    }
}

/// Where the volumes of a file come from.
struct Sources<'a> {
    volumes: &'a [Volume],
    here: &'a Path,
}

impl Sources<'_> {
    fn check(&self) -> Result<(), String> {
        for (number, volume) in self.volumes.iter().enumerate() {
            let name = &volume.name;
            if self.volumes.iter().take(number).any(|other| other.name == *name) {
                return Err(format!("volume {name} is there twice"));
            }
            match (&volume.empty_dir, &volume.host_path) {
                (Some(_), None) => {}
                (None, Some(host)) => {
                    self.path(host).map_err(|why| format!("volume {name}: {why}"))?;
                }
                _ => return Err(format!("volume {name} is either emptyDir or hostPath")),
            }
        }
        Ok(())
    }

    /// The path of a volume of the machine, made or looked for as its type says.
    fn path(&self, host: &HostPath) -> Result<PathBuf, String> {
        let path = self.here.join(&host.path);
        let is = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(format!("{} is no {what}", path.display())) }
        };
        match host.kind.as_str() {
            "" => {}
            "Directory" => is(path.is_dir(), "directory")?,
            "File" => is(path.is_file(), "file")?,
            // Its mode is Kubernetes' (0755), which a umask does not widen.
            "DirectoryOrCreate" => std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?,
            other => return Err(format!("hostPath.type {other} is not known here")),
        }
        Ok(path)
    }

    fn of_the_pod(&self) -> Vec<String> {
        let own = self.volumes.iter().filter(|volume| volume.empty_dir.is_some());
        own.map(|volume| volume.name.clone()).collect()
    }

    fn mount(&self, mount: &Mount) -> Result<VolumeMount, String> {
        let volume = self.volumes.iter().find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| format!("there is no volume {}", mount.name))?;
        let source = match &volume.host_path {
            Some(host) => VolumeSource::Bind(self.path(host)?),
            None => VolumeSource::Pod(volume.name.clone()),
        };
        let target = crate::ops::run::inside(&mount.mount_path)
            .map_err(|why| format!("mountPath {}: {why}", mount.mount_path))?;
        Ok(VolumeMount { source, target, read_only: mount.read_only, options: Vec::new() })
    }
}
