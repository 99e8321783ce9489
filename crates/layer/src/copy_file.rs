//! The content of one file copied into another one: what is written in it, and no hole.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, fstat, ftruncate, seek};
use rustix::io::Errno;

/// Most bytes between two looks whether the copy is still wanted.
const PIECE: u64 = 1 << 20;
/// Zeros of this length, where they begin at a multiple of it, become a hole.
const BLOCK: usize = 4096;
/// The longest hole that is made at once.
static MOST_ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What a copy of files may take, and whether anybody still waits for it.
pub struct CopyBounds<'a> {
    /// Bytes that may still be written, holes not counted; what was written is taken off.
    pub room: u64,
    /// Asked at least once a mebibyte.
    pub is_unwanted: &'a dyn Fn() -> bool,
}

/// Copies what is in `from` into the empty file `to`, which becomes as long. Holes stay holes, and zeros become
/// some: a file of a few bytes on one disk is one on the other. Bytes that were written.
///
/// # Errors
/// Where reading or writing fails; [`io::ErrorKind::QuotaExceeded`] where there is no room left, and
/// [`io::ErrorKind::Interrupted`] where the copy is not wanted any more.
pub fn copy_file(from: &File, to: &File, bounds: &mut CopyBounds<'_>) -> io::Result<u64> {
    let length = u64::try_from(fstat(from)?.st_size).unwrap_or_default();
    // The same blocks under another name, where the file system can.
    if length > 0 && rustix::fs::ioctl_ficlone(to, from.as_fd()).is_ok() {
        return Ok(0);
    }
    let (mut at, mut written) = (0, 0);
    let mut buffer = Vec::new();
    while let Some((begin, end)) = next_data(from, at, length)? {
        written += copy_range(from, to, (begin, end), (&mut buffer, bounds))?;
        at = end;
    }
    ftruncate(to, length)?;
    Ok(written)
}

/// The next piece that is no hole, at or behind `at`. All is one where the file system does not say.
fn next_data(file: &File, at: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= length {
        return Ok(None);
    }
    let begin = match seek(file, SeekFrom::Data(at)) {
        Ok(begin) => begin,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, length))),
        Err(errno) => return Err(errno.into()),
    };
    let end = seek(file, SeekFrom::Hole(begin)).unwrap_or(length).min(length);
    Ok((begin < end).then_some((begin, end)))
}

fn copy_range(
    from: &File,
    to: &File,
    (begin, end): (u64, u64),
    (buffer, bounds): (&mut Vec<u8>, &mut CopyBounds<'_>),
) -> io::Result<u64> {
    let (mut at, mut written) = (begin, 0);
    while at < end {
        if (bounds.is_unwanted)() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the copy was called off"));
        }
        buffer.resize(usize::try_from((end - at).min(PIECE)).unwrap_or(BLOCK), 0);
        let count = match from.read_at(buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // It became shorter: what is missing is a hole.
            Ok(0) => break,
            count => count?,
        };
        let piece = buffer.get(..count).unwrap_or_default();
        // What is zero may come to be no hole in the end; it is never more than was read.
        if bounds.room < piece.len() as u64 && piece.iter().any(|byte| *byte != 0) {
            let over = "more bytes than may be written";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, over));
        }
        let count_written = write_sparse(to, at, piece, BLOCK)?;
        bounds.room = bounds.room.saturating_sub(count_written);
        written += count_written;
        at += count as u64;
    }
    Ok(written)
}

/// Writes bytes at a place of a file, but for blocks of it that would be all zero: those stay holes of a file that was
/// empty. `block` is a power of two, 64 KiB at the most. The length of the file is the caller's matter. Bytes that
/// were written.
///
/// # Errors
/// Where writing fails.
pub fn write_sparse(to: &File, at: u64, bytes: &[u8], block: usize) -> io::Result<u64> {
    let block = block.clamp(1, MOST_ZEROS.len());
    let (mut written, mut done, mut waiting) = (0, 0, 0..0);
    let mut write = |range: Range<usize>| -> io::Result<()> {
        let begin = at + range.start as u64;
        let bytes = bytes.get(range).unwrap_or_default();
        written += bytes.len() as u64;
        to.write_all_at(bytes, begin)
    };
    while done < bytes.len() {
        let inside = usize::try_from((at + done as u64) % block as u64).unwrap_or_default();
        let end = (done + block - inside).min(bytes.len());
        let piece = bytes.get(done..end).unwrap_or_default();
        if MOST_ZEROS.get(..piece.len()) == Some(piece) {
            write(waiting)?;
            waiting = end..end;
        } else {
            waiting.end = end;
        }
        done = end;
    }
    write(waiting)?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn bounds(is_unwanted: &dyn Fn() -> bool) -> CopyBounds<'_> {
        CopyBounds { room: 1 << 20, is_unwanted }
    }

    #[test]
    fn a_file_of_holes_is_one_again_and_costs_nothing() {
        let from = tempfile::tempfile().unwrap();
        from.set_len(1 << 40).unwrap();
        from.write_all_at(b"far", (1 << 39) + 5).unwrap();
        from.write_all_at(&[0; 9000], 4096).unwrap();
        let to = tempfile::tempfile().unwrap();
        let written = copy_file(&from, &to, &mut bounds(&|| false)).unwrap();
        assert!(written <= 8192, "{written}");
        assert_eq!(to.metadata().unwrap().len(), 1 << 40);
        assert!(to.metadata().unwrap().blocks() <= 64, "{:?}", to.metadata());
        let mut read = [0; 3];
        to.read_exact_at(&mut read, (1 << 39) + 5).unwrap();
        assert_eq!(&read, b"far");
    }

    #[test]
    fn every_byte_is_copied_wherever_zeros_are() {
        for length in [0, 1, 4095, 4096, 4097, 3 * 4096 + 7, (1 << 20) + 1] {
            let zeros_until = length / 2;
            let bytes: Vec<u8> = (0..length)
                .map(|n| if n < zeros_until { 0 } else { u8::try_from(n % 251).unwrap() })
                .collect();
            let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            from.write_all_at(&bytes, 0).unwrap();
            copy_file(&from, &to, &mut bounds(&|| false)).unwrap();
            let mut read = vec![1; length];
            to.read_exact_at(&mut read, 0).unwrap();
            assert!(read == bytes && to.metadata().unwrap().len() == length as u64, "{length}");
        }
    }

    #[test]
    fn a_copy_ends_where_its_room_does_and_when_nobody_wants_it() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(&vec![1; 3 << 20], 0).unwrap();
        let error = copy_file(&from, &to, &mut bounds(&|| false)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        let asked = Cell::new(0);
        let is_unwanted = || asked.replace(asked.get() + 1) > 0;
        let mut bounds = CopyBounds { room: 1 << 30, is_unwanted: &is_unwanted };
        let error = copy_file(&from, &to, &mut bounds).unwrap_err();
        assert_eq!((error.kind(), asked.get()), (io::ErrorKind::Interrupted, 2));
    }
}
