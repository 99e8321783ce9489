//! Archives: what is written, that it is the same every time, and what is refused in reading.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod faults;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use corten_spec::{AnyDocument, RefName};
use corten_store::contract::{images, put};
use corten_store::{
    Archive, Copied, Ingester as _, MemoryStore, Platforms, Pusher as _, Referrers as _, Request,
    Resolver as _, Selector, Store, StoreError, WithReferrers, check_image, copy,
};
use faults::{Fault, Faulty};

fn name(text: &str) -> RefName {
    RefName::parse(text).unwrap()
}

async fn add(store: &dyn Store, image: &images::Image, text: Option<&str>) {
    for (blob, bytes) in &image.blobs {
        put(store, blob, bytes).await.unwrap();
    }
    store.push(&image.manifest).await.unwrap();
    if let Some(text) = text {
        store.tag(&name(text), &image.manifest).await.unwrap();
    }
}

async fn source() -> (MemoryStore, Vec<AnyDocument>) {
    let store = MemoryStore::new("source");
    let (one, two) = (images::image(1), images::image(2));
    add(&store, &one, Some("one")).await;
    add(&store, &two, Some("two")).await;
    let signature = images::artifact(3, "application/x-signature", &one.manifest);
    add(&store, &signature, None).await;
    (store, vec![one.manifest, two.manifest, signature.manifest])
}

async fn copy_named(
    from: impl Store,
    to: impl Store,
    text: &str,
    jobs: usize,
) -> Result<Copied, StoreError> {
    let mut request = Request::new(Arc::new(from), Arc::new(to), Selector::Name(name(text)));
    request.names = vec![name(text)];
    request.referrers = WithReferrers::Yes;
    request.platforms = Platforms::All;
    request.jobs = jobs;
    copy(request).await
}

async fn write(path: &Path, order: [&str; 2], jobs: usize) {
    let (store, _) = source().await;
    let archive = Archive::create(path).unwrap();
    for text in order {
        copy_named(store.clone(), archive.clone(), text, jobs).await.unwrap();
    }
    archive.finish().await.unwrap();
    archive.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_images_and_their_referrers_go_through_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.tar");
    write(&path, ["one", "two"], 4).await;
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.names().await.unwrap(), [name("one"), name("two")]);
    let (_, documents) = source().await;
    for document in &documents {
        let checked = check_image(&archive, document.descriptor()).await.unwrap();
        assert_eq!((checked.corrupt, checked.missing), (vec![], vec![]));
    }
    let listed = archive.referrers(&documents[0].descriptor().digest, None).await.unwrap();
    assert_eq!(listed[0].digest, documents[2].descriptor().digest);
    let target = MemoryStore::new("target");
    let copied = copy_named(archive, target.clone(), "one", 4).await.unwrap();
    assert_eq!((copied.manifests, copied.referrers), (2, 1));
    let resolved = target.resolve(&Selector::Name(name("one"))).await.unwrap();
    assert_eq!(resolved.document.unwrap().bytes(), documents[0].bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_images_give_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["a", "b", "c"].map(|file| directory.path().join(file));
    write(&paths[0], ["one", "two"], 1).await;
    write(&paths[1], ["one", "two"], 8).await;
    assert!(fs::read(&paths[0]).unwrap() == fs::read(&paths[1]).unwrap());
}

/// What a pipe carries is kept for the test to look at.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_carries_the_bytes_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.tar");
    write(&path, ["one", "two"], 1).await;
    let (store, documents) = source().await;
    let pipe = Pipe::default();
    let archive = Archive::write(pipe.clone());
    for text in ["one", "two"] {
        copy_named(store.clone(), archive.clone(), text, 4).await.unwrap();
    }
    archive.finish().await.unwrap();
    let bytes = pipe.0.lock().unwrap().clone();
    assert!(bytes == fs::read(&path).unwrap());
    let read = Archive::read(&bytes[..], directory.path()).unwrap();
    check_image(&read, documents[0].descriptor()).await.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "what is spooled has no name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_and_corrupt_transfers_leave_no_trace_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let (whole, path) = (directory.path().join("whole"), directory.path().join("mended"));
    write(&whole, ["one", "two"], 1).await;
    let (store, _) = source().await;
    let faulty = Faulty::new(store, &[Fault::Cut(100_000), Fault::End(5), Fault::Flip]);
    let archive = Archive::create(&path).unwrap();
    for text in ["one", "two"] {
        copy_named(faulty.clone(), archive.clone(), text, 1).await.unwrap();
    }
    archive.finish().await.unwrap();
    assert!(fs::read(&whole).unwrap() == fs::read(&path).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_is_not_finished_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.tar");
    fs::write(&path, "what was there").unwrap();
    let (store, _) = source().await;
    let archive = Archive::create(&path).unwrap();
    copy_named(store, archive.clone(), "one", 4).await.unwrap();
    drop(archive);
    assert_eq!(fs::read_to_string(&path).unwrap(), "what was there");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_that_got_half_a_blob_is_broken_and_says_so() {
    let (store, _) = source().await;
    let faulty = Faulty::new(store, &[Fault::Flip, Fault::Flip]);
    let archive = Archive::write(Pipe::default());
    assert!(copy_named(faulty, archive.clone(), "one", 1).await.is_err());
    let finished = archive.finish().await;
    assert!(matches!(finished, Err(StoreError::Refused { .. })), "{finished:?}");
}

#[tokio::test]
async fn what_is_read_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.tar");
    write(&path, ["one", "two"], 1).await;
    let archive = Archive::open(&path).unwrap();
    let image = images::image(9);
    let begun = archive.begin(&image.blobs[0].0, None).await.map(drop);
    assert!(matches!(begun, Err(StoreError::Unsupported { .. })));
    let pushed = archive.push(&image.manifest).await;
    assert!(matches!(pushed, Err(StoreError::Unsupported { .. })));
}

/// One member of a tar archive, made without the code under test.
fn member(flag: u8, path: &str, content: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..path.len()].copy_from_slice(path.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    block[148..156].copy_from_slice(b"        ");
    block[156] = flag;
    block[157..161].copy_from_slice(b"link");
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block.extend_from_slice(content);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

fn archive(extra: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes =
        [member(b'0', "oci-layout", LAYOUT), member(b'0', "index.json", INDEX)].concat();
    bytes.extend(extra.concat());
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn open(bytes: &[u8]) -> Result<Archive, StoreError> {
    Archive::read(bytes, std::env::temp_dir())
}

#[test]
fn archives_of_other_tools_are_read() {
    open(&archive(&[])).unwrap();
    let dotted = [
        member(b'5', "./", b""),
        member(b'5', "./blobs/", b""),
        member(b'0', "./oci-layout", LAYOUT),
        member(b'0', "./index.json", INDEX),
        member(b'g', "pax_global_header", b"13 comment=x\n"),
    ];
    let mut bytes = dotted.concat();
    bytes.extend(member(b'0', "manifest.json", b"[]"));
    open(&bytes).expect("paths that begin with ./, and no end mark");
}

#[test]
fn hostile_archives_are_refused() {
    let cases: BTreeMap<&str, Vec<u8>> = [
        ("a symbolic link", archive(&[member(b'2', "blobs/x", b"")])),
        ("a hard link", archive(&[member(b'1', "blobs/x", b"")])),
        ("a device", archive(&[member(b'3', "blobs/x", b"")])),
        ("a sparse file", archive(&[member(b'S', "blobs/x", b"")])),
        ("a path upwards", archive(&[member(b'0', "blobs/../../x", b"")])),
        ("an absolute path", archive(&[member(b'0', "/etc/x", b"")])),
        ("an empty path", archive(&[member(b'0', "", b"")])),
        ("a duplicate", archive(&[member(b'0', "index.json", INDEX)])),
        ("a hidden duplicate", archive(&[member(b'0', "././index.json", INDEX)])),
        ("a broken record", archive(&[member(b'x', "p", b"99 path=x\n"), member(b'0', "y", b"")])),
        (
            "a huge size",
            archive(&[
                member(b'x', "p", b"29 size=18446744073709551615\n"),
                member(b'0', "y", b""),
            ]),
        ),
        ("no layout", member(b'0', "index.json", INDEX)),
        ("no index", member(b'0', "oci-layout", LAYOUT)),
        ("nothing", Vec::new()),
        ("text", b"this is no archive at all".repeat(100)),
        ("a cut", archive(&[member(b'0', "blobs/x", &[1; 5000])])[..3000].to_vec()),
    ]
    .into();
    for (what, bytes) in cases {
        let error = open(&bytes).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Malformed { .. }), "{what}: {error:?}");
    }
    let gzip = [&[0x1f, 0x8b, 8, 0][..], &[0; 600]].concat();
    let error = open(&gzip).map(drop).unwrap_err();
    assert!(error.to_string().contains("gzip"), "{error}");
}
