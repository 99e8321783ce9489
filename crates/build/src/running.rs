//! RUN: a process in the files of its stage, whatever it writes becoming a layer.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;

use corten_bundle::Purpose;
use corten_bundle::config::{Host, Overrides, Space, runtime_config};
use corten_bundle::users::{RootDirectory, within};
use corten_dockerfile::{
    BuiltinGroup, Command, IgnoreFile, Invocation, Run, Security, Variables as _, builtin_arg,
};
use corten_layer::{Marks, Owner, PackOptions, pack_directory};
use corten_run::network::{self, Private, Way};
use corten_run::{ContainerId, ExitStatus, OnceBundle, Streams, run_once};
use corten_spec::{ContainerConfig, ImageConfig};
use corten_store::private;

use crate::assemble::built;
use crate::base::BuiltLayer;
use crate::config::{self, Row};
use crate::devices::{NamedDevices, StepDevice};
use crate::error::{Result, StepError, failed, of_layer};
use crate::etc::{HOSTNAME, SCRIPTS, files, script};
use crate::event::BuildEvent;
use crate::foreign;
use crate::grants;
use crate::key::KeyInput;
use crate::lookup::{LastLink, Tree as _, resolve};
use crate::mounts::{Mounted, Wanted, bound};
use crate::owned::Owned;
use crate::request::StepNetwork;
use crate::rootfs::{Laid, Made, make};
use crate::source::{Owners, Source};
use crate::stage::StageRun;

/// How many lines of output an error tells.
const LAST_LINES: usize = 20;
/// Longest line that is told whole.
const LONGEST_LINE: u64 = 64 * 1024;
/// The variable that leads to an ssh agent.
const AGENT: &str = "SSH_AUTH_SOCK";
/// A process that is to run.
struct Process {
    args: Vec<String>,
    env: Vec<(String, String)>,
    proxies: Vec<(String, String)>,
    script: Option<(String, String)>,
    network: StepNetwork,
    security: Security,
    devices: Vec<StepDevice>,
}

impl StageRun<'_> {
    /// Carries out a RUN.
    pub(crate) fn run(&mut self, command: &Command, run: &Run) -> Result<()> {
        let request = self.session.request;
        let (network, security) = request.grants.of(run, request.network)?;
        let NamedDevices { found: devices, missing } = request.grants.devices.of(&run.devices)?;
        for name in missing {
            let text = format!("--device={name}: there is none, and the step does without");
            self.tell(BuildEvent::Notice { text: &text });
        }
        let names: Vec<&str> = devices.iter().map(|(name, _)| *name).collect();
        let devices: Vec<StepDevice> = devices.iter().map(|(_, one)| (*one).clone()).collect();
        let config = &self.state.config;
        let (args, script) = match run.invocation() {
            Invocation::Exec(words) => (words, None),
            Invocation::Shell(text) => (config::through_shell(config, &text), None),
            Invocation::Script { name, data } => {
                let path = format!("{SCRIPTS}/{name}");
                (config::through_shell(config, &path), Some((name, data)))
            }
        };
        let (env, proxies) = (self.variables(), self.proxies());
        let row = format!(
            "RUN {}{} # buildkit",
            config::told_arguments(&self.state.scope),
            args.join(" ")
        );
        let process = Process { args, env, proxies, script, network, security, devices };
        let wanted = self.wanted(command, run)?;
        let key = self
            .key("run")
            .list(&process.args)
            .list(process.env.iter().map(|(name, value)| format!("{name}={value}")))
            .telling(told(&process))
            .named("user", self.state.user())
            .named("working directory", self.state.working_dir())
            .field(format!("{:?}", (&process.network, &process.script)));
        let key = match process.security {
            Security::Sandbox => key,
            Security::Insecure => key.field("insecure"),
        };
        let key = if names.is_empty() { key } else { key.field("devices").list(names) };
        let key = self.mounts_key(key, &wanted)?;
        self.layer(key, |stage| Ok((stage.made(&process, &wanted)?, Vec::new())))?;
        config::note(&mut self.state.config, row, Row::Layer, self.session.request.times);
        Ok(())
    }

    /// The variables of the environment, and the arguments.
    fn variables(&self) -> Vec<(String, String)> {
        let scope = &self.state.scope;
        // Of ENV and ARG of one name, the later one counts.
        let now = |(name, value): &(String, String)| {
            (name.clone(), scope.value(name).unwrap_or(value).to_owned())
        };
        let mut all: Vec<_> = scope.environment().iter().map(now).collect();
        for arg in scope.declared() {
            if let Some(value) = scope.value(&arg.name)
                && !all.iter().any(|(name, _)| *name == arg.name)
            {
                all.push((arg.name.clone(), value.to_owned()));
            }
        }
        all
    }

    /// Proxies are for processes alone: neither keys nor histories know them.
    fn proxies(&self) -> Vec<(String, String)> {
        let args = self.session.plan.inputs.args.iter();
        let is_proxy =
            |name: &str| builtin_arg(name).is_some_and(|arg| arg.group == BuiltinGroup::Proxy);
        args.filter(|(name, _)| is_proxy(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    fn made(&mut self, process: &Process, wanted: &[Wanted]) -> Result<Laid> {
        let session = self.session;
        foreign::can_run(&self.state.config.platform, &session.builder.native)?;
        session.work.guarded()?;
        let room = self.ground.brief()?;
        make(&room.join("bundle"))?;
        let layers = self.state.layers.clone();
        let mut mounted = self.mounted(wanted, &room, &layers)?;
        for (source, target, is_read_only) in process.devices.iter().flat_map(|one| &one.binds) {
            mounted.mounts.push(bound(source, target, *is_read_only));
            self.point(target, source.is_dir(), &layers, &mut mounted)?;
        }
        let rootfs = room.join("bundle/rootfs");
        let written = self.ground.write_over(&layers, rootfs, Purpose::Step, &mounted.points)?;
        self.working_directory(&written.rootfs)?;
        let id = ContainerId::random()?;
        let (env, user) = self.write_config(process, &mut mounted, (&room, &written.rootfs))?;
        let ended = self.process((process, &env), &id, &room);
        self.shell_after(&ended, (process.network, &env), &room);
        // Caches are others' again, and nobody reaches an agent any more.
        drop(mounted);
        written.end()?;
        ended?;
        let owned = self.owned(&written.upper, &layers, user)?;
        let layer = self.packed_upper(&written.upper, owned)?;
        // What cannot be removed now goes with the build's directory.
        let _ = corten_run::erase(&room);
        Ok(Laid { layer, made: Made::Upper(written.upper) })
    }

    fn packed_upper(&self, upper: &Path, owned: Owned) -> Result<BuiltLayer> {
        let (pending, how) = (&self.session.pending, self.session.how());
        let mut options = PackOptions::new(how.compression);
        options.packing = how.packing();
        options.latest_mtime = how.times.latest();
        options.marks = Marks::Whiteouts;
        (options.owner, options.owners) = (owned.new, owned.old);
        let staged = pending.stage()?;
        let (tree, staged) =
            pack_directory(upper, &options, staged).map_err(of_layer("what the step wrote"))?;
        let layer = built(tree.packed);
        pending.add(staged, &layer)?;
        Ok(layer)
    }

    /// A working directory that the image names and does not have is made, as engines do.
    fn working_directory(&self, rootfs: &Path) -> Result<()> {
        let source = Source::open(rootfs, IgnoreFile::default(), Owners::Keep)?;
        let found = resolve(&source, self.state.working_dir().as_bytes(), LastLink::Follow)?;
        if found.entry.is_some() {
            return Ok(());
        }
        let mut path = corten_layer::TreePath::root();
        for name in found.path.components() {
            path = path.join(name);
            if source.at(&path)?.is_none() {
                make(&rootfs.join(path.to_path_buf()))?;
            }
        }
        Ok(())
    }

    fn write_config(
        &self,
        process: &Process,
        mounted: &mut Mounted,
        (room, rootfs): (&Path, &Path),
    ) -> Result<(Vec<(String, String)>, Owner)> {
        let powers = self.session.builder.powers;
        let image = ImageConfig {
            config: Some(ContainerConfig {
                env: process.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
                user: Some(self.state.user().to_owned()),
                working_dir: Some(self.state.working_dir().to_owned()),
                ..ContainerConfig::default()
            }),
            ..config::empty(self.state.config.platform.clone())
        };
        let mut mounts = files(room, process.network)?;
        if let Some((name, data)) = &process.script {
            // Nothing can be run from where memory is, on some machines.
            mounts.push(script(&self.ground.room()?, name, data)?);
        }
        mounts.append(&mut mounted.mounts);
        let has_agent = process.env.iter().any(|(name, _)| name == AGENT);
        let agent = mounted.agent.take().filter(|_| !has_agent);
        // Of this step alone, and on no disk.
        let mut unwritten = process.proxies.clone();
        let devices = || process.devices.iter();
        unwritten.extend(devices().flat_map(|device| device.env.clone()));
        unwritten.extend(agent.map(|path| (AGENT.to_owned(), path)));
        unwritten.append(&mut mounted.env);
        let cap_drop = match process.security {
            Security::Sandbox => Vec::new(),
            Security::Insecure => grants::lacking()?,
        };
        let overrides = Overrides {
            entrypoint: Some(process.args.clone()),
            hostname: Some(HOSTNAME.to_owned()),
            mounts,
            network: match process.network {
                StepNetwork::Host => Space::Host,
                StepNetwork::Private | StepNetwork::None => Space::New,
            },
            devices: devices().flat_map(|device| device.nodes.clone()).collect(),
            privileged: process.security == Security::Insecure,
            cap_drop,
            ..Overrides::default()
        };
        let host = Host::here(self.session.builder.native.architecture.clone(), powers);
        let root = RootDirectory::open(rootfs).map_err(failed(rootfs.display(), "opening"))?;
        let mut converted = runtime_config(&image, &overrides, &host, &root)?;
        let mut owner = Owner { uid: 0, gid: 0 };
        if let Some(process) = converted.spec.process_mut() {
            let mut user = process.user().clone();
            within(&mut user, powers);
            owner = Owner { uid: user.uid(), gid: user.gid() };
            process.set_user(user);
        }
        let path = room.join("bundle/config.json");
        private::write(&path, converted.bytes()).map_err(failed(path.display(), "writing"))?;
        Ok((unwritten, owner))
    }

    /// Runs the process to its end, and tells its output line by line.
    fn process(
        &self,
        (process, env): (&Process, &[(String, String)]),
        id: &ContainerId,
        room: &Path,
    ) -> Result<()> {
        let session = self.session;
        let piping = || failed("the output of the step", "opening");
        let (read, write) = std::io::pipe().map_err(piping())?;
        let stderr = OwnedFd::from(write.try_clone().map_err(piping())?);
        let streams = Streams { stdin: None, stdout: write.into(), stderr };
        let bundle = room.join("bundle");
        let once = OnceBundle { directory: session.work.path(), bundle: &bundle, env };
        let (label, listener) = (self.step.label.as_str(), session.builder.listener);
        let reader = || {
            let mut last = std::collections::VecDeque::new();
            let mut reader = BufReader::new(read);
            let mut line = Vec::new();
            while let Ok(taken) =
                std::io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line)
            {
                if taken == 0 {
                    break;
                }
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches(['\n', '\r']).to_owned();
                line.clear();
                listener.hear(BuildEvent::Output { step: label, line: &text });
                if last.len() == LAST_LINES {
                    last.pop_front();
                }
                last.push_back(text);
            }
            Vec::from(last)
        };
        let mut connect = |pid| self.connect(process.network, id, pid);
        let (ended, output) = std::thread::scope(|scope| {
            let output = scope.spawn(reader);
            let ended = run_once(once, streams, id, &mut connect, &|| {
                // There is time while a process runs. What fails here fails at the end of the build.
                let _ = session.pending.flush();
                session.is_over()
            });
            (ended, output.join().unwrap_or_default())
        });
        self.disconnect(process.network, id);
        let ended = ended?;
        if session.is_over() {
            return Err(StepError::Cancelled);
        }
        let code = match ended {
            ExitStatus::Code(0) => return Ok(()),
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => 128 + signal,
            ExitStatus::Unknown => 255,
        };
        Err(StepError::Exit { code, output })
    }

    pub(crate) fn disconnect(&self, network: StepNetwork, id: &ContainerId) {
        if network == StepNetwork::Private {
            // What stays is found by gc.
            let _ = network::disconnect(&self.session.builder.leases, id.as_str());
        }
    }

    pub(crate) fn connect(
        &self,
        network: StepNetwork,
        id: &ContainerId,
        pid: u32,
    ) -> std::io::Result<Vec<OwnedFd>> {
        if network != StepNetwork::Private {
            return Ok(Vec::new());
        }
        let builder = self.session.builder;
        let wanted = Private { publish: Vec::new(), programs: builder.programs.clone() };
        match network::connect(&builder.leases, id.as_str(), pid, &wanted, Way::Auto) {
            Ok(connected) => {
                for text in &connected.notices {
                    self.tell(BuildEvent::Notice { text });
                }
                Ok(connected.reserved)
            }
            Err(error) => {
                let text = format!("the step has no network: {error}");
                self.tell(BuildEvent::Notice { text: &text });
                Ok(Vec::new())
            }
        }
    }
}

/// What is told of a process: its variables one by one.
fn told(process: &Process) -> Vec<KeyInput> {
    let mut told = vec![
        KeyInput::of_text("command", &process.args.join(" ")),
        KeyInput::of_text("network", &format!("{:?}", process.network)),
    ];
    let script = process.script.iter();
    told.extend(
        script.map(|(name, data)| KeyInput::of_bytes(format!("here-document {name}"), data)),
    );
    let variables = process.env.iter();
    told.extend(variables.map(|(name, value)| KeyInput::of_variable(name, value)));
    told
}
