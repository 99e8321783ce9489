//! podman and containerd with our engine as their runtime: what they ask of a runtime, and that nothing of
//! ours stays.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use corten_testkit::{Peer, Ran};

use crate::bench::Bench;
use crate::podman::Podman;

/// Says that it is up, and ends with 3 when it is asked to.
const WAITS: &str = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done";
/// Where the peers see this machine's control groups in place of a view without controllers.
const WITH_CONTROLLERS: &str = "umount \"$1/sys/fs/cgroup\"; \
    mount --rbind /sys/fs/cgroup \"$1/sys/fs/cgroup\"; shift; exec \"$@\"";

/// A link to the program by the name that makes it a runtime.
fn link(bench: &Bench) -> String {
    symlink(env!("CARGO_BIN_EXE_corten"), bench.path("corten-oci")).unwrap();
    bench.at("corten-oci")
}

/// Waits until nothing is left of a container: what engines clear away after it they clear away soon.
fn assert_gone(name: &str, states: &[PathBuf]) {
    let begun = Instant::now();
    loop {
        let left = left_of(name, states);
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "left of {name}: {left:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What of a container is there yet, looked for by a name that nothing else has: mounts, control groups,
/// states below `states`, and processes.
fn left_of(name: &str, states: &[PathBuf]) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut left: Vec<_> =
        mounts.lines().filter(|one| one.contains(name)).map(str::to_owned).collect();
    named(Path::new("/sys/fs/cgroup"), name, 4, &mut left);
    states.iter().for_each(|state| named(state, name, 1, &mut left));
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |file: &str| std::fs::read(process.path().join(file)).unwrap_or_default();
        let text = [read("cmdline"), read("cgroup"), read("environ")].concat();
        if text.windows(name.len()).any(|window| window == name.as_bytes())
            && process.file_name().to_str() != Some(&std::process::id().to_string())
        {
            left.push(format!("{}: {}", process.path().display(), text.escape_ascii()));
        }
    }
    left
}

/// Directories of this name, down to a depth.
fn named(directory: &Path, name: &str, depth: u32, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(name) {
            found.push(entry.path().display().to_string());
        } else if depth > 0 {
            named(&entry.path(), name, depth - 1, found);
        }
    }
}

/// podman with our runtime.
struct Driven<'a> {
    podman: Podman<'a>,
    link: String,
    image: String,
}

impl Driven<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let own = ["--runtime", &self.link, "--cgroup-manager", "cgroupfs"];
        self.podman.command(&[&own, arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ended(self.command(arguments))
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "podman {arguments:?}: {ran:?}");
        ran.stdout
    }

    /// The words of a new container: these options, then a shell script.
    fn container<'b>(
        &'b self,
        verb: &'b str,
        options: &[&'b str],
        script: &'b str,
    ) -> Vec<&'b str> {
        // The view of the peers has no controllers, so no limit either; podman would set one by itself.
        let usual = [verb, "--cgroups", "enabled", "--network", "none", "--pids-limit", "0"];
        [&usual, options, &[&self.image, "sh", "-c", script]].concat()
    }
}

fn ended(mut command: Command) -> Ran {
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[test]
fn podman_runs_containers_with_corten_as_its_runtime() {
    let bench = Bench::new();
    let (Some(podman), Some(real)) = (Podman::at(&bench), Peer::real_images()) else { return };
    let image = podman.succeed(&["pull", "--quiet", &format!("oci:{}:debian", real.display())]);
    let driven = Driven { podman, link: link(&bench), image };
    let states = [driven.podman.tree().join("run/corten/oci")];
    let ran = driven.run(&driven.container("run", &["--rm"], "echo out; echo err >&2; exit 7"));
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(7), "out\n", "err\n"));
    let ran = driven.run(&driven.container("run", &["--rm", "--entrypoint", "/no/such"], ""));
    assert_eq!(ran.code, Some(127), "{ran:?}");
    with_a_terminal(&driven);
    with_settings(&driven);
    a_whole_life(&driven, &states);
    with_limits(&driven);
    assert_gone(&driven.link, &[]);
}

fn with_a_terminal(driven: &Driven<'_>) {
    let script = "tty; test -t 0 && test -t 1 && test -t 2 && stat -c %t:%T /dev/console; exit 4";
    let ran = driven.run(&driven.container("run", &["--rm", "--tty"], script));
    let said = ran.stdout.replace('\r', "");
    let mut lines = said.lines();
    assert_eq!((ran.code, lines.next()), (Some(4), Some("/dev/pts/0")), "{ran:?}");
    assert!(lines.next().is_some_and(|device| device.starts_with("88:")), "{ran:?}");
}

/// What podman asks for in the runtime config arrives.
fn with_settings(driven: &Driven<'_>) {
    let options = [
        "--rm",
        "--read-only",
        "--hostname",
        "box",
        "--env",
        "A=b c",
        "--workdir",
        "/srv",
        "--user",
        "1:2",
        "--cap-drop",
        "all",
        "--tmpfs",
        "/scratch:size=1m",
        "--ulimit",
        "nofile=55:66",
        "--security-opt",
        "no-new-privileges",
        "--sysctl",
        "net.ipv4.ip_forward=1",
    ];
    let script = "hostname; echo $A; pwd; id -u; id -g; ulimit -Sn; ulimit -Hn; \
        cat /proc/sys/net/ipv4/ip_forward; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; \
        touch /x 2>/dev/null || echo sealed; touch /scratch/x && echo writable";
    let expected = "box\nb c\n/srv\n1\n2\n55\n66\n1\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n\
        Seccomp:\t2\nsealed\nwritable\n";
    assert_eq!(driven.succeed(&driven.container("run", &options, script)), expected);
}

fn a_whole_life(driven: &Driven<'_>, states: &[PathBuf]) {
    let id = driven.succeed(&driven.container("run", &["--detach", "--name", "one"], WAITS));
    let id = id.trim();
    assert!(states.iter().any(|state| state.join(id).exists()), "our runtime keeps its state");
    let pid = driven.succeed(&["inspect", "--format", "{{.State.Pid}}", "one"]);
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", pid.trim())).unwrap();
    assert!(groups.contains(&format!("libpod-{id}")), "{groups}");
    let ran = driven.run(&[
        "exec",
        "--env",
        "X=y",
        "--user",
        "3",
        "one",
        "sh",
        "-c",
        "echo $X; id -u; exit 6",
    ]);
    assert_eq!((ran.code, &*ran.stdout), (Some(6), "y\n3\n"), "{ran:?}");
    let ran = driven.run(&["exec", "--tty", "one", "tty"]);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "/dev/pts/0"), "{ran:?}");
    assert_eq!(driven.run(&["exec", "one", "/no/such"]).code, Some(127));
    // podman itself lives in a root of its own here, of which the container must have nothing.
    let seen = driven.succeed(&["exec", "one", "cat", "/proc/1/comm", "/proc/self/mountinfo"]);
    let tree = driven.podman.tree().display().to_string();
    assert!(seen.starts_with("sh\n") && !seen.contains(&format!(" {tree}")), "{seen}");
    driven.succeed(&["stop", "--time", "20", "one"]);
    assert_eq!(driven.succeed(&["wait", "one"]).trim(), "3");
    assert_eq!(driven.succeed(&["logs", "one"]), "up\nbye\n");
    driven.succeed(&["start", "one"]);
    driven.succeed(&["kill", "--signal", "KILL", "one"]);
    assert_eq!(driven.succeed(&["wait", "one"]).trim(), "137");
    driven.succeed(&["rm", "one"]);
    assert_gone(id, states);
}

/// Limits, where the peers are shown this machine's controllers.
#[allow(clippy::print_stderr)]
fn with_limits(driven: &Driven<'_>) {
    let pids = |version: &str| Path::new("/sys/fs/cgroup").join(version).exists();
    if !pids("pids") && !pids("pids.max") {
        eprintln!("skipped: no controller for processes");
        return;
    }
    let limits = ["--rm", "--memory", "64m", "--pids-limit", "7"];
    let script = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/memory/memory.limit_in_bytes \
        || cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max; \
        for n in 1 2 3 4 5 6 7 8 9; do sleep 1 & done";
    let plain = driven.command(&driven.container("run", &limits, script));
    // The peers make a mount namespace below this one, and keep it by a file. The kernel takes that of a younger one
    // alone, and numbers namespaces in the order of their making on one processor only.
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0", "unshare", "--mount", "--propagation", "private"]);
    command.args(["sh", "-c", WITH_CONTROLLERS, "sh"]);
    command.arg(driven.podman.tree()).arg(plain.get_program()).args(plain.get_args());
    let ran = ended(command);
    assert_eq!(ran.stdout, "7\n67108864\n", "{ran:?}");
    assert!(ran.code == Some(2) && ran.stderr.contains("Cannot fork"), "{ran:?}");
}

/// containerd with our runtime, in a namespace of its own.
struct Containerd {
    ctr: Peer,
    namespace: String,
    link: String,
}

impl Containerd {
    /// One that answers, started if none did; it stays. It has the image of the archive under `name`.
    fn at(bench: &Bench, archive: &str) -> Option<Self> {
        let ctr = Peer::find("ctr")?;
        let bin = PathBuf::from(ctr.command().get_program());
        let mut start = Command::new(bin.parent()?.parent()?.join("peers"));
        // The script takes the variable for the folder of its tree, the tests for a wish.
        start.arg("containerd").env_remove("CORTEN_PEERS");
        let started = ended(start);
        assert_eq!(started.code, Some(0), "containerd does not start: {started:?}");
        let namespace = format!("corten-test-{}", std::process::id());
        let containerd = Self { ctr, namespace, link: link(bench) };
        containerd.succeed(&["images", "import", "--base-name", "debian", archive]);
        Some(containerd)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.ctr.run([&["--namespace", &self.namespace], arguments].concat())
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "ctr {arguments:?}: {ran:?}");
        ran.stdout
    }

    /// Where it has its runtimes keep the states of this namespace.
    fn states(&self) -> PathBuf {
        let program = PathBuf::from(self.ctr.command().get_program());
        let tree = program.parent().unwrap().parent().unwrap().join("tree");
        tree.join("run/containerd/runc").join(&self.namespace)
    }

    fn container(&self, name: &str, options: &[&str], script: &str) -> Vec<String> {
        let own = ["run", "--runc-binary", &self.link];
        let image = ["debian:debian", name, "sh", "-c", script];
        [&own, options, &image].concat().into_iter().map(str::to_owned).collect()
    }

    fn start(&self, name: &str, options: &[&str], script: &str) -> Ran {
        let words = self.container(name, options, script);
        self.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs it below a terminal, which its client insists on.
    fn in_terminal(&self, words: &[String]) -> Ran {
        let plain = self.ctr.command();
        let own = [plain.get_program().to_str().unwrap(), "--namespace", &self.namespace];
        let all = own.into_iter().chain(words.iter().map(String::as_str));
        let quoted: Vec<_> = all.map(|word| format!("'{word}'")).collect();
        let mut command = Command::new("timeout");
        command.args(["60", "script", "--quiet", "--return", "--command", &quoted.join(" ")]);
        command.arg("/dev/null");
        ended(command)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // What a test that failed left behind.
        for name in self.run(&["containers", "list", "--quiet"]).stdout.lines() {
            self.run(&["tasks", "kill", "--signal", "SIGKILL", name]);
            self.run(&["tasks", "rm", "--force", name]);
            self.run(&["containers", "rm", name]);
        }
        self.run(&["images", "rm", "--sync", "debian:debian"]);
        self.run(&["namespaces", "rm", &self.namespace]);
        // The directories that containerd asked for and nobody takes away: empty, or something is left.
        let _ = std::fs::remove_dir(self.states());
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(hierarchy.path().join(&self.namespace));
        }
    }
}

#[test]
fn containerd_runs_containers_with_corten_as_its_runtime() {
    let Some(real) = Peer::real_images() else { return };
    let bench = Bench::new();
    let archive = bench.at("debian.tar");
    bench.corten(&[
        "copy",
        &format!("oci:{}:debian", real.display()),
        &format!("oci-archive:{archive}:debian"),
    ]);
    let Some(containerd) = Containerd::at(&bench, &archive) else { return };
    let ran = containerd.start("short", &["--rm"], "echo out; echo err >&2; exit 7");
    assert_eq!((ran.code, &*ran.stdout), (Some(7), "out\n"), "{ran:?}");
    assert!(ran.stderr.contains("err\n"), "{ran:?}");
    let ran =
        containerd.in_terminal(&containerd.container("tty", &["--rm", "--tty"], "tty; exit 4"));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stdout.contains("/dev/pts/0"), "{ran:?}");
    a_task(&bench, &containerd);
    assert_gone(&containerd.link, &[]);
}

fn a_task(bench: &Bench, containerd: &Containerd) {
    let states = containerd.states();
    let name = format!("long-{}", std::process::id());
    let log = format!("file://{}", bench.at("log"));
    let options = ["--detach", "--memory-limit", "67108864", "--log-uri", &log];
    let ran = containerd.start(&name, &options, WAITS);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(states.join(&name).is_dir(), "our runtime keeps its state");
    let list = containerd.succeed(&["tasks", "list"]);
    assert!(list.contains("RUNNING"), "{list}");
    let group = Path::new(&containerd.namespace).join(&name).join("memory.limit_in_bytes");
    if let Ok(limit) = std::fs::read_to_string(Path::new("/sys/fs/cgroup/memory").join(group)) {
        assert_eq!(limit.trim(), "67108864");
    }
    let exec =
        ["tasks", "exec", "--exec-id", "first", &name, "sh", "-c", "cat /proc/1/comm; exit 6"];
    let ran = containerd.run(&exec);
    assert_eq!((ran.code, &*ran.stdout), (Some(6), "sh\n"), "{ran:?}");
    let exec = ["tasks", "exec", "--tty", "--exec-id", "second", &name, "tty"].map(str::to_owned);
    let ran = containerd.in_terminal(&exec);
    assert!(ran.code == Some(0) && ran.stdout.contains("/dev/pts/"), "{ran:?}");
    containerd.succeed(&["tasks", "kill", "--signal", "SIGTERM", &name]);
    let stopped = Instant::now();
    while !containerd.succeed(&["tasks", "list"]).contains("STOPPED") {
        assert!(stopped.elapsed() < Duration::from_secs(20), "{name} does not stop");
    }
    let ran = containerd.run(&["tasks", "rm", &name]);
    assert!(ran.stderr.contains("exit code 3"), "{ran:?}");
    containerd.succeed(&["containers", "rm", &name]);
    by_force(containerd);
    assert_eq!(std::fs::read_to_string(bench.path("log")).unwrap(), "up\nbye\n");
    assert_gone(&name, &[states]);
}

/// A task that has been killed is removed by force like one that runs.
fn by_force(containerd: &Containerd) {
    let running = containerd.start("forced", &["--detach"], WAITS);
    assert_eq!(running.code, Some(0), "{running:?}");
    containerd.succeed(&["tasks", "kill", "--signal", "SIGKILL", "forced"]);
    while !containerd.succeed(&["tasks", "list"]).contains("STOPPED") {
        std::thread::sleep(Duration::from_millis(10));
    }
    containerd.succeed(&["tasks", "rm", "--force", "forced"]);
    containerd.succeed(&["containers", "rm", "forced"]);
}
