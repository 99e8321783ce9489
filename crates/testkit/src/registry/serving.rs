//! Answering on a socket: the server's answer, bent by the faults that the request meets.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use corten_registry::wire::{ErrorCode, Refused};
use corten_serve::{Body, Server};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::fault::{Fault, Faults};
use super::log::{Entry, Logged};
use super::warp::{self, End};

/// What answers requests.
pub(super) struct Desk {
    pub(super) server: Server,
    pub(super) faults: Arc<Mutex<Faults>>,
    pub(super) log: Arc<Mutex<Vec<Entry>>>,
    pub(super) address: SocketAddr,
}

/// Answers until told to stop; then everything under way ends with the runtime.
pub(super) fn run(desk: Desk, listener: std::net::TcpListener, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let desk = Arc::new(desk);
        let accept = async {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(Arc::clone(&desk), stream));
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
}

async fn converse(desk: Arc<Desk>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| desk.respond(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // A cut connection ends in an error, and is meant to.
    let _ = connection.await;
}

fn cut<T>() -> Result<T, io::Error> {
    Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut on demand"))
}

impl Desk {
    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
        let entry = Entry::new(logged(&request));
        let (received, sent) = (Arc::clone(&entry.received), Arc::clone(&entry.sent));
        let faults = self.faults.lock().unwrap().meet(&entry.logged);
        let place = {
            let mut log = self.log.lock().unwrap();
            log.push(entry);
            log.len() - 1
        };
        let request = request.map(|body| warp::counted(body, &received));
        let response = self.bent(request, &faults).await?;
        // The log may have been cleared meanwhile.
        if let Some(entry) = self.log.lock().unwrap().get_mut(place) {
            entry.logged.status = response.status().as_u16();
        }
        Ok(response.map(|body| warp::counted(body, &sent)))
    }

    async fn bent(
        &self,
        mut request: Request<Body>,
        faults: &[Fault],
    ) -> Result<Response<Body>, io::Error> {
        for fault in faults {
            match fault {
                Fault::Cut => return cut(),
                Fault::Delay(pause) => tokio::time::sleep(*pause).await,
                Fault::NoMount => remove_query(&mut request),
                Fault::CutRequest(after) => {
                    let after = *after;
                    request = request.map(|body| {
                        let pieces = warp::pieces(body, usize::MAX);
                        warp::body(warp::shortened(pieces, after, End::Cut))
                    });
                }
                Fault::DripRequest(size, pause) => {
                    let (size, pause) = (usize::try_from(*size).unwrap_or(usize::MAX), *pause);
                    request = request
                        .map(|body| warp::body(warp::dripping(warp::pieces(body, size), pause)));
                }
                other => {
                    if let Some(response) = instead(other, &request) {
                        return Ok(response);
                    }
                }
            }
        }
        let mut response = self.server.answer(request).await;
        for fault in faults {
            if matches!(fault, Fault::CutAfter | Fault::CutRequest(_)) {
                return cut();
            }
            bend_head(fault, &mut response, self.address);
            response = bend_body(fault, response);
        }
        Ok(response)
    }
}

fn logged(request: &Request<Incoming>) -> Logged {
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let scheme = |value: String| value.split(' ').next().unwrap_or_default().to_owned();
    Logged {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        host: header("host").unwrap_or_default(),
        authorization: header("authorization").map(scheme),
        agent: header("user-agent"),
        range: header("range").or_else(|| header("content-range")),
        received: 0,
        sent: 0,
        status: 0,
    }
}

fn remove_query(request: &mut Request<Body>) {
    *request.uri_mut() = request.uri().path().parse().unwrap();
}

/// The answer to give in place of the server's.
fn instead(fault: &Fault, request: &Request<Body>) -> Option<Response<Body>> {
    let answer = |status: u16, headers: &[(&str, &str)], body: Vec<u8>| {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        Some(answer.body(warp::plain(body)).unwrap())
    };
    let refused = |code: ErrorCode| Refused::new(code, "on demand").write();
    let json = (CONTENT_TYPE.as_str(), "application/json");
    match fault {
        Fault::RateLimited(wait) => {
            let headers = [json, (RETRY_AFTER.as_str(), &wait.to_string())];
            answer(429, &headers, refused(ErrorCode::TooManyRequests))
        }
        Fault::Status(status) => {
            let known = ErrorCode::KNOWN.iter().find(|code| code.status() == *status);
            answer(*status, &[json], refused(known.cloned().unwrap_or(ErrorCode::Unknown)))
        }
        Fault::Unauthorized(challenge) => {
            let headers = [json, (WWW_AUTHENTICATE.as_str(), challenge.as_str())];
            answer(401, &headers, refused(ErrorCode::Unauthorized))
        }
        Fault::Answer(status, headers, body) => {
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            answer(*status, &headers.collect::<Vec<_>>(), body.clone().into_bytes())
        }
        Fault::Redirect(base) => {
            let location = format!("{base}{}", request.uri().path_and_query().unwrap());
            answer(307, &[(LOCATION.as_str(), &location)], Vec::new())
        }
        Fault::RedirectTo(location) => answer(307, &[(LOCATION.as_str(), location)], Vec::new()),
        _ => None,
    }
}

fn bend_head(fault: &Fault, response: &mut Response<Body>, address: SocketAddr) {
    let location = |response: &Response<Body>| {
        let value = response.headers().get(LOCATION)?;
        let text = value.to_str().unwrap().to_owned();
        Some(text.strip_prefix(&format!("http://{address}")).map(str::to_owned).unwrap_or(text))
    };
    let changed = match fault {
        Fault::Header(name, value) => Some((name.parse::<HeaderName>().unwrap(), value.clone())),
        Fault::Without(name) => {
            response.headers_mut().remove(name.as_str());
            None
        }
        Fault::RelativeLocation => location(response).map(|path| (LOCATION, path)),
        Fault::AbsoluteLocation => {
            location(response).map(|path| (LOCATION, format!("http://{address}{path}")))
        }
        Fault::LocationQuery(query) => location(response).map(|path| {
            let separator = if path.contains('?') { '&' } else { '?' };
            (LOCATION, format!("{path}{separator}{query}"))
        }),
        Fault::Length(length) => Some((CONTENT_LENGTH, length.to_string())),
        _ => None,
    };
    if let Some((name, value)) = changed {
        response.headers_mut().insert(name, HeaderValue::from_str(&value).unwrap());
    }
}

fn bend_body(fault: &Fault, response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::NO_CONTENT {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let split = usize::MAX;
    let body = match fault {
        Fault::CutAnswer(after) => {
            warp::body(warp::shortened(warp::pieces(body, split), *after, End::Cut))
        }
        Fault::Stall(after, pause) => {
            warp::body(warp::stalled(warp::pieces(body, split), *after, *pause))
        }
        Fault::Drip(size, pause) => {
            let size = usize::try_from(*size).unwrap_or(split);
            warp::body(warp::dripping(warp::pieces(body, size), *pause))
        }
        Fault::Corrupt(offset) => warp::body(warp::corrupted(warp::pieces(body, split), *offset)),
        Fault::Shorten(after) => {
            head.headers.remove(CONTENT_LENGTH);
            warp::body(warp::shortened(warp::pieces(body, split), *after, End::Clean))
        }
        Fault::Length(length) => {
            warp::body(warp::shortened(warp::pieces(body, split), *length, End::Clean))
        }
        Fault::Endless => {
            head.headers.remove(CONTENT_LENGTH);
            warp::body(warp::endless())
        }
        _ => body,
    };
    Response::from_parts(head, body)
}
