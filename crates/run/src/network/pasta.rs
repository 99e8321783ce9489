//! The way of everybody: the program pasta speaks for the container, with sockets of its own.
//!
//! It is told the namespace by a path below `/proc/PID` and watches it: it ends by itself within a second
//! of the container's first process, whatever becomes of us.

use super::error::{Doing, NetworkError};
use super::lease::{Leases, Slot, Tenant};
use super::{Connected, Private, Publish, Way, resolver};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = "pasta";
/// How long it may take until everything is set up and it goes to the background.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(1);
/// The most of its messages, or of a file of `/proc`, that is read.
const MAX_TEXT: u64 = 64 << 10;

/// Connects a container; after an error nothing of it stays.
pub(super) fn connect(
    leases: &Leases,
    id: &str,
    pid: u32,
    wanted: &Private,
) -> Result<Connected, NetworkError> {
    let program = find(&wanted.programs)?;
    let start = crate::procfs::start_time(pid).ok_or(NetworkError::Gone(pid))?;
    let held = leases.lock()?;
    super::drop_tenants(leases, &held, |tenant| tenant == id)?;
    // The sockets are let go: pasta binds the ports itself, and says so when it cannot.
    let (publish, _) = super::take_ports(leases, &held, &wanted.publish, Way::Pasta)?;
    let tenant = Tenant {
        id: id.to_owned(),
        address: None,
        publish: publish.clone(),
        pid,
        start,
        pasta: None,
    };
    leases.keep(&held, &tenant)?;
    drop(held);
    let spoken = run(leases, &program, &tenant);
    let held = leases.lock()?;
    match spoken {
        Ok(pasta) => leases.keep(&held, &Tenant { pasta, ..tenant })?,
        Err(error) => {
            // The first error says more than one of cleaning up; `collect` comes back for what stays.
            let _ = drop_tenant(leases, &tenant.slot());
            return Err(error);
        }
    }
    Ok(Connected {
        way: Way::Pasta,
        address: address(&text(format!("/proc/{pid}/net/fib_trie"))).map(IpAddr::V4),
        gateway: gateway(&text(format!("/proc/{pid}/net/route"))).map(IpAddr::V4),
        resolvers: resolver::resolvers(Way::Pasta),
        publish,
        reserved: Vec::new(),
        notices: Vec::new(),
    })
}

/// Ends the pasta of one lease and removes the lease.
pub(super) fn drop_tenant(leases: &Leases, slot: &Slot) -> Result<(), NetworkError> {
    let noted = leases.tenant(slot).and_then(|tenant| tenant.pasta);
    // Killed before it was noted, the pid stands in pasta's own file alone; that it is a pasta is seen by
    // its name, for the number may be somebody else's by now.
    let pid = noted.map(|(pid, _)| pid).or_else(|| read_pid(leases, &slot.id));
    if let Some(pid) = pid
        && match noted {
            Some((pid, start)) => crate::procfs::start_time(pid) == Some(start),
            None => text(format!("/proc/{pid}/comm")).trim_end().starts_with(PROGRAM),
        }
    {
        end(pid).doing(|| format!("end pasta, process {pid}"))?;
    }
    leases.remove(&pid_file(&slot.id))?;
    leases.remove(&message_file(&slot.id))?;
    leases.release(slot)
}

fn find(programs: &[PathBuf]) -> Result<PathBuf, NetworkError> {
    let candidates = programs.iter().map(|directory| directory.join(PROGRAM));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let names: Vec<String> = programs.iter().map(|path| path.display().to_string()).collect();
        NetworkError::PastaMissing(names.join(":"))
    })
}

/// Runs it until it is in the background; gives its process and when that started.
fn run(
    leases: &Leases,
    program: &Path,
    tenant: &Tenant,
) -> Result<Option<(u32, u64)>, NetworkError> {
    let messages = leases.path(&message_file(&tenant.id));
    let said = crate::place::create(&messages).doing(|| format!("write {}", messages.display()))?;
    let mut child = Command::new(program)
        .args(arguments(tenant))
        .arg("--pid")
        .arg(leases.path(&pid_file(&tenant.id)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .doing(|| format!("run {}", program.display()))?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().doing(|| "wait for pasta".to_owned())? {
            break Some(status);
        }
        if began.elapsed() > PATIENCE {
            // It is ours and not waited for, so the number is still its own.
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(PAUSE);
    };
    if status.is_some_and(|status| status.success()) {
        let pid = read_pid(leases, &tenant.id);
        return Ok(pid.and_then(|pid| Some((pid, crate::procfs::start_time(pid)?))));
    }
    let mut message = text(&messages).trim_end().to_owned();
    match status {
        None => message.push_str(" (it was not ready in time)"),
        Some(status) if message.is_empty() => message.push_str(&status.to_string()),
        Some(_) => {}
    }
    Err(NetworkError::Pasta { path: program.to_owned(), message })
}

fn arguments(tenant: &Tenant) -> Vec<String> {
    let pid = tenant.pid;
    let mut arguments: Vec<String> =
        ["--quiet", "--config-net", "--no-map-gw"].into_iter().map(str::to_owned).collect();
    arguments.extend(["--dns-forward".to_owned(), resolver::FORWARDED.to_string()]);
    for udp in [false, true] {
        let option = if udp { "-u" } else { "-t" };
        let ports: Vec<&Publish> = tenant.publish.iter().filter(|port| port.udp == udp).collect();
        if ports.is_empty() {
            arguments.extend([option.to_owned(), "none".to_owned()]);
        }
        for port in ports {
            arguments.extend([option.to_owned(), forward(port)]);
        }
    }
    // What listens on the machine's loopback is not the container's.
    arguments.extend(["-T", "none", "-U", "none"].map(str::to_owned));
    let user = format!("/proc/{pid}/ns/user");
    if fs::read_link(&user).ok() == fs::read_link("/proc/self/ns/user").ok() {
        arguments.push("--netns-only".to_owned());
    } else {
        arguments.extend(["--userns".to_owned(), user]);
    }
    if rustix::process::geteuid().is_root() {
        // Another user could not enter the namespace; pasta gives its privileges up itself.
        arguments.extend(["--runas", "0:0"].map(str::to_owned));
    }
    arguments.extend(["--netns".to_owned(), format!("/proc/{pid}/ns/net")]);
    arguments
}

fn forward(port: &Publish) -> String {
    let mut text = String::new();
    if let Some(address) = port.address {
        // Writing to a string cannot fail.
        let _ = write!(text, "{address}/");
    }
    let _ = write!(text, "{}:{}", port.host, port.container);
    text
}

fn pid_file(id: &str) -> String {
    format!("pasta-{id}.pid")
}

fn message_file(id: &str) -> String {
    format!("pasta-{id}.err")
}

fn read_pid(leases: &Leases, id: &str) -> Option<u32> {
    text(leases.path(&pid_file(id))).trim().parse().ok()
}

/// Ends a process that is known to be the right one; one that has ended is none the worse.
fn end(pid: u32) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let sent = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .and_then(|process| rustix::process::pidfd_send_signal(process, Signal::TERM));
    match sent {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

fn text(path: impl AsRef<Path>) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What cannot be read says nothing; every reader here lives with that.
        let _ = file.take(MAX_TEXT).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first address in a `fib_trie` that is not of the loopback.
fn address(trie: &str) -> Option<Ipv4Addr> {
    let lines: Vec<&str> = trie.lines().map(str::trim).collect();
    lines.windows(2).find_map(|pair| match pair {
        [leaf, "/32 host LOCAL"] => {
            let address: Ipv4Addr = leaf.strip_prefix("|-- ")?.parse().ok()?;
            (!address.is_loopback()).then_some(address)
        }
        _ => None,
    })
}

/// The gateway of the default route in a `net/route`, which writes addresses as the machine's numbers.
fn gateway(routes: &str) -> Option<Ipv4Addr> {
    routes.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ["00000000", gateway] = fields.get(1..3)? else { return None };
        let bytes = u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes();
        (bytes != [0; 4]).then(|| bytes.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_gateway_are_read_as_the_kernel_writes_them() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                    Local:\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.0\n        \
                    /24 link UNICAST\n     |-- 192.0.2.2\n        /32 host LOCAL\n";
        assert_eq!(address(trie), Some(Ipv4Addr::new(192, 0, 2, 2)));
        assert_eq!(address("|-- x\n/32 host LOCAL"), None);
        let number = u32::from_ne_bytes([192, 0, 2, 1]);
        let routes = format!("Iface\tDestination\tGateway\neth0\t00000000\t{number:08X}\t0003\n");
        assert_eq!(gateway(&routes), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(gateway("Iface\neth0"), None);
    }

    #[test]
    fn a_port_is_said_as_pasta_reads_it() {
        let port = |address: Option<&str>| Publish {
            address: address.map(|address| address.parse().unwrap()),
            host: 8080,
            container: 80,
            udp: false,
        };
        assert_eq!(forward(&port(None)), "8080:80");
        assert_eq!(forward(&port(Some("127.0.0.1"))), "127.0.0.1/8080:80");
    }
}
