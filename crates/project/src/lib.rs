//! Projects: what `image.toml`, its attributes and its templates say, and nothing about how it is done.
//!
//! ```text
//! image.toml               the project; rendered with the attributes before it is read
//! attributes/*.{toml,yaml,json}   values, a later file over an earlier one, what is set over all
//! files/                   copied as they are
//! templates/**.tmpl        rendered, and copied without .tmpl; a name that begins with _ is a part of others
//! tests/*.sh               carried out on the image before it gets its name
//! ```
//!
//! This crate reads texts and gives values: no files, no images, no clock. Everything it is given is bounded: the
//! nesting of templates before they are parsed, their steps, and the bytes that they make on the way and in the end. A
//! caller who does not trust a template renders it in a process of its own all the same: see [`Rendering`].
//!
//! ```
//! use corten_project::{ProjectFile, ProjectValues, Templates};
//!
//! let mut values = ProjectValues::default();
//! values.lay("a.toml", "[web]\nport = 80\n")?;
//! values.lay("b.yaml", "web: {host: example.com}\n")?;
//! values.set("web.port=8080")?;
//! let mut templates = Templates::new(&values);
//! templates.add("motd.tmpl", "at {{ web.host }}:{{ web.port }}\n")?;
//! assert_eq!(templates.render("motd.tmpl")?, "at example.com:8080\n");
//! let text = templates.render_text("image.toml", "from = 'debian:13'\n[config]\nexpose = ['{{ web.port }}']\n")?;
//! let project = ProjectFile::parse(&text)?;
//! assert_eq!(project.config.expose, ["8080"]);
//! # Ok::<(), corten_project::ProjectError>(())
//! ```

mod error;
mod file;
mod nesting;
mod rendering;
mod start;
mod template;
mod values;

pub use error::ProjectError;
pub use file::{
    BuilderPhase, MAX_PROJECT, Phase, ProjectConfig, ProjectFile, ProjectTest, TakenFiles,
    TemplateRule,
};
pub use rendering::{Rendered, Rendering};
pub use start::{MAX_START, START_FILE, StartFile};
pub use template::{MAX_RENDERED, MAX_RENDERED_ALL, MAX_TEMPLATE, MAX_TEMPLATES, Templates};
pub use values::{MAX_VALUES, ProjectValues};
