//! The broken layouts.

use std::fs;
use std::os::unix::fs::symlink;

use corten_spec::validate::Code;
use serde_json::json;

use crate::draft::{Draft, Raw, dir, entry, file, link, open_tar, tar};

/// A layout that is broken in one way.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) broken: fn(&mut Draft),
    /// Exactly these codes are found.
    pub(crate) codes: &'static [Code],
}

const fn case(name: &'static str, codes: &'static [Code], broken: fn(&mut Draft)) -> Case {
    Case { name, broken, codes }
}

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let packing = corten_layer::Packing::new(corten_layer::Compression::Gzip);
    let mut packer = corten_layer::Packer::new(Vec::new(), packing).unwrap();
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap().1
}

fn entries(draft: &mut Draft, entries: &[Raw]) {
    draft.tar = tar(entries);
}

pub(crate) const ALL: &[Case] = &[
    // The files of the layout.
    case("no oci-layout", &[Code::LayoutHeaderMissing], |d| {
        d.files = |w| fs::remove_file(w.root.join("oci-layout")).unwrap();
    }),
    case("an oci-layout that is no JSON", &[Code::JsonSyntax], |d| d.header = "1.0.0"),
    case("an oci-layout that is an array", &[Code::DocumentType], |d| d.header = "[]"),
    case("an oci-layout without a version", &[Code::LayoutHeaderPropertyMissing], |d| {
        d.header = "{}";
    }),
    case("an oci-layout whose version is a number", &[Code::LayoutHeaderPropertyType], |d| {
        d.header = r#"{"imageLayoutVersion":1}"#;
    }),
    case("an oci-layout of a version yet to come", &[Code::LayoutVersion], |d| {
        d.header = r#"{"imageLayoutVersion":"2.0.0"}"#;
    }),
    case("an oci-layout that is a link", &[Code::BlobUnreadable], |d| {
        d.files = |w| {
            fs::rename(w.root.join("oci-layout"), w.root.join(".corten")).unwrap();
            symlink(".corten", w.root.join("oci-layout")).unwrap();
        };
    }),
    case("no index.json", &[Code::LayoutIndexMissing, Code::LayoutBlobOrphan], |d| {
        d.files = |w| fs::remove_file(w.root.join("index.json")).unwrap();
    }),
    case("an index.json that is cut", &[Code::JsonSyntax, Code::LayoutBlobOrphan], |d| {
        d.files = |w| fs::write(w.root.join("index.json"), "{\"schemaVersion\":2,").unwrap();
    }),
    case("no blobs", &[Code::LayoutBlobsMissing, Code::LayoutBlobMissing], |d| {
        d.files = |w| fs::remove_dir_all(w.root.join("blobs")).unwrap();
    }),
    case("a file that nobody knows", &[Code::LayoutFileUnknown], |d| {
        d.files = |w| fs::write(w.root.join("manifest.json"), "[]").unwrap();
    }),
    case("a blob that nothing refers to", &[Code::LayoutBlobOrphan], |d| {
        d.files = |w| fs::write(w.blob(&corten_spec::Digest::sha256(b"x")), "x").unwrap();
    }),
    case(
        "a blob that nothing refers to, with other content",
        &[Code::LayoutBlobOrphan, Code::LayoutBlobContent],
        |d| d.files = |w| fs::write(w.blob(&A.parse().unwrap()), "x").unwrap(),
    ),
    case("a blob whose name is too short", &[Code::LayoutBlobName], |d| {
        d.files = |w| fs::write(w.root.join("blobs/sha256/abc"), "x").unwrap();
    }),
    case("a blob whose name is in upper case", &[Code::LayoutBlobName], |d| {
        d.files = |w| {
            fs::write(w.root.join("blobs/sha256").join("A".repeat(64)), "x").unwrap();
        };
    }),
    case("an algorithm whose name is in upper case", &[Code::LayoutBlobName], |d| {
        d.files = |w| fs::create_dir(w.root.join("blobs/SHA256")).unwrap();
    }),
    case("a file in the place of an algorithm", &[Code::LayoutBlobKind], |d| {
        d.files = |w| fs::write(w.root.join("blobs/sha512"), "").unwrap();
    }),
    case("a directory in the place of a blob", &[Code::LayoutBlobKind], |d| {
        d.files = |w| fs::create_dir(w.blob(&A.parse().unwrap())).unwrap();
    }),
    case("a link in the place of a blob", &[Code::LayoutBlobKind, Code::BlobUnreadable], |d| {
        d.files = |w| {
            let blob = w.blob(&w.layer);
            fs::rename(&blob, w.root.join(".corten")).unwrap();
            symlink(w.root.join(".corten"), &blob).unwrap();
        };
    }),
    case(
        "a blob of an algorithm that cannot be computed",
        &[Code::LayoutBlobOrphan, Code::BlobUnverifiable],
        |d| {
            d.files = |w| {
                fs::create_dir(w.root.join("blobs/md5")).unwrap();
                fs::write(w.root.join("blobs/md5/abc"), "x").unwrap();
            };
        },
    ),
    // Blobs against their descriptors.
    case("no layer", &[Code::LayoutBlobMissing], |d| {
        d.files = |w| fs::remove_file(w.blob(&w.layer)).unwrap();
    }),
    case("no config", &[Code::LayoutBlobMissing], |d| {
        d.files = |w| fs::remove_file(w.blob(&w.config)).unwrap();
    }),
    case("no manifest", &[Code::LayoutBlobMissing, Code::LayoutBlobOrphan], |d| {
        d.files = |w| fs::remove_file(w.blob(&w.manifest)).unwrap()
    }),
    case("a layer with other bytes", &[Code::BlobDigest], |d| {
        d.files = |w| {
            let mut bytes = fs::read(w.blob(&w.layer)).unwrap();
            bytes[0] ^= 1;
            fs::write(w.blob(&w.layer), bytes).unwrap();
        };
    }),
    case("a layer that is cut", &[Code::BlobSize, Code::BlobDigest], |d| {
        d.files = |w| fs::write(w.blob(&w.layer), "x").unwrap();
    }),
    case("a layer that goes on", &[Code::BlobSize, Code::BlobDigest], |d| {
        d.files = |w| {
            let mut bytes = fs::read(w.blob(&w.layer)).unwrap();
            bytes.extend([0; 4096]);
            fs::write(w.blob(&w.layer), bytes).unwrap();
        };
    }),
    case("a config with other bytes", &[Code::BlobDigest], |d| {
        d.files = |w| {
            let text = fs::read_to_string(w.blob(&w.config)).unwrap();
            fs::write(w.blob(&w.config), text.replace("linux", "LINUX")).unwrap();
        };
    }),
    case("a manifest with other bytes", &[Code::BlobDigest, Code::LayoutBlobOrphan], |d| {
        d.files = |w| {
            let text = fs::read_to_string(w.blob(&w.manifest)).unwrap();
            let text = text.replace("\"schemaVersion\":2", "\"schemaVersion\":3");
            fs::write(w.blob(&w.manifest), text).unwrap();
        };
    }),
    case("a wrong size of the manifest", &[Code::BlobSize, Code::LayoutBlobOrphan], |d| {
        d.index = |i| i["manifests"][0]["size"] = json!(1);
    }),
    case("a wrong size of the layer", &[Code::BlobSize], |d| {
        d.manifest = |m| m["layers"][0]["size"] = json!(5000);
    }),
    case("a wrong size of the config", &[Code::BlobSize], |d| {
        d.manifest = |m| m["config"]["size"] = json!(1);
    }),
    case(
        "a negative size of the layer",
        &[Code::DescriptorSizeNegative, Code::LayoutBlobOrphan],
        |d| {
            d.manifest = |m| m["layers"][0]["size"] = json!(-1);
        },
    ),
    case("a document larger than is read", &[Code::JsonSize, Code::LayoutBlobOrphan], |d| {
        d.index = |i| i["manifests"][0]["size"] = json!(1 << 30);
    }),
    case(
        "two sizes of one manifest",
        &[Code::BlobSize, Code::IndexPlatformDuplicate, Code::IndexRefNameDuplicate],
        |d| {
            d.index = |i| {
                let mut again = i["manifests"][0].clone();
                again["size"] = json!(1);
                i["manifests"].as_array_mut().unwrap().push(again);
            };
        },
    ),
    // The documents.
    case("a manifest with a name twice", &[Code::JsonDuplicateKey, Code::LayoutBlobOrphan], |d| {
        d.manifest_text = |text| text.replacen('{', "{\"schemaVersion\":2,", 1)
    }),
    case("a manifest of schema 1", &[Code::ManifestSchemaVersion], |d| {
        d.manifest = |m| m["schemaVersion"] = json!(1);
    }),
    case("a manifest that says it is an index", &[Code::ManifestMediaTypeValue], |d| {
        d.manifest = |m| m["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
    }),
    case("a manifest that is an index as well", &[Code::DocumentAmbiguous], |d| {
        d.manifest = |m| m["manifests"] = json!([]);
    }),
    case(
        "a manifest without a config",
        &[Code::ManifestPropertyMissing, Code::LayoutBlobOrphan],
        |d| {
            d.manifest = |m| {
                m.as_object_mut().unwrap().remove("config");
            };
        },
    ),
    case("a manifest without a media type", &[Code::ManifestMediaTypeAbsent], |d| {
        d.manifest = |m| {
            m.as_object_mut().unwrap().remove("mediaType");
        };
    }),
    case(
        "an artifact without a type",
        &[Code::ManifestArtifactTypeMissing, Code::LayoutBlobMissing, Code::LayoutBlobOrphan],
        |d| {
            d.manifest = |m| {
                m["config"] = json!({"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"});
            };
        },
    ),
    case(
        "a subject that is elsewhere is no finding, a broken one is",
        &[Code::ManifestSubjectType],
        |d| {
            d.manifest = |m| m["subject"] = json!({"mediaType": "a/b", "digest": A, "size": 1});
        },
    ),
    case(
        "an index without schemaVersion",
        &[Code::IndexPropertyMissing, Code::LayoutBlobOrphan],
        |d| {
            d.index = |i| {
                i.as_object_mut().unwrap().remove("schemaVersion");
            };
        },
    ),
    case(
        "an index with two images of a name",
        &[Code::IndexEntryDuplicate, Code::IndexRefNameDuplicate],
        |d| {
            d.index = |i| {
                let again = i["manifests"][0].clone();
                i["manifests"].as_array_mut().unwrap().push(again);
            };
        },
    ),
    case("an index with a name that breaks the grammar", &[Code::AnnotationRefName], |d| {
        d.index = |i| {
            i["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = json!("a b");
        };
    }),
    case(
        "an index with an entry of an unknown type",
        &[Code::IndexEntryTypeUnknown, Code::LayoutBlobMissing],
        |d| {
            d.index = |i| {
                let other = json!({"mediaType": "application/xml", "digest": A, "size": 7});
                i["manifests"].as_array_mut().unwrap().push(other);
            };
        },
    ),
    case("an index for another platform than the config", &[Code::ImagePlatform], |d| {
        d.index = |i| i["manifests"][0]["platform"]["architecture"] = json!("arm64");
    }),
    case("a config without an architecture", &[Code::ConfigPropertyMissing], |d| {
        d.config = |c| {
            c.as_object_mut().unwrap().remove("architecture");
        };
    }),
    case("a config with another kind of rootfs", &[Code::ConfigRootfsType], |d| {
        d.config = |c| c["rootfs"]["type"] = json!("layers+base");
    }),
    case("a config with a date in words", &[Code::ConfigCreated], |d| {
        d.config = |c| c["created"] = json!("yesterday");
    }),
    case("a config with a bad variable", &[Code::ConfigEnv], |d| {
        d.config = |c| c["config"]["Env"] = json!(["PATH"]);
    }),
    case(
        "a config with more layers than the manifest",
        &[Code::ImageLayerCount, Code::ConfigHistoryCount],
        |d| {
            d.config = |c| c["rootfs"]["diff_ids"] = json!([A, A]);
        },
    ),
    case("a config with a DiffID of no grammar", &[Code::ConfigDiffId], |d| {
        d.config = |c| c["rootfs"]["diff_ids"] = json!(["sha256:short"]);
    }),
    case("a config with another DiffID", &[Code::LayerDiffId], |d| {
        d.config = |c| c["rootfs"]["diff_ids"] = json!([A]);
    }),
    case("a config with a DiffID of another algorithm", &[Code::BlobUnverifiable], |d| {
        d.config = |c| c["rootfs"]["diff_ids"] = json!([format!("blake3:{}", "a".repeat(64))]);
    }),
    // The layer as a stream.
    case("a gzip layer that is a plain tar", &[Code::LayerCompression], |d| {
        d.layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    }),
    case("a plain layer that is gzip", &[Code::LayerCompression], |d| {
        d.packed = Some(gzip(&d.tar))
    }),
    case("a gzip layer that is cut", &[Code::LayerStream], |d| {
        d.layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        let mut packed = gzip(&d.tar);
        packed.truncate(packed.len() - 9);
        d.packed = Some(packed);
    }),
    case("a gzip layer with a bad checksum", &[Code::LayerStream], |d| {
        d.layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        let mut packed = gzip(&d.tar);
        let place = packed.len() - 6;
        packed[place] ^= 1;
        d.packed = Some(packed);
    }),
    case("a layer that is no archive", &[Code::LayerTar], |d| d.tar = vec![b'x'; 1024]),
    case("a layer cut inside an entry", &[Code::LayerTar], |d| d.tar.truncate(1030)),
    case("a layer without an end", &[Code::LayerTarEnd], |d| d.tar = open_tar(&[file("a", b"x")])),
    case("a layer that goes on behind its end", &[Code::LayerTarTrailing], |d| {
        d.tar.extend([b'x'; 512]);
    }),
    case("a layer with a bad header checksum", &[Code::LayerTar], |d| d.tar[0] = b'f'),
    // The entries of the layer.
    case("a path twice", &[Code::LayerPathDuplicate], |d| {
        entries(d, &[file("a", b"1"), file("./a", b"2")]);
    }),
    case("an absolute path", &[Code::LayerPathAbsolute], |d| entries(d, &[file("/a", b"1")])),
    case("a path that leads out", &[Code::LayerPathParent], |d| {
        entries(d, &[file("a/../../b", b"1")]);
    }),
    case("a file below a link", &[Code::LayerPathBlocked], |d| {
        entries(d, &[link("a", b'2', "/etc"), file("a/b", b"1")]);
    }),
    case("a root that is a file", &[Code::LayerPathRoot], |d| entries(d, &[file(".", b"1")])),
    case("a path that is not UTF-8", &[Code::LayerNameEncoding], |d| {
        entries(d, &[file(b"a\xff", b"1")]);
    }),
    case("a whiteout of nothing", &[Code::LayerWhiteoutBare], |d| {
        entries(d, &[file("a/.wh.", b"")])
    }),
    case("a whiteout of the directory itself", &[Code::LayerWhiteoutTarget], |d| {
        entries(d, &[file("a/.wh..", b"")]);
    }),
    case("a whiteout of the parent", &[Code::LayerWhiteoutTarget], |d| {
        entries(d, &[file("a/.wh...", b"")]);
    }),
    case("a whiteout with content", &[Code::LayerWhiteoutContent], |d| {
        entries(d, &[file("a/.wh.b", b"x")]);
    }),
    case("a whiteout that is a directory", &[Code::LayerWhiteoutKind], |d| {
        entries(d, &[dir("a/.wh.b/")]);
    }),
    case("a whiteout that is a device", &[Code::LayerWhiteoutKind], |d| {
        entries(d, &[entry("a/.wh.b", b'3')]);
    }),
    case("a file below a whiteout", &[Code::LayerWhiteoutKind], |d| {
        entries(d, &[file("a/.wh.b/c", b"")]);
    }),
    case("a remnant of AUFS", &[Code::LayerWhiteoutReserved], |d| {
        entries(d, &[file(".wh..wh.orph", b"")]);
    }),
    case("an opaque whiteout", &[Code::LayerWhiteoutOpaque], |d| {
        entries(d, &[dir("a/"), file("a/.wh..wh..opq", b"")]);
    }),
    case("a whiteout behind its siblings", &[Code::LayerWhiteoutOrder], |d| {
        entries(d, &[file("a/b", b""), file("a/.wh.c", b"")]);
    }),
    case("a whiteout of a path of the same layer", &[Code::LayerWhiteoutSame], |d| {
        entries(d, &[file(".wh.a", b""), file("a", b"x")]);
    }),
    case("a hard link out of the layer", &[Code::LayerHardlinkMissing], |d| {
        entries(d, &[link("a", b'1', "b")]);
    }),
    case("a hard link to a directory", &[Code::LayerHardlinkDirectory], |d| {
        entries(d, &[dir("a/"), link("b", b'1', "a")]);
    }),
    case("a hard link that leads out", &[Code::LayerPathParent], |d| {
        entries(d, &[link("b", b'1', "../a")]);
    }),
    case("an entry of an unknown type", &[Code::LayerEntryKind], |d| {
        entries(d, &[entry("a", b'Z')])
    }),
    case("a file that is older than time", &[Code::LayerTime], |d| {
        entries(d, &[Raw { mtime: -1, ..file("a", b"") }]);
    }),
    case("an attribute of overlay filesystems", &[Code::LayerOverlayXattr], |d| {
        let records = b"41 SCHILY.xattr.trusted.overlay.opaque=y\n";
        entries(d, &[Raw { content: records, ..entry("pax", b'x') }, dir("a/")]);
    }),
    case("a sparse file", &[Code::LayerSparse], |d| {
        let records = b"22 GNU.sparse.size=10\n27 GNU.sparse.map=0,1,10,0\n";
        entries(d, &[Raw { content: records, ..entry("pax", b'x') }, file("a", b"x")]);
    }),
    case(
        "indexes nested too deep",
        &[Code::GraphLimit, Code::LayoutBlobOrphan, Code::AnnotationRefNamePlace],
        |d| {
            d.files = |w| {
                let mut index = fs::read_to_string(w.root.join("index.json")).unwrap();
                for _ in 0..8 {
                    let digest = corten_spec::Digest::sha256(index.as_bytes());
                    fs::write(w.blob(&digest), &index).unwrap();
                    let media_type = "application/vnd.oci.image.index.v1+json";
                    index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests":
                    [{"mediaType": media_type, "digest": digest, "size": index.len()}]})
                    .to_string();
                }
                fs::write(w.root.join("index.json"), index).unwrap();
            };
        },
    ),
];
