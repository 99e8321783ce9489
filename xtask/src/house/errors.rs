//! Rule: an error enum is one family of operations, with twelve variants at the most.

use syn::visit::{self, Visit};

use super::workspace::line_of;
use super::{Offence, Rule, Workspace};

const MOST_VARIANTS: usize = 12;

pub(super) fn check(workspace: &Workspace) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in &workspace.sources {
        let mut enums = Crowded::default();
        enums.visit_file(&source.syntax);
        offences.extend(enums.0.into_iter().map(|(line, name, count)| Offence {
            path: source.path.clone(),
            line,
            rule: Rule::Errors,
            advice: format!(
                "`{name}` has {count} variants; split the family so that none has over {MOST_VARIANTS}"
            ),
        }));
    }
    offences
}

#[derive(Default)]
struct Crowded(Vec<(usize, String, usize)>);

impl<'ast> Visit<'ast> for Crowded {
    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        let name = item.ident.to_string();
        let count = item.variants.len();
        if count > MOST_VARIANTS && (name.ends_with("Error") || derives_error(&item.attrs)) {
            self.0.push((line_of(&item.ident), name, count));
        }
        visit::visit_item_enum(self, item);
    }
}

fn derives_error(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let mut found = false;
        let walked = attribute.parse_nested_meta(|derived| {
            found |= derived.path.segments.last().is_some_and(|last| last.ident == "Error");
            Ok(())
        });
        found && walked.is_ok()
    })
}
