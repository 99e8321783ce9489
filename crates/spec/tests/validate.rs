//! Broken documents: each one change to a good one, and the finding it must give.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use corten_spec::validate::{self, Code, DocumentKind, Finding, Level, Profile};
use corten_spec::{ImageConfig, MAX_DOCUMENT, Manifest, Platform};

use DocumentKind::{Config, Descriptor, DockerList, DockerManifest, Index, LayoutHeader};
use DocumentKind::{LayoutIndex, Manifest as AManifest};

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A document without any finding.
fn good(kind: DocumentKind) -> String {
    let text = match kind {
        Descriptor => {
            r#"{"mediaType":"application/octet-stream","digest":"A","size":7,"annotations":{}}"#
        }
        AManifest => {
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
            "config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"A","size":7},
            "layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"B","size":9}],
            "annotations":{"com.example.key":""}}"#
        }
        Index | LayoutIndex => {
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",
            "manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"A",
            "size":7,"platform":{"os":"linux","architecture":"amd64"}}],
            "annotations":{"com.example.key":"value"}}"#
        }
        Config => {
            r#"{"created":"2024-02-29T12:00:00Z","architecture":"arm64","os":"linux","variant":"v8",
            "config":{"User":"1000:users","ExposedPorts":{"80/tcp":{}},"Env":["A=b=c","B="],
            "Entrypoint":["/a"],"Cmd":null,"Volumes":{"/v":{}},"WorkingDir":"/","Labels":{"short":"x"},
            "StopSignal":"SIGRTMIN+3"},"rootfs":{"type":"layers","diff_ids":["A","B"]},
            "history":[{"created":"2024-02-29T12:00:00Z","created_by":"x"},{"empty_layer":true},{}]}"#
        }
        LayoutHeader => r#"{"imageLayoutVersion":"1.0.0","other":[1]}"#,
        DockerManifest => {
            r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
            "config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"A","size":7},
            "layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"B",
            "size":9}]}"#
        }
        DockerList => {
            r#"{"schemaVersion":2,
            "mediaType":"application/vnd.docker.distribution.manifest.list.v2+json",
            "manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
            "digest":"A","size":7,"platform":{"os":"linux","architecture":"amd64"}}]}"#
        }
        other => panic!("{other:?}"),
    };
    text.replace("\"A\"", &format!("\"{A}\"")).replace("\"B\"", &format!("\"{B}\""))
}

/// A kind, what to change in the good document, and the code and pointer to be found.
type Row = (DocumentKind, &'static str, &'static str, Code, &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (LayoutHeader, "[1]", "[1],,", Code::JsonSyntax, ""),
    (LayoutHeader, "[1]", "01", Code::JsonSyntax, ""),
    (LayoutHeader, "[1]", "\"\\x\"", Code::JsonSyntax, "/other"),
    (LayoutHeader, "[1]}", "[1]} {}", Code::JsonSyntax, ""),
    (LayoutHeader, "{\"image", "\u{feff}{\"image", Code::JsonSyntax, ""),
    (LayoutHeader, "[1]", "{\"a\":{\"b/~\":1,\"b/~\":2}}", Code::JsonDuplicateKey, "/other/a/b~1~0"),
    (LayoutHeader, "[1]", "{\"a\":1,\"\\u0061\":2}", Code::JsonDuplicateKey, "/other/a"),
    (LayoutHeader, "[1]", "\"\\ud800\"", Code::JsonCodePoint, "/other"),
    (LayoutHeader, "[1]", "\"\\ud800\\u0041\"", Code::JsonCodePoint, "/other"),
    (LayoutHeader, "[1]", "\"\\ufffe\"", Code::JsonCodePoint, "/other"),
    (LayoutHeader, "[1]", "9007199254740993", Code::JsonNumberPrecision, "/other"),
    (LayoutHeader, "[1]", "18446744073709551616", Code::JsonNumberPrecision, "/other"),
    (LayoutHeader, "[1]", "[1e999]", Code::JsonNumberRange, "/other/0"),
    (LayoutHeader, "\"other\"", "\"IMAGELAYOUTVERSION\"", Code::JsonKeyCase, "/IMAGELAYOUTVERSION"),
    (LayoutHeader, "imageLayoutVersion", "version", Code::LayoutHeaderPropertyMissing, ""),
    (LayoutHeader, "\"1.0.0\"", "1", Code::LayoutHeaderPropertyType, "/imageLayoutVersion"),
    (LayoutHeader, "1.0.0", "1.1.0", Code::LayoutVersion, "/imageLayoutVersion"),

    (Descriptor, "mediaType", "type", Code::DescriptorPropertyMissing, ""),
    (Descriptor, "\"size\":7,", "", Code::DescriptorPropertyMissing, ""),
    (Descriptor, "7", "\"7\"", Code::DescriptorPropertyType, "/size"),
    (Descriptor, "\"annotations\":{}", "\"urls\":null", Code::DescriptorPropertyType, "/urls"),
    (Descriptor, "\"annotations\":{}", "\"urls\":[1]", Code::DescriptorPropertyType, "/urls/0"),
    (Descriptor, "application/octet-stream", "text/plain; charset=utf-8", Code::DescriptorMediaTypeGrammar, "/mediaType"),
    (Descriptor, "sha256:", "sha256", Code::DescriptorDigestGrammar, "/digest"),
    (Descriptor, "sha256:a", "sha256:A", Code::DescriptorDigestEncoded, "/digest"),
    (Descriptor, "sha256:a", "sha512:a", Code::DescriptorDigestEncoded, "/digest"),
    (Descriptor, "sha256:", "md5+b64:", Code::DescriptorDigestUnregistered, "/digest"),
    (Descriptor, "sha256:", "blake3:", Code::DescriptorDigestAlgorithm, "/digest"),
    (Descriptor, "7", "-7", Code::DescriptorSizeNegative, "/size"),
    (Descriptor, "7", "7.0", Code::DescriptorSizeRange, "/size"),
    (Descriptor, "\"annotations\":{}", "\"urls\":[\"example.com/a\"]", Code::DescriptorUrlGrammar, "/urls/0"),
    (Descriptor, "\"annotations\":{}", "\"urls\":[\"https://example.com\",\"ftp://example.com\"]", Code::DescriptorUrlScheme, "/urls/1"),
    (Descriptor, "\"annotations\":{}", "\"data\":\"e30\"", Code::DescriptorDataGrammar, "/data"),
    (Descriptor, "\"annotations\":{}", "\"data\":\"e30=\"", Code::DescriptorDataMismatch, "/data"),
    (Descriptor, "\"annotations\":{}", "\"artifactType\":\"x\"", Code::DescriptorArtifactTypeGrammar, "/artifactType"),
    (Descriptor, "application/octet-stream", "application/vnd.oci.empty.v1+json", Code::DescriptorEmptyValue, ""),

    (Descriptor, "{}", "null", Code::AnnotationsType, "/annotations"),
    (Descriptor, "{}", "{\"com.example.a\":1}", Code::AnnotationsType, "/annotations/com.example.a"),
    (Descriptor, "{}", "{\"\":\"\"}", Code::AnnotationKeyEmpty, "/annotations/"),
    (Descriptor, "{}", "{\"short\":\"\"}", Code::AnnotationKeyNotation, "/annotations/short"),
    (Descriptor, "{}", "{\"org.opencontainers.image.x\":\"\"}", Code::AnnotationKeyReserved, "/annotations/org.opencontainers.image.x"),
    (Descriptor, "{}", "{\"org.opencontainers.x\":\"\"}", Code::AnnotationKeyForeign, "/annotations/org.opencontainers.x"),
    (Descriptor, "{}", "{\"org.opencontainers.image.created\":\"now\"}", Code::AnnotationCreated, "/annotations/org.opencontainers.image.created"),
    (Descriptor, "{}", "{\"org.opencontainers.image.url\":\"x\"}", Code::AnnotationUrl, "/annotations/org.opencontainers.image.url"),
    (Descriptor, "{}", "{\"org.opencontainers.image.base.digest\":\"x\"}", Code::AnnotationBaseDigest, "/annotations/org.opencontainers.image.base.digest"),
    (Descriptor, "{}", "{\"org.opencontainers.image.base.name\":\"debian\"}", Code::AnnotationBaseName, "/annotations/org.opencontainers.image.base.name"),
    (Descriptor, "{}", "{\"org.opencontainers.image.licenses\":\"MIT, BSD\"}", Code::AnnotationLicenses, "/annotations/org.opencontainers.image.licenses"),
    (Descriptor, "{}", "{\"org.opencontainers.image.ref.name\":\"v1\"}", Code::AnnotationRefNamePlace, "/annotations/org.opencontainers.image.ref.name"),
    (LayoutIndex, "\"size\"", "\"annotations\":{\"org.opencontainers.image.ref.name\":\"a b\"},\"size\"", Code::AnnotationRefName, "/manifests/0/annotations/org.opencontainers.image.ref.name"),

    (Index, "\"os\"", "\"o\"", Code::PlatformPropertyMissing, "/manifests/0/platform"),
    (Index, "\"linux\"", "1", Code::PlatformPropertyType, "/manifests/0/platform/os"),
    (Index, "linux", "Linux", Code::PlatformOs, "/manifests/0/platform/os"),
    (Index, "amd64", "x86_64", Code::PlatformArchitecture, "/manifests/0/platform/architecture"),
    (Index, "\"amd64\"", "\"amd64\",\"variant\":\"haswell\"", Code::PlatformVariant, "/manifests/0/platform/variant"),
    (Index, "\"linux\"", "\"windows\",\"os.features\":[\"win32k\",\"x\"]", Code::PlatformOsFeatures, "/manifests/0/platform/os.features/1"),
    (Index, "\"amd64\"", "\"amd64\",\"features\":[]", Code::PlatformFeaturesReserved, "/manifests/0/platform/features"),

    (AManifest, "\"schemaVersion\":2,", "", Code::ManifestPropertyMissing, ""),
    (AManifest, "[{", "[1,{", Code::ManifestPropertyType, "/layers/0"),
    (AManifest, "\"layers\"", "\"subject\":[],\"layers\"", Code::ManifestPropertyType, "/subject"),
    (AManifest, "2", "1", Code::ManifestSchemaVersion, "/schemaVersion"),
    (AManifest, "2", "2.0", Code::ManifestSchemaVersion, "/schemaVersion"),
    (AManifest, "\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",", "", Code::ManifestMediaTypeAbsent, ""),
    (AManifest, "image.manifest.v1", "image.index.v1", Code::ManifestMediaTypeValue, "/mediaType"),
    (AManifest, "\"layers\"", "\"artifactType\":\"\",\"layers\"", Code::ManifestArtifactTypeGrammar, "/artifactType"),
    (AManifest, "application/vnd.oci.image.config.v1+json", "application/x", Code::ManifestConfigTypeUnknown, "/config/mediaType"),
    (AManifest, "layer.v1.tar+gzip", "layer.v1.tarball", Code::ManifestLayerTypeUnknown, "/layers/0/mediaType"),
    (AManifest, "layer.v1.tar+gzip", "layer.nondistributable.v1.tar", Code::ManifestLayerNonDistributable, "/layers/0/mediaType"),
    (AManifest, "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip", Code::ManifestTypesMixed, "/layers/0/mediaType"),
    (AManifest, "\"layers\"", "\"subject\":{\"mediaType\":\"a/b\",\"digest\":\"x:y\",\"size\":1},\"layers\"", Code::ManifestSubjectType, "/subject/mediaType"),
    (AManifest, "\"layers\"", "\"Layers\":[],\"layers\"", Code::JsonKeyCase, "/Layers"),
    (AManifest, "\"layers\"", "\"manifests\":[],\"layers\"", Code::DocumentAmbiguous, "/manifests"),

    (Index, "manifests", "list", Code::IndexPropertyMissing, ""),
    (Index, "[{", "[[],{", Code::IndexPropertyType, "/manifests/0"),
    (Index, "2", "3", Code::IndexSchemaVersion, "/schemaVersion"),
    (Index, "\"mediaType\":\"application/vnd.oci.image.index.v1+json\",", "", Code::IndexMediaTypeAbsent, ""),
    (Index, "image.index.v1", "image.manifest.v1", Code::IndexMediaTypeValue, "/mediaType"),
    (Index, "\"manifests\"", "\"artifactType\":\"a/\",\"manifests\"", Code::IndexArtifactTypeGrammar, "/artifactType"),
    (Index, "application/vnd.oci.image.manifest.v1+json", "application/xml", Code::IndexEntryTypeUnknown, "/manifests/0/mediaType"),
    (Index, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}", "", Code::IndexPlatformAbsent, "/manifests/0"),
    (Index, "\"manifests\"", "\"subject\":{\"mediaType\":\"a/b\",\"digest\":\"A\",\"size\":1},\"manifests\"", Code::IndexSubjectType, "/subject/mediaType"),
    (Index, "\"manifests\"", "\"layers\":[],\"manifests\"", Code::DocumentAmbiguous, "/layers"),
    (Index, "\"manifests\"", "\"config\":{},\"manifests\"", Code::DocumentAmbiguous, "/config"),

    (Config, "\"os\":\"linux\",", "", Code::ConfigPropertyMissing, ""),
    (Config, "rootfs", "root", Code::ConfigPropertyMissing, ""),
    (Config, "\"linux\"", "null", Code::ConfigPropertyType, "/os"),
    (Config, "[\"/a\"]", "\"/a\"", Code::ConfigPropertyType, "/config/Entrypoint"),
    (Config, "\"/v\":{}", "\"/v\":null", Code::ConfigPropertyType, "/config/Volumes/~1v"),
    (Config, "{\"created\":\"2024-02-29", "{\"created\":\"2023-02-29", Code::ConfigCreated, "/created"),
    (Config, "\"type\":\"layers\"", "\"type\":\"layers+base\"", Code::ConfigRootfsType, "/rootfs/type"),
    (Config, "[\"sha256:a", "[\"sha256:x", Code::ConfigDiffId, "/rootfs/diff_ids/0"),
    (Config, ",{}]", "]", Code::ConfigHistoryCount, "/history"),
    (Config, "1000:users", ":users", Code::ConfigUser, "/config/User"),
    (Config, "1000:users", "a:b:c", Code::ConfigUser, "/config/User"),
    (Config, "1000:users", "4294967296", Code::ConfigUser, "/config/User"),
    (Config, "80/tcp", "80/sctp", Code::ConfigExposedPort, "/config/ExposedPorts/80~1sctp"),
    (Config, "80/tcp", "65536", Code::ConfigExposedPort, "/config/ExposedPorts/65536"),
    (Config, "A=b=c", "=b", Code::ConfigEnv, "/config/Env/0"),
    (Config, "\"B=\"", "\"B\"", Code::ConfigEnv, "/config/Env/1"),
    (Config, "\"/v\":{}", "\"/v\":{\"a\":1}", Code::ConfigSetValue, "/config/Volumes/~1v"),
    (Config, "SIGRTMIN+3", "KILL", Code::ConfigStopSignal, "/config/StopSignal"),
    (Config, "\"Cmd\":null", "\"ArgsEscaped\":true", Code::ConfigArgsEscaped, "/config/ArgsEscaped"),
    (Config, "\"Cmd\":null", "\"Healthcheck\":{}", Code::ConfigReserved, "/config/Healthcheck"),
    (Config, "{\"short\":\"x\"}", "{\"short\":1}", Code::AnnotationsType, "/config/Labels/short"),
    (Config, "arm64", "pdp11", Code::PlatformArchitecture, "/architecture"),
    (Config, "\"v8\"", "\"v7\"", Code::PlatformVariant, "/variant"),
    (Config, "\"Env\"", "\"env\":[],\"Env\"", Code::JsonKeyCase, "/config/env"),

    (DockerManifest, "\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\",", "", Code::DockerMediaTypeAbsent, ""),
    (DockerManifest, "\"layers\"", "\"annotations\":{},\"layers\"", Code::DockerPropertyForeign, "/annotations"),
    (DockerManifest, "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json", Code::ManifestMediaTypeValue, "/mediaType"),
    (DockerList, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}", "", Code::DockerPlatformMissing, "/manifests/0"),
    (DockerList, "\"manifests\"", "\"subject\":{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"digest\":\"A\",\"size\":1},\"manifests\"", Code::DockerPropertyForeign, "/subject"),
];

fn findings(kind: DocumentKind, text: &str) -> Vec<Finding> {
    validate::document(kind, "test", text.as_bytes(), Profile::Spec)
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim_start).collect()
}

/// The document with `from` replaced, once.
fn changed(kind: DocumentKind, from: &str, to: &str) -> String {
    let text = one_line(&good(kind));
    let to = to.replace("\"A\"", &format!("\"{A}\""));
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, &to, 1)
}

/// The codes found at each pointer.
fn found(findings: &[Finding]) -> Vec<(Code, &str)> {
    findings.iter().map(|finding| (finding.code, finding.pointer.as_str())).collect()
}

#[test]
fn good_documents_have_no_findings() {
    let kinds = [
        Descriptor,
        AManifest,
        Index,
        LayoutIndex,
        Config,
        LayoutHeader,
        DockerManifest,
        DockerList,
    ];
    for kind in kinds {
        assert_eq!(findings(kind, &good(kind)), [], "{kind:?}");
    }
}

#[test]
fn each_change_gives_its_finding() {
    for (kind, from, to, code, pointer) in ROWS {
        let text = changed(*kind, from, to);
        let findings = findings(*kind, &text);
        let mut expected = vec![(*code, *pointer)];
        // The subject of one row has an unregistered digest as well.
        if to.contains("x:y") {
            expected.insert(0, (Code::DescriptorDigestUnregistered, "/subject/digest"));
        }
        assert_eq!(found(&findings), expected, "{kind:?} {from} -> {to}: {findings:#?}");
        let finding = findings.last().unwrap();
        assert_eq!(finding.level, code.level(Profile::Spec));
        assert_eq!(finding.object, "test");
    }
}

#[test]
fn an_empty_config_asks_for_an_artifact_type() {
    let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let text = good(AManifest)
        .replacen(
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.empty.v1+json",
            1,
        )
        .replacen(A, empty, 1)
        .replacen("\"size\":7", "\"size\":2", 1);
    let without = findings(AManifest, &text);
    assert_eq!(found(&without), [(Code::ManifestArtifactTypeMissing, "")]);
    let with = text.replacen("\"config\"", "\"artifactType\":\"a/b\",\"config\"", 1);
    assert_eq!(findings(AManifest, &with), []);
}

#[test]
fn a_manifest_should_have_a_layer_and_a_stack_no_layer_twice() {
    let layer = one_line(&good(AManifest));
    let start = layer.find("\"layers\":[").unwrap() + "\"layers\":[".len();
    let end = layer[start..].find(']').unwrap() + start;
    let item = &layer[start..end];
    let none = layer.replacen(item, "", 1);
    assert_eq!(found(&findings(AManifest, &none)), [(Code::ManifestLayersEmpty, "/layers")]);
    let absent = layer.replacen(&format!("\"layers\":[{item}],"), "", 1);
    assert_eq!(found(&findings(AManifest, &absent)), [(Code::ManifestLayersEmpty, "")]);
    let twice = layer.replacen(item, &format!("{item},{item}"), 1);
    assert_eq!(found(&findings(AManifest, &twice)), [(Code::ManifestLayerDuplicate, "/layers/1")]);
}

#[test]
fn entries_of_an_index_that_say_the_same() {
    let text = one_line(&good(LayoutIndex));
    let start = text.find("[{").unwrap() + 1;
    let end = text[start..].find(']').unwrap() + start;
    let item = &text[start..end];
    let with = |other: &str| text.replacen(item, &format!("{item},{other}"), 1);
    assert_eq!(
        found(&findings(LayoutIndex, &with(item))),
        [(Code::IndexEntryDuplicate, "/manifests/1")]
    );
    let other = item.replacen(A, B, 1);
    assert_eq!(
        found(&findings(Index, &with(&other))),
        [(Code::IndexPlatformDuplicate, "/manifests/1")]
    );
    let named = |digest: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":1,
            "annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}"#
        )
    };
    let both = with(&format!("{},{}", named(A), named(B)));
    assert_eq!(
        found(&findings(LayoutIndex, &both)),
        [(Code::IndexRefNameDuplicate, "/manifests/2")]
    );
    let unknown = item.replace("linux", "unknown").replace("amd64", "unknown");
    let attestations = with(&format!("{unknown},{}", unknown.replacen(A, B, 1)));
    let codes: BTreeSet<Code> = findings(Index, &attestations).iter().map(|f| f.code).collect();
    assert_eq!(codes, BTreeSet::from([Code::PlatformOs, Code::PlatformArchitecture]));
}

#[test]
fn what_is_no_document_at_all() {
    let read = |bytes: &[u8]| {
        let findings = validate::document(LayoutHeader, "test", bytes, Profile::Spec);
        findings.into_iter().map(|finding| (finding.code, finding.pointer)).collect::<Vec<_>>()
    };
    assert_eq!(read(b"[]"), [(Code::DocumentType, String::new())]);
    assert_eq!(read(b"null"), [(Code::DocumentType, String::new())]);
    assert_eq!(read(b""), [(Code::JsonSyntax, String::new())]);
    assert_eq!(read(b"{\"a\":\"\xff\"}"), [(Code::JsonEncoding, String::new())]);
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(read(deep.as_bytes()).as_slice(), [(Code::JsonDepth, _)]));
    let large = vec![b' '; usize::try_from(MAX_DOCUMENT).unwrap() + 1];
    assert_eq!(read(&large), [(Code::JsonSize, String::new())]);
    let mut wide = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
    wide.resize(5 * 1024 * 1024, b' ');
    assert_eq!(read(&wide), [(Code::JsonSizePortable, String::new())]);
}

#[test]
fn a_hostile_document_does_not_fill_the_list() {
    let many =
        format!("{{\"imageLayoutVersion\":\"1.0.0\",\"x\":[{}1e999]}}", "1e999,".repeat(9_999));
    let findings = findings(LayoutHeader, &many);
    assert_eq!(findings.len(), 100);
    assert!(findings[99].message.contains("not listed"), "{}", findings[99].message);
}

#[test]
fn strict_readers_take_a_should_for_a_must() {
    for code in Code::all() {
        let rule = code.rule();
        let strict = code.level(Profile::Strict);
        match rule.level {
            Level::Warning => assert_eq!(strict, Level::Error, "{code}"),
            level => assert_eq!(strict, level, "{code}"),
        }
    }
    let text = changed(LayoutHeader, "1.0.0", "1.1.0");
    let findings = validate::document(LayoutHeader, "x", text.as_bytes(), Profile::Strict);
    assert_eq!(findings[0].level, Level::Error);
}

#[test]
fn manifest_and_config_agree_on_the_layers() {
    let config: ImageConfig = serde_json::from_str(&good(Config)).unwrap();
    let manifest: Manifest = serde_json::from_str(&good(AManifest)).unwrap();
    let findings = validate::image(&manifest, &config, "m", Profile::Spec);
    assert_eq!(found(&findings), [(Code::ImageLayerCount, "/layers")]);
    let mut pair = manifest;
    pair.layers.push(pair.layers[0].clone());
    assert_eq!(validate::image(&pair, &config, "m", Profile::Spec), []);
}

#[test]
fn the_platform_of_an_entry_is_that_of_its_config() {
    let linux: Platform = "linux/arm64/v8".parse().unwrap();
    let other: Platform = "linux/amd64".parse().unwrap();
    let at = ("index.json", "/manifests/0/platform");
    let same =
        validate::entry_platform(at, &linux, &Platform::new("linux", "aarch64"), Profile::Spec);
    assert_eq!(same, []);
    let findings = validate::entry_platform(at, &linux, &other, Profile::Spec);
    assert_eq!(found(&findings), [(Code::ImagePlatform, "/manifests/0/platform")]);
}

#[test]
fn the_table_of_codes_is_fit_to_be_a_reference() {
    let mut ids = BTreeSet::new();
    for code in Code::all() {
        let rule = code.rule();
        let kebab = rule.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(kebab && !rule.id.starts_with('-') && !rule.id.ends_with('-'), "{code}");
        assert!(ids.insert(rule.id), "{code} stands twice");
        assert_eq!(Code::from_id(rule.id), Some(*code));
        assert!(rule.section.contains(".md, "), "{code}: {}", rule.section);
        assert!(!rule.explanation.ends_with('.') && rule.explanation.len() > 15, "{code}");
    }
    let finding = findings(LayoutHeader, "[]").remove(0);
    let text = serde_json::to_string(&finding).unwrap();
    assert!(
        text.starts_with(r#"{"code":"document-type","level":"error","object":"test""#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
}

/// Every code about documents is given by some test above.
#[test]
fn no_rule_about_documents_is_without_a_test() {
    let mut tested: BTreeSet<Code> = ROWS.iter().map(|(_, _, _, code, _)| *code).collect();
    tested.extend([
        Code::DocumentType,
        Code::JsonDepth,
        Code::JsonEncoding,
        Code::JsonSize,
        Code::JsonSizePortable,
        Code::ManifestArtifactTypeMissing,
        Code::ManifestLayersEmpty,
        Code::ManifestLayerDuplicate,
        Code::IndexEntryDuplicate,
        Code::IndexPlatformDuplicate,
        Code::IndexRefNameDuplicate,
        Code::ImageLayerCount,
        Code::ImagePlatform,
    ]);
    for code in Code::all() {
        let families = ["layer-", "layout-", "blob-", "graph-"];
        let of_content = families.iter().any(|family| code.as_str().starts_with(family));
        assert!(of_content || tested.contains(code), "{code}");
    }
}
