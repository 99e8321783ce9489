//! The entries of a plain archive on disk, contents jumped over.

use std::fs::File;
use std::io::{BufReader, Cursor, Empty, Read, Seek, SeekFrom};
use std::os::fd::{AsFd as _, BorrowedFd};

use crate::apart::{self, Codec, Next, Remote, Starter, What};
use crate::tar::{Counts, stored_of};
use crate::{Compression, Entry, EntryPosition, LayerError, Limits, Tar};

/// A plain archive. One that is a file can be read apart, where [`crate::read_apart`] was called.
pub trait PlainArchive: Read + Seek {
    /// The file; `None` where it is in the memory of this process.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

impl PlainArchive for File {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl PlainArchive for &File {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl<A: PlainArchive> PlainArchive for BufReader<A> {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.get_ref().descriptor()
    }
}

impl<A: PlainArchive> PlainArchive for &mut A {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (**self).descriptor()
    }
}

impl<T: AsRef<[u8]>> PlainArchive for Cursor<T> {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Lists the entries of a plain archive from its first byte; to do so takes a few bytes of each.
pub struct PlainReader<A>(Form<A>);

enum Form<A> {
    Here(Box<Tar<A>>),
    Apart(Box<Apart>),
}

struct Apart {
    remote: Remote<Empty>,
    limits: Limits,
    counts: Counts,
    /// Where the content of the last entry ends.
    at: u64,
    /// Where the archive does.
    end: u64,
    /// The last entry, where its content goes beyond that.
    cut: Option<EntryPosition>,
    ended: bool,
}

impl<A: PlainArchive> PlainReader<A> {
    /// Opens an archive.
    pub fn open(archive: A, limits: Limits) -> Result<Self, LayerError> {
        Self::with(archive, limits, apart::starter())
    }

    pub(crate) fn with(
        mut archive: A,
        limits: Limits,
        starter: Option<Starter>,
    ) -> Result<Self, LayerError> {
        let Some((starter, file)) = starter.zip(archive.descriptor()) else {
            return Ok(Self(Form::Here(Box::new(Tar::seekable(archive, limits)?))));
        };
        let file = file.try_clone_to_owned().map_err(LayerError::Read)?;
        let end = archive.seek(SeekFrom::End(0)).map_err(LayerError::Read)?;
        archive.rewind().map_err(LayerError::Read)?;
        let how = (What::List, Codec::Layer(Compression::None), limits);
        let remote = Remote::start(starter, std::io::empty(), Some(file), how)?;
        let counts = Counts::default();
        let apart = Apart { remote, limits, counts, at: 0, end, cut: None, ended: false };
        Ok(Self(Form::Apart(Box::new(apart))))
    }

    /// The next entry; `None` after the end of the archive, when nothing but zeros followed.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, LayerError> {
        match &mut self.0 {
            Form::Here(tar) => tar.next_entry(),
            Form::Apart(apart) if apart.ended => Ok(None),
            Form::Apart(apart) => {
                let result = apart.advance();
                apart.ended = !matches!(result, Ok(Some(_)));
                result
            }
        }
    }
}

impl Apart {
    fn advance(&mut self) -> Result<Option<Entry>, LayerError> {
        if let Some(entry) = self.cut.take() {
            return Err(LayerError::Truncated { entry });
        }
        match self.remote.next()? {
            Next::Entry(entry) => self.take(*entry).map(Some),
            Next::Failed(error) => Err(error),
            Next::Fault(..) => Err(apart::nonsense()),
            Next::Done => Ok(None),
        }
    }

    /// Takes an entry, held against what is known here.
    fn take(&mut self, entry: Entry) -> Result<Entry, LayerError> {
        let ends = stored_of(&entry).and_then(|stored| entry.content.checked_add(stored));
        let ends = ends.filter(|_| entry.offset >= self.at && entry.content <= self.end);
        let ends = ends.ok_or_else(apart::nonsense)?;
        self.counts.add(&entry, ends - entry.content, &self.limits)?;
        self.at = ends;
        self.cut = (ends > self.end).then(|| entry.place());
        Ok(entry)
    }
}

/// The entry at `place` of a plain archive once more, for its content with the holes filled.
pub(crate) fn content_again<'a, A: Read + Seek>(
    archive: &'a mut A,
    entry: &Entry,
) -> Result<impl Read + use<'a, A>, LayerError> {
    archive.seek(SeekFrom::Start(entry.content)).map_err(LayerError::Read)?;
    let changed = || LayerError::Changed { entry: entry.place() };
    let stored = stored_of(entry).ok_or_else(changed)?;
    Ok(Again { archive, place: entry.place(), content: crate::tar::Content::of(entry, stored) })
}

struct Again<'a, A> {
    archive: &'a mut A,
    place: EntryPosition,
    content: crate::tar::Content,
}

impl<A: Read> Read for Again<'_, A> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let archive = &mut self.archive;
        let taken = self.content.read(buffer, |part| archive.read(part))?;
        taken.ok_or_else(|| LayerError::Truncated { entry: self.place.clone() }.into_io())
    }
}
