//! Templates: texts with holes for attributes. What has no value is an error, not nothing.

use std::cell::Cell;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Template, UndefinedBehavior};

use crate::nesting;
use crate::{ProjectError, ProjectValues};

/// Most bytes of a template.
pub const MAX_TEMPLATE: usize = 1024 * 1024;

/// Most templates of a project.
pub const MAX_TEMPLATES: usize = 4096;

/// Most bytes that a template becomes.
pub const MAX_RENDERED: usize = 16 * 1024 * 1024;

/// Most bytes that the templates of one rendering become together.
pub const MAX_RENDERED_ALL: usize = 64 * 1024 * 1024;

/// Most steps of one template, and of all of one rendering: none that people write comes near, and loops of loops end.
/// Each instruction is a step, and so are 64 bytes of anything that is made on the way: this bounds time and memory.
const MAX_STEPS: u64 = 2_000_000;

/// How deep templates may use each other, and macros themselves.
const MAX_CALLS: usize = 64;

/// The templates of a project, which may use each other by their names.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    values: minijinja::Value,
    count: usize,
    /// What the templates that were rendered took and became.
    steps: Cell<u64>,
    bytes: Cell<usize>,
}

impl Templates {
    /// With the attributes that they see.
    pub fn new(values: &ProjectValues) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // A config whose syntax is that of the engine's own defaults always builds.
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        // Steps do not count what these two make.
        environment.remove_filter("pprint");
        environment.remove_global("debug");
        environment.set_fuel(Some(MAX_STEPS));
        environment.set_recursion_limit(MAX_CALLS);
        let values = minijinja::Value::from(Serde(values.all()));
        Self { environment, values, count: 0, steps: Cell::new(0), bytes: Cell::new(0) }
    }

    /// Adds one.
    ///
    /// # Errors
    /// Where it is too large or is no template.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), ProjectError> {
        bounded(name, text)?;
        self.count += 1;
        if self.count > MAX_TEMPLATES {
            return Err(ProjectError::TooMany { what: "templates", limit: MAX_TEMPLATES });
        }
        let added = self.environment.add_template_owned(name.to_owned(), text.to_owned());
        added.map_err(|error| wrong(name, &error))
    }

    /// What one of them becomes.
    ///
    /// # Errors
    /// Where a value is missing, or it never ends.
    pub fn render(&self, name: &str) -> Result<String, ProjectError> {
        let template = self.environment.get_template(name).map_err(|error| wrong(name, &error))?;
        self.rendered(name, &template)
    }

    /// What a text of the name `name` becomes, which no template can use.
    ///
    /// # Errors
    /// As for [`Templates::render`].
    pub fn render_text(&self, name: &str, text: &str) -> Result<String, ProjectError> {
        bounded(name, text)?;
        let template = self.environment.template_from_named_str(name, text);
        let template = template.map_err(|error| wrong(name, &error))?;
        self.rendered(name, &template)
    }

    fn rendered(&self, name: &str, template: &Template<'_, '_>) -> Result<String, ProjectError> {
        let mut out = Bounded(Vec::new());
        let done = template.render_captured_to(self.values.clone(), &mut out);
        let done = done.map_err(|error| wrong(name, &error))?;
        let took = done.state().fuel_levels().map_or(0, |(took, _)| took);
        self.steps.set(self.steps.get().saturating_add(took));
        self.bytes.set(self.bytes.get().saturating_add(out.0.len()));
        if self.steps.get() > MAX_STEPS {
            let why = format!("with the templates before it takes over {MAX_STEPS} steps");
            return Err(ProjectError::Template { file: name.to_owned(), why });
        }
        if self.bytes.get() > MAX_RENDERED_ALL {
            let why = format!("with the templates before it becomes over {MAX_RENDERED_ALL} bytes");
            return Err(ProjectError::Template { file: name.to_owned(), why });
        }
        let why = |error: std::string::FromUtf8Error| error.to_string();
        String::from_utf8(out.0)
            .map_err(|error| ProjectError::Template { file: name.to_owned(), why: why(error) })
    }
}

/// Takes what may be taken.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED {
            return Err(std::io::Error::other(format!("over {MAX_RENDERED} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn bounded(name: &str, text: &str) -> Result<(), ProjectError> {
    if text.len() > MAX_TEMPLATE {
        return Err(ProjectError::TooLarge { file: name.to_owned(), limit: MAX_TEMPLATE });
    }
    nesting::check(text).map_err(|deep| ProjectError::TooDeep {
        file: name.to_owned(),
        line: deep.line,
        what: deep.what,
        limit: deep.limit,
    })
}

fn wrong(name: &str, error: &minijinja::Error) -> ProjectError {
    let mut why = error.kind().to_string();
    if let Some(detail) = error.detail() {
        why = format!("{why}: {detail}");
    }
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        why = format!("{why}: {inner}");
        source = inner.source();
    }
    if let Some(line) = error.line() {
        let file = error.name().unwrap_or(name);
        why = format!(
            "line {line}{}: {why}",
            if file == name { String::new() } else { format!(" of {file}") }
        );
    }
    ProjectError::Template { file: name.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(values: &str, all: &[(&str, &str)]) -> Templates {
        let mut read = ProjectValues::default();
        read.lay("a.json", values).unwrap();
        let mut templates = Templates::new(&read);
        for (name, text) in all {
            templates.add(name, text).unwrap();
        }
        templates
    }

    #[test]
    fn templates_have_values_loops_and_parts() {
        let made = templates(
            r#"{"hosts": ["a", "b"], "on": true, "html": "<&>"}"#,
            &[
                ("x.tmpl", "{% for h in hosts %}{% include '_h.tmpl' %}{% endfor %}{{ html }}\n"),
                (
                    "_h.tmpl",
                    "{{ loop.index if loop is defined else '' }}{{ h|upper }}{% if on %}!{% endif %}\n",
                ),
            ],
        );
        assert_eq!(made.render("x.tmpl").unwrap(), "1A!\n2B!\n<&>\n");
    }

    #[test]
    fn what_has_no_value_is_told_with_its_line() {
        let made = templates("{\"a\": {}}", &[("x.tmpl", "one\n{{ a.b }}\n")]);
        let error = made.render("x.tmpl").unwrap_err().to_string();
        assert!(error.starts_with("x.tmpl: line 2"), "{error}");
        let mut made = templates("{}", &[]);
        let error = made.add("y.tmpl", "{% if %}").unwrap_err().to_string();
        assert!(error.starts_with("y.tmpl: line 1"), "{error}");
        let error = made.render_text("image.toml", "{{ nothing }}").unwrap_err().to_string();
        assert!(error.starts_with("image.toml: line 1"), "{error}");
        assert!(made.render("missing").is_err());
    }

    #[test]
    fn what_never_ends_or_is_too_large_is_refused() {
        let never = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let itself = "{% include 'i.tmpl' %}";
        let made = templates("{}", &[("n.tmpl", never), ("i.tmpl", itself)]);
        assert!(made.render("n.tmpl").is_err());
        assert!(made.render("i.tmpl").is_err());
        let big = format!("{{% for a in range(100) %}}{}{{% endfor %}}", "x".repeat(200_000));
        let made = templates("{}", &[("b.tmpl", big.as_str())]);
        assert!(made.render("b.tmpl").is_err());
        let large = "x".repeat(MAX_TEMPLATE + 1);
        assert!(matches!(
            templates("{}", &[]).add("l", &large),
            Err(ProjectError::TooLarge { .. })
        ));
    }
}
