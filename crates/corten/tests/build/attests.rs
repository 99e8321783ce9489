//! What goes with an image: its packages and how it came about, in manifests that refer to it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use corten_testkit::TestRegistry;
use serde_json::Value;

use crate::bench::Bench;

const STATUS: &str =
    "Package: bash\\nStatus: install ok installed\\nVersion: 5.2-1\\nArchitecture: amd64\\n";

fn file() -> String {
    format!(
        "FROM base AS tools\nRUN mkdir -p /var/lib/dpkg && printf '{STATUS}' >/var/lib/dpkg/status\n\
         FROM tools\nARG VERSION\nRUN --mount=type=secret,id=token cat /run/secrets/token >/dev/null; echo $VERSION >/v\n"
    )
}

impl Bench {
    /// The statement of an attestation, after a look at its manifest.
    fn statement(&self, report: &Value, kind: &str) -> Value {
        let all = report["attestations"].as_array().unwrap();
        let one = all.iter().find(|one| one["predicate_type"].as_str().unwrap().contains(kind));
        let one = one.unwrap_or_else(|| panic!("{report}"));
        let manifest = self.blob(&one["digest"]);
        assert_eq!(manifest["artifactType"], "application/vnd.in-toto+json");
        assert_eq!(manifest["subject"]["digest"], report["images"][0]["digest"]);
        assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.in-toto+json");
        let annotations = &manifest["layers"][0]["annotations"];
        assert_eq!(annotations["in-toto.io/predicate-type"], one["predicate_type"]);
        let statement = self.blob(&manifest["layers"][0]["digest"]);
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(statement["predicateType"], one["predicate_type"]);
        let digest = statement["subject"][0]["digest"]["sha256"].as_str().unwrap();
        assert_eq!(format!("sha256:{digest}"), report["images"][0]["digest"].as_str().unwrap());
        statement["predicate"].clone()
    }
}

/// The fields that SPDX 2.3 requires, and the form of what has one.
fn check_spdx(document: &Value) {
    let text = |value: &Value, key: &str| -> String {
        value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}")).to_owned()
    };
    assert_eq!(text(document, "spdxVersion"), "SPDX-2.3");
    assert_eq!(text(document, "dataLicense"), "CC0-1.0");
    assert_eq!(text(document, "SPDXID"), "SPDXRef-DOCUMENT");
    assert!(!text(document, "name").is_empty());
    let namespace = text(document, "documentNamespace");
    assert!(namespace.starts_with("https://") && !namespace.contains('#'), "{namespace}");
    let created = text(&document["creationInfo"], "created");
    assert!(created.len() == 20 && created.ends_with('Z') && created.contains('T'), "{created}");
    let creator = document["creationInfo"]["creators"][0].as_str().unwrap();
    assert!(creator.starts_with("Tool: corten-"), "{creator}");
    let mut ids = BTreeSet::from(["SPDXRef-DOCUMENT".to_owned()]);
    for package in document["packages"].as_array().unwrap() {
        let id = text(package, "SPDXID");
        let rest = id.strip_prefix("SPDXRef-").unwrap();
        assert!(rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-'), "{id}");
        assert!(ids.insert(id), "{package}");
        assert!(!text(package, "name").is_empty());
        assert_eq!(text(package, "downloadLocation"), "NOASSERTION");
        assert_eq!(package["filesAnalyzed"], false);
        for reference in package["externalRefs"].as_array().into_iter().flatten() {
            assert_eq!(reference["referenceCategory"], "PACKAGE-MANAGER");
            assert!(text(reference, "referenceLocator").starts_with("pkg:"));
        }
    }
    let mut described = 0;
    for one in document["relationships"].as_array().unwrap() {
        assert!(ids.contains(&text(one, "spdxElementId")), "{one}");
        assert!(ids.contains(&text(one, "relatedSpdxElement")), "{one}");
        described += usize::from(one["relationshipType"] == "DESCRIBES");
    }
    assert_eq!(described, 1);
}

fn packages(document: &Value, kind: &str) -> BTreeSet<String> {
    let all = document["packages"].as_array().unwrap().iter();
    let of = all.filter(|one| {
        let locator = one["externalRefs"][0]["referenceLocator"].as_str().unwrap_or_default();
        locator.starts_with(&format!("pkg:{kind}/"))
    });
    let told = |one: &Value| {
        format!("{} {}", one["name"].as_str().unwrap(), one["versionInfo"].as_str().unwrap())
    };
    of.map(told).collect()
}

#[test]
fn an_image_is_attested_the_same_way_every_time() {
    let Some(bench) = Bench::new() else { return };
    let secret = bench.write("token", "hush-hush");
    let secret = format!("id=token,src={}", secret.display());
    let words = [
        "--sbom",
        "--provenance=max",
        "--build-arg",
        "VERSION=1.2",
        "--secret",
        &secret,
        "--label",
        "a=b",
    ];
    let report = bench.built(&file(), &words);
    let document = bench.statement(&report, "spdx");
    check_spdx(&document);
    assert_eq!(packages(&document, "deb"), BTreeSet::from(["bash 5.2-1".to_owned()]));
    assert_eq!(document["creationInfo"]["created"], "1970-01-01T00:00:00Z");
    let provenance = bench.statement(&report, "slsa.dev/provenance/v1");
    let definition = &provenance["buildDefinition"];
    assert_eq!(definition["buildType"], "https://corten.run/build/dockerfile/v1");
    let parameters = &definition["externalParameters"];
    assert_eq!(parameters["dockerfile"]["name"], "Dockerfile");
    assert_eq!(parameters["args"]["VERSION"], "1.2");
    assert_eq!(parameters["secrets"], serde_json::json!(["token"]));
    assert_eq!(parameters["labels"]["a"], "b");
    let base = &definition["resolvedDependencies"][0];
    let inspected = bench.corten("store", &["inspect", "--json", "store:base"]);
    let inspected: Value = serde_json::from_str(&inspected.out).unwrap();
    let digest = format!("sha256:{}", base["digest"]["sha256"].as_str().unwrap());
    assert_eq!(
        (&base["name"], inspected["root"]["digest"].as_str()),
        (&"base".into(), Some(&*digest))
    );
    let details = &provenance["runDetails"];
    assert_eq!(details["builder"]["id"], "https://corten.run/builder/local/v1");
    assert!(details["metadata"].as_object().unwrap().is_empty(), "{details}");
    let byproducts = details["byproducts"].as_array().unwrap();
    let names: Vec<&str> = byproducts.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names[1].starts_with("[tools 2/2] RUN mkdir"), "{names:?}");
    let all = format!("{provenance}{document}");
    let here = bench.path("").display().to_string();
    assert!(!all.contains("hush-hush") && !all.contains(&here), "{all}");
    // From the cache, and again in another store and another directory.
    let again = bench.built(&file(), &words);
    assert_eq!(again["attestations"], report["attestations"]);
    bench.bring("other");
    bench.write("ctx2/Dockerfile", &file());
    let other = bench.build_in("other", &bench.path("ctx2"), &words);
    let other: Value = serde_json::from_str(&other.out).unwrap();
    assert_eq!(other["attestations"], report["attestations"]);
    // The least: no values.
    let least = bench
        .built(&file(), &["--attest", "type=provenance,mode=min", "--build-arg", "VERSION=1.2"]);
    let least = bench.statement(&least, "slsa");
    let parameters = &least["buildDefinition"]["externalParameters"];
    assert_eq!(parameters["argNames"], serde_json::json!(["VERSION"]));
    assert!(!least.to_string().contains("1.2\""), "{least}");
    assert!(least["runDetails"]["byproducts"].is_null());
}

#[test]
fn what_is_attested_travels_and_is_no_entry_of_an_index() {
    let Some(bench) = Bench::new() else { return };
    let registry = TestRegistry::start();
    let name = format!("{}/app:1", registry.host());
    bench.write("ctx/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n");
    let context = bench.path("ctx").display().to_string();
    let words = [
        "build",
        "-t",
        &name,
        "--json",
        "--insecure",
        "http",
        "--push",
        "--sbom=true",
        "--provenance",
        "--platform",
        "linux/amd64,linux/arm64",
        &context,
    ];
    let answer = bench.corten("store", &words);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(report["attestations"].as_array().unwrap().len(), 4);
    let index = bench.blob(&report["digest"]);
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{index}");
    assert!(!index.to_string().contains("unknown"), "{index}");
    // All of it comes back from the registry, into an empty store.
    let place = format!("docker://{name}");
    let layout = format!("oci:{}", bench.path("layout").display());
    let words = ["copy", "--insecure", "http", "--referrers", "--json", &place, &layout];
    let answer = bench.corten("empty", &words);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let copied: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(copied["referrers"], 4, "{copied}");
    let checked = bench.corten("empty", &["validate", &layout]);
    assert_eq!(checked.code, 0, "{}", checked.out);
}

#[test]
fn what_cannot_be_attested_is_refused_in_words() {
    let Some(bench) = Bench::new() else { return };
    for (word, said) in [
        ("--sbom=generator=x", "corten itself reads the packages"),
        ("--provenance=most", "modes are min and max"),
        ("--attest=type=vex", "types are sbom and provenance"),
    ] {
        let answer = bench.build("FROM base\n", &[word]);
        assert!(answer.code != 0 && answer.err.contains(said), "{word}: {}", answer.err);
    }
    let report =
        bench.built("FROM base\n", &["--provenance=false", "--attest=type=sbom,disabled=true"]);
    assert_eq!(report["attestations"], serde_json::json!([]));
}

#[test]
fn lists_of_packages_are_those_of_the_managers_themselves() {
    let Some(bench) = Bench::new() else { return };
    let tree = std::env::var("CORTEN_PEERS").ok().filter(|tree| tree.starts_with('/'));
    let images =
        PathBuf::from(tree.unwrap_or("/var/lib/corten-peers".to_owned())).join("images/oci");
    if !images.join("index.json").exists() {
        eprintln!("skipped: the peers' images are not here (peers images)");
        return;
    }
    let file = "FROM real\nRUN dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\\n' | \
                sed -n 's/^installed //p' >/dpkg; \
                if command -v python3 >/dev/null; then python3 -c '\
                import importlib.metadata as m; \
                print(\"\\n\".join(sorted({d.metadata[\"Name\"] + \" \" + d.version for d in m.distributions()})))' \
                >/python; else : >/python; fi\n";
    let file =
        file.replace("                import", "import").replace("                print", "print");
    for image in ["debian", "python"] {
        let context = format!("real=oci-layout://{}:{image}", images.display());
        let report = bench.built(&file, &["--sbom", "--build-context", &context]);
        let document = bench.statement(&report, "spdx");
        check_spdx(&document);
        let lines = |path: &str| -> BTreeSet<String> {
            bench.cat(path).lines().map(str::to_owned).collect()
        };
        let dpkg = lines("/dpkg");
        assert!(dpkg.len() > 50, "{}", dpkg.len());
        assert_eq!(packages(&document, "deb"), dpkg, "{image}");
        let python = packages(&document, "pypi");
        let told = lines("/python");
        assert!(told.is_subset(&python), "{image}: {told:?} {python:?}");
        eprintln!("{image}: {} of dpkg, {} of Python", dpkg.len(), python.len());
    }
}
