//! Writing routes: the request line that asks for one.

use std::fmt::Write as _;

use super::percent::encode;
use super::{Page, Part, Route, Start};

impl Route {
    /// The method to send.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Base
            | Self::Catalog(_)
            | Self::Tags(..)
            | Self::UploadStatus(..)
            | Self::Referrers(..)
            | Self::ReadManifest(_, _, Part::Whole)
            | Self::ReadBlob(_, _, Part::Whole) => "GET",
            Self::ReadManifest(_, _, Part::Head) | Self::ReadBlob(_, _, Part::Head) => "HEAD",
            Self::WriteManifest(..) | Self::CommitUpload(..) => "PUT",
            Self::StartUpload(..) => "POST",
            Self::AppendUpload(..) => "PATCH",
            Self::DeleteManifest(..) | Self::DeleteBlob(..) | Self::CancelUpload(..) => "DELETE",
        }
    }

    /// Path and query to send, percent-encoded: [`Route::parse`] reads it back as the same route.
    pub fn to_path(&self) -> String {
        let mut query = Vec::new();
        let path = match self {
            Self::Base => "/v2/".to_owned(),
            Self::Catalog(page) => {
                paging(&mut query, page);
                "/v2/_catalog".to_owned()
            }
            Self::Tags(name, page) => {
                paging(&mut query, page);
                format!("/v2/{name}/tags/list")
            }
            Self::ReadManifest(name, target, _) | Self::DeleteManifest(name, target) => {
                format!("/v2/{name}/manifests/{target}")
            }
            Self::WriteManifest(name, target, tags) => {
                query.extend(tags.iter().map(|tag| ("tag", tag.to_string())));
                format!("/v2/{name}/manifests/{target}")
            }
            Self::ReadBlob(name, digest, _) | Self::DeleteBlob(name, digest) => {
                format!("/v2/{name}/blobs/{digest}")
            }
            Self::StartUpload(name, start) => {
                starting(&mut query, start);
                format!("/v2/{name}/blobs/uploads/")
            }
            Self::UploadStatus(name, session)
            | Self::AppendUpload(name, session)
            | Self::CancelUpload(name, session) => format!("/v2/{name}/blobs/uploads/{session}"),
            Self::CommitUpload(name, session, digest) => {
                query.push(("digest", digest.to_string()));
                format!("/v2/{name}/blobs/uploads/{session}")
            }
            Self::Referrers(name, subject, kind, page) => {
                query.extend(kind.iter().map(|kind| ("artifactType", kind.to_string())));
                paging(&mut query, page);
                format!("/v2/{name}/referrers/{subject}")
            }
        };
        joined(path, &query)
    }
}

fn paging(query: &mut Vec<(&'static str, String)>, page: &Page) {
    query.extend(page.limit.map(|limit| ("n", limit.to_string())));
    query.extend(page.after.iter().map(|after| ("last", after.clone())));
}

fn starting(query: &mut Vec<(&'static str, String)>, start: &Start) {
    match start {
        Start::Session(None) => {}
        Start::Session(Some(algorithm)) => query.push(("digest-algorithm", algorithm.to_string())),
        Start::Whole(digest) => query.push(("digest", digest.to_string())),
        Start::Mount(digest, from) => {
            query.push(("mount", digest.to_string()));
            query.extend(from.iter().map(|from| ("from", from.to_string())));
        }
    }
}

fn joined(mut path: String, query: &[(&'static str, String)]) -> String {
    for (index, (key, value)) in query.iter().enumerate() {
        let separator = if index == 0 { '?' } else { '&' };
        // Writing to a String cannot fail.
        let _ = write!(path, "{separator}{key}={}", encode(value));
    }
    path
}
