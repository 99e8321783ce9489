//! Asks a server in words that read like the request line, and holds its answer.

use std::sync::Arc;

use bytes::Bytes;
use corten_registry::wire::Refused;
use corten_serve::{Memory, Server, ServerOptions};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};

pub struct Asker {
    pub server: Server,
    pub memory: Arc<Memory>,
}

pub struct Answered {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Asker {
    pub fn new(options: ServerOptions) -> Self {
        let memory = Arc::new(Memory::new());
        Self { server: Server::new(Arc::clone(&memory), options), memory }
    }

    /// `line` is method and target; `headers` are `name: value`.
    pub async fn ask(&self, line: &str, headers: &[&str], body: &[u8]) -> Answered {
        let (method, target) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(target).header("host", "test:1");
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        let response: Response<_> = self.server.answer(request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub async fn get(&self, target: &str) -> Answered {
        self.ask(&format!("GET {target}"), &[], b"").await
    }

    /// Pushes a blob with one request.
    pub async fn blob(&self, name: &str, digest: &corten_spec::Digest, bytes: &[u8]) -> Answered {
        self.ask(&format!("POST /v2/{name}/blobs/uploads/?digest={digest}"), &[], bytes).await
    }
}

impl Answered {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The status and, where it is an error, its first code.
    pub fn verdict(&self) -> String {
        match Refused::parse(&self.body).code() {
            Some(code) if self.status >= 400 => format!("{} {code}", self.status),
            _ => self.status.to_string(),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
