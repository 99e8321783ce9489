//! What steps may have where whoever builds says so: agents, the machine's network, all of the machine; and secrets,
//! which reach no disk.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::bench::Bench;

/// Says which kinds of messages it got; answers every list with no keys, and all else with success.
pub(crate) fn fake_agent(path: &Path) -> Arc<Mutex<Vec<u8>>> {
    let listener = UnixListener::bind(path).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kinds = Arc::clone(&heard);
    let answer = move |mut stream: UnixStream| {
        let mut head = [0; 5];
        while stream.read_exact(&mut head).is_ok() {
            let size = u32::from_be_bytes(head[..4].try_into().unwrap());
            let mut rest = vec![0; size as usize - 1];
            stream.read_exact(&mut rest).unwrap();
            kinds.lock().unwrap().push(head[4]);
            let answer: &[u8] = match head[4] {
                11 => &[0, 0, 0, 5, 12, 0, 0, 0, 0],
                _ => &[0, 0, 0, 1, 6],
            };
            stream.write_all(answer).unwrap();
        }
    };
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    heard
}

/// What a step says to its agent: a list, then a removal of all keys.
pub(crate) const ASK: &str = "(ssh-add -L 2>&1; ssh-add -D 2>&1 || true)";
/// What comes back where the one is answered with no keys, and the other refused.
pub(crate) const ANSWER: &str = "The agent has no identities.\nFailed to remove all identities.\n";

/// `--build-context` with the machine's own `ssh-add` and `ssh-keygen`, or `None`, told on stderr.
pub(crate) fn tools(bench: &Bench) -> Option<String> {
    let programs = ["/usr/bin/ssh-add", "/usr/bin/ssh-keygen", "/usr/bin/ssh-agent"];
    if !programs.iter().all(|program| Path::new(program).exists()) {
        eprintln!("skipped: the programs of openssh-client are missing");
        return None;
    }
    Some(format!("tools={}", machine_of(&programs[..2], &bench.path("tools")).display()))
}

#[test]
fn an_agent_lists_and_signs_for_its_step_alone() {
    let Some(bench) = Bench::new() else { return };
    let Some(tools) = tools(&bench) else { return };
    let socket = bench.path("agent.sock");
    let heard = fake_agent(&socket);
    let file = format!(
        "FROM base\nCOPY --from=tools / /\n\
         RUN --mount=type=ssh,required ls -l $SSH_AUTH_SOCK | cut -c 1-10 >/seen; echo $SSH_AUTH_SOCK >>/seen; {ASK} >>/seen\n\
         RUN echo \"[$SSH_AUTH_SOCK]\" >>/seen; ls /run/buildkit 2>/dev/null; true\n\
         USER app\n\
         RUN --mount=type=ssh,id=default,target=/agent,uid=1000,mode=0600 \
         test $SSH_AUTH_SOCK = /agent && ssh-add -L | grep -q no && id -u >/tmp/asked\n\
         RUN --mount=type=ssh,id=other test -z \"$SSH_AUTH_SOCK\"\n",
    );
    let build = |socket: &Path| {
        let given = format!("default={}", socket.display());
        bench.built(&file, &["--ssh", &given, "--build-context", &tools])
    };
    let report = build(&socket);
    let wanted = format!("srw-------\n/run/buildkit/ssh_agent.0\n{ANSWER}[]\n");
    assert_eq!(bench.cat("/seen"), wanted);
    assert_eq!(*heard.lock().unwrap(), [11, 11], "the removal never came to the agent");
    assert_eq!(bench.cat("/tmp/asked"), "1000\n");
    for path in ["/run", "/agent", "/run/buildkit"] {
        assert_eq!(bench.stat(path), None, "{path}");
    }
    let config = bench.blob(&report["config"]).to_string();
    assert!(!config.contains("agent.sock"), "{config}");
    // Where the socket is does not matter to the cache.
    let elsewhere = bench.path("other.sock");
    fake_agent(&elsewhere);
    let again = build(&elsewhere);
    assert_eq!((&again["digest"], &again["ran"]), (&report["digest"], &0.into()));
}

#[test]
fn an_agent_that_is_missing_is_told() {
    let Some(bench) = Bench::new() else { return };
    let file = "FROM base\nRUN --mount=type=ssh,id=deploy,required true\n";
    let answer = bench.build(file, &[]);
    assert!(answer.code != 0 && answer.err.contains("--ssh deploy=SOCKET"), "{}", answer.err);
    let key = bench.write("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let answer = bench.build(file, &["--ssh", &format!("deploy={}", key.display())]);
    assert!(answer.code != 0 && answer.err.contains("OpenSSH's form"), "{}", answer.err);
    let mut command = bench.command("store", &["build", "--ssh", "default"]);
    let out = command.arg(bench.path("ctx")).env_remove("SSH_AUTH_SOCK").output().unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && err.contains("SSH_AUTH_SOCK is not set"), "{err}");
}

/// Ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_agent_signs_in_a_step() {
    let Some(bench) = Bench::new() else { return };
    let Some(context) = tools(&bench) else { return };
    let socket = bench.path("real.sock");
    let mut command = Command::new("ssh-agent");
    command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
    let _agent = Ends(command.spawn().unwrap());
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let key = bench.path("key");
    let ran = |command: &mut Command| {
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    ran(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
    ran(Command::new("ssh-add").arg(&key).env("SSH_AUTH_SOCK", &socket));
    // The machine's own programs, in a stage of the machine's files, sign with the key that the step never sees.
    std::fs::create_dir_all(bench.path("ctx")).unwrap();
    std::fs::copy(key.with_extension("pub"), bench.path("ctx/key.pub")).unwrap();
    bench.built(
        "FROM base\nCOPY --from=tools / /\nCOPY key.pub /\n\
         RUN echo root:x:0:0:root:/:/bin/sh >/etc/passwd; echo text >/text\n\
         RUN --mount=type=ssh ssh-add -L >/keys && ssh-keygen -Y sign -n file -f /key.pub /text && ! ssh-add -D\n",
        &["--ssh", &format!("default={}", socket.display()), "--build-context", &context],
    );
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    assert_eq!(bench.cat("/keys"), public);
    assert!(bench.cat("/text.sig").contains("BEGIN SSH SIGNATURE"));
    let still = Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &socket).output().unwrap();
    assert!(still.status.success(), "the key is still there");
}

#[test]
fn keys_of_files_sign_in_a_step_and_stay_outside() {
    let Some(bench) = Bench::new() else { return };
    let Some(context) = tools(&bench) else { return };
    let kinds =
        [("ed25519", ""), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048")];
    let (mut paths, mut names) = (Vec::new(), Vec::new());
    std::fs::create_dir_all(bench.path("ctx")).unwrap();
    for (kind, size) in kinds {
        let name = format!("{kind}{size}");
        let path = bench.path(&name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-N", "", "-C", &name, "-f"]).arg(&path);
        if !size.is_empty() {
            command.args(["-b", size]);
        }
        assert!(command.status().unwrap().success());
        std::fs::copy(path.with_extension("pub"), bench.path("ctx").join(format!("{name}.pub")))
            .unwrap();
        paths.push(path.display().to_string());
        names.push(name);
    }
    let file = format!(
        "FROM base\nCOPY --from=tools / /\nCOPY *.pub /\n\
         RUN echo root:x:0:0:root:/:/bin/sh >/etc/passwd; echo text >/text\n\
         RUN --mount=type=ssh,id=deploy ssh-add -L >/keys && ! ssh-add -D && for k in {}; do \
         cp /text /$k && ssh-keygen -Y sign -n file -f /$k.pub /$k || exit 1; done\n",
        names.join(" ")
    );
    let ssh = format!("deploy={}", paths.join(","));
    bench.built(&file, &["--ssh", &ssh, "--build-context", &context]);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let public: String = paths.iter().map(|path| read(&format!("{path}.pub"))).collect();
    assert_eq!(bench.cat("/keys"), public);
    for name in &names {
        let signature = bench.write(&format!("{name}.sig"), &bench.cat(&format!("/{name}.sig")));
        let text = std::fs::File::open(bench.write("text", "text\n")).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "check-novalidate", "-n", "file", "-s"]).arg(signature).stdin(text);
        let out = command.output().unwrap();
        assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
    }
    // One with a passphrase is for an agent.
    let locked = bench.path("locked");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "words", "-f"]).arg(&locked);
    assert!(command.status().unwrap().success());
    let answer = bench.build("FROM base\n", &["--ssh", &format!("default={}", locked.display())]);
    assert!(answer.code != 0 && answer.err.contains("passphrase"), "{}", answer.err);
}

/// Programs of this machine with what they are linked to, as a context.
fn machine_of(programs: &[&str], into: &Path) -> std::path::PathBuf {
    for program in programs {
        let said = Command::new("ldd").arg(program).output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let linked = said.split_whitespace().filter(|word| word.starts_with('/'));
        for path in linked.chain([*program]) {
            let target = into.join(path.trim_start_matches('/'));
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(path, target).unwrap();
        }
    }
    into.to_owned()
}

#[test]
fn a_secret_reaches_no_disk_while_its_step_runs() {
    let Some(bench) = Bench::new() else { return };
    let value = format!("hush-{}-hush", std::process::id());
    std::fs::create_dir_all(bench.path("tmp")).unwrap();
    bench.write(
        "ctx/Dockerfile",
        "FROM base\nENV T=before\nRUN --mount=type=secret,id=t,env=T --mount=type=secret,id=t \
         test ${#T} -gt 10 && test $T = $(cat /run/secrets/t) && echo begun; sleep 3; echo $T | wc -c >/n\n\
         RUN test $T = before\n",
    );
    let mut command = bench
        .command("store", &["build", "-t", "t", "--network", "none", "--secret", "id=t,env=HUSH"]);
    command.arg(bench.path("ctx")).env("HUSH", &value).env("TMPDIR", bench.path("tmp"));
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("| begun")));
    let found = Command::new("grep")
        .args(["-r", "-l", "-a", "-F", &value])
        .arg(bench.path("store"))
        .arg(bench.path("tmp"))
        .arg("/dev/shm")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    assert_eq!(bench.cat("/n"), format!("{}\n", value.len() + 1));
}

#[test]
fn devices_are_those_that_are_described_and_allowed() {
    let Some(bench) = Bench::new() else { return };
    bench.write(
        "cdi/a.yaml",
        &format!(
            "cdiVersion: 0.6.0\nkind: a.com/zero\ndevices:\n- name: one\n  containerEdits:\n    env: [WHICH=one]\n    \
             deviceNodes: [{{path: /dev/mine, hostPath: /dev/zero, permissions: r}}]\n    \
             mounts: [{{hostPath: {}, containerPath: /opt/vendor/lib, options: [ro]}}]\n",
            bench.path("vendor").display()
        ),
    );
    bench.write("vendor/lib.so", "library\n");
    let config = format!("[build]\ndevice-specs = ['{}']\n", bench.path("cdi").display());
    let config = bench.write("corten.toml", &config).display().to_string();
    let file = "FROM base\nRUN --device=a.com/zero=one,required head -c 3 /dev/mine | wc -c >/read; echo $WHICH >>/read; \
                cat /opt/vendor/lib/lib.so >>/read; touch /opt/vendor/lib/x 2>/dev/null || echo refused >>/read\n\
                RUN --device=b.com/none test ! -e /dev/mine\n";
    let answer = bench.build(file, &["--config", &config]);
    assert!(answer.code != 0 && answer.err.contains("--allow device=a.com/zero"), "{}", answer.err);
    bench.built(file, &["--config", &config, "--allow", "device=a.com/zero"]);
    assert_eq!(bench.cat("/read"), "3\none\nlibrary\nrefused\n");
    for path in ["/opt/vendor", "/dev/mine"] {
        assert_eq!(bench.stat(path), None, "{path} is in the image");
    }
    let file = "FROM base\nRUN --device=b.com/none,required true\n";
    let answer = bench.build(file, &["--config", &config, "--allow", "device"]);
    assert!(answer.code != 0 && answer.err.contains("no such device"), "{}", answer.err);
}

#[test]
fn the_machine_is_for_who_builds_to_give() {
    let Some(bench) = Bench::new() else { return };
    let network = "FROM base\nRUN --network=host readlink /proc/self/ns/net >/net\n";
    let answer = bench.build(network, &[]);
    assert!(answer.code != 0 && answer.err.contains("--allow network.host"), "{}", answer.err);
    bench.built(network, &["--allow", "network.host"]);
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(bench.cat("/net").trim(), own.display().to_string());
    let insecure = "FROM base\nRUN grep CapEff /proc/self/status >/caps\n\
                    RUN --security=insecure grep CapEff /proc/self/status >>/caps\n";
    let answer = bench.build(insecure, &["--allow", "network.host"]);
    assert!(answer.code != 0 && answer.err.contains("--allow security.insecure"), "{}", answer.err);
    bench.built(insecure, &["--allow", "security.insecure,network.host"]);
    let caps = bench.cat("/caps");
    let sets: Vec<u64> = caps
        .lines()
        .map(|line| u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap())
        .collect();
    assert!(sets[1] > sets[0] && sets[1] & sets[0] == sets[0], "{caps}");
    let answer = bench.build(network, &["--allow", "everything"]);
    assert!(answer.code != 0 && answer.err.contains("entitlements are"), "{}", answer.err);
}
