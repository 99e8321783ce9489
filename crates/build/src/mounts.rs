//! What a RUN sees beside the files of its stage: binds, caches, memory and secrets.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::{Component, Path, PathBuf};

use std::sync::{Arc, OnceLock};

use corten_bundle::{MountPoint, Purpose};
use corten_dockerfile::{FileAccess, IgnoreFile, Mount, MountAccess, MountKind, Run, StageSource};
use corten_layer::{Compression, Entry, TreePath};
use corten_run::AgentProxy;
use oci_spec::runtime::Mount as RuntimeMount;

use crate::archive::Unpack;
use crate::assemble::{Assembly, How, pack};
use crate::copying::{Copying, absolute};
use crate::error::{Result, StepError, failed, refused};
use crate::flags::Changes;
use crate::key::KeyHasher;
use crate::lookup::{LastLink, is_directory, resolve};
use crate::rootfs::{Laid, Look, Made};
use crate::stage::{StageRun, chain};

/// A mount of a RUN, its variables replaced.
pub(crate) struct Wanted {
    pub(crate) mount: Mount,
    /// Where, from the root.
    pub(crate) target: String,
    /// What `from=` names.
    pub(crate) from: Option<StageSource>,
}

/// What is made of mounts for a process.
#[derive(Default)]
pub(crate) struct Mounted {
    pub(crate) mounts: Vec<RuntimeMount>,
    pub(crate) points: Vec<MountPoint>,
    /// Variables that hold secrets.
    pub(crate) env: Vec<(String, String)>,
    /// Where the first ssh agent is.
    pub(crate) agent: Option<String>,
    /// The ways to agents, open as long as this is.
    pub(crate) agents: Vec<AgentProxy>,
    /// Caches by their names: one that is mounted twice is one.
    pub(crate) caches: BTreeMap<String, PathBuf>,
    /// Keeps others out of them, as long as this is there.
    pub(crate) locks: Vec<File>,
}

/// What a mount takes: layers, a look at them, and what is where in them.
pub(crate) struct Taken {
    layers: Vec<Laid>,
    pub(crate) look: Look,
    pub(crate) path: TreePath,
    pub(crate) entry: Entry,
}

impl StageRun<'_> {
    /// Reads the mounts of a RUN.
    pub(crate) fn wanted(
        &self,
        command: &corten_dockerfile::Command,
        run: &Run,
    ) -> Result<Vec<Wanted>> {
        let escape = self.session.plan.file.escape();
        let mut uses = self.uses(command)?.into_iter();
        let mut all: Vec<Wanted> = Vec::with_capacity(run.mounts.len());
        for flag in &run.mounts {
            let from = flag.from.as_ref().and_then(|_| uses.next());
            let mount = flag.resolve(escape, &self.state.scope);
            let mount = mount.map_err(|error| StepError::Refused(format!("--mount: {error}")))?;
            let mut target = match &mount.kind {
                MountKind::Secret { id, .. } if mount.target.is_empty() => {
                    format!("/run/secrets/{id}")
                }
                MountKind::Ssh { .. } if mount.target.is_empty() => {
                    let is_ssh = |one: &&Wanted| matches!(one.mount.kind, MountKind::Ssh { .. });
                    format!("/run/buildkit/ssh_agent.{}", all.iter().filter(is_ssh).count())
                }
                _ => absolute(Some(self.state.working_dir()), &mount.target),
            };
            if target.len() > 1 {
                target.truncate(target.trim_end_matches('/').len());
            }
            all.push(Wanted { mount, target, from });
        }
        Ok(all)
    }

    /// Adds to a key what of the mounts decides the result: what is in binds, and never what is in caches and
    /// secrets.
    pub(crate) fn mounts_key(&self, mut key: KeyHasher, all: &[Wanted]) -> Result<KeyHasher> {
        for wanted in all {
            key = key.field(&wanted.target).field(format!("{:?}", wanted.mount.access));
            let told = format!("mount {}", wanted.target);
            key = match &wanted.mount.kind {
                MountKind::Bind { source, .. } => {
                    self.taken_key(key.field("bind"), wanted, source)?
                }
                MountKind::Cache { .. } => {
                    let key = key.field("cache");
                    let named = self.cache_name(wanted)?;
                    self.session.results.add_mount(&named.name, &named.about.id);
                    match named.base {
                        Some(base) => key.named(&told, base),
                        None => key,
                    }
                }
                MountKind::Tmpfs { size } => key.field("tmpfs").field(size.to_string()),
                MountKind::Secret { id, env, .. } => {
                    key.field("secret").field(id).field(env.clone().unwrap_or_default())
                }
                MountKind::Ssh { .. } => key.field("ssh"),
            };
        }
        Ok(key)
    }

    /// Adds to a key what a mount takes from layers or from a directory.
    pub(crate) fn taken_key(
        &self,
        key: KeyHasher,
        wanted: &Wanted,
        source: &str,
    ) -> Result<KeyHasher> {
        let told = format!("mount {}", wanted.target);
        let layers = wanted.from.as_ref().map(|from| self.layers_of(from)).transpose()?;
        match layers.flatten() {
            Some(layers) => Ok(key.named(&told, chain(&layers)).field(source)),
            None => {
                let paths = [source.to_owned()];
                let copying = self.bound(wanted, &paths)?;
                let picks = copying.picks()?;
                let (key, digests) = copying.key(key, &picks, self.session)?;
                Ok(key.telling(Copying::inputs(&picks, &digests)))
            }
        }
    }

    /// Makes the mounts in `room`. `layers` are those of the stage.
    pub(crate) fn mounted(&self, all: &[Wanted], room: &Path, layers: &[Laid]) -> Result<Mounted> {
        let mut made = Mounted::default();
        self.take_caches(all, &mut made)?;
        for (number, wanted) in all.iter().enumerate() {
            let place = room.join(format!("mount-{number}"));
            let is_directory = match &wanted.mount.kind {
                MountKind::Bind { source, .. } => self.bind(wanted, source, (&place, &mut made))?,
                MountKind::Cache { .. } => {
                    self.cache(wanted, &mut made)?;
                    true
                }
                MountKind::Tmpfs { size } => {
                    made.mounts.push(memory(&wanted.target, *size));
                    true
                }
                MountKind::Secret { id, env, required, access } => {
                    let env = env.as_deref();
                    let has_file = env.is_none() || !wanted.mount.target.is_empty();
                    let said = (id.as_str(), env, *required);
                    if !self.secret(said, *access, has_file, (&wanted.target, &mut made))? {
                        continue;
                    }
                    false
                }
                MountKind::Ssh { id, required, access } => {
                    if !self.agent((id, *required), *access, (&wanted.target, &mut made))? {
                        continue;
                    }
                    false
                }
            };
            self.point(&wanted.target, is_directory, layers, &mut made)?;
        }
        Ok(made)
    }

    /// Notes where a mount goes: the way there without links.
    pub(crate) fn point(
        &self,
        target: &str,
        is_directory: bool,
        layers: &[Laid],
        made: &mut Mounted,
    ) -> Result<()> {
        let look = self.ground.look(layers)?;
        let found = resolve(&*look.source, target.as_bytes(), LastLink::Follow)?;
        let place = Path::new("/").join(found.path.to_path_buf());
        if place == Path::new("/") || (kernels(&place) && !kernels(Path::new(target))) {
            return Err(StepError::Refused(format!(
                "a mount on {target}, which leads to {}: that is not the image's to offer",
                place.display()
            )));
        }
        if let Some(mount) = made.mounts.last_mut() {
            mount.set_destination(place);
        }
        made.points.push(MountPoint { path: found.path.to_path_buf(), is_directory });
        Ok(())
    }

    /// What a bind of a directory takes, as a copy would.
    fn bound<'p>(&self, wanted: &Wanted, paths: &'p [String]) -> Result<Copying<'p>> {
        let source = match &wanted.from {
            Some(from) => self.source(from)?,
            None => self.session.context()?,
        };
        Ok(Copying {
            source: OnceLock::from(source),
            paths,
            inline: Vec::new(),
            destination: "/source".to_owned(),
            changes: Changes::default(),
            parents: false,
            exclude: IgnoreFile::default(),
            unpack: Unpack::Never,
        })
    }

    /// A bind is of layers: those of a stage or an image, or one that is made of the context's files.
    fn bind(
        &self,
        wanted: &Wanted,
        source: &str,
        (place, made): (&Path, &mut Mounted),
    ) -> Result<bool> {
        let Taken { layers, look, path, entry } = self.taken(wanted, source)?;
        let root = match wanted.mount.access {
            MountAccess::ReadOnly => look.path,
            MountAccess::ReadWrite => {
                self.ground.write_over(&layers, place.to_owned(), Purpose::Look, &[])?.rootfs
            }
        };
        let path = root.join(path.to_path_buf());
        let is_read_only = wanted.mount.access == MountAccess::ReadOnly;
        made.mounts.push(bound(&path, &wanted.target, is_read_only));
        Ok(is_directory(&entry))
    }

    /// What a mount takes, made ready to be looked at.
    pub(crate) fn taken(&self, wanted: &Wanted, source: &str) -> Result<Taken> {
        let layers = wanted.from.as_ref().map(|from| self.layers_of(from)).transpose()?.flatten();
        let (layers, source) = match layers {
            Some(layers) => (layers, source.to_owned()),
            None => {
                let paths = [source.to_owned()];
                let copying = self.bound(wanted, &paths)?;
                let view = self.ground.view(&[])?;
                let mut assembly = Assembly::new(&view);
                copying.write(&mut assembly, copying.picks()?)?;
                // It travels nowhere.
                let how = How { compression: Compression::None, ..self.session.how() };
                let (layer, entries) = pack(assembly.items, how, &self.session.pending)?;
                let made = Made::Entries(Arc::new(entries));
                (vec![Laid { layer, made }], "/source".to_owned())
            }
        };
        let look = self.ground.look(&layers)?;
        let found = resolve(&*look.source, source.as_bytes(), LastLink::Follow)?;
        let Some(entry) = found.entry else {
            let kind =
                if matches!(wanted.mount.kind, MountKind::Cache { .. }) { "cache" } else { "bind" };
            return refused(format!("--mount=type={kind}: {source} is not there"));
        };
        Ok(Taken { layers, look, path: found.path, entry })
    }

    /// Whether there is a file to mount.
    fn secret(
        &self,
        (id, env, required): (&str, Option<&str>, bool),
        access: FileAccess,
        has_file: bool,
        (target, made): (&str, &mut Mounted),
    ) -> Result<bool> {
        let Some(value) = self.session.request.secrets.get(id) else {
            if required {
                return refused(format!("the secret {id} is required: --secret id={id},src=FILE"));
            }
            return Ok(false);
        };
        if let Some(name) = env {
            let text = String::from_utf8_lossy(&value.0).into_owned();
            made.env.push((name.to_owned(), text));
        }
        if !has_file {
            return Ok(false);
        }
        let path = self.memory_room()?.join("secret");
        corten_store::private::write(&path, &value.0).map_err(failed("a secret", "writing"))?;
        set_access(&path, access, 0o400)?;
        made.mounts.push(bound(&path, target, true));
        Ok(true)
    }

    /// A directory in memory of this thread's mounts: what is in it reaches no disk, and nobody else sees it.
    pub(crate) fn memory_room(&self) -> Result<PathBuf> {
        let room = self.ground.brief()?;
        let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
        rustix::mount::mount("tmpfs", &room, "tmpfs", flags, Some(c"mode=0700"))
            .map_err(failed("memory for a step", "mounting"))?;
        Ok(room)
    }
}

pub(crate) fn set_access(path: &Path, access: FileAccess, mode: u32) -> Result<()> {
    let mode = access.mode.unwrap_or(mode);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(failed(path.display(), "change of mode"))?;
    if access.uid.is_none() && access.gid.is_none() {
        return Ok(());
    }
    let (uid, gid) = (access.uid.unwrap_or(0), access.gid.unwrap_or(0));
    lchown(path, Some(uid), Some(gid)).map_err(failed(path.display(), "change of owner"))
}

/// Whether a path, without links, is one of the kernel's directories or below.
fn kernels(path: &Path) -> bool {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            _ => {}
        }
    }
    names.first().is_some_and(|first| ["dev", "proc", "sys"].iter().any(|name| first == name))
}

/// A bind of what the builder has for a step, where no device is one.
pub(crate) fn bound(source: &Path, target: &str, is_read_only: bool) -> RuntimeMount {
    let mut mount = RuntimeMount::default();
    mount.set_destination(PathBuf::from(target)).set_typ(Some("bind".to_owned()));
    mount.set_source(Some(source.to_owned()));
    let access = if is_read_only { "ro" } else { "rw" };
    let mut options = vec!["rbind", "rprivate", "nodev", "rnodev", access];
    // What is mounted below is given along.
    options.extend(is_read_only.then_some("rro"));
    mount.set_options(Some(options.into_iter().map(str::to_owned).collect()));
    mount
}

fn memory(target: &str, size: u64) -> RuntimeMount {
    let mut mount = RuntimeMount::default();
    mount.set_destination(PathBuf::from(target)).set_typ(Some("tmpfs".to_owned()));
    mount.set_source(Some(PathBuf::from("tmpfs")));
    let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
    if size > 0 {
        options.push(format!("size={size}"));
    }
    mount.set_options(Some(options));
    mount
}
