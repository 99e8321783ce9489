//! Annotation keys (image-spec `annotations.md`): the predefined ones, and the conventional labels
//! of Label Schema that they superseded.

/// Prefix reserved for specifications of the Open Container Initiative.
pub const RESERVED: &str = "org.opencontainers";
/// Namespace reserved for the image specification.
pub const IMAGE: &str = "org.opencontainers.image.";
/// Prefix of the conventions that the predefined keys superseded.
pub const LABEL_SCHEMA: &str = "org.label-schema.";

/// Date and time on which the image was built, RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// Contact details of the people or organisation responsible for the image.
pub const AUTHORS: &str = "org.opencontainers.image.authors";
/// URL with more information on the image.
pub const URL: &str = "org.opencontainers.image.url";
/// URL of the documentation of the image.
pub const DOCUMENTATION: &str = "org.opencontainers.image.documentation";
/// URL of the source code that the image is built from.
pub const SOURCE: &str = "org.opencontainers.image.source";
/// Version of the packaged software.
pub const VERSION: &str = "org.opencontainers.image.version";
/// Source control revision of the packaged software.
pub const REVISION: &str = "org.opencontainers.image.revision";
/// Name of the distributing entity.
pub const VENDOR: &str = "org.opencontainers.image.vendor";
/// Licences of the contained software, an SPDX licence expression.
pub const LICENSES: &str = "org.opencontainers.image.licenses";
/// Name under which `index.json` of a layout knows a descriptor.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Human-readable title; the file name of an artifact's layer.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Human-readable description of the packaged software.
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
/// Digest of the image this image is based on.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// Reference of the image this image is based on.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// Every predefined key, in the order of `annotations.md`.
pub const PREDEFINED: [&str; 14] = [
    CREATED,
    AUTHORS,
    URL,
    DOCUMENTATION,
    SOURCE,
    VERSION,
    REVISION,
    VENDOR,
    LICENSES,
    REF_NAME,
    TITLE,
    DESCRIPTION,
    BASE_DIGEST,
    BASE_NAME,
];

/// Further keys of the namespace that other documents of the specification define: `conversion.md`
/// writes them into the runtime configuration.
pub const CONVERTED: [&str; 8] = [
    "org.opencontainers.image.os",
    "org.opencontainers.image.architecture",
    "org.opencontainers.image.variant",
    "org.opencontainers.image.os.version",
    "org.opencontainers.image.os.features",
    "org.opencontainers.image.author",
    "org.opencontainers.image.stopSignal",
    "org.opencontainers.image.exposedPorts",
];

/// The predefined key that means what a Label Schema key means (`annotations.md`,
/// Back-compatibility with Label Schema); `None` where there is no equivalent.
pub fn superseding(label: &str) -> Option<&'static str> {
    Some(match label.strip_prefix(LABEL_SCHEMA)? {
        "build-date" => CREATED,
        "url" => URL,
        "vcs-url" => SOURCE,
        "version" => VERSION,
        "vcs-ref" => REVISION,
        "vendor" => VENDOR,
        "name" => TITLE,
        "description" => DESCRIPTION,
        "usage" => DOCUMENTATION,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nine_compatible_labels_have_an_equivalent_and_the_others_none() {
        let labels = "build-date url vcs-url version vcs-ref vendor name description usage";
        for label in labels.split(' ') {
            let key = superseding(&format!("{LABEL_SCHEMA}{label}")).unwrap();
            assert!(PREDEFINED.contains(&key), "{label} -> {key}");
        }
        assert_eq!(superseding("org.label-schema.schema-version"), None);
        assert_eq!(superseding("org.label-schema.docker.cmd"), None);
        assert_eq!(superseding("build-date"), None);
    }
}
