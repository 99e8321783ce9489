//! A rendering as a value: all that it needs and all that it gives, so that it can be done in a process of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ProjectError, ProjectValues, Templates};

/// What is rendered, of what.
///
/// The steps of templates and the bytes that they make are bounded wherever this is rendered. What the engine of
/// templates may still take of the stack and of memory is bounded by a process of its own, which is why this can be
/// written down and read again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendering {
    /// The values that templates see.
    pub values: Map<String, Value>,
    /// All templates by name, as they may use each other.
    pub templates: BTreeMap<String, String>,
    /// A text that is none of them, with its name, which is rendered first.
    pub text: Option<(String, String)>,
    /// Which templates are rendered.
    pub wanted: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendered {
    /// The text that is no template.
    pub text: Option<String>,
    /// The templates that were wanted, by name.
    pub templates: BTreeMap<String, String>,
}

impl Rendering {
    /// Renders it.
    ///
    /// # Errors
    /// Where a template is none, a value is missing, or one of the limits is passed.
    pub fn render(&self) -> Result<Rendered, ProjectError> {
        let mut templates = Templates::new(&ProjectValues::of(self.values.clone()));
        for (name, text) in &self.templates {
            templates.add(name, text)?;
        }
        let text = self.text.as_ref().map(|(name, text)| templates.render_text(name, text));
        let mut rendered = Rendered { text: text.transpose()?, ..Rendered::default() };
        for name in &self.wanted {
            if !rendered.templates.contains_key(name) {
                rendered.templates.insert(name.clone(), templates.render(name)?);
            }
        }
        Ok(rendered)
    }
}
