//! A small web site on this machine: what it answers is a function of the request.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request: its path and its headers, as they came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim().to_owned())
    }
}

/// The site; it goes on until the test ends.
pub(crate) struct Site {
    pub(crate) port: u16,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Site {
    /// `answer` gives all bytes of an answer, and whether the connection then stays open and silent.
    pub(crate) fn start(
        answer: impl Fn(&Request) -> (Vec<u8>, bool) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (noted, answer) = (log.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, answer) = (noted.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &noted, &*answer));
            }
        });
        Self { port, log }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was asked for a path.
    pub(crate) fn requests(&self, path: &str) -> Vec<Request> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|request| request.path == path).cloned().collect()
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request) -> (Vec<u8>, bool) + Sync),
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        headers.push_str(&line);
    }
    let request = Request { path, headers };
    log.lock().unwrap().push(request.clone());
    let (bytes, stays) = answer(&request);
    let _ = stream.write_all(&bytes);
    if stays {
        std::thread::sleep(std::time::Duration::from_secs(20));
    }
}

/// An answer with a length.
pub(crate) fn ok(more: &str, body: &[u8]) -> (Vec<u8>, bool) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    ([head.as_bytes(), body].concat(), false)
}

/// An answer without a body.
pub(crate) fn status(line: &str) -> (Vec<u8>, bool) {
    let text = format!("HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    (text.into_bytes(), false)
}
