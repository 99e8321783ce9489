//! What an image keeps of a project, so that templates can be rendered again when a container starts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{MAX_RENDERED_ALL, ProjectError, ProjectValues, Rendered, Rendering};

/// Where an image keeps it.
pub const START_FILE: &str = "/etc/corten/start.json";

/// Most bytes of it.
pub const MAX_START: usize = 16 * 1024 * 1024;

/// Attributes and templates, and the files that are rendered again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartFile {
    /// The values of the build.
    pub attributes: Map<String, Value>,
    /// All templates by name, as they may use each other.
    pub templates: BTreeMap<String, String>,
    /// Which file is rendered of which template, by its path in the image.
    pub files: BTreeMap<String, String>,
}

impl StartFile {
    /// Reads one, which an image has and anybody may have written.
    ///
    /// # Errors
    /// Where it is too large or is none.
    pub fn parse(text: &str) -> Result<Self, ProjectError> {
        let file = START_FILE.to_owned();
        if text.len() > MAX_START {
            return Err(ProjectError::TooLarge { file, limit: MAX_START });
        }
        serde_json::from_str(text)
            .map_err(|error| ProjectError::Values { file, why: error.to_string() })
    }

    /// As an image keeps it: the same for the same project.
    ///
    /// # Errors
    /// Where it is larger than what [`StartFile::parse`] takes.
    pub fn text(&self) -> Result<String, ProjectError> {
        let file = START_FILE.to_owned();
        let text = serde_json::to_string(self)
            .map_err(|error| ProjectError::Values { file: file.clone(), why: error.to_string() })?;
        if text.len() > MAX_START {
            return Err(ProjectError::TooLarge { file, limit: MAX_START });
        }
        Ok(text)
    }

    /// What its files become with `values` over those of the build, by their paths.
    ///
    /// # Errors
    /// Where a template is none, or a value is missing.
    pub fn render(&self, values: &ProjectValues) -> Result<Vec<(String, String)>, ProjectError> {
        self.files(&self.rendering(values).render()?)
    }

    /// What is to be rendered for that.
    pub fn rendering(&self, values: &ProjectValues) -> Rendering {
        let mut all = ProjectValues::of(self.attributes.clone());
        all.lay_over(values);
        Rendering {
            values: all.all().clone(),
            templates: self.templates.clone(),
            text: None,
            wanted: self.files.values().cloned().collect(),
        }
    }

    /// Its files, of what was rendered.
    ///
    /// # Errors
    /// Where one of them is missing there, or they are larger than [`MAX_RENDERED_ALL`] together.
    pub fn files(&self, rendered: &Rendered) -> Result<Vec<(String, String)>, ProjectError> {
        let mut all = 0_usize;
        let one = |(path, name): (&String, &String)| {
            let file = || START_FILE.to_owned();
            let lost = || format!("there is no template '{name}' for {path}");
            let text = rendered.templates.get(name);
            let text = text.ok_or_else(|| ProjectError::Template { file: file(), why: lost() })?;
            all = all.saturating_add(text.len());
            if all > MAX_RENDERED_ALL {
                return Err(ProjectError::TooLarge { file: file(), limit: MAX_RENDERED_ALL });
            }
            Ok((path.clone(), text.clone()))
        };
        self.files.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rendered_again_with_other_values() {
        let mut values = ProjectValues::default();
        values.lay("a.json", "{\"web\": {\"port\": 80, \"host\": \"h\"}}").unwrap();
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let start = StartFile {
            attributes: values.all().clone(),
            templates: map(&[
                ("x.tmpl", "{% include '_p' %}:{{ web.port }}"),
                ("_p", "{{ web.host }}"),
            ]),
            files: map(&[("/x", "x.tmpl")]),
        };
        let start = StartFile::parse(&start.text().unwrap()).unwrap();
        let mut over = ProjectValues::default();
        over.set("web.port=81").unwrap();
        assert_eq!(start.render(&over).unwrap(), [("/x".to_owned(), "h:81".to_owned())]);
        assert!(StartFile::parse("{\"files\": 1}").is_err());
        let lost = StartFile { files: map(&[("/y", "no")]), ..start };
        assert!(lost.render(&over).is_err());
    }
}
