//! The forms an image has in the field.

use corten_testkit::images::{ImageMaker, LayerForm, TestImage, artifact};

/// What every image of the tests has in `etc/motd`.
pub(crate) const MOTD: &str = "hello";

/// Every form, by the name it is tagged with.
pub(crate) fn all() -> Vec<(&'static str, TestImage)> {
    vec![
        ("single", single()),
        ("plain", plain()),
        ("zstd", zstd()),
        ("index", index()),
        ("nested", nested()),
        ("artifact", artifact("application/vnd.example.thing", "thing.txt", "content")),
        ("docker", docker("linux/amd64")),
        ("docker-list", docker_list()),
    ]
}

fn made(maker: ImageMaker, seed: u64) -> TestImage {
    maker.text_layer("etc/motd", MOTD).noise_layer(seed, 100_000).build()
}

pub(crate) fn single() -> TestImage {
    made(ImageMaker::new(), 1)
}

/// With layers that are not compressed.
fn plain() -> TestImage {
    made(ImageMaker::new().form(LayerForm::Plain), 2)
}

pub(crate) fn zstd() -> TestImage {
    made(ImageMaker::new().form(LayerForm::Zstd), 3)
}

/// A Docker v2.2 image.
pub(crate) fn docker(platform: &str) -> TestImage {
    made(ImageMaker::new().docker().platform(platform), 4)
}

fn docker_list() -> TestImage {
    TestImage::docker_list(&[docker("linux/amd64"), docker("linux/arm64")])
}

pub(crate) fn index() -> TestImage {
    let arm64 = made(ImageMaker::new().platform("linux/arm64"), 5);
    TestImage::index(&[single(), arm64])
}

/// An index of an index and an image.
fn nested() -> TestImage {
    TestImage::index(&[index(), made(ImageMaker::new().platform("linux/riscv64"), 6)])
}
