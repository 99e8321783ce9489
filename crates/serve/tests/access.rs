//! Who may do what: passwords, tokens, and mounting across a border.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub, dead_code)]

mod asker;

use std::sync::Arc;

use asker::Asker;
use corten_registry::wire::Challenge;
use corten_serve::{
    Grant, Passwords, Principal, Roster, Server, ServerOptions, Switch, TokenService, Tokens,
};
use corten_spec::Digest;

fn roster() -> Roster {
    let ann = Principal::User("ann".to_owned());
    Roster::new()
        .with_user("ann", "one")
        .with_grant(Grant::new(Principal::Anonymous, "public", &["pull"]))
        .with_grant(Grant::new(ann, "team", &["pull", "push"]))
}

fn with(change: impl FnOnce(Server) -> Server) -> Asker {
    let asker = Asker::new(ServerOptions::default());
    Asker { server: change(asker.server), memory: asker.memory }
}

fn tokens() -> Asker {
    let service = Arc::new(TokenService::new("test", roster()));
    with(|server| server.with_access(Arc::new(Tokens(Arc::clone(&service)))).with_tokens(service))
}

const ANN: &str = "authorization: Basic YW5uOm9uZQ==";

#[tokio::test]
async fn passwords_open_what_is_granted() {
    let asker = with(|server| server.with_access(Arc::new(Passwords(roster()))));
    let digest = Digest::sha256(b"x");
    let push = |name: &str| format!("POST /v2/{name}/blobs/uploads/?digest={digest}");
    let wrong = "authorization: Basic YW5uOnR3bw==";
    let cases = [
        (push("team/a"), ANN, "201"),
        (push("other"), ANN, "403 DENIED"),
        (push("team/a"), wrong, "401 UNAUTHORIZED"),
        (push("team/a"), "accept: x", "401 UNAUTHORIZED"),
        (push("public"), "accept: x", "401 UNAUTHORIZED"),
        ("GET /v2/public/tags/list".to_owned(), "accept: x", "404 NAME_UNKNOWN"),
        ("GET /v2/".to_owned(), ANN, "200"),
        ("GET /v2/_catalog".to_owned(), ANN, "403 DENIED"),
        // Who is not welcome learns nothing about names.
        ("GET /v2/".to_owned(), "authorization: Bearer x", "401 UNAUTHORIZED"),
        (format!("DELETE /v2/team/a/blobs/{digest}"), ANN, "403 DENIED"),
    ];
    for (line, header, verdict) in cases {
        let answer = asker.ask(&line, &[header], b"x").await;
        assert_eq!(answer.verdict(), verdict, "{line} {header}");
        if answer.status == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"registry\""));
        }
    }
}

#[tokio::test]
async fn a_challenge_leads_to_a_token_that_opens() {
    let asker = tokens();
    let digest = Digest::sha256(b"x");
    let push = format!("POST /v2/team/a/blobs/uploads/?digest={digest}");
    let denied = asker.ask(&push, &[], b"x").await;
    assert_eq!(denied.verdict(), "401 UNAUTHORIZED");
    let challenges = Challenge::parse(denied.all("www-authenticate"));
    let [Challenge::Bearer(bearer)] = challenges.as_slice() else { panic!("{challenges:?}") };
    assert_eq!(bearer.realm, "http://test:1/token");
    assert_eq!(bearer.service.as_deref(), Some("test"));
    assert_eq!(bearer.scope.as_deref(), Some("repository:team/a:pull,push"));

    let ask = "GET /token?service=test&offline_token=true&scope=repository:team/a:pull,push";
    let fresh = asker.ask(ask, &[ANN], b"").await.json();
    assert_eq!(fresh["expires_in"], 300);
    assert_eq!(fresh["token"], fresh["access_token"]);
    let token = format!("authorization: Bearer {}", fresh["access_token"].as_str().unwrap());
    assert_eq!(asker.ask(&push, &[&token], b"x").await.verdict(), "201");
    let elsewhere = asker.ask(&push.replace("team/a", "team/b"), &[&token], b"x").await;
    assert_eq!(elsewhere.verdict(), "401 UNAUTHORIZED");
    assert!(elsewhere.header("www-authenticate").unwrap().contains("insufficient_scope"));

    let refresh = fresh["refresh_token"].as_str().unwrap();
    let form = format!(
        "grant_type=refresh_token&service=test&client_id=t&refresh_token={refresh}\
                        &scope=repository%3Ateam%2Fa%3Apull"
    );
    let again = asker.ask("POST /token", &[], form.as_bytes()).await.json();
    assert_eq!(again["scope"], "repository:team/a:pull");
    let token = format!("authorization: Bearer {}", again["access_token"].as_str().unwrap());
    let read = format!("GET /v2/team/a/blobs/{digest}");
    assert_eq!(asker.ask(&read, &[&token], b"").await.verdict(), "200");
}

#[tokio::test]
async fn the_token_service_refuses_who_it_does_not_know() {
    let asker = tokens();
    let wrong = "authorization: Basic YW5uOnR3bw==";
    let get = asker.ask("GET /token?service=test", &[wrong], b"").await;
    assert_eq!(get.verdict(), "401 UNAUTHORIZED");
    for (form, verdict) in [
        ("grant_type=refresh_token&refresh_token=x", "401 UNAUTHORIZED"),
        ("grant_type=password&username=ann&password=two", "401 UNAUTHORIZED"),
        ("grant_type=password&username=ann&password=one", "200"),
        ("grant_type=other", "400 UNSUPPORTED"),
        ("", "400 UNSUPPORTED"),
    ] {
        let answer = asker.ask("POST /token", &[], form.as_bytes()).await;
        assert_eq!(answer.verdict(), verdict, "{form}");
    }
    assert_eq!(asker.ask("PUT /token", &[], b"").await.verdict(), "405 UNSUPPORTED");
    let anonymous = asker.get("/token?scope=repository:public/a:pull,push").await.json();
    assert_eq!(anonymous["scope"], "repository:public/a:pull");
    assert_eq!(anonymous.get("refresh_token"), None);
}

#[tokio::test]
async fn nothing_is_mounted_from_where_one_may_not_read() {
    let roster = roster().with_user("bob", "two").with_grant(Grant::new(
        Principal::User("bob".to_owned()),
        "secret",
        &["*"],
    ));
    let asker = with(|server| server.with_access(Arc::new(Passwords(roster))));
    let digest = Digest::sha256(b"x");
    let bob = "authorization: Basic Ym9iOnR3bw==";
    let push = format!("POST /v2/secret/blobs/uploads/?digest={digest}");
    assert_eq!(asker.ask(&push, &[bob], b"x").await.verdict(), "201");
    for from in ["&from=secret", ""] {
        let mount = format!("POST /v2/team/a/blobs/uploads/?mount={digest}{from}");
        assert_eq!(asker.ask(&mount, &[ANN], b"").await.verdict(), "202");
    }
    let read = format!("GET /v2/team/a/blobs/{digest}");
    assert_eq!(asker.ask(&read, &[ANN], b"").await.verdict(), "404 BLOB_UNKNOWN");
}

#[tokio::test]
async fn without_a_token_service_there_is_no_token_endpoint() {
    let asker = Asker::new(ServerOptions { catalog: Switch::Off, ..ServerOptions::default() });
    assert_eq!(asker.get("/token").await.verdict(), "404 UNSUPPORTED");
    assert_eq!(asker.get("/v2/_catalog").await.verdict(), "404 UNSUPPORTED");
}
