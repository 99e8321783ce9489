//! A pod in front of its caller: its output is shown, its end is awaited, signals that ask to end stop it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use corten_run::{
    ContainerId, Containers, Follow, IfRunning, LogLine, LogQuery, Pod, PodCondition, PodStatus,
    State, Stream, Timestamp,
};
use tokio::signal::unix::{SignalKind, signal};

use super::gone;
use crate::ops::layers::on_thread;
use crate::{Context, Failure};

/// Longest line that is kept together; a longer one is shown in pieces.
const MAX_LINE: usize = 64 << 10;

/// How a pod runs in front of its caller.
#[derive(Clone, Copy, Debug)]
pub struct PodRun {
    /// Whether each line of output begins with the name of its member.
    pub prefix: bool,
    /// Whether the pod is removed at its end.
    pub remove: bool,
}

/// Runs a pod that was made until all of its members have ended. The code is that of the first member, in
/// order, that did not end well; 0 when all did.
pub async fn run_pod(context: &Context, name: &str, how: PodRun) -> Result<i32, Failure> {
    let (containers, pod) = super::found(context, name)?;
    let asked = Arc::new(AtomicBool::new(false));
    let listener = tokio::spawn(listen(containers.clone(), pod.clone(), asked.clone()));
    let ended = on_thread("the pod", move || {
        let ended = to_the_end(&containers, &pod, (how.prefix, &asked));
        if how.remove {
            // The first error is the one to tell.
            let removed = gone(&containers, &pod, IfRunning::Kill);
            return ended.and_then(|code| removed.map(|()| code));
        }
        ended
    })
    .await;
    listener.abort();
    ended
}

/// Stops the members when the caller is asked to end; when that comes again, at once. One by one, as the
/// pod itself is held while it starts.
async fn listen(containers: Containers, pod: Pod, ends: Arc<AtomicBool>) {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else { return };
    let mut asked = 0_u32;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        asked += 1;
        ends.store(true, Ordering::SeqCst);
        let timeout = (asked > 1).then_some(std::time::Duration::ZERO);
        for member in pod.members.iter().rev() {
            let (containers, member) = (containers.clone(), member.clone());
            // All at once: what waits for another one to end first would be told by that one's end.
            tokio::task::spawn_blocking(move || corten_run::stop(&containers, &member, timeout));
        }
    }
}

fn to_the_end(
    containers: &Containers,
    pod: &Pod,
    (prefix, asked): (bool, &AtomicBool),
) -> Result<i32, Failure> {
    let status = corten_run::pod_status(containers, &pod.id)?;
    let since = crate::context::clock();
    let shown: Vec<(ContainerId, JoinHandle<io::Result<()>>)> = status
        .members
        .iter()
        .map(|member| {
            let (id, name) = (member.container.id.clone(), prefix.then(|| member.name.clone()));
            (id.clone(), show(containers.clone(), id, (name, since)))
        })
        .collect();
    let started = corten_run::start_pod(containers, &pod.id);
    if started.is_ok() && asked.load(Ordering::SeqCst) {
        // Those that had not started yet when the end was asked for.
        corten_run::stop_pod(containers, &pod.id, None)?;
    }
    let waited = match &started {
        Ok(()) => corten_run::wait_pod(containers, &pod.id, PodCondition::Exited, None),
        Err(_) => corten_run::pod_status(containers, &pod.id),
    };
    let mut failed = None;
    for (id, shower) in shown {
        // One that never ran has no end that its log could wait for.
        let ran = corten_run::status(containers, &id).is_ok_and(|now| now.state != State::Created);
        if ran {
            failed = failed.or(shower.join().unwrap_or(Ok(())).err());
        }
    }
    started?;
    let code = code(&waited?);
    match failed {
        // A reader that went away has what it wanted.
        Some(source) if source.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Io {
            object: "the output of the pod".to_owned(),
            action: "writing",
            source,
        }),
        _ => Ok(code),
    }
}

fn code(status: &PodStatus) -> i32 {
    let codes = status
        .members
        .iter()
        .map(|member| member.status.exit.as_ref().map_or(125, |ended| ended.status.code()));
    codes.into_iter().find(|code| *code != 0).unwrap_or(0)
}

/// Shows what a member says from now on, until its end.
fn show(
    containers: Containers,
    id: ContainerId,
    (name, since): (Option<String>, Timestamp),
) -> JoinHandle<io::Result<()>> {
    std::thread::spawn(move || {
        let query = LogQuery { follow: Follow::Yes, since, tail: None, stream: None };
        let mut begun = BTreeMap::new();
        let mut first = Ok(());
        // What cannot be shown any more is told at the end: it is no matter of the pod.
        let _ = corten_run::logs(&containers, &id, query, &mut |line| {
            first = match &name {
                None => write(line.stream, &line.bytes),
                Some(name) => prefixed(name, line, &mut begun),
            };
            first.is_ok()
        });
        for (errors, rest) in begun {
            if let (false, Some(name), Ok(())) = (rest.is_empty(), &name, &first) {
                let stream = if errors { Stream::Stderr } else { Stream::Stdout };
                first = write(stream, &named(name, &rest));
            }
        }
        first
    })
}

/// Shows whole lines, each with the name before it; what is not whole yet waits in `begun`.
fn prefixed(name: &str, line: LogLine, begun: &mut BTreeMap<bool, Vec<u8>>) -> io::Result<()> {
    let kept = begun.entry(line.stream == Stream::Stderr).or_default();
    kept.extend_from_slice(&line.bytes);
    if !kept.ends_with(b"\n") && kept.len() < MAX_LINE {
        return Ok(());
    }
    let whole = std::mem::take(kept);
    write(line.stream, &named(name, &whole))
}

fn named(name: &str, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + name.len() + 4);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b" | ");
        bytes.extend_from_slice(line);
    }
    if !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    bytes
}

fn write(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
        Stream::Stderr => std::io::stderr().lock().write_all(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_begins_with_the_name_and_ends() {
        assert_eq!(named("web", b"one\ntwo"), b"web | one\nweb | two\n");
        assert_eq!(named("web", b"\n"), b"web | \n");
    }

    #[test]
    fn a_line_in_pieces_is_shown_when_it_is_whole() {
        let mut begun = BTreeMap::new();
        let line = |bytes: &[u8]| LogLine {
            at: Timestamp(0),
            stream: Stream::Stderr,
            bytes: bytes.to_vec(),
        };
        prefixed("web", line(b"half"), &mut begun).unwrap();
        assert_eq!(begun[&true], b"half");
        prefixed("web", line(b" whole\n"), &mut begun).unwrap();
        assert!(begun[&true].is_empty());
    }
}
