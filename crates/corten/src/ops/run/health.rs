//! The health check of an image. The OCI config has none; Docker's, whose images are run too, has it as
//! `Healthcheck` beside the fields that the specification knows.

use std::time::Duration;

use corten_run::HealthCheck;
use corten_spec::ContainerConfig;
use serde::Deserialize;

/// What Docker takes where a field is missing or 0.
const EVERY: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;

/// What an image may ask for: a check runs outside of the container's limits, at its monitor's cost.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Healthcheck {
    test: Vec<String>,
    interval: u64,
    timeout: u64,
    start_period: u64,
    retries: u32,
}

/// The check that the image brings along; `None` without one, and for one that cannot be read: it is the
/// image's word on itself, and no reason not to run it.
pub(super) fn of_image(config: &ContainerConfig) -> Option<HealthCheck> {
    let said: Healthcheck =
        serde_json::from_value(config.extra.get("Healthcheck")?.clone()).ok()?;
    let command = match said.test.split_first()? {
        (kind, rest) if kind == "CMD" && !rest.is_empty() => rest.to_vec(),
        (kind, [line]) if kind == "CMD-SHELL" => {
            ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
        }
        _ => return None,
    };
    let span = |nanos: u64| match nanos {
        0 => EVERY,
        nanos => Duration::from_nanos(nanos).clamp(SHORTEST, LONGEST),
    };
    Some(HealthCheck {
        command,
        interval: span(said.interval),
        timeout: span(said.timeout),
        start_period: Duration::from_nanos(said.start_period).min(LONGEST),
        retries: if said.retries == 0 { RETRIES } else { said.retries },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(check: serde_json::Value) -> Option<HealthCheck> {
        let config = serde_json::from_value(json!({ "Healthcheck": check })).unwrap();
        of_image(&config)
    }

    #[test]
    fn a_check_is_a_command_or_a_line_for_the_shell() {
        let check = read(json!({ "Test": ["CMD", "true", "x"], "Interval": 5_000_000_000_u64 }));
        let check = check.unwrap();
        assert_eq!(check.command, ["true", "x"]);
        assert_eq!((check.interval, check.timeout), (Duration::from_secs(5), EVERY));
        assert_eq!((check.start_period, check.retries), (Duration::ZERO, 3));
        let line = read(json!({ "Test": ["CMD-SHELL", "exit 0"], "Retries": 7 })).unwrap();
        assert_eq!((line.command.join(" "), line.retries), ("/bin/sh -c exit 0".to_owned(), 7));
    }

    #[test]
    fn an_image_cannot_have_its_check_run_all_the_time_or_never_end() {
        let nanos = json!({ "Test": ["CMD", "a"], "Interval": 1, "Timeout": u64::MAX });
        let check = read(nanos).unwrap();
        assert_eq!((check.interval, check.timeout), (SHORTEST, LONGEST));
    }

    #[test]
    fn what_is_no_check_is_none() {
        for none in [
            json!(null),
            json!({}),
            json!({ "Test": [] }),
            json!({ "Test": ["NONE"] }),
            json!({ "Test": ["CMD"] }),
            json!({ "Test": "true" }),
            json!({ "Test": ["CMD", "true"], "Retries": -1 }),
        ] {
            assert_eq!(read(none.clone()), None, "{none}");
        }
    }
}
