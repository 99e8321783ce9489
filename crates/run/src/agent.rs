//! The way from a process to an ssh agent of the caller: a socket of our own behind which keys are listed and used
//! to sign, and nothing else. An agent can also be told to add keys, to remove them and to load libraries.
//!
//! ```text
//! ssh in a container ── a socket that is mounted there ── AgentProxy ── list, sign ── the agent's socket
//!                                                             └ all else: failure
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Doing as _, Result};

/// Most bytes of a message, as OpenSSH has it.
const MAX_MESSAGE: usize = 256 * 1024;
/// Most connections of a step at once.
const MAX_CONNECTIONS: usize = 32;
/// How long is waited after a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(50);
/// `SSH_AGENTC_REQUEST_IDENTITIES` of the agent protocol.
const LIST: u8 = 11;
/// `SSH_AGENTC_SIGN_REQUEST`.
const SIGN: u8 = 13;
/// `SSH_AGENT_FAILURE`, framed.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// Keys that answer for themselves.
pub trait AgentKeys: Send + Sync + fmt::Debug {
    /// The answer to a message of kind 11 (list) or 13 (sign), both without their lengths; none where it fails.
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>>;
}

/// Where an agent is.
#[derive(Clone, Debug)]
pub enum AgentPlace {
    /// Behind a socket.
    Socket(PathBuf),
    /// In this process.
    Own(Arc<dyn AgentKeys>),
}

/// A socket that leads to an agent; it is closed, and with it every connection, when this is dropped.
#[derive(Debug)]
pub struct AgentProxy {
    listener: UnixListener,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AgentProxy {
    /// Listens at `path`, which is not there yet, on a thread that sees the mounts of the calling one. Paths may be
    /// longer than the address of a socket.
    pub fn start(path: &Path, agent: AgentPlace) -> Result<Self> {
        let listening = || format!("listen for ssh at {}", path.display());
        let listener = through(path, crate::socket::listen_at).doing(listening)?;
        let own = listener.try_clone().doing(listening)?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = std::thread::spawn(move || attend(&own, &agent, &is_over));
        Ok(Self { listener, over, thread: Some(thread) })
    }
}

impl Drop for AgentProxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the thread, which waits for connections.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Connections that are open, each with its two ends.
type Open = Mutex<BTreeMap<usize, [Option<UnixStream>; 2]>>;

fn attend(listener: &UnixListener, place: &AgentPlace, over: &AtomicBool) {
    let open = Open::default();
    let all = || open.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for number in 0_usize.. {
            let accepted = listener.accept();
            if over.load(Ordering::Acquire) {
                break;
            }
            // One too many is closed at once.
            let Ok((client, _)) = accepted else {
                std::thread::sleep(PAUSE);
                continue;
            };
            if all().len() >= MAX_CONNECTIONS {
                continue;
            }
            let agent = match place {
                AgentPlace::Socket(path) => through(path, |short| UnixStream::connect(short)).ok(),
                AgentPlace::Own(_) => None,
            };
            let ends = [client.try_clone().ok(), agent.as_ref().and_then(|a| a.try_clone().ok())];
            all().insert(number, ends);
            let open = &open;
            scope.spawn(move || {
                // Whoever asked sees the end of the connection.
                let _ = carry(client, agent, place);
                open.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            });
        }
        for end in all().values().flatten().flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
    });
}

/// Carries questions and answers until one side ends.
fn carry(
    mut client: UnixStream,
    mut agent: Option<UnixStream>,
    place: &AgentPlace,
) -> std::io::Result<()> {
    while let Some(question) = message(&mut client)? {
        let is_harmless = matches!(question.get(4), Some(&LIST | &SIGN));
        let answer = match (&mut agent, place) {
            (Some(agent), _) if is_harmless => {
                agent.write_all(&question)?;
                message(agent)?
            }
            (None, AgentPlace::Own(keys)) if is_harmless => {
                let answer = keys.answer(question.get(4..).unwrap_or_default());
                Some(answer.and_then(framed).unwrap_or_else(|| FAILURE.to_vec()))
            }
            _ => Some(FAILURE.to_vec()),
        };
        let Some(answer) = answer else { return Ok(()) };
        client.write_all(&answer)?;
    }
    Ok(())
}

fn framed(answer: Vec<u8>) -> Option<Vec<u8>> {
    let mut bytes = u32::try_from(answer.len()).ok()?.to_be_bytes().to_vec();
    bytes.extend(answer);
    Some(bytes)
}

/// One message with its length in front; none at the end.
fn message(from: &mut UnixStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let size = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if size == 0 || size > MAX_MESSAGE {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = length.to_vec();
    from.take(size as u64).read_to_end(&mut bytes)?;
    if bytes.len() != size + length.len() {
        return Ok(None);
    }
    Ok(Some(bytes))
}

/// Reaches a socket through a descriptor of its directory: an address has 108 bytes, a path may have more.
fn through<T>(path: &Path, reach: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory = File::open(parent)?;
    reach(&Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_an_agent_never_reaches_it() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("d".repeat(100));
        std::fs::create_dir(&deep).unwrap();
        let (behind, front) = (deep.join("behind"), deep.join("front"));
        let listener = through(&behind, |short| UnixListener::bind(short)).unwrap();
        let proxy = AgentProxy::start(&front, AgentPlace::Socket(behind)).unwrap();
        let mut client = through(&front, |short| UnixStream::connect(short)).unwrap();
        let (mut agent, _) = listener.accept().unwrap();
        // Add a key, remove all, load a library, lock, an extension: none of them.
        for kind in [17, 18, 19, 20, 22, 23, 25, 26, 27] {
            client.write_all(&[0, 0, 0, 1, kind]).unwrap();
            assert_eq!(message(&mut client).unwrap().unwrap(), FAILURE, "{kind}");
        }
        for kind in [LIST, SIGN] {
            client.write_all(&[0, 0, 0, 3, kind, 1, 2]).unwrap();
            assert_eq!(message(&mut agent).unwrap().unwrap(), [0, 0, 0, 3, kind, 1, 2]);
            agent.write_all(&[0, 0, 0, 2, kind + 1, 9]).unwrap();
            assert_eq!(message(&mut client).unwrap().unwrap(), [0, 0, 0, 2, kind + 1, 9]);
        }
        client.write_all(&[255, 255, 255, 255, LIST]).unwrap();
        // Closed, be it with what it has not read.
        assert!(!matches!(message(&mut client), Ok(Some(_))));
        let held = through(&front, |short| UnixStream::connect(short)).unwrap();
        drop(proxy);
        assert_eq!((&held).read(&mut [0]).unwrap(), 0);
        assert!(through(&front, |short| UnixStream::connect(short)).is_err());
    }
}
