//! The life of containers from a command line, as small as it can be: the tests drive it, and it shows how a
//! program uses this crate. The root file system of its containers is an overlay over a directory.
//!
//! ```text
//! life ROOT VERB [--flag=value …] [ID] [WORD …]
//! ```

use corten_run::{
    Ask, Attach, Clock, Condition, Container, ContainerId, Containers, Enforcement, ExecRequest,
    Follow, Freeze, HealthCheck, IfRunning, Interaction, LogLimits, LogQuery, Member, Parted,
    PodAsk, PodCondition, Prepare, Prepared, RestartPolicy, RuntimeChoice, Timestamp,
};
use rustix::mount::{MountFlags, mount};
use serde_json::{Value, json};
use std::error::Error;
use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type Answer = Result<i32, Box<dyn Error>>;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Mounts an overlay over the directory of the recipe, and writes the config of the recipe.
struct Overlay;

impl Prepare for Overlay {
    fn prepare(
        &self,
        container: &Container,
        directory: &Path,
        _: &(dyn Fn() -> bool + Sync),
    ) -> io::Result<()> {
        let text = |name: &str| {
            let value = container.asked.recipe.get(name).and_then(Value::as_str);
            value.ok_or_else(|| io::Error::other(format!("the recipe has no {name}")))
        };
        let root = directory.join("bundle/rootfs");
        for place in [&root, &directory.join("upper"), &directory.join("work")] {
            std::fs::create_dir_all(place)?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            text("lower")?,
            directory.join("upper").display(),
            directory.join("work").display()
        );
        let options = CString::new(options)?;
        mount("overlay", &root, "overlay", MountFlags::empty(), options.as_c_str())?;
        let mut config = container.asked.recipe.get("config").cloned().unwrap_or_default();
        let volume = container.asked.recipe.get("volume").and_then(Value::as_str);
        if let (Some(volume), Some(mounts)) =
            (volume, config.pointer_mut("/mounts").and_then(Value::as_array_mut))
        {
            // By the pod's own directory: `pod_volume` says the same to who has the root at hand.
            let pod = container.asked.pod.as_ref().map_or("", |pod| pod.as_str());
            let pods = directory.ancestors().nth(2).unwrap_or(directory).join("pods");
            let source = pods.join(pod).join("volumes").join(volume);
            mounts.push(json!({ "destination": "/shared", "type": "bind", "source": source, "options": ["rbind"] }));
        }
        std::fs::write(directory.join("bundle/config.json"), config.to_string())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = corten_engine::stage(&arguments) {
        return code;
    }
    if let Some(code) = corten_run::monitor(&arguments, now as Clock, &Overlay, &Prepared) {
        return code;
    }
    match run(&arguments) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(error) => {
            tell(error.as_ref());
            let code = error.downcast_ref::<corten_run::RunError>().map(|error| error.exit_code());
            ExitCode::from(code.unwrap_or(125))
        }
    }
}

#[allow(clippy::print_stderr)]
fn tell(error: &dyn Error) {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("life: {text}");
}

/// The words after the verb: flags, then plain ones.
struct Words {
    flags: Vec<(String, String)>,
    plain: Vec<String>,
}

impl Words {
    fn parse(arguments: &[OsString]) -> Self {
        let (mut flags, mut plain) = (Vec::new(), Vec::new());
        for word in arguments.iter().map(|word| word.to_string_lossy().into_owned()) {
            match word.strip_prefix("--").filter(|_| plain.is_empty()) {
                Some(flag) => {
                    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
                    flags.push((name.to_owned(), value.to_owned()));
                }
                None => plain.push(word),
            }
        }
        Self { flags, plain }
    }

    fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.flag(name).is_some()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.flag(name)?.parse().ok()
    }

    fn milliseconds(&self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_millis)
    }

    fn interaction(&self) -> Interaction {
        if self.has("interactive") { Interaction::Talk } else { Interaction::Watch }
    }
}

#[allow(clippy::print_stdout)]
fn run(arguments: &[OsString]) -> Answer {
    let (Some(root), Some(verb)) = (arguments.get(1), arguments.get(2)) else {
        return Err("life ROOT VERB …".into());
    };
    let containers = Containers::open(Path::new(root), now as Clock)?;
    let words = Words::parse(arguments.get(3..).unwrap_or_default());
    let id = || containers.find(words.plain.first().map_or("", String::as_str));
    let rest = || words.plain.iter().skip(1).cloned().collect::<Vec<String>>();
    match verb.to_str().unwrap_or_default() {
        "create" => println!("{}", create(&containers, &words)?),
        "run" => {
            let id = create(&containers, &words)?;
            let ended = corten_run::foreground(&containers, &id, &Overlay, words.interaction())?;
            return Ok(ended.code());
        }
        "foreground" => {
            let ended = corten_run::foreground(&containers, &id()?, &Overlay, words.interaction())?;
            return Ok(ended.code());
        }
        "start" => println!("{}", corten_run::start(&containers, &id()?)?),
        "revive" => {
            for (id, started) in corten_run::revive(&containers)? {
                println!("{id} {}", started?);
            }
        }
        "stop" => corten_run::stop(&containers, &id()?, words.milliseconds("timeout"))?,
        "kill" => {
            let signal = rest().first().and_then(|word| word.parse().ok()).unwrap_or(15);
            corten_run::kill(&containers, &id()?, signal)?;
        }
        "wait" => return wait(&containers, &id()?, &words),
        "pause" => corten_run::freeze(&containers, &id()?, Freeze::Pause)?,
        "resume" => corten_run::freeze(&containers, &id()?, Freeze::Resume)?,
        "processes" => println!("{:?}", corten_run::processes(&containers, &id()?)?),
        "stats" => {
            println!("{}", serde_json::to_string(&corten_run::stats(&containers, &id()?)?)?);
        }
        "rename" => {
            let names = rest();
            corten_run::rename(&containers, &id()?, names.first().map_or("", String::as_str))?;
        }
        "remove" => {
            let running = if words.has("force") { IfRunning::Kill } else { IfRunning::Refuse };
            corten_run::remove(&containers, &id()?, running)?;
        }
        "collect" => {
            let grace = words.milliseconds("grace").unwrap_or_default();
            let gone = corten_run::collect(&containers, grace, now())?;
            gone.iter().for_each(|id| println!("{id}"));
        }
        "pod" => return pod(&containers, &words),
        "measure" => measure(&containers, &words)?,
        "exec" => return exec(&containers, &id()?, &words, rest()),
        "attach" => return attach(&containers, &id()?, &words),
        "inspect" | "list" | "logs" | "events" => show(&containers, verb, &words)?,
        other => return Err(format!("unknown verb {other}").into()),
    }
    Ok(0)
}

fn create(containers: &Containers, words: &Words) -> Result<ContainerId, Box<dyn Error>> {
    Ok(corten_run::create(containers, asked_of(words), &mut |_| Ok(()))?)
}

fn asked_of(words: &Words) -> Ask {
    let runtime = match words.flag("runtime") {
        Some(path) => RuntimeChoice::Binary { path: PathBuf::from(path) },
        None => RuntimeChoice::Engine,
    };
    let mut asked = Ask::new(runtime);
    asked.name = words.flag("name").map(str::to_owned);
    asked.terminal = words.has("terminal");
    asked.open_stdin = words.has("interactive");
    asked.remove_at_end = words.has("rm");
    asked.enforcement =
        if words.has("waive") { Enforcement::Waived } else { Enforcement::Required };
    let retries = words.number("retries").and_then(|number| u32::try_from(number).ok());
    asked.restart = match words.flag("restart") {
        Some("always") => RestartPolicy::Always,
        Some("unless-stopped") => RestartPolicy::UnlessStopped,
        Some("on-failure") => RestartPolicy::OnFailure { retries },
        _ => RestartPolicy::No,
    };
    if let Some(command) = words.flag("health") {
        asked.health = Some(HealthCheck {
            command: vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()],
            interval: Duration::from_millis(100),
            timeout: words.milliseconds("health-timeout").unwrap_or(Duration::from_secs(2)),
            start_period: Duration::ZERO,
            retries: 2,
        });
    }
    if let Some(file_bytes) = words.number("log-bytes") {
        asked.log = LogLimits { file_bytes, files: 3 };
    }
    let lower = words.flag("lower").unwrap_or_default();
    asked.recipe =
        json!({ "lower": lower, "volume": words.flag("volume"), "config": config(words) });
    asked
}

fn config(words: &Words) -> Value {
    let rights = json!(["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_DAC_OVERRIDE"]);
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": { "uid": words.number("uid").unwrap_or(0), "gid": 0 },
            "args": words.plain,
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "terminal": words.has("terminal"),
            "noNewPrivileges": true,
            "capabilities": { "bounding": rights, "effective": rights, "permitted": rights }
        },
        "root": { "path": "rootfs" },
        "hostname": "box",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] }
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }
            ],
            "maskedPaths": ["/proc/keys"],
            "readonlyPaths": ["/proc/sys"]
        }
    })
}

/// `pod create NAME SCRIPT …`, each script a member; `pod start|stop|remove|status|ready|exited NAME`.
#[allow(clippy::print_stdout)]
fn pod(containers: &Containers, words: &Words) -> Answer {
    let verb = words.plain.first().map_or("", String::as_str);
    let name = words.plain.get(1).map_or("", String::as_str);
    if verb == "create" {
        let asked = PodAsk {
            name: name.to_owned(),
            volumes: words.flag("volume").map(str::to_owned).into_iter().collect(),
            ..PodAsk::default()
        };
        let mut fills: Vec<_> = words.plain.iter().skip(2).map(|_| |_: &Path| Ok(())).collect();
        let mut members = Vec::new();
        for (script, fill) in words.plain.iter().skip(2).zip(&mut fills) {
            let member = Words {
                flags: words.flags.clone(),
                plain: ["sh", "-c", script].map(str::to_owned).to_vec(),
            };
            members.push(Member { asked: asked_of(&member), fill });
        }
        println!("{}", corten_run::create_pod(containers, asked, &mut members)?);
        return Ok(0);
    }
    let pod = corten_run::find_pod(containers, name)?;
    let within = words.milliseconds("within");
    let status = match verb {
        "start" => corten_run::start_pod(containers, &pod.id).map(|()| None)?,
        "stop" => {
            let timeout = words.milliseconds("timeout");
            corten_run::stop_pod(containers, &pod.id, timeout).map(|()| None)?
        }
        "remove" => {
            let running = if words.has("force") { IfRunning::Kill } else { IfRunning::Refuse };
            corten_run::remove_pod(containers, &pod.id, running).map(|()| None)?
        }
        "ready" => Some(corten_run::wait_pod(containers, &pod.id, PodCondition::Ready, within)?),
        "exited" => Some(corten_run::wait_pod(containers, &pod.id, PodCondition::Exited, within)?),
        _ => Some(corten_run::pod_status(containers, &pod.id)?),
    };
    if let Some(status) = status {
        let members: Vec<Value> = status
            .members
            .iter()
            .map(|member| json!({ "id": member.container.id, "status": member.status }))
            .collect();
        let (holder, ready) = (status.holder, status.is_ready());
        println!("{}", json!({ "holder": holder, "ready": ready, "members": members }));
    }
    Ok(0)
}

/// How long a foreground run takes, and how long the engine alone: medians of thirty, in microseconds.
#[allow(clippy::print_stdout)]
fn measure(containers: &Containers, words: &Words) -> Result<(), Box<dyn Error>> {
    let engine = corten_engine::Engine {
        root: containers.root().join("measured"),
        program: PathBuf::from("/proc/self/exe"),
        groups: corten_engine::Groups::Auto,
        unenforced: corten_engine::Unenforced::Refuse,
        tell: |_| (),
    };
    let bundle = containers.root().join("measured-bundle");
    std::fs::create_dir_all(&bundle)?;
    let mut config = config(words);
    if let Some(path) = config.pointer_mut("/root/path") {
        *path = json!(words.flag("lower"));
    }
    std::fs::write(bundle.join("config.json"), config.to_string())?;
    let mut taken = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..30 {
        let begun = std::time::Instant::now();
        let wanted = corten_engine::Create {
            id: "one".to_owned(),
            bundle: bundle.clone(),
            ..corten_engine::Create::default()
        };
        let state = corten_engine::create(&engine, &wanted)?;
        corten_engine::start(&engine, "one")?;
        corten_engine::wait(state.pid().unwrap_or(0))?;
        corten_engine::delete(&engine, "one", corten_engine::Force::Yes)?;
        let alone = begun.elapsed();
        let begun = std::time::Instant::now();
        let id = create(containers, words)?;
        let created = begun.elapsed();
        corten_run::foreground(containers, &id, &Overlay, Interaction::Watch)?;
        let ran = begun.elapsed();
        if !words.has("rm") {
            corten_run::remove(containers, &id, IfRunning::Refuse)?;
        }
        let all = [alone, created, ran - created, begun.elapsed() - ran];
        taken.iter_mut().zip(all).for_each(|(taken, one)| taken.push(one.as_micros()));
    }
    for (name, mut taken) in ["engine alone", "create", "foreground", "remove"].iter().zip(taken) {
        taken.sort_unstable();
        println!(
            "{name:12} {:6} least {:6}",
            taken.get(15).unwrap_or(&0),
            taken.first().unwrap_or(&0)
        );
    }
    Ok(())
}

fn wait(containers: &Containers, id: &ContainerId, words: &Words) -> Answer {
    let condition = match words.flag("for").unwrap_or("exited") {
        "running" => Condition::Running,
        "healthy" => Condition::Healthy,
        "removed" => Condition::Removed,
        _ => Condition::Exited,
    };
    let ended = corten_run::wait(containers, id, condition, words.milliseconds("within"))?;
    Ok(ended.map_or(0, |ended| ended.code()))
}

fn exec(containers: &Containers, id: &ContainerId, words: &Words, args: Vec<String>) -> Answer {
    let user = words.number("uid").map(|uid| json!({ "uid": uid, "gid": 0 }));
    let wanted = ExecRequest {
        args,
        env: words.flag("env").map(str::to_owned).into_iter().collect(),
        cwd: words.flag("cwd").map(PathBuf::from),
        user: user.map(serde_json::from_value).transpose()?,
        terminal: words.has("terminal"),
        interactive: words.has("interactive"),
        detach: words.has("detach"),
    };
    Ok(corten_run::exec(containers, id, &wanted)?.code())
}

fn attach(containers: &Containers, id: &ContainerId, words: &Words) -> Answer {
    let how = Attach { interaction: words.interaction(), replay: words.has("replay") };
    match corten_run::attach(containers, id, how)? {
        Parted::Ended(status) => Ok(status.code()),
        Parted::Left => Ok(0),
    }
}

#[allow(clippy::print_stdout)]
fn show(containers: &Containers, verb: &OsString, words: &Words) -> Result<(), Box<dyn Error>> {
    let follow = if words.has("follow") { Follow::Yes } else { Follow::No };
    let id = || containers.find(words.plain.first().map_or("", String::as_str));
    match verb.to_str().unwrap_or_default() {
        "inspect" => {
            let listed = corten_run::inspect(containers, &id()?)?;
            let (name, id) = (&listed.name, &listed.container.id);
            println!("{}", json!({ "id": id, "name": name, "status": listed.status }));
        }
        "list" => {
            for listed in corten_run::list(containers, &|_| true)? {
                println!("{} {} {}", listed.container.id, listed.name, listed.status.state.word());
            }
        }
        "logs" => {
            let tail = words.number("tail").and_then(|number| usize::try_from(number).ok());
            let query = LogQuery { follow, since: Timestamp(0), tail, stream: None };
            let mut out = io::stdout().lock();
            corten_run::logs(containers, &id()?, query, &mut |line| {
                out.write_all(&line.bytes).and_then(|()| out.flush()).is_ok()
            })?;
        }
        _ => corten_run::events(containers, follow, Timestamp(0), &mut |event| {
            let code = event.code.map(|code| format!(" {code}")).unwrap_or_default();
            println!("{} {}{code}", event.id, event.what);
            true
        })?,
    }
    Ok(())
}
