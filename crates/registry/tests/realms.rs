//! Which token service is shown a credential: that of the registry's own origin, or one that was named for it;
//! and no redirect takes a secret, or the body of a request, to another origin.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use corten_registry::{
    Anonymous, Connection, Credential, Keychain, Registry, Secret, Transport, verify_login,
};
use corten_store::{Begun, Ingester, Pusher, Resolver, StoreError};
use support::{Say, Scripted, Seen, chain, layer, manifest, quick, say};

const SECRETS: [&str; 3] = ["hunter2", "YW5uOmh1bnRlcjI=", "refresh-me"];

fn password() -> Credential {
    Credential::Password { username: "ann".to_owned(), password: Secret::new("hunter2") }
}

fn identity() -> Credential {
    Credential::IdentityToken(Secret::new("refresh-me"))
}

fn every_kind() -> [Arc<dyn Keychain>; 2] {
    [Arc::new(password()), Arc::new(identity())]
}

fn tags() -> Say {
    say(200).body(r#"{"tags":["v1"]}"#)
}

fn token() -> Say {
    say(200).body(r#"{"token":"t","access_token":"t","expires_in":300}"#)
}

/// A registry whose challenge names the realm `realm`; without one, its own.
async fn registry(
    realm: Option<String>,
    tokens: impl Fn() -> Say + Send + Sync + 'static,
) -> Scripted {
    Scripted::start(move |seen| {
        if seen.target.starts_with("/token") {
            return tokens();
        }
        match seen.header("authorization") {
            "Bearer t" if seen.method == "GET" => tags(),
            "Bearer t" => say(201),
            _ => {
                let own = || format!("http://{}/token", seen.header("host"));
                let realm = realm.clone().unwrap_or_else(own);
                let challenge = format!("Bearer realm=\"{realm}\",service=\"reg\"");
                say(401).header("WWW-Authenticate", challenge)
            }
        }
    })
    .await
}

fn open(server: &Scripted, keychain: Arc<dyn Keychain>, transport: Transport) -> Registry {
    let connection = Connection::new(transport, keychain).unwrap();
    Registry::open(server.location("team/app"), connection).unwrap()
}

/// Settings under which `service` is named as a token service of `server`.
fn named(server: &Scripted, service: &str) -> Transport {
    let mut transport = quick();
    transport.token_services.insert(server.host.clone(), vec![service.to_owned()]);
    transport
}

fn tells_nothing(seen: &[Seen]) {
    for seen in seen {
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        let all = format!("{} {:?} {body}", seen.target, seen.headers);
        assert!(!SECRETS.iter().any(|secret| all.contains(secret)), "{all}");
    }
}

#[tokio::test]
async fn a_token_service_elsewhere_gets_no_credential_unless_it_is_named() {
    for keychain in every_kind() {
        let service = Scripted::start(|_| token()).await;
        let server = registry(Some(service.url("/token")), token).await;
        let error =
            open(&server, Arc::clone(&keychain), quick()).push(&manifest()).await.unwrap_err();
        assert!(matches!(error, StoreError::Denied { .. }), "{}", chain(&error));
        let wanted = format!(
            "the token service of {} is {}, which is another host that was not named for it: it is not shown \
             the credential",
            server.host, service.host
        );
        assert!(chain(&error).ends_with(&wanted), "{}", chain(&error));
        assert!(service.seen().is_empty(), "{:?}", service.lines());
        // Once it is named, it is asked.
        open(&server, keychain, named(&server, &service.host)).push(&manifest()).await.unwrap();
        let seen = &service.seen()[0];
        let basic = seen.header("authorization") == "Basic YW5uOmh1bnRlcjI=";
        assert!(basic || String::from_utf8_lossy(&seen.body).contains("refresh-me"));
    }
}

#[tokio::test]
async fn what_anybody_may_read_is_read_without_the_credential() {
    let service = Scripted::start(|_| token()).await;
    let server = registry(Some(service.url("/token")), token).await;
    open(&server, Arc::new(password()), quick()).names().await.unwrap();
    let query = "GET /token?service=reg&scope=repository%3Ateam%2Fapp%3Apull";
    assert_eq!(service.lines(), [query]);
    tells_nothing(&service.seen());
    // Where that is not enough, the error says why no credential went there.
    let service = Scripted::start(|_| say(401)).await;
    let server = registry(Some(service.url("/token")), token).await;
    let error = open(&server, Arc::new(password()), quick()).names().await.unwrap_err();
    assert!(chain(&error).contains("not shown the credential"), "{}", chain(&error));
    tells_nothing(&service.seen());
}

#[tokio::test]
async fn a_login_is_not_verified_by_a_token_for_nobody() {
    let service = Scripted::start(|_| token()).await;
    let server = registry(Some(service.url("/token")), token).await;
    let error = verify_login(&server.host, &password(), quick()).await.unwrap_err();
    assert!(chain(&error).contains("not shown the credential"), "{}", chain(&error));
    tells_nothing(&service.seen());
    verify_login(&server.host, &password(), named(&server, &service.host)).await.unwrap();
}

#[tokio::test]
async fn where_the_token_service_is_named_nobody_else_gets_the_credential() {
    // Somebody holds the registry, and asks for passwords themselves.
    let challenges = ["Basic realm=\"x\"".to_owned(), "Bearer realm=\"/token\"".to_owned()];
    for challenge in challenges {
        for keychain in every_kind() {
            let challenge = challenge.clone();
            let server = Scripted::start(move |seen| match seen.target.starts_with("/token") {
                true => token(),
                false => say(401).header("WWW-Authenticate", &challenge),
            })
            .await;
            let registry = open(&server, keychain, named(&server, "auth.example"));
            assert!(registry.push(&manifest()).await.is_err());
            tells_nothing(&server.seen());
        }
    }
}

#[tokio::test]
async fn a_port_is_part_of_a_named_token_service() {
    let service = Scripted::start(|_| token()).await;
    let server = registry(Some(service.url("/token")), token).await;
    for wrong in ["127.0.0.1", "127.0.0.1:1", "localhost"] {
        let registry = open(&server, Arc::new(password()), named(&server, wrong));
        assert!(registry.push(&manifest()).await.is_err(), "{wrong}");
    }
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn a_token_service_leads_to_no_other_origin() {
    for status in [301, 302, 303, 307, 308] {
        let kinds: [Arc<dyn Keychain>; 3] =
            [Arc::new(password()), Arc::new(identity()), Arc::new(Anonymous)];
        for keychain in kinds {
            let thief = Scripted::start(|_| token()).await;
            let target = thief.url("/collect");
            let server = registry(None, move || say(status).header("Location", &target)).await;
            let error = open(&server, keychain, quick()).names().await.unwrap_err();
            assert!(chain(&error).contains("redirects to"), "{}", chain(&error));
            assert!(thief.seen().is_empty(), "{status}: {:?}", thief.lines());
        }
    }
}

#[tokio::test]
async fn a_token_service_may_move_within_its_origin() {
    for keychain in every_kind() {
        let server = Scripted::start(|seen| match (&*seen.target, seen.header("authorization")) {
            (target, _) if target.starts_with("/token") => say(307).header("Location", "/moved"),
            ("/moved", _) => token(),
            (_, "Bearer t") => tags(),
            _ => say(401).header("WWW-Authenticate", "Bearer realm=\"/token\",service=reg"),
        })
        .await;
        server.registry_for(keychain).names().await.unwrap();
    }
}

#[tokio::test]
async fn no_body_is_taken_to_another_origin_by_a_redirect() {
    let thief = Scripted::start(|_| say(201)).await;
    let target = thief.url("/collect");
    let server = Scripted::start(move |seen| match &*seen.method {
        "HEAD" => say(404),
        "POST" => say(202).header("Location", "/upload/1"),
        _ => say(307).header("Location", &target),
    })
    .await;
    let registry = server.registry();
    let error = registry.push(&manifest()).await.unwrap_err();
    assert!(chain(&error).contains("redirects to"), "{}", chain(&error));
    let (bytes, descriptor) = layer(1000);
    let Begun::Ingest(mut ingest) = registry.begin(&descriptor, None).await.unwrap() else {
        panic!("an upload")
    };
    let sent = ingest.append(Bytes::copy_from_slice(&bytes)).await;
    assert!(sent.is_err() || ingest.commit().await.is_err());
    assert!(thief.seen().is_empty(), "{:?}", thief.lines());
}
