//! How the root filesystem and the config of a container are made present at each start.
//!
//! A container keeps a recipe, not a mount: its layers, its image's config, what was asked. Each start
//! follows it in a mount namespace of its own, so that what it mounts ends with the last process.
//!
//! ```text
//! <container>/bundle/rootfs, config.json   as any OCI runtime takes them
//! <container>/upper, work                  what the container writes
//! <container>/etc/…                        hosts, hostname, resolv.conf
//! <container>/volumes/<n>                  volumes of its own
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use corten_bundle::config::{Converted, runtime_config};
use corten_bundle::users::{RootDirectory, within};
use corten_bundle::{Powers, Purpose, RootMount, Snapshots, Writable};
use corten_engine::Groups;
use corten_layer::Limits;
use corten_run::network::{self, Private, Way};
use corten_run::{Container, Hold, Pod, PodId, Prepare, RuntimeChoice};
use corten_spec::{DiffId, ImageConfig};
use corten_store::private;
use oci_spec::runtime::Mount;
use serde::{Deserialize, Serialize};

use super::options::{Network, RunOptions, Shared};
use super::{etc, overrides, own, templates};
use crate::config::FormWord;
use crate::context::RENDERED;
use crate::environment::powers;

/// What a start needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Recipe {
    /// Directory of the local store.
    pub(super) store: PathBuf,
    /// How the layers are kept ready.
    pub(super) form: FormWord,
    /// The layers, the base first.
    pub(super) layers: Vec<DiffId>,
    /// The image's config, as received.
    pub(super) config: String,
    /// What was asked.
    pub(super) options: RunOptions,
    /// Who makes the control groups.
    #[serde(default)]
    pub(super) groups: Groups,
    /// Where the leases of networks are.
    pub(super) leases: PathBuf,
    /// Directories of programs, for pasta.
    pub(super) programs: Vec<PathBuf>,
}

impl Recipe {
    /// The recipe of a container.
    pub(crate) fn of(container: &Container) -> io::Result<Self> {
        serde_json::from_value(container.asked.recipe.clone()).map_err(told)
    }

    /// The layers of a container, whatever else its recipe says.
    pub(crate) fn layers_of(container: &Container) -> io::Result<Vec<DiffId>> {
        let layers = container.asked.recipe.get("layers").cloned().unwrap_or_default();
        serde_json::from_value(layers).map_err(told)
    }

    /// What was asked.
    pub(crate) fn options(&self) -> &RunOptions {
        &self.options
    }

    /// The config of its image.
    pub(crate) fn image(&self) -> io::Result<ImageConfig> {
        serde_json::from_str(&self.config).map_err(told)
    }

    fn snapshots(&self, powers: Powers) -> io::Result<Snapshots> {
        Snapshots::open(&self.store.join(RENDERED), Limits::default(), powers).map_err(told)
    }

    /// Mounts the root filesystem of the container in `directory`; gives where.
    pub(in crate::ops) fn mount(&self, directory: &Path, powers: Powers) -> io::Result<PathBuf> {
        let snapshots = self.snapshots(powers)?;
        // Collection keeps what containers name; the lease is for the moment in which they are made.
        let _lease = snapshots.lease(&self.layers).map_err(told)?;
        let stack = snapshots.stack(self.form.into(), &self.layers).map_err(told)?;
        let target = directory.join("bundle/rootfs");
        let (upper, work) = (directory.join("upper"), directory.join("work"));
        for path in [&target, &upper, &work] {
            private::make_directories(path)?;
        }
        let wanted = RootMount {
            target: target.clone(),
            writable: Writable::Over { upper, work },
            purpose: Purpose::Run,
        };
        snapshots.mount(&stack, &wanted).map_err(told)?;
        Ok(target)
    }

    /// The runtime config, for the root filesystem at `rootfs`.
    pub(super) fn convert(
        &self,
        id: &str,
        site: Site<'_>,
        powers: Powers,
        is_unwanted: &dyn Fn() -> bool,
    ) -> io::Result<Converted> {
        let image = self.image()?;
        let mounts = own::mounts(self, &image, site, powers, is_unwanted)?;
        let mut overrides = overrides::overrides(&self.options, id, powers)?;
        overrides.mounts = etc::mounts(&self.options, id, site.directory)?;
        overrides.mounts.extend(mounts);
        let root = RootDirectory::open(site.rootfs)?;
        let mut converted =
            runtime_config(&image, &overrides, &overrides::host_now(powers, &self.groups), &root)
                .map_err(told)?;
        if self.options.ipc == Shared::Host {
            // A machine without them has none to share.
            let missing = |mount: &Mount| {
                let places = ["/dev/mqueue", "/dev/shm"].map(Path::new);
                let source = mount.source().as_deref();
                source.is_some_and(|source| places.contains(&source) && !source.exists())
            };
            let mounts = converted.spec.mounts().clone();
            let kept = mounts.map(|all| all.into_iter().filter(|one| !missing(one)).collect());
            converted.spec.set_mounts(kept);
        }
        if let Some(process) = converted.spec.process_mut() {
            let mut user = process.user().clone();
            within(&mut user, powers);
            process.set_user(user);
            // Who names a capability is told that it cannot be had; who says all means what there is.
            let all = self.options.privileged
                || self.options.cap_add.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
            if let Some(sets) = process.capabilities().as_ref().filter(|_| all) {
                let given = overrides::to_give(sets)?;
                process.set_capabilities(Some(given));
            }
        }
        Ok(converted)
    }
}

/// Where the things of a container are at a start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    /// Its own directory.
    pub(super) directory: &'a Path,
    /// Its root filesystem.
    pub(super) rootfs: &'a Path,
    /// Its pod.
    pub(super) pod: Option<&'a str>,
    /// What becomes of its volumes.
    pub(super) volumes: Volumes,
}

/// What becomes of volumes that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Volumes {
    /// They are made, with what the image has at their places.
    Made,
    /// They are told and not made: nothing starts.
    Told,
}

impl Site<'_> {
    /// The directory of a volume of the pod: pods are beside the containers.
    pub(super) fn pod_volume(&self, name: &str) -> io::Result<PathBuf> {
        let none = || io::Error::other(format!("volume {name}: its pod is gone"));
        let (pod, root) = self.pod.zip(self.directory.ancestors().nth(2)).ok_or_else(none)?;
        let path = root.join("pods").join(pod).join("volumes").join(name);
        if path.is_dir() { Ok(path) } else { Err(none()) }
    }
}

/// Follows recipes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipes {
    /// Tells the caller what a start had to go without; a monitor has nobody to tell.
    pub(crate) tell: fn(&str),
}

impl Prepare for Recipes {
    fn prepare(
        &self,
        container: &Container,
        directory: &Path,
        is_unwanted: &(dyn Fn() -> bool + Sync),
    ) -> io::Result<()> {
        let (recipe, powers) = (Recipe::of(container)?, powers());
        let rootfs = recipe.mount(directory, powers)?;
        let id = container.id.as_str();
        let pod = container.asked.pod.as_ref().map(PodId::as_str);
        if !recipe.options.values.is_empty() {
            templates::render(&rootfs, &recipe.options.values)?;
        }
        let site = Site { directory, rootfs: &rootfs, pod, volumes: Volumes::Made };
        let converted = recipe.convert(id, site, powers, is_unwanted)?;
        if powers == Powers::OneId && container.asked.runtime != RuntimeChoice::Engine {
            only_root(&converted)?;
        }
        converted.notices.iter().for_each(|notice| (self.tell)(notice));
        private::write(&directory.join("bundle/config.json"), converted.bytes())
    }

    fn created(&self, container: &Container, _: &Path, pid: u32) -> io::Result<Vec<OwnedFd>> {
        if container.asked.pod.is_some() {
            // Its network is that of the pod.
            return Ok(Vec::new());
        }
        let recipe = Recipe::of(container)?;
        let network = NetworkRecipe {
            network: recipe.options.network,
            leases: recipe.leases,
            programs: recipe.programs,
        };
        network.connect(container.id.as_str(), pid, self.tell)
    }

    fn settle(&self, container: &Container, _: &Path) {
        if container.asked.pod.is_none()
            && let Ok(recipe) = Recipe::of(container)
            && matches!(recipe.options.network, Network::Private { .. })
        {
            // What stays is found by gc.
            let _ = network::disconnect(&recipe.leases, container.id.as_str());
        }
    }
}

impl Hold for Recipes {
    fn held(&self, pod: &Pod, pid: u32) -> io::Result<Vec<OwnedFd>> {
        NetworkRecipe::of(pod)?.connect(pod.id.as_str(), pid, self.tell)
    }

    fn released(&self, pod: &Pod) {
        if let Ok(recipe) = NetworkRecipe::of(pod) {
            // What stays is found by gc.
            let _ = network::disconnect(&recipe.leases, pod.id.as_str());
        }
    }
}

/// What the network of a container or of a pod is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::ops) struct NetworkRecipe {
    /// What was asked.
    pub(in crate::ops) network: Network,
    /// Where the leases of networks are.
    pub(in crate::ops) leases: PathBuf,
    /// Directories of programs, for pasta.
    pub(in crate::ops) programs: Vec<PathBuf>,
}

impl NetworkRecipe {
    /// That of a pod.
    pub(in crate::ops) fn of(pod: &Pod) -> io::Result<Self> {
        serde_json::from_value(pod.asked.recipe.clone()).map_err(told)
    }

    /// Connects the network namespace of `pid`, where a way out is wanted.
    fn connect(&self, id: &str, pid: u32, tell: fn(&str)) -> io::Result<Vec<OwnedFd>> {
        let Network::Private { publish, optional } = &self.network else {
            return Ok(Vec::new());
        };
        let wanted = Private { publish: publish.clone(), programs: self.programs.clone() };
        match network::connect(&self.leases, id, pid, &wanted, Way::Auto) {
            Ok(connected) => {
                connected.notices.iter().for_each(|notice| tell(notice));
                Ok(connected.reserved)
            }
            Err(error) if *optional => {
                tell(&format!("the container has no network: {}", told(error)));
                Ok(Vec::new())
            }
            Err(error) => Err(told(error)),
        }
    }
}

/// Other runtimes than our own cannot give the one id that there is to somebody else than root.
fn only_root(converted: &Converted) -> io::Result<()> {
    let user = converted.spec.process().as_ref().map(|process| process.user());
    match user.map(|user| (user.uid(), user.gid())) {
        Some((0, 0)) | None => Ok(()),
        Some((uid, gid)) => Err(io::Error::other(format!(
            "this runtime cannot give the container the user {uid}:{gid}: there is one id for it alone, that of its \
             root (more come from ranges in /etc/subuid and /etc/subgid, by newuidmap and newgidmap; corten's own \
             runtime needs none)"
        ))),
    }
}

/// An error of a library as one of a start: the whole chain in one line.
pub(crate) fn told(error: impl std::error::Error) -> io::Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    io::Error::other(text)
}
