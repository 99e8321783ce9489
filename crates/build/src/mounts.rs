//! What a RUN sees beside the files of its stage: binds, caches, memory and secrets.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use std::sync::Arc;

use corten_bundle::{MountPoint, Purpose};
use corten_dockerfile::{
    FileAccess, IgnoreFile, Mount, MountAccess, MountKind, Run, Sharing, StageSource,
};
use corten_layer::Compression;
use corten_run::AgentProxy;
use oci_spec::runtime::Mount as RuntimeMount;
use rustix::fs::FlockOperation;

use crate::archive::Unpack;
use crate::assemble::{Assembly, How, pack};
use crate::copying::{Copying, absolute};
use crate::error::{Result, StepError, failed, refused};
use crate::flags::Changes;
use crate::key::KeyHasher;
use crate::lookup::{LastLink, is_directory, resolve};
use crate::rootfs::{Laid, Made};
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
    /// Keeps others out of caches, as long as this is there.
    locks: Vec<File>,
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
            if let MountKind::Cache { from: Some(from), .. } = &mount.kind {
                return refused(format!(
                    "--mount=type=cache,from={from}: caches begin empty for now"
                ));
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
            key = match &wanted.mount.kind {
                MountKind::Bind { source, .. } => {
                    let layers =
                        wanted.from.as_ref().map(|from| self.layers_of(from)).transpose()?;
                    match layers.flatten() {
                        Some(layers) => key.field("bind").field(chain(&layers)).field(source),
                        None => {
                            let paths = [source.clone()];
                            let copying = self.bound(wanted, &paths)?;
                            copying.key(key.field("bind"), &copying.picks()?, self.session)?
                        }
                    }
                }
                MountKind::Cache { .. } => key.field("cache"),
                MountKind::Tmpfs { size } => key.field("tmpfs").field(size.to_string()),
                MountKind::Secret { id, env, .. } => {
                    key.field("secret").field(id).field(env.clone().unwrap_or_default())
                }
                MountKind::Ssh { .. } => key.field("ssh"),
            };
        }
        Ok(key)
    }

    /// Makes the mounts in `room`. `layers` are those of the stage.
    pub(crate) fn mounted(&self, all: &[Wanted], room: &Path, layers: &[Laid]) -> Result<Mounted> {
        let mut made = Mounted::default();
        for (number, wanted) in all.iter().enumerate() {
            let place = room.join(format!("mount-{number}"));
            let is_directory = match &wanted.mount.kind {
                MountKind::Bind { source, .. } => self.bind(wanted, source, (&place, &mut made))?,
                MountKind::Cache { id, sharing, access, .. } => {
                    let id = id.as_deref().unwrap_or(&wanted.target);
                    self.cache(id, (*sharing, *access), wanted, &mut made)?;
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
        if let Some(mount) = made.mounts.last_mut() {
            mount.set_destination(Path::new("/").join(found.path.to_path_buf()));
        }
        made.points.push(MountPoint { path: found.path.to_path_buf(), is_directory });
        Ok(())
    }

    /// What a bind of a directory takes, as a copy would.
    fn bound<'p>(&self, wanted: &Wanted, paths: &'p [String]) -> Result<Copying<'p>> {
        let source = match &wanted.from {
            Some(from) => self.source(from)?.0,
            None => self.session.context()?,
        };
        Ok(Copying {
            source,
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
            return refused(format!("--mount=type=bind: {source} is not there"));
        };
        let root = match wanted.mount.access {
            MountAccess::ReadOnly => look.path,
            MountAccess::ReadWrite => {
                self.ground.write_over(&layers, place.to_owned(), Purpose::Look, &[])?.rootfs
            }
        };
        let path = root.join(found.path.to_path_buf());
        let is_read_only = wanted.mount.access == MountAccess::ReadOnly;
        made.mounts.push(bound(&path, &wanted.target, is_read_only));
        Ok(is_directory(&entry))
    }

    fn cache(
        &self,
        id: &str,
        (sharing, access): (Sharing, FileAccess),
        wanted: &Wanted,
        made: &mut Mounted,
    ) -> Result<()> {
        let namespace = self.session.plan.inputs.args.get("BUILDKIT_CACHE_MOUNT_NS");
        let namespace = namespace.map(String::as_str).unwrap_or_default();
        // An id is any text: it becomes no path.
        let name = KeyHasher::new("cache mount").field(namespace).field(id).finish();
        let place = self.session.builder.place.join("caches").join(name.as_str());
        std::fs::create_dir_all(&place).map_err(failed(place.display(), "creation"))?;
        let mut number = 0;
        let data = loop {
            let data = place.join(number.to_string());
            if sharing == Sharing::Shared {
                break data;
            }
            let lock = place.join(format!("{number}.lock"));
            let file = File::options().create(true).truncate(false).write(true).open(&lock);
            let file = file.map_err(failed(lock.display(), "opening"))?;
            let operation = match sharing {
                Sharing::Locked => FlockOperation::LockExclusive,
                _ => FlockOperation::NonBlockingLockExclusive,
            };
            match rustix::fs::flock(&file, operation) {
                Ok(()) => {
                    made.locks.push(file);
                    break data;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => number += 1,
                Err(errno) => return Err(failed(lock.display(), "lock")(errno)),
            }
        };
        if !data.exists() {
            let shown = data.display();
            let staged = tempfile::tempdir_in(&place).map_err(failed(&shown, "creation"))?;
            set_access(staged.path(), access, 0o755)?;
            match std::fs::rename(staged.path(), &data) {
                Ok(()) => drop(staged.keep()),
                // Another build was faster.
                Err(_) if data.exists() => {}
                Err(error) => return Err(failed(&shown, "creation")(error)),
            }
        }
        let is_read_only = wanted.mount.access == MountAccess::ReadOnly;
        made.mounts.push(bound(&data, &wanted.target, is_read_only));
        Ok(())
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
        std::fs::write(&path, &value.0).map_err(failed("a secret", "writing"))?;
        set_access(&path, access, 0o400)?;
        made.mounts.push(bound(&path, target, true));
        Ok(true)
    }

    /// A directory in memory of this thread's mounts: what is in it reaches no disk, and nobody else sees it.
    pub(crate) fn memory_room(&self) -> Result<PathBuf> {
        let room = self.ground.brief()?;
        let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
        rustix::mount::mount("tmpfs", &room, "tmpfs", flags, Some(c"mode=0755"))
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

/// A bind of a path of this machine.
pub(crate) fn bound(source: &Path, target: &str, is_read_only: bool) -> RuntimeMount {
    let mut mount = RuntimeMount::default();
    mount.set_destination(PathBuf::from(target)).set_typ(Some("bind".to_owned()));
    mount.set_source(Some(source.to_owned()));
    let access = if is_read_only { "ro" } else { "rw" };
    mount.set_options(Some(["rbind", "rprivate", access].map(str::to_owned).to_vec()));
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
