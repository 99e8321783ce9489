//! The peers of this machine: real tools of the field, to meet in tests.
//!
//! `CORTEN_PEERS` names the tree they are installed in; with the value `required` it is the usual
//! tree, and a peer that is missing fails the test. Otherwise a missing peer is told on stderr, one
//! line each time, and the test counts as skipped.

use std::ffi::OsStr;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::scratch::{Scratch, scratch};

/// Where the peers are unless `CORTEN_PEERS` says otherwise.
const USUAL_TREE: &str = "/var/lib/corten-peers";
/// Longest run of a peer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest end of a registry.
const END: Duration = Duration::from_secs(5);
/// Longest start of a registry.
const START: Duration = Duration::from_secs(30);

/// A tool that is installed here.
#[derive(Clone, Debug)]
pub struct Peer {
    name: String,
    path: PathBuf,
}

/// How a peer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Peer {
    /// The peer `name`, or `None`, told on stderr. Panics where peers are required.
    pub fn find(name: &str) -> Option<Self> {
        let setting = std::env::var("CORTEN_PEERS").ok();
        match Self::find_in(name, setting.as_deref()) {
            Ok(peer) => Some(peer),
            Err(Missing::Skipped) => {
                tell(&format!("skipped: peer {name} is missing"));
                None
            }
            Err(Missing::Required(path)) => {
                panic!("peer {name} is required and not at {}", path.display())
            }
        }
    }

    /// The docker client with an engine that answers it, started if none did; it stays when the
    /// test ends, as it may serve others. `None`, told on stderr, where either is missing.
    pub fn docker() -> Option<Self> {
        let docker = Self::find("docker")?;
        let tree = docker.path.parent()?.parent()?;
        let mut start = Command::new(tree.join("peers"));
        start.arg("dockerd").env("CORTEN_PEERS", tree).stdin(Stdio::null());
        let started = finished("peers dockerd", start);
        assert!(started.code == Some(0), "the Docker engine does not start: {started:?}");
        Some(docker)
    }

    /// The root of the tree that it is installed in.
    pub fn tree(&self) -> PathBuf {
        self.place().join("tree")
    }

    /// Where this machine sees what the peer sees, its mounts too: it is in a mount namespace of its own.
    pub fn root(&self) -> PathBuf {
        let place = self.place();
        let mut command = Command::new(place.join("peers"));
        let asked = command.arg("root").env("CORTEN_PEERS", &place).output().unwrap();
        assert!(asked.status.success(), "{asked:?}");
        PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim())
    }

    /// The folder of the peers.
    fn place(&self) -> PathBuf {
        self.path.ancestors().nth(2).map(PathBuf::from).unwrap_or_default()
    }

    /// The OCI layout with the real images `debian`, `python` and `build`, or `None`, told on
    /// stderr. Panics where peers are required.
    pub fn real_images() -> Option<PathBuf> {
        let setting = std::env::var("CORTEN_PEERS").ok();
        let layout = tree(setting.as_deref()).join("images/oci");
        if layout.join("index.json").is_file() {
            return Some(layout);
        }
        assert!(!required(setting.as_deref()), "no real images at {}", layout.display());
        tell("skipped: the real images are missing");
        None
    }

    fn find_in(name: &str, setting: Option<&str>) -> Result<Self, Missing> {
        let path = tree(setting).join("bin").join(name);
        match (path.is_file(), required(setting)) {
            (true, _) => Ok(Self { name: name.to_owned(), path }),
            (false, true) => Err(Missing::Required(path)),
            (false, false) => Err(Missing::Skipped),
        }
    }

    /// A command of the peer, with nothing on its standard input.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.stdin(Stdio::null());
        command
    }

    /// Runs the peer to its end, whatever that is. Panics when it takes longer than five minutes.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.command();
        command.args(arguments);
        finished(&self.name, command)
    }

    /// Runs the peer and gives its standard output. Panics unless it succeeds.
    pub fn succeed<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let ran = self.run(arguments);
        assert!(ran.code == Some(0), "{} failed: {ran:?}", self.name);
        ran.stdout
    }
}

fn required(setting: Option<&str>) -> bool {
    setting == Some("required")
}

/// Where the peers are installed.
fn tree(setting: Option<&str>) -> PathBuf {
    let named = setting.filter(|tree| !required(setting) && !tree.is_empty());
    PathBuf::from(named.unwrap_or(USUAL_TREE))
}

enum Missing {
    Skipped,
    Required(PathBuf),
}

#[allow(clippy::print_stderr)] // A test that was skipped must not look like one that passed.
fn tell(line: &str) {
    eprintln!("{line}");
}

fn finished(name: &str, mut command: Command) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let stdout = drained(child.stdout.take().unwrap());
    let stderr = drained(child.stderr.take().unwrap());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > PATIENCE {
            kill_group(&mut child);
            panic!("{name} took longer than {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ran { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Reads a pipe to its end, on a thread of its own so that a full pipe stops nobody.
fn drained(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Kills a child that leads a process group, with all of the group, and reaps it.
fn kill_group(child: &mut Child) {
    let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        // The group may be gone already.
        let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

/// The reference registry, running on loopback with a storage of its own; it ends when dropped, or
/// when the test process ends in whatever way.
#[derive(Debug)]
pub struct DockerRegistry {
    host: String,
    child: Child,
    scratch: Scratch,
}

impl DockerRegistry {
    /// Starts one that allows deletion and waits until it answers; `None`, told on stderr, where
    /// the peer is missing.
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// The same with more YAML at the end of its configuration.
    pub fn start_with(more: &str) -> Option<Self> {
        let peer = Peer::find("docker-registry")?;
        // Between choosing a port and listening on it another may take it.
        let started = (0..5).find_map(|_| Self::attempt(&peer, more));
        Some(started.expect("docker-registry starts"))
    }

    fn attempt(peer: &Peer, more: &str) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (scratch, host) = (scratch(), format!("127.0.0.1:{port}"));
        let storage = scratch.join("storage");
        std::fs::create_dir(&storage).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '{host}'}}\n{more}\n",
            storage.display()
        );
        let config = scratch.write("config.yml", config);
        let log = std::fs::File::create(scratch.join("log")).unwrap();
        // The shell ends the whole group as soon as its standard input ends: with this value, or
        // with this process.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "\"$@\" </dev/null & cat >/dev/null; kill -9 0", "sh"])
            .arg(&peer.path)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0);
        let child = command.spawn().expect("a shell");
        let registry = Self { host, child, scratch };
        let started = Instant::now();
        while started.elapsed() < START {
            if registry.answers() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Whether it is a registry that answers there, and not something else that took the port.
    fn answers(&self) -> bool {
        use std::io::Write as _;
        let ask = || -> std::io::Result<String> {
            let mut stream = std::net::TcpStream::connect(&self.host)?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains("Docker-Distribution-Api-Version"))
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A reference to an image here, `127.0.0.1:PORT/REST`.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host)
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("log")).unwrap_or_default()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        kill_group(&mut self.child);
        // Only the shell is ours to reap; the registry is gone when its port is.
        let started = Instant::now();
        while started.elapsed() < END && std::net::TcpStream::connect(&self.host).is_ok() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_peer_is_skipped_or_required() {
        let scratch = scratch();
        let tree = scratch.path().to_str().unwrap();
        assert!(matches!(Peer::find_in("skopeo", Some(tree)), Err(Missing::Skipped)));
        let required = Peer::find_in("no-such-peer", Some("required"));
        assert!(matches!(required, Err(Missing::Required(path)) if path.starts_with(USUAL_TREE)));
        scratch.write("bin/skopeo", "");
        let found = Peer::find_in("skopeo", Some(tree)).ok().unwrap();
        assert_eq!(found.path, scratch.join("bin/skopeo"));
    }

    #[test]
    fn a_peer_runs_to_its_end() {
        let peer = Peer { name: "sh".to_owned(), path: "/bin/sh".into() };
        let ran = peer.run(["-c", "echo out; echo err >&2; exit 3"]);
        let (stdout, stderr) = ("out\n".to_owned(), "err\n".to_owned());
        assert_eq!(ran, Ran { code: Some(3), stdout, stderr });
        assert_eq!(peer.succeed(["-c", "echo $0"]), "/bin/sh\n");
    }

    #[test]
    fn the_reference_registry_starts_and_ends() {
        let Some(registry) = DockerRegistry::start() else { return };
        assert!(registry.answers());
        let host = registry.host().to_owned();
        drop(registry);
        assert!(std::net::TcpStream::connect(host).is_err());
    }
}
