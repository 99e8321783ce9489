//! The in-process registry, seen from the wire: what it serves, logs, and does wrong on demand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corten_spec::Digest;
use corten_testkit::images::{ImageMaker, TestImage, referrer};
use corten_testkit::{Auth, Fault, Feature, Setup, TestRegistry};

/// An answer as it came: the head, the body, and whether the connection broke off.
struct Answer {
    head: String,
    body: Vec<u8>,
    broken: bool,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
    }

    fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(start.as_str()))
    }
}

fn ask(registry: &TestRegistry, line: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(registry.host()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (host, length) = (registry.host(), body.len());
    let head = format!(
        "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n\
         {headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A registry that cuts the connection may do so before it has read everything.
    let _ = stream.write_all(body);
    read(stream, 1 << 20)
}

/// Reads to the end or to `limit` bytes.
fn read(mut stream: TcpStream, limit: usize) -> Answer {
    let (mut bytes, mut broken, mut buffer) = (Vec::new(), false, [0; 4096]);
    while bytes.len() < limit {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                broken = true;
                break;
            }
            Err(error) => unreachable!("{error}"),
        }
    }
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = match split {
        Some(at) => (bytes[..at].to_vec(), bytes[at + 4..].to_vec()),
        None => (bytes, Vec::new()),
    };
    let head = String::from_utf8(head).unwrap();
    let mut answer = Answer { head, body, broken };
    let announced = answer.header("content-length").and_then(|n| n.parse::<usize>().ok());
    answer.broken |= split.is_none() || announced.is_some_and(|n| n > answer.body.len());
    answer
}

fn get(registry: &TestRegistry, target: &str) -> Answer {
    ask(registry, &format!("GET {target}"), "", b"")
}

/// A registry with one blob of 100 bytes, and the path of it.
fn with_blob() -> (TestRegistry, String) {
    let registry = TestRegistry::start();
    let content: Vec<u8> = (0..100).collect();
    let digest = registry.seed_blob("a", content);
    (registry, format!("/v2/a/blobs/{digest}"))
}

fn content() -> Vec<u8> {
    (0..100).collect()
}

#[test]
fn what_is_seeded_is_served_and_logged() {
    let registry = TestRegistry::start();
    let image = ImageMaker::new().text_layer("a", "x").build();
    let both = TestImage::index(&[image.clone(), referrer(&image, "x/y", "note")]);
    registry.seed("team/app", Some("v1"), &both);
    registry.assert_has("team/app", "v1", &both);
    let manifest = get(&registry, "/v2/team/app/manifests/v1");
    assert_eq!(manifest.body, both.root().bytes().as_ref());
    for (descriptor, bytes) in both.blobs() {
        let blob = get(&registry, &format!("/v2/team/app/blobs/{}", descriptor.digest));
        assert_eq!(blob.body, bytes.as_ref());
    }
    assert_eq!(registry.referrers("team/app", image.digest()).len(), 1);
    assert_eq!(registry.requests("GET /manifests/").len(), 1);
    let log = registry.log();
    assert_eq!(log[0].line(), "GET /v2/team/app/manifests/v1 200");
    assert_eq!(
        (log[0].sent, log[0].host.as_str()),
        (both.root().descriptor().size, registry.host().as_str())
    );
    assert_eq!(log[0].authorization, None);
    registry.clear_log();
    assert!(registry.log().is_empty());
}

#[test]
fn a_push_is_logged_with_its_bytes_and_the_scheme_of_its_credentials() {
    let registry = TestRegistry::start();
    let digest = Digest::sha256(b"hello");
    let line = format!("POST /v2/a/blobs/uploads/?digest={digest}");
    assert_eq!(ask(&registry, &line, "authorization: Bearer secret\r\n", b"hello").status(), 201);
    let log = registry.requests("POST digest=");
    assert_eq!((log.len(), log[0].received), (1, 5));
    assert_eq!(log[0].authorization.as_deref(), Some("Bearer"));
    assert!(!format!("{log:?}").contains("secret"));
    assert_eq!(registry.blob("a", &digest).as_deref(), Some(b"hello".as_slice()));
}

#[test]
fn answers_come_in_place_of_the_servers_as_often_as_asked() {
    let (registry, blob) = with_blob();
    registry.fault("GET /blobs/", 1, Fault::RateLimited(7));
    let limited = get(&registry, &blob);
    assert_eq!((limited.status(), limited.header("retry-after")), (429, Some("7")));
    registry.fault("GET /blobs/", 2, Fault::Status(503));
    let statuses: Vec<u16> = (0..3).map(|_| get(&registry, &blob).status()).collect();
    assert_eq!((statuses, registry.faults_met()), (vec![503, 503, 200], 3));
    registry.always("GET /blobs/", Fault::Unauthorized("Basic realm=\"x\"".to_owned()));
    let denied = get(&registry, &blob);
    assert_eq!(
        (denied.status(), denied.header("www-authenticate")),
        (401, Some("Basic realm=\"x\""))
    );
    registry.heal();
    assert_eq!(get(&registry, &blob).body, content());
}

#[test]
fn a_redirect_leads_to_another_registry() {
    let (registry, blob) = with_blob();
    let other = TestRegistry::start();
    registry.always("* /blobs/", Fault::Redirect(other.url()));
    let answer = get(&registry, &blob);
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.header("location"), Some(format!("{}{blob}", other.url()).as_str()));
}

#[test]
fn bodies_are_cut_shortened_corrupted_and_dripped() {
    let (registry, blob) = with_blob();
    let meet = |fault: Fault| {
        registry.fault("GET /blobs/", 1, fault);
        get(&registry, &blob)
    };
    let cut = meet(Fault::CutAnswer(10));
    assert_eq!((cut.header("content-length"), cut.broken), (Some("100"), true));
    assert_eq!(cut.body, content()[..10]);
    let short = meet(Fault::Shorten(10));
    assert_eq!((short.header("content-length"), short.broken), (None, false));
    assert_eq!(short.header("transfer-encoding"), Some("chunked"));
    let corrupt = meet(Fault::Corrupt(42));
    let mut wanted = content();
    wanted[42] = !42;
    assert_eq!((corrupt.body, corrupt.broken), (wanted, false));
    let long = meet(Fault::Length(200));
    assert_eq!((long.header("content-length"), long.broken), (Some("200"), true));
    assert_eq!(long.body, content());
    let less = meet(Fault::Length(20));
    assert_eq!((less.body, less.broken), (content()[..20].to_vec(), false));
    let started = Instant::now();
    let slow = meet(Fault::Drip(25, Duration::from_millis(50)));
    assert_eq!(slow.body, content());
    assert!(started.elapsed() >= Duration::from_millis(200));
    let started = Instant::now();
    assert_eq!(meet(Fault::Stall(50, Duration::from_millis(150))).body, content());
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert_eq!(get(&registry, &blob).body, content());
}

#[test]
fn a_body_without_end_goes_on() {
    let (registry, blob) = with_blob();
    registry.always("GET /blobs/", Fault::Endless);
    assert!(get(&registry, &blob).body.len() >= 1 << 19);
}

#[test]
fn connections_are_cut_before_and_after_the_server_acts() {
    let registry = TestRegistry::start();
    let digest = Digest::sha256(b"hello");
    let line = format!("POST /v2/a/blobs/uploads/?digest={digest}");
    registry.fault("POST /uploads/", 1, Fault::Cut);
    assert!(ask(&registry, &line, "", b"hello").broken);
    assert_eq!(registry.blob("a", &digest), None);
    registry.fault("POST /uploads/", 1, Fault::CutAfter);
    assert!(ask(&registry, &line, "", b"hello").broken);
    assert!(registry.blob("a", &digest).is_some());
    assert_eq!(registry.requests("POST /uploads/")[0].status, 0);
}

#[test]
fn an_upload_that_is_cut_keeps_what_came() {
    let registry = TestRegistry::start();
    let start = ask(&registry, "POST /v2/a/blobs/uploads/", "", b"");
    let session = start.header("location").unwrap().to_owned();
    registry.fault("PATCH /uploads/", 1, Fault::CutRequest(3));
    assert!(ask(&registry, &format!("PATCH {session}"), "", b"hello").broken);
    let status = get(&registry, &session);
    assert_eq!((status.status(), status.header("range")), (204, Some("0-2")));
}

#[test]
fn an_upload_is_taken_slowly() {
    let registry = TestRegistry::start();
    let digest = Digest::sha256(b"hello");
    let line = format!("POST /v2/a/blobs/uploads/?digest={digest}");
    registry.fault("POST /uploads/", 1, Fault::DripRequest(1, Duration::from_millis(30)));
    let started = Instant::now();
    assert_eq!(ask(&registry, &line, "", b"hello").status(), 201);
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert!(registry.blob("a", &digest).is_some());
}

#[test]
fn headers_lie_and_locations_change_their_form() {
    let (registry, blob) = with_blob();
    registry.fault("HEAD /blobs/", 1, Fault::lying_digest());
    let lie = ask(&registry, &format!("HEAD {blob}"), "", b"");
    assert!(!blob.ends_with(lie.header("docker-content-digest").unwrap()));
    registry.fault("GET /blobs/", 1, Fault::content_type("text/html"));
    registry.fault("GET /blobs/", 1, Fault::Without("docker-content-digest".to_owned()));
    let bare = get(&registry, &blob);
    assert_eq!(bare.header("content-type"), Some("text/html"));
    assert_eq!(bare.header("docker-content-digest"), None);
    let start = || ask(&registry, "POST /v2/a/blobs/uploads/", "", b"");
    registry.always("* /uploads/", Fault::LocationQuery("_state=x&y=z".to_owned()));
    registry.fault("POST /uploads/", 1, Fault::AbsoluteLocation);
    let session = start().header("location").unwrap().to_owned();
    assert!(
        session.starts_with(&registry.url()) && session.ends_with("?_state=x&y=z"),
        "{session}"
    );
    let path = session.strip_prefix(&registry.url()).unwrap();
    registry.fault("PATCH /uploads/", 1, Fault::stale_range(0));
    let patch = ask(&registry, &format!("PATCH {path}"), "", b"hello");
    assert_eq!((patch.status(), patch.header("range")), (202, Some("0-0")));
    let digest = Digest::sha256(b"hello");
    let put = ask(&registry, &format!("PUT {path}&digest={digest}"), "", b"");
    assert_eq!(put.status(), 201);
    assert_eq!(registry.requests("PUT _state=x&y=z").len(), 1);
}

#[test]
fn a_mount_becomes_a_session() {
    let (registry, blob) = with_blob();
    let digest = blob.rsplit('/').next().unwrap();
    let line = format!("POST /v2/b/blobs/uploads/?mount={digest}&from=a");
    registry.fault("POST mount=", 1, Fault::NoMount);
    assert_eq!(ask(&registry, &line, "", b"").status(), 202);
    assert_eq!(ask(&registry, &line, "", b"").status(), 201);
}

#[test]
fn credentials_are_asked_for() {
    let (user, password) = ("ann".to_owned(), "one".to_owned());
    let auth = Auth::Basic { user: user.clone(), password: password.clone() };
    let basic = TestRegistry::with(Setup { auth, ..Setup::default() });
    assert_eq!(get(&basic, "/v2/").header("www-authenticate"), Some("Basic realm=\"registry\""));
    let ann = "authorization: Basic YW5uOm9uZQ==\r\n";
    assert_eq!(ask(&basic, "GET /v2/", ann, b"").status(), 200);

    let auth = Auth::Token { user, password };
    let public = Some("public".to_owned());
    let tokens = TestRegistry::with(Setup { auth, public, ..Setup::default() });
    let challenge = get(&tokens, "/v2/a/tags/list").header("www-authenticate").unwrap().to_owned();
    let realm = format!("Bearer realm=\"{}/token\",service=\"test-registry\"", tokens.url());
    assert!(challenge.starts_with(&realm), "{challenge}");
    let fresh = ask(&tokens, "GET /token?scope=repository:a:pull", ann, b"");
    let fresh: serde_json::Value = serde_json::from_slice(&fresh.body).unwrap();
    let token = format!("authorization: Bearer {}\r\n", fresh["token"].as_str().unwrap());
    assert_eq!(ask(&tokens, "GET /v2/a/tags/list", &token, b"").status(), 404);
    tokens.revoke_tokens();
    assert_eq!(ask(&tokens, "GET /v2/a/tags/list", &token, b"").status(), 401);
}

#[test]
fn parts_of_the_protocol_are_switched_off() {
    let setup = Setup::default().without(Feature::Referrers).pages_of(1).sparse();
    let registry = TestRegistry::with(setup.without(Feature::Catalog).absolute_locations());
    assert_eq!(get(&registry, "/v2/_catalog").status(), 404);
    let start = ask(&registry, "POST /v2/a/blobs/uploads/", "", b"");
    assert!(start.header("location").unwrap().starts_with(&registry.url()));
    let image = ImageMaker::new().text_layer("a", "x").build();
    let put = "PUT /v2/a/manifests/";
    for tag in ["v1", "v2"] {
        let media_type = "content-type: application/vnd.oci.image.manifest.v1+json\r\n";
        let pushed = ask(&registry, &format!("{put}{tag}"), media_type, image.root().bytes());
        assert_eq!(pushed.status(), 201);
    }
    assert!(get(&registry, "/v2/a/tags/list").header("link").is_some());
    let target = format!("/v2/a/referrers/{}", Digest::sha256(b""));
    assert_eq!(get(&registry, &target).status(), 404);
}
