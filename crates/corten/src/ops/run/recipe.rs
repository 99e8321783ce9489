//! How the root filesystem and the config of a container are made present at each start.
//!
//! A container keeps a recipe, not a mount: its layers, its image's config, what was asked. Each start
//! follows it in a mount namespace of its own, so that what it mounts ends with the last process.
//!
//! ```text
//! <container>/bundle/rootfs, config.json   as any OCI runtime takes them
//! <container>/upper, work                  what the container writes
//! <container>/scratch                      entries of ours above the image's
//! <container>/etc/…                        hosts, hostname, resolv.conf
//! <container>/volumes/<n>                  volumes of its own
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use corten_bundle::config::{Converted, runtime_config};
use corten_bundle::users::RootDirectory;
use corten_bundle::{Form, Powers, Purpose, RootMount, Snapshots, Writable};
use corten_layer::Limits;
use corten_run::network::{self, Private, Way};
use corten_run::{Container, Prepare};
use corten_spec::{DiffId, ImageConfig};
use serde::{Deserialize, Serialize};

use super::options::{Network, RunOptions};
use super::{etc, overrides, own};
use crate::config::FormWord;
use crate::context::{RENDERED, powers};

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

    fn form(&self) -> Form {
        match self.form {
            FormWord::Index => Form::Index,
            FormWord::Directories => Form::Directories,
        }
    }

    fn snapshots(&self, powers: Powers) -> io::Result<Snapshots> {
        Snapshots::open(&self.store.join(RENDERED), Limits::default(), powers).map_err(told)
    }

    /// Mounts the root filesystem of the container in `directory`; gives where.
    fn mount(&self, directory: &Path, powers: Powers) -> io::Result<PathBuf> {
        let snapshots = self.snapshots(powers)?;
        // Collection keeps what containers name; the lease is for the moment in which they are made.
        let _lease = snapshots.lease(&self.layers).map_err(told)?;
        let stack = snapshots.stack(self.form(), &self.layers).map_err(told)?;
        let target = directory.join("bundle/rootfs");
        let (upper, work) = (directory.join("upper"), directory.join("work"));
        for path in [&target, &upper, &work] {
            std::fs::create_dir_all(path)?;
        }
        let wanted = RootMount {
            target: target.clone(),
            scratch: directory.join("scratch"),
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
        (directory, rootfs): (&Path, &Path),
        powers: Powers,
    ) -> io::Result<Converted> {
        let image: ImageConfig = serde_json::from_str(&self.config).map_err(told)?;
        let mounts = own::mounts(self, &image, (directory, rootfs), powers)?;
        let mut overrides = overrides::overrides(&self.options, id)?;
        overrides.mounts = etc::mounts(&self.options, id, directory)?;
        overrides.mounts.extend(mounts);
        let root = RootDirectory::open(rootfs)?;
        let mut converted =
            runtime_config(&image, &overrides, &overrides::host(powers), &root).map_err(told)?;
        if let Some(process) = converted.spec.process_mut() {
            let mut user = process.user().clone();
            overrides::within(&mut user, powers)?;
            process.set_user(user);
            // Who names a capability is told that it cannot be had; who says all means what there is.
            let all = self.options.cap_add.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
            if let Some(sets) = process.capabilities().as_ref().filter(|_| all) {
                let given = overrides::to_give(sets)?;
                process.set_capabilities(Some(given));
            }
        }
        Ok(converted)
    }
}

/// Follows recipes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipes {
    /// Tells the caller what a start had to go without; a monitor has nobody to tell.
    pub(crate) tell: fn(&str),
}

impl Prepare for Recipes {
    fn prepare(&self, container: &Container, directory: &Path) -> io::Result<()> {
        let (recipe, powers) = (Recipe::of(container)?, powers());
        let rootfs = recipe.mount(directory, powers)?;
        let id = container.id.as_str();
        let converted = recipe.convert(id, (directory, &rootfs), powers)?;
        std::fs::write(directory.join("bundle/config.json"), converted.bytes())
    }

    fn created(&self, container: &Container, _: &Path, pid: u32) -> io::Result<Vec<OwnedFd>> {
        let recipe = Recipe::of(container)?;
        let Network::Private { publish, optional } = &recipe.options.network else {
            return Ok(Vec::new());
        };
        let wanted = Private { publish: publish.clone(), programs: recipe.programs.clone() };
        let id = container.id.as_str();
        match network::connect(&recipe.leases, id, pid, &wanted, Way::Auto) {
            Ok(connected) => {
                connected.notices.iter().for_each(|notice| (self.tell)(notice));
                Ok(connected.reserved)
            }
            Err(error) if *optional => {
                (self.tell)(&format!("the container has no network: {}", told(error)));
                Ok(Vec::new())
            }
            Err(error) => Err(told(error)),
        }
    }

    fn settle(&self, container: &Container, _: &Path) {
        if let Ok(recipe) = Recipe::of(container)
            && matches!(recipe.options.network, Network::Private { .. })
        {
            // What stays is found by gc.
            let _ = network::disconnect(&recipe.leases, container.id.as_str());
        }
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
