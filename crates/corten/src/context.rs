//! What the verbs work with: the local store, registries, progress, the clock. Made once from the
//! environment and the command line; below here nothing reads either again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use corten_bundle::{Form, Powers, Snapshots};
use corten_layer::Limits;
use corten_registry::{Connection, Keyrings, Programs, Registry, Transport};
use corten_run::{Containers, Timestamp};
use corten_spec::{Location, Platform};
use corten_store::{Ambiguity, LayoutStore, Progress, Resolver};

use crate::advice::Advice;
use crate::cli::Global;
use crate::config::InsecureWord;
use crate::place::StoreName;
use crate::reach::Reach;
use crate::{Config, ConfigError, Environment, Failure, Policy};

/// Everything a verb needs to know.
pub struct Context {
    environment: Environment,
    config: Config,
    store_path: Option<PathBuf>,
    store: OnceLock<LayoutStore>,
    form: OnceLock<Form>,
    jobs: usize,
    insecure: Option<InsecureWord>,
    ambiguity: Ambiguity,
    authfile: Option<PathBuf>,
    connections: Mutex<BTreeMap<String, Arc<Connection>>>,
    progress: Arc<dyn Progress>,
    tell: fn(&str),
    quiet: bool,
    advice: Advice,
}

/// Where the layers that are ready are, below the local store.
pub(crate) const RENDERED: &str = ".corten/rendered";

/// Where containers are, below the local store.
const CONTAINERS: &str = ".corten/containers";

/// Where programs are that `$PATH` may not name.
const PROGRAMS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Blobs in flight where nobody says otherwise.
const DEFAULT_JOBS: usize = 4;

impl Context {
    /// Reads the configuration and settles what the options leave open.
    pub(crate) fn new(
        environment: &Environment,
        global: &Global,
        progress: Arc<dyn Progress>,
        tell: fn(&str),
    ) -> Result<Self, Failure> {
        let path = global.config.clone().or_else(|| {
            Some(environment.directory("XDG_CONFIG_HOME", ".config")?.join("corten/config.toml"))
        });
        let config = path.map_or_else(|| Ok(Config::default()), |path| Config::read(&path))?;
        let data = || environment.directory("XDG_DATA_HOME", ".local/share");
        let store_path = global
            .store
            .clone()
            .or_else(|| environment.variable("CORTEN_STORE").map(PathBuf::from))
            .or_else(|| config.store.clone())
            .or_else(|| Some(data()?.join("corten/store")))
            // Monitors and pods work from another directory.
            .map(|path| environment.here().join(path));
        let jobs = global.jobs.map(usize::from).or(config.jobs).unwrap_or(DEFAULT_JOBS);
        Ok(Self {
            environment: environment.clone(),
            store_path,
            store: OnceLock::new(),
            form: OnceLock::new(),
            jobs: jobs.clamp(1, 64),
            insecure: global.insecure,
            ambiguity: match global.allow_ambiguous {
                true => Ambiguity::Allow,
                false => Ambiguity::Refuse,
            },
            authfile: global.authfile.clone(),
            connections: Mutex::default(),
            progress,
            tell,
            quiet: global.quiet,
            advice: Advice::default(),
            config,
        })
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn authfile(&self) -> Option<&Path> {
        self.authfile.as_deref()
    }

    /// What to say if a host fails.
    pub(crate) fn advice(&self) -> &Advice {
        &self.advice
    }

    /// What becomes of documents that two readers would read as two things.
    pub(crate) fn ambiguity(&self) -> Ambiguity {
        self.ambiguity
    }

    /// Blobs in flight at once.
    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// Directories with descriptions of devices.
    pub(crate) fn device_specs(&self) -> Vec<PathBuf> {
        let usual = || crate::ops::DEVICE_SPECS.map(PathBuf::from).to_vec();
        self.config.build.device_specs.clone().unwrap_or_else(usual)
    }

    /// Most bytes of the builder's cache after a build, where the configuration says.
    pub(crate) fn cache_max(&self) -> Option<u64> {
        self.config.build.cache_max
    }

    /// Who is told what happens.
    pub fn progress(&self) -> Arc<dyn Progress> {
        self.progress.clone()
    }

    /// Whether no progress is wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Tells the user something beside what was asked.
    pub(crate) fn tell(&self) -> fn(&str) {
        self.tell
    }

    /// The time at which the process started.
    pub fn now(&self) -> SystemTime {
        self.environment.now()
    }

    /// Seconds from `time` (RFC 3339) to now; `None` when it lies ahead or is no time.
    pub(crate) fn seconds_since(&self, time: &str) -> Option<u64> {
        let then: jiff::Timestamp = time.parse().ok()?;
        let now = self.now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let then = Duration::try_from(then.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok()?;
        now.checked_sub(then).map(|span| span.as_secs())
    }

    /// The platform of this machine, in the words of images.
    pub fn platform(&self) -> Platform {
        platform()
    }

    /// The local store, made on first use.
    pub fn store(&self) -> Result<LayoutStore, Failure> {
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        let path = self.store_path.as_ref().ok_or(ConfigError::NoHome)?;
        let store = crate::own_store::open(path, self.tell)?;
        Ok(self.store.get_or_init(|| store).clone())
    }

    /// Where the local store is, or will be; `None` where there is no home directory and nobody says.
    pub(crate) fn store_place(&self) -> Option<PathBuf> {
        self.store_path.clone()
    }

    /// The layers that are ready to run, beside the blobs they were made of.
    pub fn snapshots(&self) -> Result<Snapshots, Failure> {
        let path = self.store()?.path().join(RENDERED);
        Ok(Snapshots::open(&path, Limits::default(), self.powers())?)
    }

    /// What this process may do with the files of a layer.
    pub fn powers(&self) -> Powers {
        self.environment.powers()
    }

    /// The same, where there are any; asking makes none.
    pub(crate) fn snapshots_there(&self) -> Result<Option<Snapshots>, Failure> {
        let there = self.store()?.path().join(RENDERED).is_dir();
        there.then(|| self.snapshots()).transpose()
    }

    /// How layers are kept ready in `snapshots`: as the configuration says, else what this kernel lets this
    /// user mount from there.
    pub fn form(&self, snapshots: &Snapshots) -> Form {
        *self.form.get_or_init(|| match self.config.run.form {
            Some(word) => word.into(),
            None => snapshots.form(),
        })
    }

    /// Whether all that a container starts from is to be compared, whatever is asked.
    pub(crate) fn verifies(&self) -> bool {
        self.config.run.verify
    }

    /// The containers of the local store.
    pub fn containers(&self) -> Result<Containers, Failure> {
        Ok(Containers::open(&self.store()?.path().join(CONTAINERS), clock)?)
    }

    /// The same, where there are any; asking makes none.
    pub(crate) fn containers_there(&self) -> Result<Option<Containers>, Failure> {
        let there = self.store()?.path().join(CONTAINERS).is_dir();
        there.then(|| self.containers()).transpose()
    }

    /// Where the leases of networks are: for all containers of this user, of whichever store.
    pub(crate) fn leases(&self) -> PathBuf {
        self.environment.run_directory().join("network")
    }

    /// A directory of this user's own in memory.
    pub(crate) fn memory(&self) -> Option<PathBuf> {
        self.environment.memory()
    }

    /// Directories of programs: those of `$PATH`, and where engines keep theirs.
    pub(crate) fn programs(&self) -> Vec<PathBuf> {
        let path = self.environment.variable("PATH").unwrap_or_default();
        let path = path.split(':').filter(|place| place.starts_with('/'));
        path.chain(PROGRAMS).map(PathBuf::from).collect()
    }

    /// The directory that relative paths are meant from.
    pub(crate) fn here(&self) -> PathBuf {
        self.environment.here().to_owned()
    }

    /// Which images may run.
    pub fn policy(&self) -> Policy {
        Policy { deny: self.config.admission.deny.clone() }
    }

    /// Whether the local store has `name`; asking does not make a store where there is none.
    pub(crate) async fn store_has(&self, name: &StoreName) -> bool {
        let (Some(path), Ok(selector)) = (&self.store_path, name.selector()) else { return false };
        match LayoutStore::open(path) {
            Ok(store) => store.resolve(&selector).await.is_ok(),
            Err(_) => false,
        }
    }

    /// The repository at `location`.
    pub fn registry(&self, location: Location) -> Result<Registry, Failure> {
        Ok(Registry::open(location.clone(), self.connection(&location.host)?)?)
    }

    /// The connection to `host`; one for each host, so that tokens and sockets are shared.
    pub(crate) fn connection(&self, host: &str) -> Result<Arc<Connection>, Failure> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = connections.get(host) {
            return Ok(connection.clone());
        }
        let helper = Arc::new(Programs::default());
        let keychain = Arc::new(Keyrings { rings: self.keyrings(), helper });
        let connection = Connection::new(self.transport(host)?, keychain)?;
        connections.insert(host.to_owned(), connection.clone());
        Ok(connection)
    }

    /// How `host` is reached.
    pub(crate) fn transport(&self, host: &str) -> Result<Transport, Failure> {
        self.reach().transport(host)
    }

    /// How any host is reached, to be taken along to other threads.
    pub(crate) fn reach(&self) -> Reach {
        let (environment, config) = (self.environment.clone(), self.config.clone());
        Reach { environment, config, insecure: self.insecure }
    }
}

/// The platform of this machine, in the words of images.
pub(crate) fn platform() -> Platform {
    let os = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
    Platform::new(os, std::env::consts::ARCH).normalized()
}

/// The time of day, for what is told of containers.
pub(crate) fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}
