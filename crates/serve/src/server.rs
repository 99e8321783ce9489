//! The server: its parts put together, and the connections it listens to.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::access::{Access, AllowAll, TokenService};
use crate::gate::{AdmitAll, Gate};
use crate::memory::Memory;
use crate::options::ServerOptions;

/// Longest wait for the headers of a request.
const HEADER_WAIT: Duration = Duration::from_secs(30);
/// Most bytes of the headers of a request.
const MAX_HEADERS: usize = 64 * 1024;
/// Wait after the system refused to accept a connection, so that it may recover.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A registry server. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    pub(crate) parts: Arc<Parts>,
}

/// What a server is made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) memory: Arc<Memory>,
    pub(crate) options: ServerOptions,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) tokens: Option<Arc<TokenService>>,
}

impl Server {
    /// A server of this content that allows and admits everything.
    pub fn new(memory: Arc<Memory>, options: ServerOptions) -> Self {
        let (access, gate) = (Arc::new(AllowAll), Arc::new(AdmitAll));
        Self { parts: Arc::new(Parts { memory, options, access, gate, tokens: None }) }
    }

    /// The same server with another rule of who may do what.
    #[must_use]
    pub fn with_access(self, access: Arc<dyn Access>) -> Self {
        self.with(|parts| parts.access = access)
    }

    /// The same server with another rule of what may be pushed.
    #[must_use]
    pub fn with_gate(self, gate: Arc<dyn Gate>) -> Self {
        self.with(|parts| parts.gate = gate)
    }

    /// The same server with a token service at `/token`.
    #[must_use]
    pub fn with_tokens(self, tokens: Arc<TokenService>) -> Self {
        self.with(|parts| parts.tokens = Some(tokens))
    }

    fn with(self, change: impl FnOnce(&mut Parts)) -> Self {
        let mut parts = (*self.parts).clone();
        change(&mut parts);
        Self { parts: Arc::new(parts) }
    }

    /// Answers the requests that come to `listener` until `stop` says true or its sender is
    /// dropped; requests under way are finished.
    pub async fn serve(&self, listener: TcpListener, stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.parts.options.limits.connections));
        let mut ended = stop.clone();
        let mut tasks = tokio::task::JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = ended.wait_for(|stop| *stop) => break,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (server, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                // The peer is gone, or spoke no HTTP: there is nobody left to tell.
                let _ = server.converse(stream, stop).await;
                drop(place);
            });
            while tasks.try_join_next().is_some() {}
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Answers the requests of one connection.
    async fn converse(
        &self,
        stream: TcpStream,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), hyper::Error> {
        let _: io::Result<()> = stream.set_nodelay(true);
        let service = service_fn(|request: hyper::Request<Incoming>| async {
            Ok::<_, Infallible>(self.answer(request).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_WAIT)
            .max_buf_size(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}
