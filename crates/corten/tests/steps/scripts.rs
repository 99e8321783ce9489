//! Scripts, in the words that acbuild's own examples have.

use crate::bench::Bench;
use crate::stepper::{Stepper, rows};

#[test]
fn a_script_is_its_words_line_by_line() {
    let Some(bench) = Bench::new() else { return };
    bench.write("nginx.conf", "daemon off;\n");
    // As the example that packs nginx does it, with what is on a bench in place of Alpine's packages.
    bench.write(
        "build-nginx.acb",
        "# in the order of the example\n\
         begin base\n\
         set-name example.com/nginx\n\
         run --network none -- /bin/sh -c 'mkdir -p /usr/share/nginx && \\\n  echo built >/usr/share/nginx/made'\n\
         copy nginx.conf /etc/nginx.conf\n\
         port add http tcp 80\n\
         mount add html /usr/share/nginx/html\n\
         set-exec -- /usr/sbin/nginx -g \"daemon off;\"\n\
         label add version 1\n\
         write --overwrite -t t\n\
         end\n",
    );
    let work = Stepper::new(&bench, "script");
    work.line("script build-nginx.acb");
    assert_eq!(bench.cat("/usr/share/nginx/made"), "built\n");
    let answer = work.says(&["cat"]);
    assert!(answer.code == 2 && answer.err.contains("nothing is begun"), "{}", answer.err);
    let inspected = bench.corten("store", &["inspect", "--image-config", "store:t"]);
    let config: serde_json::Value = serde_json::from_str(&inspected.out).unwrap();
    assert_eq!(config["config"]["Entrypoint"][2], "daemon off;");
    let told: Vec<String> = rows(&config).into_iter().filter_map(|row| row.0).collect();
    assert!(
        told.contains(&"corten build set-exec -- /usr/sbin/nginx -g 'daemon off;'".to_owned()),
        "{told:?}"
    );
}

#[test]
fn a_line_that_fails_is_told_by_its_number_and_changes_nothing() {
    let Some(bench) = Bench::new() else { return };
    let work = Stepper::new(&bench, "wrong");
    bench.write("fails", "begin base\nlabel add kept 1\n\nrun --network none -- /bin/sh -c 'echo out; exit 3'\nlabel add never 2\n");
    let answer = work.says(&["script", "fails"]);
    assert_eq!(answer.code, 1);
    for says in ["fails: line 4", "exit code 3", "out"] {
        assert!(answer.err.contains(says), "{}", answer.err);
    }
    let labels = work.config()["config"]["Labels"].clone();
    assert_eq!(labels["kept"], "1", "what came before stands");
    assert_eq!(labels.get("never"), None);
    // A word that is none is found before the first is carried out.
    for (text, line) in [
        ("label add a b\nlable add c d\n", "line 2"),
        ("label add a b\nrun 'open\n", "line 2"),
        ("label add a b\n\nscript other\n", "line 3"),
        ("label add a b\nisolator add x {}\n", "line 2"),
    ] {
        bench.write("unread", text);
        let answer = work.says(&["script", "unread"]);
        assert_eq!(answer.code, 2, "{text}");
        assert!(answer.err.contains(line), "{}", answer.err);
    }
}
