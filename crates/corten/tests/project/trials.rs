//! Tests of a project: what they see, how they gate the name, and what is kept of them.

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::phases::{build, built};

const PROJECT: &str = "names = ['t']\nfrom = 'base'\n[build]\nrun = ['echo built >/made']\n";

fn is_there(bench: &Bench, name: &str) -> bool {
    bench.corten("store", &["inspect", &format!("store:{name}")]).code == 0
}

#[test]
fn an_image_gets_its_name_when_its_tests_pass() {
    let Some(bench) = Bench::new() else { return };
    let more = "[[test]]\nname = 'output'\nrun = ['/bin/cat', '/made']\noutput = 'built'\n\
                [[test]]\nname = 'code'\nrun = ['/bin/sh', '-c', 'echo some words; exit 3']\nexit = 3\ncontains = 'me wo'\n";
    bench.write("p/image.toml", &format!("{PROJECT}{more}"));
    bench.write("p/tests/1-made.sh", "grep -q built /made\ncat /tests/data\necho left >/left\n");
    bench.write("p/tests/2-apart.sh", "#!/bin/sh -e\ntest ! -e /left\n");
    bench.write("p/tests/data", "data\n");
    let report = built(&bench, &[]);
    assert_eq!(report["passed"], json!(["1-made.sh", "2-apart.sh", "output", "code"]));
    assert_eq!(bench.stat("/left"), None, "a test leaves nothing in the image");
    let again = built(&bench, &[]);
    assert_eq!(
        (&again["digest"], &again["attestation"]),
        (&report["digest"], &report["attestation"])
    );
    let manifest = bench.blob(&report["attestation"]);
    assert_eq!(manifest["subject"]["digest"], report["digest"]);
    assert_eq!(manifest["artifactType"], "application/vnd.in-toto+json");
    let kind = "https://in-toto.io/attestation/test-result/v0.1";
    assert_eq!(manifest["layers"][0]["annotations"]["in-toto.io/predicate-type"], kind);
    let statement = bench.blob(&manifest["layers"][0]["digest"]);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], kind);
    let digest = report["digest"].as_str().unwrap().replace("sha256:", "");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], Value::String(digest));
    assert_eq!(statement["predicate"]["result"], "PASSED");
    assert_eq!(statement["predicate"]["passedTests"], report["passed"]);
    // It travels with the image, as whatever refers to one does.
    let target = format!("oci:{}:x", bench.path("out").display());
    let copied = bench.corten("store", &["copy", "store:t", &target, "--referrers", "--json"]);
    assert_eq!(copied.code, 0, "{}", copied.err);
    let copied: Value = serde_json::from_str(&copied.out).unwrap();
    assert_eq!(copied["referrers"], 1);
}

#[test]
fn an_image_whose_tests_fail_gets_no_name() {
    let Some(bench) = Bench::new() else { return };
    bench.write("p/image.toml", PROJECT);
    bench.write("p/tests/good.sh", "true\n");
    for (text, says) in [
        ("echo seen\nfalse\necho never\n", "seen"),
        ("exit 7\n", "exit code 7"),
        ("/bin/sh -c 'kill -9 $$; true'\n", "exit code 137"),
        ("#!/bin/missing\n", "exit code 127"),
    ] {
        bench.write("p/tests/bad.sh", text);
        let answer = build(&bench, &[]);
        assert_eq!(answer.code, 1, "{text}");
        for says in [says, "1 of 2 tests failed: bad.sh"] {
            assert!(answer.err.contains(says), "{says}: {}", answer.err);
        }
        assert!(!is_there(&bench, "t"), "{text}");
    }
    let wrong = "[[test]]\nname = 'o'\nrun = ['/bin/echo', 'a']\noutput = 'b'\n\
                 [[test]]\nname = 'c'\nrun = ['/bin/echo', 'a']\ncontains = 'b'\n";
    bench.write("p/tests/bad.sh", "true\n");
    bench.write("p/image.toml", &format!("{PROJECT}{wrong}"));
    let answer = build(&bench, &[]);
    assert!(answer.code == 1 && answer.err.contains("2 of 4 tests failed: o, c"), "{}", answer.err);
    assert!(!is_there(&bench, "t"));
    let report = built(&bench, &["--no-test"]);
    assert_eq!((&report["passed"], &report["attestation"]), (&json!([]), &Value::Null));
    assert!(is_there(&bench, "t"));
}

#[test]
fn a_project_can_be_told_to_have_tests() {
    let Some(bench) = Bench::new() else { return };
    bench.write("p/image.toml", PROJECT);
    built(&bench, &[]);
    let answer = build(&bench, &["--require-tests"]);
    assert!(answer.code == 2 && answer.err.contains("must be tested"), "{}", answer.err);
    bench.write("p/image.toml", &format!("require-tests = true\n{PROJECT}"));
    let answer = build(&bench, &["--no-test"]);
    assert!(answer.code == 2 && answer.err.contains("must be tested"), "{}", answer.err);
    bench.write("p/tests/a.sh", "true\n");
    built(&bench, &[]);
    let twice = "[[test]]\nname = 'a.sh'\nrun = ['/bin/true']\n";
    bench.write("p/image.toml", &format!("{PROJECT}{twice}"));
    let answer = build(&bench, &[]);
    assert!(answer.code == 2 && answer.err.contains("a.sh"), "{}", answer.err);
}

#[test]
fn a_tester_of_its_own_sees_the_image_from_outside() {
    let Some(bench) = Bench::new() else { return };
    // An image without a shell: nothing in it could test it.
    bench.write(
        "p/image.toml",
        "names = ['t']\ntester = 'base'\n[[test]]\nname = 'c'\nrun = ['/bin/cat', '/image/etc/a']\noutput = 'x'\n",
    );
    bench.write("p/templates/etc/a.tmpl", "x\n");
    bench.write("p/tests/s.sh", "test -f /image/etc/a && test ! -e /image/bin/sh\n");
    let report = built(&bench, &[]);
    assert_eq!(report["passed"], json!(["s.sh", "c"]));
    assert_eq!(report["layers"], 1);
}
