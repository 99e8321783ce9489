//! The other end: what the process apart does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::Given;
use super::ring::{self, Heard, IN, MEMORY, Message, OUT, nonsense};
use super::shared::Shared;
use super::wire::{self, Codec, HEAD, Kind, MAX_TASK, Said, Task, What};
use crate::tar::Echo;
use crate::{Decoder, LayerError, Tar};

/// Bytes unpacked at once, where they are not unpacked into a slot.
const PIECE: usize = 128 * 1024;
/// Raw bytes fewer than this wait for others.
const SMALL: usize = 16 * 1024;
/// Most raw bytes that wait.
const WAITING: usize = 64 * 1024;

/// Reads what `given` gives until all is said, in the calling thread and without opening anything. What is wrong with
/// the bytes is part of what is said.
///
/// # Errors
/// Where the other end is gone, or says what makes no sense.
pub fn serve(given: Given) -> io::Result<()> {
    let task: Task = wire::read(&ring::opened(&given.line, MAX_TASK)?)?;
    let map = || Shared::map(&given.memory, MEMORY);
    let (full, empty) = (map()?, map()?);
    let line = Rc::new(RefCell::new(Line::new(given.line, full)));
    let frames = Frames::new(line.clone(), empty);
    let result = match (task.what, given.archive) {
        (What::List, Some(archive)) => list(File::from(archive), &task, &frames),
        (What::List, None) => Err(nonsense()),
        (What::Unpack, _) => unpack(Packed { line: line.clone(), current: None }, &task, &frames),
        (What::Read { tolerant }, _) => {
            read(Packed { line: line.clone(), current: None }, (&task, tolerant), &frames)
        }
    };
    result?;
    frames.end()?;
    line.borrow_mut().tell(Message::End)
}

/// The unpacked bytes, whatever they are packed with.
fn open(packed: Packed, codec: Codec) -> Result<Box<dyn Read>, LayerError> {
    match codec {
        Codec::Layer(compression) => Ok(Box::new(Decoder::here(packed, compression)?)),
        Codec::Foreign(foreign) => Ok(foreign.here(BufReader::with_capacity(PIECE, packed))),
    }
}

fn unpack(packed: Packed, task: &Task, frames: &Frames) -> io::Result<()> {
    match open(packed, task.codec) {
        Ok(mut decoder) => rest(&mut decoder, frames),
        Err(error) => frames.failed(&error),
    }
}

/// Says all bytes that are left.
fn rest(source: &mut impl Read, frames: &Frames) -> io::Result<()> {
    let mut error = None;
    while error.is_none() {
        let taken = frames.slot(&mut |place| match source.read(place) {
            Err(found) if found.kind() != io::ErrorKind::Interrupted => {
                error = Some(found);
                Ok(0)
            }
            read => read,
        })?;
        if taken == 0 {
            break;
        }
    }
    error.map_or(Ok(()), |error| frames.failed(&LayerError::from_io(error)))
}

fn read(packed: Packed, (task, tolerant): (&Task, bool), frames: &Frames) -> io::Result<()> {
    let decoder = match open(packed, task.codec) {
        Ok(decoder) => decoder,
        Err(error) => return frames.failed(&error),
    };
    let echo: Echo = {
        let frames = frames.clone();
        Box::new(move |bytes| frames.raw(bytes))
    };
    let mut tar = Tar::echoing(decoder, task.limits, tolerant, echo);
    loop {
        let next = tar.next_entry();
        for fault in tar.drain_faults() {
            frames.say(Kind::Fault, &wire::write(&fault)?)?;
        }
        match next {
            Ok(Some(entry)) => frames.say(Kind::Entry, &wire::write(&entry)?)?,
            Ok(None) => break,
            Err(error) => {
                frames.failed(&error)?;
                if matches!(error, LayerError::Corrupt { .. } | LayerError::Read(_)) {
                    return Ok(());
                }
                break;
            }
        }
    }
    // What no entry needs is still part of the digests.
    rest(&mut tar.into_rest(), frames)
}

fn list(archive: File, task: &Task, frames: &Frames) -> io::Result<()> {
    let mut tar = match Tar::seekable(archive, task.limits) {
        Ok(tar) => tar,
        Err(error) => return frames.failed(&error),
    };
    loop {
        match tar.next_entry() {
            Ok(Some(entry)) => frames.say(Kind::Entry, &wire::write(&entry)?)?,
            Ok(None) => return Ok(()),
            Err(error) => return frames.failed(&error),
        }
    }
}

/// The line and the slots, for both directions.
struct Line {
    line: OwnedFd,
    memory: Shared,
    full: VecDeque<(u8, usize)>,
    fed: bool,
    empty: Vec<u8>,
}

impl Line {
    fn new(line: OwnedFd, memory: Shared) -> Self {
        let empty = (0..OUT.slots).rev().collect();
        Self { line, memory, full: VecDeque::new(), fed: false, empty }
    }

    fn tell(&mut self, message: Message) -> io::Result<()> {
        if ring::tell(&self.line, message)? { Ok(()) } else { Err(gone()) }
    }

    fn hear(&mut self) -> io::Result<()> {
        match ring::hear(&self.line, true) {
            Ok(Heard::Message(Message::Full { slot, bytes })) if bytes <= IN.bytes => {
                self.full.push_back((slot, bytes));
            }
            Ok(Heard::Message(Message::Emptied { slot })) => self.empty.push(slot),
            Ok(Heard::Message(Message::End)) => self.fed = true,
            Ok(Heard::Nothing) => {}
            Ok(Heard::Message(_)) => return Err(nonsense()),
            Ok(Heard::Gone) => return Err(gone()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// The packed bytes, out of the slots that the other end fills.
struct Packed {
    line: Rc<RefCell<Line>>,
    current: Option<(u8, usize, usize)>,
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut line = self.line.borrow_mut();
        let (slot, at, bytes) = loop {
            if let Some(current) = self.current.take() {
                break current;
            }
            if let Some((slot, bytes)) = line.full.pop_front() {
                break (slot, 0, bytes);
            }
            if line.fed {
                return Ok(0);
            }
            line.hear()?;
        };
        let most = (bytes - at).min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        IN.read(&line.memory, (slot, at), part)?;
        if at + most < bytes {
            self.current = Some((slot, at + most, bytes));
        } else {
            line.tell(Message::Emptied { slot })?;
        }
        Ok(most)
    }
}

/// Frames on their way into the slots; who unpacks and who parses say them in turn.
#[derive(Clone)]
struct Frames(Rc<RefCell<Sentences>>);

struct Sentences {
    out: BufWriter<Slots>,
    /// Raw bytes that wait for others.
    waiting: Vec<u8>,
}

impl Frames {
    fn new(line: Rc<RefCell<Line>>, memory: Shared) -> Self {
        let out = BufWriter::with_capacity(SMALL, Slots { line, memory, current: None });
        Self(Rc::new(RefCell::new(Sentences { out, waiting: Vec::with_capacity(WAITING) })))
    }

    fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().raw(bytes)
    }

    /// Raw bytes of one slot, which `fill` writes where they stay; how many there were.
    fn slot(&self, fill: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let mut sentences = self.0.borrow_mut();
        sentences.flush_raw()?;
        sentences.out.flush()?;
        sentences.out.get_mut().fill(fill)
    }

    fn say(&self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let mut sentences = self.0.borrow_mut();
        sentences.flush_raw()?;
        sentences.frame(kind, payload)
    }

    fn failed(&self, error: &LayerError) -> io::Result<()> {
        self.say(Kind::Failed, &wire::write(&Said::of(error))?)
    }

    fn end(&self) -> io::Result<()> {
        self.say(Kind::Done, &[])?;
        let mut sentences = self.0.borrow_mut();
        sentences.out.flush()?;
        sentences.out.get_mut().hand_over()
    }
}

impl Sentences {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= SMALL {
            self.flush_raw()?;
            return self.frame(Kind::Raw, bytes);
        }
        if self.waiting.len() + bytes.len() > WAITING {
            self.flush_raw()?;
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    fn flush_raw(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        self.frame(Kind::Raw, &waiting)?;
        waiting.clear();
        self.waiting = waiting;
        Ok(())
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        self.out.write_all(&wire::head(kind, payload.len()))?;
        self.out.write_all(payload)
    }
}

/// Writes into the slots.
struct Slots {
    line: Rc<RefCell<Line>>,
    memory: Shared,
    current: Option<(u8, usize)>,
}

impl Slots {
    fn hand_over(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some((slot, bytes)) if bytes > 0 => {
                self.line.borrow_mut().tell(Message::Full { slot, bytes })
            }
            _ => Ok(()),
        }
    }

    fn empty(&self) -> io::Result<u8> {
        let mut line = self.line.borrow_mut();
        loop {
            if let Some(slot) = line.empty.pop() {
                return Ok(slot);
            }
            line.hear()?;
        }
    }

    /// Has `fill` write a slot in place, which is then handed over; how many raw bytes it holds.
    fn fill(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.hand_over()?;
        let slot = self.empty()?;
        let place = OUT.place(&mut self.memory, slot)?;
        let (head, raw) = place.split_at_mut_checked(HEAD).ok_or_else(nonsense)?;
        let mut filled = 0;
        while filled < raw.len() {
            match fill(raw.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(taken) => filled += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        head.copy_from_slice(&wire::head(Kind::Raw, filled));
        let bytes = HEAD + filled;
        let mut line = self.line.borrow_mut();
        if filled == 0 {
            line.empty.push(slot);
        } else {
            line.tell(Message::Full { slot, bytes })?;
        }
        Ok(filled)
    }
}

impl Write for Slots {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (slot, at) = match self.current {
            Some(current) => current,
            None => (self.empty()?, 0),
        };
        let part = bytes.get(..(OUT.bytes - at).min(bytes.len())).unwrap_or_default();
        OUT.write(&self.memory, (slot, at), part)?;
        self.current = Some((slot, at + part.len()));
        if at + part.len() == OUT.bytes {
            self.hand_over()?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
