//! What is found in, and written to, files of credentials.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::*;

/// A helper that keeps one credential and remembers its calls.
#[derive(Default)]
struct Fake {
    calls: Mutex<Vec<String>>,
    has: Option<&'static str>,
}

#[async_trait]
impl CredentialHelper for Fake {
    async fn call(
        &self,
        name: &str,
        action: HelperAction,
        input: Vec<u8>,
    ) -> io::Result<HelperAnswer> {
        let input = String::from_utf8(input).unwrap();
        self.calls.lock().unwrap().push(format!("{name} {} {input}", action.as_str()));
        let missing = "credentials not found in native keychain";
        let output = match action {
            HelperAction::Get => self.has.unwrap_or(missing),
            _ => "",
        };
        let success = action != HelperAction::Get || self.has.is_some();
        Ok(HelperAnswer { success, output: output.into() })
    }
}

fn location(host: &str, repository: &str) -> Location {
    Location { host: host.to_owned(), repository: repository.to_owned() }
}

fn password(username: &str, password: &str) -> Credential {
    Credential::Password { username: username.to_owned(), password: Secret::new(password) }
}

fn ring(directory: &Path, format: KeyringFormat, text: &str) -> Keyring {
    let path = directory.join("config.json");
    if !text.is_empty() {
        fs::write(&path, text).unwrap();
    }
    Keyring { path, format }
}

async fn find(text: &str, host: &str, repository: &str) -> Option<Credential> {
    let directory = tempfile::tempdir().unwrap();
    let ring = ring(directory.path(), KeyringFormat::Docker, text);
    ring.find(&location(host, repository), &Fake::default()).await.unwrap()
}

// "YTph" is a:a, "Yjpi" is b:b, "Yzpj" is c:c.
const SCOPED: &str = r#"{ "auths": {
    "example.com": { "auth": "YTph" },
    "example.com/team": { "auth": "Yjpi" },
    "example.com/team/app": { "auth": "Yzpj" } } }"#;

#[tokio::test]
async fn the_most_specific_key_wins() {
    for (repository, user) in
        [("other", "a"), ("team/x", "b"), ("team/app", "c"), ("team/app/x", "c"), ("teams", "a")]
    {
        let found = find(SCOPED, "example.com", repository).await;
        assert_eq!(found, Some(password(user, user)), "{repository}");
    }
    assert_eq!(find(SCOPED, "example.com:5000", "team/app").await, None);
}

#[tokio::test]
async fn the_default_registry_is_found_in_every_spelling() {
    for key in ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "https://docker.io"]
    {
        let text = format!(r#"{{"auths":{{"{key}":{{"auth":"YTph"}}}}}}"#);
        let found = find(&text, "docker.io", "library/debian").await;
        assert_eq!(found, Some(password("a", "a")), "{key}");
    }
}

#[tokio::test]
async fn every_form_of_an_entry_is_read() {
    let token = || Secret::new("t");
    let cases = [
        (r#"{"auth":"YTph"}"#, Some(password("a", "a"))),
        (r#"{"auth":"YTpiOmMA"}"#, Some(password("a", "b:c"))),
        (r#"{"username":"u","password":"p"}"#, Some(password("u", "p"))),
        (r#"{"auth":"YTph","identitytoken":"t"}"#, Some(Credential::IdentityToken(token()))),
        (r#"{"registrytoken":"t"}"#, Some(Credential::RegistryToken(token()))),
        ("{}", None),
        ("null", None),
    ];
    for (entry, wanted) in cases {
        let text = format!(r#"{{"auths":{{"example.com":{entry}}}}}"#);
        assert_eq!(find(&text, "example.com", "x").await, wanted, "{entry}");
    }
}

#[tokio::test]
async fn what_is_broken_is_named_and_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"auths":{"example.com":{"auth":"secret!"}}}"#;
    let ring = ring(directory.path(), KeyringFormat::Docker, text);
    let found = ring.find(&location("example.com", "x"), &Fake::default()).await;
    let Err(error @ CredentialError::Malformed { .. }) = found else { panic!("{found:?}") };
    assert!(error.to_string().ends_with("config.json is not a file of credentials"));
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn helpers_are_asked_by_host_and_then_the_store() {
    let text = r#"{"credHelpers":{"example.com":"one"},"credsStore":"two"}"#;
    let directory = tempfile::tempdir().unwrap();
    let ring = ring(directory.path(), KeyringFormat::Docker, text);
    let helper = Fake { has: Some(r#"{"Username":"u","Secret":"p"}"#), ..Fake::default() };
    let found = ring.find(&location("example.com", "x"), &helper).await.unwrap();
    assert_eq!(found, Some(password("u", "p")));
    ring.find(&location("docker.io", "library/x"), &helper).await.unwrap();
    let token = Fake { has: Some(r#"{"Username":"<token>","Secret":"t"}"#), ..Fake::default() };
    let found = ring.find(&location("example.org", "x"), &token).await.unwrap();
    assert_eq!(found, Some(Credential::IdentityToken(Secret::new("t"))));
    let none = ring.find(&location("example.org", "x"), &Fake::default()).await.unwrap();
    assert_eq!(none, None);
    let calls = helper.calls.lock().unwrap();
    assert_eq!(*calls, ["one get example.com", "two get https://index.docker.io/v1/"]);
}

#[tokio::test]
async fn a_login_is_stored_beside_what_is_there_and_taken_away_again() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"auths":{"docker.io":{"auth":"Yjpi"}},"HttpHeaders":{"X":"1"}}"#;
    let ring = ring(directory.path(), KeyringFormat::Docker, text);
    let helper = Fake::default();
    ring.store("docker.io", &password("a", "a"), &helper).await.unwrap();
    ring.store("example.com/team", &password("c", "c"), &helper).await.unwrap();
    let written: serde_json::Value =
        serde_json::from_slice(&fs::read(&ring.path).unwrap()).unwrap();
    let wanted = serde_json::json!({
        "HttpHeaders": { "X": "1" },
        "auths": {
            "https://index.docker.io/v1/": { "auth": "YTph" },
            "example.com/team": { "auth": "Yzpj" },
        },
    });
    assert_eq!(written, wanted);
    let mode = fs::metadata(&ring.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    ring.remove("index.docker.io", &helper).await.unwrap();
    let again = ring.remove("docker.io", &helper).await;
    assert!(matches!(again, Err(CredentialError::NotStored(key)) if key == "docker.io"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no part is left");
}

#[tokio::test]
async fn a_new_file_is_made_with_its_directory_in_the_spelling_of_its_tools() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("containers/auth.json");
    let ring = Keyring { path, format: KeyringFormat::Containers };
    ring.store("docker.io", &password("a", "a"), &Fake::default()).await.unwrap();
    let written = fs::read_to_string(&ring.path).unwrap();
    assert!(written.contains("\"docker.io\""), "{written}");
}

#[tokio::test]
async fn with_a_store_the_file_holds_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let ring = ring(directory.path(), KeyringFormat::Docker, r#"{"credsStore":"two"}"#);
    let helper = Fake { has: Some(r#"{"Username":"u","Secret":"hunter2"}"#), ..Fake::default() };
    ring.store("example.com", &password("u", "hunter2"), &helper).await.unwrap();
    let written = fs::read_to_string(&ring.path).unwrap();
    assert!(!written.contains("hunter2") && written.contains("\"example.com\": {}"), "{written}");
    ring.remove("example.com", &helper).await.unwrap();
    let calls = helper.calls.lock().unwrap();
    let wanted = [
        r#"two store {"ServerURL":"example.com","Username":"u","Secret":"hunter2"}"#,
        "two get example.com",
        "two erase example.com",
    ];
    assert_eq!(*calls, wanted);
}

#[tokio::test]
async fn a_name_that_is_a_path_is_never_run() {
    let answer = Programs::default().call("../../bin/sh", HelperAction::Get, Vec::new()).await;
    assert_eq!(answer.err().unwrap().kind(), io::ErrorKind::InvalidInput);
    let absent = Programs::default().call("no-such-helper-here", HelperAction::Get, vec![]).await;
    assert_eq!(absent.err().unwrap().kind(), io::ErrorKind::NotFound);
}

/// A helper as a program: a script.
fn program(text: &str, limit: Duration) -> (tempfile::TempDir, Programs) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker-credential-script");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let programs = Programs { directory: Some(directory.path().to_owned()), limit };
    (directory, programs)
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_program_gets_its_input_and_its_end_is_its_answer() {
    let (_directory, programs) = program("printf '%s:' \"$1\"; cat", LONG);
    let answer = programs.call("script", HelperAction::Get, b"example.com".to_vec()).await;
    let answer = answer.unwrap();
    assert_eq!((answer.success, answer.output), (true, b"get:example.com".to_vec()));
    let (_directory, programs) = program("echo locked; exit 1", LONG);
    let answer = programs.call("script", HelperAction::Erase, Vec::new()).await.unwrap();
    assert_eq!((answer.success, answer.output), (false, b"locked\n".to_vec()));
}

#[tokio::test]
async fn a_program_that_does_not_end_or_says_too_much_is_ended() {
    let (_directory, programs) = program("exec sleep 60", Duration::from_millis(100));
    let answer = programs.call("script", HelperAction::Get, Vec::new()).await;
    assert_eq!(answer.err().unwrap().kind(), io::ErrorKind::TimedOut);
    let (_directory, programs) = program("exec cat /dev/zero", LONG);
    let answer = programs.call("script", HelperAction::Get, Vec::new()).await;
    assert!(answer.err().unwrap().to_string().starts_with("it said more than"));
}
