//! This end: feeds the process apart, and takes what it says.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;

use super::ring::{self, Heard, IN, MEMORY, Message, OUT, nonsense};
use super::shared::{self, Shared};
use super::wire::{self, Codec, HEAD, Kind, MAX_PAYLOAD, Said, Task, What};
use super::{Given, ReaderProcess, Starter};
use crate::entry::Entry;
use crate::{EntryPosition, LayerError, LayerRule, Limits};

/// Bytes read at once where they are few: a frame's head, an entry.
const READ_AHEAD: usize = 16 * 1024;

/// A source that is read apart.
pub(crate) struct Remote<R> {
    stream: BufReader<Stream<R>>,
    task: Task,
    /// Bytes left of the frame of raw ones.
    raw: usize,
    /// The frame that comes next, its payload unread.
    waiting: Option<(Kind, usize)>,
    done: bool,
    /// Why nothing more can be had.
    lost: Option<String>,
}

/// What stands between raw bytes.
pub(crate) enum Next {
    Entry(Box<Entry>),
    Fault(EntryPosition, LayerRule),
    /// No further entry can be had; raw bytes may follow.
    Failed(LayerError),
    Done,
}

impl<R: Read> Remote<R> {
    /// Starts a process that does `what` with `source`, or with the plain archive where it is to list one.
    pub(crate) fn start(
        starter: Starter,
        source: R,
        archive: Option<OwnedFd>,
        (what, codec, limits): (What, Codec, Limits),
    ) -> Result<Self, LayerError> {
        let task = Task { what, codec, limits };
        let stream = Stream::start(starter, source, archive, &task);
        let stream = stream.map_err(|error| {
            let text = format!("no process could be started to unpack it apart: {error}");
            LayerError::Read(io::Error::new(error.kind(), text))
        })?;
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        Ok(Self { stream, task, raw: 0, waiting: None, done: false, lost: None })
    }

    pub(crate) fn source(&self) -> &R {
        &self.stream.get_ref().source
    }

    /// The source, with what it was not asked for.
    pub(crate) fn into_source(self) -> R {
        let Stream { source, .. } = self.stream.into_inner();
        source
    }

    /// What comes next where [`Remote::read`] gives nothing more.
    pub(crate) fn next(&mut self) -> Result<Next, LayerError> {
        let next = self.frame().map_err(LayerError::from_io);
        if let Ok(Next::Failed(error @ (LayerError::Corrupt { .. } | LayerError::Read(_))))
        | Err(error) = &next
        {
            self.lost.get_or_insert_with(|| error.to_string());
        }
        next
    }

    /// The same once more.
    fn is_lost(&self) -> io::Result<()> {
        self.lost.as_ref().map_or(Ok(()), |why| Err(io::Error::other(why.clone())))
    }

    fn frame(&mut self) -> io::Result<Next> {
        self.is_lost()?;
        if self.done {
            return Ok(Next::Done);
        }
        if self.raw > 0 {
            return Err(nonsense());
        }
        let (kind, length) = match self.waiting.take() {
            Some(head) => head,
            None => self.head()?,
        };
        if kind == Kind::Raw || length > MAX_PAYLOAD {
            return Err(nonsense());
        }
        let mut payload = Vec::new();
        (&mut self.stream).take(length as u64).read_to_end(&mut payload)?;
        if payload.len() < length {
            return Err(self.broken());
        }
        match kind {
            Kind::Entry => {
                let entry = wire::read_entry(&payload, &self.task.limits)?;
                Ok(Next::Entry(Box::new(entry)))
            }
            Kind::Fault => {
                let (place, rule) = wire::read::<wire::Fault>(&payload)?;
                Ok(Next::Fault(place, rule))
            }
            Kind::Failed => {
                Ok(Next::Failed(wire::read::<Said>(&payload)?.into_error(self.task.codec)))
            }
            Kind::Done | Kind::Raw => {
                self.done = true;
                Ok(Next::Done)
            }
        }
    }

    fn head(&mut self) -> io::Result<(Kind, usize)> {
        let mut head = [0; HEAD];
        match self.stream.read_exact(&mut head) {
            Ok(()) => wire::of_head(head).ok_or_else(nonsense),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.broken()),
            Err(error) => Err(error),
        }
    }

    /// It is gone before it said all.
    fn broken(&mut self) -> io::Error {
        let how = self.stream.get_mut().process.0.gone();
        io::Error::other(format!("the process that unpacks it apart {how}"))
    }

    fn read_raw(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.is_lost()?;
            if buffer.is_empty() || self.done || self.waiting.is_some() {
                return Ok(0);
            }
            if self.raw > 0 {
                let most = self.raw.min(buffer.len());
                let taken = self.stream.read(buffer.get_mut(..most).unwrap_or_default())?;
                if taken == 0 {
                    return Err(self.broken());
                }
                self.raw -= taken;
                return Ok(taken);
            }
            match self.head()? {
                (Kind::Raw, 0) => return Err(nonsense()),
                (Kind::Raw, length) => self.raw = length,
                other => self.waiting = Some(other),
            }
            if self.waiting.is_some() && self.task.what == What::Unpack {
                return match self.next() {
                    Ok(Next::Done) => Ok(0),
                    Ok(Next::Failed(error)) | Err(error) => Err(error.into_io()),
                    Ok(_) => Err(nonsense()),
                };
            }
        }
    }
}

impl<R: Read> Read for Remote<R> {
    /// Raw bytes; 0 where something else comes next. Where only bytes were asked for, what is wrong with them is an
    /// error.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.read_raw(buffer);
        if let Err(error) = &taken
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.lost.get_or_insert_with(|| error.to_string());
        }
        taken
    }
}

/// The bytes of the frames, out of the slots.
struct Stream<R> {
    source: R,
    /// Nothing more is fed.
    fed: bool,
    line: OwnedFd,
    memory: Shared,
    process: Running,
    /// Slots for packed bytes that are empty.
    empty: Vec<u8>,
    /// Slots that it filled, in order.
    full: VecDeque<(u8, usize)>,
    /// The one that is being read, and how far.
    current: Option<(u8, usize, usize)>,
    /// It said that no further slot will be full.
    over: bool,
    /// What of the source goes into the next slot, how much it is, and whether it is the end.
    scratch: Vec<u8>,
    filled: usize,
    ended: bool,
}

impl<R: Read> Stream<R> {
    fn start(
        starter: Starter,
        source: R,
        archive: Option<OwnedFd>,
        task: &Task,
    ) -> io::Result<Self> {
        let memory = shared::memory(MEMORY)?;
        let mapped = Shared::map(&memory, MEMORY)?;
        let (line, there) = ring::line()?;
        let given = Given { line: there, memory, archive };
        ring::open(&line, &wire::write(task)?)?;
        let process = Running(starter(given)?);
        Ok(Self {
            source,
            fed: task.what == What::List,
            line,
            memory: mapped,
            process,
            empty: (0..IN.slots).collect(),
            full: VecDeque::new(),
            current: None,
            over: false,
            scratch: Vec::new(),
            filled: 0,
            ended: false,
        })
    }

    /// Takes what it says; what it may not say is an error.
    fn take(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Full { slot, bytes } => {
                let held = self.full.iter().map(|(slot, _)| *slot);
                let mut held = held.chain(self.current.map(|(slot, ..)| slot));
                let is_possible = slot < OUT.slots && (1..=OUT.bytes).contains(&bytes);
                if !is_possible || held.any(|held| held == slot) {
                    return Err(nonsense());
                }
                self.full.push_back((slot, bytes));
            }
            Message::Emptied { slot } => {
                if slot >= IN.slots || self.empty.contains(&slot) {
                    return Err(nonsense());
                }
                self.empty.push(slot);
            }
            Message::End => self.over = true,
        }
        Ok(())
    }

    /// Gives it more of the source, where there is room; false where not.
    fn feed(&mut self) -> io::Result<bool> {
        let Some(slot) = self.empty.last().copied().filter(|_| !self.fed) else {
            return Ok(false);
        };
        // A network gives little at a time. What was read before an error or an interruption stays for the next call.
        self.scratch.resize(IN.bytes, 0);
        while self.filled < IN.bytes && !self.ended {
            let taken =
                self.source.read(self.scratch.get_mut(self.filled..).unwrap_or_default())?;
            self.filled += taken;
            self.ended = taken == 0;
        }
        if self.filled == 0 {
            self.fed = true;
            ring::tell(&self.line, Message::End)?;
            return Ok(true);
        }
        self.empty.pop();
        let bytes = std::mem::take(&mut self.filled);
        IN.write(&self.memory, (slot, 0), self.scratch.get(..bytes).unwrap_or_default())?;
        // One that has all it needs does not wait for more.
        self.fed = !ring::tell(&self.line, Message::Full { slot, bytes })?;
        Ok(true)
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some((slot, at, bytes)) = self.current.or_else(|| {
                let (slot, bytes) = self.full.pop_front()?;
                Some((slot, 0, bytes))
            }) {
                self.current = Some((slot, at, bytes));
                let most = (bytes - at).min(buffer.len());
                let part = buffer.get_mut(..most).unwrap_or_default();
                OUT.read(&self.memory, (slot, at), part)?;
                self.current = (at + most < bytes).then_some((slot, at + most, bytes));
                if self.current.is_none() {
                    ring::tell(&self.line, Message::Emptied { slot })?;
                }
                return Ok(most);
            }
            if self.over {
                return Ok(0);
            }
            let heard = match ring::hear(&self.line, false)? {
                Heard::Nothing if self.feed()? => continue,
                Heard::Nothing => ring::hear(&self.line, true)?,
                heard => heard,
            };
            match heard {
                Heard::Message(message) => self.take(message)?,
                Heard::Nothing => {}
                Heard::Gone => return Ok(0),
            }
        }
    }
}

/// The process; it ends with this.
struct Running(Box<dyn ReaderProcess>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end();
    }
}
