//! An image of a container: its image, and what it wrote as one more layer.

use corten_layer::{Compression, TreePath};
use corten_run::{Freeze, State};
use corten_spec::{Digest, ImageConfig, RefName};

use super::containers::found;
use super::import::{ConfigEdit, ImportReport, ImportRequest, ImportSource, import};
use super::layers::on_thread;
use super::run::Recipe;
use crate::place::StoreName;
use crate::{Context, Failure, Place};

/// What of a container's tree is never its own: what a runtime mounts, and the files that it binds.
const NOT_ITS_OWN: [&str; 6] =
    ["dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf"];

/// What to make of a container.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The container.
    pub container: String,
    /// The image's name in the local store.
    pub name: RefName,
    /// What its config says beyond that of the container's image.
    pub edit: ConfigEdit,
    /// When it was made, RFC 3339; now if absent.
    pub created: Option<String>,
    /// Compression of the layer.
    pub compression: Compression,
}

/// Makes an image of a container, which is frozen meanwhile where it runs and can be. Its volumes are not
/// part of it (image-spec `conversion.md`, Config.Volumes).
pub async fn commit(context: &Context, request: CommitRequest) -> Result<ImportReport, Failure> {
    let (containers, id) = found(context, &request.container)?;
    let listed = corten_run::inspect(&containers, &id)?;
    let object = format!("container {id}");
    let unread = |action| {
        let object = object.clone();
        move |source| Failure::Io { object, action, source }
    };
    let recipe = Recipe::of(&listed.container).map_err(unread("reading what was asked of it"))?;
    let digest = &listed.container.asked.origin.digest;
    let digest = digest.parse::<Digest>().map_err(|error| {
        unread("reading its image")(std::io::Error::other(format!("{digest}: {error}")))
    })?;
    let upper = containers.directory(&id).join("upper");
    corten_store::private::make_directories(&upper).map_err(unread("opening what it wrote"))?;
    let wanted = ImportRequest {
        source: ImportSource::Written { upper, exclude: excluded(&recipe) },
        name: request.name,
        edit: request.edit,
        platform: Some(recipe.image().map_err(unread("reading its image"))?.platform),
        base: Some(Place::Store(StoreName::Digest(digest))),
        created: Some(request.created.unwrap_or_else(|| crate::context::clock().to_string())),
        compression: request.compression,
        owner: None,
    };
    let frozen = listed.status.state == State::Running && {
        let (containers, id) = (containers.clone(), id.clone());
        let freeze = move || Ok(corten_run::freeze(&containers, &id, Freeze::Pause).is_ok());
        on_thread("the container", freeze).await?
    };
    let made = import(context, wanted).await;
    if frozen {
        let thaw = move || Ok(corten_run::freeze(&containers, &id, Freeze::Resume)?);
        let thawed = on_thread("the container", thaw).await;
        // The first error is the one to tell.
        return made.and_then(|made| thawed.map(|()| made));
    }
    made
}

/// Where something is mounted in the container: what is there is no part of its own tree.
fn excluded(recipe: &Recipe) -> Vec<TreePath> {
    let announced = recipe.image().ok().and_then(|image: ImageConfig| image.config);
    let announced = announced.iter().flat_map(|config| config.volumes.keys().cloned());
    let asked = recipe.options().mounts.iter().map(|mount| mount.target.clone());
    let own = NOT_ITS_OWN.map(str::to_owned);
    let paths = announced.chain(asked).chain(own);
    paths
        .filter_map(|path| TreePath::parse(path.trim_matches('/').as_bytes()).ok())
        .filter(|path| !path.is_root())
        .collect()
}
