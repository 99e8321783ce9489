//! A registry asked in plain HTTP, past every client, ours included.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use corten_testkit::images::TestImage;

/// An answer of a registry.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| {
            line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let line = self.head.lines().find(named)?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

/// Asks with HTTP/1.0, so that no answer comes in chunks.
pub(crate) fn ask(host: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(host).unwrap();
    let accept = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
    .join(", ");
    write!(stream, "GET /v2/{path} HTTP/1.0\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an end of the head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

/// Asserts that `repository` holds every manifest and blob of `image` byte for byte, with their
/// media types, and the root under `tag`.
pub(crate) fn assert_in_registry(host: &str, repository: &str, tag: &str, image: &TestImage) {
    let root = ask(host, &format!("{repository}/manifests/{tag}"));
    assert!(root.body == **image.root().bytes(), "{repository}:{tag} is another manifest");
    for document in image.documents() {
        let descriptor = document.descriptor();
        let found = ask(host, &format!("{repository}/manifests/{}", descriptor.digest));
        assert_eq!(found.status, 200, "{repository}: {}", descriptor.digest);
        assert!(found.body == **document.bytes(), "{repository}: {} differs", descriptor.digest);
        assert_eq!(found.header("content-type"), Some(descriptor.media_type.as_str()));
    }
    for (descriptor, bytes) in image.distributable() {
        let found = ask(host, &format!("{repository}/blobs/{}", descriptor.digest));
        assert_eq!(found.status, 200, "{repository}: {}", descriptor.digest);
        assert!(found.body == **bytes, "{repository}: {} differs", descriptor.digest);
    }
}
