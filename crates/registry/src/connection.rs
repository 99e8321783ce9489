//! Connections: what is shared by all repositories reached under the same settings and with the
//! same keychain. HTTP clients, and for each host its address, its challenge and its tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corten_store::StoreError;
use reqwest::{Client, StatusCode, Url};
use tokio::sync::{OnceCell, Semaphore};

use crate::address::{api_host, is_loopback_host};
use crate::token::Access;
use crate::transport::{Side, http_client};
use crate::{Insecure, Keychain, Transport, cause};

/// Requests to one host that may wait for their answer at the same time, if nobody says otherwise.
const REQUESTS_PER_HOST: usize = 8;

/// Longest wait for a loopback port to tell whether it speaks TLS.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Reaches any number of hosts under one set of settings. Cheap to share, and meant to be: tokens
/// and open connections are reused. Nothing is sent before a store is asked for something.
pub struct Connection {
    pub(crate) transport: Transport,
    pub(crate) keychain: Arc<dyn Keychain>,
    pub(crate) registry_side: Client,
    pub(crate) elsewhere: Client,
    /// One writer of referrers tags at a time: they are read, changed and written back.
    pub(crate) referrers_tags: tokio::sync::Mutex<()>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

/// What is known of one host.
pub(crate) struct Host {
    pub(crate) base: OnceCell<Url>,
    pub(crate) waiting: Semaphore,
    pub(crate) access: tokio::sync::Mutex<Access>,
}

impl Connection {
    /// Checks the settings: certificates, keys and proxy URLs must be readable.
    pub fn new(transport: Transport, keychain: Arc<dyn Keychain>) -> Result<Arc<Self>, StoreError> {
        let registry_side = http_client(&transport, Side::Registry)?;
        let elsewhere = match transport.tls.identity {
            Some(_) => http_client(&transport, Side::Elsewhere)?,
            None => registry_side.clone(),
        };
        let (hosts, referrers_tags) = Default::default();
        Ok(Arc::new(Self { transport, keychain, registry_side, elsewhere, referrers_tags, hosts }))
    }

    pub(crate) fn host(&self, name: &str) -> Arc<Host> {
        let permits = match self.transport.requests_per_host {
            0 => REQUESTS_PER_HOST,
            some => some.min(Semaphore::MAX_PERMITS),
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            Arc::new(Host {
                base: OnceCell::new(),
                waiting: Semaphore::new(permits),
                access: tokio::sync::Mutex::default(),
            })
        };
        Arc::clone(hosts.entry(name.to_owned()).or_insert_with(fresh))
    }

    /// The root of `name`'s API, found out once for each host.
    pub(crate) async fn base(&self, host: &Host, name: &str) -> Result<Url, StoreError> {
        let base = host.base.get_or_try_init(|| async {
            let url = |scheme: &str| {
                Url::parse(&format!("{scheme}://{}/", api_host(name))).map_err(|source| {
                    StoreError::Unreachable { place: name.to_owned(), source: source.into() }
                })
            };
            match self.transport.insecure {
                Insecure::PlainHttp => url("http"),
                _ if is_loopback_host(name) => self.probe(url("https")?, url("http")?).await,
                _ => url("https"),
            }
        });
        base.await.cloned()
    }

    /// TLS where the port speaks it, else plain HTTP, where that answers like a registry. A wrong
    /// certificate is no reason for plain HTTP: the port then refuses it, and the next request
    /// over TLS tells why.
    async fn probe(&self, tls: Url, plain: Url) -> Result<Url, StoreError> {
        let ping = async |root: &Url| {
            let answer = self.registry_side.get(root.join("v2/").ok()?).send();
            tokio::time::timeout(PROBE_LIMIT, answer).await.ok()?.ok().map(|a| a.status())
        };
        if ping(&tls).await.is_some() {
            return Ok(tls);
        }
        match ping(&plain).await {
            Some(StatusCode::BAD_REQUEST) => Ok(tls),
            Some(_) => Ok(plain),
            None => Err(StoreError::Unreachable {
                place: tls.authority().to_owned(),
                source: cause("neither TLS nor plain HTTP is answered there"),
            }),
        }
    }
}
