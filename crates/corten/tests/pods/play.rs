//! `corten pod play`: the useful subset of a Kubernetes Pod.

use std::io::Write as _;
use std::process::Stdio;

use crate::{Machine, Ran, until};

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: shop
  labels: { tier: front }
spec:
  hostname: counter
  restartPolicy: Never
  terminationGracePeriodSeconds: 2
  initContainers:
    - name: first
      image: box
      command: ["sh", "-c", "echo first >/shared/log"]
      volumeMounts: [{ name: work, mountPath: /shared }]
  containers:
    - name: app
      image: box
      command: ["sh", "-c"]
      args: ["cat /shared/log; hostname; id -u; id -g; env | grep GREET; touch /x; cat /host/word; trap 'exit 0' TERM; while :; do sleep 0.05; done"]
      workingDir: /tmp
      env:
        - { name: WHO, value: you }
        - { name: GREET, value: "hello $(WHO)" }
      resources:
        limits: { memory: 64Mi, cpu: 500m }
        requests: { memory: 32Mi }
      securityContext:
        runAsUser: 1000
        runAsGroup: 1001
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: { drop: [ALL], add: [NET_BIND_SERVICE] }
      livenessProbe:
        exec: { command: ["true"] }
        periodSeconds: 1
      volumeMounts:
        - { name: work, mountPath: /shared, readOnly: true }
        - { name: host, mountPath: /host, readOnly: true }
    - name: side
      image: box
      command: ["sleep", "1000"]
      ports: [{ containerPort: 80, protocol: TCP, name: web }]
  volumes:
    - name: work
      emptyDir: {}
    - name: host
      hostPath: { path: ./host, type: DirectoryOrCreate }
"#;

fn play(machine: &Machine, text: &str, flags: &[&str]) -> Ran {
    let words = [&["pod", "play", "-"], flags].concat();
    let mut command = machine.command(&words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.current_dir(machine.home.path()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_pod_of_a_file_is_what_the_file_says() {
    let Some(machine) = Machine::new() else { return };
    std::fs::create_dir(machine.path("host")).unwrap();
    std::fs::write(machine.path("host/word"), "word\n").unwrap();
    let ran = play(&machine, POD, &[]);
    if ran.err.contains("network") && ran.code != 0 {
        eprintln!("skipped: no private network here: {}", ran.err);
        return;
    }
    assert_eq!(ran.code, 0, "{ran:?}");
    let status = machine.json(&["pod", "status", "shop", "--wait-ready=30s"]);
    assert_eq!(status["labels"]["tier"], "front");
    let said = || machine.run(&["logs", "shop-app"]).out;
    until("all words", || said().contains("word"));
    assert_eq!(said(), "first\ncounter\n1000\n1001\nGREET=hello you\nword\n");
    assert!(machine.run(&["logs", "shop-app"]).err.contains("Read-only"));
    assert_eq!(status["members"][0]["name"], "shop-first");
    assert_eq!(status["members"][0]["exit_code"], 0);
    assert_eq!(status["members"][1]["health"], "healthy");
    let config = machine.json(&["status", "shop-app"])["config"].clone();
    assert_eq!(config["process"]["noNewPrivileges"], true);
    assert_eq!(config["process"]["cwd"], "/tmp");
    let bounding = &config["process"]["capabilities"]["bounding"];
    assert_eq!(bounding, &serde_json::json!(["CAP_NET_BIND_SERVICE"]));
    assert_eq!(config["linux"]["resources"]["memory"]["limit"], 64 << 20);
    machine.ok(&["pod", "rm", "--force", "shop"]);
}

#[test]
fn members_wait_for_the_success_of_what_comes_first() {
    let Some(machine) = Machine::new() else { return };
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: half}\nspec:\n  hostNetwork: true\n  \
                initContainers: [{name: first, image: box, command: [\"false\"]}]\n  \
                containers: [{name: app, image: box, command: [\"sleep\", \"1000\"]}]\n";
    let ran = play(&machine, text, &[]);
    assert!(ran.code != 0 && ran.err.contains("wait for its success"), "{ran:?}");
    let status = machine.json(&["pod", "status", "half"]);
    assert_eq!(status["members"][0]["exit_code"], 1);
    assert_eq!(status["members"][1]["state"], "created");
    until("the end of all processes", || machine.processes() == 0);
}

#[test]
fn a_pod_with_the_network_of_the_machine_ends_in_front() {
    let Some(machine) = Machine::new() else { return };
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: near}\nspec:\n  hostNetwork: true\n  \
                restartPolicy: Never\n  containers:\n  - {name: app, image: box, command: [readlink, /proc/self/ns/net]}\n";
    let ran = play(&machine, text, &["--foreground"]);
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, &*format!("near-app | {}\n", own.display())),
        "{ran:?}"
    );
}

#[test]
fn a_word_that_is_not_known_is_named() {
    let Some(machine) = Machine::new() else { return };
    for (from, to, wanted) in [
        ("hostname: counter", "nodeName: x", "nodeName"),
        ("workingDir: /tmp", "lifecycle: {}", "lifecycle"),
        ("periodSeconds: 1", "httpGet: {}", "httpGet"),
        ("emptyDir: {}", "emptyDir: {medium: Memory}", "medium"),
        ("cpu: 500m", "gpu: 1", "gpu"),
        ("cpu: 500m", "cpu: many", "many"),
        ("kind: Pod", "kind: Deployment", "Deployment"),
        ("mountPath: /host", "mountPath: host/../..", "mountPath"),
        (
            "name: work, mountPath: /shared, readOnly",
            "name: absent, mountPath: /w, readOnly",
            "absent",
        ),
        ("type: DirectoryOrCreate", "type: Socket", "Socket"),
    ] {
        let text = POD.replacen(from, to, 1);
        assert_ne!(text, POD, "{from}");
        let ran = play(&machine, &text, &[]);
        assert!(ran.code == 2 && ran.err.contains(wanted), "{to}: {ran:?}");
    }
    let ran = play(&machine, &POD.replacen("workingDir: /tmp", "lifecycle: {}", 1), &[]);
    assert!(
        ran.err.starts_with("error: standard input: line 21 column 7: unknown field"),
        "{ran:?}"
    );
    assert_eq!(machine.json(&["pod", "ps", "--all"])["pods"].as_array().unwrap().len(), 0);
}

#[test]
fn a_file_that_grows_without_end_is_refused() {
    let Some(machine) = Machine::new() else { return };
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{},", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let ran = play(&machine, &text, &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = play(&machine, &"#".repeat((1 << 20) + 1), &[]);
    assert!(ran.code != 0 && ran.err.contains("longer"), "{ran:?}");
}
