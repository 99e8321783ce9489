//! The same is read apart as here; and what the other end says is not believed.

#[path = "../../tests/raw/mod.rs"]
mod raw;

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::thread::JoinHandle;

use corten_spec::{Algorithm, Digest};

use super::ring::{self, MEMORY, Message, OUT};
use super::shared::Shared;
use super::wire::{self, Codec, Kind, What};
use super::{Given, ReaderProcess, Remote, Starter, serve};
use crate::{
    Compression, Entry, EntryKind, Extent, ForeignPacking, LayerError, LayerReader, Limits, Packer,
    Packing, PlainReader, Unpacked,
};
use raw::{Header, archive, file, long, pax};

/// Stands in for a process.
struct Thread(Option<JoinHandle<()>>);

impl ReaderProcess for Thread {
    fn end(&mut self) -> String {
        // It ends when its line is closed, which is after this.
        drop(self.0.take());
        "is a thread".to_owned()
    }
}

fn thread(work: impl FnOnce() + Send + 'static) -> io::Result<Box<dyn ReaderProcess>> {
    Ok(Box::new(Thread(Some(std::thread::spawn(work)))))
}

fn honest(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
    thread(|| drop(serve(given)))
}

/// Entries with contents, faults, and how it ended.
type Told = (Vec<(Entry, Digest)>, Vec<String>, Result<Unpacked, String>);

fn whole(bytes: &[u8], limits: Limits, tolerant: bool, starter: Option<Starter>) -> Told {
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    let how = (Algorithm::Sha256, tolerant, starter);
    let mut reader = match LayerReader::with(bytes, None, limits, how) {
        Ok(reader) => reader,
        Err(error) => return (entries, faults, Err(shown(&error))),
    };
    loop {
        let next = reader.next_entry();
        faults.extend(reader.drain_faults().iter().map(|(place, rule)| format!("{place}: {rule}")));
        match next {
            Ok(Some(entry)) => {
                let mut content = Vec::new();
                // Some are read, some in part, some not at all.
                let most = match entries.len() % 3 {
                    0 => u64::MAX,
                    1 => 700,
                    _ => 0,
                };
                if let Err(error) = reader.by_ref().take(most).read_to_end(&mut content) {
                    faults.push(shown(&LayerError::from_io(error)));
                }
                entries.push((entry, Digest::sha256(&content)));
            }
            Ok(None) => break,
            Err(error) => {
                faults.push(format!("{} at {}", shown(&error), reader.position()));
                break;
            }
        }
    }
    // The words of an error that was told already may be others.
    let told = faults.last().is_some_and(|fault| fault.contains("damaged"));
    let known = |error| match error {
        // As far as it was unpacked at once.
        LayerError::Limit { what, .. } => what.to_owned(),
        _ if told => String::new(),
        error => shown(&error),
    };
    (entries, faults, reader.finish().map_err(known))
}

fn shown(error: &LayerError) -> String {
    use std::error::Error as _;
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}

fn listed(bytes: &[u8], limits: Limits, starter: Option<Starter>) -> (Vec<Entry>, String) {
    let mut entries = Vec::new();
    let mut on_disk = tempfile::tempfile().unwrap();
    on_disk.write_all(bytes).unwrap();
    let mut reader = match PlainReader::with(&on_disk, limits, starter) {
        Ok(reader) => reader,
        Err(error) => return (entries, shown(&error)),
    };
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => return (entries, String::new()),
            Err(error) => return (entries, shown(&error)),
        }
    }
}

#[track_caller]
fn same(bytes: &[u8], limits: Limits) {
    for tolerant in [false, true] {
        let (here, apart) =
            (whole(bytes, limits, tolerant, None), whole(bytes, limits, tolerant, Some(honest)));
        assert_eq!(here, apart, "tolerant: {tolerant}");
    }
    assert_eq!(listed(bytes, limits, None), listed(bytes, limits, Some(honest)));
}

fn sparse() -> Vec<u8> {
    let map = b"2\n1024\n512\n9000\n100\n";
    let mut content = map.to_vec();
    content.resize(512, 0);
    content.extend([7; 612]);
    let records = [
        "GNU.sparse.major=1",
        "GNU.sparse.minor=0",
        "GNU.sparse.name=holes",
        "GNU.sparse.realsize=9100",
    ];
    let header = Header::new(b'0', "GNUSparseFile.0/holes", content.len() as u64);
    [pax(b'x', &records), header.with(&content)].concat()
}

fn samples() -> Vec<Vec<u8>> {
    let noise: Vec<u8> =
        (0..400_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[1]).collect();
    let name = vec![b'n'; 300];
    let many: Vec<Vec<u8>> =
        (0..3000_usize).map(|n| file(&format!("d/{n}"), &noise[..n % 900])).collect();
    vec![
        Vec::new(),
        archive(&[]),
        archive(&[file("a", b"1"), file("b", &noise), file("c", b""), file("d", &noise[..70_000])]),
        archive(&[sparse(), file("after", b"x"), sparse()]),
        archive(&[long(b'L', &name), file("short", b"content"), long(b'K', &name)]),
        archive(&[
            pax(b'g', &["comment=c"]),
            pax(b'x', &["mtime=1.5", "SCHILY.xattr.user.a=b", "uid=70000"]),
            Header::new(b'5', "dir/", 0).block(),
            Header::new(b'2', "link", 0).set(157, b"target").block(),
            Header::new(b'Z', "odd", 5).with(b"12345"),
            Header::new(b'0', "slash/", 1).with(b"1"),
            Header::new(b'1', "hard", 0).set(157, b"link").block(),
        ]),
        many.concat(),
        [archive(&[file("a", b"1")]), file("hidden", b"2")].concat(),
        [file("a", b"1"), vec![0; 512], file("b", b"2"), vec![0; 1024]].concat(),
    ]
}

#[test]
fn what_is_read_apart_is_what_is_read_here() {
    for sample in &samples() {
        same(sample, Limits::default());
        let tight = Limits { entries: 4, path: 200, unpacked: 300_000, ..Limits::default() };
        same(sample, tight);
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut packer = Packer::new(Vec::new(), Packing::new(compression)).unwrap();
            packer.write_all(sample).unwrap();
            let packed = packer.finish().unwrap().1;
            same(&packed, Limits::default());
            same(&[packed.as_slice(), &[0; 100]].concat(), Limits::default());
            same(&packed[..packed.len() - packed.len() / 3], Limits::default());
        }
    }
}

#[test]
fn damage_is_told_in_the_same_words() {
    let mut seed = 0x2545_f491_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for sample in samples().iter().filter(|sample| sample.len() > 512 && sample.len() < 900_000) {
        for _ in 0..40 {
            let mut damaged = sample.clone();
            for _ in 0..=random(3) {
                // Mostly headers, which stand at the beginning of a block.
                let at = (random(damaged.len()) / 512 * 512 + random(200)).min(damaged.len() - 1);
                damaged[at] = b"0x\0\xff/g5"[random(7)];
            }
            if random(4) == 0 {
                damaged.truncate(random(sample.len()));
            }
            same(&damaged, Limits::default());
        }
    }
}

fn fill(given: &Given, bytes: &[u8]) {
    let memory = Shared::map(&given.memory, MEMORY).unwrap();
    OUT.write(&memory, (0, 0), bytes).unwrap();
}

/// Says `frames` and no more.
fn say(given: &Given, frames: &[(Kind, Vec<u8>)]) {
    let _ = ring::opened(&given.line, 512);
    let bytes: Vec<u8> = frames
        .iter()
        .flat_map(|(kind, payload)| [&wire::head(*kind, payload.len())[..], payload].concat())
        .collect();
    assert!(bytes.len() <= OUT.bytes);
    fill(given, &bytes);
    ring::tell(&given.line, Message::Full { slot: 0, bytes: bytes.len() }).unwrap();
}

fn entry(kind: EntryKind, size: u64) -> Entry {
    Entry { size, ..Entry::new(kind, "name") }
}

fn says(entry: &Entry) -> (Kind, Vec<u8>) {
    (Kind::Entry, wire::write(entry).unwrap())
}

#[test]
fn entries_that_no_archive_has_are_not_believed() {
    macro_rules! liar {
        ($entry:expr) => {{
            fn start(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
                thread(move || say(&given, &[says(&$entry), (Kind::Done, Vec::new())]))
            }
            start as Starter
        }};
    }
    fn overlap() -> Option<Vec<Extent>> {
        Some(vec![Extent { offset: 0, length: 9 }, Extent { offset: 3, length: 1 }])
    }
    let liars = [
        liar!(Entry { content: 512, ..entry(EntryKind::File, 0) }),
        liar!(Entry { sparse: overlap(), ..entry(EntryKind::File, 10) }),
        liar!(entry(EntryKind::Symlink, 10)),
        liar!(Entry { mode: 0o10_0644, ..entry(EntryKind::File, 0) }),
        liar!(Entry { name: vec![b'n'; 5000], ..entry(EntryKind::File, 0) }),
        liar!(Entry { name: Vec::new(), ..entry(EntryKind::File, 0) }),
    ];
    for (number, liar) in liars.into_iter().enumerate() {
        let (entries, faults, _) = whole(&archive(&[]), Limits::default(), false, Some(liar));
        assert!(entries.is_empty() && faults.len() == 1, "{number}: {entries:?} {faults:?}");
        assert!(faults[0].contains("says what makes no sense"), "{number}: {faults:?}");
    }
    // A possible one whose content does not come.
    let liar = liar!(entry(EntryKind::File, 10));
    let (entries, faults, _) = whole(&archive(&[]), Limits::default(), false, Some(liar));
    assert_eq!(entries.len(), 1);
    assert!(faults[0].contains("the archive ends before the entry does"), "{faults:?}");
}

#[test]
fn a_process_that_breaks_off_or_talks_nonsense_is_told() {
    fn gone(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        drop(given);
        thread(|| {})
    }
    fn slot(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        thread(move || drop(ring::tell(&given.line, Message::Full { slot: 200, bytes: 1 })))
    }
    fn long(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        thread(move || drop(ring::tell(&given.line, Message::Full { slot: 0, bytes: 1 << 30 })))
    }
    fn emptied(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        thread(move || drop(ring::tell(&given.line, Message::Emptied { slot: 200 })))
    }
    fn packet(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        thread(move || drop(ring::open(&given.line, b"a long packet of words")))
    }
    fn kind(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        thread(move || {
            fill(&given, &[9; 100]);
            drop(ring::tell(&given.line, Message::Full { slot: 0, bytes: 100 }));
        })
    }
    fn cut(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        thread(move || say(&given, &[(Kind::Raw, vec![0; 100])]))
    }
    let cases: [(Starter, &str); 7] = [
        (gone, "is a thread"),
        (slot, "makes no sense"),
        (long, "makes no sense"),
        (emptied, "makes no sense"),
        (packet, "makes no sense"),
        (kind, "makes no sense"),
        (cut, "is a thread"),
    ];
    for (number, (starter, words)) in cases.into_iter().enumerate() {
        let (entries, faults, _) = whole(&archive(&[]), Limits::default(), true, Some(starter));
        assert!(entries.is_empty(), "{number}");
        assert!(faults.first().is_some_and(|fault| fault.contains(words)), "{number}: {faults:?}");
    }
}

#[test]
fn a_process_that_is_gone_says_nothing_of_the_bytes() {
    fn gone(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        drop(given);
        thread(|| {})
    }
    fn empty(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        thread(move || say(&given, &[(Kind::Raw, Vec::new())]))
    }
    for starter in [gone as Starter, empty] {
        let how = (What::Unpack, Codec::Foreign(ForeignPacking::Xz), Limits::default());
        let mut remote = Remote::start(starter, &b"packed"[..], None, how).unwrap();
        let error = remote.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other, "{error}");
    }
    let how = (What::Unpack, Codec::Foreign(ForeignPacking::Xz), Limits::default());
    let mut remote = Remote::start(honest, &b"packed"[..], None, how).unwrap();
    let error = remote.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

#[test]
fn faults_without_end_are_bounded() {
    fn endless(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        let fault = (Entry::new(EntryKind::File, "n").place(), crate::LayerRule::MissingEnd);
        let fault = wire::write(&fault).unwrap();
        let frame = [&wire::head(Kind::Fault, fault.len())[..], &fault].concat();
        thread(move || {
            let bytes = frame.repeat(500);
            fill(&given, &bytes);
            while ring::tell(&given.line, Message::Full { slot: 0, bytes: bytes.len() }).unwrap() {
                while !matches!(
                    ring::hear(&given.line, true),
                    Ok(ring::Heard::Message(Message::Emptied { .. }) | ring::Heard::Gone) | Err(_)
                ) {}
            }
        })
    }
    let limits = Limits { entries: 2000, ..Limits::default() };
    let (_, faults, _) = whole(&archive(&[]), limits, true, Some(endless));
    assert!(faults.last().unwrap().contains("entries exceeds the limit of 2000"));
}

#[test]
fn an_archive_shorter_than_its_entries_say_is_not_believed() {
    fn long(given: Given) -> io::Result<Box<dyn ReaderProcess>> {
        let entry = Entry { content: 512, ..entry(EntryKind::File, 1 << 20) };
        thread(move || say(&given, &[says(&entry), (Kind::Done, Vec::new())]))
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&archive(&[])).unwrap();
    file.rewind().unwrap();
    let mut reader = PlainReader::<&File>::with(&file, Limits::default(), Some(long)).unwrap();
    assert!(reader.next_entry().is_ok_and(|entry| entry.is_some()));
    assert!(matches!(reader.next_entry(), Err(LayerError::Truncated { .. })));
    assert!(matches!(reader.next_entry(), Ok(None)));
}
