//! The local store and credentials.

use corten_testkit::images::ImageMaker;
use corten_testkit::{Setup, TestRegistry};

use crate::User;

#[test]
fn names_come_and_go_and_the_space_is_freed() {
    let user = User::new();
    let digest = user.image("app", "hello");
    assert_eq!(user.json("tag app app:2")["digest"], digest.as_str());
    let names = |user: &User| -> Vec<String> {
        let report = user.json("images");
        let images = report["images"].as_array().unwrap();
        images.iter().map(|image| image["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&user), ["docker.io/library/app:2", "docker.io/library/app:latest"]);
    user.json("remove app");
    assert_eq!(user.json("gc --grace 0s")["deleted"].as_array().unwrap().len(), 0);
    user.json(&format!("remove {digest}"));
    assert_eq!(names(&user), Vec::<String>::new());
    assert_eq!(user.json("gc --grace 0s")["deleted"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_young_is_not_collected() {
    let user = User::new();
    user.image("app", "hello");
    user.json("remove app");
    let report = user.json("gc");
    assert_eq!((&report["deleted"], &report["young"]), (&serde_json::json!([]), &3.into()));
}

#[test]
fn a_login_is_kept_used_and_forgotten() {
    let (user, setups) =
        (User::new(), [Setup::tokens("ann", "secret"), Setup::passwords("ann", "secret")]);
    for setup in setups {
        let registry = TestRegistry::with(setup);
        registry.seed("app", Some("1"), &ImageMaker::new().build());
        let (host, reference) = (registry.host(), registry.reference("app:1"));
        assert_eq!(user.run(["inspect", &reference]).code, 4);
        let login = |password: &str| {
            let mut login = user.command(["login", &host, "--username", "ann", "--password-stdin"]);
            std::fs::write(user.path("password"), password).unwrap();
            login.stdin(std::fs::File::open(user.path("password")).unwrap());
            crate::ran(login.output().unwrap())
        };
        assert_eq!(login("wrong").code, 4);
        assert_eq!(user.run(["inspect", &reference]).code, 4, "a refused login is not kept");
        let kept = login("secret\n");
        assert_eq!(kept.code, 0, "{}", kept.err);
        assert!(!kept.out.contains("secret") && !kept.err.contains("secret"));
        user.json(&format!("inspect {reference}"));
        user.json(&format!("logout {host}"));
        assert_eq!(user.run(["inspect", &reference]).code, 4);
        assert_eq!(user.run(["logout", &host]).code, 3);
    }
}

#[test]
fn completions_and_help_are_there() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(user.ok(&format!("completion {shell}")).contains("corten"));
    }
    let page = user.ok("--help");
    assert!(page.starts_with("corten: make, move"), "{page}");
}
