//! Words of command lines that several verbs take: sizes, spans of time, pairs, ports, policies.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use corten_run::RestartPolicy;
use corten_run::network::Publish;

use super::Context;
use crate::Failure;

/// `90s`, `15m`, `24h`, `7d`, or a bare number of seconds.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..) {
        Some("ms") => {
            let number = digits.parse().map_err(|_| "write a number and ms, s, m, h or d")?;
            return Ok(Duration::from_millis(number));
        }
        Some("" | "s") => 1,
        Some("m") => 60,
        Some("h") => 3_600,
        Some("d") => 86_400,
        _ => return Err("write a number and s, m, h or d".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "write a number and s, m, h or d".to_owned())?;
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

/// Bytes: `1000`, `64k`, `512m`, `2g`, `1t`, in powers of 1024; a `b` or `ib` may follow.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "write a number and k, m, g or t".to_owned();
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match lower.get(digits.len()..) {
        Some("" | "b") => 0,
        Some("k" | "kb" | "kib") => 10,
        Some("m" | "mb" | "mib") => 20,
        Some("g" | "gb" | "gib") => 30,
        Some("t" | "tb" | "tib") => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let factor = 1_u64 << shift;
    number.checked_mul(factor).ok_or_else(|| "that is too much".to_owned())
}

/// The same, or -1 for no limit.
pub(super) fn swap(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    i64::try_from(size(text)?).map_err(|_| "that is too much".to_owned())
}

/// `NAME=VALUE`.
pub(super) fn pairs(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// `[ADDRESS:]PORT:PORT[/udp]`; an IPv6 address stands in brackets.
pub(super) fn port(text: &str) -> Result<Publish, String> {
    let wrong = || "write [ADDRESS:]PORT:PORT or PORT:PORT/udp".to_owned();
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let udp = match protocol {
        "tcp" => false,
        "udp" => true,
        _ => return Err(wrong()),
    };
    let (rest, container) = ports.rsplit_once(':').ok_or_else(wrong)?;
    let (address, host) = match rest.rsplit_once(':') {
        Some((address, host)) => (Some(address), host),
        None => (None, rest),
    };
    let address = address.map(|text| text.trim_start_matches('[').trim_end_matches(']'));
    let address = address.map(str::parse::<IpAddr>).transpose().map_err(|_| wrong())?;
    let number = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or_else(wrong);
    Ok(Publish { address, host: number(host)?, container: number(container)?, udp })
}

/// `no`, `on-failure[:TIMES]`, `always`, `unless-stopped`.
pub(super) fn restart(text: &str) -> Result<RestartPolicy, String> {
    let (word, times) = text.split_once(':').unwrap_or((text, ""));
    match (word, times) {
        ("no", "") => Ok(RestartPolicy::No),
        ("always", "") => Ok(RestartPolicy::Always),
        ("unless-stopped", "") => Ok(RestartPolicy::UnlessStopped),
        ("on-failure", "") => Ok(RestartPolicy::OnFailure { retries: None }),
        ("on-failure", times) => match times.parse() {
            Ok(times) => Ok(RestartPolicy::OnFailure { retries: Some(times) }),
            Err(_) => Err(format!("{times} is no number of times")),
        },
        _ => Err("write no, on-failure[:TIMES], always or unless-stopped".to_owned()),
    }
}

/// The command of a health check; an empty one for `none`.
pub(super) fn health(command: &str) -> Vec<String> {
    if command == "none" {
        return Vec::new();
    }
    ["/bin/sh", "-c", command].map(str::to_owned).to_vec()
}

/// Most bytes of a file of variables.
const MAX_ENV_FILE: u64 = 1024 * 1024;

/// Variables of files and of the command line, in this order. A bare name passes on what is set here,
/// and nothing where it is not set.
pub(super) fn variables(
    context: &Context,
    files: &[impl AsRef<Path>],
    words: &[String],
) -> Result<Vec<(String, String)>, Failure> {
    let mut variables = Vec::new();
    for file in files.iter().map(AsRef::as_ref) {
        let text = text_of(file)?;
        for line in text.lines().map(|line| line.trim_start().trim_end_matches('\r')) {
            if !line.is_empty() && !line.starts_with('#') {
                variables.extend(variable(context, line)?);
            }
        }
    }
    for word in words {
        variables.extend(variable(context, word)?);
    }
    Ok(variables)
}

/// Values for templates: those of files, each over the one before, and single ones over all.
pub(super) fn values(
    files: &[impl AsRef<Path>],
    words: &[String],
) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    let told = |error: corten_project::ProjectError| Failure::Usage(error.to_string());
    let mut values = corten_project::ProjectValues::default();
    for file in files.iter().map(AsRef::as_ref) {
        values.lay(&file.display().to_string(), &text_of(file)?).map_err(told)?;
    }
    for word in words {
        values.set(word).map_err(told)?;
    }
    Ok(values.all().clone())
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let failed =
        |source| Failure::Io { object: file.display().to_string(), action: "reading", source };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    let read = opened.take(MAX_ENV_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > MAX_ENV_FILE {
        let text = format!("{} is larger than {MAX_ENV_FILE} bytes", file.display());
        return Err(Failure::Usage(text));
    }
    Ok(text)
}

fn variable(context: &Context, word: &str) -> Result<Option<(String, String)>, Failure> {
    match word.split_once('=') {
        Some(("", _)) => Err(Failure::Usage(format!("{word}: a variable has a name"))),
        Some((name, value)) => Ok(Some((name.to_owned(), value.to_owned()))),
        None => {
            Ok(context.environment().set(word).map(|value| (word.to_owned(), value.to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_have_a_unit() {
        assert_eq!(span("0"), Ok(Duration::ZERO));
        assert_eq!(span("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(span("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(span("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "h", "1w", "-1s", "1.5h", "99999999999999999999d"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, wanted) in [
            ("7", Some(7)),
            ("64k", Some(65_536)),
            ("2GiB", Some(2 << 30)),
            ("1.5g", None),
            ("", None),
        ] {
            assert_eq!(size(text).ok(), wanted, "{text}");
        }
        assert!(size("99999999999999t").is_err());
    }

    #[test]
    fn a_port_leads_to_a_port() {
        let read = |text: &str| {
            let port = port(text).ok()?;
            Some((port.address.map(|a| a.to_string()), port.host, port.container, port.udp))
        };
        assert_eq!(read("8080:80"), Some((None, 8080, 80, false)));
        assert_eq!(read("127.0.0.1:53:53/udp"), Some((Some("127.0.0.1".to_owned()), 53, 53, true)));
        assert_eq!(read("[::1]:1:2"), Some((Some("::1".to_owned()), 1, 2, false)));
        for wrong in ["80", "0:80", "a:80", "80:70000", "80:80/sctp", "x:80:80", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_policy_of_restarts_has_four_words() {
        assert_eq!(restart("no"), Ok(RestartPolicy::No));
        assert_eq!(restart("on-failure:3"), Ok(RestartPolicy::OnFailure { retries: Some(3) }));
        for wrong in ["", "never", "always:1", "on-failure:x"] {
            assert!(restart(wrong).is_err(), "{wrong}");
        }
    }
}
