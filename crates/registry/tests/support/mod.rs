//! A server that says whatever a test wants it to say, and remembers what it was asked.

// Every test binary has this module and uses a part of it.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use corten_registry::{
    Anonymous, Connection, Insecure, Keychain, Registry, Retry, Timeouts, Transport,
};
use corten_spec::{AnyDocument, Descriptor, Document, Location, Manifest, MediaType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Method and target, as tests compare them.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// An answer as it goes.
#[derive(Clone, Debug)]
pub struct Say {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    sent: Option<usize>,
    lost: bool,
    slowly: Option<Duration>,
}

pub fn say(status: u16) -> Say {
    Say { status, headers: Vec::new(), body: Vec::new(), sent: None, lost: false, slowly: None }
}

impl Say {
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sends only so many bytes of the body and breaks the connection.
    pub fn cut(mut self, after: usize) -> Self {
        self.sent = Some(after);
        self
    }

    /// Sends one byte of the body, waits, and sends the next.
    pub fn slowly(mut self, each: Duration) -> Self {
        self.slowly = Some(each);
        self
    }

    /// Breaks the connection instead of saying anything.
    pub fn lost(mut self) -> Self {
        self.lost = true;
        self
    }
}

type Script = dyn Fn(&Seen) -> Say + Send + Sync;

/// The server. It ends with the test's runtime.
pub struct Scripted {
    pub host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Scripted {
    pub async fn start(script: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { host, seen }
    }

    /// Everything it was asked, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// Its repository `team/app`, as anybody sees it.
    pub fn registry(&self) -> Registry {
        self.registry_for(Arc::new(Anonymous))
    }

    pub fn registry_for(&self, keychain: Arc<dyn Keychain>) -> Registry {
        let connection = Connection::new(quick(), keychain).unwrap();
        Registry::open(self.location("team/app"), connection).unwrap()
    }

    pub fn location(&self, repository: &str) -> Location {
        Location { host: self.host.clone(), repository: repository.to_owned() }
    }
}

/// Settings under which nothing takes long.
pub fn quick() -> Transport {
    Transport {
        insecure: Insecure::PlainHttp,
        timeouts: Timeouts { stall: Duration::from_secs(5), ..Timeouts::default() },
        retry: Retry {
            attempts: 3,
            base: Duration::from_millis(2),
            longest: Duration::from_millis(1500),
        },
        ..Transport::default()
    }
}

async fn converse(mut stream: TcpStream, script: Arc<Script>, log: Arc<Mutex<Vec<Seen>>>) {
    let mut waiting = Vec::new();
    while let Some(seen) = read(&mut stream, &mut waiting).await {
        let say = script(&seen);
        let head = seen.method == "HEAD";
        log.lock().unwrap().push(seen);
        if say.lost {
            return;
        }
        let mut text = format!("HTTP/1.1 {} X\r\n", say.status);
        for (name, value) in &say.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let announced = say.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("content-length"));
        if !announced && say.status != 204 {
            text.push_str(&format!("content-length: {}\r\n", say.body.len()));
        }
        text.push_str("\r\n");
        let _ = stream.write_all(text.as_bytes()).await;
        if !head {
            let end = say.sent.unwrap_or(say.body.len());
            let step = if say.slowly.is_some() { 1 } else { end.max(1) };
            for piece in say.body[..end].chunks(step) {
                if stream.write_all(piece).await.is_err() {
                    return;
                }
                tokio::time::sleep(say.slowly.unwrap_or_default()).await;
            }
        }
        let _ = stream.flush().await;
        if say.sent.is_some() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, waiting: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(end) = waiting.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        // No request starts like this: somebody tries TLS.
        if waiting.first() == Some(&0x16) || stream.read_buf(waiting).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(waiting[..end].to_vec()).ok()?;
    waiting.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    while waiting.len() < length {
        if stream.read_buf(waiting).await.ok()? == 0 {
            return None;
        }
    }
    let body = waiting.drain(..length).collect();
    Some(Seen { method, target, headers, body })
}

/// A small manifest without layers.
pub fn manifest() -> AnyDocument {
    let config = Descriptor::of(MediaType::OCI_CONFIG, b"{}");
    document(Manifest::image(config, Vec::new()))
}

pub fn document(manifest: Manifest) -> AnyDocument {
    AnyDocument::Manifest(Document::write(MediaType::OCI_MANIFEST, manifest).unwrap())
}

/// Bytes that differ from each other, and the descriptor of a layer of them.
pub fn layer(size: usize) -> (Bytes, Descriptor) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    let bytes = Bytes::from(bytes);
    let descriptor = Descriptor::of(MediaType::OCI_LAYER, &bytes);
    (bytes, descriptor)
}

/// The chain of an error, as the binary prints it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
