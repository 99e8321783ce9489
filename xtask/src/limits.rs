//! The page of limits: every named limit of the libraries, as its constant says it.
//!
//! A limit is a constant whose name begins with `MAX_` or `MIN_`, or a field of a struct whose name ends
//! with `Limits`, with its value in `Default`. Its doc comment is the page's sentence.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::house::Workspace;
use crate::house::{Source, is_for_tests};

/// One row of the page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Limit {
    owner: String,
    place: String,
    name: String,
    value: String,
    words: String,
}

/// The page, as Markdown.
pub fn page(workspace: &Workspace) -> String {
    let mut page = "<!-- Made by `cargo xtask cli` from the sources; do not edit. -->\n\n# Limits\n\n\
        Whatever is read from outside has a limit with a name. Going beyond one is an error that names\n\
        the object and the limit, or, where the sentence says so, a part that is left out.\n"
        .to_owned();
    let mut owner = String::new();
    for limit in limits(workspace) {
        if limit.owner != owner {
            owner = limit.owner;
            // Writing to a String cannot fail.
            let _ = write!(
                page,
                "\n## {owner}\n\n| In | Limit | Value | Of what |\n|---|---|---|---|\n"
            );
        }
        let Limit { place, name, value, words, .. } = limit;
        let _ = writeln!(page, "| {place} | `{name}` | `{value}` | {words} |");
    }
    page
}

fn limits(workspace: &Workspace) -> Vec<Limit> {
    let mut found = Vec::new();
    for source in
        workspace.product(|owner| owner.starts_with("corten") && owner != "corten-testkit")
    {
        let mut walk = Walk { source, found: Vec::new(), fields: Vec::new() };
        walk.visit_file(&source.syntax);
        found.extend(walk.found);
    }
    found.sort();
    found
}

struct Walk<'a> {
    source: &'a Source,
    found: Vec<Limit>,
    /// Fields of limits whose values did not come by yet.
    fields: Vec<Field>,
}

struct Field {
    owner: String,
    name: String,
    words: String,
}

impl Walk<'_> {
    fn limit(&mut self, name: String, value: &syn::Expr, words: String) {
        let written = self.source.text.get(value.span().byte_range()).unwrap_or_default();
        let value = written.split_whitespace().collect::<Vec<_>>().join(" ");
        let owner = self.source.owner.clone();
        self.found.push(Limit { owner, place: place(&self.source.path), name, value, words });
    }

    fn constant(&mut self, name: &syn::Ident, value: &syn::Expr, attributes: &[syn::Attribute]) {
        let name_of = name.to_string();
        if name_of.starts_with("MAX_") || name_of.starts_with("MIN_") {
            self.limit(name.to_string(), value, sentence(attributes));
        }
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(&item.ident, &item.expr, &item.attrs);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(&item.ident, &item.expr, &item.attrs);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        let owner = item.ident.to_string();
        if owner.ends_with("Limits") {
            let named = item.fields.iter().filter_map(|field| Some((field.ident.as_ref()?, field)));
            let fields = named.map(|(name, field)| Field {
                owner: owner.clone(),
                name: name.to_string(),
                words: sentence(&field.attrs),
            });
            self.fields.extend(fields);
        }
    }

    fn visit_expr_struct(&mut self, item: &'ast syn::ExprStruct) {
        for field in &item.fields {
            let syn::Member::Named(name) = &field.member else { continue };
            let known = self.fields.iter().position(|known| *name == known.name);
            if let Some(known) = known {
                let Field { owner, name, words } = self.fields.remove(known);
                self.limit(format!("{owner}::{name}"), &field.expr, words);
            }
        }
        visit::visit_expr_struct(self, item);
    }
}

/// The file, from the source folder of its crate.
fn place(path: &Path) -> String {
    let inside = path.iter().skip_while(|part| *part != "src").skip(1);
    inside.collect::<PathBuf>().display().to_string()
}

/// The doc comment, as one line that can stand in a table.
fn sentence(attributes: &[syn::Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join(" ").replace('|', "\\|").replace("[`", "`").replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_and_fields_become_rows_in_order() {
        let source = "//! A planted file.\n\
            /// Most bytes of a document; see\n/// [`Document`].\n\
            pub const MAX_DOCUMENT: u64 = 8 *\n    1024;\n\
            const OTHER: u8 = 1;\n\
            /// Bounds.\npub struct Limits {\n    /// Longest path in bytes.\n    pub path: u64,\n}\n\
            impl Default for Limits {\n    fn default() -> Self {\n        Self { path: 4096 }\n    }\n}\n\
            #[cfg(test)]\nmod tests {\n    const MAX_TESTS: u8 = 1;\n}\n";
        let files = vec![
            (PathBuf::from("crates/a/Cargo.toml"), "[package]\nname = \"corten-a\"\n".to_owned()),
            (PathBuf::from("crates/a/src/lib.rs"), source.to_owned()),
        ];
        let page = page(&Workspace::of(files).unwrap());
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| lib")).collect();
        assert_eq!(
            rows,
            [
                "| lib.rs | `Limits::path` | `4096` | Longest path in bytes. |",
                "| lib.rs | `MAX_DOCUMENT` | `8 * 1024` | Most bytes of a document; see `Document`. |",
            ]
        );
        assert!(page.contains("\n## corten-a\n"), "{page}");
    }
}
