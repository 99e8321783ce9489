//! Phases, templates and attributes.

use serde_json::{Value, json};

use crate::bench::{Answer, Bench};

pub(crate) fn build(bench: &Bench, more: &[&str]) -> Answer {
    let context = bench.path("p").display().to_string();
    let words = ["build", "--json", "--network", "none", &context];
    bench.corten("store", &[&words, more].concat())
}

pub(crate) fn built(bench: &Bench, more: &[&str]) -> Value {
    let answer = build(bench, more);
    assert_eq!(answer.code, 0, "{}", answer.err);
    serde_json::from_str(&answer.out).unwrap()
}

/// Runs an image, whose name and arguments are `words`, without a network.
fn run(bench: &Bench, words: &[&str]) -> Answer {
    let store = bench.path("store").display().to_string();
    let first = ["--rm", "--network", "none", "--user", "0", "--store", &store];
    // What follows the image is the container's.
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_corten"))
        .arg("run")
        .args(first)
        .args(words)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: out.status.code().unwrap(), out: text(&out.stdout), err: text(&out.stderr) }
}

/// A project with something in every place.
fn whole(bench: &Bench) {
    bench.write(
        "p/image.toml",
        r#"
names = ["t", "t:{{ version }}"]
from = "base"
inherit = ["ENV INHERITED=yes"]

[builder]
from = "base"
run = ["mkdir /out && sed s/x/y/ /project/src/in >/out/made"]
take = [{ from = "/out/made", to = "/opt/made", mode = "0640", owner = "3:4" }]

[build]
run = ["echo {{ version }} >/build; test ! -e /etc/app.conf"]

[build-late]
run = ["cat /etc/app.conf /opt/made >/late"]

[prestart]
run = ["echo before $1 >&2"]

[config]
entrypoint = ["/bin/echo", "$literal"]
cmd = ["after"]
env = { MODE = "a \"b\" $c" }
labels = { version = "{{ version }}" }
working-dir = "/srv"
user = "app"
expose = ["{{ web.port }}"]
volumes = ["/data"]
stop-signal = "SIGINT"

[files]
owner = "7:8"

[templates."/etc/app.conf"]
owner = "1:2"
mode = "0600"
"#,
    );
    bench.write("p/src/in", "x\n");
    bench.write("p/attributes/1.yaml", "version: 1\nweb: {port: 80, hosts: [a, b]}\n");
    bench.write("p/attributes/2.toml", "version = 2\n");
    bench.write("p/attributes/3.json", "{\"web\": {\"host\": \"h\"}}");
    bench.write("p/files/srv/page", "page {{ not }} a template\n");
    bench.write("p/templates/etc/app.conf.tmpl", "{% include '_part.tmpl' %}port {{ web.port }}\n");
    bench.write("p/templates/_part.tmpl", "{% for h in web.hosts %}host {{ h }}\n{% endfor %}");
    bench.write("p/templates/etc/other.tmpl", "$HOME {{ web.host }}\n");
}

#[test]
fn templates_are_rendered_again_when_a_container_starts_with_other_values() {
    let Some(bench) = Bench::new() else { return };
    whole(&bench);
    let file = std::fs::read_to_string(bench.path("p/image.toml")).unwrap();
    bench.write(
        "p/image.toml",
        &file.replace("mode = \"0600\"\n", "mode = \"0600\"\nstart = true\n"),
    );
    built(&bench, &[]);
    let cat = ["--entrypoint", "/bin/cat", "t", "/etc/app.conf", "/etc/other"];
    let shown = |more: &[&str]| run(&bench, &[more, &cat].concat());
    assert_eq!(shown(&[]).out, "host a\nhost b\nport 80\n$HOME h\n");
    bench.write("web.toml", "[web]\nport = 81\nhosts = ['c']\nhost = 'elsewhere'\n");
    let values = bench.path("web.toml").display().to_string();
    let answer = shown(&["--attributes", &values]);
    assert_eq!(answer.out, "host c\nport 81\n$HOME h\n", "{}", answer.err);
    let answer = shown(&["--attributes", &values, "--set", "web.port=82", "--read-only"]);
    assert_eq!(answer.out, "host c\nport 82\n$HOME h\n", "{}", answer.err);
    let stat = ["--set", "web.port=83", "--entrypoint", "/bin/stat", "t", "-c", "%u:%g %a"];
    assert_eq!(run(&bench, &[&stat[..], &["/etc/app.conf"]].concat()).out, "1:2 600\n");
    let wrong = shown(&["--set", "web.hosts=5"]);
    assert!(wrong.code != 0 && wrong.err.contains("app.conf.tmpl"), "{}", wrong.err);
    let none = run(&bench, &["--set", "a=1", "base", "true"]);
    assert!(none.code != 0 && none.err.contains("no templates"), "{}", none.err);
}

/// An image is anybody's: what it says is rendered is written inside of it alone.
#[test]
fn what_is_rendered_at_a_start_stays_in_the_container() {
    let Some(bench) = Bench::new() else { return };
    let outside = bench.write("outside", "as it was\n");
    bench.write("p/Dockerfile", &format!(
        "FROM base\nRUN mkdir -p /etc/corten && ln -s {0} /link && ln -s ../../../../../..{0} /up && mkfifo /pipe\n\
         COPY start.json /etc/corten/start.json\n", outside.display()));
    for path in
        ["/link", "/up", "/pipe", "/../../../../../../../../../proc/sys/kernel/core_pattern"]
    {
        let text = json!({"attributes": {}, "templates": {"x": "{{ a }}"}, "files": {path: "x"}});
        bench.write("p/start.json", &text.to_string());
        let context = bench.path("p").display().to_string();
        let words = [
            "build",
            "-t",
            "h",
            "--network",
            "none",
            "-f",
            &format!("{context}/Dockerfile"),
            &context,
        ];
        assert_eq!(bench.corten("store", &words).code, 0);
        let answer = run(&bench, &["--set", "a=1", "h", "true"]);
        assert!(answer.code != 0 && answer.err.contains(path), "{path}: {}", answer.err);
    }
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "as it was\n");
}

/// What would end the process, or fill the memory, is told: the container does not start, and nothing else happens.
#[test]
fn templates_of_an_image_end_no_more_than_their_own_process() {
    let Some(bench) = Bench::new() else { return };
    let deep = format!("{{{{ {}1 }}}}", "not ".repeat(30_000));
    let lists = "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}";
    bench.write(
        "p/Dockerfile",
        "FROM base\nRUN mkdir -p /etc/corten && touch /x\nCOPY start.json /etc/corten/start.json\n",
    );
    for (template, told) in [(deep.as_str(), "over 400 operators"), (lists, "bytes of memory")] {
        let text = json!({"attributes": {}, "templates": {"x": template}, "files": {"/x": "x"}});
        bench.write("p/start.json", &text.to_string());
        let context = bench.path("p").display().to_string();
        let file = format!("{context}/Dockerfile");
        let words = ["build", "-t", "h", "--network", "none", "-f", &file, &context];
        assert_eq!(bench.corten("store", &words).code, 0);
        let answer = run(&bench, &["--set", "a=1", "h", "true"]);
        assert!(answer.code == 125 && answer.err.contains(told), "{} {}", answer.code, answer.err);
    }
}

#[test]
fn a_project_becomes_an_image_phase_by_phase() {
    let Some(bench) = Bench::new() else { return };
    whole(&bench);
    let report = built(&bench, &["--set", "web.port=8080"]);
    let names = report["names"].as_array().unwrap();
    assert!(names[1].as_str().unwrap().ends_with("t:2"), "{names:?}");
    assert_eq!(bench.cat("/build"), "2\n");
    assert_eq!(bench.cat("/late"), "host a\nhost b\nport 8080\ny\n");
    assert_eq!(bench.cat("/etc/other"), "$HOME h\n");
    assert_eq!(bench.cat("/srv/page"), "page {{ not }} a template\n");
    let stat = |path: &str| bench.stat(path).map(|(_, mode, uid, gid)| (mode, uid, gid));
    assert_eq!(stat("/etc/app.conf"), Some((0o600, 1, 2)));
    assert_eq!(stat("/etc/other"), Some((0o644, 0, 0)));
    assert_eq!(stat("/opt/made"), Some((0o640, 3, 4)));
    assert_eq!(stat("/srv/page").map(|stat| (stat.1, stat.2)), Some((7, 8)));
    for path in ["/project", "/out", "/_part", "/etc/_part"] {
        assert_eq!(bench.stat(path), None, "{path}");
    }
    let config = bench.blob(&report["config"]);
    let run = &config["config"];
    assert_eq!(run["Entrypoint"], json!(["/etc/corten/prestart", "/bin/echo", "$literal"]));
    assert_eq!(run["ExposedPorts"], json!({"8080/tcp": {}}));
    assert_eq!(run["Labels"], json!({"version": "2"}));
    assert!(run["Env"].as_array().unwrap().contains(&json!("MODE=a \"b\" $c")), "{run}");
    assert_eq!(run["OnBuild"], json!(["ENV INHERITED=yes"]));
    let started = std::process::Command::new(env!("CARGO_BIN_EXE_corten"))
        .args(["run", "--rm", "--network", "none", "--store"])
        .arg(bench.path("store"))
        .args(["t", "now"])
        .env("HOME", bench.path("home"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&started.stdout), "$literal now\n", "{}", text(&started.stderr));
    assert!(text(&started.stderr).contains("before /bin/echo"), "{}", text(&started.stderr));
    let validated = bench.corten("store", &["validate", "store:t"]);
    assert_eq!(validated.code, 0, "{}{}", validated.out, validated.err);
    // Again, and without the cache: the same bytes.
    for more in [&["--set", "web.port=8080"][..], &["--set", "web.port=8080", "--no-cache"]] {
        assert_eq!(built(&bench, more)["digest"], report["digest"]);
    }
    assert_ne!(built(&bench, &[])["digest"], report["digest"], "another value, another image");
    bench.built("FROM t\nUSER root\nRUN echo $INHERITED >/got\n", &[]);
    assert_eq!(bench.cat("/got"), "yes\n");
}

#[test]
fn a_dockerfile_comes_first_unless_the_project_is_named() {
    let Some(bench) = Bench::new() else { return };
    bench.write("p/Dockerfile", "FROM base\nRUN echo dockerfile >/which\n");
    bench.write("p/image.toml", "from = 'base'\n[build]\nrun = ['echo project >/which']\n");
    built(&bench, &["-t", "t"]);
    assert_eq!(bench.cat("/which"), "dockerfile\n");
    let file = bench.path("p/image.toml").display().to_string();
    built(&bench, &["-t", "t", "-f", &file]);
    assert_eq!(bench.cat("/which"), "project\n");
    let answer = build(&bench, &["--set", "a=1"]);
    assert!(answer.code == 2 && answer.err.contains("no image.toml"), "{}", answer.err);
}

/// Files beside a good project, more words, the exit code, and what is said.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str], i32, &'static str);

#[test]
fn what_is_wrong_with_a_project_is_told_and_nothing_is_named() {
    let Some(bench) = Bench::new() else { return };
    let cases: [Case; 9] = [
        (&[("image.toml", "frm = 'base'\n")], &[], 2, "frm"),
        (&[("image.toml", "from = '{{ missing }}'\n")], &[], 2, "image.toml: line 1"),
        (&[("image.toml", "from = 'base\\nRUN true'\n")], &[], 2, "base"),
        (&[("templates/etc/x.tmpl", "\n{{ a.b }}\n")], &[], 2, "etc/x.tmpl: line 2"),
        (&[("templates/etc/plain", "x\n")], &[], 2, "files/"),
        (&[("attributes/a.toml", "x\n")], &[], 2, "attributes/a.toml"),
        (&[("image.toml", "from = 'base'\n[templates.'/etc/y']\nmode='1'\n")], &[], 2, "/etc/y"),
        (
            &[("image.toml", "from = 'base'\n[build]\nrun = ['echo out; exit 5']\n")],
            &[],
            1,
            "build: echo out; exit 5",
        ),
        (&[], &["--build-arg", "A=1"], 2, "--set"),
    ];
    for (files, more, code, says) in cases {
        let _ = std::fs::remove_dir_all(bench.path("p"));
        bench.write("p/image.toml", "from = 'base'\n");
        for (name, text) in files {
            bench.write(&format!("p/{name}"), text);
        }
        let answer = build(&bench, &[&["-t", "wrong"], more].concat());
        assert_eq!(answer.code, code, "{says}: {}", answer.err);
        assert!(answer.err.contains(says), "{says}: {}", answer.err);
        assert_ne!(bench.corten("store", &["inspect", "store:wrong"]).code, 0);
    }
    let _ = std::fs::remove_dir_all(bench.path("p"));
    bench.write("p/image.toml", "from = 'base'\n");
    bench.write("p/templates/a.tmpl", "a\n");
    std::os::unix::fs::symlink("/etc/passwd", bench.path("p/templates/b.tmpl")).unwrap();
    let answer = build(&bench, &[]);
    assert!(
        answer.code == 2 && answer.err.contains("b.tmpl"),
        "a link leads nowhere: {}",
        answer.err
    );
}
