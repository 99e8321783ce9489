//! The engines that run on this machine, as far as an image is handed to them over their sockets.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::build::LoadInto;
use crate::{Context, Failure};

/// How long an engine may take to begin its answer: it unpacks before it answers.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Most bytes of an answer.
const MAX_ANSWER: usize = 1024 * 1024;

/// Where an engine listens.
pub(super) fn socket(context: &Context, engine: LoadInto) -> Result<PathBuf, Failure> {
    let environment = context.environment();
    let (variable, own, machine, start) = match engine {
        LoadInto::Docker => ("DOCKER_HOST", "docker.sock", "/run/docker.sock", "start dockerd"),
        LoadInto::Podman => (
            "CONTAINER_HOST",
            "podman/podman.sock",
            "/run/podman/podman.sock",
            "start `podman system service`",
        ),
    };
    if let Some(place) = environment.variable(variable).filter(|place| !place.is_empty()) {
        return match place.strip_prefix("unix://") {
            Some(path) => Ok(PathBuf::from(path)),
            None => {
                Err(Failure::Usage(format!("{variable}={place}: only unix:// sockets are reached")))
            }
        };
    }
    let runtime =
        environment.variable("XDG_RUNTIME_DIR").map(|directory| Path::new(directory).join(own));
    let places = runtime.into_iter().chain([PathBuf::from(machine)]);
    let is_socket =
        |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    places.into_iter().find(is_socket).ok_or_else(|| {
        Failure::Usage(format!(
            "no engine listens at {machine}: {start}, or set {variable}=unix://PATH"
        ))
    })
}

/// Hands an archive to an engine.
pub(super) async fn load(socket: &Path, engine: LoadInto, archive: &Path) -> Result<(), Failure> {
    let object = socket.display().to_string();
    let failed =
        |source: std::io::Error| Failure::Io { object: object.clone(), action: "loading", source };
    let address = match engine {
        LoadInto::Docker => "http://docker/images/load?quiet=1",
        LoadInto::Podman => "http://podman/v4.0.0/libpod/images/load",
    };
    let file = tokio::fs::File::open(archive).await.map_err(failed)?;
    let told = async {
        let client =
            reqwest::Client::builder().unix_socket(socket.to_owned()).timeout(PATIENCE).build()?;
        let request = client.post(address).header(CONTENT_TYPE, "application/x-tar").body(file);
        let mut answer = request.send().await?;
        let mut body = Vec::new();
        while let Some(bytes) = answer.chunk().await? {
            body.extend_from_slice(
                bytes.get(..MAX_ANSWER.saturating_sub(body.len())).unwrap_or(&bytes),
            );
        }
        Ok::<_, reqwest::Error>(complaint(answer.status().as_u16(), &body))
    };
    match told.await {
        Ok(None) => Ok(()),
        Ok(Some(text)) => Err(failed(std::io::Error::other(text))),
        Err(error) => Err(failed(std::io::Error::other(error))),
    }
}

/// What an engine says against it. Docker answers before it is done, and tells of errors line by line.
fn complaint(status: u16, body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = lines.into_iter().find_map(|line| {
        let of = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
        of("error")
            .or_else(|| of("cause"))
            .or_else(|| if status >= 400 { of("message") } else { None })
    });
    match told {
        None if (200..300).contains(&status) => None,
        None => Some(format!("status {status}: {}", text.trim())),
        told => told,
    }
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn an_engine_complains_with_a_status_or_with_a_line() {
        assert_eq!(complaint(200, b"{\"stream\":\"Loaded image: a\\n\"}\n"), None);
        assert_eq!(
            complaint(200, b"{\"stream\":\"\"}\n{\"error\":\"no space\"}\n").unwrap(),
            "no space"
        );
        assert_eq!(complaint(500, b"{\"message\":\"broken\"}").unwrap(), "broken");
        assert_eq!(complaint(404, b"what?").unwrap(), "status 404: what?");
        assert_eq!(complaint(200, b"{\"Names\":[\"a\"]}"), None);
    }
}
