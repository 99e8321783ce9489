//! What people and programs see of a build: the tree on a terminal, JSON, and the shell after a failure.

use std::process::{Command, Stdio};

use corten_testkit::TerminalUser;
use serde_json::Value;

use crate::bench::Bench;

impl Bench {
    fn at_terminal(&self, dockerfile: &str, more: &[&str]) -> Command {
        self.write("ctx/Dockerfile", dockerfile);
        let words = ["build", "-t", "t", "--network", "none"];
        let mut command = self.command("store", &[&words, more].concat());
        command.arg(self.path("ctx")).env("TERM", "xterm").env_remove("NO_COLOR");
        command
    }
}

const FILE: &str = "FROM base AS one\nRUN printf 'first\\033[31m\\n'; sleep 1; echo second\n\
                    FROM base\nCOPY --from=one /etc/passwd /p\n";

#[test]
fn a_terminal_shows_a_tree_that_leaves_a_summary() {
    let Some(bench) = Bench::new() else { return };
    let mut user = TerminalUser::runs(bench.at_terminal(FILE, &[]));
    user.sees("└─ one 2/2");
    user.sees("| first\\u{1b}[31m");
    assert_eq!(user.ends(), Some(0), "{}", user.seen());
    let summary = user.seen().rsplit("\x1b[J").nth(1).unwrap();
    assert!(summary.contains("[one 2/2] RUN printf"), "{summary}");
    assert!(summary.contains("built: 2 steps done, 0 cached"), "{summary}");
    assert!(user.seen().contains("\x1b[1m"), "colours");
    assert!(user.seen().trim_end().contains("sha256:"), "the report comes after: {}", user.seen());
    // The same from the cache, without colours.
    let mut command = bench.at_terminal(FILE, &[]);
    command.env("NO_COLOR", "1");
    let mut user = TerminalUser::runs(command);
    assert_eq!(user.ends(), Some(0), "{}", user.seen());
    assert!(user.seen().contains("built: 0 steps done, 2 cached"), "{}", user.seen());
    assert!(
        !user.seen().contains("\x1b[1m") && !user.seen().contains("\x1b[2m"),
        "{:?}",
        user.seen()
    );
}

#[test]
fn a_terminal_that_cannot_draw_gets_lines() {
    let Some(bench) = Bench::new() else { return };
    for (term, more) in [("dumb", None), ("xterm", Some("--progress=plain"))] {
        let mut command = bench.at_terminal(FILE, more.as_slice());
        command.arg("--no-cache").env("TERM", term);
        let mut user = TerminalUser::runs(command);
        assert_eq!(user.ends(), Some(0), "{}", user.seen());
        assert!(user.seen().contains("[one 2/2] RUN"), "{}", user.seen());
        assert!(user.seen().contains("  | second"), "{}", user.seen());
        assert!(!user.seen().contains('\x1b'), "{:?}", user.seen());
    }
    let answer = bench.build(FILE, &["--progress", "tty"]);
    assert!(answer.code != 0 && answer.err.contains("no terminal"), "{}", answer.err);
}

#[test]
fn json_is_an_object_for_each_line() {
    let Some(bench) = Bench::new() else { return };
    let context = format!("fresh=oci-layout://{}:base", bench.path("images").display());
    let file = "FROM fresh AS one\nRUN echo a; echo b >&2\nFROM one\nRUN echo c >/c\n";
    bench.write("ctx/Dockerfile", file);
    let ctx = bench.path("ctx").display().to_string();
    let words = ["build", "--network", "none", "--progress", "json", "--build-context", &context];
    let build = |more: &[&str]| bench.corten("empty", &[&words, more, &[&ctx]].concat());
    let events = |err: &str| -> Vec<Value> {
        let parsed = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        err.lines().map(parsed).collect()
    };
    let answer = build(&[]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let all = events(&answer.err);
    let of = |kind: &str| all.iter().filter(|one| one["event"] == kind).count();
    assert_eq!((of("started"), of("done"), of("output")), (2, 2, 2), "{}", answer.err);
    assert!(of("transfer-finished") > 0, "{}", answer.err);
    assert!(all.iter().all(|one| one["ms"].is_u64()), "{}", answer.err);
    let again = events(&build(&[]).err);
    assert_eq!(again.iter().filter(|one| one["event"] == "cached").count(), 2);
    bench.write("ctx/Dockerfile", "FROM fresh\nRUN echo bad; exit 3\n");
    let answer = build(&[]);
    let all = events(&answer.err);
    assert!(all.iter().any(|one| one["event"] == "failed"), "{}", answer.err);
    let last = all.last().unwrap();
    assert!(last["event"] == "error" && last["shown"].as_str().unwrap().contains("bad"), "{last}");
}

#[test]
fn a_shell_opens_in_the_state_of_what_failed() {
    let Some(bench) = Bench::new() else { return };
    let file = "FROM base AS slow\nRUN for i in 1 2 3 4 5 6 7 8 9; do echo noise; sleep 1; done\n\
                FROM base\nCOPY --from=slow /etc/passwd /q\nENV K=kept\n\
                FROM base AS bad\nENV K=kept\nWORKDIR /w\n\
                RUN --mount=type=secret,id=s --mount=type=tmpfs,target=/mem echo half >out; echo why; exit 7\n\
                FROM slow\nCOPY --from=bad /w /w\n";
    let secret = bench.write("secret", "hush");
    let secret = format!("id=s,src={}", secret.display());
    let mut user =
        TerminalUser::runs(bench.at_terminal(file, &["--debug-shell", "--secret", &secret]));
    user.sees("exit code 7");
    user.sees("| why");
    user.sees("To leave: exit");
    user.sees("# ");
    let before = user.seen().len();
    user.types(
        "echo $K-$(pwd)-$(cat out)-$(cat /run/secrets/s)-$(grep -c ' /mem ' /proc/mounts)\n",
    );
    user.sees("kept-/w-half-hush-1");
    user.types("tty; stty size; exit 5\n");
    let code = user.ends();
    assert_eq!(code, Some(1), "{}", user.seen());
    let after = &user.seen()[before..];
    assert!(after.contains("/dev/pts/0") && after.contains("20 70"), "{after}");
    assert!(!after.contains("noise"), "{after}");
    assert!(after.contains("the process ended with exit code 7"), "{after}");
    assert_ne!(bench.corten("store", &["inspect", "store:t"]).code, 0, "nothing was named");
}

#[test]
fn a_shell_that_is_not_there_is_told_and_so_is_a_terminal() {
    let Some(bench) = Bench::new() else { return };
    let file = "FROM base\nRUN exit 7\n";
    let mut user = TerminalUser::runs(bench.at_terminal(file, &["--debug-shell=/bin/none"]));
    assert_eq!(user.ends(), Some(1), "{}", user.seen());
    assert!(user.seen().contains("the shell /bin/none"), "{}", user.seen());
    assert!(user.seen().contains("ended with exit code 7"), "{}", user.seen());
    let mut command = bench.at_terminal(file, &["--debug-shell"]);
    let out = command.stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && err.contains("there is no terminal"), "{err}");
}
