//! The floor under a copy: receive, hash, write, and nothing else. No TLS, no retries, no
//! verification of what is hashed; `benches/copy.sh` measures how close the real thing comes.
//!
//! ```text
//! floor pull HOST:PORT REPOSITORY DIR DIGEST…    registry to files, a thread a blob
//! floor ready HOST:PORT REPOSITORY DIR DIGEST…   the same, and unpack each to a plain tar, hashed too
//! floor push HOST:PORT REPOSITORY DIR DIGEST…    files to registry, a thread a blob
//! floor move HOST:PORT REPOSITORY TO DIGEST…     to the registry TO (HOST:PORT/NAME:TAG)
//! ```
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use sha2::{Digest, Sha256};

const BUFFER: usize = 256 * 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, host, repository, place, digests @ ..] = arguments.as_slice() else {
        panic!("floor pull|push|move HOST:PORT REPOSITORY PLACE DIGEST…");
    };
    std::thread::scope(|scope| {
        for digest in digests {
            scope.spawn(move || match verb.as_str() {
                "pull" => {
                    let (size, mut body) = receive(host, repository, digest);
                    let mut file = File::create(format!("{place}/{}", &digest[7..])).unwrap();
                    pump(&mut body, &mut file, size);
                    file.sync_data().unwrap();
                }
                "ready" => {
                    let (size, body) = receive(host, repository, digest);
                    ready(body.take(size), &format!("{place}/{}", &digest[7..]));
                }
                "push" => {
                    let mut file = File::open(format!("{place}/{}", &digest[7..])).unwrap();
                    let size = file.metadata().unwrap().len();
                    send(host, repository, digest, &mut file, size);
                }
                _ => {
                    let (size, mut body) = receive(host, repository, digest);
                    let (to, rest) = place.split_once('/').unwrap();
                    let repository = rest.split(':').next().unwrap();
                    send(to, repository, digest, &mut body, size);
                }
            });
        }
    });
}

/// Hashes, writes and unpacks a layer; hashes and writes what it unpacks to. Once.
fn ready(mut packed: impl Read, place: &str) {
    struct Tee<R> {
        from: R,
        to: File,
        hasher: Sha256,
    }
    impl<R: Read> Read for Tee<R> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let read = self.from.read(buffer)?;
            self.hasher.update(&buffer[..read]);
            self.to.write_all(&buffer[..read])?;
            Ok(read)
        }
    }
    let mut first = [0; 2];
    packed.read_exact(&mut first).unwrap();
    let from = first.as_slice().chain(packed);
    let to = File::create(place).unwrap();
    let mut tee = BufReader::with_capacity(BUFFER, Tee { from, to, hasher: Sha256::new() });
    let mut plain = File::create(format!("{place}.tar")).unwrap();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut unpacked: Box<dyn Read + '_> = match first {
        [0x1f, 0x8b] => Box::new(flate2::bufread::MultiGzDecoder::new(&mut tee)),
        _ => Box::new(&mut tee),
    };
    loop {
        let read = unpacked.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        plain.write_all(&buffer[..read]).unwrap();
    }
    drop(unpacked);
    std::hint::black_box((hasher.finalize(), tee.into_inner().hasher.finalize()));
}

fn pump(from: &mut impl Read, to: &mut impl Write, size: u64) {
    let mut buffer = vec![0; BUFFER];
    let mut hasher = Sha256::new();
    let mut left = size;
    while left > 0 {
        let read = from.read(&mut buffer).unwrap();
        assert!(read > 0, "the transfer was cut");
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read]).unwrap();
        left -= u64::try_from(read).unwrap();
    }
    std::hint::black_box(hasher.finalize());
}

fn receive(host: &str, repository: &str, digest: &str) -> (u64, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /v2/{repository}/blobs/{digest} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut body = BufReader::with_capacity(BUFFER, stream);
    let (status, headers) = answer(&mut body);
    assert_eq!(status, 200, "{digest}");
    (header(&headers, "content-length").parse().unwrap(), body)
}

fn send(host: &str, repository: &str, digest: &str, from: &mut impl Read, size: u64) {
    let stream = TcpStream::connect(host).unwrap();
    let mut to = stream.try_clone().unwrap();
    let mut answers = BufReader::new(stream);
    write!(
        to,
        "POST /v2/{repository}/blobs/uploads/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    let (status, headers) = answer(&mut answers);
    assert_eq!(status, 202);
    let location = header(&headers, "location");
    let path = location.strip_prefix(&format!("http://{host}")).unwrap_or(&location);
    write!(to, "PUT {path}&digest={digest} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\nContent-Type: application/octet-stream\r\n\r\n")
        .unwrap();
    pump(from, &mut to, size);
    assert_eq!(answer(&mut answers).0, 201, "{digest}");
}

fn answer(from: &mut impl BufRead) -> (u16, Vec<String>) {
    let mut lines = from.lines().map(Result::unwrap);
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (status, lines.take_while(|line| !line.is_empty()).collect())
}

fn header(headers: &[String], name: &str) -> String {
    let named =
        |line: &&String| line.split(':').next().is_some_and(|key| key.eq_ignore_ascii_case(name));
    let line = headers.iter().find(named).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}
