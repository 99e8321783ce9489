//! Layers and archives read apart: decompression and the parsing of archives.
//!
//! Standard input is the line, standard output the shared memory, standard error the archive to list, where there is one.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use corten_layer::{Given, ReaderProcess};
use rustix::fs::FileType;
use rustix::process::Resource;

use super::confine::confine;

/// The first argument of such a process.
pub(super) const READER: &str = "corten-read";

/// Most bytes of memory: the largest windows of all codecs, several times.
const MAX_MEMORY: u64 = 1 << 30;
/// Most seconds of a processor: for the largest layer there may be.
const MAX_SECONDS: u64 = 6 * 3600;
/// Most bytes of a file that it writes: the shared memory has fewer.
const MAX_FILE: u64 = 4 << 20;

/// How it ends where it cannot be confined.
const REFUSED: i32 = 71;

/// What the process does.
pub(super) fn answer() -> io::Result<()> {
    let input = io::stderr().as_fd().try_clone_to_owned()?;
    let is_archive = FileType::from_raw_mode(rustix::fs::fstat(&input)?.st_mode).is_file();
    let given = Given {
        line: io::stdin().as_fd().try_clone_to_owned()?,
        memory: io::stdout().as_fd().try_clone_to_owned()?,
        archive: is_archive.then_some(input),
    };
    let limits = [
        (Resource::As, MAX_MEMORY),
        (Resource::Cpu, MAX_SECONDS),
        (Resource::Core, 0),
        (Resource::Fsize, MAX_FILE),
        (Resource::Nofile, 8),
    ];
    if confine(&limits, &[]).is_err() {
        // Nobody reads a word that is said here; the code is.
        std::process::exit(REFUSED);
    }
    corten_layer::serve(given)
}

/// Starts one. It is in a group of its own: what is typed at the terminal is for this process, which then ends it.
pub(super) fn start(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
    let Given { line, memory, archive } = given;
    let stdio = |file: Option<OwnedFd>| file.map_or_else(Stdio::null, Stdio::from);
    let mut command = Command::new("/proc/self/exe");
    command.arg(READER).env_clear().current_dir("/").process_group(0);
    command.stdin(line).stdout(memory).stderr(stdio(archive));
    let child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::new(error.kind(), format!("{error}: is /proc mounted?"))
        }
        _ => error,
    })?;
    Ok(Box::new(Process { child, ended: None }))
}

/// How often, and after how long, it is asked whether it is over.
const MOMENTS: u32 = 100;
const MOMENT: Duration = Duration::from_millis(1);

struct Process {
    child: Child,
    ended: Option<ExitStatus>,
}

impl ReaderProcess for Process {
    fn gone(&mut self) -> String {
        // A process closes its line a moment before it can be waited for.
        for _ in 0..MOMENTS {
            self.ended = self.child.try_wait().ok().flatten();
            if self.ended.is_some() {
                break;
            }
            std::thread::sleep(MOMENT);
        }
        self.end()
    }

    fn end(&mut self) -> String {
        if self.ended.is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
        match self.ended.map(|status| (status.signal(), status.code())) {
            Some((Some(signal), _)) => format!("was ended by signal {signal}"),
            Some((_, Some(REFUSED))) => {
                "could not give up what it does not need: corten doctor --security".to_owned()
            }
            Some((_, Some(code))) => format!("ended with code {code}"),
            _ => "is gone".to_owned(),
        }
    }
}

/// Whether a process can be held apart on this machine; why not.
pub(in crate::ops) fn probe() -> Result<(), String> {
    // The shortest archive in gzip that there is.
    const EMPTY: [u8; 20] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let read = corten_layer::LayerReader::open(&EMPTY[..], None, corten_layer::Limits::default());
    read.and_then(corten_layer::LayerReader::finish).map(drop).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        source.unwrap_or_else(|| error.to_string())
    })
}
