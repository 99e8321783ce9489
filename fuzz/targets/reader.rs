//! What a process that reads apart says: whatever it is, it is an error, or entries and bytes that fit each other.

#![no_main]

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, Once};
use std::thread::JoinHandle;

use corten_layer::{Given, LayerReader, Limits, ReaderProcess, read_apart};
use libfuzzer_sys::fuzz_target;

/// Where the slots of what is said begin, how many there are and how large (`layer/src/apart/ring.rs`).
const OUT: (u64, u8, usize) = (3 * 128 * 1024, 4, 256 * 1024);

/// What the next process says.
static WORDS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Thread(Option<JoinHandle<()>>);

impl ReaderProcess for Thread {
    fn end(&mut self) -> String {
        self.0.take();
        "ended".to_owned()
    }
}

/// Fills the slots with the words, and tells of each; a first byte above 250 gives the messages as they are.
fn say(given: Given, words: &[u8]) -> io::Result<()> {
    let memory = File::from(given.memory.try_clone()?);
    let send = |message: &[u8]| {
        rustix::net::sendmsg(
            given.line.as_fd(),
            &[IoSlice::new(message)],
            &mut rustix::net::SendAncillaryBuffer::default(),
            rustix::net::SendFlags::NOSIGNAL,
        )
    };
    if let Some((251.., rest)) = words.split_first() {
        memory.write_all_at(rest, OUT.0)?;
        for message in rest.chunks(6).take(64) {
            send(message)?;
        }
        return Ok(());
    }
    for (slot, part) in (0..OUT.1).zip(words.chunks(OUT.2)) {
        memory.write_all_at(part, OUT.0 + u64::from(slot) * OUT.2 as u64)?;
        let mut message = vec![0, slot];
        message.extend(u32::try_from(part.len()).unwrap_or(0).to_le_bytes());
        send(&message)?;
    }
    send(&[2, 0, 0, 0, 0, 0])?;
    Ok(())
}

fn start(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
    let words = std::mem::take(&mut *WORDS.lock().unwrap());
    let _ = say(given, &words);
    Ok(Box::new(Thread(None)))
}

/// That the words reach the reader: a layout of other slots would have this target find nothing for ever.
static HEARD: Once = Once::new();

fn is_heard() {
    *WORDS.lock().unwrap() = include_bytes!("../seeds/reader/two").to_vec();
    let mut reader = LayerReader::open(b"no matter".as_slice(), None, Limits::default()).unwrap();
    let mut entries = 0;
    while reader.next_entry().unwrap().is_some() {
        entries += 1;
    }
    assert_eq!(entries, 2);
}

fuzz_target!(|bytes: &[u8]| {
    read_apart(start);
    HEARD.call_once(is_heard);
    let limits = Limits { entries: 1000, unpacked: 1 << 24, metadata: 1 << 20, ..Limits::default() };
    for tolerant in [false, true] {
        *WORDS.lock().unwrap() = bytes.to_vec();
        let source = b"no matter".as_slice();
        let reader = if tolerant {
            LayerReader::tolerant(source, limits)
        } else {
            LayerReader::open(source, None, limits)
        };
        let Ok(mut reader) = reader else { continue };
        while let Ok(Some(entry)) = reader.next_entry() {
            assert!(entry.mode <= 0o7777 && entry.name.len() <= 4096 && entry.content <= limits.unpacked);
            assert!(entry.content >= entry.offset && entry.content == reader.position());
            let mut sink = io::sink();
            let mut content = (&mut reader).take(1 << 20);
            let mut buffer = [0; 4096];
            while let Ok(taken @ 1..) = content.read(&mut buffer) {
                sink.write_all(&buffer[..taken]).unwrap();
            }
            reader.drain_faults();
        }
        let _ = reader.finish();
    }
});
