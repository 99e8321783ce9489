//! The peers' side: the same case, from the same bases, by BuildKit and by buildah.

use std::path::{Path, PathBuf};

use corten_testkit::{Peer, Ran, scratch};
use serde_json::Value;

use crate::bases::configs;
use crate::corpus::Case;
use crate::own::{Bench, Outcome, blobs_of, is_timed, words};
use crate::seen::Seen;

/// The name of the builder that is told where BuildKit listens.
const BUILDER: &str = "corten-differential";

/// Both, ready to build.
pub(crate) struct Peers {
    docker: Peer,
    buildah: Peer,
    kit: Kit,
    /// Which they are.
    pub(crate) versions: [String; 2],
}

/// Which BuildKit it is.
enum Kit {
    /// The one of the Docker engine, which takes bases from the engine's images.
    Engine,
    /// One that listens at the address in `CORTEN_BUILDKIT`.
    Remote,
}

impl Peers {
    /// `None`, told on stderr, where one is missing.
    pub(crate) fn find(bench: &Bench) -> Option<Self> {
        let (docker, buildah) = (Peer::docker()?, Peer::find("buildah")?);
        let skopeo = Peer::find("skopeo")?;
        let kit = match std::env::var("CORTEN_BUILDKIT") {
            Ok(address) => {
                docker.run(["buildx", "rm", BUILDER]);
                docker.succeed([
                    "buildx", "create", "--name", BUILDER, "--driver", "remote", &address,
                ]);
                Kit::Remote
            }
            Err(_) => Kit::Engine,
        };
        for (name, _) in configs() {
            let from = format!("oci:{}:{name}", bench.layout().display());
            skopeo.succeed(["copy", "--quiet", &from, &format!("docker-daemon:{name}:latest")]);
            let id = buildah.succeed(["pull", "--quiet", &from]);
            buildah.succeed(["tag", id.trim(), &format!("localhost/{name}")]);
        }
        let inspected = docker.succeed(match kit {
            Kit::Remote => vec!["buildx", "inspect", "--bootstrap", BUILDER],
            Kit::Engine => vec!["version", "--format", "Docker engine: {{.Server.Version}}"],
        });
        let is_version = |line: &&str| line.contains("ersion:") || line.contains("engine:");
        let told = inspected.lines().find(is_version).unwrap_or_default();
        let kit_version = match kit {
            Kit::Remote => told.rsplit(' ').next().unwrap_or_default().to_owned(),
            Kit::Engine => format!("of {told}"),
        };
        let buildah_version = buildah.succeed(["--version"]);
        let buildah_version = buildah_version.split(' ').nth(2).unwrap().to_owned();
        Some(Self { docker, buildah, kit, versions: [kit_version, buildah_version] })
    }

    /// What BuildKit makes of a case.
    pub(crate) fn buildkit(&self, bench: &Bench, case: &Case) -> Outcome {
        let place = scratch();
        bench.contexts(case, place.path(), 0);
        let out = place.join("out");
        let name = format!("corten-differential-{}", std::process::id());
        let mut all: Vec<String> = ["buildx", "build", "--no-cache", "--progress", "plain"]
            .into_iter()
            .chain(["--provenance=false", "--sbom=false"])
            .map(str::to_owned)
            .collect();
        match self.kit {
            Kit::Remote => {
                all.extend(["--builder".to_owned(), BUILDER.to_owned(), "--output".to_owned()]);
                let rewrite = if is_timed(case) { ",rewrite-timestamp=true" } else { "" };
                all.push(format!("type=oci,tar=false,dest={}{rewrite}", out.display()));
                for (name, _) in configs() {
                    let layout = bench.layout();
                    let layout = layout.display();
                    all.extend([
                        "--build-context".to_owned(),
                        format!("{name}=oci-layout://{layout}:{name}"),
                    ]);
                }
            }
            Kit::Engine => all.extend(["-t".to_owned(), name.clone()]),
        }
        all.extend(words(case, place.path()));
        all.push(place.join("context").display().to_string());
        let ran = self.docker.run(&all);
        if ran.code != Some(0) {
            return Err(last_line(&ran));
        }
        if matches!(self.kit, Kit::Engine) {
            let tar = place.join("saved.tar").display().to_string();
            self.docker.succeed(["save", "-o", &tar, &name]);
            self.docker.run(["image", "rm", "--force", &name]);
            std::fs::create_dir_all(&out).unwrap();
            let words = ["-xf", &tar, "-C", out.to_str().unwrap()];
            assert!(std::process::Command::new("tar").args(words).status().unwrap().success());
        }
        let index = std::fs::read(out.join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().unwrap();
        let (config, layers) = blobs_of(&out, digest);
        Ok(Seen::read(&config, &layers, bench.ground(case), is_timed(case)))
    }

    /// What buildah makes of it.
    pub(crate) fn buildah(&self, bench: &Bench, case: &Case) -> Outcome {
        let place = scratch();
        bench.contexts(case, place.path(), 0);
        let name = format!(
            "localhost/corten-differential-{}",
            place.path().file_name().unwrap().to_str().unwrap().to_lowercase()
        );
        let mut all: Vec<String> = [
            "build",
            "--no-cache",
            "--pull=never",
            "--format",
            "docker",
            "--isolation",
            "oci",
            "-t",
            &name,
        ]
        .map(str::to_owned)
        .to_vec();
        // It asks for more than a machine may give otherwise.
        all.extend(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"].map(str::to_owned));
        if is_timed(case) {
            all.push("--rewrite-timestamp".to_owned());
        }
        all.extend(words(case, place.path()));
        all.push(place.join("context").display().to_string());
        let ran = self.buildah.run(&all);
        if ran.code != Some(0) {
            return Err(last_line(&ran));
        }
        let out = place.join("out");
        self.buildah.succeed(["push", "--quiet", &name, &format!("dir:{}", out.display())]);
        self.buildah.run(["rmi", "--force", &name]);
        let (config, layers) = of_directory(&out);
        let mut seen = Seen::read(&config, &layers, bench.ground(case), is_timed(case));
        // It makes one layer of all and tells the rest its own way.
        seen.history.clear();
        Ok(seen)
    }
}

/// Blobs of a directory as containers/image writes it.
fn of_directory(place: &Path) -> (PathBuf, Vec<PathBuf>) {
    let manifest = std::fs::read(place.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let path = |value: &Value| place.join(value["digest"].as_str().unwrap().replace("sha256:", ""));
    let layers = manifest["layers"].as_array().unwrap().iter();
    (path(&manifest["config"]), layers.map(path).collect())
}

fn last_line(ran: &Ran) -> String {
    let lines = ran.stderr.lines().rev();
    let mut errors = lines.filter(|line| line.to_lowercase().contains("error"));
    let line = errors.next().or(ran.stderr.lines().last()).unwrap_or_default().to_owned();
    // A peer's words of where the test was are of no use to a reader.
    let words = line.split(' ').map(|word| if word.contains("/corten-test-") { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
