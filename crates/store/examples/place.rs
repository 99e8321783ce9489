//! Copies between places on this machine, for trying the crate by hand and for measuring it:
//! `place copy FROM TO [NAME]`, `place check DIR`,
//! `place ingest DIR FILE`. Places are `oci:DIR`, `oci-archive:FILE` and `dir:DIR`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use corten_spec::{Descriptor, Hasher, MediaType, RefName};
use corten_store::{
    Archive, Begun, Directory, Ingester as _, LayoutStore, Request, Selector, Store, WithReferrers,
    check, copy,
};

type Failure = Box<dyn std::error::Error>;

fn open(place: &str, new: bool) -> Result<(Arc<dyn Store>, Option<Archive>), Failure> {
    let (kind, path) = place.split_once(':').ok_or("a place reads kind:path")?;
    Ok(match (kind, new) {
        ("oci", true) => (Arc::new(LayoutStore::create(path)?), None),
        ("oci", false) => (Arc::new(LayoutStore::open(path)?), None),
        ("dir", true) => (Arc::new(Directory::create(path)?), None),
        ("dir", false) => (Arc::new(Directory::open(path)?), None),
        ("oci-archive", true) => {
            let archive = Archive::create(path)?;
            (Arc::new(archive.clone()), Some(archive))
        }
        ("oci-archive", false) => (Arc::new(Archive::open(path)?), None),
        _ => return Err("unknown place".into()),
    })
}

async fn copy_between(from: &str, to: &str, name: Option<&str>) -> Result<(), Failure> {
    let (source, _) = open(from, false)?;
    let (target, archive) = open(to, true)?;
    let name = name.map(RefName::parse).transpose()?;
    let root = match (&name, from.strip_prefix("dir:")) {
        (_, Some(path)) => {
            let image = Directory::open(path)?.image()?;
            Selector::Digest(image.descriptor().digest.clone())
        }
        (Some(name), None) => Selector::Name(name.clone()),
        (None, None) => return Err("this place needs a name".into()),
    };
    let mut request = Request::new(source, target, root);
    if !to.starts_with("dir:") {
        request.names = name.into_iter().collect();
    }
    request.referrers = WithReferrers::Yes;
    let copied = copy(request).await?;
    if let Some(archive) = archive {
        archive.finish().await?;
    }
    println!("{copied:?}");
    Ok(())
}

/// Hashes a file, then takes it in: what the second part costs is what an ingest costs.
async fn ingest(layout: &str, file: &str) -> Result<(), Failure> {
    let mut reader = std::fs::File::open(file)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut hasher = Hasher::new(corten_spec::Algorithm::Sha256);
    let mut size = 0;
    let start = std::time::Instant::now();
    loop {
        let count = reader.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        size += count as u64;
    }
    println!("read and hash: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let blob = Descriptor::new(MediaType::OCI_LAYER, hasher.finish(), size);
    let store = LayoutStore::create(layout)?;
    let Begun::Ingest(mut ingest) = store.begin(&blob, None).await? else {
        return Err("the blob is there already".into());
    };
    ingest.resume().await?;
    let mut reader = std::fs::File::open(file)?;
    loop {
        // As a network hands it over: small pieces.
        let mut piece = vec![0; 16 * 1024];
        let count = reader.read(&mut piece)?;
        piece.truncate(count);
        if piece.is_empty() {
            break;
        }
        ingest.append(Bytes::from(piece)).await?;
    }
    ingest.commit().await?;
    println!("read, hash, write, sync: {:?}", start.elapsed());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["copy", from, to] => copy_between(from, to, None).await,
        ["copy", from, to, name] => copy_between(from, to, Some(name)).await,
        ["check", path] => {
            println!("{:?}", check(&LayoutStore::open(path)?).await?);
            Ok(())
        }
        ["ingest", layout, file] => ingest(layout, file).await,
        _ => Err("copy FROM TO [NAME] | check DIR | ingest DIR FILE".into()),
    }
}
