//! Who is shown which secret: challenges, tokens, and every way a registry could send us astray.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use corten_registry::{
    Anonymous, Connection, Credential, CredentialError, Keychain, Registry, Secret, verify_login,
};
use corten_spec::{Descriptor, Location, MediaType};
use corten_store::{Begun, Fetcher, Ingester, Kind, Pusher, Resolver, StoreError};
use futures_util::StreamExt;
use support::{Say, Scripted, Seen, chain, layer, manifest, quick, say};

/// "ann:hunter2" in base64.
const BASIC: &str = "Basic YW5uOmh1bnRlcjI=";

fn ann() -> Arc<dyn Keychain> {
    Arc::new(password())
}

fn password() -> Credential {
    Credential::Password { username: "ann".to_owned(), password: Secret::new("hunter2") }
}

fn tags() -> Say {
    say(200).body(r#"{"tags":["v1"]}"#)
}

/// A 401 with a challenge for tokens, as the registry of `seen` gives it.
fn bearer(seen: &Seen, scope: &str) -> Say {
    let realm = format!("http://{}/token", seen.header("host"));
    let challenge = format!("Bearer realm=\"{realm}\",service=\"reg\",scope=\"{scope}\"");
    say(401).header("WWW-Authenticate", challenge)
}

#[tokio::test]
async fn nothing_secret_is_sent_before_it_is_asked_for() {
    let server = Scripted::start(|seen| match seen.header("authorization") {
        BASIC => tags(),
        _ => say(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    })
    .await;
    let registry = server.registry_for(ann());
    registry.names().await.unwrap();
    registry.names().await.unwrap();
    let sent: Vec<String> =
        server.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!(sent, ["", BASIC, BASIC]);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let server = Scripted::start(|_| {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"bad password"}]}"#;
        say(401).header("WWW-Authenticate", "Basic realm=\"x\"").body(body)
    })
    .await;
    let error = server.registry_for(ann()).names().await.unwrap_err();
    let text = format!(
        "{}/team/app denies list of tags of team/app: \
         answered 401 Unauthorized: UNAUTHORIZED: bad password",
        server.host
    );
    assert_eq!(chain(&error), text);
    assert_eq!(server.lines().len(), 2);
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_until_it_is_refused() {
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let server = Scripted::start(move |seen| {
        if seen.target.starts_with("/token") {
            assert_eq!(seen.header("authorization"), BASIC);
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            return say(200).body(format!("{{\"token\":\"t{number}\",\"expires_in\":300}}"));
        }
        // The first token is good for two requests.
        match (seen.header("authorization"), count.load(Ordering::SeqCst)) {
            ("Bearer t1", 1) if !seen.target.contains("expired") => tags(),
            ("Bearer t2", _) => tags(),
            _ => bearer(seen, "repository:team/app:pull"),
        }
    })
    .await;
    let registry = server.registry_for(ann());
    registry.names().await.unwrap();
    registry.names().await.unwrap();
    let token = "GET /token?account=ann&service=reg&scope=repository%3Ateam%2Fapp%3Apull";
    let list = "GET /v2/team/app/tags/list?n=1000";
    assert_eq!(server.lines(), [list, token, list, list]);
    // The token runs out in the middle of things.
    given.store(7, Ordering::SeqCst);
    let result = registry.names().await;
    assert!(result.is_err(), "t8 is no token of this server");
    given.store(1, Ordering::SeqCst);
    registry.names().await.unwrap();
    assert_eq!(server.lines().last().unwrap(), list);
}

#[tokio::test]
async fn a_token_for_pushing_is_good_for_pulling() {
    let server = Scripted::start(|seen| {
        if seen.target.starts_with("/token") {
            return say(200).body(r#"{"access_token":"t","expires_in":300}"#);
        }
        match (seen.header("authorization"), seen.method.as_str()) {
            ("Bearer t", "GET") => tags(),
            ("Bearer t", _) => say(201),
            _ => bearer(seen, "repository:team/app:push"),
        }
    })
    .await;
    let registry = server.registry_for(ann());
    registry.push(&manifest()).await.unwrap();
    registry.names().await.unwrap();
    let tokens: Vec<String> =
        server.lines().into_iter().filter(|line| line.contains("/token")).collect();
    let scope = "repository%3Ateam%2Fapp%3Apull%2Cpush";
    assert_eq!(tokens, [format!("GET /token?account=ann&service=reg&scope={scope}")]);
}

#[tokio::test]
async fn a_scope_the_registry_asks_for_is_added() {
    let server = Scripted::start(|seen| {
        if seen.target.starts_with("/token") {
            let wide = seen.target.contains("scope=repository%3Abase%3Apull");
            return say(200).body(if wide { r#"{"token":"wide"}"# } else { r#"{"token":"t"}"# });
        }
        match seen.header("authorization") {
            "Bearer wide" => tags(),
            "Bearer t" => bearer(seen, "repository:base:pull"),
            _ => bearer(seen, "repository:team/app:pull"),
        }
    })
    .await;
    server.registry().names().await.unwrap();
}

#[tokio::test]
async fn a_token_with_any_life_is_used() {
    for life in ["18446744073709551615", "0", "-1", "\"300\"", "null"] {
        let body = format!("{{\"token\":\"t\",\"expires_in\":{life}}}");
        let server = Scripted::start(move |seen| {
            if seen.target.starts_with("/token") {
                return say(200).body(&body);
            }
            if seen.header("authorization") == "Bearer t" { tags() } else { bearer(seen, "") }
        })
        .await;
        server.registry().names().await.unwrap();
    }
}

#[tokio::test]
async fn an_identity_token_is_changed_for_an_access_token() {
    let server = Scripted::start(|seen| {
        if seen.target.starts_with("/token") {
            return say(200).body(r#"{"access_token":"t"}"#);
        }
        if seen.header("authorization") == "Bearer t" { tags() } else { bearer(seen, "") }
    })
    .await;
    let credential = Credential::IdentityToken(Secret::new("r+t"));
    server.registry_for(Arc::new(credential)).names().await.unwrap();
    let token = &server.seen()[1];
    assert_eq!(token.line(), "POST /token");
    assert_eq!(token.header("content-type"), "application/x-www-form-urlencoded");
    let form = "grant_type=refresh_token&refresh_token=r%2Bt&client_id=corten&service=reg\
                &scope=repository%3Ateam%2Fapp%3Apull";
    assert_eq!(String::from_utf8_lossy(&token.body), form);
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let server = Scripted::start(|seen| {
        if seen.header("authorization") == "Bearer direct" { tags() } else { bearer(seen, "") }
    })
    .await;
    let credential = Credential::RegistryToken(Secret::new("direct"));
    server.registry_for(Arc::new(credential)).names().await.unwrap();
    assert_eq!(server.lines().len(), 2, "no token service is asked");
}

#[tokio::test]
async fn a_token_service_that_refuses_is_a_denial() {
    let server = Scripted::start(|seen| {
        if seen.target.starts_with("/token") {
            return say(401).body(r#"{"details":"incorrect username or password"}"#);
        }
        bearer(seen, "")
    })
    .await;
    let error = server.registry_for(ann()).names().await.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }));
    assert!(chain(&error).ends_with("incorrect username or password"), "{}", chain(&error));
}

#[tokio::test]
async fn a_blob_elsewhere_is_fetched_without_the_secret() {
    let (bytes, descriptor) = layer(5000);
    let content = bytes.clone();
    let storage = Scripted::start(move |_| say(200).body(&content)).await;
    let target = storage.url("/bucket/blob?signature=abc");
    let server = Scripted::start(move |seen| match seen.header("authorization") {
        BASIC => say(307).header("Location", &target),
        _ => say(401).header("WWW-Authenticate", "Basic realm=x"),
    })
    .await;
    let registry = server.registry_for(ann());
    let mut stream = registry.fetch(Kind::Blob, &descriptor, 0).await.unwrap();
    let mut whole = Vec::new();
    while let Some(chunk) = stream.next().await {
        whole.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(whole, bytes);
    let seen = storage.seen();
    assert_eq!(seen[0].line(), "GET /bucket/blob?signature=abc");
    assert_eq!(seen[0].header("authorization"), "");
}

#[tokio::test]
async fn a_challenge_from_elsewhere_gets_no_secret() {
    let thief = Scripted::start(|_| say(401).header("WWW-Authenticate", "Basic realm=x")).await;
    let target = thief.url("/blob?signature=abc");
    let server = Scripted::start(move |_| say(302).header("Location", &target)).await;
    let (_, descriptor) = layer(10);
    let error = server.registry_for(ann()).fetch(Kind::Blob, &descriptor, 0).await.err().unwrap();
    assert!(matches!(error, StoreError::Denied { .. }), "{}", chain(&error));
    assert!(!chain(&error).contains("signature"), "{}", chain(&error));
    assert!(chain(&error).contains(&thief.host), "{}", chain(&error));
    assert_eq!(thief.lines().len(), 1);
    assert_eq!(thief.seen()[0].header("authorization"), "");
}

#[tokio::test]
async fn the_next_page_elsewhere_gets_no_secret() {
    let thief = Scripted::start(|_| say(200).body(r#"{"tags":["x"]}"#)).await;
    let target = format!("<{}>; rel=next", thief.url("/page2"));
    let server = Scripted::start(move |seen| match seen.header("authorization") {
        BASIC => tags().header("Link", &target),
        _ => say(401).header("WWW-Authenticate", "Basic realm=x"),
    })
    .await;
    server.registry_for(ann()).names().await.unwrap();
    assert_eq!(thief.seen()[0].header("authorization"), "");
}

#[tokio::test]
async fn an_upload_elsewhere_gets_the_bytes_and_no_secret() {
    let (bytes, descriptor) = layer(300_000);
    let storage = Scripted::start(|_| say(201)).await;
    let target = storage.url("/upload?session=1");
    let server = Scripted::start(move |seen| match (seen.header("authorization"), &*seen.method) {
        (BASIC, "POST") => say(202).header("Location", &target),
        (BASIC, "HEAD") => say(404),
        _ => say(401).header("WWW-Authenticate", "Basic realm=x"),
    })
    .await;
    let registry = server.registry_for(ann());
    let Begun::Ingest(mut ingest) = registry.begin(&descriptor, None).await.unwrap() else {
        panic!("an upload")
    };
    for chunk in bytes.chunks(70_000) {
        ingest.append(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    ingest.commit().await.unwrap();
    let seen = &storage.seen()[0];
    let digest = descriptor.digest.as_str().replace(':', "%3A");
    assert_eq!(seen.line(), format!("PUT /upload?session=1&digest={digest}"));
    assert_eq!((seen.header("authorization"), &seen.body[..]), ("", &bytes[..]));
}

#[tokio::test]
async fn a_login_is_verified_by_both_ways() {
    let by_token = Scripted::start(|seen| match seen.target.as_str() {
        "/token?account=ann&service=reg" if seen.header("authorization") == BASIC => {
            say(200).body(r#"{"token":"t"}"#)
        }
        "/v2/" if seen.header("authorization") == "Bearer t" => say(200),
        "/v2/" => {
            let realm = format!("http://{}/token", seen.header("host"));
            say(401).header("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=reg"))
        }
        _ => say(401),
    })
    .await;
    verify_login(&by_token.host, &password(), quick()).await.unwrap();
    let wrong = Credential::Password { username: "ann".into(), password: Secret::new("x") };
    let error = verify_login(&by_token.host, &wrong, quick()).await.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{}", chain(&error));
    let by_password = Scripted::start(|seen| match seen.header("authorization") {
        BASIC => say(200),
        _ => say(401).header("WWW-Authenticate", "Basic realm=x"),
    })
    .await;
    verify_login(&by_password.host, &password(), quick()).await.unwrap();
    let error = verify_login(&by_password.host, &wrong, quick()).await.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{}", chain(&error));
}

/// A keychain that does not work, and counts.
#[derive(Default)]
struct Broken(Mutex<usize>);

#[async_trait]
impl Keychain for Broken {
    async fn credential(&self, _: &Location) -> Result<Option<Credential>, CredentialError> {
        *self.0.lock().unwrap() += 1;
        Err(CredentialError::Helper {
            name: "desktop".to_owned(),
            action: "get",
            source: "not installed".into(),
        })
    }
}

#[tokio::test]
async fn a_broken_keychain_does_not_hide_what_anybody_may_read() {
    let server = Scripted::start(|seen| {
        if seen.target.starts_with("/token") {
            assert_eq!(seen.header("authorization"), "");
            return say(200).body(r#"{"token":"anonymous"}"#);
        }
        match (seen.header("authorization"), seen.target.contains("private")) {
            ("Bearer anonymous", false) => tags(),
            _ => bearer(seen, ""),
        }
    })
    .await;
    let registry = server.registry_for(Arc::new(Broken::default()));
    registry.names().await.unwrap();
    // What needs a credential says what became of the keychain.
    let connection = Connection::new(quick(), Arc::new(Broken::default())).unwrap();
    let private = Registry::open(server.location("private"), connection).unwrap();
    let error = private.names().await.unwrap_err();
    let wanted = "credential helper 'desktop' failed at get: not installed";
    assert!(chain(&error).ends_with(wanted), "{}", chain(&error));
    let error = private.push(&manifest()).await.unwrap_err();
    assert!(chain(&error).ends_with(wanted), "{}", chain(&error));
}

#[tokio::test]
async fn two_hosts_of_one_connection_share_no_secret() {
    let script = |seen: &Seen| match seen.header("authorization") {
        "" => say(401).header("WWW-Authenticate", "Basic realm=x"),
        _ => tags(),
    };
    let (one, two) = (Scripted::start(script).await, Scripted::start(script).await);
    let own = one.host.clone();
    struct OneHost(String);
    #[async_trait]
    impl Keychain for OneHost {
        async fn credential(
            &self,
            location: &Location,
        ) -> Result<Option<Credential>, CredentialError> {
            Ok((location.host == self.0).then(password))
        }
    }
    let connection = Connection::new(quick(), Arc::new(OneHost(own))).unwrap();
    let open = |server: &Scripted| {
        Registry::open(server.location("team/app"), Arc::clone(&connection)).unwrap()
    };
    open(&one).names().await.unwrap();
    assert!(matches!(open(&two).names().await, Err(StoreError::Denied { .. })));
    assert!(two.seen().iter().all(|seen| seen.header("authorization").is_empty()));
}

#[tokio::test]
async fn a_host_of_many_layers_is_asked_for_one_token() {
    let server = Scripted::start(|seen| {
        if seen.target.starts_with("/token") {
            return say(200).body(r#"{"token":"t","expires_in":300}"#);
        }
        match seen.header("authorization") {
            "Bearer t" => say(404),
            _ => bearer(seen, "repository:team/app:pull"),
        }
    })
    .await;
    let registry = server.registry_for(Arc::new(Anonymous));
    let blobs: Vec<Descriptor> =
        (0..6_u8).map(|number| Descriptor::of(MediaType::OCI_LAYER, &[number])).collect();
    let asked = blobs.iter().map(|blob| registry.exists(Kind::Blob, blob));
    let found = futures_util::future::join_all(asked).await;
    assert!(found.into_iter().all(|found| !found.unwrap()));
    let tokens = server.lines().iter().filter(|line| line.contains("/token")).count();
    assert_eq!(tokens, 1);
}
