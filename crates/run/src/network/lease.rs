//! Leases on disk: which container has which address and which ports.

use super::Publish;
use super::error::{Doing, NetworkError};
use super::subnet::Subnet;
use rustix::fs::FlockOperation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The longest id; with an address before it the name of a lease stays below what file systems allow.
const MAX_ID: usize = 200;
/// The longest file that is read here.
const MAX_FILE: u64 = 1 << 20;
/// What stands in a lease's name for an address when pasta is the way.
const PASTA: &str = "pasta";

/// The directory of the leases.
#[derive(Debug)]
pub(super) struct Leases {
    place: PathBuf,
}

/// The lock on the directory: whoever has it may change what is there.
#[derive(Debug)]
pub(super) struct Held(#[allow(dead_code, reason = "it is there to be closed")] File);

/// What the name of a lease tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) id: String,
    /// At the bridge; `None` with pasta.
    pub(super) address: Option<Ipv4Addr>,
}

/// A container with a lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tenant {
    pub(super) id: String,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) publish: Vec<Publish>,
    /// Whose namespace it is; the lease of a process that is gone can be taken.
    pub(super) pid: u32,
    pub(super) start: u64,
    /// The process of its pasta, and when that started.
    #[serde(default)]
    pub(super) pasta: Option<(u32, u64)>,
}

/// Refuses what would not be a plain name of a file.
pub(super) fn check_id(id: &str) -> Result<(), NetworkError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(plain) {
        return Ok(());
    }
    Err(NetworkError::BadId(id.chars().take(MAX_ID).collect()))
}

impl Slot {
    fn parse(name: &str) -> Option<Self> {
        let (at, id) = name.split_once('_')?;
        check_id(id).ok()?;
        let address = if at == PASTA { None } else { Some(at.parse().ok()?) };
        Some(Self { id: id.to_owned(), address })
    }

    fn name(&self) -> String {
        match self.address {
            Some(address) => format!("{address}_{}", self.id),
            None => format!("{PASTA}_{}", self.id),
        }
    }
}

impl Tenant {
    pub(super) fn slot(&self) -> Slot {
        Slot { id: self.id.clone(), address: self.address }
    }

    /// Whether its process is still the one it was.
    pub(super) fn lives(&self) -> bool {
        crate::procfs::start_time(self.pid) == Some(self.start)
    }
}

impl Leases {
    pub(super) fn open(place: &Path) -> Result<Self, NetworkError> {
        let leases = Self { place: place.to_owned() };
        let path = leases.path("leases");
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .doing(|| format!("make {}", path.display()))?;
        }
        Ok(leases)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Waits until nobody else changes anything here.
    pub(super) fn lock(&self) -> Result<Held, NetworkError> {
        let path = self.path("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).doing(|| format!("open {}", path.display()))?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                other => {
                    other.doing(|| format!("lock {}", path.display()))?;
                    return Ok(Held(file));
                }
            }
        }
    }

    /// All leases, by their names alone.
    pub(super) fn list(&self) -> Result<Vec<Slot>, NetworkError> {
        let path = self.path("leases");
        let entries = fs::read_dir(&path).doing(|| format!("list {}", path.display()))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| Slot::parse(&name)).collect())
    }

    /// What a lease says; `None` when it is gone or was never written whole.
    pub(super) fn tenant(&self, slot: &Slot) -> Option<Tenant> {
        self.read::<Tenant>(&format!("leases/{}", slot.name())).ok().flatten()
    }

    /// All leases, read.
    pub(super) fn tenants(&self) -> Result<Vec<Tenant>, NetworkError> {
        Ok(self.list()?.iter().filter_map(|slot| self.tenant(slot)).collect())
    }

    pub(super) fn keep(&self, _: &Held, tenant: &Tenant) -> Result<(), NetworkError> {
        self.write(&format!("leases/{}", tenant.slot().name()), tenant)
    }

    pub(super) fn release(&self, slot: &Slot) -> Result<(), NetworkError> {
        self.remove(&format!("leases/{}", slot.name()))
    }

    /// An address that no lease has, the one after the last given first.
    pub(super) fn free(&self, _: &Held, subnet: Subnet) -> Result<Option<Ipv4Addr>, NetworkError> {
        let last = fs::read_to_string(self.path("last")).ok();
        let taken: std::collections::HashSet<Ipv4Addr> =
            self.list()?.into_iter().filter_map(|slot| slot.address).collect();
        let last = last.and_then(|last| last.trim().parse().ok());
        let found = subnet.after(last).find(|address| !taken.contains(address));
        if let Some(address) = found {
            let path = self.path("last");
            let text = address.to_string();
            crate::place::write(&path, text.as_bytes())
                .doing(|| format!("write {}", path.display()))?;
        }
        Ok(found)
    }

    /// Reads a file of the directory; `None` when it is missing.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, NetworkError> {
        let path = self.path(name);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.doing(|| format!("read {}", path.display()))?,
        };
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|source| NetworkError::Damaged { path, source })
    }

    /// Writes a file of the directory beside and renames it; only under the lock.
    pub(super) fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), NetworkError> {
        let path = self.path(name);
        let part = self.path("part");
        let bytes = serde_json::to_vec(value)
            .map_err(|source| NetworkError::Damaged { path: path.clone(), source })?;
        crate::place::write(&part, &bytes)
            .and_then(|()| fs::rename(&part, &path))
            .doing(|| format!("write {}", path.display()))
    }

    /// Removes a file of the directory, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), NetworkError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.doing(|| format!("remove {}", path.display())),
        }
    }
}
