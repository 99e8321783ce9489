//! Between the process of a container and those who look at it: the log, the attached, the foreground.

use crate::error::{Doing, Result};
use crate::frame::Frame;
use crate::log::{LogWriter, Stream};
use crate::place::Place;
use rustix::termios::Winsize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What is kept of the output for those who attach later.
const MAX_RING: usize = 64 << 10;
/// An attached reader that takes nothing for so long is let go: the container must not wait for it.
const SLOW: Duration = Duration::from_secs(5);
/// How many may be attached at a time.
const MAX_ATTACHED: usize = 64;

#[derive(Debug)]
struct Inside {
    log: LogWriter,
    ring: VecDeque<(Stream, Vec<u8>)>,
    ring_bytes: usize,
    attached: Vec<UnixStream>,
    input: Option<Arc<File>>,
    terminal: Option<Arc<OwnedFd>>,
    size: Option<Winsize>,
}

/// Everything the process says passes here, and everything that is said to it.
#[derive(Debug)]
pub(crate) struct Hub(Mutex<Inside>);

impl Hub {
    pub(crate) fn new(log: LogWriter) -> Self {
        Self(Mutex::new(Inside {
            log,
            ring: VecDeque::new(),
            ring_bytes: 0,
            attached: Vec::new(),
            input: None,
            terminal: None,
            size: None,
        }))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // A thread that died with the lock leaves nothing half done that another could not go on with.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what input and sizes go to for this run of the process.
    pub(crate) fn connect(&self, input: Option<File>, terminal: Option<OwnedFd>) {
        let mut inside = self.inside();
        inside.input = input.map(Arc::new);
        inside.terminal = terminal.map(Arc::new);
        if let (Some(terminal), Some(size)) = (&inside.terminal, inside.size) {
            let _ = rustix::termios::tcsetwinsize(terminal, size);
        }
    }

    /// Takes what the process said. A full disk or a closed reader takes nothing from the others.
    pub(crate) fn output(&self, stream: Stream, bytes: &[u8]) {
        let mut inside = self.inside();
        let _ = inside.log.write(stream, bytes);
        inside.remember(stream, bytes);
        let frame = Frame::Output(stream, bytes.to_vec());
        inside.attached.retain_mut(|client| frame.write(client).is_ok());
    }

    /// Gives bytes to the process; the lock is not held while it does not read them.
    pub(crate) fn input(&self, bytes: &[u8]) {
        let input = self.inside().input.clone();
        if let Some(input) = input {
            let _ = (&*input).write_all(bytes);
        }
    }

    /// Ends the input: a pipe is closed; at a terminal the end is the user's key, so nothing happens.
    pub(crate) fn end_input(&self) {
        let mut inside = self.inside();
        if inside.terminal.is_none() {
            inside.input = None;
        }
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let mut inside = self.inside();
        inside.size = Some(size);
        if let Some(terminal) = &inside.terminal {
            let _ = rustix::termios::tcsetwinsize(terminal, size);
        }
    }

    /// Tells the attached that the container has ended, and lets them go.
    pub(crate) fn end(&self) {
        let mut inside = self.inside();
        inside.attached.retain_mut(|client| {
            let _ = Frame::End.write(client);
            false
        });
        inside.input = None;
        inside.terminal = None;
    }

    fn attach(&self, client: &UnixStream, replay: bool) -> Result<()> {
        let attaching = || "attach a client".to_owned();
        let mut to = client.try_clone().doing(attaching)?;
        let mut inside = self.inside();
        if inside.attached.len() >= MAX_ATTACHED {
            return Frame::End.write(&mut to).doing(attaching);
        }
        if replay {
            for (stream, bytes) in &inside.ring {
                Frame::Output(*stream, bytes.clone()).write(&mut to).doing(attaching)?;
            }
        }
        inside.attached.push(to);
        Ok(())
    }
}

impl Inside {
    fn remember(&mut self, stream: Stream, bytes: &[u8]) {
        self.ring_bytes += bytes.len();
        self.ring.push_back((stream, bytes.to_vec()));
        while self.ring_bytes > MAX_RING
            && let Some((_, old)) = self.ring.pop_front()
        {
            self.ring_bytes -= old.len();
        }
    }
}

/// Copies an output of the process to the hub until its end, on a thread of its own.
pub(crate) fn copy(
    hub: Arc<Hub>,
    stream: Stream,
    mut from: File,
    done: std::sync::mpsc::Sender<()>,
) {
    thread::spawn(move || {
        let mut buffer = vec![0; 32 << 10];
        // The master side of a terminal fails with EIO when the last process has closed it: an end too.
        while let Ok(got) = from.read(&mut buffer)
            && let Some(bytes) = buffer.get(..got).filter(|bytes| !bytes.is_empty())
        {
            hub.output(stream, bytes);
        }
        let _ = done.send(());
    });
}

/// Serves `attach.sock` for the rest of the process.
pub(crate) fn serve(hub: &Arc<Hub>, place: &Place) -> Result<()> {
    place.clear("attach.sock")?;
    // The address of a socket has 108 bytes; a path through the descriptor is always short enough.
    let dir = File::open(&place.dir).doing(|| format!("open {}", place.dir.display()))?;
    let address = format!("/proc/self/fd/{}/attach.sock", dir.as_raw_fd());
    let listener = crate::socket::listen_at(Path::new(&address))
        .doing(|| format!("listen in {}", place.dir.display()))?;
    let hub = Arc::clone(hub);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), hub) = (client, Arc::clone(&hub)) else { continue };
            thread::spawn(move || listen(&hub, client));
        }
    });
    Ok(())
}

fn listen(hub: &Hub, mut client: UnixStream) {
    let _ = client.set_write_timeout(Some(SLOW));
    while let Ok(Some(frame)) = Frame::read(&mut client) {
        match frame {
            Frame::Hello { replay } => {
                if hub.attach(&client, replay).is_err() {
                    return;
                }
            }
            Frame::Input(bytes) => hub.input(&bytes),
            Frame::EndOfInput => hub.end_input(),
            Frame::Resize { rows, columns } => hub.resize(rows, columns),
            Frame::Output(..) | Frame::End => return,
        }
    }
}
