//! From a request to the room that answers it: the route is read, access is asked, and what goes
//! wrong becomes an answer.

use bytes::Bytes;
use corten_registry::wire::{ErrorCode, Repository, Route, Scope, Start};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Method, Request, Response};

use crate::access::{Asked, Credentials, Denial};
use crate::answer::{Answer, Body, name};
use crate::failure::Failure;
use crate::received::{Received, text};
use crate::routes;
use crate::server::{Parts, Server};

/// Where tokens are asked for.
const TOKEN_PATH: &str = "/token";

/// One request, but for what its route says.
pub(crate) struct Call {
    pub(crate) headers: HeaderMap,
    pub(crate) credentials: Credentials,
    /// The host it was sent to, as its `Host` header says.
    pub(crate) host: String,
}

impl Server {
    /// Answers one request. Always an answer: what goes wrong is one with an error body.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let credentials = match head.headers.get(AUTHORIZATION) {
            Some(value) => Credentials::parse(Some(value.to_str().unwrap_or_default())),
            None => Credentials::None,
        };
        let host = text(&head.headers, HOST).unwrap_or("localhost").to_owned();
        let body = Received::new(body, &head.headers, self.parts.options.limits.idle);
        let call = Call { headers: head.headers, credentials, host };
        let answer = if let Some(tokens) = &self.parts.tokens
            && head.uri.path() == TOKEN_PATH
        {
            routes::token::answer(tokens, &head.method, head.uri.query(), (&call, body)).await
        } else {
            self.parts.registry(&head.method, &head.uri, (&call, body)).await
        };
        let answer = answer.unwrap_or_else(Failure::answer);
        answer.header(name::API_VERSION, "registry/2.0").finish()
    }
}

impl Parts {
    async fn registry(
        &self,
        method: &Method,
        uri: &http::Uri,
        (call, body): (&Call, Received),
    ) -> Result<Answer, Failure> {
        let route = Route::parse(method.as_str(), uri.path(), uri.query());
        // Who is not welcome learns nothing, not even whether a name is well-formed.
        let scope = route.as_ref().ok().and_then(wanted);
        self.allow(call, scope.as_ref()).await?;
        match route? {
            Route::Base => Ok(routes::base()),
            Route::Catalog(page) => routes::list::catalog(self, &page),
            Route::Tags(name, page) => routes::list::tags(self, &name, &page),
            Route::ReadManifest(name, target, part) => {
                routes::manifest::read(self, call, &name, &target, part)
            }
            Route::WriteManifest(name, target, tags) => {
                routes::manifest::write(self, (call, body), &name, &target, tags).await
            }
            Route::DeleteManifest(name, target) => routes::manifest::delete(self, &name, &target),
            Route::ReadBlob(name, digest, part) => {
                routes::blob::read(self, call, &name, &digest, part)
            }
            Route::DeleteBlob(name, digest) => routes::blob::delete(self, &name, &digest),
            Route::StartUpload(name, start) => {
                routes::start::start(self, (call, body), &name, start).await
            }
            Route::UploadStatus(name, session) => {
                routes::upload::status(self, call, &name, &session).await
            }
            Route::AppendUpload(name, session) => {
                routes::upload::append(self, (call, body), &name, &session).await
            }
            Route::CommitUpload(name, session, digest) => {
                routes::upload::commit(self, (call, body), &name, (&session, &digest)).await
            }
            Route::CancelUpload(name, session) => routes::upload::cancel(self, &name, &session),
            Route::Referrers(name, subject, kind, page) => {
                routes::list::referrers(self, &name, &subject, (kind.as_ref(), &page))
            }
        }
    }

    /// Succeeds when the request may do all of `scope`.
    async fn allow(&self, call: &Call, scope: Option<&Scope>) -> Result<(), Failure> {
        let asked = Asked { credentials: &call.credentials, host: &call.host, scope };
        match self.access.authorize(asked).await {
            Ok(_) => Ok(()),
            Err(Denial::Unauthenticated(challenges)) => Err(Failure::unauthorized(&challenges)),
            Err(Denial::Forbidden) => {
                Err(Failure::new(ErrorCode::Denied, "the credentials do not allow this"))
            }
        }
    }

    /// Whether the request may read `name`, for mounting from there.
    pub(crate) async fn may_pull(&self, call: &Call, name: &Repository) -> bool {
        self.allow(call, Some(&Scope::pull(name))).await.is_ok()
    }
}

/// What a route needs to be allowed; `None` where being welcome is enough.
fn wanted(route: &Route) -> Option<Scope> {
    let actions: &[&str] = match route {
        Route::Base => return None,
        Route::Catalog(_) => return Scope::parse("registry:catalog:*"),
        Route::Tags(..) | Route::ReadManifest(..) | Route::ReadBlob(..) | Route::Referrers(..) => {
            &["pull"]
        }
        Route::WriteManifest(..)
        | Route::StartUpload(_, Start::Session(_) | Start::Whole(_) | Start::Mount(..))
        | Route::UploadStatus(..)
        | Route::AppendUpload(..)
        | Route::CommitUpload(..)
        | Route::CancelUpload(..) => &["pull", "push"],
        Route::DeleteManifest(..) | Route::DeleteBlob(..) => &["delete"],
    };
    route.repository().map(|name| Scope::of(name, actions))
}
