//! Running credential helpers. They are the one kind of process started outside `corten-run`: what
//! they do is a part of reaching a registry, and nothing of a container.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{CredentialHelper, HelperAction, HelperAnswer};

/// Most bytes taken of what a helper says.
const MAX_OUTPUT: u64 = 256 * 1024;

/// Pause between two looks at whether a helper has ended.
const LOOK: Duration = Duration::from_millis(5);

/// The helpers that are installed as programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Where they are; where the system looks for programs, if `None`.
    pub directory: Option<PathBuf>,
    /// How long one may take; some ask a person.
    pub limit: Duration,
}

impl Default for Programs {
    fn default() -> Self {
        Self { directory: None, limit: Duration::from_secs(120) }
    }
}

#[async_trait]
impl CredentialHelper for Programs {
    async fn call(
        &self,
        name: &str,
        action: HelperAction,
        input: Vec<u8>,
    ) -> io::Result<HelperAnswer> {
        // The name comes from a file: it names a program, never a path.
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || !name.bytes().all(legal) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a helper"));
        }
        let mut program = PathBuf::from(format!("docker-credential-{name}"));
        if let Some(directory) = &self.directory {
            program = directory.join(program);
        }
        let limit = self.limit;
        tokio::task::spawn_blocking(move || run(&program, action, &input, limit)).await?
    }
}

fn run(
    program: &Path,
    action: HelperAction,
    input: &[u8],
    limit: Duration,
) -> io::Result<HelperAnswer> {
    let mut child = Command::new(program)
        .arg(action.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = converse(&mut child, input, limit);
    if answer.is_err() {
        // It may have ended by itself; then there is nothing to end.
        let _ = child.kill();
        let _ = child.wait();
    }
    answer
}

fn converse(child: &mut Child, input: &[u8], limit: Duration) -> io::Result<HelperAnswer> {
    let end = Instant::now().checked_add(limit);
    let late = || io::Error::new(io::ErrorKind::TimedOut, "it did not end in time");
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (sender, output) = mpsc::channel();
    let input = input.to_vec();
    // Reading and writing may both block for as long as the helper likes: not here.
    std::thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // One that does not listen says why on its output.
            let _ = stdin.write_all(&input);
        }
        let mut output = Vec::new();
        let read = stdout.map(|stdout| stdout.take(MAX_OUTPUT + 1).read_to_end(&mut output));
        let _ = sender.send(read.transpose().map(|_| output));
    });
    let output = output.recv_timeout(limit).map_err(|_| late())??;
    if output.len() as u64 > MAX_OUTPUT {
        return Err(io::Error::other(format!("it said more than {MAX_OUTPUT} bytes")));
    }
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(HelperAnswer { success: status.success(), output });
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Err(late());
        }
        std::thread::sleep(LOOK);
    }
}
