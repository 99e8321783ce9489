//! References, names, tags, digests and platforms: what parses is written so that it parses again
//! to the same value.

#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use corten_spec::{Digest, Platform, RefName, Reference, Tag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    round::<Reference>(text);
    round::<Tag>(text);
    round::<Digest>(text);
    round::<RefName>(text);
    // A platform is written in its normal form, which is not what every text of it reads as.
    if let Ok(platform) = Platform::from_str(text) {
        round::<Platform>(&platform.normalized().to_string());
    }
});

fn round<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = T::from_str(text) {
        let written = value.to_string();
        match T::from_str(&written) {
            Ok(again) => assert_eq!(again, value, "{text:?} is written {written:?}"),
            Err(_) => panic!("{text:?} is written {written:?}, which does not parse"),
        }
    }
}
