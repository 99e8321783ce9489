//! What each method, path and query means, and what means nothing.

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn empty() -> Digest {
    Digest::parse(DIGEST).unwrap()
}

fn name(text: &str) -> Repository {
    Repository::parse(text).unwrap()
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn parse(line: &str) -> Result<Route, RouteError> {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Route::parse(method, path, query)
}

/// Every route in the form in which it is written.
fn routes() -> Vec<(String, Route)> {
    let session = || Session::parse("abc-1").unwrap();
    let page = |limit, after: Option<&str>| Page { limit, after: after.map(str::to_owned) };
    let kind = MediaType::new("application/vnd.x+json");
    let digest = |line: &str| line.replace("DIGEST", DIGEST);
    [
        ("GET /v2/", Route::Base),
        ("GET /v2/_catalog", Route::Catalog(Page::default())),
        ("GET /v2/_catalog?n=2&last=a/b", Route::Catalog(page(Some(2), Some("a/b")))),
        ("GET /v2/a/tags/list", Route::Tags(name("a"), Page::default())),
        ("GET /v2/a/b/tags/list?n=0", Route::Tags(name("a/b"), page(Some(0), None))),
        (
            "GET /v2/a/manifests/latest",
            Route::ReadManifest(name("a"), Target::Tag(tag("latest")), Part::Whole),
        ),
        (
            "HEAD /v2/a/b/c/manifests/DIGEST",
            Route::ReadManifest(name("a/b/c"), Target::Digest(empty()), Part::Head),
        ),
        ("PUT /v2/a/manifests/v1", Route::WriteManifest(name("a"), Target::Tag(tag("v1")), vec![])),
        (
            "PUT /v2/a/manifests/DIGEST?tag=v1&tag=v2",
            Route::WriteManifest(name("a"), Target::Digest(empty()), vec![tag("v1"), tag("v2")]),
        ),
        ("DELETE /v2/a/manifests/v1", Route::DeleteManifest(name("a"), Target::Tag(tag("v1")))),
        ("GET /v2/a/blobs/DIGEST", Route::ReadBlob(name("a"), empty(), Part::Whole)),
        ("HEAD /v2/a/blobs/DIGEST", Route::ReadBlob(name("a"), empty(), Part::Head)),
        ("DELETE /v2/a/blobs/DIGEST", Route::DeleteBlob(name("a"), empty())),
        ("POST /v2/a/blobs/uploads/", Route::StartUpload(name("a"), Start::Session(None))),
        (
            "POST /v2/a/blobs/uploads/?digest-algorithm=sha512",
            Route::StartUpload(name("a"), Start::Session(Some(Algorithm::Sha512))),
        ),
        (
            "POST /v2/a/blobs/uploads/?digest=DIGEST",
            Route::StartUpload(name("a"), Start::Whole(empty())),
        ),
        (
            "POST /v2/a/blobs/uploads/?mount=DIGEST&from=b/c",
            Route::StartUpload(name("a"), Start::Mount(empty(), Some(name("b/c")))),
        ),
        (
            "POST /v2/a/blobs/uploads/?mount=DIGEST",
            Route::StartUpload(name("a"), Start::Mount(empty(), None)),
        ),
        ("GET /v2/a/blobs/uploads/abc-1", Route::UploadStatus(name("a"), session())),
        ("PATCH /v2/a/blobs/uploads/abc-1", Route::AppendUpload(name("a"), session())),
        (
            "PUT /v2/a/blobs/uploads/abc-1?digest=DIGEST",
            Route::CommitUpload(name("a"), session(), empty()),
        ),
        ("DELETE /v2/a/blobs/uploads/abc-1", Route::CancelUpload(name("a"), session())),
        ("GET /v2/a/referrers/DIGEST", Route::Referrers(name("a"), empty(), None, Page::default())),
        (
            "GET /v2/a/referrers/DIGEST?artifactType=application/vnd.x%2Bjson&n=1&last=x",
            Route::Referrers(name("a"), empty(), Some(kind), page(Some(1), Some("x"))),
        ),
        // Names that hold the protocol's own words.
        (
            "GET /v2/blobs/uploads/manifests/tags",
            Route::ReadManifest(name("blobs/uploads"), Target::Tag(tag("tags")), Part::Whole),
        ),
        ("GET /v2/tags/list/tags/list", Route::Tags(name("tags/list"), Page::default())),
        (
            "POST /v2/manifests/blobs/uploads/",
            Route::StartUpload(name("manifests"), Start::Session(None)),
        ),
    ]
    .into_iter()
    .map(|(line, route)| (digest(line), route))
    .collect()
}

#[test]
fn every_route_is_read_and_written() {
    for (line, route) in routes() {
        assert_eq!(parse(&line).as_ref(), Ok(&route), "{line}");
        assert_eq!(format!("{} {}", route.method(), route.to_path()), line);
    }
}

#[test]
fn other_spellings_of_a_route_are_read() {
    let kind = Some(MediaType::new("a/b+c"));
    let cases = [
        ("HEAD /v2", Route::Base),
        ("POST /v2/a/blobs/uploads", Route::StartUpload(name("a"), Start::Session(None))),
        ("GET /v2/a/blobs/DIGEST?ns=docker.io", Route::ReadBlob(name("a"), empty(), Part::Whole)),
        (
            "GET /v2/a/referrers/DIGEST?artifactType=a/b+c",
            Route::Referrers(name("a"), empty(), kind, Page::default()),
        ),
        (
            "GET /v2/a/referrers/DIGEST?artifactType=",
            Route::Referrers(name("a"), empty(), None, Page::default()),
        ),
        (
            "POST /v2/a/blobs/uploads/?from=&mount=DIGEST",
            Route::StartUpload(name("a"), Start::Mount(empty(), None)),
        ),
        ("GET /v2/a/%62lobs/DIGEST", Route::ReadBlob(name("a"), empty(), Part::Whole)),
    ];
    for (line, route) in cases {
        assert_eq!(parse(&line.replace("DIGEST", DIGEST)), Ok(route), "{line}");
    }
    let escaped = DIGEST.replace(':', "%3A");
    let read = parse(&format!("GET /v2/a/blobs/{escaped}"));
    assert_eq!(read, Ok(Route::ReadBlob(name("a"), empty(), Part::Whole)));
}

#[test]
fn what_no_endpoint_has_is_unknown() {
    for line in [
        "GET /",
        "GET /v1/",
        "GET /v20/a/tags/list",
        "GET v2/a/tags/list",
        "GET /v2/a",
        "GET /v2/a/tags",
        "GET /v2/a/tags/list/",
        "GET /v2/_catalog/x",
        "GET /v2/a%2Fb/tags/list",
        "GET /v2/a%/tags/list",
        "GET /v2/%ff/tags/list",
    ] {
        assert_eq!(parse(line), Err(RouteError::Unknown), "{line}");
    }
}

#[test]
fn a_method_that_is_not_for_the_path_is_told_which_are() {
    let cases = [
        ("POST /v2/", "GET, HEAD"),
        ("DELETE /v2/_catalog", "GET"),
        ("POST /v2/a/tags/list", "GET"),
        ("POST /v2/a/manifests/x", "GET, HEAD, PUT, DELETE"),
        ("PUT /v2/a/blobs/DIGEST", "GET, HEAD, DELETE"),
        ("GET /v2/a/blobs/uploads/", "POST"),
        ("POST /v2/a/blobs/uploads/x", "GET, PATCH, PUT, DELETE"),
        ("PUT /v2/a/referrers/DIGEST", "GET"),
        ("get /v2/", "GET, HEAD"),
    ];
    for (line, allow) in cases {
        let read = parse(&line.replace("DIGEST", DIGEST));
        assert_eq!(read, Err(RouteError::Method(allow)), "{line}");
    }
}

#[test]
fn each_word_is_checked_against_its_grammar() {
    for line in [
        "GET /v2/A/tags/list",
        "GET /v2//tags/list",
        "GET /v2/tags/list",
        "GET /v2/a/../b/tags/list",
        "GET /v2/a//b/blobs/DIGEST",
        "POST /v2/a/blobs/uploads/?mount=DIGEST&from=..%2Fb",
    ] {
        let read = parse(&line.replace("DIGEST", DIGEST));
        assert!(matches!(read, Err(RouteError::Repository(_))), "{line}: {read:?}");
    }
    for line in [
        "GET /v2/a/blobs/sha256:abc",
        "GET /v2/a/blobs/x",
        "GET /v2/a/referrers/latest",
        "PUT /v2/a/blobs/uploads/s",
        "PUT /v2/a/blobs/uploads/s?digest=",
        "POST /v2/a/blobs/uploads/?digest=x",
        "POST /v2/a/blobs/uploads/?mount=",
    ] {
        assert!(matches!(parse(line), Err(RouteError::Digest(_))), "{line}");
    }
    for line in ["GET /v2/a/manifests/", "PUT /v2/a/manifests/-x", "GET /v2/a/manifests/sha256:a"] {
        assert!(matches!(parse(line), Err(RouteError::Target(_))), "{line}");
    }
    for (line, key) in [
        ("GET /v2/a/tags/list?n=", "n"),
        ("GET /v2/a/tags/list?n=-1", "n"),
        ("GET /v2/a/tags/list?n=+1", "n"),
        ("GET /v2/a/tags/list?n=99999999999999999999", "n"),
        ("GET /v2/a/tags/list?last=%", "last"),
        ("PUT /v2/a/manifests/v1?tag=-", "tag"),
    ] {
        assert_eq!(parse(line), Err(RouteError::Query(key)), "{line}");
    }
    assert_eq!(parse("GET /v2/a/blobs/uploads/a.b"), Err(RouteError::Session));
    let unsupported = Err(RouteError::Algorithm("md5".to_owned()));
    assert_eq!(parse("POST /v2/a/blobs/uploads/?digest-algorithm=md5"), unsupported);
}

#[test]
fn limits_hold() {
    let path = format!("GET /v2/{}/tags/list", "a".repeat(MAX_PATH));
    assert_eq!(parse(&path), Err(RouteError::TooLong));
    let query = format!("GET /v2/a/tags/list?x={}", "a".repeat(MAX_QUERY));
    assert_eq!(parse(&query), Err(RouteError::TooLong));
    let last = format!("GET /v2/a/tags/list?last={}", "a".repeat(MAX_LAST + 1));
    assert_eq!(parse(&last), Err(RouteError::Query("last")));
    let tags = |count: usize| format!("PUT /v2/a/manifests/{DIGEST}?{}", "tag=v&".repeat(count));
    assert!(parse(tags(MAX_TAGS).trim_end_matches('&')).is_ok());
    assert_eq!(parse(&tags(MAX_TAGS + 1)), Err(RouteError::Query("tag")));
}
