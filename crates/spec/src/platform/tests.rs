//! Which image serves which platform.

use super::*;
use crate::{Descriptor, Index, MediaType};

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

#[test]
fn names_people_use_become_the_names_go_uses() {
    let table = [
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AMD64/v1", "linux/amd64"),
        ("linux/amd64/3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8.0", "linux/arm64"),
        ("linux/arm64/v9.0", "linux/arm64/v9"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/i686", "linux/386"),
        ("linux/powerpc64le", "linux/ppc64le"),
        ("linux/mips64el", "linux/mips64le"),
        ("macos/arm64", "darwin/arm64"),
        ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
        ("windows(10.0.17763+win32k)/amd64", "windows(10.0.17763+win32k)/amd64"),
        ("windows(+win32k)/amd64", "windows(+win32k)/amd64"),
    ];
    for (given, expected) in table {
        assert_eq!(platform(given).to_string(), expected, "{given}");
        assert_eq!(platform(expected).to_string(), expected, "reads back");
    }
}

#[test]
fn what_is_no_platform_is_refused() {
    let long = format!("linux/{}", "a".repeat(65));
    for text in
        ["", "linux", "linux/", "/amd64", "a/b/c/d", "li nux/amd64", "windows(/amd64", &long]
    {
        assert!(text.parse::<Platform>().is_err(), "{text}");
    }
}

#[test]
fn an_image_runs_on_its_own_platform_and_on_higher_variants() {
    // What the image is for, what is wanted, whether it serves.
    let table = [
        ("linux/amd64", "linux/amd64", true),
        ("linux/amd64", "linux/arm64", false),
        ("linux/amd64", "windows/amd64", false),
        ("linux/amd64/v2", "linux/amd64/v3", true),
        ("linux/amd64", "linux/amd64/v3", true),
        ("linux/amd64/v3", "linux/amd64/v2", false),
        ("linux/amd64/v2", "linux/amd64", false),
        ("linux/386", "linux/amd64", false),
        ("linux/arm/v6", "linux/arm/v7", true),
        ("linux/arm/v5", "linux/arm/v7", true),
        ("linux/arm/v7", "linux/arm", true),
        ("linux/arm", "linux/arm/v7", true),
        ("linux/arm/v7", "linux/arm/v6", false),
        ("linux/arm/v7", "linux/arm/v8", true),
        ("linux/arm/v7", "linux/arm64", false),
        ("linux/arm64/v8", "linux/arm64", true),
        ("linux/arm64/v8.2", "linux/arm64", false),
        ("linux/arm64", "linux/arm64/v8.2", true),
        ("linux/arm64/v8.5", "linux/arm64/v9", true),
        ("linux/arm64/v8.6", "linux/arm64/v9", false),
        ("linux/arm64/v8.6", "linux/arm64/v9.1", true),
        ("linux/arm64/v9", "linux/arm64/v8.9", false),
        ("linux/ppc64le/power8", "linux/ppc64le/power9", true),
        ("linux/ppc64le", "linux/ppc64le/power10", true),
        ("linux/ppc64le/power10", "linux/ppc64le/power9", false),
        ("linux/riscv64/rva20u64", "linux/riscv64/rva22u64", true),
        ("linux/riscv64", "linux/riscv64/rva23u64", true),
        ("linux/mips64le/hardfloat", "linux/mips64le/hardfloat", true),
        ("linux/mips64le/hardfloat", "linux/mips64le", false),
        ("linux/amd64/v4294967296", "linux/amd64/v2", false),
        ("linux/arm64/v8.10", "linux/arm64/v9", false),
        ("unknown/unknown", "linux/amd64", false),
    ];
    for (image, wanted, serves) in table {
        let fitness = platform(image).fitness(&platform(wanted));
        assert_eq!(fitness.is_some(), serves, "{image} for {wanted}: {fitness:?}");
    }
}

#[test]
fn windows_versions_agree_up_to_the_build_number() {
    let table = [
        ("windows(10.0.17763.316)/amd64", "windows(10.0.17763.9999)/amd64", true),
        ("windows(10.0.17763.316)/amd64", "windows(10.0.17763)/amd64", true),
        ("windows(10.0.17763.316)/amd64", "windows(10.0)/amd64", true),
        ("windows(10.0.17763.316)/amd64", "windows/amd64", true),
        ("windows/amd64", "windows(10.0.17763)/amd64", true),
        ("windows(10.0.17763.316)/amd64", "windows(10.0.20348)/amd64", false),
        ("windows(10.0.1776.1)/amd64", "windows(10.0.17763)/amd64", false),
        ("freebsd(14.1)/amd64", "freebsd(14.1)/amd64", true),
        ("freebsd(14.1)/amd64", "freebsd(14.2)/amd64", false),
        ("windows(10.0.1+win32k)/amd64", "windows(10.0.1)/amd64", true),
        ("windows(10.0.1+other)/amd64", "windows(10.0.1)/amd64", false),
        ("windows(10.0.1+other)/amd64", "windows(10.0.1+win32k+other)/amd64", true),
        ("linux(+sse4)/amd64", "linux/amd64", false),
        ("linux(+sse4)/amd64", "linux(+sse4)/amd64", true),
    ];
    for (image, wanted, serves) in table {
        let fitness = platform(image).fitness(&platform(wanted));
        assert_eq!(fitness.is_some(), serves, "{image} for {wanted}: {fitness:?}");
    }
}

#[test]
fn of_a_list_the_best_entry_is_selected_and_of_equals_the_first() {
    let table: [(&[&str], &str, Option<usize>); 9] = [
        (&["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", Some(1)),
        (&["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", Some(1)),
        (&["linux/amd64", "linux/amd64/v3", "linux/amd64/v2"], "linux/amd64/v3", Some(1)),
        (&["linux/amd64", "linux/amd64/v3", "linux/amd64/v2"], "linux/amd64/v4", Some(1)),
        (&["linux/amd64", "linux/amd64"], "linux/amd64", Some(0)),
        (&["linux/arm", "linux/arm/v7"], "linux/arm/v7", Some(0)),
        (&["windows/amd64", "windows(10.0.1.2)/amd64"], "windows(10.0.1.3)/amd64", Some(1)),
        (&["linux/amd64", "linux(+sse4)/amd64"], "linux(+sse4)/amd64", Some(1)),
        (&["unknown/unknown", "linux/s390x"], "linux/amd64", None),
    ];
    for (list, wanted, expected) in table {
        let mut entries = vec![Descriptor::of(MediaType::OCI_MANIFEST, b"no platform")];
        for (place, text) in list.iter().enumerate() {
            let mut entry =
                Descriptor::of(MediaType::OCI_MANIFEST, &[u8::try_from(place).unwrap()]);
            entry.platform = Some(platform(text));
            entries.push(entry);
        }
        let index = Index::new(entries);
        let selected = index.select(&platform(wanted));
        let place = selected.and_then(|s| index.manifests.iter().position(|entry| entry == s));
        assert_eq!(place.map(|place| place - 1), expected, "{list:?} for {wanted}");
    }
}
