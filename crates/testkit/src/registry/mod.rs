//! A registry inside the test: the product's own server on loopback, with a log of what it was
//! asked, and faults on demand.

mod fault;
mod log;
mod serving;
mod warp;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use corten_registry::wire::{Repository, Target};
use corten_serve::{
    Grant, Locations, Memory, Passwords, Principal, Roster, Server, ServerOptions, Switch,
    TokenService, Tokens,
};
use corten_spec::{AnyDocument, Descriptor, Digest, Tag};
use tokio::sync::oneshot;

use crate::images::TestImage;
pub use fault::Fault;
use fault::Faults;
pub use log::Logged;
use serving::Desk;

/// Who may use the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anyone, for anything.
    None,
    /// One user, with a password in each request.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// One user, with tokens of the registry's own token service.
    Token {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
}

/// What a registry is to be like.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Who may use it.
    pub auth: Auth,
    /// Repositories below this prefix may be read by anyone who has an anonymous token, or, with
    /// [`Auth::Basic`], nothing; all of them when empty.
    pub public: Option<String>,
    /// URL of the token endpoint in challenges; the registry's own where there is none.
    pub realm: Option<String>,
    /// What of the protocol the server offers, and its limits.
    pub options: ServerOptions,
}

impl Default for Setup {
    fn default() -> Self {
        let options = ServerOptions::default();
        Self { auth: Auth::None, public: None, realm: None, options }
    }
}

/// A part of the protocol that a registry may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// The referrers API: clients must keep the fallback tag.
    Referrers,
    /// Mounting from another repository.
    Mounting,
    /// Push of a blob by one `POST`.
    SinglePost,
    /// Deletion.
    Deletion,
    /// The list of repositories.
    Catalog,
}

impl Setup {
    /// One user, with tokens of the registry's own token service.
    pub fn tokens(user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        Self { auth: Auth::Token { user, password }, ..Self::default() }
    }

    /// One user, with a password in each request.
    pub fn passwords(user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        Self { auth: Auth::Basic { user, password }, ..Self::default() }
    }

    /// The same without a part of the protocol.
    #[must_use]
    pub fn without(mut self, feature: Feature) -> Self {
        let options = &mut self.options;
        match feature {
            Feature::Referrers => options.referrers = Switch::Off,
            Feature::Mounting => options.mounting = Switch::Off,
            Feature::SinglePost => options.single_post = Switch::Off,
            Feature::Deletion => options.deletion = Switch::Off,
            Feature::Catalog => options.catalog = Switch::Off,
        }
        self
    }

    /// The same, taking manifests whose content is missing.
    #[must_use]
    pub fn sparse(mut self) -> Self {
        self.options.sparse = Switch::On;
        self
    }

    /// The same with `Location` as a URL.
    #[must_use]
    pub fn absolute_locations(mut self) -> Self {
        self.options.locations = Locations::Absolute;
        self
    }

    /// The same, announcing that chunks should have at least so many bytes.
    #[must_use]
    pub fn chunk_min(mut self, bytes: u64) -> Self {
        self.options.chunk_min = Some(bytes);
        self
    }

    /// The same with lists in pages of at most so many entries.
    #[must_use]
    pub fn pages_of(mut self, entries: usize) -> Self {
        self.options.limits.page = entries;
        self
    }
}

/// A running registry; it ends when dropped. It has a thread of its own, so that tests may block.
pub struct TestRegistry {
    address: SocketAddr,
    memory: Arc<Memory>,
    tokens: Option<Arc<TokenService>>,
    faults: Arc<Mutex<Faults>>,
    log: Arc<Mutex<Vec<log::Entry>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TestRegistry {
    /// A registry on a free port of 127.0.0.1 that allows everything and does everything right.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    /// A registry as asked for.
    pub fn with(setup: Setup) -> Self {
        let memory = Arc::new(Memory::new());
        let (server, tokens) = server(&memory, setup);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (faults, log) = (Arc::default(), Arc::default());
        let desk = Desk { server, faults: Arc::clone(&faults), log: Arc::clone(&log), address };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || serving::run(desk, listener, stopped));
        Self { address, memory, tokens, faults, log, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A reference to an image here, `127.0.0.1:PORT/REST`.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Adds a fault: the next `times` requests that match `when` meet it. `when` is a method and a
    /// part of the path with its query, as `GET /blobs/`, `POST mount=`; `*` is any method. All
    /// faults that match a request apply, in the order in which they were added.
    pub fn fault(&self, when: &str, times: usize, fault: Fault) {
        self.faults.lock().unwrap().add(when, times, fault);
    }

    /// Adds a fault that every matching request meets.
    pub fn always(&self, when: &str, fault: Fault) {
        self.fault(when, usize::MAX, fault);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// How many faults were met so far.
    pub fn faults_met(&self) -> usize {
        self.faults.lock().unwrap().met()
    }

    /// The requests so far, in order of their arrival.
    pub fn log(&self) -> Vec<Logged> {
        self.log.lock().unwrap().iter().map(log::Entry::snapshot).collect()
    }

    /// The requests so far that match, as [`TestRegistry::fault`] matches.
    pub fn requests(&self, when: &str) -> Vec<Logged> {
        self.log().into_iter().filter(|logged| fault::matches(when, logged)).collect()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.log.lock().unwrap().clear();
    }

    /// Makes every token given out so far void.
    pub fn revoke_tokens(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.revoke();
        }
    }

    /// Puts an image here without a request; tagged where a tag is given.
    pub fn seed(&self, repository: &str, tag: Option<&str>, image: &TestImage) {
        let name = repository_of(repository);
        for (descriptor, bytes) in image.blobs() {
            self.memory.put_blob(&name, &descriptor.digest, bytes.clone());
        }
        for document in image.documents() {
            self.memory.put_manifest(&name, document, &[]);
        }
        let tags: Vec<Tag> = tag.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
        self.memory.put_manifest(&name, image.root(), &tags);
    }

    /// Puts a blob here without a request.
    pub fn seed_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        self.memory.put_blob(&repository_of(repository), &digest, bytes);
        digest
    }

    /// A manifest by tag or digest.
    pub fn manifest(&self, repository: &str, target: &str) -> Option<AnyDocument> {
        let target = Target::parse(target).expect("a tag or digest");
        self.memory.manifest(&repository_of(repository), &target)
    }

    /// A blob of a repository.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        self.memory.blob(&repository_of(repository), digest)
    }

    /// The tags of a repository; none where there is no such repository.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let tags = self.memory.tags(&repository_of(repository)).unwrap_or_default();
        tags.iter().map(Tag::to_string).collect()
    }

    /// The referrers of a manifest.
    pub fn referrers(&self, repository: &str, subject: &Digest) -> Vec<Descriptor> {
        self.memory.referrers(&repository_of(repository), subject)
    }

    /// The digests of all blobs of a repository.
    pub fn blobs(&self, repository: &str) -> Vec<Digest> {
        self.memory.blobs(&repository_of(repository))
    }

    /// Takes a blob out of a repository, as an accident would.
    pub fn lose_blob(&self, repository: &str, digest: &Digest) -> bool {
        self.memory.delete_blob(&repository_of(repository), digest)
    }

    /// Number of uploads that were started and neither ended nor cancelled.
    pub fn open_uploads(&self) -> usize {
        self.memory.uploads()
    }

    /// Fails unless the repository has all of the image, byte for byte, under the tag.
    pub fn assert_has(&self, repository: &str, tag: &str, image: &TestImage) {
        let root = image.root().descriptor();
        let tagged = self.manifest(repository, tag).expect("the tag is there");
        assert_eq!(tagged.descriptor().digest, root.digest, "{repository}:{tag}");
        for document in image.documents() {
            let digest = document.descriptor().digest.as_str();
            let found = self.manifest(repository, digest).unwrap_or_else(|| panic!("no {digest}"));
            assert_eq!(found.bytes(), document.bytes(), "{digest}");
            let media_type = &document.descriptor().media_type;
            assert_eq!(found.descriptor().media_type, *media_type, "{digest}");
        }
        for (descriptor, bytes) in image.distributable() {
            let found = self.blob(repository, &descriptor.digest);
            assert!(found.as_ref() == Some(bytes), "blob {} is missing", descriptor.digest);
        }
    }
}

fn repository_of(text: &str) -> Repository {
    Repository::parse(text).expect("a repository")
}

fn server(memory: &Arc<Memory>, setup: Setup) -> (Server, Option<Arc<TokenService>>) {
    let server = Server::new(Arc::clone(memory), setup.options);
    let (user, password) = match &setup.auth {
        Auth::None => return (server, None),
        Auth::Basic { user, password } | Auth::Token { user, password } => (user, password),
    };
    let owner = Grant::new(Principal::User(user.clone()), "", &["*"]);
    let mut roster = Roster::new().with_user(user, password).with_grant(owner);
    if let Some(prefix) = &setup.public {
        roster = roster.with_grant(Grant::new(Principal::Anonymous, prefix, &["pull"]));
    }
    if matches!(setup.auth, Auth::Basic { .. }) {
        return (server.with_access(Arc::new(Passwords(roster))), None);
    }
    let mut tokens = TokenService::new("test-registry", roster);
    if let Some(realm) = &setup.realm {
        tokens = tokens.with_realm(realm);
    }
    let tokens = Arc::new(tokens);
    let access = Arc::new(Tokens(Arc::clone(&tokens)));
    (server.with_access(access).with_tokens(Arc::clone(&tokens)), Some(tokens))
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        // The thread ends at once whether or not it still hears the word.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
