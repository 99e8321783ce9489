//! Templates whose maker means harm: a build of them ends soon and with an error, whatever they say.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::User;

/// What a project with this template says when it is built.
fn built(text: &str) -> (i32, String) {
    let user = User::new();
    std::fs::create_dir_all(user.path("p/templates")).unwrap();
    std::fs::write(user.path("p/image.toml"), "names = ['x']\n").unwrap();
    std::fs::write(user.path("p/templates/t.tmpl"), text).unwrap();
    let begun = Instant::now();
    let ran = user.run(["build", user.path("p").to_str().unwrap()]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{text}: {:?}", begun.elapsed());
    (ran.code, ran.err)
}

/// A loop that sets a value anew each time.
fn grown(set: &str, first: &str, times: usize) -> String {
    format!(
        "{{% set ns = namespace(x={first}) %}}{{% for i in range({times}) %}}{{% for j in range(999) %}}\
         {{% set ns.x = {set} %}}{{% endfor %}}{{% endfor %}}"
    )
}

/// What the process that renders makes of a template, and how it ended.
fn rendered(text: &str) -> (Option<Value>, Duration) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
    command.arg("corten-render").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let question = json!({
        "values": {"l": [1, 2, 3], "s": "xxxxxxxxxxxxxxxx"}, "templates": {"t": text}, "text": null, "wanted": ["t"],
    });
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer = output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap());
    (answer, begun.elapsed())
}

#[test]
fn what_would_end_the_process_is_an_error_of_the_verb() {
    let nots = format!("{{{{ {}1 }}}}", "not ".repeat(30_000));
    let (code, err) = built(&nots);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("t.tmpl: line 1: there are over 400 operators"), "{err}");
    // Lists that double are no steps to the engine.
    let (code, err) = built(&grown("ns.x + ns.x", "[1]", 99));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("over 536870912 bytes of memory"), "{err}");
    let (code, err) =
        built("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("t.tmpl: line 1: engine ran out of fuel"), "{err}");
}

#[test]
fn whatever_a_template_does_ends_within_its_limits() {
    let mut texts: Vec<String> = [
        ("(ns.x + ns.x)|list", "[1]"),
        ("ns.x + [1]", "[1]"),
        ("(ns.x * 1000)|list", "[1, 2]"),
        ("ns.x ~ ns.x", "'xxxx'"),
        ("ns.x * 100000000", "'x'"),
        ("ns.x|replace('x', 'xx')", "'xxxx'"),
        ("[ns.x, ns.x]", "[1]"),
        ("{'a': ns.x, 'b': ns.x}", "{}"),
        ("ns.x|tojson", "'x\"\\\\'"),
        ("ns.x + range(9999)|list", "[]"),
        ("'%s%s'|format(ns.x, ns.x)", "'xxxx'"),
        ("(ns.x, ns.x)", "(1, 2)"),
    ]
    .iter()
    .map(|(set, first)| grown(set, first, 9999))
    .collect();
    for (set, first) in [("[ns.x]", "[]"), ("{'a': ns.x}", "{}"), ("(ns.x,)", "()")] {
        for seen in [
            "",
            "{{ ns.x }}",
            "{{ ns.x|tojson }}",
            "{{ ns.x == ns.x }}",
            "{{ ns.x|tojson(indent=8) }}",
        ] {
            texts.push(grown(set, first, 100) + seen);
        }
    }
    texts.extend(
        [
            "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
            "{% include 't' %}{% include 't' %}",
            "{% for i in l recursive %}{{ loop(l) }}{% endfor %}",
            "{{ range(0, 9999999999999, 3)|list|length }}",
            "{{ l|join(s * 1000000) }}",
            "{{ (s * 100000)|center(99999999999) }}",
            "{{ [l]|tojson(indent=99999999) }}",
            "{{ l|pprint }}",
        ]
        .map(str::to_owned),
    );
    for text in texts {
        let (answer, took) = rendered(&text);
        let about: String = text.chars().take(160).collect();
        // Nothing of it is rendered as meant, except where it is small.
        let end =
            answer.as_ref().map_or("ended", |a| a.get("refused").map_or("rendered", |_| "refused"));
        println!("{took:>10.3?} {end:>8} {about}");
        assert!(took < Duration::from_secs(30), "{about}: {took:?}");
    }
}
