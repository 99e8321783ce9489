//! Parallel gzip: blocks of fixed size, each packed on its own with the end of the block before as
//! its dictionary, joined at byte boundaries into one member.
//!
//! ```text
//! header | deflate(block 1) sync | deflate(block 2) sync | ... | deflate(last) final | crc, length
//! ```
//!
//! The cuts depend on the content alone, so the bytes do not depend on the number of threads.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};

use flate2::{Compress, Compression as Level, FlushCompress, Status};

/// Unpacked bytes of one block. Part of what makes the bytes: changing it changes every digest.
const BLOCK: usize = 256 * 1024;

/// How far deflate can look back.
const WINDOW: usize = 32 * 1024;

/// RFC 1952: deflate, no flags, no time, no extra flags, unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Writes one gzip member to `out`.
pub(crate) struct GzipEncoder<W> {
    out: W,
    jobs: SyncSender<Job>,
    /// Blocks that are being packed, in order.
    under_way: VecDeque<Receiver<io::Result<Done>>>,
    most_under_way: usize,
    block: Vec<u8>,
    dictionary: Vec<u8>,
    crc: crc32fast::Hasher,
}

struct Job {
    block: Vec<u8>,
    dictionary: Vec<u8>,
    last: bool,
    reply: Sender<io::Result<Done>>,
}

struct Done {
    packed: Vec<u8>,
    crc: crc32fast::Hasher,
}

impl<W: Write> GzipEncoder<W> {
    /// `level` from 1 to 9, clamped.
    pub(crate) fn new(mut out: W, level: i32, threads: NonZeroUsize) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        let most_under_way = threads.get().saturating_mul(2);
        let (jobs, queue) = sync_channel(most_under_way);
        let queue = Arc::new(Mutex::new(queue));
        let level = Level::new(u32::try_from(level.clamp(1, 9)).unwrap_or(6));
        for _ in 0..threads.get() {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name("layer-gzip".to_owned())
                .spawn(move || work(&queue, level))?;
        }
        Ok(Self {
            out,
            jobs,
            under_way: VecDeque::new(),
            most_under_way,
            block: Vec::with_capacity(BLOCK),
            dictionary: Vec::new(),
            crc: crc32fast::Hasher::new(),
        })
    }

    /// Ends the member and gives the target back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.send(true)?;
        while !self.under_way.is_empty() {
            self.receive()?;
        }
        // RFC 1952: the length modulo 2^32, which is what the combined hasher counted.
        let length = u32::try_from(self.crc.total_len() & u64::from(u32::MAX)).unwrap_or(0);
        self.out.write_all(&self.crc.finalize().to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        Ok(self.out)
    }

    /// Hands the current block to a worker.
    fn send(&mut self, last: bool) -> io::Result<()> {
        while self.under_way.len() >= self.most_under_way {
            self.receive()?;
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let tail = block.get(block.len().saturating_sub(WINDOW)..).unwrap_or_default().to_vec();
        let dictionary = std::mem::replace(&mut self.dictionary, tail);
        let (reply, answer) = channel();
        self.jobs.send(Job { block, dictionary, last, reply }).map_err(|_| lost())?;
        self.under_way.push_back(answer);
        Ok(())
    }

    /// Writes the oldest block that is under way.
    fn receive(&mut self) -> io::Result<()> {
        if let Some(answer) = self.under_way.pop_front() {
            let done = answer.recv().map_err(|_| lost())??;
            self.crc.combine(&done.crc);
            self.out.write_all(&done.packed)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for GzipEncoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() >= BLOCK {
            self.send(false)?;
        }
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    /// Does not cut a block: where blocks are cut must depend on the content alone.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lost() -> io::Error {
    io::Error::other("a compressing thread was lost")
}

/// Packs blocks until the encoder is gone.
fn work(queue: &Mutex<Receiver<Job>>, level: Level) {
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(Job { block, dictionary, last, reply }) = job else {
            return;
        };
        let result = pack(level, &block, &dictionary, last);
        // Nobody waits any more when the encoder was dropped.
        let _ = reply.send(result);
    }
}

fn pack(level: Level, block: &[u8], dictionary: &[u8], last: bool) -> io::Result<Done> {
    // A fresh state for each block: one that was reset still finds matches by what it held before,
    // and the bytes would depend on which thread packed which block.
    let mut compress = Compress::new(level, false);
    if !dictionary.is_empty() {
        compress.set_dictionary(dictionary)?;
    }
    // Room for what cannot be made smaller, so that one call does it.
    let mut packed = Vec::with_capacity(block.len() + block.len() / 8 + 1024);
    let mut left = block;
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let before = compress.total_in();
        let status = compress.compress_vec(left, &mut packed, flush)?;
        let taken = usize::try_from(compress.total_in() - before).unwrap_or(left.len());
        left = left.get(taken..).unwrap_or_default();
        let room = packed.len() < packed.capacity();
        // A sync flush is complete when there was room left behind it.
        if matches!(status, Status::StreamEnd) || (!last && left.is_empty() && room) {
            break;
        }
        packed.reserve(block.len() / 4 + 1024);
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(block);
    Ok(Done { packed, crc })
}
