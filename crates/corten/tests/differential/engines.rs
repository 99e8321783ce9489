//! What corten built, run by everybody: Docker, podman, containerd, and crun and runc on a bundle.

use corten_testkit::{DockerRegistry, Peer, Ran};

use crate::corpus::Case;
use crate::own::{Bench, corten};

/// A Dockerfile, what it says when it is run without words, and its exit code.
const IMAGES: [(&str, &str, &str, i32); 6] = [
    (
        "run",
        "FROM base\nRUN echo built >/made && chmod 600 /made\nCMD cat /made; stat -c %a /made; exit 3\n",
        "built\n600\n",
        3,
    ),
    (
        "user",
        "FROM base\nUSER app\nENV A=b\\ c\nCMD id -u; id -g; id -G; echo $HOME \"$A\"\n",
        "1000\n1000\n1000 33 2000\n/home/app b c\n",
        0,
    ),
    (
        "words",
        "FROM base\nWORKDIR /w/x\nENTRYPOINT [\"/bin/sh\", \"-c\", \"pwd; echo $0 $1; exit 5\"]\nCMD [\"one\", \"two\"]\n",
        "/w/x\none two\n",
        5,
    ),
    (
        "gone",
        "FROM base\nRUN rm -r /opt/full /etc/motd && mkdir /opt/full && echo new >/opt/full/n\nCMD ls /opt/full; test -e /etc/motd || echo gone\n",
        "n\ngone\n",
        0,
    ),
    (
        "stages",
        "FROM base AS one\nRUN mkdir /h && echo x >/h/x && ln /h/x /h/y && chown 7:8 /h/x\nFROM base\nCOPY --from=one --chmod=4711 /h /z/\nCMD stat -c '%a %u %h' /z/x /z/y\n",
        "4711 7 2\n4711 7 2\n",
        0,
    ),
    (
        "scratch",
        "FROM scratch\nCOPY --from=base /bin /bin\nCOPY <<EOF /etc/passwd\nme:x:5:6::/:/bin/sh\nEOF\nUSER me\nCMD [\"/bin/sh\", \"-c\", \"id -u; id -g; echo $PATH\"]\n",
        "5\n6\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
        0,
    ),
];

/// How often ctr is asked for an output that it lost.
const ATTEMPTS: u32 = 8;

/// What a container of an image says under ctr. Under load that now and then shows nothing of a process that ends at
/// once; its code is right then.
fn said_by_ctr(all: &dyn Fn(&[&str]) -> Ran, image: &str, id: &str, code: i32) -> Ran {
    let once = |attempt: u32| all(&["run", "--rm", image, &format!("{id}-{attempt}")]);
    let lost = |ran: &Ran| ran.stdout.is_empty() && ran.code == Some(code);
    (1..ATTEMPTS).fold(once(0), |ran, attempt| if lost(&ran) { once(attempt) } else { ran })
}

fn same(engine: &str, name: &str, ran: &Ran, said: &str, code: i32) {
    assert_eq!((&*ran.stdout, ran.code), (said, Some(code)), "{engine}, {name}: {ran:?}");
}

fn started(service: &str) {
    let Some(peer) = Peer::find(service) else { return };
    let bin = std::path::PathBuf::from(peer.command().get_program());
    let mut start =
        std::process::Command::new(bin.parent().unwrap().parent().unwrap().join("peers"));
    let status =
        start.arg(service).env_remove("CORTEN_PEERS").stdout(std::process::Stdio::null()).status();
    assert!(status.unwrap().success(), "{service} does not start");
}

#[test]
fn images_run_unchanged_under_every_engine() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.scratch.join("store");
    let run = |words: &[&str]| {
        let out = corten(&store).args(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: out.status.code(), stdout: text(&out.stdout), stderr: text(&out.stderr) }
    };
    let docker = Peer::docker().zip(DockerRegistry::start());
    let (podman, ctr) = (Peer::find("podman"), Peer::find("ctr"));
    if ctr.is_some() {
        started("containerd");
    }
    let own = format!("corten-differential-{}", std::process::id());
    for (name, text, said, code) in IMAGES {
        let place = bench.scratch.join(format!("engines-{name}"));
        bench.contexts(&Case::of_text(name, text), &place, 0);
        let path = |file: &str| place.join(file).display().to_string();
        let tag = format!("{own}-{name}:v1");
        let words = ["build", "-t", &tag, "--network", "none", "--progress", "quiet"];
        let built = run(&[&words[..], &[&*path("context")]].concat());
        assert_eq!(built.code, Some(0), "{name}: {built:?}");
        let archive = path("image.tar");
        let copied =
            run(&["copy", &format!("store:{tag}"), &format!("oci-archive:{archive}:{tag}")]);
        assert_eq!(copied.code, Some(0), "{name}: {copied:?}");
        same("corten", name, &run(&["run", "--rm", "--network", "none", &tag]), said, code);
        if let Some((docker, registry)) = &docker {
            let pushed = run(&["push", &tag, &registry.reference(&tag)]);
            assert_eq!(pushed.code, Some(0), "{name}: {pushed:?}");
            under_docker((docker, registry), &tag, (name, said, code));
        }
        if let Some(podman) = &podman {
            let places = ["--root", "--runroot", "--tmpdir"];
            let places: Vec<String> = places
                .iter()
                .flat_map(|flag| [(*flag).to_owned(), path(&format!("podman{flag}"))])
                .collect();
            let all = |words: &[&str]| {
                podman.run(places.iter().map(String::as_str).chain(words.iter().copied()))
            };
            let loaded = all(&["load", "--quiet", "--input", &archive]);
            let image = loaded.stdout.trim().rsplit(' ').next().unwrap_or_default().to_owned();
            assert_eq!(loaded.code, Some(0), "{name}: {loaded:?}");
            let ran = all(&[
                "run",
                "--rm",
                "--cgroups=disabled",
                "--security-opt",
                "seccomp=unconfined",
                "--network",
                "none",
                &image,
            ]);
            all(&["rmi", "--all", "--force"]);
            same("podman", name, &ran, said, code);
        }
        if let Some(ctr) = &ctr {
            let all = |words: &[&str]| ctr.run(["--namespace", &own].iter().chain(words));
            let imported =
                all(&["images", "import", "--index-name", &format!("x/{tag}"), &archive]);
            assert_eq!(imported.code, Some(0), "{name}: {imported:?}");
            let ran = said_by_ctr(&all, &format!("x/{tag}"), &format!("{own}-{name}"), code);
            all(&["images", "rm", "--sync", &format!("x/{tag}")]);
            same("containerd", name, &ran, said, code);
        }
        for (runtime, more) in [("crun", &["--cgroup-manager=disabled"][..]), ("runc", &[])] {
            let Some(peer) = Peer::find(runtime) else { continue };
            let bundle = path(&format!("bundle-{runtime}"));
            let made = run(&["bundle", &format!("store:{tag}"), &bundle]);
            assert_eq!(made.code, Some(0), "{name}: {made:?}");
            let id = format!("{own}-{name}-{runtime}");
            let words = ["--root", &path(runtime), "run", "--bundle", &bundle, &id];
            same(runtime, name, &peer.run(more.iter().chain(&words)), said, code);
        }
    }
    if let Some(ctr) = &ctr {
        ctr.run(["namespaces", "rm", &own]);
    }
}

/// The engine takes no OCI archives; what it pulls keeps its config, and so its identity.
fn under_docker(
    (docker, registry): (&Peer, &DockerRegistry),
    pushed: &str,
    (name, said, code): (&str, &str, i32),
) {
    let reference = registry.reference(pushed);
    docker.succeed(["pull", "--quiet", &reference]);
    let ran = docker.run(["run", "--rm", "--network", "none", &reference]);
    docker.run(["image", "rm", "--force", &reference]);
    same("docker", name, &ran, said, code);
}
