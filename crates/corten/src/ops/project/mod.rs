//! `build` of a project: `image.toml` with templates and tests. Its phases become a plan of the builder; its tests run on
//! what was built, before that gets a name.

mod attest;
mod plan;
mod read;
mod trial;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_build::{
    Base, BuildError, BuildRequest, Built, ContextKind, Imports, NamedContext, Plan, read_ignore,
};
use corten_dockerfile::BuildInputs;
use corten_spec::{AnyDocument, Manifest, MediaType, RefName};
use corten_store::{Pusher as _, Tagger as _};
use schemars::JsonSchema;
use serde::Serialize;

use super::build::{self, BuildTold, BuildWanted};
use super::cache;
use super::import::{put_config, write};
use crate::failure::ContainerFailure;
use crate::{Context, Failure};
use read::{FILES, ReadProject, read};

/// The project's file.
const PROJECT: &str = "image.toml";

/// What is asked of the build of a project.
#[derive(Clone, Debug)]
pub struct ProjectWanted {
    /// What is asked of any build; `file` is the project's.
    pub build: BuildWanted,
    /// Values over all attributes: `NAME=VALUE`.
    pub set: Vec<String>,
    /// Whether tests are left out.
    pub no_test: bool,
    /// Whether a project without a test is a failure.
    pub require_tests: bool,
}

/// What was built and tested.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProjectReport {
    /// Names that it has in the local store.
    pub names: Vec<String>,
    /// Digest of its manifest.
    pub digest: String,
    /// Digest of its config: the image's ID.
    pub config: String,
    /// How many layers it has.
    pub layers: usize,
    /// How many steps were carried out.
    pub ran: usize,
    /// How many steps were in the cache.
    pub cached: usize,
    /// Tests that passed.
    pub passed: Vec<String>,
    /// Digest of the attestation of their result, a referrer of the image.
    pub attestation: Option<String>,
    /// Where else it is.
    pub outputs: Vec<String>,
    /// Where its cache is, besides here.
    pub caches: Vec<String>,
}

/// The project's file, where a build is one of a project: it is named, or is there and a Dockerfile is not.
pub fn project_file(wanted: &BuildWanted) -> Option<PathBuf> {
    match &wanted.file {
        Some(file) => (file.file_name()? == PROJECT).then(|| file.clone()),
        None => {
            let file = wanted.context.join(PROJECT);
            (file.is_file() && !wanted.context.join("Dockerfile").exists()).then_some(file)
        }
    }
}

/// Builds a project. The image gets its names when every test has passed; the result of the tests is kept as a
/// referrer of it.
pub async fn build_project(
    context: &Context,
    wanted: ProjectWanted,
    told: BuildTold,
) -> Result<ProjectReport, Failure> {
    super::run::tell_of_one_id(context);
    let asked = &wanted.build;
    if !asked.args.is_empty() || asked.target.is_some() || !asked.contexts.is_empty() {
        let text = "a project has neither build arguments nor targets nor contexts: its values are set by --set";
        return Err(Failure::Usage(text.to_owned()));
    }
    let ours = context.platform();
    let is_other = |platform: &&corten_spec::Platform| {
        platform.normalized().fitness(&ours.normalized()).is_none()
    };
    if let Some(platform) = asked.platforms.iter().find(is_other) {
        let text =
            format!("--platform {platform}: a project is tested where it is built, on {ours}");
        return Err(Failure::Usage(text));
    }
    let project = read(&wanted)?;
    let names = names(&wanted, &project)?;
    build::outputs::check(&asked.outputs, &names, 1)?;
    let tests = trial::trials(&project)?;
    let is_without = tests.is_empty() || wanted.no_test;
    if is_without && (wanted.require_tests || project.file.require_tests) {
        let text = format!("{} must be tested, and no test runs", project.shown);
        return Err(Failure::Usage(text));
    }
    let imported = cache::import(context, &asked.cache_from, &told).await?;
    let built = carry_out(context, &wanted, &project, imported.clone(), told.clone()).await?;
    let sendable = cache::Sendable::of([&built]);
    let (ran, cached, layers) = (built.ran, built.cached, built.layers.len());
    let config = write(&project.shown, MediaType::OCI_CONFIG, built.config.clone())?;
    let store = context.store()?;
    put_config(&store, &config).await?;
    let descriptors = built.layers.iter().map(|layer| layer.descriptor.clone()).collect();
    let manifest = Manifest::image(config.descriptor().clone(), descriptors);
    let manifest = write(&project.shown, MediaType::OCI_MANIFEST, manifest)?;
    let descriptor = manifest.descriptor().clone();
    let mut passed = Vec::new();
    if !wanted.no_test {
        let (config, layers, held) = (built.config, built.layers, Arc::new(built.held));
        let image = Base { config, layers, digest: None, held };
        passed = trial::run(context, &wanted, &project, (tests, image), told.clone()).await?;
    }
    let document = AnyDocument::Manifest(manifest);
    store.push(&document).await?;
    let attestation = match passed.is_empty() {
        true => None,
        false => Some(attest::keep(&store, &descriptor, &names, (&passed, &project)).await?),
    };
    for name in &names {
        store.tag(name, &document).await?;
    }
    let mut outputs = Vec::new();
    for output in &asked.outputs {
        let sent = build::outputs::send(context, output, (&descriptor.digest, &names)).await?;
        outputs.extend(sent);
    }
    let imported = (imported.as_ref(), &told);
    let caches = cache::export(context, &asked.cache_to, &sendable, imported).await?;
    cache::hold_limit(context, asked.cache_max, ran > 0).await?;
    Ok(ProjectReport {
        outputs,
        caches,
        names: names.iter().map(ToString::to_string).collect(),
        digest: descriptor.digest.to_string(),
        config: config.digest().to_string(),
        layers,
        ran,
        cached,
        passed,
        attestation,
    })
}

/// The names of the command line, else those of the project.
fn names(wanted: &ProjectWanted, project: &ReadProject) -> Result<Vec<RefName>, Failure> {
    if !wanted.build.tags.is_empty() {
        return Ok(wanted.build.tags.clone());
    }
    let name = |text: &String| -> Result<RefName, Failure> {
        let reference = corten_spec::Reference::parse(text)?;
        Ok(crate::place::ref_name(&reference).map_err(crate::PlaceError::from)?)
    };
    project.file.names.iter().map(name).collect()
}

async fn carry_out(
    context: &Context,
    wanted: &ProjectWanted,
    project: &ReadProject,
    imported: Option<Arc<cache::Imported>>,
    told: BuildTold,
) -> Result<Built, Failure> {
    let file = plan::dockerfile(project)?;
    let mut contexts = BTreeMap::new();
    if project.has_files {
        let files = NamedContext::Directory(project.root.join(FILES));
        contexts.insert(plan::FILES_CONTEXT.to_owned(), files);
    }
    let names: Vec<&str> = contexts.keys().map(String::as_str).collect();
    let fails = |error| failure(&project.shown, error);
    let plan = Plan::new(file, BuildInputs::default(), None, &names).map_err(fails)?;
    let request = request(context, wanted, (&project.root, contexts), wanted.build.no_cache)?;
    let imports = imported.map(|imported| imported as Arc<dyn Imports>);
    let request = BuildRequest { imports, ..request };
    let images = (wanted.build.pull, BTreeMap::new());
    build::carry_out(context, plan, request, images, told).await?.map_err(fails)
}

fn request(
    context: &Context,
    wanted: &ProjectWanted,
    (root, contexts): (&Path, BTreeMap<String, NamedContext>),
    no_cache: bool,
) -> Result<BuildRequest, Failure> {
    let ignore = read_ignore(root, None).map_err(|error| Failure::Io {
        object: "the ignore file".to_owned(),
        action: "reading",
        source: std::io::Error::other(error),
    })?;
    let shown = root.join(PROJECT).display().to_string();
    Ok(BuildRequest {
        platform: context.platform(),
        kind: ContextKind::default(),
        context: root.to_owned(),
        ignore,
        contexts,
        secrets: build::secrets(context, &wanted.build.secrets)?,
        labels: wanted.build.labels.clone(),
        network: wanted.build.network.into(),
        no_cache,
        times: build::times(context, &wanted.build)?,
        compression: wanted.build.compression,
        imports: None,
        title: Some(build::title(&wanted.build, &shown)),
        grants: build::grants(context, &wanted.build.grants)?,
    })
}

/// A failure of a phase.
fn failure(shown: &str, error: BuildError) -> Failure {
    let mut output = String::new();
    if let Some((_, lines)) = error.process()
        && !lines.is_empty()
    {
        output.push_str("the last lines that it wrote:\n");
        lines.iter().for_each(|line| output.push_str(&format!("  {line}\n")));
    }
    let (word, source) = match error {
        BuildError::At { instruction, source, .. } => {
            let source: Box<dyn std::error::Error + Send + Sync> = source;
            (format!("{shown}: {instruction}"), source)
        }
        other => (shown.to_owned(), Box::new(other) as Box<dyn std::error::Error + Send + Sync>),
    };
    Failure::Container(ContainerFailure::Step { word, source, shown: output })
}
