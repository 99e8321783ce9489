//! Every place beside every other, without a peer.

use corten_testkit::images::referrer;

use crate::bench::{Bench, assert_on_disk};
use crate::forms;

#[test]
fn an_image_goes_through_every_place_unchanged() {
    for (form, image) in forms::all() {
        let bench = Bench::new();
        let origin = bench.layout("origin", form, &[&image]);
        let stations = [
            format!("dir:{}", bench.at("one")),
            format!("oci-archive:{}:{form}", bench.at("two.tar")),
            format!("dir:{}", bench.at("three")),
            "store:app".to_owned(),
            format!("oci:{}:{form}", bench.at("four")),
        ];
        let mut from = format!("oci:{origin}:{form}");
        for to in stations {
            bench.corten(&["copy", &from, &to]);
            let digest = bench.report(&["inspect", &to])["root"]["digest"].clone();
            assert_eq!(digest, image.digest().as_str(), "{form} in {to}");
            from = to;
        }
        assert_on_disk(bench.path("four"), &image, form);
        let checked = bench.run(&["validate", &from]);
        assert_eq!(checked.code, Some(0), "{form}: {checked:?}");
    }
}

#[test]
fn a_layout_with_one_image_and_what_refers_to_it_needs_no_name() {
    let bench = Bench::new();
    let image = forms::single();
    let signature = referrer(&image, "application/vnd.example.signature", "signed");
    let layout = format!("oci:{}", bench.layout("layout", "v1", &[&signature, &image]));
    let archive = format!("oci-archive:{}", bench.at("archive.tar"));
    bench.corten(&["copy", "--referrers", &layout, &archive]);
    for place in [&layout, &archive] {
        let told = bench.report(&["inspect", place])["root"]["digest"].clone();
        assert_eq!(told, image.digest().as_str(), "{place}");
    }
    bench.layout("layout", "v2", &[&forms::zstd()]);
    let ran = bench.run(&["inspect", &layout]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("more than one image: v1, v2"), "{ran:?}");
}
