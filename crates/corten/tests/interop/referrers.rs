//! What refers to an image travels with it, whoever wrote it and however the registry keeps it:
//! under the tag of the fallback (the reference registry has no referrers API), or by the API.

use std::collections::BTreeSet;

use corten_testkit::images::{ImageMaker, TestImage, referrer, referrer_index};
use corten_testkit::{DockerRegistry, Peer, TestRegistry};
use serde_json::Value;

use crate::bench::{Bench, assert_on_disk};
use crate::forms;
use crate::wire::{ask, assert_in_registry};

const SIGNATURE: &str = "application/vnd.example.signature";

/// An index with a signature, a note on the signature, and an index that refers to it.
struct Family {
    subject: TestImage,
    signature: TestImage,
    note: TestImage,
    set: TestImage,
}

impl Family {
    fn new() -> Self {
        let subject = forms::index();
        let signature = referrer(&subject, SIGNATURE, "signed");
        let note = referrer(&signature, "application/vnd.example.note", "noted");
        let member = ImageMaker::new().text_layer("report", "none").build();
        let set = referrer_index(&subject, "application/vnd.example.set", &[member]);
        Self { subject, signature, note, set }
    }

    fn layout(&self, bench: &Bench) -> String {
        let all = [&self.signature, &self.note, &self.set, &self.subject];
        bench.layout("family", "v1", &all)
    }

    /// Every digest that refers to the subject or to what refers to it.
    fn digests(&self) -> BTreeSet<String> {
        [&self.signature, &self.note, &self.set].map(|one| one.digest().to_string()).into()
    }
}

/// What `oras discover` finds below an image, at all depths.
fn discovered(oras: &Peer, arguments: &[&str]) -> BTreeSet<String> {
    let said = oras.succeed(["discover", "--format", "json"].iter().chain(arguments));
    let mut found = BTreeSet::new();
    below(&serde_json::from_str(&said).unwrap(), &mut found);
    found
}

fn below(node: &Value, found: &mut BTreeSet<String>) {
    let empty = Vec::new();
    for child in node["referrers"].as_array().unwrap_or(&empty) {
        found.insert(child["digest"].as_str().unwrap().to_owned());
        below(child, found);
    }
}

#[test]
fn oras_discovers_what_corten_pushed_to_a_registry_without_the_api() {
    let (Some(oras), Some(registry)) = (Peer::find("oras"), DockerRegistry::start()) else {
        return;
    };
    let (bench, family) = (Bench::new(), Family::new());
    let pushed = registry.reference("team/app:v1");
    let origin = format!("oci:{}:v1", family.layout(&bench));
    let copied = bench.report(&["copy", "--referrers", &origin, &pushed]);
    // Three refer, and one is a member of the index that does.
    assert_eq!(copied["referrers"], Value::from(4), "{copied}");
    for image in [&family.signature, &family.note, &family.set] {
        assert_in_registry(registry.host(), "team/app", image.digest().as_str(), image);
    }
    assert_eq!(discovered(&oras, &["--plain-http", &pushed]), family.digests());
    let tag = family.subject.digest().as_str().replace(':', "-");
    assert_eq!(ask(registry.host(), &format!("team/app/manifests/{tag}")).status, 200);
    // Again is the same: nothing stands there twice.
    bench.corten(&["copy", "--referrers", &origin, &pushed]);
    let list = ask(registry.host(), &format!("team/app/manifests/{tag}")).body;
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 2, "{list}");
    // oras takes them along from there, and from our layout.
    let theirs = bench.at("theirs");
    let to = format!("{theirs}:v1");
    oras.succeed(["cp", "-r", "--from-plain-http", "--to-oci-layout", &pushed, &to]);
    let again = registry.reference("again/app:v1");
    bench.corten(&["copy", "--referrers", &format!("oci:{to}"), &again]);
    assert_eq!(discovered(&oras, &["--plain-http", &again]), family.digests());
    let ours = format!("{}:v1", bench.at("family"));
    assert_eq!(discovered(&oras, &["--oci-layout", &ours]), family.digests());
    let third = registry.reference("third/app:v1");
    oras.succeed(["cp", "-r", "--to-plain-http", "--from-oci-layout", &ours, &third]);
    bench.corten(&["pull", "--referrers", "--all-platforms", &third, "example.com/family:v1"]);
    for image in [&family.subject, &family.signature, &family.note, &family.set] {
        assert_on_disk(bench.store(), image, "pulled");
    }
    let store = [&bench.store(), "example.com/family:v1"];
    assert_eq!(discovered(&oras, &["--oci-layout-path", store[0], store[1]]), family.digests());
}

/// Attaches a signature to `subject` with oras, then one to that; gives their digests.
fn attach(oras: &Peer, bench: &Bench, subject: &str) -> BTreeSet<String> {
    bench.write("attached/signature", "signed");
    let attach = |subject: &str| {
        let mut command = oras.command();
        command.current_dir(bench.path("attached"));
        command.args(["attach", "--plain-http", "--format", "json", "--artifact-type", SIGNATURE]);
        let output = command.args([subject, "signature"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["digest"].as_str().unwrap().to_owned()
    };
    let first = attach(subject);
    let (repository, _) = subject.rsplit_once(':').unwrap();
    let second = attach(&format!("{repository}@{first}"));
    [first, second].into()
}

#[test]
fn corten_takes_along_what_oras_attached() {
    let Some(oras) = Peer::find("oras") else { return };
    let Some(reference) = DockerRegistry::start() else { return };
    let api = TestRegistry::start();
    let bench = Bench::new();
    let image = forms::single();
    let origin = format!("oci:{}:v1", bench.layout("origin", "v1", &[&image]));
    // By the fallback here, by the API there; each to the other and into a layout.
    let places = [reference.reference("team/app:v1"), api.reference("team/app:v1")];
    let targets = [api.reference("back/app:v1"), reference.reference("back/app:v1")];
    for (number, (place, target)) in places.iter().zip(&targets).enumerate() {
        bench.corten(&["copy", &origin, place]);
        let attached = attach(&oras, &bench, place);
        let layout = format!("{}:v1", bench.at(&format!("layout-{number}")));
        bench.corten(&["copy", "--referrers", place, &format!("oci:{layout}")]);
        assert_eq!(discovered(&oras, &["--oci-layout", &layout]), attached);
        bench.corten(&["copy", "--referrers", &format!("oci:{layout}"), target]);
        assert_eq!(discovered(&oras, &["--plain-http", target]), attached);
        let tree = bench.report(&["inspect", "--tree", target]).to_string();
        assert!(attached.iter().all(|digest| tree.contains(digest)), "{tree}");
    }
}
