//! Archives in bzip2 and xz, which layers never are: unpacked within limits of memory and size.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use lzma_rust2::XzReader;
use serde::{Deserialize, Serialize};

use crate::apart::{self, Codec, Remote, What};
use crate::{LayerError, Limits};

/// Most memory for a dictionary of xz, in KiB: four times what its highest preset takes.
const MAX_XZ_MEMORY: u32 = 300 * 1024;

/// What a file begins with, of those that this reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForeignPacking {
    /// bzip2.
    Bzip2,
    /// xz, as `xz` writes it.
    Xz,
}

impl ForeignPacking {
    /// What the first bytes of a file say.
    pub fn detect(first: &[u8]) -> Option<Self> {
        match first {
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }

    /// The unpacked bytes of a file that is at its beginning: all of its streams, none beyond the limits. What is
    /// wrong with them is [`io::ErrorKind::InvalidData`] of the reader, and no other error is.
    ///
    /// # Errors
    /// Where the file cannot be looked at, or no process started to unpack it apart. What is wrong with its
    /// content is told by the reader.
    pub fn unpacked(self, file: &File, limits: Limits) -> io::Result<impl Read> {
        let packed = file.metadata()?.len();
        let inner: Box<dyn Read + '_> = match apart::starter() {
            Some(starter) => {
                let how = (What::Unpack, Codec::Foreign(self), limits);
                let remote = Remote::start(starter, file, None, how);
                Box::new(remote.map_err(LayerError::into_io)?)
            }
            None => self.here(BufReader::with_capacity(128 * 1024, file)),
        };
        Ok(Bounded { inner, packed, unpacked: 0, limits })
    }

    /// The same in this process, and without limits of size.
    pub(crate) fn here<'a>(self, packed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        let packed = Source(packed);
        match self {
            Self::Bzip2 => Box::new(Damaged(MultiBzDecoder::new(packed))),
            Self::Xz => Box::new(Damaged(XzReader::new_mem_limit(packed, true, MAX_XZ_MEMORY))),
        }
    }
}

/// The packed bytes, their errors marked so that they are not taken for damage.
struct Source<R>(R);

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(of_source)
    }
}

impl<R: BufRead> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf().map_err(of_source)
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

fn of_source(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Interrupted => error,
        _ => LayerError::from_io(error).into_io(),
    }
}

/// What a codec finds wrong with its bytes, whatever it calls that, is [`io::ErrorKind::InvalidData`]; all else says
/// nothing of them.
struct Damaged<R>(R);

impl<R: Read> Read for Damaged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        self.0.read(buffer).map_err(|error| {
            let is_of_source = error.get_ref().is_some_and(|inside| inside.is::<LayerError>());
            match error.kind() {
                InvalidData | InvalidInput | Other | UnexpectedEof if !is_of_source => {
                    io::Error::new(InvalidData, error.to_string())
                }
                _ => error,
            }
        })
    }
}

struct Bounded<'a> {
    inner: Box<dyn Read + 'a>,
    packed: u64,
    unpacked: u64,
    limits: Limits,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(buffer)?;
        self.unpacked = self.unpacked.saturating_add(taken as u64);
        let limits = &self.limits;
        let over = |what: &str, limit: u64| {
            let text = format!("it exceeds the limit of {limit} for {what}");
            Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
        };
        if self.unpacked > limits.unpacked {
            return over("unpacked bytes", limits.unpacked);
        }
        let is_long = self.unpacked > Limits::RATIO_FLOOR;
        if is_long && self.unpacked / limits.ratio.max(1) > self.packed.max(1) {
            return over("unpacked bytes for one packed byte", limits.ratio);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn read(foreign: ForeignPacking, bytes: &[u8], limits: Limits) -> io::Result<Vec<u8>> {
        let file = file(bytes);
        let mut out = Vec::new();
        foreign.unpacked(&file, limits)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn streams_one_after_the_other_are_one_file() {
        let two = [bzip2(b"one "), bzip2(b"two")].concat();
        assert_eq!(ForeignPacking::detect(&two), Some(ForeignPacking::Bzip2));
        assert_eq!(read(ForeignPacking::Bzip2, &two, Limits::default()).unwrap(), b"one two");
    }

    #[test]
    fn what_is_cut_or_damaged_or_too_large_is_told() {
        let whole = bzip2(&vec![7; 100_000]);
        let limits = Limits { unpacked: 50_000, ..Limits::default() };
        let error = read(ForeignPacking::Bzip2, &whole, limits).unwrap_err();
        assert_eq!(error.to_string(), "it exceeds the limit of 50000 for unpacked bytes");
        assert!(read(ForeignPacking::Bzip2, &whole[..whole.len() - 3], Limits::default()).is_err());
        let mut harmed = whole;
        harmed[20] ^= 1;
        assert!(read(ForeignPacking::Bzip2, &harmed, Limits::default()).is_err());
        // One block of LZMA2 whose dictionary has 1.5 GiB.
        let mut header = vec![2, 0, 0x21, 1, 37, 0, 0, 0];
        let sum = crc32(&header);
        header.extend(sum.to_le_bytes());
        let flags = [0_u8, 1];
        let mut xz = vec![0xfd, b'7', b'z', b'X', b'Z', 0];
        xz.extend(flags);
        xz.extend(crc32(&flags).to_le_bytes());
        xz.extend(header);
        xz.extend([0; 64]);
        let error = read(ForeignPacking::Xz, &xz, Limits::default()).unwrap_err().to_string();
        assert!(error.contains("mem_limit"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 }
            })
        })
    }
}
