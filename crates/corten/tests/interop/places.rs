//! Every place beside every other, without a peer.

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
