//! Running git on repositories that nobody vouches for: no prompts, no hooks, no configuration but that of
//! credentials and ssh, and only the protocols that are meant.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use corten_build::redacted;

use super::failed;
use crate::{Context, Environment, Failure};

/// Most bytes that are taken of what git says.
const MAX_OUTPUT: u64 = 16 * 1024 * 1024;
/// Most characters of it that an error shows.
const MAX_SHOWN: usize = 2000;
/// How long one run of git may take.
const MAX_TIME: Duration = Duration::from_secs(3600);
/// How long a connection may be as good as dead, in seconds.
const STALL: &str = "60";
/// Pause between two looks at whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// Variables that git, ssh and what brings credentials need.
const PASSED: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

/// What every run is told.
const SETTINGS: [(&str, &str); 13] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.logAllRefUpdates", "false"),
    ("core.fileMode", "true"),
    ("core.symlinks", "true"),
    ("init.defaultBranch", "master"),
    ("advice.detachedHead", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", STALL),
    ("pack.threads", "1"),
];

/// Whether repositories that are directories of this machine are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// They are: whoever typed the command named one, or it is our own.
    Allowed,
    /// They are not.
    Refused,
}

/// The program, and what it is given.
pub(super) struct Git {
    environment: Environment,
    /// Where bare repositories are.
    pub(super) place: PathBuf,
}

impl Git {
    pub(super) fn new(context: &Context, place: PathBuf) -> Self {
        Self { environment: context.environment().clone(), place }
    }

    /// Runs git in a directory and gives what it wrote. `about` names the repository in errors.
    pub(super) fn run(
        &self,
        directory: &Path,
        about: &str,
        local: Local,
        words: &[&str],
    ) -> Result<String, Failure> {
        let mut command = self.command(directory);
        let protocols = match local {
            Local::Allowed => "http:https:ssh:git:file",
            Local::Refused => "http:https:ssh:git",
        };
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_ALLOW_PROTOCOL", protocols);
        let own = SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let all: Vec<(String, String)> = own.chain(self.credentials(directory)).collect();
        // As variables, so that what git starts for submodules has them too.
        command.env("GIT_CONFIG_COUNT", all.len().to_string());
        for (number, (key, value)) in all.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command.args(words);
        let ended = ended(command, about)?;
        if ended.is_good {
            return Ok(ended.out);
        }
        Err(Failure::Usage(format!("{}: {}", redacted(about), shown(&ended.err, about))))
    }

    /// How the user has git find credentials and reach hosts over ssh; nothing else of their configuration.
    fn credentials(&self, directory: &Path) -> Vec<(String, String)> {
        let mut command = self.command(directory);
        let pattern = r"^(credential\..*|core\.sshcommand)$";
        command.args(["config", "--null", "--get-regexp", pattern]);
        // Where git cannot be run, the run itself says so.
        let Ok(ended) = ended(command, "the configuration of git") else { return Vec::new() };
        let fields = ended.out.split('\0').filter_map(|field| field.split_once('\n'));
        fields.map(|(key, value)| (key.to_owned(), value.to_owned())).take(64).collect()
    }

    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new("git");
        command.current_dir(directory).env_clear().stdin(Stdio::null());
        for name in PASSED {
            if let Some(value) = self.environment.variable(name) {
                command.env(name, value);
            }
        }
        // A directory above it is none of ours.
        command.env("GIT_CEILING_DIRECTORIES", directory.parent().unwrap_or(directory));
        command.env("LC_ALL", "C");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "").env("SSH_ASKPASS", "");
        command.env("GIT_LFS_SKIP_SMUDGE", "1").env("GIT_OPTIONAL_LOCKS", "0");
        let own = ["GIT_SSH", "GIT_SSH_COMMAND"];
        if own.iter().all(|name| self.environment.variable(name).is_none()) {
            command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
        }
        command
    }
}

/// How a run ended.
struct Ended {
    is_good: bool,
    out: String,
    err: String,
}

fn ended(mut command: Command, about: &str) -> Result<Ended, Failure> {
    let about = redacted(about);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::Usage(format!(
            "{about}: there is no program git, which fetches repositories: install it, or give a directory or \
             an archive"
        )),
        _ => failed("git", "start")(error),
    })?;
    // Both at once: a pipe that is full would stop git.
    let (out, err) = (drained(child.stdout.take()), drained(child.stderr.take()));
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed("git", "wait"))? {
            break status;
        }
        if waited > MAX_TIME {
            let _ = child.kill();
            let _ = child.wait();
            let limit = MAX_TIME.as_secs();
            return Err(Failure::Usage(format!("{about}: git took over {limit} seconds")));
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    };
    let text = |read: JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&read.join().unwrap_or_default()).into_owned()
    };
    Ok(Ended { is_good: status.success(), out: text(out), err: text(err) })
}

/// Reads a pipe to its end; what is beyond the limit is dropped.
fn drained(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What cannot be read is told by how the program ends.
            let _ = pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        bytes
    })
}

/// What git said, without secrets.
fn shown(text: &str, remote: &str) -> String {
    let plain = text.replace(remote, &redacted(remote));
    let lines: Vec<&str> = plain.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = redacted(&lines.join("; "));
    match text.char_indices().rev().nth(MAX_SHOWN) {
        Some((at, _)) => format!("…{}", text.get(at..).unwrap_or_default()),
        None if text.is_empty() => "git failed and said nothing".to_owned(),
        None => text,
    }
}
