//! How hosts are reached: certificates, proxies and time limits, of the configuration and the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_registry::{Insecure, Proxies, Timeouts, Tls, Transport};

use crate::config::InsecureWord;
use crate::{Config, Environment, Failure};

/// Most bytes of a certificate or key file.
const MAX_PEM: u64 = 1024 * 1024;

/// What decides how a host is reached.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) environment: Environment,
    pub(crate) config: Config,
    pub(crate) insecure: Option<InsecureWord>,
}

impl Reach {
    /// How `host` is reached.
    pub(crate) fn transport(&self, host: &str) -> Result<Transport, Failure> {
        let environment = &self.environment;
        let settings = self.config.registry.get(host).cloned().unwrap_or_default();
        let mut tls = self.certs_d(host)?;
        if let Some(path) = &settings.ca {
            tls.authorities.push(read_pem(path)?);
        }
        match (&settings.client_cert, &settings.client_key) {
            (None, None) => {}
            (Some(certificate), Some(key)) => {
                tls.identity = Some(corten_registry::ClientCertificate {
                    certificate: read_pem(certificate)?,
                    key: read_pem(key)?,
                });
            }
            _ => {
                let text = format!("registry {host}: client-cert and client-key go together");
                return Err(Failure::Usage(text));
            }
        }
        let proxy = |upper: &str, lower: &str| {
            let value = environment.variable(lower).or_else(|| environment.variable(upper));
            value.map(str::to_owned)
        };
        Ok(Transport {
            tls,
            insecure: match self.insecure.or(settings.insecure) {
                None => Insecure::No,
                Some(InsecureWord::Http) => Insecure::PlainHttp,
                Some(InsecureWord::SkipVerify) => Insecure::SkipVerify,
            },
            proxies: Proxies {
                http: proxy("HTTP_PROXY", "http_proxy"),
                https: proxy("HTTPS_PROXY", "https_proxy"),
                except: proxy("NO_PROXY", "no_proxy"),
            },
            token_services: token_services(host, settings.token_service)?,
            timeouts: settings.stall_seconds.map_or_else(Timeouts::default, |seconds| Timeouts {
                stall: Duration::from_secs(seconds.get().into()),
                ..Timeouts::default()
            }),
            ..Transport::default()
        })
    }

    /// The certificates that other tools of the field keep for `host`.
    fn certs_d(&self, host: &str) -> Result<Tls, Failure> {
        let user = self.environment.directory("XDG_CONFIG_HOME", ".config");
        let directories = user
            .map(|path| path.join("containers/certs.d"))
            .into_iter()
            .chain(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from))
            .collect::<Vec<_>>();
        Ok(corten_registry::certificates(&directories, host)?)
    }
}

/// The token services of `host`; an address in place of a host would be passed over in silence.
fn token_services(
    host: &str,
    named: Option<Vec<String>>,
) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let Some(named) = named else { return Ok(BTreeMap::new()) };
    if let Some(wrong) = named.iter().find(|name| name.is_empty() || name.contains(['/', '@', ' ']))
    {
        return Err(Failure::Usage(format!(
            "registry {host}: token-service: '{wrong}' is no host: write host or host:port"
        )));
    }
    Ok(BTreeMap::from([(host.to_owned(), named)]))
}

fn read_pem(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let failed =
        |source| Failure::Io { object: path.display().to_string(), action: "reading", source };
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_PEM).read_to_end(&mut pem).map_err(failed)?;
    Ok(pem)
}
