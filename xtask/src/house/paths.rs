//! Paths as they are meant: every path of a file with its imports written out, macros included.

use std::collections::BTreeMap;

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::workspace::{is_for_tests, line_of};

/// A path, written out, and the line it stands on. A macro's path ends with `!`.
pub(super) struct Mention {
    pub(super) path: String,
    pub(super) line: usize,
}

/// Every path in the product part of a file: imports, uses, and what stands inside macros.
pub(super) fn mentions(file: &syn::File) -> Vec<Mention> {
    let mut imports = Imports::default();
    imports.visit_file(file);
    let mut walk = Walk { short: BTreeMap::new(), found: Vec::new() };
    for (full, short, line) in imports.0 {
        walk.found.push(Mention { path: full.clone(), line });
        walk.short.insert(short, full);
    }
    walk.visit_file(file);
    walk.found
}

/// Items that exist in tests alone are nobody's offence here.
fn is_test_item(item: &syn::Item) -> bool {
    match item {
        syn::Item::Mod(item) => is_for_tests(&item.attrs),
        syn::Item::Fn(item) => is_for_tests(&item.attrs),
        syn::Item::Impl(item) => is_for_tests(&item.attrs),
        syn::Item::Use(item) => is_for_tests(&item.attrs),
        syn::Item::Struct(item) => is_for_tests(&item.attrs),
        syn::Item::Const(item) => is_for_tests(&item.attrs),
        syn::Item::Static(item) => is_for_tests(&item.attrs),
        _ => false,
    }
}

/// Full path, local name and line of every import.
#[derive(Default)]
struct Imports(Vec<(String, String, usize)>);

impl Imports {
    fn spread(&mut self, tree: &syn::UseTree, before: &str) {
        let joined = |name: &syn::Ident| match before {
            "" => name.to_string(),
            _ => format!("{before}::{name}"),
        };
        match tree {
            syn::UseTree::Path(path) => self.spread(&path.tree, &joined(&path.ident)),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.spread(tree, before));
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                let short = before.rsplit("::").next().unwrap_or(before).to_owned();
                self.0.push((before.to_owned(), short, line_of(name)));
            }
            syn::UseTree::Name(name) => {
                self.0.push((joined(&name.ident), name.ident.to_string(), line_of(name)));
            }
            syn::UseTree::Rename(rename) => {
                let full =
                    if rename.ident == "self" { before.to_owned() } else { joined(&rename.ident) };
                self.0.push((full, rename.rename.to_string(), line_of(rename)));
            }
            syn::UseTree::Glob(glob) => {
                self.0.push((format!("{before}::*"), String::new(), line_of(glob)));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test_item(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.spread(&item.tree, "");
    }
}

struct Walk {
    short: BTreeMap<String, String>,
    found: Vec<Mention>,
}

impl Walk {
    fn mention(&mut self, segments: &[String], line: usize) {
        let Some((first, rest)) = segments.split_first() else { return };
        let first = self.short.get(first).unwrap_or(first);
        let path = rest.iter().fold(first.clone(), |path, segment| format!("{path}::{segment}"));
        self.found.push(Mention { path, line });
    }

    /// The paths among the tokens of a macro: identifiers joined by `::`, and `name!`.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.mention(&std::mem::take(&mut path), line);
                    }
                    line = ident.span().start().line;
                    path.push(ident.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Punct(punct)
                    if punct.as_char() == '!' && punct.spacing() == Spacing::Alone =>
                {
                    if let Some(last) = path.last_mut() {
                        last.push('!');
                    }
                }
                TokenTree::Group(group) => self.scan(group.stream()),
                _ => {}
            }
            self.mention(&std::mem::take(&mut path), line);
            colons = 0;
        }
        self.mention(&path, line);
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test_item(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.mention(&segments, line_of(path));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let mut segments: Vec<String> =
            item.path.segments.iter().map(|s| s.ident.to_string()).collect();
        if let Some(last) = segments.last_mut() {
            last.push('!');
        }
        self.mention(&segments, line_of(&item.path));
        self.scan(item.tokens.clone());
    }
}
