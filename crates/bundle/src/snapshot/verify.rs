//! Reading everything that is kept ready once more, and comparing it with what it must be.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::PathBuf;

use corten_layer::DiffReader;
use corten_spec::{DiffId, Digest};

use super::directory::{LATER, OVER, write_note};
use super::error::{SnapshotError, io_error};
use super::files::{DIRECTORIES, Hold, INDEXES, STAGED, TARS};
use super::same::{compare, same_bytes};
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
    /// Layers kept as directories that are what their packed bytes give.
    pub directories: u64,
    /// Layers kept as directories whose packed bytes are not here: they cannot be compared.
    pub unread: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong.
    pub damages: Vec<Damage>,
}

/// Opens the packed bytes of a layer; `None` where they are not here.
pub type OpenPacked<'a> = &'a dyn Fn(&DiffId) -> Option<Box<dyn Read>>;

impl Snapshots {
    /// Hashes every tar, makes the index of each of `stacks` that has one anew, and every directory of a layer
    /// from its packed bytes, to compare the two. Nothing is changed but the seals of what is well; what is damaged
    /// is made again after [`Snapshots::discard`]. Beside a directory there is room for one more needed meanwhile.
    pub fn verify(
        &self,
        stacks: &[Vec<DiffId>],
        packed: OpenPacked<'_>,
    ) -> Result<Verified, SnapshotError> {
        // Nobody deletes meanwhile.
        let _shared = self.files.lock(Hold::Shared)?;
        let mut verified = Verified::default();
        for name in self.listed(TARS)? {
            self.verify_tar(&name, &mut verified)?;
        }
        for stack in stacks {
            self.verify_index(stack, &mut verified)?;
        }
        for name in self.listed(DIRECTORIES)?.iter().filter(|name| !name.contains('.')) {
            self.verify_directory(name, packed, &mut verified)?;
        }
        for stack in stacks {
            self.verify_over(stack, &mut verified)?;
        }
        Ok(verified)
    }

    /// Takes a damaged form away, so that it is made again when it is next needed.
    pub fn discard(&self, damage: &Damage) -> Result<(), SnapshotError> {
        let _exclusive = self.files.lock(Hold::Exclusive)?;
        let path = &damage.path;
        let done = match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
            Ok(_) => std::fs::remove_file(path),
            Err(error) => Err(error),
        };
        if let (Some(folder), Some(name)) = (path.parent().and_then(last), last(path)) {
            self.files.unseal(folder, name)?;
        }
        match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(io_error(path, "removal")),
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

    pub(super) fn verify_tar(
        &self,
        name: &str,
        verified: &mut Verified,
    ) -> Result<(), SnapshotError> {
        let path = self.files.path(TARS, name);
        let Some(diff_id) = diff_id_of(name) else {
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
                self.files.seal(TARS, name)?;
            }
            Ok((found, _)) => {
                let what = format!("its bytes hash to {found}");
                verified.damages.push(Damage { path, what });
            }
            Err(error) => verified.damages.push(Damage { path, what: error.to_string() }),
        }
        Ok(())
    }

    pub(super) fn verify_directory(
        &self,
        name: &str,
        packed: OpenPacked<'_>,
        verified: &mut Verified,
    ) -> Result<(), SnapshotError> {
        let path = self.files.path(DIRECTORIES, name);
        let Some(packed) = diff_id_of(name).map(|diff_id| (packed(&diff_id), diff_id)) else {
            let what = "its name is no digest".to_owned();
            verified.damages.push(Damage { path, what });
            return Ok(());
        };
        let (Some(packed), diff_id) = packed else {
            verified.unread += 1;
            if !self.files.is_sealed(DIRECTORIES, name)? {
                let what = "it is not what was made, and its packed bytes are not here".to_owned();
                verified.damages.push(Damage { path, what });
            }
            return Ok(());
        };
        let (again, later) = self.alone().unpacked(&diff_id, packed)?;
        let note = self.files.path(DIRECTORIES, &format!("{name}{LATER}"));
        let compared = compare(&path, &again.path).map_err(io_error(&path, "reading"))?;
        verified.directories += 1;
        verified.bytes = verified.bytes.saturating_add(compared.bytes);
        match compared.difference {
            Some(what) => verified.damages.push(Damage { path, what }),
            None => self.files.seal(DIRECTORIES, name)?,
        }
        let mut again = Vec::new();
        write_note(&mut again, &diff_id, later)?;
        let same = File::open(&note)
            .and_then(|file| same_bytes(&mut io::BufReader::new(file), &mut again.as_slice()));
        if !same.is_ok_and(|same| same) {
            let what = "it is not the note of its layer".to_owned();
            verified.damages.push(Damage { path: note, what });
        }
        Ok(())
    }

    pub(super) fn verify_over(
        &self,
        stack: &[DiffId],
        verified: &mut Verified,
    ) -> Result<(), SnapshotError> {
        let name = format!("{}{OVER}", name_of_stack(stack));
        if !self.files.is_believed(DIRECTORIES, &name)
            || stack.iter().any(|diff_id| !self.has(Form::Directories, diff_id))
        {
            return Ok(());
        }
        let path = self.files.path(DIRECTORIES, &name);
        let notes = stack.iter().map(|diff_id| Ok(self.read_note(diff_id)?.1));
        let made = notes.collect::<Result<Vec<_>, _>>().and_then(|notes| {
            let again = self.made_over(stack, &notes)?;
            compare(&path, &again.path).map_err(io_error(&path, "reading"))
        });
        let what = match made {
            Ok(compared) => compared.difference,
            Err(error) => Some(format!("its layers cannot be read: {error}")),
        };
        verified.damages.extend(what.map(|what| Damage { path, what }));
        Ok(())
    }

    pub(super) fn verify_index(
        &self,
        stack: &[DiffId],
        verified: &mut Verified,
    ) -> Result<(), SnapshotError> {
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
        // Beside what it is compared with: nobody chose another place for it.
        let again = tempfile::tempfile_in(self.files.folder(STAGED));
        let mut again = io::BufWriter::new(again.map_err(io_error(&path, "copy"))?);
        erofs::write(&tree, &devices, &mut again)?;
        again.flush().map_err(io_error(&path, "copy"))?;
        let mut again =
            again.into_inner().map_err(|error| io_error(&path, "copy")(error.into()))?;
        let same = again
            .rewind()
            .and_then(|()| same_bytes(&mut io::BufReader::new(File::open(&path)?), &mut again));
        if same.map_err(io_error(&path, "reading"))? {
            return self.files.seal(INDEXES, &name);
        }
        verified.damages.push(damaged("it is not the index that its layers give".to_owned()));
        Ok(())
    }
}

fn last(path: &std::path::Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// The DiffId that a form has its name from.
fn diff_id_of(name: &str) -> Option<DiffId> {
    let (algorithm, rest) = name.split_once('-')?;
    Digest::parse(&format!("{algorithm}:{rest}")).ok().map(DiffId)
}
