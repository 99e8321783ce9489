//! Lists: tags of a repository, repositories of a host, page by page (distribution-spec, Listing
//! Tags).

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use corten_spec::RefName;
use corten_store::StoreError;
use reqwest::header::{ACCEPT, HeaderValue, LINK};
use serde::Deserialize;

use crate::address::follow;
use crate::answer::Answer;
use crate::exchange::{Ask, Remote, malformed};
use crate::scopes::Scopes;
use crate::wire::{Link, Page, Route};
use crate::{Connection, Registry, cause};

/// Entries asked for in one page.
const PAGE_ENTRIES: u64 = 1000;

/// Most bytes read of one page.
pub(crate) const MAX_PAGE: u64 = 16 * 1024 * 1024;

/// Most pages read of one list.
const MAX_PAGES: usize = 10_000;

/// Most entries taken from one list.
const MAX_ENTRIES: usize = 2_000_000;

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Repositories {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl Registry {
    /// All tags, sorted by bytes, each once.
    pub(crate) async fn tags(&self) -> Result<Vec<RefName>, StoreError> {
        let route = Route::Tags(self.remote.repository.clone(), first_page());
        let about = self.remote.about("list of tags", "the list of tags");
        let mut ask = self.remote.ask(&route, about.clone()).await?;
        // One registry of the field answers 406 to anything narrower.
        ask.headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.1"));
        let scopes = Scopes::pull(&self.remote.repository);
        let names = all(&self.remote, ask, &scopes, |page| {
            Ok(serde_json::from_slice::<Tags>(page)?.tags.unwrap_or_default())
        });
        let names = names.await?.into_iter().map(|name| RefName::parse(&name));
        let names = names.collect::<Result<Vec<_>, _>>();
        let mut names = names.map_err(|source| malformed(&about, source.into()))?;
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// The repositories of `host`, sorted, as far as it tells them: public registries often do not.
pub async fn catalog(host: &str, connection: Arc<Connection>) -> Result<Vec<String>, StoreError> {
    let remote = Remote::of_host(host, connection)?;
    let mut about = remote.about("catalogue", "the list of repositories");
    host.clone_into(&mut about.place);
    about.action = "the list of repositories".to_owned();
    let mut ask = remote.ask(&Route::Catalog(first_page()), about).await?;
    ask.headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.1"));
    let mut names = all(&remote, ask, &Scopes::catalog(), |page| {
        Ok(serde_json::from_slice::<Repositories>(page)?.repositories.unwrap_or_default())
    })
    .await?;
    names.sort();
    names.dedup();
    Ok(names)
}

fn first_page() -> Page {
    Page { limit: Some(PAGE_ENTRIES), after: None }
}

/// The entries of all pages, in the order they come.
async fn all(
    remote: &Remote,
    mut ask: Ask,
    scopes: &Scopes,
    read: impl Fn(&Bytes) -> Result<Vec<String>, serde_json::Error>,
) -> Result<Vec<String>, StoreError> {
    let mut entries = Vec::new();
    let mut pages = Pages::default();
    loop {
        let answer = remote.send(&ask, scopes).await?.success().await?;
        let next = pages.next(remote, &answer).await?;
        let page = answer.body("a page of a list", MAX_PAGE).await?;
        entries.extend(read(&page).map_err(|source| malformed(&ask.about, source.into()))?);
        if entries.len() > MAX_ENTRIES {
            return Err(malformed(&ask.about, cause(format!("more than {MAX_ENTRIES} entries"))));
        }
        match next {
            Some(url) => ask.url = url,
            None => return Ok(entries),
        }
    }
}

/// Follows `Link` from page to page, to an end.
#[derive(Default)]
pub(crate) struct Pages {
    seen: HashSet<String>,
}

impl Pages {
    /// The page after `answer`, if there is one. It may lie on another host: then nothing secret
    /// goes there.
    pub(crate) async fn next(
        &mut self,
        remote: &Remote,
        answer: &Answer,
    ) -> Result<Option<reqwest::Url>, StoreError> {
        let values = answer.headers().get_all(LINK);
        let links = Link::parse(values.iter().filter_map(|value| value.to_str().ok()));
        let Some(next) = links.into_iter().find(Link::is_next) else {
            return Ok(None);
        };
        let home = remote.home().await?;
        let url = follow(&home, answer.url(), &next.target)
            .map_err(|error| malformed(&answer.about, error.into()))?;
        if self.seen.len() >= MAX_PAGES || !self.seen.insert(url.to_string()) {
            return Err(malformed(&answer.about, cause("its pages do not end")));
        }
        Ok(Some(url))
    }
}
