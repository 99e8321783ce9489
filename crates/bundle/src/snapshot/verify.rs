//! Reading everything that is kept ready once more, and comparing it with what it must be.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use corten_layer::DiffReader;
use corten_spec::{DiffId, Digest};

use super::error::{SnapshotError, io_error};
use super::files::{DIRECTORIES, Hold, INDEXES, TARS};
use super::tar::algorithm_of;
use super::{Form, Snapshots, name_of, name_of_stack};
use crate::erofs;

/// A form that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// What was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Tars that hash to their DiffId, and damaged ones.
    pub tars: u64,
    /// Indexes that are, byte for byte, what their tars give.
    pub indexes: u64,
    /// Layers kept as directories: counted, their files are not read.
    pub directories: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong.
    pub damages: Vec<Damage>,
}

impl Snapshots {
    /// Hashes every tar, and makes the index of each of `stacks` that has one anew to compare the
    /// two. Nothing is changed; what is damaged is made again after [`Snapshots::discard`].
    pub fn verify(&self, stacks: &[Vec<DiffId>]) -> Result<Verified, SnapshotError> {
        // Nobody deletes meanwhile.
        let _shared = self.files.lock(Hold::Shared)?;
        let mut verified = Verified::default();
        for name in self.listed(TARS)? {
            self.verify_tar(&name, &mut verified)?;
        }
        for stack in stacks {
            self.verify_index(stack, &mut verified)?;
        }
        let directories = self.listed(DIRECTORIES)?;
        verified.directories = directories.iter().filter(|name| !name.contains('.')).count() as u64;
        Ok(verified)
    }

    /// Takes a damaged form away, so that it is made again when it is next needed.
    pub fn discard(&self, damage: &Damage) -> Result<(), SnapshotError> {
        let _exclusive = self.files.lock(Hold::Exclusive)?;
        match std::fs::remove_file(&damage.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(io_error(&damage.path, "removal")),
        }
    }

    fn listed(&self, folder: &str) -> Result<Vec<String>, SnapshotError> {
        let path = self.files.folder(folder);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(io_error(&path, "listing"))? {
            let entry = entry.map_err(io_error(&path, "listing"))?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn verify_tar(&self, name: &str, verified: &mut Verified) -> Result<(), SnapshotError> {
        let path = self.files.path(TARS, name);
        let digest = name.split_once('-').map(|(algorithm, rest)| format!("{algorithm}:{rest}"));
        let Some(diff_id) = digest.and_then(|digest| Digest::parse(&digest).ok()).map(DiffId)
        else {
            let what = "its name is no digest".to_owned();
            verified.damages.push(Damage { path, what });
            return Ok(());
        };
        let file = File::open(&path).map_err(io_error(&path, "open"))?;
        let found = DiffReader::of_diff(file, self.limits, algorithm_of(&diff_id))
            .and_then(DiffReader::finish_diff);
        verified.tars += 1;
        match found {
            Ok((found, bytes)) if found == diff_id => {
                verified.bytes = verified.bytes.saturating_add(bytes);
            }
            Ok((found, _)) => {
                let what = format!("its bytes hash to {found}");
                verified.damages.push(Damage { path, what });
            }
            Err(error) => verified.damages.push(Damage { path, what: error.to_string() }),
        }
        Ok(())
    }

    fn verify_index(&self, stack: &[DiffId], verified: &mut Verified) -> Result<(), SnapshotError> {
        let name = name_of_stack(stack);
        if !self.files.is_believed(INDEXES, &name)
            || stack.iter().any(|diff_id| !self.has(Form::Index, diff_id))
        {
            return Ok(());
        }
        let path = self.files.path(INDEXES, &name);
        let tars: Vec<PathBuf> =
            stack.iter().map(|diff_id| self.files.path(TARS, &name_of(&diff_id.0))).collect();
        verified.indexes += 1;
        let damaged = |what: String| Damage { path: path.clone(), what };
        let (tree, _, devices) = match self.merge(stack, &tars) {
            Ok(merged) => merged,
            Err(error) => {
                verified.damages.push(damaged(format!("its layers cannot be read: {error}")));
                return Ok(());
            }
        };
        let mut again = io::BufWriter::new(tempfile::tempfile().map_err(io_error(&path, "copy"))?);
        erofs::write(&tree, &devices, &mut again)?;
        again.flush().map_err(io_error(&path, "copy"))?;
        let again = again.into_inner().map_err(|error| io_error(&path, "copy")(error.into()))?;
        if same(&path, again).map_err(io_error(&path, "reading"))? {
            return Ok(());
        }
        verified.damages.push(damaged("it is not the index that its layers give".to_owned()));
        Ok(())
    }
}

/// Whether two files have the same bytes.
fn same(path: &Path, mut other: File) -> io::Result<bool> {
    use std::io::{Seek as _, SeekFrom};
    let mut one = io::BufReader::new(File::open(path)?);
    other.seek(SeekFrom::Start(0))?;
    let mut other = io::BufReader::new(other);
    let (mut left, mut right) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let taken = one.read(&mut left)?;
        let expected = right.get_mut(..taken.max(1)).unwrap_or_default();
        if taken == 0 {
            return Ok(other.read(expected)? == 0);
        }
        match other.read_exact(expected) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if left.get(..taken) != right.get(..taken) {
            return Ok(false);
        }
    }
}
