//! The images that the cases are built on: one static busybox with users, links, special modes and attributes, under
//! several configs.

use std::path::Path;

use corten_spec::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::making::{Thing, tar_of};

/// What the base has besides busybox and the names of its programs.
const TREE: &str = r"dir bin
dir dev
dir proc
dir sys
dir etc
file etc/passwd : root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nweb:x:33:33:web:/var/www:/bin/sh\nlone:x:1500:2000:lone:/:/bin/sh\n
file etc/group : root:x:0:\napp:x:1000:\nweb:x:33:app\nmore:x:2000:app,root\n
file etc/motd : hello\n
dir root mode=0700
dir tmp mode=1777
dir home
dir home/app own=1000:1000 mode=0750
dir opt
file opt/suid mode=4755 : suid
file opt/sgid mode=2755 own=33:33 : sgid
file opt/capable mode=0755 xattr=security.capability=\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00 : capable
file opt/noted xattr=user.note=kept : noted
file opt/one : pair
hard opt/two -> opt/one
dir opt/sticky mode=1777
dir opt/private mode=0700 own=1000:1000
file opt/private/key mode=0600 own=1000:1000 : key
dir opt/full
file opt/full/a : a
file opt/full/b : b
dir opt/full/sub
file opt/full/sub/c : c
link opt/dirlink -> full
link opt/filelink -> full/a
link opt/absolute -> /opt/full
link opt/broken -> nowhere
link opt/outside -> ../../../../etc
";

/// The programs of busybox that the cases call.
const APPLETS: &str = "cat chmod chown cp dd echo env expr false find grep head hostname id ln ls mkdir mkfifo mknod \
                       mv printf pwd readlink rm rmdir sed sh sleep sort stat tar test touch tr true wc";

/// The images, by their names: what their configs say.
pub(crate) fn configs() -> Vec<(&'static str, Value)> {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    vec![
        ("base", json!({"Env": [path], "Cmd": ["/bin/sh"]})),
        ("bare", json!({})),
        (
            "full",
            json!({
                "Env": ["PATH=/bin", "KEPT=base", "EMPTY="],
                "Entrypoint": ["/bin/echo", "entry"],
                "Cmd": ["from", "base"],
                "User": "app",
                "WorkingDir": "/home/app",
                "Volumes": {"/vol": {}},
                "ExposedPorts": {"80/tcp": {}},
                "Labels": {"of": "base", "kept": "yes"},
                "StopSignal": "SIGINT",
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000_u64},
                "Shell": ["/bin/sh", "-ec"],
            }),
        ),
        (
            "trigger",
            json!({
                "Env": [path],
                "OnBuild": ["ENV BORN=yes", "RUN echo $BORN >/born", "COPY a /taken", "ARG LATE=late", "RUN echo $LATE >/late"],
            }),
        ),
    ]
}

/// Writes the layout with all of them.
pub(crate) fn write_layout(directory: &Path, busybox: &[u8]) {
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        std::fs::write(blobs.join(digest.encoded()), bytes).unwrap();
        digest.to_string()
    };
    let mut things: Vec<Thing> = TREE.lines().map(Thing::parse).collect();
    let mut program = Thing::parse("file bin/busybox mode=0755");
    program.content = busybox.to_vec();
    things.insert(1, program);
    let links = APPLETS.split_whitespace();
    things.extend(links.map(|name| Thing::parse(&format!("link bin/{name} -> busybox"))));
    let tar = tar_of(things.iter());
    let layer = put(&tar);
    let mut manifests = Vec::new();
    for (name, config) in configs() {
        let config = json!({
            "created": "2024-01-01T00:00:00Z",
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "base"}],
        });
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": put(config.as_bytes()), "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": tar.len(),
            }],
        });
        let manifest = manifest.to_string();
        manifests.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": put(manifest.as_bytes()),
            "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": name},
        }));
    }
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    std::fs::write(directory.join("index.json"), index.to_string()).unwrap();
    std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
