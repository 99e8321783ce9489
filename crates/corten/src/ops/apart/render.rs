//! Templates rendered apart: in this program run again, a process that has one task, little memory, little time and no
//! file. What the engine of templates does with a text that nobody vouches for ends at most that process.
//!
//! Standard input is a `Rendering`, standard output an `Answer`, both JSON.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use corten_project::{Rendered, Rendering};
use rustix::process::{Resource, Signal};
use serde::{Deserialize, Serialize};

use super::confine::{THREADS, confine};

/// The first argument of such a process.
pub(super) const RENDERER: &str = "corten-render";

/// Most bytes of memory that rendering may take.
const MAX_MEMORY: u64 = 512 << 20;
/// Most bytes of its stack.
const MAX_STACK: usize = 128 << 20;
/// Most seconds of a processor that it may take.
const MAX_SECONDS: u64 = 10;
/// Most bytes of what it is asked: templates and values, written as JSON.
const MAX_QUESTION: u64 = 256 << 20;
/// Most bytes of what it answers: what templates may become, written as JSON.
const MAX_ANSWER: u64 = 6 * corten_project::MAX_RENDERED_ALL as u64 + (1 << 20);

/// What came of a rendering.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Rendered(Rendered),
    Refused(String),
}

/// What the process does.
pub(super) fn answer() -> io::Result<()> {
    let limits = [
        (Resource::As, MAX_MEMORY),
        (Resource::Cpu, MAX_SECONDS),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, 3),
    ];
    confine(&limits, &THREADS)?;
    let mut question = Vec::new();
    io::stdin().lock().take(MAX_QUESTION).read_to_end(&mut question)?;
    let rendering: Rendering = serde_json::from_slice(&question)?;
    drop(question);
    let thread = std::thread::Builder::new().stack_size(MAX_STACK);
    let given = thread.spawn(move || rendering.render())?.join();
    let answer = match given {
        Ok(Ok(rendered)) => Answer::Rendered(rendered),
        Ok(Err(error)) => Answer::Refused(error.to_string()),
        Err(_) => return Err(io::Error::other("the engine of templates failed")),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut out, &answer)?;
    out.flush()
}

/// Renders templates in a process of its own; the error is a text for who wrote them.
pub(in crate::ops) fn render(rendering: &Rendering) -> Result<Rendered, String> {
    let failed = |error: io::Error| format!("templates cannot be rendered: {error}");
    let question = serde_json::to_vec(rendering).map_err(|error| failed(error.into()))?;
    if question.len() as u64 > MAX_QUESTION {
        return Err(format!("templates and values are larger than {MAX_QUESTION} bytes"));
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg(RENDERER).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        // It reads all before it says anything; one that is gone is told by how it ended.
        let _ = pipe.write_all(&question);
    }
    drop(question);
    let mut said = Vec::new();
    let read = child.stdout.take().map(|pipe| pipe.take(MAX_ANSWER).read_to_end(&mut said));
    if !matches!(read, Some(Ok(_))) || said.len() as u64 >= MAX_ANSWER {
        // It may be over already.
        let _ = child.kill();
    }
    let ended = child.wait().map_err(failed)?;
    if !ended.success() {
        return Err(ended_by(ended));
    }
    match serde_json::from_slice(&said) {
        Ok(Answer::Rendered(rendered)) => Ok(rendered),
        Ok(Answer::Refused(why)) => Err(why),
        Err(error) => Err(failed(error.into())),
    }
}

/// Why a process that renders is over before its answer.
fn ended_by(status: ExitStatus) -> String {
    let signal = status.signal().unwrap_or_default();
    if [Signal::XCPU.as_raw(), Signal::KILL.as_raw()].contains(&signal) {
        return format!(
            "templates were ended after {MAX_SECONDS} seconds: a loop in them has no end"
        );
    }
    format!(
        "templates were ended: rendering them takes over {MAX_MEMORY} bytes of memory or {MAX_STACK} of its stack"
    )
}
