//! The table of rules.

use super::Level;
use super::code::{Rule, codes};

codes! {
    JsonSize = "json-size", Error, "distribution-spec spec.md, Pushing Manifests",
        "the document is larger than corten reads (8 MiB)";
    JsonSizePortable = "json-size-portable", Warning, "distribution-spec spec.md, Pushing Manifests",
        "the document is larger than the 4 MiB that registries are asked to take";
    JsonEncoding = "json-encoding", Error, "considerations.md, JSON",
        "the bytes are not UTF-8";
    JsonSyntax = "json-syntax", Error, "considerations.md, JSON",
        "the bytes are not JSON (RFC 8259)";
    JsonDepth = "json-depth", Error, "considerations.md, JSON",
        "values are nested deeper than corten reads (64 levels)";
    JsonDuplicateKey = "json-duplicate-key", Error, "considerations.md, JSON",
        "an object holds the same name twice, so readers differ on its value";
    JsonCodePoint = "json-code-point", Error, "considerations.md, JSON (RFC 7493 section 2.1)",
        "a string holds a surrogate or a noncharacter";
    JsonNumberPrecision = "json-number-precision", Warning, "considerations.md, JSON",
        "an integer is above 2^53, where readers that use doubles lose digits";
    JsonNumberRange = "json-number-range", Warning, "considerations.md, JSON",
        "a number is outside what an IEEE 754 double can hold";
    JsonKeyCase = "json-key-case", Warning, "considerations.md, JSON",
        "a name differs from a defined one in case only, and some readers take it for that one";
    DocumentType = "document-type", Error, "considerations.md, JSON",
        "the document is not a JSON object";
    DocumentAmbiguous = "document-ambiguous", Warning, "manifest.md and image-index.md, mediaType",
        "the document has properties of both a manifest and an index, so readers may differ on \
         what it is";

    DescriptorPropertyMissing = "descriptor-property-missing", Error, "descriptor.md, Properties",
        "a required property of a descriptor is absent";
    DescriptorPropertyType = "descriptor-property-type", Error, "descriptor.md, Properties",
        "a property of a descriptor has another JSON type than it must have";
    DescriptorMediaTypeGrammar = "descriptor-media-type-grammar", Error, "descriptor.md, mediaType",
        "the media type breaks RFC 6838 section 4.2";
    DescriptorDigestGrammar = "descriptor-digest-grammar", Error, "descriptor.md, Digests",
        "the digest breaks the grammar algorithm:encoded";
    DescriptorDigestEncoded = "descriptor-digest-encoded", Error,
        "descriptor.md, Registered algorithms",
        "the encoded portion is not what the registered algorithm asks for";
    DescriptorDigestUnregistered = "descriptor-digest-unregistered", Warning,
        "descriptor.md, Registered algorithms",
        "the algorithm of the digest is not registered, so few readers can verify the content";
    DescriptorDigestAlgorithm = "descriptor-digest-algorithm", Note,
        "descriptor.md, Registered algorithms",
        "the digest is not sha256, the one algorithm every reader has";
    DescriptorSizeNegative = "descriptor-size-negative", Error, "descriptor.md, size",
        "the size is negative";
    DescriptorSizeRange = "descriptor-size-range", Error, "descriptor.md, size",
        "the size is no int64";
    DescriptorUrlGrammar = "descriptor-url-grammar", Error, "descriptor.md, urls",
        "an entry of urls is no URI (RFC 3986)";
    DescriptorUrlScheme = "descriptor-url-scheme", Warning, "descriptor.md, urls",
        "an entry of urls is neither http nor https";
    DescriptorDataGrammar = "descriptor-data-grammar", Error, "descriptor.md, data",
        "data is not base64 (RFC 4648 section 4)";
    DescriptorDataMismatch = "descriptor-data-mismatch", Error, "descriptor.md, data",
        "data is not the content that digest and size announce";
    DescriptorArtifactTypeGrammar = "descriptor-artifact-type-grammar", Error,
        "descriptor.md, artifactType", "the artifact type breaks RFC 6838 section 4.2";
    DescriptorEmptyValue = "descriptor-empty-value", Warning,
        "manifest.md, Guidance for an Empty Descriptor",
        "a descriptor of the empty type does not point at the two bytes {}";

    AnnotationsType = "annotations-type", Error, "annotations.md, Rules",
        "annotations are not a map of strings";
    AnnotationKeyEmpty = "annotation-key-empty", Warning, "annotations.md, Rules",
        "an annotation's key is empty";
    AnnotationKeyNotation = "annotation-key-notation", Warning, "annotations.md, Rules",
        "an annotation's key is not in reverse domain notation";
    AnnotationKeyReserved = "annotation-key-reserved", Warning, "annotations.md, Rules",
        "an annotation's key is in the namespace of the image specification, which does not \
         define it";
    AnnotationKeyForeign = "annotation-key-foreign", Note, "annotations.md, Rules",
        "an annotation's key is reserved for other specifications of the Open Container Initiative";
    AnnotationCreated = "annotation-created", Warning, "annotations.md, Pre-Defined Annotation Keys",
        "the value of org.opencontainers.image.created is no RFC 3339 date and time";
    AnnotationUrl = "annotation-url", Warning, "annotations.md, Pre-Defined Annotation Keys",
        "the value of an annotation that holds a URL is none";
    AnnotationRefName = "annotation-ref-name", Warning, "annotations.md, Pre-Defined Annotation Keys",
        "the value of org.opencontainers.image.ref.name breaks its grammar";
    AnnotationRefNamePlace = "annotation-ref-name-place", Note,
        "annotations.md, Pre-Defined Annotation Keys",
        "org.opencontainers.image.ref.name counts only on descriptors of index.json";
    AnnotationBaseDigest = "annotation-base-digest", Warning,
        "annotations.md, Pre-Defined Annotation Keys",
        "the value of org.opencontainers.image.base.digest is no digest";
    AnnotationBaseName = "annotation-base-name", Warning,
        "annotations.md, Pre-Defined Annotation Keys",
        "the value of org.opencontainers.image.base.name is no fully written reference";
    AnnotationLicenses = "annotation-licenses", Warning,
        "annotations.md, Pre-Defined Annotation Keys",
        "the value of org.opencontainers.image.licenses is no SPDX licence expression";

    PlatformPropertyMissing = "platform-property-missing", Error, "image-index.md, platform",
        "a platform has no architecture or no os";
    PlatformPropertyType = "platform-property-type", Error, "image-index.md, platform",
        "a property of a platform has another JSON type than it must have";
    PlatformOs = "platform-os", Warning, "image-index.md, platform.os",
        "the operating system is not one that Go lists as GOOS";
    PlatformArchitecture = "platform-architecture", Warning, "image-index.md, platform.architecture",
        "the architecture is not one that Go lists as GOARCH";
    PlatformVariant = "platform-variant", Warning, "image-index.md, Platform Variants",
        "the variant is not one that the table lists for its architecture";
    PlatformOsFeatures = "platform-os-features", Warning, "image-index.md, platform.os.features",
        "a feature of Windows is not win32k, the only one defined";
    PlatformFeaturesReserved = "platform-features-reserved", Warning,
        "image-index.md, platform.features", "the reserved property features is used";

    ManifestPropertyMissing = "manifest-property-missing", Error,
        "manifest.md, Image Manifest Property Descriptions",
        "a required property of a manifest is absent";
    ManifestPropertyType = "manifest-property-type", Error,
        "manifest.md, Image Manifest Property Descriptions",
        "a property of a manifest has another JSON type than it must have";
    ManifestSchemaVersion = "manifest-schema-version", Error, "manifest.md, schemaVersion",
        "schemaVersion is not 2";
    ManifestMediaTypeAbsent = "manifest-media-type-absent", Warning, "manifest.md, mediaType",
        "a manifest does not say its own media type";
    ManifestMediaTypeValue = "manifest-media-type-value", Error, "manifest.md, mediaType",
        "a manifest says it is of another media type";
    ManifestArtifactTypeMissing = "manifest-artifact-type-missing", Error,
        "manifest.md, artifactType",
        "the config is of the empty type and artifactType is absent";
    ManifestArtifactTypeGrammar = "manifest-artifact-type-grammar", Error,
        "manifest.md, artifactType", "artifactType breaks RFC 6838 section 4.2";
    ManifestConfigTypeUnknown = "manifest-config-type-unknown", Note,
        "manifest.md, config.mediaType",
        "the config is neither an image's nor empty, so readers take it for opaque bytes";
    ManifestLayersEmpty = "manifest-layers-empty", Warning, "manifest.md, layers",
        "a manifest has no layers, which some registries refuse";
    ManifestLayerTypeUnknown = "manifest-layer-type-unknown", Note,
        "manifest.md, layers.mediaType",
        "a layer of an image is of a type that the specification does not define";
    ManifestLayerNonDistributable = "manifest-layer-non-distributable", Warning,
        "layer.md, Non-Distributable Layers",
        "a layer is of a non-distributable type, which new images should not have";
    ManifestLayerDuplicate = "manifest-layer-duplicate", Note, "manifest.md, layers",
        "the same layer stands in the stack twice";
    ManifestTypesMixed = "manifest-types-mixed", Note, "media-types.md, Compatibility Matrix",
        "a manifest mixes media types of OCI and Docker";
    ManifestSubjectType = "manifest-subject-type", Warning, "manifest.md, subject",
        "the subject is neither a manifest nor an index";

    IndexPropertyMissing = "index-property-missing", Error,
        "image-index.md, Image Index Property Descriptions",
        "a required property of an index is absent";
    IndexPropertyType = "index-property-type", Error,
        "image-index.md, Image Index Property Descriptions",
        "a property of an index has another JSON type than it must have";
    IndexSchemaVersion = "index-schema-version", Error, "image-index.md, schemaVersion",
        "schemaVersion is not 2";
    IndexMediaTypeAbsent = "index-media-type-absent", Warning, "image-index.md, mediaType",
        "an index does not say its own media type";
    IndexMediaTypeValue = "index-media-type-value", Error, "image-index.md, mediaType",
        "an index says it is of another media type";
    IndexArtifactTypeGrammar = "index-artifact-type-grammar", Error, "image-index.md, artifactType",
        "artifactType breaks RFC 6838 section 4.2";
    IndexEntryTypeUnknown = "index-entry-type-unknown", Note, "image-index.md, manifests.mediaType",
        "an entry is neither a manifest nor an index, so readers pass over it";
    IndexEntryDuplicate = "index-entry-duplicate", Note, "image-index.md, manifests",
        "two entries are the same";
    IndexPlatformAbsent = "index-platform-absent", Note, "descriptor.md, Properties",
        "the entry of a manifest has no platform, so it is not found by one";
    IndexPlatformDuplicate = "index-platform-duplicate", Note, "image-index.md, manifests",
        "two entries are for the same platform; readers take the first";
    IndexRefNameDuplicate = "index-ref-name-duplicate", Warning, "image-layout.md, index.json file",
        "two descriptors of index.json have the same name; readers differ on which is meant";
    IndexSubjectType = "index-subject-type", Warning, "image-index.md, subject",
        "the subject is neither a manifest nor an index";

    ConfigPropertyMissing = "config-property-missing", Error, "config.md, Properties",
        "a required property of a config is absent";
    ConfigPropertyType = "config-property-type", Error, "config.md, Properties",
        "a property of a config has another JSON type than it must have";
    ConfigCreated = "config-created", Error, "config.md, created",
        "a date is not in the form of RFC 3339 section 5.6";
    ConfigRootfsType = "config-rootfs-type", Error, "config.md, rootfs.type",
        "rootfs.type is not layers";
    ConfigDiffId = "config-diff-id", Error, "config.md, rootfs.diff_ids",
        "a DiffID is no digest";
    ConfigHistoryCount = "config-history-count", Warning, "config.md, history",
        "the entries of history that made a layer are not as many as the layers";
    ConfigUser = "config-user", Warning, "config.md, config.User",
        "User is in none of the six forms";
    ConfigExposedPort = "config-exposed-port", Warning, "config.md, config.ExposedPorts",
        "a port is not in the form port, port/tcp or port/udp";
    ConfigEnv = "config-env", Error, "config.md, config.Env",
        "an entry of Env is not in the form NAME=VALUE";
    ConfigSetValue = "config-set-value", Warning, "config.md, config.ExposedPorts and config.Volumes",
        "a key of ExposedPorts or Volumes is mapped to an object that is not empty";
    ConfigStopSignal = "config-stop-signal", Warning, "config.md, config.StopSignal",
        "StopSignal is neither the name nor the number of a signal";
    ConfigArgsEscaped = "config-args-escaped", Note, "config.md, config.ArgsEscaped",
        "the deprecated ArgsEscaped is set";
    ConfigReserved = "config-reserved", Note, "config.md, config",
        "a property is used that the specification reserves for Docker";

    LayoutHeaderPropertyMissing = "layout-header-property-missing", Error,
        "image-layout.md, oci-layout file", "oci-layout has no imageLayoutVersion";
    LayoutHeaderPropertyType = "layout-header-property-type", Error,
        "image-layout.md, oci-layout file", "imageLayoutVersion is not a string";
    LayoutVersion = "layout-version", Warning, "image-layout.md, oci-layout file",
        "imageLayoutVersion is not 1.0.0, the only version there is";

    DockerMediaTypeAbsent = "docker-media-type-absent", Error,
        "distribution manifest-v2-2.md, mediaType",
        "a Docker manifest or list does not say its media type";
    DockerPropertyForeign = "docker-property-foreign", Warning,
        "media-types.md, Compatibility Matrix",
        "a Docker document has a property that only OCI defines";
    DockerPlatformMissing = "docker-platform-missing", Error,
        "distribution manifest-v2-2.md, Manifest List Field Descriptions",
        "an entry of a Docker list has no platform";

    ImageLayerCount = "image-layer-count", Error, "config.md, rootfs.diff_ids",
        "the manifest has not as many layers as the config has DiffIDs";
    ImagePlatform = "image-platform", Warning, "image-index.md, platform",
        "the platform in the index is not the one in the config";

    LayoutHeaderMissing = "layout-header-missing", Error, "image-layout.md, Content",
        "there is no oci-layout file";
    LayoutIndexMissing = "layout-index-missing", Error, "image-layout.md, Content",
        "there is no index.json";
    LayoutBlobsMissing = "layout-blobs-missing", Error, "image-layout.md, Content",
        "there is no directory blobs";
    LayoutBlobName = "layout-blob-name", Error, "image-layout.md, Blobs",
        "the name of a file or directory in blobs breaks the grammar of digests";
    LayoutBlobKind = "layout-blob-kind", Error, "image-layout.md, Blobs",
        "what stands in the place of a blob is not a regular file";
    LayoutBlobContent = "layout-blob-content", Error, "image-layout.md, Blobs",
        "the content of a blob is not what its name says";
    LayoutBlobMissing = "layout-blob-missing", Note, "image-layout.md, Blobs",
        "a blob is referred to and absent, which is legal";
    LayoutBlobOrphan = "layout-blob-orphan", Note, "image-layout.md, Blobs",
        "nothing refers to a blob, which is legal";
    LayoutFileUnknown = "layout-file-unknown", Note, "image-layout.md, Content",
        "there is a file that the specification does not know, which is legal";
    BlobMissing = "blob-missing", Warning, "image-layout.md, Blobs",
        "content that the image refers to is not in this place; it may be in another";
    BlobUnverifiable = "blob-unverifiable", Note, "descriptor.md, Registered algorithms",
        "the digest cannot be computed here, so the content was not checked";
    BlobSize = "blob-size", Error, "descriptor.md, size",
        "the content has another size than its descriptor says";
    BlobDigest = "blob-digest", Error, "descriptor.md, Digests",
        "the content is not what its descriptor's digest says";
    BlobUnreadable = "blob-unreadable", Error, "descriptor.md, Properties",
        "the content could not be read";
    GraphLimit = "graph-limit", Error, "image-index.md, manifests",
        "the image has more documents or deeper nesting than corten follows";

    LayerCompression = "layer-compression", Error, "layer.md, Media Types",
        "a layer is compressed in another way than its media type says";
    LayerStream = "layer-stream", Error, "layer.md, Media Types",
        "the compressed stream of a layer is damaged or cut";
    LayerTar = "layer-tar", Error, "layer.md, Distributable Format",
        "the archive of a layer is broken, or such that readers would differ on what is in it";
    LayerTarEnd = "layer-tar-end", Warning, "layer.md, Distributable Format",
        "the archive of a layer has no end marker";
    LayerTarTrailing = "layer-tar-trailing", Error, "layer.md, Distributable Format",
        "something follows the end of a layer's archive, which some readers would read on";
    LayerLimit = "layer-limit", Error, "layer.md, Distributable Format",
        "a layer is larger or more intricate than corten reads; what lies beyond was not checked";
    LayerDiffId = "layer-diff-id", Error, "config.md, Layer DiffID",
        "the unpacked layer is not what its DiffID says";
    LayerPathDuplicate = "layer-path-duplicate", Error, "layer.md, Distributable Format",
        "two entries of a layer have the same path";
    LayerPathAbsolute = "layer-path-absolute", Warning, "layer.md, Populate Initial Filesystem",
        "the path of an entry is absolute";
    LayerPathParent = "layer-path-parent", Error, "layer.md, Populate Initial Filesystem",
        "the path of an entry contains '..'";
    LayerPathBlocked = "layer-path-blocked", Error, "layer.md, Applying Changesets",
        "an entry stands below a file or a symbolic link of the same layer";
    LayerPathRoot = "layer-path-root", Error, "layer.md, Applying Changesets",
        "the entry of the root is not a directory";
    LayerNameEncoding = "layer-name-encoding", Note, "layer.md, File Attributes",
        "the path of an entry is not UTF-8";
    LayerWhiteoutBare = "layer-whiteout-bare", Error, "layer.md, Whiteouts",
        "a whiteout names nothing to delete";
    LayerWhiteoutTarget = "layer-whiteout-target", Error, "layer.md, Whiteouts",
        "a whiteout would delete '.' or '..'";
    LayerWhiteoutKind = "layer-whiteout-kind", Error, "layer.md, Whiteouts",
        "an entry whose name begins with .wh. is not a regular file, or something stands below it";
    LayerWhiteoutContent = "layer-whiteout-content", Error, "layer.md, Whiteouts",
        "a whiteout is not empty";
    LayerWhiteoutReserved = "layer-whiteout-reserved", Warning, "layer.md, Whiteouts",
        "a name that begins with .wh..wh. is left over from AUFS and means nothing";
    LayerWhiteoutOpaque = "layer-whiteout-opaque", Warning, "layer.md, Opaque Whiteout",
        "a layer uses an opaque whiteout where explicit ones should stand";
    LayerWhiteoutOrder = "layer-whiteout-order", Warning, "layer.md, Whiteouts",
        "a whiteout comes after other entries of its directory";
    LayerWhiteoutSame = "layer-whiteout-same", Note, "layer.md, Whiteouts",
        "a whiteout names a path that its own layer has, which it does not hide";
    LayerHardlinkMissing = "layer-hardlink-missing", Warning, "layer.md, Hardlinks",
        "a hard link points outside its layer, so unpacking may fail";
    LayerHardlinkDirectory = "layer-hardlink-directory", Error, "layer.md, Hardlinks",
        "a hard link points at a directory";
    LayerSparse = "layer-sparse", Warning, "layer.md, File Attributes",
        "an entry is a sparse file";
    LayerEntryKind = "layer-entry-kind", Error, "layer.md, File Types",
        "an entry is of a type that layers cannot hold";
    LayerOverlayXattr = "layer-overlay-xattr", Warning, "layer.md, File Attributes",
        "an entry has an extended attribute that overlay filesystems give a meaning of their own";
    LayerTime = "layer-time", Note, "layer.md, File Attributes",
        "the modification time of an entry is before 1970";
}
