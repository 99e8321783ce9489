//! Rule: no words that say nothing, and one word for one thing.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use syn::visit::{self, Visit};

use super::workspace::{Source, line_of};
use super::{Offence, Rule, Workspace};

/// Beginnings of function names that say nothing.
const IDLE_VERBS: [&str; 4] = ["get_", "do_", "handle_", "process_"];

/// Words that say nothing in the name of a type, module or file.
const IDLE_NOUNS: [&str; 11] = [
    "manager",
    "managers",
    "helper",
    "helpers",
    "util",
    "utils",
    "utility",
    "utilities",
    "common",
    "misc",
    "stuff",
];

/// Names of things that have another word here. A type of such a name is a synonym.
const SYNONYMS: [(&str, &str); 33] = [
    ("ImageName", "Reference"),
    ("ImageRef", "Reference"),
    ("ImageReference", "Reference"),
    ("PullSpec", "Reference"),
    ("Pullspec", "Reference"),
    ("SpecString", "Reference"),
    ("Endpoint", "Location"),
    ("MirrorUrl", "Location"),
    ("Hash", "Digest"),
    ("Checksum", "Digest"),
    ("RawManifest", "Document"),
    ("RawIndex", "Document"),
    ("RawConfig", "Document"),
    ("RawDocument", "Document"),
    ("ManifestList", "Index"),
    ("ImageIndex", "Index"),
    ("ImageManifest", "Manifest"),
    ("ImageJson", "ImageConfig"),
    ("BlobId", "DiffId"),
    ("RootFsId", "DiffId"),
    ("RootfsId", "DiffId"),
    ("Arch", "Platform"),
    ("ArchString", "Platform"),
    ("Storage", "Store"),
    ("Backend", "Store"),
    ("Client", "a port, or Registry"),
    ("Driver", "a port"),
    ("Provider", "a port"),
    ("Attachment", "Referrer"),
    ("DiscoveryResult", "Delegation"),
    ("ContainerDir", "Bundle"),
    ("StageGraph", "Plan"),
    ("ConversionWarning", "Loss"),
];

/// Words that have their meaning in one place and are synonyms elsewhere.
const AT_HOME: [(&str, &[&str], &str); 1] =
    [("Sandbox", &["corten-engine", "corten-testkit"], "Bundle")];

pub(super) fn check(workspace: &Workspace) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut folders = BTreeSet::new();
    for source in &workspace.sources {
        let mut names = Names { owner: &source.owner, found: Vec::new() };
        names.visit_file(&source.syntax);
        let offence =
            |(line, advice)| Offence { path: source.path.clone(), line, rule: Rule::Name, advice };
        offences.extend(names.found.into_iter().map(offence));
        offences.extend(idle_places(source, &mut folders));
    }
    offences
}

/// The file, and the folders above it, whose names say nothing; each folder once.
fn idle_places(source: &Source, seen: &mut BTreeSet<PathBuf>) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut place = PathBuf::new();
    for component in source.path.components() {
        place.push(component);
        let Component::Normal(name) = component else { continue };
        let stem = Path::new(name).file_stem().unwrap_or(name).to_string_lossy().into_owned();
        if is_idle_noun(&stem, &source.owner) && seen.insert(place.clone()) {
            let advice = format!("`{}` says nothing; name it by what it holds", place.display());
            offences.push(Offence { path: source.path.clone(), line: 1, rule: Rule::Name, advice });
        }
    }
    offences
}

/// The words of `snake_case`, `kebab-case` and `CamelCase`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c == '-' || c == '.' || c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A credential helper is the field's own word for a program that keeps credentials; the registry
/// client speaks with them.
fn is_idle_noun(name: &str, owner: &str) -> bool {
    let words = words(name);
    let credential =
        owner == "corten-registry" || words.first().is_some_and(|word| word == "credential");
    let is_idle = |word: &String| IDLE_NOUNS.contains(&word.as_str());
    words.iter().any(|word| is_idle(word) && !(credential && word == "helper"))
}

struct Names<'a> {
    owner: &'a str,
    found: Vec<(usize, String)>,
}

impl Names<'_> {
    fn function(&mut self, name: &syn::Ident) {
        let text = name.to_string();
        if let Some(verb) = IDLE_VERBS.iter().find(|verb| text.starts_with(**verb)) {
            let advice = format!("`{text}`: `{verb}` says nothing; name what the function does");
            self.found.push((line_of(name), advice));
        }
    }

    fn noun(&mut self, name: &syn::Ident) {
        let text = name.to_string();
        if is_idle_noun(&text, self.owner) {
            let advice = format!("`{text}` says nothing; name it by what it holds");
            self.found.push((line_of(name), advice));
        }
    }

    fn defined(&mut self, name: &syn::Ident) {
        self.noun(name);
        let text = name.to_string();
        let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == text).map(|(_, word)| *word);
        let stray =
            AT_HOME.iter().find(|(word, homes, _)| *word == text && !homes.contains(&self.owner));
        if let Some(word) = synonym.or(stray.map(|(_, _, word)| *word)) {
            let advice = format!("`{text}`: the vocabulary of ARCHITECTURE.md says {word}");
            self.found.push((line_of(name), advice));
        }
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident);
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        // The names in an implementation of a trait are the trait's.
        if item.trait_.is_none() {
            for member in &item.items {
                if let syn::ImplItem::Fn(function) = member {
                    self.function(&function.sig.ident);
                }
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.sig.ident);
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.noun(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.defined(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.defined(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.defined(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.defined(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        self.defined(&item.ident);
        visit::visit_item_union(self, item);
    }
}
