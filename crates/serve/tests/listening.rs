//! The server on a socket: real connections, cut uploads, shutdown.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use corten_serve::{Memory, Server, ServerOptions};
use corten_spec::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

struct Listening {
    address: std::net::SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn listening() -> Listening {
    let server = Server::new(Arc::new(Memory::new()), ServerOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(async move { server.serve(listener, stopped).await });
    Listening { address, stop, task }
}

/// Sends raw bytes and reads until the server closes.
async fn exchange(at: &Listening, request: &str) -> String {
    let mut stream = TcpStream::connect(at.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn location(answer: &str) -> String {
    let line = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    line.to_owned()
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let at = listening().await;
    let digest = Digest::sha256(b"hello");
    let push = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: 5\r\n\r\nhello"
    );
    assert!(exchange(&at, &push).await.starts_with("HTTP/1.1 201 "));
    let head =
        format!("HEAD /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = exchange(&at, &head).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_came_before_a_cut_is_kept() {
    let at = listening().await;
    let start = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Content-Length: 0\r\n\r\n";
    let session = location(&exchange(&at, start).await);
    let mut stream = TcpStream::connect(at.address).await.unwrap();
    let patch = format!("PATCH {session} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello");
    stream.write_all(patch.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let status = format!("GET {session} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for _ in 0..100 {
        let answer = exchange(&at, &status).await;
        if answer.contains("\r\nrange: 0-4\r\n") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("the first five bytes were lost");
}

#[tokio::test]
async fn noise_ends_a_connection_and_not_the_server() {
    let at = listening().await;
    exchange(&at, "\0\x01 nonsense\r\n\r\n").await;
    let base = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(exchange(&at, base).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_stopped_server_ends_its_idle_connections() {
    let at = listening().await;
    let mut idle = TcpStream::connect(at.address).await.unwrap();
    idle.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    at.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(10), at.task).await.unwrap().unwrap();
}
