//! Digests of `descriptor.md`, and the ChainIDs of image-spec `identity/chainid_test.go`.

use super::*;

#[test]
fn the_grammar_of_digests() {
    let hex = "6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b";
    let twice = format!("{hex}{hex}");
    let table: [(&str, bool); 21] = [
        (&format!("sha256:{hex}"), true),
        (&format!("sha512:{twice}"), true),
        (&format!("blake3:{hex}"), true),
        ("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", true),
        ("sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564", true),
        ("sha256+foo+bar:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=", true),
        ("sha256.foo-bar_baz:x", true),
        (&format!("sha256:{}", hex.to_uppercase()), false),
        (&format!("sha256:{twice}"), false),
        (&format!("sha512:{hex}"), false),
        (&format!("blake3:{twice}"), false),
        (&format!("Sha256:{hex}"), false),
        ("sha256", false),
        ("sha256:", false),
        (":x", false),
        ("", false),
        ("sha256+:x", false),
        ("sha256++b64:x", false),
        ("a:b:c", false),
        ("a:b/../c", false),
        (&format!("a:{}", "b".repeat(MAX_DIGEST)), false),
    ];
    for (text, legal) in table {
        let read = Digest::parse(text);
        assert_eq!(read.is_ok(), legal, "{text}: {read:?}");
        if let Ok(digest) = read {
            assert_eq!(format!("{}:{}", digest.algorithm_name(), digest.encoded()), text);
        }
    }
}

#[test]
fn the_registered_algorithms_are_computed() {
    let table = [
        (
            Algorithm::Sha256,
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            Algorithm::Sha512,
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            Algorithm::Blake3,
            "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        ),
    ];
    for (algorithm, expected) in table {
        let digest = Digest::of(algorithm, b"abc");
        assert_eq!(digest.as_str(), expected);
        assert_eq!(digest.algorithm(), Ok(algorithm));
        assert_eq!(Digest::parse(expected).as_ref(), Ok(&digest));
    }
    let foreign = Digest::parse("md5:900150983cd24fb0d6963f7d28e17f72").unwrap();
    assert_eq!(foreign.algorithm(), Err(DigestError::Unsupported("md5".to_owned())));
}

#[test]
fn the_chain_of_the_reference_implementation() {
    // identity/chainid_test.go chains the texts "sha256:a", "sha256:b" and "sha256:c".
    let two = chain_onto("sha256:a", "sha256:b");
    assert_eq!(two, Digest::sha256(b"sha256:a sha256:b"));
    let three = chain_onto(two.as_str(), "sha256:c");
    assert_eq!(
        two.as_str(),
        "sha256:970a948bffa8de94d6e22d747ba8c95030e6e546909f98f54e99a13005e173a8"
    );
    assert_eq!(
        three.as_str(),
        "sha256:dee159b33409cefa3f6eda71539f006014283e9d9130c18a1dea7bd8a33c9b1b"
    );
}

#[test]
fn a_chain_starts_with_its_base_and_every_layer_changes_it() {
    let layers: Vec<DiffId> =
        ["a", "b", "c"].map(|text| DiffId(Digest::sha256(text.as_bytes()))).into();
    assert_eq!(ChainId::of(&[]), None);
    assert_eq!(ChainId::of(&layers[..1]), Some(ChainId(layers[0].0.clone())));
    let two = ChainId::of(&layers[..2]).unwrap();
    assert_eq!(two.0, chain_onto(layers[0].0.as_str(), layers[1].0.as_str()));
    assert_eq!(ChainId::of(&layers).unwrap().0, chain_onto(two.0.as_str(), layers[2].0.as_str()));
    let swapped = [layers[1].clone(), layers[0].clone()];
    assert_ne!(ChainId::of(&swapped), Some(two));
}
