//! From an image's config to a runtime config (image-spec `conversion.md`; runtime-spec `config.md`),
//! with what the caller says over it and a sandbox around it, and each field explained.
//!
//! ```text
//! image config ─┐
//! overrides ────┼─► args, cwd, user, env ─► capabilities ─► mounts, namespaces, seccomp ─► config.json
//! passwd, group ┘
//! ```
//!
//! Everything of the image is foreign: its labels give no orders, its variables take nothing from this
//! machine, its user is found or refused. Equal input gives equal bytes.

mod annotations;
mod capabilities;
mod environment;
mod error;
mod explain;
mod linux;
mod mounts;
mod overrides;
mod process;
mod profile;
mod volumes;
mod written;

pub use error::RuntimeConfigError;
pub use explain::{Explained, Said};
pub use overrides::{
    Cpus, CpusError, DeviceGrant, Host, INIT, Identities, NetworkSpace, Overrides, SeccompChoice,
    Space,
};
pub use profile::{MAX_PROFILE, ProfileError, default_profile, read_profile};
pub use volumes::{ImageVolumes, image_volumes};

use std::path::PathBuf;

use corten_spec::{ContainerConfig, ImageConfig};
use oci_spec::runtime::{Root, Spec};

use crate::users::RootFiles;
use error::Result;
use explain::Trace;

/// The version of the runtime specification that the config follows: the first one with every field
/// that is used here.
const VERSION: &str = "1.1.0";
/// Where the root filesystem is in a runtime bundle.
const ROOTFS: &str = "rootfs";

/// A runtime config, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The config; the root filesystem is the directory `rootfs` beside it.
    pub spec: Spec,
    /// Where each field comes from, in the order in which they were decided.
    pub explained: Vec<Explained>,
    /// What the caller should be told: what of the image was left out or taken otherwise.
    pub notices: Vec<String>,
    /// The image's volumes, as clean absolute paths, sorted. None is mounted unless the caller's
    /// mounts say so.
    pub volumes: Vec<String>,
}

impl Converted {
    /// `config.json`. Equal configs give equal bytes: keys and sets are sorted.
    ///
    /// What [`runtime_config`] gives can always be written. Empty, which no runtime takes, where a path
    /// that is no UTF-8 was put into `spec` afterwards: JSON cannot say it.
    pub fn bytes(&self) -> Vec<u8> {
        written::bytes(&self.spec).unwrap_or_default()
    }
}

/// Makes a runtime config of an image's config.
///
/// `files` is the root filesystem, where users and groups are looked up. Without overrides it is the
/// config for a runtime bundle that any OCI runtime takes; the sandbox is the same.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use corten_bundle::config::{Host, Identities, Overrides, runtime_config};
/// use corten_bundle::users::RootDirectory;
///
/// # let bundle = tempfile::tempdir()?;
/// let image = serde_json::from_str(
///     r#"{"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/bin/app"]},
///         "rootfs": {"type": "layers", "diff_ids": []}}"#,
/// )?;
/// let root = RootDirectory::open(bundle.path())?;
/// let host = Host::new("amd64", Identities::Machine);
/// let converted = runtime_config(&image, &Overrides::default(), &host, &root)?;
/// std::fs::write(bundle.path().join("config.json"), converted.bytes())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`RuntimeConfigError`] names the field that cannot be had.
pub fn runtime_config(
    image: &ImageConfig,
    overrides: &Overrides,
    host: &Host,
    files: &dyn RootFiles,
) -> Result<Converted> {
    let mut trace = Trace::default();
    check_platform(image, host, &mut trace)?;
    let nothing = ContainerConfig::default();
    let config = image.config.as_ref().unwrap_or(&nothing);
    let granted = capabilities::granted(overrides)?;
    let process = process::process(config, overrides, &granted, files, &mut trace)?;
    let annotations = annotations::annotations(image, config, overrides, &mut trace)?;
    let mounts = mounts::mounts(overrides, host, &mut trace)?;
    let linux = linux::linux(overrides, host, &granted, &mut trace)?;
    let volumes = image_volumes(config)?;
    volumes.notices.into_iter().for_each(|notice| trace.notice(notice));
    let mut spec = Spec::default();
    spec.set_version(VERSION.to_owned())
        .set_root(Some(root(overrides, &mut trace)))
        .set_process(Some(process))
        .set_hostname(hostname(overrides, &mut trace)?)
        .set_domainname(None)
        .set_mounts(Some(mounts))
        .set_annotations(Some(annotations.into_iter().collect()))
        .set_linux(Some(linux))
        .set_hooks(None);
    trace.tell("ociVersion", VERSION, Said::Specification);
    written::bytes(&spec).map_err(RuntimeConfigError::NotText)?;
    let Trace { explained, notices } = trace;
    Ok(Converted { spec, explained, notices, volumes: volumes.paths })
}

fn check_platform(image: &ImageConfig, host: &Host, trace: &mut Trace) -> Result<()> {
    let platform = image.platform.normalized();
    if platform.os != "linux" {
        let os = image.platform.os.chars().take(80).collect();
        return Err(RuntimeConfigError::System { os });
    }
    if platform.architecture != host.architecture {
        let (image, host) = (&image.platform.architecture, &host.architecture);
        trace.notice(format!("the image is for {image}, this machine is {host}"));
    }
    Ok(())
}

fn root(overrides: &Overrides, trace: &mut Trace) -> Root {
    let source = if overrides.read_only { Said::Flag } else { Said::Default };
    trace.tell("root.readonly", overrides.read_only, source);
    let mut root = Root::default();
    root.set_path(PathBuf::from(ROOTFS)).set_readonly(Some(overrides.read_only));
    root
}

fn hostname(overrides: &Overrides, trace: &mut Trace) -> Result<Option<String>> {
    let Some(name) = &overrides.hostname else { return Ok(None) };
    error::without_nul("hostname", name)?;
    trace.tell("hostname", name.as_str(), Said::Flag);
    Ok(Some(name.clone()))
}
