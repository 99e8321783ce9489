//! `image.toml`: phases by name, and what the image is. A word that is none is an error.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ProjectError;

/// Most bytes of a project file.
pub const MAX_PROJECT: usize = 1024 * 1024;

/// Most entries of any of its lists.
const MAX_ENTRIES: usize = 4096;

/// A project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ProjectFile {
    /// Names of the image, where none is given on the command line.
    pub names: Vec<String>,
    /// The image it is built on; nothing if absent.
    pub from: Option<String>,
    /// What is made elsewhere, and taken from there.
    pub builder: Option<BuilderPhase>,
    /// What runs before files are copied.
    pub build: Phase,
    /// What runs after.
    pub build_late: Phase,
    /// Instructions kept for those who build on the image.
    pub inherit: Vec<String>,
    /// What runs before the process, each time a container starts.
    pub prestart: Phase,
    /// How the image runs.
    pub config: ProjectConfig,
    /// Owner and mode of `files/`.
    pub files: TemplateRule,
    /// Owner and mode of templates, by their paths in the image.
    pub templates: BTreeMap<String, TemplateRule>,
    /// The image that tests run in, the built one being at `/image`; the built one itself if absent.
    pub tester: Option<String>,
    /// Whether a project without a test is a failure.
    pub require_tests: bool,
    /// Tests beside those of `tests/`.
    #[serde(rename = "test")]
    pub tests: Vec<ProjectTest>,
}

/// Lines for the shell of the image, each a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Phase {
    /// The lines.
    pub run: Vec<String>,
}

/// A stage of its own: the directory of the project is at `/project` while its lines run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BuilderPhase {
    /// The image with what builds.
    pub from: String,
    /// Lines for its shell.
    #[serde(default)]
    pub run: Vec<String>,
    /// What is taken from it.
    #[serde(default)]
    pub take: Vec<TakenFiles>,
}

/// What is taken from the builder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TakenFiles {
    /// The path there.
    pub from: String,
    /// The path in the image.
    pub to: String,
    /// `user[:group]`.
    pub owner: Option<String>,
    /// Octal or as chmod has it.
    pub mode: Option<String>,
}

/// An owner and a mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TemplateRule {
    /// `user[:group]`; root if absent.
    pub owner: Option<String>,
    /// Octal or as chmod has it.
    pub mode: Option<String>,
    /// Whether it is rendered again when a container starts with other values.
    pub start: bool,
}

/// How the image runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ProjectConfig {
    /// What always comes first.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// User and group.
    pub user: Option<String>,
    /// The directory that processes start in.
    pub working_dir: Option<String>,
    /// Ports.
    pub expose: Vec<String>,
    /// Directories of data.
    pub volumes: Vec<String>,
    /// The signal that asks the process to stop.
    pub stop_signal: Option<String>,
}

/// A test.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProjectTest {
    /// Its name.
    pub name: String,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// The exit code it must have.
    #[serde(default)]
    pub exit: i32,
    /// All that it must write, without the end of the last line.
    pub output: Option<String>,
    /// A part of what it must write.
    pub contains: Option<String>,
}

impl ProjectFile {
    /// Reads a project file that was rendered.
    ///
    /// # Errors
    /// Where it is too large, is no TOML, has a word that is none, or parts that do not fit together.
    pub fn parse(text: &str) -> Result<Self, ProjectError> {
        if text.len() > MAX_PROJECT {
            return Err(ProjectError::TooLarge {
                file: "image.toml".to_owned(),
                limit: MAX_PROJECT,
            });
        }
        let project: Self =
            toml::from_str(text).map_err(|error| ProjectError::File(error.to_string()))?;
        project.check()?;
        Ok(project)
    }

    fn check(&self) -> Result<(), ProjectError> {
        let builder = self.builder.as_ref();
        let lists = [
            ("lines of the builder", builder.map_or(0, |builder| builder.run.len())),
            ("things taken from the builder", builder.map_or(0, |builder| builder.take.len())),
            ("lines of build", self.build.run.len()),
            ("lines of build-late", self.build_late.run.len()),
            ("lines of prestart", self.prestart.run.len()),
            ("lines of inherit", self.inherit.len()),
            ("tests", self.tests.len()),
        ];
        if let Some((what, _)) = lists.into_iter().find(|(_, count)| *count > MAX_ENTRIES) {
            return Err(ProjectError::TooMany { what, limit: MAX_ENTRIES });
        }
        let wrong = |why: &str| Err(ProjectError::File(why.to_owned()));
        if !self.prestart.run.is_empty()
            && self.config.entrypoint.as_ref().is_none_or(Vec::is_empty)
        {
            return wrong(
                "prestart comes before the entry point: config.entrypoint must say which",
            );
        }
        if self.tests.iter().any(|test| test.name.is_empty() || test.run.is_empty()) {
            return wrong("a test has a name, and something to run");
        }
        if self.files.start {
            return wrong("files are not rendered: start is for templates");
        }
        let relative = |path: &String| !path.starts_with('/');
        if self.templates.keys().any(relative) {
            return wrong("templates are named by their paths in the image, from / on");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_have_their_names() {
        let project = ProjectFile::parse(
            "names = ['app:1']\nfrom = 'debian:13'\ninherit = ['RUN true']\nrequire-tests = true\n\
             [builder]\nfrom = 'golang'\nrun = ['make']\ntake = [{ from = '/out', to = '/bin/app', mode = '0755' }]\n\
             [build]\nrun = ['a', 'b']\n[build-late]\nrun = ['c']\n[prestart]\nrun = ['d']\n\
             [config]\nentrypoint = ['/bin/app']\nenv = { A = '1' }\n[files]\nowner = '1:2'\n\
             [templates.'/etc/app.conf']\nmode = '0600'\n\
             [[test]]\nname = 't'\nrun = ['/bin/true']\noutput = ''\n",
        )
        .unwrap();
        assert_eq!(project.build.run, ["a", "b"]);
        assert_eq!(project.builder.unwrap().take[0].to, "/bin/app");
        assert_eq!(project.templates["/etc/app.conf"].mode.as_deref(), Some("0600"));
        assert_eq!((project.tests[0].exit, project.require_tests), (0, true));
        assert_eq!(ProjectFile::parse("").unwrap(), ProjectFile::default());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (text, says) in [
            ("[biuld]\nrun = []\n", "biuld"),
            ("[build]\nruns = []\n", "runs"),
            ("[prestart]\nrun = ['x']\n", "config.entrypoint"),
            ("[[test]]\nname = ''\nrun = ['x']\n", "a name"),
            ("[templates.etc]\nmode = '1'\n", "from / on"),
            ("from = 1", "string"),
        ] {
            let error = ProjectFile::parse(text).unwrap_err().to_string();
            assert!(error.contains(says) && error.starts_with("image.toml"), "{error}");
        }
        let many = format!("inherit = [{}]", "'x',".repeat(5000));
        assert!(matches!(ProjectFile::parse(&many), Err(ProjectError::TooMany { .. })));
        let large = format!("# {}", "x".repeat(MAX_PROJECT));
        assert!(matches!(ProjectFile::parse(&large), Err(ProjectError::TooLarge { .. })));
    }
}
