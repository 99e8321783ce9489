//! Where an image goes once it is built, besides the local store.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use corten_layer::{Entry, EntryKind, TarWriter};
use corten_spec::{Digest, RefName, Reference};
use corten_store::Selector;
use serde_json::json;

use super::super::copy::{CopyRequest, PlatformChoice, copy};
use super::super::look::{LookRequest, export};
use super::super::unpack::unpack;
use crate::place::StoreName;
use crate::{Context, Failure, Place};

/// Blocks of zeros that end a tar.
const END: i64 = 1024;

/// Where an image goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildOutput {
    /// To the registry of each of its names.
    Registry,
    /// Into an OCI layout.
    Layout(PathBuf),
    /// Into an OCI layout in a tar; `-` is standard output.
    Archive(PathBuf),
    /// Into an archive that the engines of Docker and podman load; `-` is standard output.
    Docker(PathBuf),
    /// Into an engine that runs here.
    Engine(LoadInto),
    /// Its files, into a directory that is missing or empty.
    Files(PathBuf),
    /// Its files, into a tar; `-` is standard output.
    Tar(PathBuf),
}

/// An engine with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LoadInto {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl BuildOutput {
    /// Whether it takes one image, and no index.
    fn is_of_one(&self) -> bool {
        !matches!(self, Self::Registry | Self::Layout(_) | Self::Archive(_))
    }

    /// Whether it takes standard output, so that nothing else is printed there.
    pub fn is_standard_output(&self) -> bool {
        match self {
            Self::Archive(path) | Self::Docker(path) | Self::Tar(path) => is_stream(path),
            _ => false,
        }
    }
}

/// What cannot be done is refused before anything is built.
pub(in crate::ops) fn check(
    outputs: &[BuildOutput],
    names: &[RefName],
    count: usize,
) -> Result<(), Failure> {
    for output in outputs {
        if count > 1 && output.is_of_one() {
            let text =
                format!("{}: it takes the image of one platform, not of {count}", shown(output));
            return Err(Failure::Usage(text));
        }
        if *output == BuildOutput::Registry && names.is_empty() {
            return Err(Failure::Usage(
                "--push: an image without a name goes nowhere: add -t NAME".to_owned(),
            ));
        }
    }
    if outputs.iter().filter(|output| output.is_standard_output()).count() > 1 {
        return Err(Failure::Usage("standard output takes one -o".to_owned()));
    }
    Ok(())
}

/// Sends what the local store has by `digest` there; where it is then.
pub(in crate::ops) async fn send(
    context: &Context,
    output: &BuildOutput,
    (digest, names): (&Digest, &[RefName]),
) -> Result<Vec<String>, Failure> {
    let name = names.first().map(|name| Selector::Name(name.clone()));
    match output {
        BuildOutput::Registry => {
            let mut told = Vec::new();
            for name in names {
                let target = Place::Registry(Reference::parse(&name.to_string())?);
                told.push(copied(context, digest, target).await?);
            }
            return Ok(told);
        }
        BuildOutput::Layout(path) => {
            return Ok(vec![copied(context, digest, Place::Layout(path.clone(), name)).await?]);
        }
        BuildOutput::Archive(path) => {
            return Ok(vec![copied(context, digest, Place::Archive(path.clone(), name)).await?]);
        }
        BuildOutput::Docker(path) => docker_archive(context, digest, names, path).await?,
        BuildOutput::Engine(engine) => load(context, *engine, (digest, names)).await?,
        BuildOutput::Files(path) => {
            unpack(context, &request(digest), path, context.powers()).await?;
        }
        BuildOutput::Tar(path) => {
            let output = (!is_stream(path)).then(|| path.clone());
            export(context, request(digest), output).await?;
        }
    }
    Ok(vec![shown(output)])
}

fn shown(output: &BuildOutput) -> String {
    match output {
        BuildOutput::Registry => "a registry".to_owned(),
        BuildOutput::Layout(path) => format!("oci:{}", path.display()),
        BuildOutput::Archive(path) => format!("oci-archive:{}", path.display()),
        BuildOutput::Docker(path) => format!("type=docker,dest={}", path.display()),
        BuildOutput::Engine(LoadInto::Docker) => "the Docker engine".to_owned(),
        BuildOutput::Engine(LoadInto::Podman) => "podman".to_owned(),
        BuildOutput::Files(path) => path.display().to_string(),
        BuildOutput::Tar(path) => path.display().to_string(),
    }
}

fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn source(digest: &Digest) -> Place {
    Place::Store(StoreName::Digest(digest.clone()))
}

fn request(digest: &Digest) -> LookRequest {
    // A build for another platform has one image, whatever this machine is.
    LookRequest { place: source(digest), platform: None }
}

async fn copied(context: &Context, digest: &Digest, target: Place) -> Result<String, Failure> {
    let request = CopyRequest {
        source: source(digest),
        target,
        platforms: PlatformChoice::All,
        referrers: true,
        foreign: false,
    };
    Ok(copy(context, request).await?.target)
}

/// An OCI layout in a tar with `manifest.json` at its end, which is what the engines look for: Docker since 25
/// writes the same.
async fn docker_archive(
    context: &Context,
    digest: &Digest,
    names: &[RefName],
    path: &Path,
) -> Result<(), Failure> {
    if !is_stream(path) {
        let file = archived(context, (digest, names), path.parent()).await?;
        let failed =
            |source| Failure::Io { object: path.display().to_string(), action: "writing", source };
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        return Ok(());
    }
    let file = archived(context, (digest, names), None).await?;
    let failed =
        |source| Failure::Io { object: "standard output".to_owned(), action: "writing", source };
    let mut file = file.reopen().map_err(failed)?;
    std::io::copy(&mut file, &mut std::io::stdout().lock()).map_err(failed)?;
    Ok(())
}

/// The archive in a file that has no lasting name yet, in `directory` or where temporary files are.
async fn archived(
    context: &Context,
    (digest, names): (&Digest, &[RefName]),
    directory: Option<&Path>,
) -> Result<tempfile::NamedTempFile, Failure> {
    let failed =
        |source| Failure::Io { object: "the archive".to_owned(), action: "writing", source };
    let mut builder = tempfile::Builder::new();
    // As any new file: the umask narrows it.
    let builder = builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let store = context.store()?;
    let directory = match directory {
        Some(path) if path.as_os_str().is_empty() => Path::new("."),
        Some(path) => path,
        None => store.path(),
    };
    let file = builder.tempfile_in(directory).map_err(failed)?;
    // Podman takes the name that the index has.
    let name = names.first().map(|name| Selector::Name(name.clone()));
    copied(context, digest, Place::Archive(file.path().to_owned(), name)).await?;
    // The copy renamed a new file to that name.
    let (_, path) = file.into_parts();
    let archive = File::options().read(true).write(true).open(&path).map_err(failed)?;
    let listing = listing(context, digest, names).await?;
    append(&archive, "manifest.json", &listing).map_err(failed)?;
    Ok(tempfile::NamedTempFile::from_parts(archive, path))
}

/// What `manifest.json` says.
async fn listing(
    context: &Context,
    digest: &Digest,
    names: &[RefName],
) -> Result<Vec<u8>, Failure> {
    let image = super::super::look::open(context, &request(digest)).await?;
    let place = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm_name(), digest.encoded());
    let listing = json!([{
        "Config": place(image.config.digest()),
        "RepoTags": names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "Layers": image.layers.iter().map(|layer| place(&layer.digest)).collect::<Vec<_>>(),
    }]);
    Ok(listing.to_string().into_bytes())
}

fn append(mut archive: &File, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    archive.seek(SeekFrom::End(-END))?;
    let mut writer = TarWriter::new(archive);
    let mut entry = Entry::new(EntryKind::File, name);
    (entry.mode, entry.size) = (0o644, bytes.len() as u64);
    writer.file(&entry, bytes).map_err(std::io::Error::other)?;
    writer.finish().map_err(std::io::Error::other)?;
    Ok(())
}

async fn load(
    context: &Context,
    engine: LoadInto,
    (digest, names): (&Digest, &[RefName]),
) -> Result<(), Failure> {
    let file = archived(context, (digest, names), None).await?;
    let socket = super::super::engines::socket(context, engine)?;
    super::super::engines::load(&socket, engine, file.path()).await
}
