//! Rule: two public types never share a name, and a public type has one public path.
//!
//! The modules of each library are laid out from its sources, and its public paths are walked from
//! `lib.rs` on: public modules, and the `pub use` lines that lift names out of private ones. Only
//! `corten` re-exports what is another crate's, and only there may two verbs have a type of one name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::workspace::{Package, Role, Source, is_for_tests, line_of};
use super::{Offence, Rule, Workspace};

/// The crate that puts the others together.
const TOP: &str = "corten";

/// Longest chain of re-exports that is followed.
const MOST_HOPS: usize = 16;

/// Where a type is defined.
type Site = (PathBuf, usize);

/// Modules from the root down, as in `crate::a::b`.
type ModulePath = Vec<String>;

#[derive(Default)]
struct Module {
    types: BTreeMap<String, (Site, Reach)>,
    children: BTreeMap<String, Reach>,
    uses: Vec<Use>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    Inside,
}

/// One `pub use`: what it names, what it is called here, and where it stands.
struct Use {
    path: Vec<String>,
    name: Option<String>,
    site: Site,
}

type Library = BTreeMap<ModulePath, Module>;

pub(super) fn check(workspace: &Workspace) -> Vec<Offence> {
    let names: Vec<String> =
        workspace.packages.iter().map(|package| package.name.replace('-', "_")).collect();
    let mut offences = Vec::new();
    let mut known: BTreeMap<String, (String, Site)> = BTreeMap::new();
    for package in workspace.packages.iter().filter(|p| p.folder().starts_with("crates")) {
        let library = lay_out(workspace, package);
        if package.name != TOP {
            offences.extend(foreign_uses(&library, &names));
        }
        let mut paths: BTreeMap<(String, Site), BTreeSet<String>> = BTreeMap::new();
        walk(&library, &Vec::new(), &package.name.replace('-', "_"), MOST_HOPS, &mut paths);
        for ((name, site), paths) in paths {
            if paths.len() > 1 {
                let list: Vec<&str> = paths.iter().map(String::as_str).collect();
                let advice = format!("`{name}` has the paths {}; keep one", list.join(" and "));
                offences.push(offence(&site, advice));
            }
            match known.get(&name) {
                Some((owner, _)) if *owner == package.name && owner == TOP => {}
                Some((_, first)) => {
                    let first = format!("{}:{}", first.0.display(), first.1);
                    let advice =
                        format!("a public type `{name}` stands in {first} too; rename one");
                    offences.push(offence(&site, advice));
                }
                None => {
                    known.insert(name, (package.name.clone(), site));
                }
            }
        }
    }
    offences
}

fn offence(site: &Site, advice: String) -> Offence {
    Offence { path: site.0.clone(), line: site.1, rule: Rule::Twice, advice }
}

fn foreign_uses(library: &Library, ours: &[String]) -> Vec<Offence> {
    let uses = library.values().flat_map(|module| &module.uses);
    uses.filter(|line| line.path.first().is_some_and(|first| ours.contains(first)))
        .map(|line| {
            let path = line.path.join("::");
            offence(&line.site, format!("`{path}` has its path there; only `{TOP}` re-exports"))
        })
        .collect()
}

/// The modules of the package's library.
fn lay_out(workspace: &Workspace, package: &Package) -> Library {
    let mut library = Library::new();
    let folder = package.folder().join("src");
    for source in workspace.sources.iter().filter(|source| source.role == Role::Product) {
        if let Some(path) = source.path.strip_prefix(&folder).ok().and_then(module_path) {
            lay_out_items(&mut library, source, &path, &source.syntax.items);
        }
    }
    library
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; binaries are no part of the library.
fn module_path(file: &Path) -> Option<ModulePath> {
    let mut path: ModulePath =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match path.last().map(String::as_str) {
        Some("main") if path.len() == 1 => return None,
        Some("lib") if path.len() == 1 => path.clear(),
        Some("mod") => path.truncate(path.len().saturating_sub(1)),
        _ if path.first().is_some_and(|first| first == "bin") => return None,
        _ => {}
    }
    Some(path)
}

fn lay_out_items(library: &mut Library, source: &Source, path: &ModulePath, items: &[syn::Item]) {
    let mut module = library.remove(path).unwrap_or_default();
    for item in items {
        let (attributes, named) = match item {
            syn::Item::Struct(item) => (&item.attrs, Some((&item.ident, &item.vis))),
            syn::Item::Enum(item) => (&item.attrs, Some((&item.ident, &item.vis))),
            syn::Item::Union(item) => (&item.attrs, Some((&item.ident, &item.vis))),
            syn::Item::Trait(item) => (&item.attrs, Some((&item.ident, &item.vis))),
            syn::Item::Type(item) => (&item.attrs, Some((&item.ident, &item.vis))),
            syn::Item::Mod(item) => (&item.attrs, None),
            syn::Item::Use(item) => (&item.attrs, None),
            _ => continue,
        };
        if is_for_tests(attributes) {
            continue;
        }
        if let Some((name, visibility)) = named {
            let site = (source.path.clone(), line_of(name));
            module.types.insert(name.to_string(), (site, reach(visibility)));
        }
        if let syn::Item::Mod(child) = item {
            module.children.insert(child.ident.to_string(), reach(&child.vis));
            if let Some((_, items)) = &child.content {
                let path = [path.clone(), vec![child.ident.to_string()]].concat();
                lay_out_items(library, source, &path, items);
            }
        }
        if let syn::Item::Use(lines) = item
            && reach(&lines.vis) == Reach::Public
        {
            let site = (source.path.clone(), line_of(lines));
            spread(&lines.tree, &Vec::new(), &site, &mut module.uses);
        }
    }
    library.insert(path.clone(), module);
}

fn reach(visibility: &syn::Visibility) -> Reach {
    match visibility {
        syn::Visibility::Public(_) => Reach::Public,
        _ => Reach::Inside,
    }
}

fn spread(tree: &syn::UseTree, before: &[String], site: &Site, uses: &mut Vec<Use>) {
    let joined = |name: &syn::Ident| match name {
        name if name == "self" => before.to_vec(),
        name => [before, &[name.to_string()]].concat(),
    };
    match tree {
        syn::UseTree::Path(path) => {
            let before = [before, &[path.ident.to_string()]].concat();
            spread(&path.tree, &before, site, uses);
        }
        syn::UseTree::Group(group) => {
            group.items.iter().for_each(|tree| spread(tree, before, site, uses));
        }
        syn::UseTree::Name(name) => {
            let path = joined(&name.ident);
            uses.push(Use { name: path.last().cloned(), path, site: site.clone() });
        }
        syn::UseTree::Rename(rename) => uses.push(Use {
            path: joined(&rename.ident),
            name: Some(rename.rename.to_string()),
            site: site.clone(),
        }),
        syn::UseTree::Glob(_) => {
            uses.push(Use { path: before.to_vec(), name: None, site: site.clone() });
        }
    }
}

/// What a path inside a library leads to.
enum Target {
    Module(ModulePath),
    Type(String, Site),
}

/// Notes every public path below the public module `at`, which is called `called`.
fn walk(
    library: &Library,
    at: &ModulePath,
    called: &str,
    hops: usize,
    paths: &mut BTreeMap<(String, Site), BTreeSet<String>>,
) {
    let Some(module) = library.get(at).filter(|_| hops > 0) else { return };
    for (name, (site, reach)) in &module.types {
        if *reach == Reach::Public {
            let path = format!("{called}::{name}");
            paths.entry((name.clone(), site.clone())).or_default().insert(path);
        }
    }
    for (name, reach) in &module.children {
        if *reach == Reach::Public {
            let child = [at.clone(), vec![name.clone()]].concat();
            walk(library, &child, &format!("{called}::{name}"), hops - 1, paths);
        }
    }
    for line in &module.uses {
        match (resolve(library, at, &line.path, hops - 1), &line.name) {
            (Some(Target::Module(target)), None) => {
                walk(library, &target, called, hops - 1, paths);
            }
            (Some(Target::Module(target)), Some(name)) => {
                walk(library, &target, &format!("{called}::{name}"), hops - 1, paths);
            }
            (Some(Target::Type(defined, site)), Some(name)) => {
                let path = format!("{called}::{name}");
                paths.entry((defined, site)).or_default().insert(path);
            }
            _ => {}
        }
    }
}

/// Follows `path` as it reads in the module `from`; `None` when it leads out of the library.
fn resolve(library: &Library, from: &ModulePath, path: &[String], hops: usize) -> Option<Target> {
    let (first, rest) = path.split_first()?;
    let start: ModulePath = match first.as_str() {
        "crate" => Vec::new(),
        "self" => from.clone(),
        "super" => from.split_last()?.1.to_vec(),
        _ => return step(library, from, path, hops),
    };
    match rest {
        [] => Some(Target::Module(start)),
        [next, ..] if next == "super" => resolve(library, &start, rest, hops),
        _ => step(library, &start, rest, hops),
    }
}

/// Follows `path` down from the module `at`.
fn step(library: &Library, at: &ModulePath, path: &[String], hops: usize) -> Option<Target> {
    let module = library.get(at).filter(|_| hops > 0)?;
    let (first, rest) = path.split_first()?;
    if module.children.contains_key(first) {
        let child = [at.clone(), vec![first.clone()]].concat();
        return match rest {
            [] => Some(Target::Module(child)),
            _ => step(library, &child, rest, hops),
        };
    }
    if let (Some((site, _)), []) = (module.types.get(first), rest) {
        return Some(Target::Type(first.clone(), site.clone()));
    }
    let lifted = module.uses.iter().find(|line| line.name.as_ref() == Some(first))?;
    match resolve(library, at, &lifted.path, hops - 1)? {
        Target::Module(target) if !rest.is_empty() => step(library, &target, rest, hops - 1),
        found if rest.is_empty() => Some(found),
        _ => None,
    }
}
