//! What a copy has to carry: every document, read and in order, and every blob once.

use std::collections::{HashMap, HashSet};

use corten_spec::{AnyDocument, Descriptor, Digest, MAX_DOCUMENT, RefName, validate};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Ambiguity, Request, WithReferrers};
use crate::retry::retry;
use crate::select::{choose, resolve_document, select};
use crate::walk::{Survey, children};
use crate::{Kind, Platforms, Selector, Store, StoreError, read_document, read_small};

/// Referrer lists asked for at the same time.
const LISTS: usize = 8;
/// The endings of the tags under which cosign keeps what refers to `sha256-<hex>`.
const ATTACHED: [&str; 3] = [".sig", ".att", ".sbom"];

/// Everything a copy carries.
pub(super) struct Plan {
    /// What gets the names.
    pub(super) root: AnyDocument,
    /// Documents; what a document lists stands in an earlier level.
    pub(super) levels: Vec<Vec<AnyDocument>>,
    /// Blobs, each once, the largest first: the last ones to end are then short.
    pub(super) blobs: Vec<Descriptor>,
    /// Names besides those asked for.
    pub(super) tags: Vec<(RefName, AnyDocument)>,
    /// How many documents are there because they refer to others.
    pub(super) referrers: u64,
}

/// Reads the documents of a request.
pub(super) async fn draw(request: &Request) -> Result<Plan, StoreError> {
    let from = request.from.as_ref();
    let root = root(request).await?;
    let mut survey = Survey::new(from);
    match &request.platforms {
        Platforms::Some(wanted) => {
            let chosen = choose(from, &root, wanted).await?;
            let choose = |descriptor: &Descriptor| chosen.contains(&descriptor.digest);
            survey.explore_document(root.clone(), &choose).await?;
        }
        Platforms::All | Platforms::One(_) => {
            survey.explore_document(root.clone(), &|_| true).await?;
        }
    }
    let own = survey.documents(0).len();
    let mut attached = Vec::new();
    if request.referrers == WithReferrers::Yes {
        attached = explore_referrers(from, &mut survey).await?;
    }
    let referrers = (survey.documents(0).len() - own) as u64;
    let graph = survey.finish();
    if request.ambiguity == Ambiguity::Refuse {
        let place = from.describe();
        graph.documents.iter().try_for_each(|document| unambiguous(document, &place))?;
    }
    let mut blobs = graph.blobs;
    blobs.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.digest.cmp(&b.digest)));
    let tags = tags(attached, &graph.documents);
    Ok(Plan { root, levels: levels(graph.documents), blobs, tags, referrers })
}

/// Refuses configs of the plan, read from `place`, that two readers would read as two things.
pub(super) async fn check_configs(
    request: &Request,
    place: &dyn Store,
    plan: &Plan,
) -> Result<(), StoreError> {
    if request.ambiguity == Ambiguity::Allow {
        return Ok(());
    }
    for document in plan.levels.iter().flatten() {
        let AnyDocument::Manifest(manifest) = document else { continue };
        let config = &manifest.value().config;
        // What is larger is read by nobody.
        if !config.media_type.is_config() || config.size > MAX_DOCUMENT {
            continue;
        }
        let limit = ("an image config", MAX_DOCUMENT);
        let read = async |from| retry(|| read_small(from, Kind::Blob, config, limit)).await;
        let bytes = match read(place).await {
            // An archive that is written to a pipe.
            Err(StoreError::Unsupported { .. }) => read(request.from.as_ref()).await?,
            other => other?,
        };
        refuse_ambiguous(config, &bytes, &request.from.describe())?;
    }
    Ok(())
}

/// Refuses a document that two readers would read as two things.
fn unambiguous(document: &AnyDocument, place: &str) -> Result<(), StoreError> {
    refuse_ambiguous(document.descriptor(), document.bytes(), place)
}

fn refuse_ambiguous(descriptor: &Descriptor, bytes: &[u8], place: &str) -> Result<(), StoreError> {
    let object = descriptor.digest.to_string();
    let checked = validate::unambiguous(&descriptor.media_type, &object, bytes);
    checked.map_err(|source| StoreError::Malformed { object, place: place.to_owned(), source })
}

async fn root(request: &Request) -> Result<AnyDocument, StoreError> {
    let from = request.from.as_ref();
    let document = resolve_document(from, &request.root).await?;
    let Platforms::One(wanted) = &request.platforms else {
        return Ok(document);
    };
    let chosen = select(from, &document, wanted).await?;
    if chosen.digest == document.descriptor().digest {
        return Ok(document);
    }
    retry(|| read_document(from, &chosen)).await
}

/// Adds what refers to the documents of the survey, and to what that adds, until nothing is new.
async fn explore_referrers(
    from: &dyn Store,
    survey: &mut Survey<'_>,
) -> Result<Vec<(RefName, Digest)>, StoreError> {
    let names = match retry(|| from.names()).await {
        Ok(names) => names,
        // A place that does not list its names has no such tags for us.
        Err(
            StoreError::Unsupported { .. }
            | StoreError::Denied { .. }
            | StoreError::NotFound { .. },
        ) => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut attached = Vec::new();
    let mut asked = 0;
    loop {
        let new: Vec<Digest> = survey
            .documents(asked)
            .iter()
            .map(|document| document.descriptor().digest.clone())
            .collect();
        if new.is_empty() {
            return Ok(attached);
        }
        asked += new.len();
        let lists = new.iter().map(|subject| list(from, subject));
        let lists: Vec<Vec<Descriptor>> = stream::iter(lists).buffered(LISTS).try_collect().await?;
        let mut roots: Vec<Descriptor> = lists.into_iter().flatten().collect();
        let subjects: HashSet<Digest> = new.into_iter().collect();
        for name in names.iter().filter(|name| is_attached_to(name, &subjects)) {
            let selector = Selector::Name(name.clone());
            let resolved = retry(|| from.resolve(&selector)).await?;
            attached.push((name.clone(), resolved.descriptor.digest.clone()));
            roots.push(resolved.descriptor.bare());
        }
        survey.explore(roots, &|_| true).await?;
    }
}

async fn list(from: &dyn Store, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
    let found = retry(|| from.referrers(subject, None)).await?;
    Ok(found.iter().map(Descriptor::bare).collect())
}

fn is_attached_to(name: &RefName, subjects: &HashSet<Digest>) -> bool {
    let stem = ATTACHED.iter().find_map(|ending| name.as_str().strip_suffix(ending));
    let digest = stem.and_then(|stem| Digest::parse(&stem.replacen('-', ":", 1)).ok());
    digest.is_some_and(|digest| subjects.contains(&digest))
}

fn tags(
    attached: Vec<(RefName, Digest)>,
    documents: &[AnyDocument],
) -> Vec<(RefName, AnyDocument)> {
    let found = |digest: &Digest| {
        documents.iter().find(|document| document.descriptor().digest == *digest).cloned()
    };
    attached.into_iter().filter_map(|(name, digest)| Some((name, found(&digest)?))).collect()
}

/// Sorts documents, children before parents already, by how much lies below them; what refers to
/// another one counts as above it, where it is one of them.
fn levels(documents: Vec<AnyDocument>) -> Vec<Vec<AnyDocument>> {
    let mut heights: HashMap<Digest, usize> = HashMap::new();
    let mut levels: Vec<Vec<AnyDocument>> = Vec::new();
    for document in documents {
        let below = children(&document);
        let below = below.iter().map(|child| &child.descriptor.digest);
        let below = below.chain(document.subject().map(|subject| &subject.digest));
        let known = below.filter_map(|digest| heights.get(digest));
        let height = known.max().map_or(0, |height| height + 1);
        heights.insert(document.descriptor().digest.clone(), height);
        while levels.len() <= height {
            levels.push(Vec::new());
        }
        if let Some(level) = levels.get_mut(height) {
            level.push(document);
        }
    }
    levels
}
