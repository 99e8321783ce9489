//! The reference pages of the book that nobody writes by hand: the command line, the codes of
//! `validate`, the exit codes and the JSON schemas from the binary, the limits from the sources.
//!
//! `corten reference PAGE` prints Markdown, or JSON for `schema`; here it is put into `docs/src/reference/PAGE.md`, or
//! compared with what stands there.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::house::{self, HouseError};
use crate::limits;

/// The pages that `corten reference` knows, by file name.
pub const PAGES: [&str; 4] = ["cli", "codes", "exits", "schema"];

/// What to do with a page that is not what the binary says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write it anew.
    Write,
    /// Report it.
    Check,
}

/// Why the pages could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum PagesError {
    /// The binary could not be built or run.
    Start(io::Error),
    /// It ran and failed; what it said.
    Failed(&'static str, String),
    /// A page could not be read or written.
    Page(PathBuf, io::Error),
    /// The sources could not be read.
    Sources(HouseError),
}

impl std::fmt::Display for PagesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(cause) => write!(f, "cargo could not be started: {cause}"),
            Self::Failed(page, said) => write!(f, "`corten reference {page}` failed:\n{said}"),
            Self::Page(path, cause) => write!(f, "{}: {cause}", path.display()),
            Self::Sources(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for PagesError {}

/// Makes every page of the workspace at `root`; with [`Mode::Check`] returns one line for each
/// page that is stale, and writes nothing.
pub fn refresh(root: &Path, mode: Mode) -> Result<Vec<String>, PagesError> {
    let workspace = house::read(root).map_err(PagesError::Sources)?;
    let mut stale = Vec::new();
    stale.extend(settle(root, "limits", &limits::page(&workspace), mode)?);
    for page in PAGES {
        let said = printed(root, page)?;
        let text = if page == "schema" { schema_page(&said) } else { said };
        stale.extend(settle(root, page, &text, mode)?);
    }
    Ok(stale)
}

/// Brings one page to the text `fresh`, or reports that it is another.
pub fn settle(
    root: &Path,
    page: &str,
    fresh: &str,
    mode: Mode,
) -> Result<Option<String>, PagesError> {
    let path = root.join("docs/src/reference").join(page).with_extension("md");
    let failed = |cause| PagesError::Page(path.clone(), cause);
    let standing = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => String::new(),
        Err(cause) => return Err(failed(cause)),
    };
    match mode {
        _ if standing == fresh => Ok(None),
        Mode::Check => {
            Ok(Some(format!("docs/src/reference/{page}.md:1: page: stale; run `cargo xtask cli`")))
        }
        Mode::Write => {
            fs::create_dir_all(path.parent().unwrap_or(root)).map_err(failed)?;
            fs::write(&path, fresh).map_err(failed)?;
            Ok(None)
        }
    }
}

/// The schemas for readers: what they promise, then the JSON as the binary prints it.
fn schema_page(schema: &str) -> String {
    format!("{SCHEMA_INTRODUCTION}\n```json\n{}\n```\n", schema.trim_end())
}

const SCHEMA_INTRODUCTION: &str = "\
<!-- Made by `cargo xtask cli`; do not edit. -->

# JSON reports

With `--json` a verb prints its report as one JSON document on standard output, and nothing else there. Progress and
errors go to standard error as text; a verb that fails prints no report, and says why by its [exit code](exits.md) and
its error. `validate` and `diff` print their report when their answer is no, too.

Without a report are: verbs whose output is the content itself (`cat`, `inspect --raw` and `--image-config`, `export` and
`copy` to standard output), and `completion`.

What can be relied on:

- A property that is here keeps its name, type and meaning. Before version 1.0 the changelog says where that is broken.
- New properties may come at any time: a reader passes over those it does not know.
- A property that is not `required` is there all the same, with `null` where there is nothing to say.
- Digests are whole (`sha256:…`), sizes are bytes, times are RFC 3339 in UTC, platforms are `os/architecture[/variant]`.
- The codes of findings are those of [the list](codes.md): one that is there keeps its meaning.
- The text for people may change at any time. Scripts read JSON.

`corten reference schema` prints what follows: one JSON object, with a JSON Schema (draft 2020-12) for each verb.
";

fn printed(root: &Path, page: &'static str) -> Result<String, PagesError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--bin", "corten", "--", "reference", page])
        .env_remove("RUST_LOG")
        .current_dir(root)
        .output()
        .map_err(PagesError::Start)?;
    if !output.status.success() || output.stdout.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(PagesError::Failed(page, said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
