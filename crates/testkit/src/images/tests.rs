//! What the makers make is what it says it is.

use std::collections::BTreeSet;
use std::io::Read as _;

use corten_spec::{Algorithm, ImageConfig, Manifest, RefName};
use corten_store::{Fetcher as _, Kind, MemoryStore, Resolver as _, Selector};

use super::*;
use crate::noise::Noise;
use crate::tar::TarMaker;

fn manifest(image: &TestImage) -> Manifest {
    let AnyDocument::Manifest(document) = image.root() else { panic!("not a manifest") };
    document.value().clone()
}

fn blob<'a>(image: &'a TestImage, descriptor: &Descriptor) -> &'a Bytes {
    let found = image.blobs().iter().find(|(known, _)| known.digest == descriptor.digest);
    &found.expect("the blob is there").1
}

/// Every descriptor of the image's blobs and documents is that of the bytes.
fn check(image: &TestImage) {
    for (descriptor, bytes) in image.blobs() {
        let algorithm = descriptor.digest.algorithm().unwrap();
        assert_eq!(Digest::of(algorithm, bytes), descriptor.digest);
        assert_eq!(bytes.len() as u64, descriptor.size);
    }
    let digests: BTreeSet<&Digest> =
        image.documents().iter().map(|document| &document.descriptor().digest).collect();
    assert_eq!(digests.len(), image.documents().len());
}

#[test]
fn layers_unpack_to_their_diff_ids() {
    let image = ImageMaker::new()
        .text_layer("a", "plain words")
        .form(LayerForm::Zstd)
        .text_layer("b", "other words")
        .form(LayerForm::Plain)
        .text_layer("c", "more words")
        .build();
    check(&image);
    let manifest = manifest(&image);
    let config: ImageConfig = serde_json::from_slice(blob(&image, &manifest.config)).unwrap();
    assert_eq!(config.platform, Platform::new("linux", "amd64"));
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let packed = blob(&image, layer).as_ref();
        let mut tar = Vec::new();
        if layer.media_type == MediaType::OCI_LAYER_GZIP {
            flate2::read::GzDecoder::new(packed).read_to_end(&mut tar).unwrap();
        } else if layer.media_type == MediaType::OCI_LAYER_ZSTD {
            tar = zstd::decode_all(packed).unwrap();
        } else {
            assert_eq!(layer.media_type, MediaType::OCI_LAYER);
            tar = packed.to_vec();
        }
        assert_eq!(Digest::sha256(&tar), diff_id.0);
    }
    assert_eq!((manifest.layers.len(), config.rootfs.diff_ids.len()), (3, 3));
}

#[test]
fn the_same_calls_give_the_same_image() {
    let make = || ImageMaker::new().noise_layer(3, 5000).annotation("a", "b").build();
    assert_eq!(make().digest(), make().digest());
}

#[test]
fn docker_and_sha512_and_foreign_images_are_what_they_say() {
    let docker = ImageMaker::new().docker().text_layer("a", "x").build();
    check(&docker);
    assert_eq!(docker.root().descriptor().media_type, MediaType::DOCKER_MANIFEST);
    assert_eq!(manifest(&docker).layers[0].media_type, MediaType::DOCKER_LAYER_GZIP);

    let wide = ImageMaker::new().algorithm(Algorithm::Sha512).text_layer("a", "x").build();
    check(&wide);
    let all = wide.blobs().iter().map(|(descriptor, _)| &descriptor.digest);
    assert!(all.chain([wide.digest()]).all(|digest| digest.algorithm_name() == "sha512"));

    let tar = TarMaker::new().file("a", 0o644, "x");
    let foreign = ImageMaker::new().foreign_layer(tar, "https://example.com/a").build();
    assert_eq!(foreign.blobs().len(), 2);
    assert_eq!(foreign.distributable().count(), 1);
    assert_eq!(manifest(&foreign).layers[0].urls, ["https://example.com/a"]);
}

#[test]
fn an_index_holds_its_children_and_what_they_share_once() {
    let make = |platform| ImageMaker::new().platform(platform).text_layer("a", "same").build();
    let inner = TestImage::index(&[make("linux/amd64"), make("linux/arm64")]);
    let outer = TestImage::index(&[inner.clone(), make("linux/amd64"), empty_artifact("x/y")]);
    check(&outer);
    // Two configs, one layer, the empty blob; two images, two indexes, one artifact.
    assert_eq!((outer.blobs().len(), outer.documents().len()), (4, 5));
    let AnyDocument::Index(index) = outer.root() else { panic!("not an index") };
    let platforms: Vec<Option<Platform>> =
        index.value().manifests.iter().map(|child| child.platform.clone()).collect();
    assert_eq!(platforms, [None, Some(Platform::new("linux", "amd64")), None]);
    assert_eq!(index.value().manifests[0].digest, *inner.digest());
}

#[test]
fn referrers_point_at_their_subject_along_a_chain() {
    let image = ImageMaker::new().text_layer("a", "x").build();
    let signature = referrer(&image, "application/vnd.test.signature", "signed");
    let note = referrer(&signature, "application/vnd.test.note", "noted");
    let index = referrer_index(&image, "application/vnd.test.set", std::slice::from_ref(&note));
    for (document, subject) in [(&signature, &image), (&note, &signature), (&index, &image)] {
        check(document);
        assert_eq!(document.root().subject().unwrap().digest, *subject.digest());
    }
    assert!(artifact("x/y", "file.txt", "content").root().subject().is_none());
}

#[tokio::test]
async fn an_image_goes_into_a_store_by_its_ports() {
    let store = MemoryStore::new("test");
    let tar = TarMaker::new().file("a", 0o644, "x");
    let foreign = ImageMaker::new().foreign_layer(tar, "https://example.com/a").build();
    let both = TestImage::index(&[foreign.clone(), ImageMaker::new().text_layer("b", "y").build()]);
    let name = RefName::parse("v1").unwrap();
    push(&store, Some(&name), &both).await.unwrap();
    push(&store, Some(&name), &both).await.unwrap();
    let resolved = store.resolve(&Selector::Name(name)).await.unwrap();
    assert_eq!(resolved.descriptor.digest, *both.digest());
    for (descriptor, _) in both.blobs() {
        let distributed = !descriptor.media_type.is_non_distributable();
        assert_eq!(store.exists(Kind::Blob, descriptor).await.unwrap(), distributed);
    }
    let noise = Noise::new(5, 200_000);
    let descriptor = push_noise(&store, noise.clone()).await.unwrap();
    assert_eq!(descriptor.digest, Digest::sha256(&noise.whole()));
    assert!(store.exists(Kind::Blob, &descriptor).await.unwrap());
}
