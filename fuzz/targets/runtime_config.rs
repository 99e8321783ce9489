//! Runtime configs: whatever an image's config says, what is made of it can be written and read, says
//! what the runtime specification demands, and is the same each time.

#![no_main]

use std::io;

use bytes::Bytes;
use corten_bundle::config::{Host, Identities, Overrides, runtime_config};
use corten_bundle::users::RootFiles;
use corten_spec::{Descriptor, Document, ImageConfig, MediaType};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

struct Files;

impl RootFiles for Files {
    fn read(&self, path: &str, _: u64) -> io::Result<Option<Vec<u8>>> {
        let passwd = b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/var/www:\n".as_slice();
        Ok((path == "/etc/passwd").then(|| passwd.to_vec()))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let descriptor = Descriptor::of(MediaType::OCI_CONFIG, bytes);
    let Ok(document) = Document::<ImageConfig>::parse(&descriptor, Bytes::copy_from_slice(bytes))
    else {
        return;
    };
    let image = document.value();
    let host = Host::new("amd64", Identities::Machine);
    let make = || runtime_config(image, &Overrides::default(), &host, &Files);
    let Ok(converted) = make() else { return };
    let written = converted.bytes();
    assert_eq!(make().unwrap().bytes(), written);

    let config: Value = serde_json::from_slice(&written).unwrap();
    let text = |place: &str| config.pointer(place).and_then(Value::as_str).unwrap();
    let list = |place: &str| config.pointer(place).and_then(Value::as_array).unwrap();
    assert!(!list("/process/args").is_empty());
    assert!(text("/process/cwd").starts_with('/'));
    for entry in list("/process/env") {
        assert!(entry.as_str().unwrap().find('=').is_some_and(|at| at > 0), "{entry}");
    }
    assert!(!String::from_utf8_lossy(&written).contains("\\u0000"));
    let annotations = config["annotations"].as_object().unwrap();
    for key in annotations.keys() {
        assert!(!key.is_empty() && !key.starts_with("run.oci."), "{key}");
    }
    for (key, value) in image.config.iter().flat_map(|config| &config.labels) {
        assert!(annotations.get(key).is_none_or(|found| found == value), "{key}");
    }
    for volume in &converted.volumes {
        assert!(volume.len() > 1 && volume.starts_with('/') && !volume.ends_with('/'));
        assert!(!["/proc/", "/sys/", "/dev/"].iter().any(|p| format!("{volume}/").starts_with(p)));
        assert!(!volume.split('/').any(|part| part == ".."), "{volume}");
    }
    let capabilities = list("/process/capabilities/inheritable");
    assert!(capabilities.is_empty(), "{capabilities:?}");
});
