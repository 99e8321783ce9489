//! Containers from the inside: a program in them tells what it finds, and that is held against their
//! `config.json`, point by point, as the specification has it.

mod checks;
mod facts;
mod mounts;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use corten_testkit::Peer;
use serde_json::{Value, json};

use crate::bench::Bench;
use facts::{Facts, Outside};

/// The program in the container.
const INSIDE: &str = include_str!("inside.pl");
/// Ordinary users: one that a machine may give ranges of ids, and one that nobody knows.
const USERS: [u32; 2] = [1001, 54321];
/// The number of `unshare` for the program, on machines where the test knows it.
const UNSHARE: &str = if cfg!(target_arch = "x86_64") { "272" } else { "0" };

/// A directory that a container finds at `/check`, with the program and what it is told.
struct Check {
    place: PathBuf,
    /// What no other command line has.
    word: String,
}

impl Check {
    fn new(bench: &Bench, name: &str) -> Self {
        let place = bench.path(&format!("check-{name}"));
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("inside.pl"), INSIDE).unwrap();
        open(&place, 0o777);
        open(&place.join("inside.pl"), 0o644);
        Self { word: place.display().to_string(), place }
    }

    fn program(&self) -> [&str; 4] {
        ["perl", "/check/inside.pl", UNSHARE, &self.word]
    }

    /// Lets the program answer, and says what is not as the config has it.
    fn broken(&self, config: &Value, ordinary: bool) -> Vec<String> {
        let outside = Outside::find(&self.word, ordinary);
        let facts = Facts::ask(&self.place, config);
        checks::broken(config, &facts, &outside)
    }

    fn end(&self) {
        std::fs::write(self.place.join("done"), "").unwrap();
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        // The program of a test that failed shall not wait; the directory may be gone.
        let _ = std::fs::write(self.place.join("done"), "");
    }
}

fn open(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs the image with these options and holds it against the config that this made; then it ends by itself.
fn run(
    bench: &Bench,
    check: &Check,
    command: impl Fn(&[&str]) -> Command,
    options: &[&str],
) -> Value {
    let volume = format!("{}:/check", check.place.display());
    let words = [&["run", "--detach", "--volume", &volume], options, &["debian"], &check.program()];
    let output = command(&words.concat()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{options:?}: {}", text(&output.stderr));
    let id = text(&output.stdout);
    let config = config_of(Path::new(&bench.store()), &id).expect("a config of the container");
    let config: Value = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
    let ordinary = command(&[]).get_program() != env!("CARGO_BIN_EXE_corten");
    let broken = check.broken(&config, ordinary);
    check.end();
    let waited = command(&["wait", &id]).output().unwrap();
    let removed = command(&["rm", "--force", &id]).output().unwrap();
    assert_eq!(broken, Vec::<String>::new(), "{options:?}");
    assert_eq!(text(&waited.stdout), "0", "{options:?}");
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    config
}

/// The config of a container, wherever below the store it is.
fn config_of(directory: &Path, id: &str) -> Option<PathBuf> {
    let own = directory.join(id).join("bundle/config.json");
    if own.exists() {
        return Some(own);
    }
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let mut places = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !path.ends_with("blobs") && !path.ends_with("rootfs"));
    places.find_map(|place| config_of(&place, id))
}

/// A store with the image, and nothing that only root could read.
fn bench_with_image() -> Option<Bench> {
    let real = Peer::real_images()?;
    let bench = Bench::new();
    open(&bench.path(""), 0o755);
    bench.corten(&["copy", &format!("oci:{}:debian", real.display()), "store:debian"]);
    Some(bench)
}

#[test]
fn containers_of_run_are_as_their_config_says() {
    let Some(bench) = bench_with_image() else { return };
    let command = |words: &[&str]| bench.command(words);
    run(&bench, &Check::new(&bench, "plain"), command, &["--network", "none"]);
    let (source, sealed) = (bench.at("source"), format!("{}:/sealed:ro", bench.at("source")));
    std::fs::create_dir(&source).unwrap();
    let options = [
        "--network",
        "none",
        "--env",
        "A=b c",
        "--env",
        "EMPTY=",
        "--workdir",
        "/srv/deep/er",
        "--user",
        "33:7",
        "--group-add",
        "44",
        "--hostname",
        "box",
        "--read-only",
        "--tmpfs",
        "/scratch:size=3m,noexec,mode=0751",
        "--volume",
        &sealed,
        "--memory",
        "96m",
        "--pids",
        "99",
        "--cpus",
        "1.5",
        "--cap-drop",
        "ALL",
        "--cap-add",
        "NET_BIND_SERVICE",
        "--cap-add",
        "CHOWN",
        "--security-opt",
        "no-new-privileges",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--sysctl",
        "kernel.msgmax=9000",
        "--shm-size",
        "5m",
    ];
    let config = run(&bench, &Check::new(&bench, "rich"), command, &options);
    assert_eq!(config["root"]["readonly"], true);
    assert_eq!(
        config["process"]["user"]["additionalGids"],
        json!([config["process"]["user"]["gid"], 44])
    );
    let open = ["--network", "host", "--security-opt", "seccomp=unconfined", "--user", "nobody"];
    run(&bench, &Check::new(&bench, "open"), command, &open);
}

#[test]
fn containers_of_ordinary_users_are_as_their_config_says() {
    USERS.into_iter().for_each(of_an_ordinary_user);
}

fn of_an_ordinary_user(user: u32) {
    let Some(bench) = bench_with_image() else { return };
    let program = bench.at("corten");
    std::fs::copy(env!("CARGO_BIN_EXE_corten"), &program).unwrap();
    bench.give_to(user);
    let command = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.args(words).env_clear().env("HOME", bench.path("home"));
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CORTEN_STORE", bench.store());
        command.uid(user).gid(user).stdin(std::process::Stdio::null());
        command
    };
    run(&bench, &Check::new(&bench, "plain"), command, &["--network", "none", "--no-groups"]);
    let options = [
        "--network",
        "none",
        "--no-groups",
        "--env",
        "A=b c",
        "--workdir",
        "/srv/deep/er",
        "--hostname",
        "box",
        "--read-only",
        "--tmpfs",
        "/scratch:size=3m",
        "--cap-drop",
        "ALL",
        "--cap-add",
        "CHOWN",
        "--security-opt",
        "no-new-privileges",
        "--sysctl",
        "net.ipv4.ip_forward=1",
    ];
    run(&bench, &Check::new(&bench, "rich"), command, &options);
}

/// A process that holds namespaces for others to join.
struct Holder(Child);

impl Holder {
    fn start() -> Self {
        let mut command = Command::new("unshare");
        let child = command.args(["--net", "--ipc", "--uts", "sleep", "60"]).spawn().unwrap();
        // Until it has become the other program it has its namespaces, or it has not.
        let comm = format!("/proc/{}/comm", child.id());
        while std::fs::read_to_string(&comm).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A mount that shares what is mounted below it.
struct Shared(PathBuf);

impl Shared {
    fn at(place: PathBuf) -> Self {
        let mount = |words: &[&str]| {
            let status = Command::new("mount").args(words).arg(&place).status().unwrap();
            assert!(status.success(), "mount {words:?}");
        };
        std::fs::create_dir(&place).unwrap();
        mount(&["-t", "tmpfs", "tmpfs"]);
        mount(&["--make-shared"]);
        Self(place)
    }

    /// Mounts something below, which whoever follows finds there.
    fn mount_below(&self) {
        let place = self.0.join("later");
        if place.exists() {
            return;
        }
        std::fs::create_dir(&place).unwrap();
        let words = ["-t", "tmpfs", "tmpfs"];
        assert!(Command::new("mount").args(words).arg(&place).status().unwrap().success());
        std::fs::write(place.join("note"), "later").unwrap();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--recursive").arg(&self.0).status();
    }
}

#[test]
fn containers_of_the_runtime_are_as_their_config_says() {
    let Some(bench) = bench_with_image() else { return };
    let holder = Holder::start();
    let shared = Shared::at(bench.path("shared"));
    symlink(env!("CARGO_BIN_EXE_corten"), bench.path("corten-oci")).unwrap();
    bench.corten(&["bundle", "debian", &bench.at("bundle")]);
    let plain = std::fs::read(bench.path("bundle/config.json")).unwrap();
    let plain: Value = serde_json::from_slice(&plain).unwrap();
    let (mut rich, mut joined, mut mapped) = (plain.clone(), plain.clone(), plain.clone());
    enrich(&mut rich, &bench, &shared);
    join(&mut joined, holder.0.id());
    map(&mut mapped);
    for (name, config) in [("plain", plain), ("rich", rich), ("joined", joined), ("mapped", mapped)]
    {
        through_the_runtime(&bench, name, config, || shared.mount_below());
    }
}

/// Creates a container of the bundle with this config, does something, starts it, and looks at it.
fn through_the_runtime(bench: &Bench, name: &str, mut config: Value, between: impl Fn()) {
    let check = Check::new(bench, name);
    let mount = json!({ "destination": "/check", "type": "bind", "source": &check.place, "options": ["rbind", "rw"] });
    config["mounts"].as_array_mut().unwrap().push(mount);
    config["process"]["args"] = json!(check.program());
    config["linux"]["cgroupsPath"] = json!(format!("/corten-test-{}-{name}", std::process::id()));
    std::fs::write(bench.path("bundle/config.json"), config.to_string()).unwrap();
    let oci = |words: &[&str]| {
        let mut command = Command::new(bench.path("corten-oci"));
        command.args(["--root", &bench.at("state")]).args(words);
        // Its streams go to the container, which would keep pipes of ours.
        let log = std::fs::File::create(bench.path("log")).unwrap();
        let status = command
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status();
        let said = std::fs::read_to_string(bench.path("log")).unwrap();
        assert!(status.unwrap().success(), "{name}, {words:?}: {said}");
    };
    oci(&["create", "--bundle", &bench.at("bundle"), name]);
    between();
    oci(&["start", name]);
    let broken = check.broken(&config, false);
    check.end();
    oci(&["delete", "--force", name]);
    assert_eq!(broken, Vec::<String>::new(), "{name}");
}

/// As much as a config can ask for.
fn enrich(config: &mut Value, bench: &Bench, shared: &Shared) {
    bench.write("below/note", "above");
    let process = &mut config["process"];
    process["env"] = json!(["PATH=/usr/bin:/bin", "A=b c", "EMPTY=", "ODD=ä\nb=c"]);
    process["cwd"] = json!("/srv/made/for it");
    process["user"] =
        json!({ "uid": 1234, "gid": 4321, "umask": 0o037, "additionalGids": [5, 99] });
    process["rlimits"] = json!([
        { "type": "RLIMIT_NOFILE", "soft": 77, "hard": 88 },
        { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
        { "type": "RLIMIT_STACK", "soft": 1_048_576, "hard": 2_097_152 },
        { "type": "RLIMIT_FSIZE", "soft": 1_000_000, "hard": 1_000_000 },
    ]);
    let (few, more) = (
        json!(["CAP_KILL", "CAP_NET_RAW"]),
        json!(["CAP_KILL", "CAP_NET_RAW", "CAP_CHOWN", "CAP_SYS_TIME"]),
    );
    process["capabilities"] = json!({
        "bounding": more, "permitted": few, "effective": few, "inheritable": few, "ambient": ["CAP_KILL"],
    });
    process["noNewPrivileges"] = json!(true);
    process["oomScoreAdj"] = json!(321);
    config["hostname"] = json!("box.example");
    config["domainname"] = json!("example.org");
    config["root"]["readonly"] = json!(true);
    let mounts = config["mounts"].as_array_mut().unwrap();
    mounts.extend([
        json!({ "destination": "/order", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "nodev", "noexec", "size=2m", "mode=0755"] }),
        json!({ "destination": "/order/below", "type": "bind", "source": bench.at("below"),
                "options": ["rbind", "ro", "nosuid", "noexec", "rprivate"] }),
        json!({ "destination": "/follows", "type": "bind", "source": shared.0, "options": ["rbind", "rslave", "nodev", "noatime"] }),
        json!({ "destination": "/shares", "type": "bind", "source": shared.0, "options": ["bind", "rshared"] }),
    ]);
    let linux = &mut config["linux"];
    linux["sysctl"] = json!({ "net.ipv4.ip_forward": "1", "kernel.shmmni": "1234", "net.ipv4.ping_group_range": "0 9" });
    linux["devices"] = json!([
        { "path": "/dev/box", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8 },
        { "path": "/dev/thing", "type": "b", "major": 7, "minor": 0, "fileMode": 0o600 },
    ]);
    linux["maskedPaths"] = json!([
        "/proc/kcore",
        "/proc/keys",
        "/proc/acpi",
        "/sys/firmware",
        "/etc/passwd",
        "/usr/share",
        "/no/such"
    ]);
    linux["readonlyPaths"] = json!(["/proc/sys", "/proc/irq", "/proc/bus", "/etc", "/no/such"]);
    linux["rootfsPropagation"] = json!("unbindable");
    linux["resources"]["memory"] = json!({ "limit": 100 << 20 });
    linux["resources"]["pids"] = json!({ "limit": 123 });
    linux["resources"]["cpu"] = json!({ "shares": 512, "quota": 50_000, "period": 100_000 });
    linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    linux["timeOffsets"] =
        json!({ "monotonic": { "secs": 100, "nanosecs": 7 }, "boottime": { "secs": 200 } });
}

/// The network, the queues and the names of another process; the pids of nobody else.
fn join(config: &mut Value, pid: u32) {
    for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
        let (_, kernel) =
            facts::KINDS.into_iter().find(|(word, _)| namespace["type"] == *word).unwrap();
        if matches!(kernel, "net" | "ipc" | "uts") {
            namespace["path"] = json!(format!("/proc/{pid}/ns/{kernel}"));
        }
    }
    config["hostname"] = json!("joined");
    config["linux"]["rootfsPropagation"] = json!("private");
}

/// A user namespace of its own.
fn map(config: &mut Value) {
    let all = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    config["linux"]["uidMappings"] = all.clone();
    config["linux"]["gidMappings"] = all;
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    config["process"]["user"] = json!({ "uid": 33, "gid": 33 });
}
