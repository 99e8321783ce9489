//! An inventory as a document of SPDX 2.3 in JSON.

use serde_json::{Value, json};

use crate::inventory::Inventory;
use crate::package::Package;

/// What an SPDX document is about, and who says so.
#[derive(Clone, Debug)]
pub struct SpdxSubject<'a> {
    /// The image's name.
    pub name: &'a str,
    /// The digest of its manifest.
    pub digest: &'a corten_spec::Digest,
    /// The beginning of the namespace that no other document has; the digest is its end.
    pub namespace: &'a str,
    /// The tool, `corten-1.0`.
    pub tool: &'a str,
    /// When, as RFC 3339 in UTC without fractions.
    pub created: &'a str,
}

/// Writes the document; the same inventory gives the same one.
///
/// ```
/// use corten_scan::{Inventory, SpdxSubject, spdx};
///
/// let digest = corten_spec::Digest::sha256(b"");
/// let subject = SpdxSubject {
///     name: "app",
///     digest: &digest,
///     namespace: "https://example.org/spdx",
///     tool: "corten-1.0",
///     created: "1970-01-01T00:00:00Z",
/// };
/// assert_eq!(spdx(&subject, &Inventory::default())["spdxVersion"], "SPDX-2.3");
/// ```
pub fn spdx(subject: &SpdxSubject<'_>, inventory: &Inventory) -> Value {
    let mut packages = vec![image(subject, inventory)];
    let mut relationships = vec![related("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")];
    for (number, package) in inventory.packages.iter().enumerate() {
        let id = format!("SPDXRef-Package-{}", number + 1);
        relationships.push(related("SPDXRef-Image", "CONTAINS", &id));
        packages.push(one(id, package, inventory));
    }
    let (algorithm, encoded) = (subject.digest.algorithm_name(), subject.digest.encoded());
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": format!("{}/{algorithm}-{encoded}", subject.namespace),
        "creationInfo": {
            "created": subject.created,
            "creators": [format!("Tool: {}", subject.tool)],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !inventory.notes.is_empty()
        && let Some(fields) = document.as_object_mut()
    {
        fields.insert("comment".to_owned(), json!(inventory.notes.join("\n")));
    }
    document
}

fn image(subject: &SpdxSubject<'_>, inventory: &Inventory) -> Value {
    let algorithm = subject.digest.algorithm_name().to_ascii_uppercase();
    let mut image = json!({
        "SPDXID": "SPDXRef-Image",
        "name": subject.name,
        "versionInfo": subject.digest.to_string(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "checksums": [{ "algorithm": algorithm, "checksumValue": subject.digest.encoded() }],
    });
    if let (Some(distribution), Some(fields)) = (&inventory.distribution, image.as_object_mut()) {
        let text = format!("{} {}", distribution.id, distribution.version);
        fields.insert("comment".to_owned(), json!(text.trim_end()));
    }
    image
}

fn one(id: String, package: &Package, inventory: &Inventory) -> Value {
    let mut written = json!({
        "SPDXID": id,
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "sourceInfo": format!("acquired package info from: /{}", package.path),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": package.purl(inventory.distribution.as_ref()),
        }],
    });
    if let Some(fields) = written.as_object_mut() {
        // Packages say it in words of their own, which are no expressions of SPDX.
        if let Some(licence) = &package.licence {
            fields.insert("licenseComments".to_owned(), json!(licence));
        }
        if let Some(source) = &package.source {
            fields.insert("comment".to_owned(), json!(format!("built of {source}")));
        }
    }
    written
}

fn related(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}
