//! Images whose volumes, programs, layers and settings attack.

use corten_testkit::tar::TarMaker;
use serde_json::json;

use crate::attack::{Attack, attack};
use crate::attacks::inside;

pub(crate) fn attempts(canary: &str) -> Vec<Attack> {
    let mut all = volumes(canary);
    all.extend(programs(canary));
    all.extend(layers(canary));
    all.extend(orders());
    all.extend(variables());
    all
}

fn volumes(canary: &str) -> Vec<Attack> {
    let volume = |title: &str, path: &str| {
        let path = path.to_owned();
        attack(title).config(|config| drop(config.volumes.insert(path, serde_json::Map::new())))
    };
    let look = |path: &str| format!("ls {path} | wc -l; echo x > {path}/new; ls {path}");
    vec![
        volume("a volume leads out", "/link").link("link", canary).fails(125, "link"),
        volume("a volume lies behind a link out", "/link/sub")
            .link("link", canary)
            .fails(125, "link"),
        volume("a volume lies behind a link out, and in", "/link/sub")
            .layer(inside(canary))
            .link("link", canary)
            .shell(&look("/link/sub"))
            .prints("0\nnew"),
        volume("a volume is seeded through a link", "/data")
            .layer(
                TarMaker::new()
                    .directory("data", 0o755)
                    .symlink("data/secret", &format!("{canary}/secret")),
            )
            .shell("cat /data/secret || echo none")
            .prints("none"),
        volume("a volume climbs", &format!("/..{canary}")).fails(125, "volume"),
        volume("a volume is the root", "/").fails(125, "volume"),
        volume("a volume is no path", "data").shell("echo x > /data/new; ls /data").prints("new"),
        volume("a volume is nothing", "").fails(125, "volume"),
        volume("a volume covers /dev", "/dev")
            .shell("echo x > /dev/null; ls /dev | grep -c null")
            .prints("1"),
        volume("a volume covers /proc", "/proc").shell("ls -d /proc/self").prints("/proc/self"),
        volume("a volume covers a part of /proc", "/proc/self")
            .shell("ls /proc/self | grep -c ^status$")
            .prints("1"),
        volume("a volume covers a part of /sys", "/a/../sys/fs").fails(125, "/sys/fs"),
        volume("a volume covers /etc", "/etc")
            .shell("cat /etc/hostname | wc -l; grep -c app /etc/passwd")
            .prints("1\n1"),
        volume("a volume is a pipe", "/pipe")
            .layer(TarMaker::new().fifo("pipe"))
            .fails(125, "/pipe"),
        attack("a volume that was asked for leads out")
            .link("link", canary)
            .flags("-v shared:/link/asked")
            .fails(125, "link"),
        attack("a directory of the machine is mounted behind a link out")
            .link("link", canary)
            .flags("-v ./mine:/link/secret:ro")
            .fails(125, "link"),
    ]
}

fn programs(canary: &str) -> Vec<Attack> {
    let script = |text: &str| TarMaker::new().file("bin/attack", 0o755, text);
    let try_binary =
        "for p in /proc/[0-9]*; do (echo x > $p/exe) 2>/dev/null && echo written; done; true";
    vec![
        attack("the program is the running binary").layer(script("#!/proc/self/exe\n")).words("attack").fails(127, "attack"),
        attack("the program is a link to the running binary").link("bin/attack", "/proc/self/exe").words("attack --version").fails(127, "attack"),
        attack("the program is a script of the machine").link("bin/attack", &format!("{canary}/script")).words("attack").fails(127, "attack"),
        attack("the interpreter is one of the machine").layer(script(&format!("#!{canary}/script\n"))).words("attack").fails(127, "attack"),
        attack("the program is a directory").layer(TarMaker::new().directory("bin/attack", 0o755)).words("attack").fails(126, "attack"),
        attack("the program is a pipe").layer(TarMaker::new().fifo("bin/attack")).words("attack").fails(126, "attack"),
        attack("there is no program").words("").fails(125, "program"),
        attack("a word has a zero byte").config(|config| config.cmd = Some(vec!["echo".to_owned(), "a\0b".to_owned()])).words("").fails(125, "NUL"),
        attack("the first process is written to while others enter").script(&format!(
            "quiet run -d --name $NAME --network none $FLAGS $IMAGE sh -c 'while :; do {try_binary}; done' > id
             for n in 1 2 3 4; do quiet exec $NAME true; done; corten logs $NAME; quiet rm --force $NAME > id"
        )),
        attack("a file with the bit of its owner raises nobody")
            .layer(TarMaker::new().file("bin/raise", 0o4755, "#!/bin/sh\nid -u\n"))
            .flags("--user app --security-opt no-new-privileges")
            .shell("grep NoNewPrivs /proc/self/status | grep -c 1; raise")
            .prints("1\n1000"),
        attack("descriptors that leaked").shell("for f in /proc/self/fd/*; do echo ${f##*/}; done")
            .prints("0\n1\n2\n3"),
        attack("variables of the machine").shell("cat /proc/1/environ /proc/self/environ | grep -c $(echo SEC)RET").fails(1, ""),
        attack("a device of the image")
            .layer(TarMaker::new().device("disk", 'b', (254, 0)).device("mem", 'c', (1, 1)))
            .shell("for d in disk mem; do test -e /$d || continue; head -c 1 /$d >/dev/null 2>&1 && echo read $d; (echo >> /$d) 2>/dev/null && echo wrote $d; done; true"),
        attack("a device is made").shell("mknod /tmp/disk b 254 0 2>&1; mknod /dev/disk b 254 0 2>&1; mknod /tmp/zero c 1 5 2>/dev/null; head -c 1 /tmp/zero 2>/dev/null; true")
            .prints("mknod: /tmp/disk: Operation not permitted\nmknod: /dev/disk: Operation not permitted"),
        attack("something is mounted")
            .shell("mount -t tmpfs x /tmp 2>/dev/null || echo no; mount -t proc x /tmp 2>/dev/null || echo no; mount -o bind /etc /tmp 2>/dev/null || echo no
                    mount -o remount,rw /sys 2>/dev/null || echo no; umount /proc/kcore 2>/dev/null || echo no; umount /etc/hosts 2>/dev/null || echo no")
            .prints("no\nno\nno\nno\nno\nno"),
        attack("the kernel is told")
            .shell("for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /sys/kernel/uevent_helper /proc/sys/vm/panic_on_oom \
                        $(find /sys/fs/cgroup -name release_agent -o -name cgroup.procs -o -name devices.allow 2>/dev/null); do
                        (echo \"|$0\" > $f) 2>/dev/null && echo $f; done; true"),
        attack("what is covered is read")
            .shell("cat /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats 2>/dev/null | wc -c; ls /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v : | grep -c .")
            .fails(1, ""),
        attack("the machine's root is looked for")
            .shell(&format!("ls /proc/1/root{canary} /proc/1/cwd{canary} /proc/self/root/..{canary} /..{canary} 2>/dev/null; kill -9 $PPID 2>/dev/null; true")),
    ]
}

fn layers(canary: &str) -> Vec<Attack> {
    let link = || TarMaker::new().symlink("link", canary);
    vec![
        attack("a layer writes through a link of a lower one")
            .layer(link())
            .layer(TarMaker::new().file("link/secret", 0o666, "lost"))
            .shell("cat /link/secret")
            .prints("lost"),
        attack("a layer writes through its own link")
            .layer(link().file("link/secret", 0o666, "lost"))
            .fails(125, "link/secret"),
        attack("a layer takes away through a link")
            .layer(link())
            .layer(TarMaker::new().whiteout("link", "secret"))
            .shell("ls /link | wc -l")
            .prints("0"),
        attack("a layer empties through a link")
            .layer(link())
            .layer(TarMaker::new().file("link/.wh..wh..opq", 0o644, ""))
            .shell("ls /link | wc -l")
            .prints("0"),
        attack("a hard link out")
            .layer(TarMaker::new().hard_link("hard", &format!("..{canary}/secret")))
            .fails(125, "hard"),
        attack("a hard link to the machine's file")
            .layer(TarMaker::new().hard_link("hard", &format!("{canary}/secret")))
            .fails(125, "hard"),
        attack("a name climbs")
            .layer(TarMaker::new().file(&format!("../../../../..{canary}/new"), 0o644, ""))
            .fails(125, "new"),
        attack("a name is absolute")
            .layer(TarMaker::new().file(&format!("{canary}/new"), 0o644, "x"))
            .shell(&format!("cat {canary}/new"))
            .prints("x"),
        attack("the root is a link")
            .layer(TarMaker::new().symlink("./", canary))
            .fails(125, "layer"),
        attack("the root is a file")
            .layer(TarMaker::new().file(".", 0o644, ""))
            .fails(125, "layer"),
        attack("the whiteout of the parent")
            .layer(TarMaker::new().file(".wh...", 0o644, ""))
            .fails(125, ".wh..."),
    ]
}

/// What another engine might take for its own.
fn orders() -> Vec<Attack> {
    let labels = [
        ("org.corten.runtime", "/bin/false"),
        ("io.containerd.runc.v2.log-uri", "binary:///bin/sh?-c=touch"),
        ("io.podman.annotations.privileged", "TRUE"),
        ("run.oci.keep_original_groups", "1"),
        ("run.oci.handler", "krun"),
        ("io.kubernetes.cri-o.userns-mode", "host"),
        ("org.opencontainers.runtime-spec.hooks", "x"),
        ("com.docker.volume", "/:/host"),
        ("$(touch x)", "`touch x`"),
        ("", ""),
    ];
    let unchanged =
        "ls -d /host 2>/dev/null; id -u; grep CapEff /proc/self/status | grep -c ffffffffff";
    let hooks =
        json!({ "prestart": [{ "path": "/bin/sh", "args": ["sh", "-c", "touch canary"] }] });
    vec![
        attack("labels that look like orders")
            .config(|config| {
                config.labels =
                    labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
            })
            .shell(&format!("{unchanged} || true"))
            .prints("0\n0"),
        attack("fields that look like orders")
            .config(|config| {
                for (key, value) in [
                    ("Privileged", json!(true)),
                    (
                        "HostConfig",
                        json!({ "Binds": ["/:/host"], "Privileged": true, "NetworkMode": "host" }),
                    ),
                    ("Mounts", json!([{ "Type": "bind", "Source": "/", "Target": "/host" }])),
                    ("hooks", hooks),
                    ("CapAdd", json!(["ALL"])),
                    ("OnBuild", json!(["RUN touch x"])),
                    ("Healthcheck", json!({ "Test": ["CMD-SHELL", "touch /x"], "Interval": 1 })),
                ] {
                    config.extra.insert(key.to_owned(), value);
                }
            })
            .shell(&format!("{unchanged} || true"))
            .prints("0\n0"),
    ]
}

/// Variables, and what else the config says.
fn variables() -> Vec<Attack> {
    let mut all = Vec::new();
    for (title, entry, out) in [
        ("a variable without a value takes none of the machine's", "SECRET", "unset"),
        ("a variable without a name", "=SECRET", "unset"),
        ("a variable with a line of another", "A=b\nSECRET=c", "unset"),
    ] {
        let entry = entry.to_owned();
        all.push(
            attack(title)
                .config(|config| config.env.push(entry))
                .shell("echo ${SECRET-unset}")
                .prints(out),
        );
    }
    let with_env =
        |title: &str, entry: String| attack(title).config(|config| config.env.push(entry));
    all.push(with_env("a variable with a zero byte", "A=b\0c".to_owned()).fails(125, "NUL"));
    all.push(
        with_env("a variable of a megabyte", format!("A={}", "x".repeat(1 << 20)))
            .fails(126, "too long"),
    );
    all.push(
        with_env("variables for the loader", "LD_PRELOAD=/canary.so".to_owned())
            .shell("echo $LD_PRELOAD")
            .prints("/canary.so"),
    );
    all.push(
        attack("a signal that is none")
            .config(|config| config.stop_signal = Some("SIGNOPE".to_owned()))
            .fails(125, "SIGNOPE"),
    );
    all.push(
        attack("ports that are none")
            .config(|config| {
                drop(config.exposed_ports.insert("99999999/x;y".to_owned(), serde_json::Map::new()))
            })
            .shell("echo runs")
            .prints("runs"),
    );
    all
}
