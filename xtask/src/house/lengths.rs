//! Rule: files end after 600 lines and functions after 80.
//!
//! The unit tests at the end of a file do not count towards its length; their functions do towards
//! theirs. A file of tests may have 1000 lines.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::workspace::{Role, Source, is_for_tests, line_of};
use super::{Offence, Rule, Workspace};

const MOST_LINES: usize = 600;
const MOST_TEST_LINES: usize = 1000;
const MOST_FUNCTION_LINES: usize = 80;

pub(super) fn check(workspace: &Workspace) -> Vec<Offence> {
    workspace.sources.iter().flat_map(measure).collect()
}

fn measure(source: &Source) -> Vec<Offence> {
    let offence =
        |line, advice| Offence { path: source.path.clone(), line, rule: Rule::Length, advice };
    let mut offences = Vec::new();
    let (lines, limit) = match source.role {
        Role::Product => (lines_before_tests(source), MOST_LINES),
        Role::Test => (source.text.lines().count(), MOST_TEST_LINES),
    };
    if lines > limit {
        let advice = format!("{lines} lines; split the file so that none has over {limit}");
        offences.push(offence(limit, advice));
    }
    let mut functions = Functions::default();
    functions.visit_file(&source.syntax);
    for (line, name, lines) in functions.0 {
        if lines > MOST_FUNCTION_LINES {
            let advice = format!(
                "`{name}` has {lines} lines; split it so that none has over {MOST_FUNCTION_LINES}"
            );
            offences.push(offence(line, advice));
        }
    }
    offences
}

/// Lines of the file without the test module that ends it.
fn lines_before_tests(source: &Source) -> usize {
    match source.syntax.items.last() {
        Some(syn::Item::Mod(module)) if module.content.is_some() && is_for_tests(&module.attrs) => {
            module.attrs.first().map_or(line_of(module), line_of).saturating_sub(1)
        }
        _ => source.text.lines().count(),
    }
}

/// Line, name and length of every function, attributes and comments above it not counted.
#[derive(Default)]
struct Functions(Vec<(usize, String, usize)>);

impl Functions {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let last = block.span().end().line;
        self.0.push((first, signature.ident.to_string(), last.saturating_sub(first) + 1));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}
