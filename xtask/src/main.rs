//! `cargo xtask`: the command line over the project's chores.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use xtask::{house, pages};

const USAGE: &str = "\
usage: cargo xtask house [DIR]    check that the house is in order [default: this workspace]
       cargo xtask cli            write the reference pages from what the binary says
       cargo xtask cli --check    fail where a reference page is not what the binary says
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let outcome = match words.as_slice() {
        ["house"] => house(root),
        ["house", other] => house(Path::new(other)),
        ["cli"] => cli(root, pages::Mode::Write),
        ["cli", "--check"] => cli(root, pages::Mode::Check),
        _ => {
            say(&mut io::stderr(), USAGE);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(lines) if lines.is_empty() => ExitCode::SUCCESS,
        Ok(lines) => {
            say(&mut io::stdout(), &format!("{}\n", lines.join("\n")));
            ExitCode::FAILURE
        }
        Err(message) => {
            say(&mut io::stderr(), &format!("xtask: {message}\n"));
            ExitCode::FAILURE
        }
    }
}

fn house(root: &Path) -> Result<Vec<String>, String> {
    let offences = house::check(&house::read(root).map_err(|e| e.to_string())?);
    Ok(offences.iter().map(ToString::to_string).collect())
}

fn cli(root: &Path, mode: pages::Mode) -> Result<Vec<String>, String> {
    pages::refresh(root, mode).map_err(|e| e.to_string())
}

/// A closed output is nobody's loss here.
fn say(output: &mut dyn Write, text: &str) {
    let _ = output.write_all(text.as_bytes());
}
