//! What is said of an image that was built: the packages that it holds, and how it came about.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use corten_build::{BuildOrigin, Built, LayeredStep, OriginKind, Times, redacted};
use corten_dockerfile::{BuiltinGroup, builtin_arg};
use corten_scan::{Holdings, Inventory, SpdxSubject, spdx};
use corten_spec::{Descriptor, Digest, Platform};
use corten_store::LayoutStore;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::attest::{attest, digest_set};
use super::super::layers::on_thread;
use super::given::times;
use super::{BuildWanted, Read};
use crate::{Context, Failure};

/// The kind of a statement of packages.
const SPDX: &str = "https://spdx.dev/Document";
/// The kind of a statement of how an image came about.
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// How images are built of Dockerfiles: the book says what the parameters mean.
const BUILD_TYPE: &str = "https://corten.run/build/dockerfile/v1";
/// Who builds: this program, on whatever machine.
const BUILDER: &str = "https://corten.run/builder/local/v1";
/// The beginning of the namespaces of SPDX documents.
const NAMESPACE: &str = "https://corten.run/spdx";

/// How much provenance tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvenanceMode {
    /// What went in, without values of arguments.
    Min,
    /// Those, too, and the Dockerfile and what each step gave.
    Max,
}

/// What is attested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttestWords {
    /// The packages.
    pub sbom: bool,
    /// How it came about.
    pub provenance: Option<ProvenanceMode>,
}

/// A statement on an image.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AttestationReport {
    /// The platform of the image.
    pub platform: String,
    /// What kind of statement.
    pub predicate_type: String,
    /// Digest of the manifest that has it.
    pub digest: String,
    /// What could not be said.
    pub notes: Vec<String>,
}

/// What statements need to know of an image.
pub(super) struct Facts {
    platform: Platform,
    layers: Vec<Descriptor>,
    origins: Vec<BuildOrigin>,
    steps: Vec<LayeredStep>,
}

impl Facts {
    pub(super) fn of(built: &Built) -> Self {
        Self {
            platform: built.config.platform.clone(),
            layers: built.layers.iter().map(|layer| layer.descriptor.clone()).collect(),
            origins: built.origins.clone(),
            steps: built.layered.clone(),
        }
    }
}

/// Keeps the statements that are wanted of one image.
pub(super) async fn attested(
    context: &Context,
    (wanted, read): (&BuildWanted, &Read),
    image: &Descriptor,
    facts: Facts,
) -> Result<Vec<AttestationReport>, Failure> {
    let store = context.store()?;
    let name = wanted.tags.first().map_or_else(|| "image".to_owned(), ToString::to_string);
    let mut reports = Vec::new();
    let report = |kind: &str, digest: String, notes: Vec<String>| AttestationReport {
        platform: facts.platform.to_string(),
        predicate_type: kind.to_owned(),
        digest,
        notes,
    };
    if wanted.attest.sbom {
        let inventory = inventory(&store, facts.layers.clone()).await?;
        let created = match times(context, wanted)? {
            Times::Until(seconds) | Times::Real(seconds) => moment(seconds),
        };
        let tool = format!("corten-{}", env!("CARGO_PKG_VERSION"));
        let subject = SpdxSubject {
            name: &name,
            digest: &image.digest,
            namespace: NAMESPACE,
            tool: &tool,
            created: &created,
        };
        let document = spdx(&subject, &inventory);
        let digest = attest(&store, (image, &name), (SPDX, document)).await?;
        inventory.notes.iter().for_each(|note| context.tell()(&format!("--sbom: {note}")));
        reports.push(report(SPDX, digest, inventory.notes));
    }
    if let Some(mode) = wanted.attest.provenance {
        let predicate = provenance(context, (wanted, read), &facts, mode)?;
        let digest = attest(&store, (image, &name), (PROVENANCE, predicate)).await?;
        reports.push(report(PROVENANCE, digest, Vec::new()));
    }
    Ok(reports)
}

/// Reads the layers of an image that the store has.
async fn inventory(store: &LayoutStore, layers: Vec<Descriptor>) -> Result<Inventory, Failure> {
    let store = store.clone();
    on_thread("the list of packages", move || {
        let mut holdings = Holdings::default();
        for layer in &layers {
            let blob =
                std::io::BufReader::with_capacity(256 * 1024, store.blob_file(&layer.digest)?);
            holdings.lay(layer, blob).map_err(|error| Failure::Io {
                object: "the list of packages".to_owned(),
                action: "reading",
                source: std::io::Error::other(error),
            })?;
        }
        Ok(Inventory::from(holdings))
    })
    .await
}

fn provenance(
    context: &Context,
    (wanted, read): (&BuildWanted, &Read),
    facts: &Facts,
    mode: ProvenanceMode,
) -> Result<Value, Failure> {
    let fetched = wanted.fetched.iter().flat_map(|fetched| &fetched.origins);
    let dependencies: Vec<Value> = fetched.chain(&facts.origins).map(dependency).collect();
    let mut metadata = Map::new();
    if let Times::Real(_) = times(context, wanted)? {
        let at = |time: std::time::SystemTime| {
            let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
            json!(moment(i64::try_from(since.as_secs()).unwrap_or_default()))
        };
        let now = std::time::Duration::from_nanos(crate::context::clock().0);
        metadata.insert("startedOn".to_owned(), at(context.now()));
        metadata.insert("finishedOn".to_owned(), at(std::time::SystemTime::UNIX_EPOCH + now));
    }
    let mut details = json!({
        "builder": { "id": BUILDER, "version": { "corten": env!("CARGO_PKG_VERSION") } },
        "metadata": metadata,
    });
    if let (ProvenanceMode::Max, Some(fields)) = (mode, details.as_object_mut()) {
        fields.insert("byproducts".to_owned(), byproducts(read, facts));
    }
    Ok(json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": parameters((wanted, read), &facts.platform, mode),
            "internalParameters": { "builderPlatform": context.platform().to_string() },
            "resolvedDependencies": dependencies,
        },
        "runDetails": details,
    }))
}

fn parameters(
    (wanted, read): (&BuildWanted, &Read),
    platform: &Platform,
    mode: ProvenanceMode,
) -> Value {
    // Where a file of this machine stands is nobody's business.
    let name = wanted.file.as_ref().and_then(|path| path.file_name()?.to_str());
    let shown = wanted.fetched.as_ref().and_then(|fetched| fetched.shown.as_deref());
    let mut all = json!({
        "dockerfile": {
            "name": redacted(shown.or(name).unwrap_or("Dockerfile")),
            "digest": digest_set(&Digest::sha256(&read.text)),
        },
        "platform": platform.to_string(),
        "network": format!("{:?}", wanted.network).to_lowercase(),
        "compression": wanted.compression.as_str(),
        "timestamps": if wanted.real_times { "real" } else { "epoch" },
        "labels": wanted.labels,
        "contexts": wanted.contexts.keys().collect::<Vec<_>>(),
        "secrets": wanted.secrets.keys().collect::<Vec<_>>(),
        "ssh": wanted.grants.agents.keys().collect::<Vec<_>>(),
        "allow": wanted.grants.allowed.iter().map(|one| one.as_str()).collect::<Vec<_>>(),
    });
    let is_proxy =
        |name: &str| builtin_arg(name).is_some_and(|arg| arg.group == BuiltinGroup::Proxy);
    let args: BTreeMap<&String, &String> =
        read.inputs.args.iter().filter(|(name, _)| !is_proxy(name)).collect();
    if let Some(fields) = all.as_object_mut() {
        if let Some(target) = &wanted.target {
            fields.insert("target".to_owned(), json!(target));
        }
        match mode {
            ProvenanceMode::Min => {
                fields.insert("argNames".to_owned(), json!(args.keys().collect::<Vec<_>>()));
            }
            ProvenanceMode::Max => {
                fields.insert("args".to_owned(), json!(args));
            }
        }
    }
    all
}

fn dependency(origin: &BuildOrigin) -> Value {
    let identity = match (origin.kind, Digest::parse(&origin.identity)) {
        (OriginKind::Image | OriginKind::File, Ok(digest)) => digest_set(&digest),
        _ => json!({ "gitCommit": origin.identity }),
    };
    let mut one = match origin.kind {
        OriginKind::Image => json!({ "name": origin.place, "digest": identity }),
        OriginKind::File => json!({ "uri": origin.place, "digest": identity }),
        OriginKind::Commit => json!({ "uri": format!("git+{}", origin.place), "digest": identity }),
    };
    if let (Some(platform), Some(fields)) = (&origin.platform, one.as_object_mut()) {
        fields.insert("annotations".to_owned(), json!({ "platform": platform }));
    }
    one
}

/// The Dockerfile, and the layer that each step gave.
fn byproducts(read: &Read, facts: &Facts) -> Value {
    let mut all = vec![json!({
        "name": "Dockerfile",
        "digest": digest_set(&Digest::sha256(&read.text)),
        "mediaType": "text/x-dockerfile",
        "content": BASE64_STANDARD.encode(&read.text),
    })];
    all.extend(
        facts
            .steps
            .iter()
            .map(|step| json!({ "name": step.label, "digest": digest_set(&step.layer) })),
    );
    Value::Array(all)
}

fn moment(seconds: i64) -> String {
    // Beyond the years that can be written there is no time.
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
