//! Reading a project: its directory has its shape by convention.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use corten_project::{
    MAX_PROJECT, MAX_TEMPLATES, ProjectError, ProjectFile, ProjectValues, Rendering, StartFile,
};

use super::ProjectWanted;
use crate::Failure;
use crate::ops::apart;

/// Files that are copied as they are.
pub(super) const FILES: &str = "files";
/// Scripts that test the image.
pub(super) const TESTS: &str = "tests";
const ATTRIBUTES: &str = "attributes";
const TEMPLATES: &str = "templates";
/// The end of a template's name.
const TEMPLATE: &str = ".tmpl";
/// How deep directories of templates go.
const MAX_DEPTH: usize = 32;

/// A project, read and rendered.
pub(super) struct ReadProject {
    pub(super) root: PathBuf,
    pub(super) shown: String,
    pub(super) file: ProjectFile,
    /// The bytes of the project's file as it is written.
    pub(super) source: String,
    /// What templates became, by their paths in the image.
    pub(super) rendered: Vec<(String, String)>,
    /// Scripts that test, by name.
    pub(super) tests: Vec<(String, String)>,
    pub(super) has_files: bool,
    /// What the image keeps, to render templates again at a start.
    pub(super) start: Option<String>,
}

/// Reads a project and renders its templates.
pub(super) fn read(wanted: &ProjectWanted) -> Result<ReadProject, Failure> {
    let file =
        wanted.build.file.clone().unwrap_or_else(|| wanted.build.context.join(super::PROJECT));
    let root = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let shown = file.display().to_string();
    let mut values = ProjectValues::default();
    for (name, path) in listed(&root.join(ATTRIBUTES))? {
        values.lay(&format!("{ATTRIBUTES}/{name}"), &text(&path)?).map_err(told)?;
    }
    for set in &wanted.set {
        values.set(set).map_err(told)?;
    }
    let source = text(&file)?;
    let mut names = Vec::new();
    walk(&root.join(TEMPLATES), "", &mut names, MAX_DEPTH)?;
    let mut start = StartFile { attributes: values.all().clone(), ..StartFile::default() };
    for (name, path) in &names {
        start.templates.insert(name.clone(), text(path)?);
    }
    let (project, rendered) = rendered(&source, &start)?;
    if let Some(path) =
        project.templates.keys().find(|path| rendered.iter().all(|(at, _)| at != *path))
    {
        let text = format!("{shown}: templates.'{path}': there is no {TEMPLATES}{path}{TEMPLATE}");
        return Err(Failure::Usage(text));
    }
    for (path, _) in project.templates.iter().filter(|(_, rule)| rule.start) {
        start.files.insert(path.clone(), format!("{}{TEMPLATE}", path.trim_start_matches('/')));
    }
    let start = if start.files.is_empty() { None } else { Some(start.text().map_err(told)?) };
    let mut tests = Vec::new();
    for (name, path) in listed(&root.join(TESTS))? {
        if name.ends_with(".sh") {
            tests.push((name, text(&path)?));
        }
    }
    let has_files = root.join(FILES).is_dir();
    Ok(ReadProject { root, shown, file: project, source, rendered, tests, has_files, start })
}

/// The project's file and its templates, by their paths in the image.
fn rendered(
    source: &str,
    start: &StartFile,
) -> Result<(ProjectFile, Vec<(String, String)>), Failure> {
    let is_part = |name: &str| name.rsplit('/').next().unwrap_or(name).starts_with('_');
    let targets = start.templates.keys().filter(|name| !is_part(name));
    let targets = targets.filter_map(|name| Some((name, name.strip_suffix(TEMPLATE)?)));
    let rendering = Rendering {
        values: start.attributes.clone(),
        templates: start.templates.clone(),
        text: Some((super::PROJECT.to_owned(), source.to_owned())),
        wanted: targets.clone().map(|(name, _)| name.clone()).collect(),
    };
    let mut given = apart::render(&rendering).map_err(Failure::Usage)?;
    let project = ProjectFile::parse(&given.text.take().unwrap_or_default()).map_err(told)?;
    let file = |(name, target): (&String, &str)| {
        given.templates.remove(name).map(|text| (format!("/{target}"), text))
    };
    Ok((project, targets.filter_map(file).collect()))
}

/// A project that is none is the mistake of whoever wrote it.
fn told(error: ProjectError) -> Failure {
    Failure::Usage(error.to_string())
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let object = path.display().to_string();
    move |source| Failure::Io { object, action: "reading", source }
}

fn text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let file = File::open(path).map_err(failed(path))?;
    if !file.metadata().map_err(failed(path))?.is_file() {
        return Err(Failure::Usage(format!("{} is no file", path.display())));
    }
    let limit = MAX_PROJECT as u64;
    let taken = file.take(limit + 1).read_to_string(&mut text).map_err(failed(path))?;
    if taken as u64 > limit {
        return Err(Failure::Usage(format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(text)
}

/// The files of a directory in the order of their names; none where there is none.
fn listed(directory: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(directory))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed(directory))?;
        let name = entry.file_name();
        if !is_hidden(&name) {
            let unread = || Failure::Usage(format!("{}: not UTF-8", entry.path().display()));
            names.push((name.into_string().map_err(|_| unread())?, entry.path()));
        }
        if names.len() > MAX_TEMPLATES {
            let text = format!("{}: there are over {MAX_TEMPLATES} files", directory.display());
            return Err(Failure::Usage(text));
        }
    }
    names.sort();
    Ok(names)
}

/// What editors and version control leave behind.
fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Templates below a directory, by their paths. A link could lead anywhere: it is refused.
fn walk(
    directory: &Path,
    above: &str,
    names: &mut Vec<(String, PathBuf)>,
    depth: usize,
) -> Result<(), Failure> {
    for (name, path) in listed(directory)? {
        let kind = std::fs::symlink_metadata(&path).map_err(failed(&path))?.file_type();
        let whole = format!("{above}{name}");
        if kind.is_dir() && depth > 0 {
            walk(&path, &format!("{whole}/"), names, depth - 1)?;
        } else if kind.is_file() && whole.ends_with(TEMPLATE) {
            names.push((whole, path));
        } else {
            let text = format!(
                "{} is no template: they are files that end in {TEMPLATE}; what is copied as it is stands in {FILES}/",
                path.display()
            );
            return Err(Failure::Usage(text));
        }
    }
    Ok(())
}
