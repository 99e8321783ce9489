//! How registries are reached: certificates, proxies, time limits, patience. Plain values that the
//! caller fills in; nothing here reads the environment.

use std::collections::BTreeMap;
use std::time::Duration;

use corten_store::{Cause, StoreError};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, NoProxy, Proxy};

use crate::cause;

/// Settings of a [`crate::Connection`]. The default suits a public registry.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// Certificates trusted and shown, for every host of the connection.
    pub tls: Tls,
    /// Whether less than verified TLS is accepted.
    pub insecure: Insecure,
    /// Proxies, as the usual environment variables write them.
    pub proxies: Proxies,
    /// Token services by host of the registry: where there is an entry, only they see its credential. Written as
    /// a host, with its port where it has one.
    pub token_services: BTreeMap<String, Vec<String>>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// What is done about answers that ask for patience.
    pub retry: Retry,
    /// Requests to one host that wait for their answer at the same time; bodies in transfer do not
    /// count. Zero means the default of 8.
    pub requests_per_host: usize,
}

/// Certificates beyond those of the system.
#[derive(Clone, Default)]
pub struct Tls {
    /// Authorities trusted besides those of the system: PEM, any number of certificates each.
    pub authorities: Vec<Vec<u8>>,
    /// Client certificate chain and its key, PEM; shown to the registry, never to hosts that it
    /// redirects to.
    pub identity: Option<ClientCertificate>,
}

/// A client certificate with its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// Certificate chain, PEM, the leaf first.
    pub certificate: Vec<u8>,
    /// Private key, PEM.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.len())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientCertificate(..)")
    }
}

/// What is accepted instead of verified TLS.
///
/// A loopback host (`localhost`, `127.0.0.0/8`, `::1`) is reached over plain HTTP without being
/// asked, when nothing on its port speaks TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Insecure {
    /// Nothing.
    #[default]
    No,
    /// Plain HTTP, at once.
    PlainHttp,
    /// TLS with any certificate.
    SkipVerify,
}

/// Proxies: the values of `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, as the caller found them. Loopback
/// hosts are always reached without one.
#[derive(Clone, Default)]
pub struct Proxies {
    /// URL of the proxy for `http://` targets.
    pub http: Option<String>,
    /// URL of the proxy for `https://` targets.
    pub https: Option<String>,
    /// Hosts reached without a proxy, separated by commas.
    pub except: Option<String>,
}

impl std::fmt::Debug for Proxies {
    /// Proxy URLs may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("except", &self.except)
            .finish()
    }
}

/// Time limits of one request. None limits a whole transfer: only silence ends one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For silence: while waiting for an answer, between two chunks of a body, or for the other
    /// side to take the next chunk.
    pub stall: Duration,
    /// For the answer after the last byte of an upload, which some registries copy around first.
    pub publish: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(60),
            publish: Duration::from_secs(600),
        }
    }
}

/// When and how often a request is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all; 1 means no second one.
    pub attempts: u32,
    /// Wait before the second attempt; doubles with each further one, with up to a half of it
    /// added at random.
    pub base: Duration,
    /// Longest wait, whether computed or asked for by `Retry-After`; when a registry asks for
    /// more, the error says so instead.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, base: Duration::from_millis(400), longest: Duration::from_secs(60) }
    }
}

/// Idle connections kept for each host.
const IDLE_PER_HOST: usize = 16;

/// What no proxy reaches as we do.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// Name under which corten presents itself.
const USER_AGENT: &str = concat!("corten/", env!("CARGO_PKG_VERSION"));

/// To whom a client speaks: only the registry itself is shown the client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Registry,
    Elsewhere,
}

/// An HTTP client under `transport`. It follows no redirects: `exchange` does, and guards secrets.
pub(crate) fn http_client(transport: &Transport, side: Side) -> Result<Client, StoreError> {
    let authorities = authorities(&transport.tls)?;
    let identity = transport.tls.identity.as_ref().filter(|_| side == Side::Registry);
    let identity = identity.map(pem_identity).transpose();
    let identity = identity.map_err(|e| malformed("the client certificate", e))?;
    let proxies = proxies(&transport.proxies).map_err(|e| malformed("a proxy", e))?;
    let builder = || {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(transport.timeouts.connect)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .tcp_nodelay(true)
            .tls_danger_accept_invalid_certs(transport.insecure == Insecure::SkipVerify)
            .no_proxy();
        for proxy in &proxies {
            builder = builder.proxy(proxy.clone());
        }
        match &identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
    };
    // On a machine without a certificate store there are only the given authorities; with none of
    // those, plain HTTP still works.
    let merged = builder().tls_certs_merge(authorities.clone()).build();
    merged
        .or_else(|_| builder().tls_certs_only(authorities).build())
        .map_err(|source| malformed("certificates and proxies", source))
}

fn refused(object: &str, source: Cause) -> StoreError {
    let place = "the settings of the connection".to_owned();
    StoreError::Malformed { object: object.to_owned(), place, source }
}

fn malformed(object: &str, source: reqwest::Error) -> StoreError {
    refused(object, source.without_url().into())
}

fn authorities(tls: &Tls) -> Result<Vec<Certificate>, StoreError> {
    const OBJECT: &str = "a certificate authority";
    let mut authorities = Vec::new();
    for pem in &tls.authorities {
        let bundle = Certificate::from_pem_bundle(pem);
        let bundle = bundle.map_err(|error| malformed(OBJECT, error))?;
        if bundle.is_empty() {
            return Err(refused(OBJECT, cause("it holds no certificate")));
        }
        authorities.extend(bundle);
    }
    Ok(authorities)
}

fn pem_identity(pair: &ClientCertificate) -> Result<Identity, reqwest::Error> {
    let pem = [pair.certificate.as_slice(), b"\n", pair.key.as_slice()].concat();
    Identity::from_pem(&pem)
}

fn proxies(proxies: &Proxies) -> Result<Vec<Proxy>, reqwest::Error> {
    let except = || {
        let own = proxies.except.as_deref().unwrap_or_default();
        NoProxy::from_string(&format!("{own},{LOOPBACK}"))
    };
    let set = |text: &Option<String>| text.clone().filter(|url| !url.is_empty());
    let mut list = Vec::new();
    if let Some(url) = set(&proxies.http) {
        list.push(Proxy::http(url)?.no_proxy(except()));
    }
    if let Some(url) = set(&proxies.https) {
        list.push(Proxy::https(url)?.no_proxy(except()));
    }
    Ok(list)
}
