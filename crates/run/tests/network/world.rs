//! The machine, the internet and the containers of a test.

use corten_run::network::{Connected, NetworkError, Private, Publish, Way, connect};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The machine's address towards the internet, and the internet's.
pub(crate) const MACHINE: &str = "203.0.113.1";
pub(crate) const INTERNET: &str = "203.0.113.2";
/// How long an answer may take, and how long silence must last to be silence.
const PATIENCE: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(1500);

/// A process in a network namespace of its own.
pub(crate) struct Space(Child);

impl Space {
    pub(crate) fn new() -> Self {
        Self::with(&["-n"])
    }

    /// With a user namespace too.
    pub(crate) fn of_user() -> Self {
        Self::with(&["-U", "-r", "-n"])
    }

    fn with(options: &[&str]) -> Self {
        let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
        let mut command = Command::new("unshare");
        command.args(options).args(["--", "sleep", "600"]).stdin(Stdio::null());
        let space = Self(command.spawn().expect("unshare"));
        let begin = Instant::now();
        // When it has become `sleep`, every namespace is there.
        while !fs::read_to_string(format!("/proc/{}/comm", space.pid()))
            .unwrap()
            .starts_with("sleep")
            || fs::read_link(space.file()).unwrap() == own
        {
            assert!(begin.elapsed() < Duration::from_secs(20), "no namespace");
            std::thread::sleep(Duration::from_millis(2));
        }
        space
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }

    /// Runs something in the namespace, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let file = File::open(self.file()).unwrap();
        std::thread::scope(|scope| {
            let run = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                act()
            });
            run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A machine with an uplink, the internet behind it, and a place for leases.
pub(crate) struct World {
    pub(crate) machine: Space,
    pub(crate) internet: Space,
    pub(crate) place: tempfile::TempDir,
}

impl World {
    /// `None`, told on stderr, where this cannot be made.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/usr/sbin/ip").exists() {
            eprintln!("skipped: networks need root and /usr/sbin/ip");
            return None;
        }
        let world = Self {
            machine: Space::new(),
            internet: Space::new(),
            place: tempfile::tempdir().unwrap(),
        };
        let far = world.internet.pid().to_string();
        world.machine.run(|| {
            fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
            ip("link set lo up");
            ip(&format!("link add wan mtu 1400 type veth peer name wan netns {far}"));
            ip("addr add 203.0.113.1/24 dev wan");
            ip("link set wan up");
        });
        world.internet.run(|| {
            ip("link set lo up");
            ip("addr add 203.0.113.2/24 dev wan");
            ip("link set wan up");
        });
        world.machine.run(|| ip("route add default via 203.0.113.2"));
        Some(world)
    }

    pub(crate) fn try_connect(
        &self,
        id: &str,
        space: &Space,
        publish: &[Publish],
    ) -> Result<Connected, NetworkError> {
        let wanted = Private { publish: publish.to_vec(), programs: Vec::new() };
        self.machine.run(|| connect(self.place.path(), id, space.pid(), &wanted, Way::Bridge))
    }

    pub(crate) fn connect(&self, id: &str, publish: &[Publish]) -> (Space, Connected) {
        let space = Space::new();
        let connected = self.try_connect(id, &space, publish).unwrap();
        (space, connected)
    }

    pub(crate) fn disconnect(&self, id: &str) {
        self.machine.run(|| corten_run::network::disconnect(self.place.path(), id)).unwrap();
    }

    pub(crate) fn collect(&self, alive: &(dyn Fn(&str) -> bool + Sync)) {
        let collected = || corten_run::network::collect(self.place.path(), &|id| alive(id));
        self.machine.run(collected).unwrap();
    }

    /// The names of the machine's links.
    pub(crate) fn links(&self) -> Vec<String> {
        let text = self.machine.run(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let names =
            text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
        names.collect()
    }

    /// How many leases there are.
    pub(crate) fn leases(&self) -> usize {
        fs::read_dir(self.place.path().join("leases")).unwrap().count()
    }
}

/// A program of the peers, as the kit of tests finds it: `CORTEN_PEERS` names their tree, and with the
/// value `required` it is the usual one and must be there. `None`, told on stderr, where it is missing.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let setting = std::env::var("CORTEN_PEERS").unwrap_or_default();
    let tree =
        if ["", "required"].contains(&&*setting) { "/var/lib/corten-peers" } else { &setting };
    let path = Path::new(tree).join("bin").join(name);
    if path.is_file() {
        return Some(path);
    }
    assert!(setting != "required", "peer {name} is required and not at {}", path.display());
    eprintln!("skipped: peer {name} is missing");
    None
}

pub(crate) fn tcp(host: u16, container: u16) -> Publish {
    Publish { address: None, host, container, udp: false }
}

pub(crate) fn udp(host: u16, container: u16) -> Publish {
    Publish { udp: true, ..tcp(host, container) }
}

pub(crate) fn ip(arguments: &str) {
    let done = Command::new("/usr/sbin/ip").args(arguments.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A server of a namespace that tells every visitor its name and the visitor's address.
pub(crate) fn serve(space: &Space, port: u16, name: &'static str) {
    let listener = space.run(|| TcpListener::bind(("0.0.0.0", port)).unwrap());
    std::thread::spawn(move || {
        for visit in listener.incoming() {
            let mut visit = visit.unwrap();
            let from = visit.peer_addr().unwrap().ip();
            let _ = write!(visit, "{name} sees {from}");
        }
    });
}

/// The same over UDP.
pub(crate) fn serve_udp(space: &Space, port: u16, name: &'static str) {
    let socket = space.run(|| UdpSocket::bind(("0.0.0.0", port)).unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(format!("{name} sees {}", from.ip()).as_bytes(), from);
        }
    });
}

/// What a server says to a visitor from a namespace; the error's kind in words when there is none.
pub(crate) fn visit(space: &Space, address: impl ToString, port: u16) -> String {
    visit_within(space, address, port, PATIENCE)
}

/// Whether nobody answers a visitor, not even with a refusal.
pub(crate) fn silent(space: &Space, address: impl ToString, port: u16) -> bool {
    visit_within(space, address, port, SILENCE) == "timed out"
}

fn visit_within(space: &Space, address: impl ToString, port: u16, patience: Duration) -> String {
    let address: SocketAddr = SocketAddr::new(address.to_string().parse().unwrap(), port);
    space.run(|| {
        let said = TcpStream::connect_timeout(&address, patience).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        });
        said.unwrap_or_else(|error| error.kind().to_string())
    })
}

/// The same over UDP.
pub(crate) fn visit_udp(space: &Space, address: impl ToString, port: u16) -> String {
    let address: SocketAddr = SocketAddr::new(address.to_string().parse().unwrap(), port);
    space.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 64];
        let said = socket
            .connect(address)
            .and_then(|()| socket.send(b"?"))
            .and_then(|_| socket.recv(&mut buffer));
        match said {
            Ok(length) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
            Err(error) => error.kind().to_string(),
        }
    })
}

pub(crate) fn address(connected: &Connected) -> IpAddr {
    connected.address.unwrap()
}
