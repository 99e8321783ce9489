//! The process that holds the namespaces of a pod, so that its members may come and go.

use crate::error::{Doing, Result, RunError};
use crate::place::Place;
use crate::prepare::Hold;
use crate::sys::Caught;
use crate::{ContainerId, Containers, Pod, PodId, monitor, procfs};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// What its members share, in the words of the config and of `/proc`.
const SHARED: [(&str, &str); 3] = [("network", "net"), ("ipc", "ipc"), ("uts", "uts")];
/// How long a holder that was asked to end, or killed, may take to go.
const END: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
const HOLDER_FILE: &str = "holder.json";

/// `holder.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    boot: String,
    pid: u32,
    pid_start: u64,
}

/// Is the holder: makes the namespaces, says so, and stays until it is asked to end.
///
/// A thread of its own stays in the namespaces of the machine, from where the network of the pod is made.
pub(crate) fn hold(containers: &Containers, id: &ContainerId, holds: &dyn Hold) -> Result<()> {
    let mut report = monitor::keep_report()?;
    let asked = Caught::these(&[libc::SIGTERM])?;
    let pod = super::pod(containers, &PodId(id.clone()))?;
    thread::scope(|scope| {
        let (made, wait) = channel();
        let (tell, told) = channel();
        let outside = (&pod, holds, &asked);
        let outside = scope.spawn(move || stay_outside(outside, &wait, |held| tell.send(held)));
        let prepared = prepare(&pod).and_then(|()| {
            let died = || Err(io::Error::other("the thread that makes it died"));
            let connected =
                made.send(()).map_or_else(|_| died(), |()| told.recv().unwrap_or_else(|_| died()));
            connected.doing(|| format!("make the network of pod {}", pod.asked.name))
        });
        // Without word from here that thread ends.
        drop(made);
        // Who asked may be gone: then nobody needs what is held.
        let said = match &prepared {
            Ok(()) => note(containers, &pod)
                .and_then(|()| report.write_all(b"holding\n").doing(|| "report".to_owned())),
            Err(error) => Err(error_told(&mut report, error)),
        };
        drop(report);
        if said.is_err() && prepared.is_ok() {
            // The thread outside waits for nobody but who ends it.
            crate::sys::signal(std::process::id(), libc::SIGTERM)?;
        }
        let _ = outside.join();
        said
    })
}

/// Connects the namespaces when they are made, and stays until the end is asked for.
fn stay_outside<E>(
    (pod, holds, asked): (&Pod, &dyn Hold, &Caught),
    made: &Receiver<()>,
    tell: impl FnOnce(io::Result<()>) -> std::result::Result<(), E>,
) {
    if made.recv().is_err() {
        return;
    }
    let held = holds.held(pod, std::process::id());
    let kept = match held {
        Ok(kept) => kept,
        Err(error) => {
            let _ = tell(Err(error));
            return;
        }
    };
    if tell(Ok(())).is_ok() {
        loop {
            let _ = poll(&mut [PollFd::new(asked.pipe(), PollFlags::IN)], None);
            if rustix::io::read(asked.pipe(), &mut [0]).is_ok_and(|got| got > 0) {
                break;
            }
        }
    }
    holds.released(pod);
    drop(kept);
}

fn error_told(report: &mut impl Write, error: &RunError) -> RunError {
    let message = error.chain();
    // One that cannot be told is still the exit code.
    let _ = report.write_all(message.as_bytes());
    RunError::Runtime { verb: "hold", object: "namespaces".to_owned(), message, code: 125 }
}

fn prepare(pod: &Pod) -> Result<()> {
    crate::sys::new_namespaces()?;
    rustix::system::sethostname(pod.asked.hostname().as_bytes())
        .doing(|| "name the pod".to_owned())?;
    raise_loopback().doing(|| "bring the loopback interface of the pod up".to_owned())
}

fn note(containers: &Containers, pod: &Pod) -> Result<()> {
    let pid = std::process::id();
    let pid_start = procfs::start_time(pid).unwrap_or(0);
    containers.pod(&pod.id).write(HOLDER_FILE, &Holder { boot: procfs::boot(), pid, pid_start })
}

/// Sets the first interface up, by a message of rtnetlink(7): a header, `struct ifinfomsg`.
fn raise_loopback() -> io::Result<()> {
    /// `RTM_NEWLINK`; `NLM_F_REQUEST | NLM_F_ACK`; `IFF_UP`; the number of `lo` in every namespace.
    const NEW_LINK: u16 = 16;
    const REQUEST: u16 = 1 | 4;
    const UP: u32 = 1;
    const LOOPBACK: u32 = 1;
    const LENGTH: u32 = 32;
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    // A number for the answer, and no sender.
    message.extend([0; 8]);
    // Any family, any type of device.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    // The flags, and which of them are meant.
    message.extend(UP.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 512];
    let (got, _) = rustix::net::recv(&socket, &mut answer, rustix::net::RecvFlags::empty())?;
    // The answer is a header of 16 bytes and the number of the error, which is zero.
    let told = answer.get(..got).and_then(|answer| answer.get(16..20));
    match told.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(error.wrapping_neg())),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

/// The pid of the holder, while it is up.
pub(crate) fn alive(place: &Place) -> Result<Option<u32>> {
    let holder: Option<Holder> = place.read(HOLDER_FILE)?;
    Ok(holder
        .filter(|holder| {
            holder.boot == procfs::boot()
                && procfs::start_time(holder.pid) == Some(holder.pid_start)
        })
        .map(|holder| holder.pid))
}

/// Starts the holder of a pod if none is up.
pub(crate) fn begin(containers: &Containers, id: &PodId) -> Result<u32> {
    let place = containers.pod(id);
    if let Some(pid) = alive(&place)? {
        return Ok(pid);
    }
    let said = monitor::run_again(containers, (monitor::HOLDER, &id.0))?;
    let failed = |message: &str| RunError::Start {
        id: id.0.clone(),
        message: message.to_owned(),
        code: 125,
    };
    match (said.as_str(), alive(&place)?) {
        ("holding", Some(pid)) => Ok(pid),
        ("" | "holding", _) => Err(failed("the holder of its namespaces was killed")),
        (message, _) => Err(failed(message)),
    }
}

/// Ends the holder, if it is up, and waits for it: it takes the network of the pod away, and is killed when
/// that takes too long.
pub(crate) fn end(place: &Place) -> Result<()> {
    let ending = || format!("end the holder of pod {}", place.id);
    let holder: Option<Holder> = place.read(HOLDER_FILE)?;
    let pid = holder.as_ref().and_then(|holder| Pid::from_raw(i32::try_from(holder.pid).ok()?));
    if let Some(held) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        // Asked after the hold: the number cannot have gone to another process in between.
        && alive(place)?.is_some()
    {
        let goes = |signal| {
            let _ = pidfd_send_signal(&held, signal);
            let mut ends = [PollFd::new(&held, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut ends, Some(&END))).doing(ending)
        };
        if goes(Signal::TERM)? == 0 && goes(Signal::KILL)? == 0 {
            return Err(RunError::Late { id: place.id.clone(), verb: "let go of its namespaces" });
        }
    }
    place.clear(HOLDER_FILE)
}

/// Makes a member's config join the namespaces of its pod, which has the host name.
pub(crate) fn share(containers: &Containers, pod: &PodId, member: &Place) -> Result<()> {
    let Some(holder) = alive(&containers.pod(pod))? else {
        let state = "a member of a pod that is not up".to_owned();
        return Err(RunError::State { id: member.id.clone(), state, verb: "start" });
    };
    let path = member.bundle().join("config.json");
    let reading = || format!("read {}", path.display());
    let bytes = crate::place::read_bounded(&path).doing(reading)?;
    let damaged = |source| RunError::Damaged { path: path.clone(), source };
    let mut config: Value = serde_json::from_slice(&bytes).map_err(damaged)?;
    joined(&mut config, holder).doing(reading)?;
    let bytes = serde_json::to_vec(&config).map_err(damaged)?;
    crate::place::write(&path, &bytes).doing(|| format!("write {}", path.display()))
}

fn joined(config: &mut Value, holder: u32) -> io::Result<()> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not the config of a container");
    let config = config.as_object_mut().ok_or_else(wrong)?;
    config.remove("hostname");
    config.remove("domainname");
    let linux = config.entry("linux").or_insert_with(|| json!({}));
    let linux = linux.as_object_mut().ok_or_else(wrong)?;
    let all = linux.entry("namespaces").or_insert_with(|| json!([]));
    let all = all.as_array_mut().ok_or_else(wrong)?;
    // A member that has the network of the machine keeps it.
    let of_machine = !all.iter().any(|one| one.get("type") == Some(&json!("network")));
    all.retain(|one| SHARED.iter().all(|(kind, _)| one.get("type") != Some(&json!(kind))));
    all.extend(
        SHARED.iter().filter(|(kind, _)| *kind != "network" || !of_machine).map(
            |(kind, file)| json!({ "type": kind, "path": format!("/proc/{holder}/ns/{file}") }),
        ),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_joins_what_is_shared_and_keeps_the_rest() {
        let mut config = json!({
            "hostname": "own", "x": 1,
            "linux": { "namespaces": [{ "type": "pid" }, { "type": "network" }] }
        });
        joined(&mut config, 7).unwrap();
        let wanted = json!({
            "x": 1,
            "linux": { "namespaces": [
                { "type": "pid" },
                { "type": "network", "path": "/proc/7/ns/net" },
                { "type": "ipc", "path": "/proc/7/ns/ipc" },
                { "type": "uts", "path": "/proc/7/ns/uts" }
            ] }
        });
        assert_eq!(config, wanted);
        let mut config = json!({ "linux": { "namespaces": [{ "type": "ipc" }] } });
        joined(&mut config, 7).unwrap();
        let kinds = config["linux"]["namespaces"].as_array().unwrap().iter();
        assert_eq!(kinds.map(|one| &one["type"]).collect::<Vec<_>>(), ["ipc", "uts"]);
        assert!(joined(&mut json!([]), 7).is_err());
        assert!(joined(&mut json!({ "linux": { "namespaces": 3 } }), 7).is_err());
    }
}
