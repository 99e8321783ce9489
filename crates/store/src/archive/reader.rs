//! Reading a layout in an archive in place: members are found once, blobs are read where they lie.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use corten_spec::{Digest, MediaType};

use super::header::{self, BLOCK, Header, Member, padding};
use crate::beneath::io_error;
use crate::catalog::{self, Facts, INDEX_FILE, IndexEntry, LAYOUT_FILE, MAX_LAYOUT_INDEX, Shelf};
use crate::region::Region;
use crate::{StoreError, catalog::MAX_LAYOUT_HEADER};

/// How many members an archive may have.
const MAX_MEMBERS: usize = 200_000;
/// Longest path of a member: those of a layout have less than 200 bytes.
const MAX_PATH: usize = 1024;
/// Most bytes of the records before one member.
const MAX_RECORDS: u64 = 1024 * 1024;
/// Bytes per read of an archive that comes through a pipe.
const SPOOL_CHUNK: usize = 256 * 1024;
/// Most bytes of an archive that comes through a pipe: it is kept on disk while it is read.
pub const MAX_SPOOL: u64 = 256 * 1024 * 1024 * 1024;

/// The members of an archive, found.
#[derive(Debug)]
pub(super) struct ReadSide {
    place: String,
    file: Arc<File>,
    path: std::path::PathBuf,
    members: HashMap<String, (u64, u64)>,
    entries: Vec<IndexEntry>,
    pub(super) facts: Facts,
}

impl ReadSide {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|e| io_error(path, "open", e))?;
        Self::of(file, path, format!("oci-archive:{}", path.display()))
    }

    /// Keeps what comes through a pipe in a file without a name in `spool`, then reads that.
    pub(super) fn spool(mut from: impl Read, spool: &Path) -> Result<Self, StoreError> {
        let place = "oci-archive:-".to_owned();
        let mut file = unnamed_file(spool)?;
        let mut buffer = vec![0; SPOOL_CHUNK];
        let mut total: u64 = 0;
        loop {
            let count = match from.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(io_error(Path::new("-"), "read", error)),
            };
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            total += count as u64;
            if total > MAX_SPOOL {
                let (what, limit) = ("an archive from a pipe", MAX_SPOOL);
                let object = "the archive".to_owned();
                return Err(StoreError::TooLarge { object, place, what, limit });
            }
            file.write_all(bytes).map_err(|e| io_error(spool, "write", e))?;
        }
        Self::of(file, spool, place)
    }

    fn of(file: File, path: &Path, place: String) -> Result<Self, StoreError> {
        let meta = file.metadata().map_err(|e| io_error(path, "stat", e))?;
        if !meta.is_file() {
            let source = "not a regular file".into();
            return Err(StoreError::Malformed { object: "the archive".to_owned(), place, source });
        }
        refuse_compressed(&file, &place)?;
        let scan = Scan { file: &file, path, place: &place, size: meta.len() };
        let members = scan.members()?;
        let file = Arc::new(file);
        let (path, entries, facts) = (path.to_owned(), Vec::new(), Facts::default());
        let mut side = Self { place, file, path, members, entries, facts };
        let header = side.small(LAYOUT_FILE, ("oci-layout", MAX_LAYOUT_HEADER))?;
        catalog::check_header(&side.place, &header)?;
        let index = side.small(INDEX_FILE, ("index.json", MAX_LAYOUT_INDEX))?;
        side.entries = catalog::entries(&side.place, &index)?;
        Ok(side)
    }

    fn member(&self, path: &str) -> Option<Region> {
        let (start, len) = *self.members.get(path)?;
        Some(Region { file: self.file.clone(), start, len, path: self.path.clone() })
    }

    fn small(&self, path: &str, limit: (&'static str, u64)) -> Result<bytes::Bytes, StoreError> {
        let region = self.member(path).ok_or_else(|| StoreError::Malformed {
            object: path.to_owned(),
            place: self.place.clone(),
            source: "the archive holds no OCI image layout: this file is missing".into(),
        })?;
        region.read_small(limit)
    }
}

impl Shelf for ReadSide {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn entries(&self) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(self.entries.clone())
    }

    fn region(&self, digest: &Digest) -> Result<Option<Region>, StoreError> {
        Ok(self.member(&super::blob_path(digest)))
    }

    fn noted_type(&self, _: &Digest) -> Result<Option<MediaType>, StoreError> {
        Ok(None)
    }
}

fn unnamed_file(directory: &Path) -> Result<File, StoreError> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|errno| io_error(directory, "creation of a temporary file", errno.into()))
}

fn refuse_compressed(file: &File, place: &str) -> Result<(), StoreError> {
    let mut start = [0; 6];
    if file.read_exact_at(&mut start, 0).is_err() {
        return Ok(()); // too short for anything; the scan says so
    }
    let how = match start {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
        [b'B', b'Z', b'h', ..] => "bzip2",
        _ => return Ok(()),
    };
    let action = format!("reading of an archive compressed with {how}");
    Err(StoreError::Unsupported { place: place.to_owned(), action })
}

struct Scan<'a> {
    file: &'a File,
    path: &'a Path,
    place: &'a str,
    size: u64,
}

impl Scan<'_> {
    fn malformed(&self, object: &str, why: impl Into<crate::Cause>) -> StoreError {
        StoreError::Malformed {
            object: object.chars().take(160).collect(),
            place: self.place.to_owned(),
            source: why.into(),
        }
    }

    /// Where the content of each regular file lies, by its path.
    fn members(&self) -> Result<HashMap<String, (u64, u64)>, StoreError> {
        let mut members = HashMap::new();
        let (mut at, mut count) = (0, 0);
        let (mut long_path, mut long_size) = (None, None);
        while let Some(header) = self.header(at)? {
            count += 1;
            if count > MAX_MEMBERS {
                let why = format!("it has more than {MAX_MEMBERS} members");
                return Err(self.malformed("the archive", why));
            }
            let start = at + BLOCK as u64;
            let path = long_path.take().unwrap_or(header.path);
            let size = long_size.take().unwrap_or(header.size);
            let end = start.checked_add(size).filter(|end| *end <= self.size);
            let end = end.ok_or_else(|| self.malformed(&path, "the archive ends inside it"))?;
            match header.member {
                Member::File => {
                    let path = self.plain(&path)?;
                    if members.insert(path.clone(), (start, size)).is_some() {
                        return Err(self.malformed(&path, "it is there twice"));
                    }
                }
                Member::Directory => drop(self.plain(path.trim_end_matches('/'))?),
                Member::Extension => {
                    let records = self.records(start, size)?;
                    let records = header::parse_records(&records);
                    (long_path, long_size) =
                        records.map_err(|why| self.malformed("a header", why))?;
                }
                Member::LongName => {
                    let name = String::from_utf8(self.records(start, size)?);
                    let name = name.map_err(|error| self.malformed("a header", error))?;
                    long_path = Some(name.trim_end_matches('\0').to_owned());
                }
                Member::Global => {}
                Member::Other(flag) => {
                    let why = format!("members of type '{}' are refused", flag.escape_ascii());
                    return Err(self.malformed(&path, why));
                }
            }
            at = end + padding(size) as u64;
        }
        Ok(members)
    }

    /// The header at `at`; `None` at the end, which some tools do not mark.
    fn header(&self, at: u64) -> Result<Option<Header>, StoreError> {
        if at >= self.size {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.file.read_exact_at(&mut block, at).map_err(|e| io_error(self.path, "read", e))?;
        header::parse(&block).map_err(|why| self.malformed("a header", why))
    }

    fn records(&self, start: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path.to_owned();
        let file = self.file.try_clone().map_err(|e| io_error(&path, "open", e))?;
        let file = Arc::new(file);
        let region = Region { file, start, len, path };
        Ok(region.read_small(("an extended header", MAX_RECORDS))?.to_vec())
    }

    /// A path of plain names below the root; `./` before it is what `tar` of a directory writes.
    fn plain(&self, path: &str) -> Result<String, StoreError> {
        if path.len() > MAX_PATH {
            let why = format!("a path of more than {MAX_PATH} bytes is refused");
            return Err(self.malformed(path, why));
        }
        let mut rest = path;
        while let Some(after) = rest.strip_prefix("./") {
            rest = after;
        }
        let odd = |name: &str| name.is_empty() || name == "." || name == "..";
        if rest != "." && rest.split('/').any(odd) {
            return Err(self.malformed(path, "a path that leads elsewhere is refused"));
        }
        Ok(rest.to_owned())
    }
}
