//! A systemd unit for a container, so that the machine's own supervisor starts it with the machine.

use std::fmt::Write as _;
use std::time::Duration;

use corten_run::RestartPolicy;
use schemars::JsonSchema;
use serde::Serialize;

use super::containers::found;
use crate::{Context, Failure};

/// What a stop takes beyond the time that the container has for it.
const MARGIN: Duration = Duration::from_secs(10);

/// What to write a unit for.
#[derive(Clone, Debug)]
pub enum UnitOf {
    /// A container that is there.
    Container(String),
    /// A container that is made anew at each start, by these arguments of `run`.
    Run {
        /// Its name.
        name: String,
        /// The arguments, with the image among them.
        arguments: Vec<String>,
    },
}

/// A unit.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UnitReport {
    /// The name that its file may have.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Writes a unit whose main process is corten in front of the container: the journal has the output, the
/// exit code is that of the container, and the signal to end reaches it.
pub fn unit(context: &Context, of: &UnitOf) -> Result<UnitReport, Failure> {
    let program = context.environment().program().ok_or_else(|| Failure::Io {
        object: "this program".to_owned(),
        action: "finding",
        source: std::io::ErrorKind::NotFound.into(),
    })?;
    let store = context.store()?.path().display().to_string();
    let mut words = vec![program.display().to_string(), "--store".to_owned(), store];
    let (name, restart, timeout, signal) = match of {
        UnitOf::Container(name) => {
            let (containers, id) = found(context, name)?;
            let listed = corten_run::inspect(&containers, &id)?;
            words.extend(["start", "--foreground", id.as_str()].map(str::to_owned));
            let asked = listed.container.asked;
            (listed.name, asked.restart, asked.stop_timeout, asked.stop_signal)
        }
        UnitOf::Run { name, arguments } => {
            words.extend(["run", "--rm", "--name", name].map(str::to_owned));
            words.extend(arguments.iter().cloned());
            (name.clone(), RestartPolicy::Always, Duration::from_secs(10), 15)
        }
    };
    let root = rustix::process::geteuid().is_root();
    let text = text(&Unit { name: &name, words: &words, restart, timeout, signal, root });
    Ok(UnitReport { name: format!("corten-{name}.service"), text })
}

/// What stands in a unit.
struct Unit<'a> {
    name: &'a str,
    words: &'a [String],
    restart: RestartPolicy,
    timeout: Duration,
    signal: i32,
    root: bool,
}

fn text(unit: &Unit<'_>) -> String {
    let restart = match unit.restart {
        RestartPolicy::No => "no",
        // Its own policy starts the container again; this is for the end of corten itself.
        RestartPolicy::OnFailure { .. } => "on-abnormal",
        RestartPolicy::Always | RestartPolicy::UnlessStopped => "on-failure",
    };
    let command: Vec<String> = unit.words.iter().map(|word| quoted(word)).collect();
    let mut text = format!("[Unit]\nDescription=Container {}\n", unit.name);
    if unit.root {
        text.push_str("Wants=network-online.target\nAfter=network-online.target\n");
    }
    let seconds = (unit.timeout + MARGIN).as_secs();
    let _ = write!(
        text,
        "\n[Service]\nType=exec\nExecStart={}\nKillMode=mixed\nKillSignal={}\n\
         SuccessExitStatus={}\nTimeoutStopSec={seconds}\nRestart={restart}\nDelegate=yes\n\
         \n[Install]\nWantedBy={}\n",
        command.join(" "),
        unit.signal,
        128 + unit.signal,
        if unit.root { "multi-user.target" } else { "default.target" },
    );
    text
}

/// A word of a command line (systemd.service(5), "Command lines"; systemd.syntax(7), "Quoting").
fn quoted(word: &str) -> String {
    let mut text = String::with_capacity(word.len() + 2);
    for c in word.chars() {
        match c {
            '%' => text.push_str("%%"),
            '$' => text.push_str("$$"),
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%$".contains(c);
    if !word.is_empty() && word.chars().all(plain) { text } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_itself_to_systemd() {
        for (word, wanted) in [
            ("plain-1.0", "plain-1.0"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("100%", "100%%"),
            ("$HOME", "$$HOME"),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("two\nlines;", "\"two\\nlines;\""),
            ("'", "\"'\""),
        ] {
            assert_eq!(quoted(word), wanted, "{word:?}");
        }
    }

    #[test]
    fn the_time_to_stop_is_longer_than_that_of_the_container() {
        let words = ["/bin/corten".to_owned(), "start".to_owned()];
        let text = text(&Unit {
            name: "web",
            words: &words,
            restart: RestartPolicy::Always,
            timeout: Duration::from_secs(30),
            signal: 3,
            root: false,
        });
        for line in [
            "ExecStart=/bin/corten start",
            "TimeoutStopSec=40",
            "KillSignal=3",
            "SuccessExitStatus=131",
            "Restart=on-failure",
            "WantedBy=default.target",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
    }
}
