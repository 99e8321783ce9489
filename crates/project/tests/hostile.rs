//! Templates and values that nobody vouches for: what is too deep is refused before it is parsed, and what is rendered
//! is bounded in all.

#![allow(clippy::unwrap_used, clippy::panic)]

use corten_project::{ProjectError, ProjectValues, Rendering, StartFile, Templates};

fn render(text: &str) -> Result<String, ProjectError> {
    let mut values = ProjectValues::default();
    values.lay("a.json", r#"{"s": "xxxxxxxxxxxxxxxx", "l": [1, 2, 3, 4]}"#).unwrap();
    let mut templates = Templates::new(&values);
    templates.add("t", text)?;
    templates.render("t")
}

#[test]
fn chains_are_refused_before_they_are_parsed() {
    for part in [
        "not ",
        "-",
        "1 if a else ",
        "(",
        "[",
        "{1:",
        "a.",
        "x|f|",
        "1+",
        "a ~ ",
        "f(",
        "a is not b ",
    ] {
        let error = render(&format!("{{{{ {}1 }}}}", part.repeat(30_000))).unwrap_err();
        assert!(matches!(error, ProjectError::TooDeep { .. }), "{part}: {error}");
    }
    let elif = "{% elif a %}".repeat(30_000);
    let error = render(&format!("{{% if a %}}{elif}{{% endif %}}")).unwrap_err().to_string();
    assert_eq!(error, "t: line 1: there are over 400 branches");
    for part in [
        "{% if 1 %}",
        "{% for a in l %}",
        "{% with %}",
        "{% set a %}",
        "{% filter upper %}",
        "{% macro m() %}",
    ] {
        assert!(render(&part.repeat(30_000)).is_err(), "{part}");
    }
    assert!(render(&format!("{{% for {}a in l %}}", "(".repeat(30_000))).is_err());
}

#[test]
fn what_is_just_within_the_limits_is_parsed_on_a_small_stack() {
    let parts = ["not ", "-", "1 if 1 else ", "1+", "'a' ~ ", "[", "(", "{1: ", "l|list|", "s.x."];
    for part in parts {
        for times in [70, 140, 199, 398] {
            let text = format!("{{{{ {}1 }}}}", part.repeat(times));
            let thread = std::thread::Builder::new().stack_size(4 << 20);
            // Whether it says anything is its own affair.
            let _ = thread.spawn(move || render(&text).is_ok()).unwrap().join().unwrap();
        }
    }
    let elif = "{% elif 0 %}".repeat(390);
    assert!(render(&format!("{{% if 0 %}}{elif}{{% endif %}}")).is_ok());
}

#[test]
fn all_templates_of_a_rendering_share_their_limits() {
    let loops = "{% for a in range(9999) %}{% for b in range(30) %}{% endfor %}{% endfor %}";
    let names: Vec<String> = (0..1000).map(|number| format!("t{number}")).collect();
    let mut rendering = Rendering { wanted: names.clone(), ..Rendering::default() };
    rendering.templates = names.iter().map(|name| (name.clone(), loops.to_owned())).collect();
    let error = rendering.render().unwrap_err().to_string();
    assert!(error.contains("steps"), "{error}");
    let large = "x".repeat(1 << 20);
    let all = names.iter().map(|name| (name.clone(), large.clone()));
    rendering.templates = all.collect();
    let error = rendering.render().unwrap_err().to_string();
    assert!(error.contains("bytes"), "{error}");
    // One template as many files.
    let mut start = StartFile::default();
    start.templates.insert("t".to_owned(), large);
    start.files = names.iter().map(|name| (format!("/{name}"), "t".to_owned())).collect();
    let error = start.render(&ProjectValues::default()).unwrap_err().to_string();
    assert!(error.contains("67108864"), "{error}");
}

#[test]
fn values_that_nest_deeply_are_refused_or_end() {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(30_000), close.repeat(30_000));
    for (file, text) in [
        ("a.json", format!("{{\"a\": {}}}", deep("[", "]"))),
        ("a.json", format!("{{\"a\": {}}}", deep("{\"a\":", "}"))),
        ("a.toml", format!("a = {}", deep("[", "]"))),
        ("a.toml", format!("a = {}", deep("{a=", "}"))),
        ("a.toml", format!("{}a = 1", "a.".repeat(30_000))),
        ("a.toml", format!("[{}a]\nb = 1", "a.".repeat(30_000))),
        ("a.yaml", format!("a: {}", deep("[", "]"))),
        ("a.yaml", format!("a: {}", deep("{a: ", "}"))),
        ("a.yaml", format!("a:\n {}", "- ".repeat(30_000))),
        ("a.yaml", (0..1000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>()),
    ] {
        let about: String = text.chars().take(40).collect();
        // Whether they are refused or laid, none ends the process.
        let laid = ProjectValues::default().lay(file, &text);
        println!("{file} {about}: {}", laid.is_ok());
    }
    for open in ["[", "{a="] {
        let text = format!("a = {}", open.repeat(30_000));
        assert!(corten_project::ProjectFile::parse(&text).is_err());
    }
    let set = format!("a={}", deep("[", "]"));
    ProjectValues::default().set(&set).unwrap();
}
