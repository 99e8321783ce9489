//! TLS against a real registry with certificates made for the occasion. Skipped, in so many words,
//! where docker-registry or openssl is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use corten_registry::{
    Anonymous, ClientCertificate, Connection, Insecure, Registry, Tls, Transport, certificates,
};
use corten_spec::Location;
use corten_store::{Resolver, StoreError};
use corten_testkit::{Peer, Scratch, scratch};

/// A registry that speaks TLS; it ends when dropped.
struct TlsRegistry {
    host: String,
    child: Child,
    scratch: Scratch,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    Any,
    Known,
}

fn openssl(directory: &Path, arguments: &str) -> Option<()> {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(directory);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) => assert!(status.success(), "openssl {arguments}"),
        Err(_) => return None,
    }
    Some(())
}

/// An authority, and a certificate by it for the server and one for a client.
fn make_certificates(directory: &Path) -> Option<()> {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(directory, &format!("req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=authority"))?;
    for (name, extension) in
        [("server", "subjectAltName=IP:127.0.0.1"), ("client", "keyUsage=digitalSignature")]
    {
        let subject = format!("-subj /CN={name} -addext {extension}");
        openssl(
            directory,
            &format!(
                "req -x509 {key} -CA ca.crt -CAkey ca.key -keyout {name}.key -out {name}.cert {subject} -addext basicConstraints=critical,CA:FALSE"
            ),
        )?;
    }
    Some(())
}

impl TlsRegistry {
    fn start(clients: Clients) -> Option<Self> {
        let peer = Peer::find("docker-registry")?;
        let scratch = scratch();
        let directory = scratch.join("certificates");
        std::fs::create_dir(&directory).unwrap();
        if make_certificates(&directory).is_none() {
            eprintln!("skipped: openssl is missing");
            return None;
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        drop(listener);
        let at = directory.display();
        let known = match clients {
            Clients::Any => String::new(),
            Clients::Known => format!(", clientcas: [{at}/ca.crt]"),
        };
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {at}/storage}}}}\n\
             http: {{addr: '{host}', \
             tls: {{certificate: {at}/server.cert, key: {at}/server.key{known}}}}}\n"
        );
        let config = scratch.write("config.yml", config);
        let mut command = peer.command();
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let registry = Self { host, child, scratch };
        for _ in 0..500 {
            if std::net::TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("docker-registry starts")
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.scratch.join("certificates").join(name)).unwrap()
    }

    /// What listing the tags of a repository that is not there comes to.
    async fn ask(&self, tls: Tls, insecure: Insecure) -> StoreError {
        let mut transport = Transport { tls, insecure, ..Transport::default() };
        transport.retry.attempts = 1;
        let connection = Connection::new(transport, Arc::new(Anonymous)).unwrap();
        let location = Location { host: self.host.clone(), repository: "team/app".to_owned() };
        let registry = Registry::open(location, connection).unwrap();
        registry.names().await.unwrap_err()
    }
}

impl Drop for TlsRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn an_authority_makes_a_registry_known() {
    let Some(server) = TlsRegistry::start(Clients::Any) else { return };
    let tls = Tls { authorities: vec![server.file("ca.crt")], identity: None };
    let error = server.ask(tls, Insecure::No).await;
    assert!(matches!(error, StoreError::NotFound { .. }), "{}", chain(&error));
}

#[tokio::test]
async fn an_unknown_certificate_is_an_error_that_says_so_and_no_reason_for_plain_http() {
    let Some(server) = TlsRegistry::start(Clients::Any) else { return };
    let error = server.ask(Tls::default(), Insecure::No).await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{}", chain(&error));
    assert!(chain(&error).contains("certificate"), "{}", chain(&error));
    let error = server.ask(Tls::default(), Insecure::SkipVerify).await;
    assert!(matches!(error, StoreError::NotFound { .. }), "{}", chain(&error));
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let Some(server) = TlsRegistry::start(Clients::Known) else { return };
    let authorities = vec![server.file("ca.crt")];
    let tls = Tls { authorities: authorities.clone(), identity: None };
    let error = server.ask(tls, Insecure::No).await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{}", chain(&error));
    let (certificate, key) = (server.file("client.cert"), server.file("client.key"));
    let identity = Some(ClientCertificate { certificate, key });
    let error = server.ask(Tls { authorities, identity }, Insecure::No).await;
    assert!(matches!(error, StoreError::NotFound { .. }), "{}", chain(&error));
}

#[tokio::test]
async fn certificates_come_from_the_directory_of_the_host() {
    let Some(server) = TlsRegistry::start(Clients::Known) else { return };
    let directories = [server.scratch.join("certs.d")];
    let host = directories.first().unwrap().join(&server.host);
    std::fs::create_dir_all(&host).unwrap();
    for name in ["ca.crt", "client.cert", "client.key"] {
        std::fs::write(host.join(name), server.file(name)).unwrap();
    }
    let tls = certificates(&directories, &server.host).unwrap();
    let error = server.ask(tls, Insecure::No).await;
    assert!(matches!(error, StoreError::NotFound { .. }), "{}", chain(&error));
}

#[test]
fn certificates_that_are_none_are_refused_at_once() {
    let tls = Tls { authorities: vec![b"nonsense".to_vec()], identity: None };
    let accepted = Connection::new(Transport { tls, ..Transport::default() }, Arc::new(Anonymous));
    assert!(matches!(accepted, Err(StoreError::Malformed { .. })));
    let identity = ClientCertificate { certificate: b"x".to_vec(), key: b"y".to_vec() };
    let tls = Tls { authorities: Vec::new(), identity: Some(identity) };
    let refused = Connection::new(Transport { tls, ..Transport::default() }, Arc::new(Anonymous));
    assert!(matches!(refused, Err(StoreError::Malformed { .. })));
}
